"""Write down, at most once a second, what a session shows of itself.

A look only reads: it never asks a component a question whose answer moves it. Off the virtual clock the file is
written on another thread, one at a time; a slow disk costs newer views, never an event.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from qts.clock import NS_PER_S, Clock, from_ns, stopwatch_ns
from qts.db.contracts import RunRow
from qts.event.contracts import EventPriority
from qts.execution.contracts import Order
from qts.files import private
from qts.ledger.contracts import PositionRow
from qts.market.contracts import Calendar
from qts.money import minus, times
from qts.runtime.quarantine import MOST_SHOWN, Quarantine
from qts.runtime.session_view import (
    VIEW_NAME,
    CauseView,
    ChangeView,
    CountsView,
    ErrorView,
    OrderView,
    PoolView,
    PositionView,
    QuarantineView,
    QueueView,
    SessionView,
    StateView,
    StrategyView,
)
from qts.safety.contracts import SafetyChange
from qts.state.contracts import TransitionRecord

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel
    from qts.runtime.parts import Parts
    from qts.runtime.progress import Progress
    from qts.runtime.seat import Seat

EVERY_NS: Final = NS_PER_S
"""Real time between two views."""
_CHANGES_SHOWN: Final = 10


class ViewFile:
    """The view of ``kernel``'s session in ``directory``, replaced as a whole and readable by its owner alone.

    ``machine`` stamps it. A file that cannot be written is tried again with the next view: nothing depends on it.
    """

    def __init__(self, directory: Path, kernel: Kernel, run: RunRow, mode: str, machine: Clock) -> None:
        self._path = directory / VIEW_NAME
        self._kernel = kernel
        self._run = run
        self._mode = mode
        self._machine = machine
        self._encode = msgspec.json.Encoder().encode
        self._due_ns = 0
        self._writing: asyncio.Future[None] | None = None

    def look(self) -> None:
        """Write a new view when the last one is a second old; not while a P0 event waits."""
        if stopwatch_ns() < self._due_ns:
            return
        if self._kernel.dispatcher.stats.is_waiting(EventPriority.P0_CRITICAL):
            return
        if self._writing is not None and not self._writing.done():
            return
        self._due_ns = stopwatch_ns() + EVERY_NS
        data = self._encode(self._view(""))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # on the virtual clock nobody waits for a handler
            self._write(data)
        else:
            with suppress(RuntimeError):  # no room for a thread: the view is older, the session goes on
                self._writing = loop.run_in_executor(None, self._write, data)

    def along(self, progress: Progress) -> Progress:
        """Return a ``progress`` that looks each time it is told."""

        def told(share: float | None, moment_ns: int, /) -> None:
            self.look()
            progress(share, moment_ns)

        return told

    def end(self, ended: str) -> None:
        """Write the last view, after the event loop: the session has ``finished`` or was ``stopped``."""
        self._write(self._encode(self._view(ended)))

    def _view(self, ended: str) -> SessionView:
        return view_of(self._kernel, self._run, self._mode, ended, self._machine)

    def _write(self, data: bytes) -> None:
        """Not synced: whoever reads it after a loss of power is told by the store that the session is gone."""
        draft = f"{self._path}.new"
        with suppress(OSError):
            with open(draft, "wb", opener=private) as file:
                file.write(data)
            os.replace(draft, self._path)


def view_of(kernel: Kernel, run: RunRow, mode: str, ended: str, machine: Clock) -> SessionView:
    """Return what ``kernel``'s session shows at this moment."""
    parts = kernel.parts
    now_ns = parts.clock.time_ns()
    pools = parts.account.pools(parts.last.mark, {})
    safety = parts.safety.snapshot()
    stated = parts.state.history
    return SessionView(
        run_id=run.run_id,
        command=run.command,
        mode=mode,
        pid=os.getpid(),
        started_at=run.started_at,
        written_ns=machine.time_ns(),
        ended=ended,
        clock_ns=now_ns,
        time_zone=_zone(parts.calendar, now_ns),
        currency=parts.config.runtime.currency,
        equity_start=parts.account.opening,
        equity=parts.equity(),
        cash=parts.account.cash,
        safety=StateView(
            safety.state.value, safety.since_ns, "" if safety.last_change is None else safety.last_change.reason
        ),
        safety_causes=tuple(CauseView(c.code, c.count, c.last_ns, c.detail) for c in safety.causes),
        safety_next=safety.next_step,
        safety_changes=tuple(map(_safety_change, parts.safety.history[-_CHANGES_SHOWN:])),
        stops=tuple(parts.stops),
        quarantine=_quarantine(kernel.desk.quarantine),
        no_entries=(*map(parts.rejects.stop_of, parts.rejects.stopped), *parts.price_bands.standing()),
        operating=_operating(stated, parts),
        operating_changes=tuple(map(_state_change, stated[-_CHANGES_SHOWN:])),
        pools=tuple(
            PoolView(
                pool.value,
                one.total,
                one.available,
                one.invested,
                one.reserved,
                one.realized_pnl,
                one.unrealized_pnl,
            )
            for pool, one in pools.items()
        ),
        positions=tuple(_position(row, parts) for row in parts.account.position_rows() if row.qty),
        orders=tuple(map(_order, parts.orders)),
        counts=CountsView(
            rows=kernel.intake.rows,
            orders=kernel.tally.orders,
            fills=kernel.tally.fills,
            forced_exits=kernel.tally.forced_exits,
            duplicate_fills=kernel.desk.duplicates,
            refusals=dict(kernel.tally.refusals),
        ),
        queues=_queues(kernel),
        strategies=tuple(map(strategy_view, kernel.host.seats)),
    )


def strategy_view(seat: Seat) -> StrategyView:
    """Return what is known of the strategy in ``seat``."""
    strategy = seat.strategy
    errors = tuple(ErrorView(callback, one.count, one.first) for callback, one in seat.faults.items())
    return StrategyView(strategy.name, strategy.pool.value, seat.halted, seat.why, errors)


def _quarantine(kept: Quarantine) -> QuarantineView | None:
    first = kept.first
    if first is None:
        return None
    return QuarantineView(kept.count, first.ts_ns, first.code, first.reason, first.notice[:MOST_SHOWN])


def _zone(calendar: Calendar, now_ns: int) -> str:
    return f"{calendar.local_time(from_ns(now_ns)):%Z %z}"


def _operating(history: tuple[TransitionRecord, ...], parts: Parts) -> StateView:
    """From the records: asking the state itself would end an override that is over."""
    if not history:
        return StateView(parts.config.state.default_state.value, 0, "")
    moved = next((record for record in reversed(history) if record.is_transition), history[0])
    return StateView(history[-1].to_state.value, moved.ts_ns, moved.reason)


def _safety_change(change: SafetyChange) -> ChangeView:
    return ChangeView(
        change.ts_ns, change.from_state.value, change.to_state.value, change.code, change.reason, change.actor
    )


def _state_change(record: TransitionRecord) -> ChangeView:
    return ChangeView(record.ts_ns, record.from_state.value, record.to_state.value, "", record.reason, record.actor)


def _position(row: PositionRow, parts: Parts) -> PositionView:
    mark = parts.last.mark(row.symbol)
    value = None if mark is None else times(row.qty, mark)
    return PositionView(
        row.strategy,
        row.pool.value,
        row.symbol,
        row.qty,
        parts.account.average_cost(row.strategy, row.symbol),
        mark,
        value,
        None if value is None else minus(value, row.cost),
    )


def _order(order: Order) -> OrderView:
    return OrderView(
        order.client_order_id,
        order.strategy,
        order.symbol,
        order.side.value,
        order.qty,
        order.filled,
        order.limit,
        order.state.value,
        order.ts_intent_ns,
        order.forced,
        order.reason,
    )


def _queues(kernel: Kernel) -> tuple[QueueView, ...]:
    stats = kernel.dispatcher.queue_stats()
    shown = []
    for priority in EventPriority:
        row, start = stats[priority.name], kernel.dispatcher.stats.latency(priority).start
        shown.append(
            QueueView(
                f"P{priority.value}",
                row["size"],
                row["capacity"],
                row["high_water"],
                row["accepted"],
                row["handled"],
                row["dropped"],
                start.p50_us,
                start.p99_us,
                start.max_us,
            )
        )
    return tuple(shown)
