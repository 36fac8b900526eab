"""What is not certain about KIS, as settings of the double. docs/concepts/kis-beliefs.md has the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Settings:
    """Ways in which the double behaves; a test may change them while it runs. Times are seconds of its clock."""

    # -- access and limits
    token_life_s: int = 86_400
    same_token_s: int = 6 * 3_600
    """Time for which a repeated call gives the same token again."""
    token_spacing_s: int = 60
    approval_life_s: int = 86_400
    live_per_s: int = 18
    paper_per_s: int = 1
    ledger_per_s: int | None = None
    """Calls of the account that the ledger takes in a second; None without a limit of its own."""
    sliding_second: bool = True
    """Whether calls of the last second count, else those since the second began."""
    refused_calls_count: bool = False
    """Whether a call beyond the limit counts as well."""
    old_tr_ids: bool = True
    """Whether the TR ids of orders from before 2025 are still taken."""
    every_field: bool = True
    """Whether a query without one of its fields, also one that may be empty, is refused."""
    other_keys_sign_in: bool = True
    """Whether keys of the other host get a token here, and are refused at the first call; else they get none."""
    needs_user_agent: bool = False
    """Whether a call without the header User-Agent is cut off."""
    down_at_weekends: bool = False
    """Whether the paper host cuts off all calls on Saturday and Sunday."""
    not_paper_tr: str = "EGW02006"
    """Code for a live TR on the paper host; EGW00213 in older lists."""

    date_offset_s: float = 0.0
    """How far the header ``Date`` of answers is ahead of the double's clock: a client's clock that is wrong."""

    # -- days
    always_open: bool = False
    """Whether continuous trading goes on at every hour of every day: for sessions on the machine's own clock."""

    # -- orders
    matching: str = "market"
    """``market``: orders fill against the scripted book and tape; ``told``: by :meth:`KisDouble.fill` alone."""
    auctions: bool = True
    """Whether the opening and the closing auction happen by themselves."""
    sor_routes: str = "best"
    """Where an order for SOR goes while both venues are open: KRX, NXT, or the ``best`` price."""
    cancel_venue: str = "routed"
    """Venue that the cancel of an order for SOR has to name: ``routed``, ``asked``, or ``either``."""
    wash: str = "crossing"
    """What is refused as a trade with oneself: an order that would meet our own (``crossing``), any order against
    an open one of the other side (``opposite``), nothing (``off``)."""
    business_status: int = 200
    """HTTP status of a refusal of the business side; 500 in one report."""
    business_rt_cd: str = ""
    """``rt_cd`` of these; empty: 7 for cash and venue, 1 for the others, as reported."""
    shared_code: str = ""
    """A message code that all refusals of the business side have in common; empty: each has its own."""
    market_price_is_zero: bool = True
    """Whether an order at the market with another price than 0 is refused."""
    cancel_confirm_s: float = 0.0
    """Time from the answer to a cancel until it takes effect; fills may come in between."""
    lower_case_answers: bool = False
    """Whether the answer to a revise or cancel has keys in lower case."""
    numbers_restart: bool = True
    """Whether order numbers begin again each day."""

    # -- lists
    list_lag_s: tuple[float, float] = (0.0, 0.0)
    """Least and most time after which an accepted order is in lists, drawn for each."""
    fill_lag_s: float = 0.0
    """Time after which a fill is in the rows of orders."""
    holdings_lag_s: float = 0.0
    """Time after which a fill is in the balance."""
    pages_by: str = "key"
    """How the next page is found: behind the last row of the one before (``key``), or by counting (``offset``)."""
    pages_need_header: bool = True
    """Whether the header ``tr_cont`` N is needed for a next page; else its keys are enough."""
    empty_venue: str = "KRX"
    """Venue for which orders are listed where none is asked for: KRX or ALL."""
    live_rows: int = 100
    paper_rows: int = 15
    live_holdings: int = 50
    paper_holdings: int = 20
    sor_rows: str = "routed"
    """Venue in the row of an order for SOR: ``routed``, ``asked`` or ``both`` (SOR-NXT)."""
    venue_column: str = "excg_id_dvsn_cd"
    """Name of the column with the venue; one official sample writes ``excg_id_dvsn_Cd``."""
    cancel_marks: str = "original"
    """Row that a cancel marks with ``cncl_yn`` Y: ``original``, ``cancel``, or ``both``."""
    revise_counts_as_cancel: bool = False
    """Whether the row of a revised order has what was revised in ``cnc_cfrm_qty``."""
    expired_rest_stays: bool = True
    """Whether the row of an order that ended with the day still has its rest in ``rmn_qty``; else as cancelled."""
    cancel_rows: bool = True
    """Whether a cancel has a row of its own."""

    # -- notices
    notices: str = "before"
    """When notices of an order are sent: ``before`` its answer, ``after`` it, ``mixed`` by chance."""
    notice_width: int = 26
    encrypted: bool = True
    accepted_in_cntg_qty: bool = True
    """Whether a notice that is no fill has the order's quantity in CNTG_QTY and none in ODER_QTY."""
    conditions: tuple[str, str, str] = ("0", "1", "2")
    """ODER_COND of ordinary orders, IOC and FOK."""
    fills_name_revises: bool = True
    """Whether a fill of a revised order has RCTF_CLS 1 and the number of its original."""
    fill_acceptance: str = "2"
    """ACPT_YN of a fill."""
    expiry_is_told: bool = False
    """Whether there is a notice for an order that ends with the day."""
    cancel_notices: str = "both"
    """Notices of a cancel: ``both`` the acceptance and the confirmation, or ``confirmation`` alone."""

    # -- websocket and frames
    trade_width: int = 47
    book_width: int = 63
    empty_fields: frozenset[int] = frozenset()
    """Fields of trades (counted from 0) that are sent empty, besides those that always are."""
    signed_changes: bool = True
    """Whether PRDY_VRSS has a sign of its own."""
    ping_s: float = 10.0
    """Time between two PINGPONGs; on a clock that runs fast a client needs it longer."""
    unanswered: int = 3
    """How many PINGPONGs in a row may go without an answer; at the next one the connection is dropped."""
    most_registrations: int = 41
    in_use_closes: bool = True
    """Whether a second session of an application key is closed after it was told so."""
    linger_s: float = 0.0
    """Time for which the session of a client that has gone stays in use."""
    register_spacing_s: float = 0.0
    """Shortest time between two registrations; sooner ones are answered OPSP0007."""
    paths: tuple[str, ...] = field(default=("/", "/tryitout", "/tryitout/*"))
    """Paths at which the websocket answers."""

    # -- quotations
    halt_in_temp_stop: bool = False
    """Whether a halted name has ``temp_stop_yn`` Y besides its state 58."""
