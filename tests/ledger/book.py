"""Short ways to write fills, transfers and accounts in these tests."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as D

from qts.capital.contracts import Pool, Transfer
from qts.execution.contracts import Fill, FillReversed, Order, OrderState
from qts.ledger.account import Account, Mark
from qts.ledger.audit import Claims, ExternalClaims
from qts.ledger.bookings import BookingNote
from qts.strategy.contracts import Side
from tests.execution.orders import order_with

BALANCED = {Pool.SCALP: D("0.40"), Pool.SWING: D("0.35"), Pool.PORTFOLIO: D("0.25")}
SAMSUNG = "005930"


def account(opening: str = "1000000", quantum: str = "1", split: Mapping[Pool, D] = BALANCED) -> Account:
    """400,000 / 350,000 / 250,000 won unless told otherwise."""
    return Account(opening=D(opening), quantum=D(quantum), split=split)


def fill(
    execution_id: str,
    side: str,
    qty: str | int,
    price: str | int,
    *,
    fee: str | int = 0,
    tax: str | int = 0,
    order: str = "o-1",
    symbol: str = SAMSUNG,
    ts: int = 0,
    last: bool = True,
    broker: str = "sim",
) -> Fill:
    return Fill(broker, execution_id, order, symbol, Side(side), D(qty), D(price), D(fee), D(tax), ts, last)


def bust(of: Fill, *, ts: int = 1_000, symbol: str = "") -> FillReversed:
    """Return the report that the broker has taken ``of`` back; ``symbol`` where it names another one."""
    ids = (of.broker, of.execution_id, of.client_order_id, symbol or of.symbol)
    return FillReversed(*ids, of.ts_ns, ts, "trade bust")


def note(reference: str, ts: int = 0) -> BookingNote:
    return BookingNote(reference, ts, "operator:kim", "test")


def transfer(transfer_id: str, source: Pool, target: Pool, amount: str | int, ts: int = 0) -> Transfer:
    return Transfer(transfer_id, ts, source, target, D(amount), "to_targets", "test")


def order(order_id: str, side: str, qty: int, *, state: str, filled: int, note: str = "") -> Order:
    return order_with(
        client_order_id=order_id,
        approval_id=f"a-{order_id}",
        strategy="ema",
        symbol=SAMSUNG,
        side=Side(side),
        qty=D(qty),
        limit=D(1000),
        decision_price=D(1000),
        state=OrderState(state),
        filled=D(filled),
        ts_ns=0,
        ts_update_ns=0,
        note=note,
    )


def at(price: str | int | None) -> Mark:
    """A mark that gives the same price for every symbol."""
    return lambda symbol: None if price is None else D(price)


def claims_of(book: Account, mark: Mark, broker: Mapping[str, D] | None = None) -> Claims:
    """What ``book`` claims of itself; ``broker``: what the broker says it holds."""
    return Claims(
        equity=book.equity(mark),
        cash=book.cash,
        positions=book.positions(),
        holdings=book.position_rows(),
        pools=book.pools(mark, BALANCED),
        reservations=book.open_reservations,
        fills_applied=book.fills_applied,
        actions_applied=book.actions_applied,
        broker_positions=broker,
        bookings_applied=book.bookings_applied,
        external=ExternalClaims(book.external.cash, book.external.positions(), book.external.costs()),
    )
