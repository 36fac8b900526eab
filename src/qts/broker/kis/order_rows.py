"""Orders in the lists of KIS: a row for each message, made into one order for each chain of messages.

A change takes what is left into a number of its own, so the first row keeps what was executed under it, and the
quantities of a chain add up. Rows of cancels are messages alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from qts.broker.contracts import BrokerOrder, BrokerOrderState
from qts.broker.kis.answers import amount, amount_or_none, amount_or_zero, day_of, moment_ns, order_number, refuse
from qts.broker.kis.config import Exchange
from qts.broker.kis.known import KnownOrders, Terms, ref_of
from qts.broker.kis.order_terms import exchange_in
from qts.execution.contracts import VenueRef
from qts.money import ZERO, plus, sum_of, times
from qts.strategy.contracts import Side

_SIDES: Final = {"01": Side.SELL, "02": Side.BUY}
_LIST: Final = "the list of orders"


class OrderRow(msgspec.Struct, frozen=True):
    """A row of the day's orders. Fields that only some answers have are "" elsewhere."""

    odno: str
    sll_buy_dvsn_cd: str
    pdno: str
    ord_qty: str
    tot_ccld_qty: str
    rmn_qty: str
    ord_dt: str = ""
    ord_tmd: str = ""
    orgn_odno: str = ""
    ord_gno_brno: str = ""
    ord_unpr: str = ""
    avg_prvs: str = ""
    tot_ccld_amt: str = ""
    cncl_yn: str = ""
    cnc_cfrm_qty: str = ""
    rjct_qty: str = ""
    ord_dvsn_cd: str = ""
    excg_id_dvsn_cd: str = ""
    excg_id_dvsn_Cd: str = ""
    sll_buy_dvsn_cd_name: str = ""

    @property
    def number(self) -> str:
        """Return its own number."""
        return order_number(self.odno)

    @property
    def original(self) -> str:
        """Return the number that it is about; "" of a new order."""
        return order_number(self.orgn_odno)

    @property
    def is_cancel(self) -> bool:
        """Return whether it is a cancel: a message about another order that nothing is executed under."""
        if not self.original:
            return False
        name = self.sll_buy_dvsn_cd_name
        return "취소" in name or ("정정" not in name and self.cncl_yn.strip().upper() == "Y")

    @property
    def exchange(self) -> Exchange | None:
        """Return the exchange that the row names; None where it names none."""
        return exchange_in(self.excg_id_dvsn_cd or self.excg_id_dvsn_Cd)


class OpenRow(msgspec.Struct, frozen=True):
    """A row of the list of orders that can be changed, which only live accounts have."""

    odno: str
    sll_buy_dvsn_cd: str
    pdno: str
    ord_qty: str
    tot_ccld_qty: str
    psbl_qty: str
    ord_tmd: str = ""
    orgn_odno: str = ""
    ord_gno_brno: str = ""
    ord_unpr: str = ""
    tot_ccld_amt: str = ""
    ord_dvsn_cd: str = ""
    excg_id_dvsn_cd: str = ""

    @property
    def as_order(self) -> OrderRow:
        """Return the row as one of the day's orders."""
        return OrderRow(
            self.odno,
            self.sll_buy_dvsn_cd,
            self.pdno,
            self.ord_qty,
            self.tot_ccld_qty,
            self.psbl_qty,
            ord_tmd=self.ord_tmd,
            orgn_odno=self.orgn_odno,
            ord_gno_brno=self.ord_gno_brno,
            ord_unpr=self.ord_unpr,
            tot_ccld_amt=self.tot_ccld_amt,
            ord_dvsn_cd=self.ord_dvsn_cd,
            excg_id_dvsn_cd=self.excg_id_dvsn_cd,
        )


def orders_of(rows: Iterable[OrderRow], day: str, known: KnownOrders) -> Sequence[BrokerOrder]:
    """Return the orders of the rows of ``day`` (YYYYMMDD), oldest first, and let ``known`` learn their names.

    Raises BrokerUnavailable for a row that cannot be read, and for two rows of one number that differ.
    """
    by_number: dict[str, OrderRow] = {}
    for row in rows:
        if not row.number:
            refuse(_LIST, "an order has no number")
        if by_number.setdefault(row.number, row) != row:
            refuse(_LIST, f"number {row.number} comes twice with different values: it changed between two pages")
    chains: dict[str, list[OrderRow]] = {}
    for row in sorted(by_number.values(), key=lambda one: (one.ord_dt, one.number)):
        if not row.is_cancel:
            chains.setdefault(_first_of(row, by_number), []).append(row)
    found = [_order(chain, day, known) for chain in chains.values()]
    return sorted(found, key=lambda one: (one.ts_ns, one.first_ref.number))


def _first_of(row: OrderRow, by_number: Mapping[str, OrderRow]) -> str:
    """Return the number of the first message of a chain."""
    seen: set[str] = set()
    while row.original in by_number and row.number not in seen:
        seen.add(row.number)
        row = by_number[row.original]
    return row.number


def _order(messages: Sequence[OrderRow], day: str, known: KnownOrders) -> BrokerOrder:
    first = messages[0]
    side = _SIDES.get(first.sll_buy_dvsn_cd.strip())
    if side is None:
        refuse(_LIST, f"order {first.number} has the side {first.sll_buy_dvsn_cd!r}")
    when = day_of(first.ord_dt or day, f"the day of order {first.number}")
    filled = sum_of(_whole(row, row.tot_ccld_qty) for row in messages)
    rest = sum_of(_whole(row, row.rmn_qty) for row in messages)
    ordered = _whole(first, first.ord_qty)
    refs = tuple(ref_of(when, row.number) for row in messages)
    for row, ref in zip(messages, refs, strict=True):
        _learn(row, ref, known)
    limit = amount_or_none(messages[-1].ord_unpr, f"the price of order {first.number}")
    return BrokerOrder(
        None,
        refs[-1],
        first.pdno.strip(),
        side,
        min(ordered, plus(filled, rest)) if rest else ordered,
        filled,
        _state(messages, ordered, filled, rest),
        earlier=refs[:-1],
        limit=limit or None,
        amount=_amount(messages),
        ts_ns=moment_ns(when, first.ord_tmd.strip(), f"the time of order {first.number}") if first.ord_tmd else 0,
    )


def learn_exchanges(rows: Iterable[OpenRow], day: date, known: KnownOrders) -> None:
    """Let ``known`` learn on which exchange open orders are: an order for SOR is at one of them."""
    for row in rows:
        exchange = exchange_in(row.excg_id_dvsn_cd)
        if exchange is not None and exchange != "SOR":
            known.learn_exchange(ref_of(day, row.odno), exchange)


def _learn(row: OrderRow, ref: VenueRef, known: KnownOrders) -> None:
    """Let ``known`` learn what a cancel has to say; the branch that an answer has told stays."""
    said = known.terms(ref)
    branch = said.branch if said and said.branch else row.ord_gno_brno.strip()
    division = row.ord_dvsn_cd.strip() or (said.division if said else "00")
    exchange = row.exchange or (said.exchange if said else "KRX")
    if exchange == "SOR" and said is not None:
        exchange = said.exchange  # where it was sent on to may have been told already
    known.learn(ref, Terms(exchange, branch, division))


def _state(messages: Sequence[OrderRow], ordered: Decimal, filled: Decimal, rest: Decimal) -> BrokerOrderState:
    if rest:
        return BrokerOrderState.OPEN
    if filled >= ordered:
        return BrokerOrderState.FILLED
    if any(amount_or_zero(row.rjct_qty, "the quantity rejected") for row in messages):
        return BrokerOrderState.REJECTED
    return BrokerOrderState.CANCELLED


def _amount(messages: Sequence[OrderRow]) -> Decimal | None:
    """Return quantity times price of all that was executed; None where a row does not tell it."""
    total = ZERO
    for row in messages:
        filled = _whole(row, row.tot_ccld_qty)
        if not filled:
            continue
        told = amount_or_none(row.tot_ccld_amt, f"the amount of order {row.number}")
        if not told:
            average = amount_or_none(row.avg_prvs, f"the average price of order {row.number}")
            if not average:
                return None
            told = times(average, filled)
        total = plus(total, told)
    return total


def _whole(row: OrderRow, text: str) -> Decimal:
    number = amount(text, f"a quantity of order {row.number}")
    if number < 0:
        refuse(_LIST, f"order {row.number} has the quantity {text}")
    return number
