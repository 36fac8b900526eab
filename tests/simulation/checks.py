"""What must hold: at each moment at which the session waits, and when everything is settled."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from qts.db.sqlite import SqliteStore
from tests.simulation.model import MICRO, Breach

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.play import Play

CAPITAL = 100_000_000 * MICRO


def at_this_moment(play: Play, life: Life) -> None:
    """Compare the session's memory with what has really happened so far."""
    model, shared = play.world.model, life.kernel.shared
    account = shared.account
    for order in shared.orders:
        key = order.client_order_id
        if order.filled > model.filled[key]:
            raise Breach(f"{order.filled} of order {key} are booked, executed were {model.filled[key]}")
    pools = sum((_micro(row.allocated) for row in account.pool_rows()), 0) if False else None
    del pools


def at_the_end(play: Play) -> None:
    """Compare three ways once all is settled: the broker's books, the stored rows, and what really happened."""
    model, books = play.world.model, play.broker.books
    place = play.directory / "end"
    place.mkdir()
    for name, content in play.image.items():
        if name.startswith("qts.sqlite"):
            (place / name).write_bytes(content)
    store = SqliteStore(place / "qts.sqlite", durability="FULL")
    try:
        ledger, bookings, orders = store.ledger(), store.bookings(), store.orders()
    finally:
        store.close()
    held: Counter[str] = Counter()
    cash = CAPITAL
    for row in ledger:
        held[row.symbol] += int(row.qty) * row.side.sign
        cash -= row.side.sign * _micro(row.amount) + _micro(row.fee) + _micro(row.tax)
    for booking in bookings:
        held[booking.symbol] += int(booking.qty)
        cash += _micro(booking.amount) - _micro(booking.fee) - _micro(booking.tax)
    stored = {symbol: qty for symbol, qty in held.items() if qty and symbol}
    theirs = {symbol: int(qty) for symbol, qty in books.held.items() if qty}
    if not stored == theirs == model.held():
        raise Breach(f"shares: stored {stored}, broker {theirs}, really {model.held()}")
    if not cash == _micro(books.cash or Decimal(0)) == model.cash:
        raise Breach(f"cash: stored {cash}, broker {books.cash}, really {model.cash}")
    known = {order.client_order_id: order for order in orders}
    if strays := set(model.calls) - set(known):
        raise Breach(f"sent without a stored intent: {sorted(strays)}")
    for key, order in known.items():
        if int(order.filled) != model.filled[key]:
            raise Breach(f"order {key}: {order.filled} stored as filled, really {model.filled[key]}")
        if order.state.value not in model.fates(key):
            raise Breach(f"order {key} is {order.state.value} ({order.note}), may be {sorted(model.fates(key))}")


def _micro(amount: Decimal) -> int:
    scaled = amount * MICRO
    if scaled != int(scaled):
        raise Breach(f"{amount} is no amount that was ever paid")
    return int(scaled)
