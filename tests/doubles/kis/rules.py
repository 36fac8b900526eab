"""Rules for orders: what KIS refuses of a new order, a revise or a cancel, before it has a number."""

from __future__ import annotations

from dataclasses import dataclass

from tests.doubles.kis.answers import Refused
from tests.doubles.kis.books import BUYING, SELLING, Account, Books, Order, cost_of
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import (
    AFTER,
    BETWEEN,
    CLOSED,
    CLOSING,
    CONTINUOUS,
    FIXED,
    OPENING,
    PAUSE,
    PRE,
    SINGLE,
    Days,
)
from tests.doubles.kis.market import KRX, NXT, Listing, Market
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.texts import refusal

SOR = "SOR"
PAPER_KINDS = {"00", "01", "02", "03", "04"}
IMMEDIATE = {"11", "12", "13", "14", "15", "16", "23", "24"}
"""IOC and FOK, which cannot wait for an auction."""
FILL_OR_KILL = {"12", "14", "16", "24"}
MARKET_KINDS = {"01", "13", "14"}
BEST_KINDS = {"03", "15", "16", "44"}
OWN_SIDE_KINDS = {"04", "47"}
MID_KINDS = {"21", "23", "24"}
STOP_KIND = "22"
UNPRICED = MARKET_KINDS | BEST_KINDS | OWN_SIDE_KINDS | MID_KINDS | {"05", "06"}
"""Kinds whose price the market gives."""
_NXT_ALL = {"00", "03", "04", *IMMEDIATE, "21", "22"}
KRX_KINDS = {
    OPENING: {"00", "01", "02", "05"},
    CONTINUOUS: {"00", "01", "02", "03", "04", *IMMEDIATE, "21", "22"},
    CLOSING: {"00", "01"},
    BETWEEN: {"06"},
    FIXED: {"06"},
    AFTER: {"41", "44", "47"},
    SINGLE: {"07"},
}
NXT_KINDS = {
    PRE: {"00", "27"},
    CONTINUOUS: _NXT_ALL,
    BETWEEN: {"00"},
    AFTER: _NXT_ALL - {"21", "22", "23", "24"},
}
SOR_KINDS = {"00", "01", "03", "04", "11", "12", "13", "14", "15", "16"}
ANY_KRX = set().union(*KRX_KINDS.values())
ANY_NXT = set().union(*NXT_KINDS.values())
PRE_FIXED_ENDS = "084000"


@dataclass
class Wanted:
    """An order as it was asked for, with whole numbers; ``routed`` is known once the rules have passed it."""

    side: str
    code: str
    kind: str
    venue: str
    qty: int
    price: int
    trigger: int = 0
    routed: str = KRX


class Rules:
    """The rules of one host."""

    def __init__(
        self, books: Books, market: Market, days: Days, clock: DoubleClock, settings: Settings, *, is_paper: bool
    ) -> None:
        self._books, self._market, self._days, self._clock = books, market, days, clock
        self._settings, self._is_paper = settings, is_paper

    def refusal(self, name: str, **values: str) -> Refused:
        """Make a refusal by its name."""
        return refusal(name, self._settings, is_paper=self._is_paper, **values)

    def read(self, side: str, fields: dict[str, str]) -> Wanted:
        """Read the fields of a new order. Raises Refused for what is no number."""
        wanted = Wanted(
            side,
            fields.get("PDNO", ""),
            fields["ORD_DVSN"],
            fields["EXCG_ID_DVSN_CD"],
            self._number(fields["ORD_QTY"], "quantity"),
            self._number(fields["ORD_UNPR"], "price"),
            self._number(fields.get("CNDT_PRIC") or "0", "price"),
        )
        if side == SELLING and fields.get("SLL_TYPE", "") not in ("", "01", "02", "05"):
            raise self.refusal("kind")
        return wanted

    def _number(self, text: str, name: str) -> int:
        if not text.isdecimal():
            raise self.refusal(name)
        return int(text)

    # -- a new order -------------------------------------------------------------------------------------------

    def check(self, account: Account, wanted: Wanted, *, instead_of: Order | None = None) -> None:
        """Check an order, and find where it goes. ``instead_of``: the order that it revises. Raises Refused."""
        listing = self._market.listings.get(wanted.code)
        if listing is None:
            raise self.refusal("unknown_code")
        self._check_venue(listing, wanted)
        if wanted.qty <= 0:
            raise self.refusal("quantity")
        if listing.halted:
            raise self.refusal("halted")
        if wanted.kind in IMMEDIATE and (listing.vi != "N" or listing.single_price):
            raise self.refusal("kind_now")
        self._check_price(listing, wanted)
        self._check_wash(account, wanted, instead_of)
        if wanted.side == BUYING:
            freed = self.reserved(instead_of) if instead_of is not None else 0
            if self.needed(wanted) > self.orderable_cash(account) + freed:
                raise self.refusal("cash")
        elif instead_of is None:
            self._check_holding(account, wanted)

    def _check_venue(self, listing: Listing, wanted: Wanted) -> None:
        day, hms = self._clock.day, self._clock.hms
        known = {KRX: ANY_KRX, NXT: ANY_NXT, SOR: SOR_KINDS}.get(wanted.venue)
        if known is None or (self._is_paper and wanted.venue != KRX):
            raise self.refusal("venue")
        if wanted.kind not in (PAPER_KINDS if self._is_paper else known):
            raise self.refusal("kind")
        if not self._days.is_business(day):
            raise self.refusal("no_business_day")
        krx, nxt = self._days.krx(day, hms), self._days.nxt(day, hms)
        if self._is_paper and krx not in (CONTINUOUS, CLOSING):
            raise self.refusal("not_yet" if hms < "120000" else "closed")
        if wanted.venue == SOR:
            wanted.routed = self._route(listing, wanted.side, krx, nxt)
            return
        wanted.routed = wanted.venue
        if wanted.venue == NXT and not listing.on_nxt:
            raise self.refusal("not_on_venue")
        phase, kinds = (nxt, NXT_KINDS) if wanted.venue == NXT else (krx, KRX_KINDS)
        if phase in (CLOSED, PAUSE):
            raise self.refusal("closed")
        if wanted.kind not in kinds[phase] or (wanted.kind == "05" and hms >= PRE_FIXED_ENDS):
            raise self.refusal("kind_now")

    def _route(self, listing: Listing, side: str, krx: str, nxt: str) -> str:
        """Return where an order for SOR goes: to the venue that is open, or as the settings say."""
        at_krx = krx in (OPENING, CONTINUOUS, CLOSING)
        at_nxt = listing.on_nxt and nxt in (PRE, CONTINUOUS, AFTER)
        if not at_krx and not at_nxt:
            raise self.refusal("closed")
        if at_krx and at_nxt:
            return self._settings.sor_routes if self._settings.sor_routes != "best" else _better(listing, side)
        return KRX if at_krx else NXT

    def _check_price(self, listing: Listing, wanted: Wanted) -> None:
        if wanted.kind in UNPRICED:
            if wanted.price and self._settings.market_price_is_zero:
                raise self.refusal("price")
            return
        for price in [wanted.price, *([wanted.trigger] if wanted.kind == STOP_KIND else [])]:
            if price <= 0:
                raise self.refusal("price")
            low, high = listing.band
            if price > high:
                raise self.refusal("above_band")
            if price < low:
                raise self.refusal("below_band")
            if price % listing.step(price):
                raise self.refusal("tick")

    def _check_wash(self, account: Account, wanted: Wanted, instead_of: Order | None) -> None:
        if self._settings.wash == "off":
            return
        for order in self._books.open_orders(account.number):
            if order.code != wanted.code or order.side == wanted.side or order is instead_of:
                continue
            buy, sell = (wanted, order) if wanted.side == BUYING else (order, wanted)
            crosses = not buy.price or not sell.price or buy.price >= sell.price
            if crosses or self._settings.wash == "opposite":
                raise self.refusal("wash")

    def _check_holding(self, account: Account, wanted: Wanted) -> None:
        holding = account.holdings.get(wanted.code)
        if holding is None or not holding.qty:
            raise self.refusal("no_holding")
        if wanted.qty > self.sellable(account, wanted.code):
            raise self.refusal("sellable")

    # -- a revise or a cancel ----------------------------------------------------------------------------------

    def original(self, account: Account, fields: dict[str, str], what: str) -> Order:
        """Return the order that a revise or cancel is about. Raises Refused."""
        order = self._books.orders.get((self._clock.day, fields["ORGN_ODNO"].zfill(10)))
        if order is None or order.account != account.number or order.branch != fields["KRX_FWDG_ORD_ORGNO"]:
            raise self.refusal("no_original")
        asked = fields["EXCG_ID_DVSN_CD"]
        allowed = {
            "routed": {order.routed},
            "asked": {order.venue},
            "either": {order.routed, order.venue},
        }[self._settings.cancel_venue]
        if asked not in allowed:
            raise self.refusal("other_venue", what=what, original=order.routed, asked=asked)
        if not order.is_open:
            raise self.refusal("nothing_left")
        return order

    def part(self, order: Order, fields: dict[str, str]) -> int:
        """Return the quantity that a revise or cancel is about. Raises Refused."""
        whole = fields["QTY_ALL_ORD_YN"]
        qty = self._number(fields["ORD_QTY"], "quantity")
        if whole not in ("Y", "N") or (whole == "N" and qty <= 0):
            raise self.refusal("quantity")
        if whole == "Y":
            return order.rest
        if qty > order.rest:
            raise self.refusal("too_much")
        return qty

    def check_open(self, venue: str) -> None:
        """Check that a venue takes cancels now. Raises Refused."""
        day, hms = self._clock.day, self._clock.hms
        phase = self._days.nxt(day, hms) if venue == NXT else self._days.krx(day, hms)
        if phase in (CLOSED, PAUSE) or (self._is_paper and phase not in (CONTINUOUS, CLOSING)):
            raise self.refusal("closed")

    # -- money and shares --------------------------------------------------------------------------------------

    def counted_price(self, code: str, kind: str, price: int) -> int:
        """Return the price at which an order is counted: one at the market at the upper limit."""
        return self._market[code].band[1] if kind in UNPRICED or not price else price

    def needed(self, wanted: Wanted) -> int:
        """Return the money that a buy needs, with its fee."""
        amount = wanted.qty * self.counted_price(wanted.code, wanted.kind, wanted.price)
        return amount + cost_of(BUYING, amount)

    def reserved(self, order: Order) -> int:
        """Return the money that the rest of an open buy holds."""
        amount = order.rest * self.counted_price(order.code, order.kind, order.price)
        return amount + cost_of(BUYING, amount)

    def orderable_cash(self, account: Account) -> int:
        """Return the money for new orders: the cash of D+2 without what open buys need."""
        buys = [one for one in self._books.open_orders(account.number) if one.side == BUYING]
        return account.cash_after_settlement - sum(self.reserved(order) for order in buys)

    def sellable(self, account: Account, code: str) -> int:
        """Return the shares that open sells leave."""
        holding = account.holdings.get(code)
        if holding is None:
            return 0
        sells = [
            one.rest for one in self._books.open_orders(account.number) if one.side == SELLING and one.code == code
        ]
        return max(0, holding.qty - sum(sells))


def _better(listing: Listing, side: str) -> str:
    """Return the venue with the better price for an order, the exchange where both have the same."""
    krx, nxt = (listing.krx.asks, listing.nxt.asks) if side == BUYING else (listing.krx.bids, listing.nxt.bids)
    if not nxt:
        return KRX
    if not krx:
        return NXT
    is_better = nxt[0][0] < krx[0][0] if side == BUYING else nxt[0][0] > krx[0][0]
    return NXT if is_better else KRX
