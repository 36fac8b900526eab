"""What has to hold of a session at a real broker after any kills, checked by code that shares none with it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.db.sqlite import SqliteStore
from qts.event.journal_segments import JournalWalk
from qts.execution.contracts import Fill, OrderState
from qts.execution.lifecycle import can_become
from qts.ledger.contracts import BookingKind

if TYPE_CHECKING:
    from tests.sim.broker_session import Life
    from tests.sim.broker_world import WorldBroker

ADDED = (
    "ledger",
    "transfers",
    "decisions",
    "refusals",
    "state_history",
    "safety_history",
    "quarantine",
    "bookings",
    "equity_curve",
    "batches",
)
"""The reading methods of a store whose rows are only added."""


def grown(directory: Path, before: dict[str, list[Any]]) -> tuple[dict[str, list[Any]], list[str]]:
    """Return the rows that are stored now, and what of those of before is gone or was changed backwards."""
    store = SqliteStore(directory / "live.sqlite", durability="NORMAL")
    try:
        now = {name: list(getattr(store, name)()) for name in (*ADDED, "orders")}
    finally:
        store.close()
    wrong = [
        f"{name}: row {number} was {row}, is {now[name][number : number + 1]}"
        for name in ADDED
        for number, row in enumerate(before.get(name, ()))
        if now[name][number : number + 1] != [row]
    ]
    orders = {order.client_order_id: order for order in now["orders"]}
    for was in before.get("orders", ()):
        order = orders.get(was.client_order_id)
        if order is None or order.filled < was.filled or not can_become(was.state, order.state):
            wrong.append(f"order {was.client_order_id}: was {was.state}, is {order}")
    return now, wrong


def differences(directory: Path, life: Life) -> list[str]:
    """Return what is wrong at the end of a session; [] when nothing is."""
    store = SqliteStore(directory / "live.sqlite", durability="NORMAL")
    try:
        return [*_books(life, store), *_ids(life, store, directory), *_told(life, store), *_fates(life, store)]
    finally:
        store.close()


def _books(life: Life, store: SqliteStore) -> list[str]:
    """Compare three ways: what the broker executed, our stored book with EXTERNAL, and the account in memory."""
    world, account = life.broker, life.kernel.shared.account
    ledger, bookings = store.ledger(), store.bookings()
    held: Counter[str] = Counter()
    for row in ledger:
        held[row.symbol] += int(row.side.sign * row.qty)
    for booking in bookings:
        held[booking.symbol] += int(booking.qty)
    stored = {symbol: qty for symbol, qty in held.items() if qty and symbol}
    cash = Decimal(100_000_000)
    for row in ledger:
        cash -= row.side.sign * row.amount + row.fee + row.tax
    for booking in bookings:
        cash += booking.amount - booking.fee - booking.tax
    theirs = {symbol: int(qty) for symbol, qty in world.books.held.items() if qty}
    memory = {symbol: int(qty) for symbol, qty in account.broker_positions().items()}
    found = []
    if not theirs == stored == memory:
        found.append(f"shares: broker {theirs}, rows {stored}, memory {memory}")
    if not world.books.cash == cash == account.cash + account.external.cash:
        found.append(f"cash: broker {world.books.cash}, rows {cash}, memory {account.cash + account.external.cash}")
    ours = {order.client_order_id for order in store.orders()}
    executed = Counter(
        (fill.client_order_id if fill.client_order_id in ours else _foreign(world, fill), fill.execution_id)
        for fill in world.books.fills
    )
    booked = Counter(
        [(row.order_id, row.execution_id) for row in ledger]
        + [(row.order_id, row.reference) for row in bookings if row.kind is BookingKind.EXTERNAL_FILL]
    )
    missing = set(executed) - set(booked)
    if missing - {key for key in missing if key[1] in world.books.busts} or max(booked.values(), default=1) > 1:
        found.append(f"executions: missing {missing}, twice {[key for key, n in booked.items() if n > 1]}")
    breaches = {name: one["detail"] for name, one in life.kernel.invariants.summary().items() if one["ok"] is False}
    if breaches:
        found.append(f"invariants: {breaches}")
    if account.open_reservations:
        found.append(f"reserved: {account.open_reservations}")
    return found


def _foreign(world: WorldBroker, fill: Fill) -> str:
    """Return the id under which a fill of an order that is not ours is booked."""
    if world.capabilities.client_order_ids or fill.ref is None:
        return fill.client_order_id
    return f"{fill.ref.day}/{fill.ref.number}"


def _ids(life: Life, store: SqliteStore, directory: Path) -> list[str]:
    """Check that no id was given twice and that no order was sent twice or without its intent."""
    decisions, placed = store.decisions(), life.broker.books.sent
    records = [record for _, record in JournalWalk(directory / "journal")]
    events = [bytes(record.key).rpartition(b"#")[2] for record in records if record.key]
    lists: dict[str, list[Any]] = {
        "orders": [row.client_order_id for row in decisions],
        "decisions": [row.decision_id for row in decisions],
        "refusals": [row.decision_id for row in store.refusals()],
        "approvals": [row.approval_id for row in decisions],
        "orders placed": [key for key, _ in placed],
        "transfers": [transfer.transfer_id for transfer in store.transfers()],
        "events": events,
        "safety": [row.seq for row in store.safety_history()],
        "states": [row.seq for row in store.state_history()],
    }
    found = [
        f"{name} given twice: {[one for one, n in Counter(given).items() if n > 1]}"
        for name, given in lists.items()
        if len(set(given)) != len(given)
    ]
    approved = {(row.client_order_id, row.approval_id) for row in decisions}
    strays = [one for one in placed if one not in approved]
    if strays:
        found.append(f"placed without a stored approval: {strays}")
    if life.broker.books.early:
        found.append(f"entered before the broker's books were read: {life.broker.books.early}")
    return found


def _told(life: Life, store: SqliteStore) -> list[str]:
    """Check that each strategy was told of each of its fills once, in the order of booking, and of its orders."""
    found = []
    for name in ("diary", "levelled"):
        memory = life.memories[name]
        booked = [f"{row.order_id} {row.execution_id}" for row in store.ledger() if row.strategy == name]
        if memory["fills"] != booked:
            found.append(f"{name} was told {memory['fills']}, booked {booked}")
        news: dict[str, list[str]] = {}
        for line in memory["news"]:
            key, what = line.split()
            news.setdefault(key, []).append(what)
        orders = {order.client_order_id: order for order in store.orders() if order.strategy == name}
        refused = {row.decision_id for row in store.refusals()}  # approved, and stopped before it left
        for key in [key for key, order in orders.items() if order.decision_id in refused and key not in news]:
            del orders[key]
        if news.keys() != orders.keys():
            found.append(f"{name} was told of {sorted(news)}, its orders are {sorted(orders)}")
            continue
        for key, order in orders.items():
            heard = [what for what in news[key] if what != "FILL"]
            ended = order.state in (OrderState.CANCELLED, OrderState.REJECTED, OrderState.NOT_SENT)
            if news[key][0] not in ("SENT", "STOPPED_OUT") or len(heard) > 2 or (ended and len(heard) != 2):
                found.append(f"{name}: {key}, which is {order.state.value}, was told as {news[key]}")
    return found


def _fates(life: Life, store: SqliteStore) -> list[str]:
    """Check that every order has ended as the broker says, and that what is held has its stop."""
    found = []
    theirs = life.broker.books.orders
    booked: Counter[str] = Counter()
    for row in store.ledger():
        booked[row.order_id] += int(row.qty)
    for order in store.orders():
        key, shown = order.client_order_id, theirs.get(order.client_order_id)
        if order.filled != booked[key]:
            found.append(f"order {key} is {order.state.value} with {order.filled} filled, booked are {booked[key]}")
        if order.state not in (
            OrderState.FILLED,
            OrderState.CANCELLED,
            OrderState.REJECTED,
            OrderState.NOT_SENT,
            OrderState.FILLED_LATE,
        ):
            found.append(f"order {key} is still {order.state.value}, the broker says {shown}")
        # One that has ended unfilled, and is not listed any more, may be taken for one that never arrived.
        if order.state is OrderState.NOT_SENT and shown is not None and "absent in two answers" not in order.note:
            found.append(f"order {key} counts as not sent ({order.note}), the broker says {shown}")
    bound = life.kernel.triggers.bound
    late = any(order.state is OrderState.FILLED_LATE for order in store.orders())  # its levels had ended
    for row in life.kernel.shared.account.position_rows():
        unprotected = row.qty > 0 and "levelled" not in bound.get(row.symbol, {})
        if row.strategy == "levelled" and unprotected and not late:
            found.append(f"levelled holds {row.qty} without its stop")
    return found
