"""What must hold: at each moment at which the session waits, and when everything is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from qts.db.sqlite import SqliteStore
from qts.execution.contracts import OrderState
from qts.ledger.contracts import LedgerRow
from qts.risk.contracts import OrderRequest
from qts.runtime.persistence.checkpoint import decode
from qts.strategy.contracts import Side
from tests.simulation.model import MICRO, Breach
from tests.simulation.story import STRATEGIES

if TYPE_CHECKING:
    from tests.simulation.life import Life
    from tests.simulation.play import Play

CAPITAL = 100_000_000 * MICRO
GRACE_NS = 50_000_000
"""Time for which an entry that was just given away may leave after safety has stopped entries."""


def at_this_moment(play: Play, life: Life) -> None:
    """Compare the session's memory with what has really happened so far."""
    model, shared = play.world.model, life.kernel.shared
    account = shared.account
    for order in shared.orders:
        key = order.client_order_id
        if order.filled > model.filled[key]:
            raise Breach(f"{order.filled} of order {key} are booked, executed were {model.filled[key]}")
    open_orders = {order.client_order_id: order for order in shared.orders}
    for reserved in account.open_reservations:
        if reserved.order_id not in open_orders:
            raise Breach(f"order {reserved.order_id} has ended, and what it reserved is not free")
    for order in shared.orders.remembered():
        key = order.client_order_id
        if order.state is OrderState.NOT_SENT and key in model.ordered and key not in model.over:
            raise Breach(f"order {key} counts as not sent ({order.note}), and works at the broker")
    if not play.broker.capabilities.client_order_ids and life.sent.is_whole:
        unknown = Counter(
            (order.symbol, order.side.value) for order in open_orders.values() if order.state is OrderState.UNKNOWN
        )
        if several := [key for key, count in unknown.items() if count > 1]:
            raise Breach(f"several orders of unknown fate: {several}")


def at_a_call(play: Play, request: OrderRequest) -> None:
    """Check an order that is given to the line now."""
    play.world.model.called(request.client_order_id)
    life = play.life
    if life is None:
        raise Breach(f"order {request.client_order_id} was sent by no process")
    world, shared = play.world, life.kernel.shared
    if not request.reduce_only and world.passed_ns - play.stopped_since_ns > GRACE_NS:
        state = shared.safety.current_state.value
        raise Breach(f"entry {request.client_order_id} left while safety was {state}")
    held = shared.account.holding(request.strategy, request.symbol)
    if request.side is Side.SELL and request.qty > held:
        raise Breach(f"order {request.client_order_id} sells {request.qty}, its strategy holds {held}")


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
        checkpoint = store.checkpoint()
    finally:
        store.close()
    _told(ledger, checkpoint)
    if play.last_wrong:
        raise Breach(play.last_wrong)
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


def of_the_last(life: Life) -> str:
    """Return what does not hold of the last process when all is settled; "" for nothing."""
    shared = life.kernel.shared
    standing = set(life.kernel.invariants.export_state()["standing"])
    if life.world.model.overfilled:
        standing.discard(6)  # it says so
    if standing:
        return f"invariants that do not hold: {sorted(standing)}"
    if shared.account.open_reservations:
        return f"reserved: {shared.account.open_reservations}"
    return ""


def _told(ledger: Sequence[LedgerRow], checkpoint: bytes | None) -> None:
    """Check that each strategy was told of each of its fills once, in the order of booking."""
    if checkpoint is None:
        raise Breach("there is no checkpoint")
    shares = decode(checkpoint)["parts"]["strategies"]
    for name in STRATEGIES:
        told = list(shares[name]["attributes"]["memory"]["fills"])
        told += [
            f"{one['order_id']} {one['execution_id']}"
            for one in shares[name].get("untold", ())
            if "execution_id" in one
        ]
        booked = [f"{row.order_id} {row.execution_id}" for row in ledger if row.strategy == name]
        if told != booked:
            raise Breach(f"{name} was told of {told}, booked are {booked}")


def _micro(amount: Decimal) -> int:
    scaled = amount * MICRO
    if scaled != int(scaled):
        raise Breach(f"{amount} is no amount that was ever paid")
    return int(scaled)
