"""Reads a run from its directory, while it is live and afterwards."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from qts.clock import NS_PER_S
from qts.db.contracts import LedgerRow, RunRow
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import FoundRun
from qts.db.reading import StoreReader
from qts.execution.contracts import Order
from qts.money import ratio
from qts.runtime.session.session_view import MONEY, PositionView, SessionView, read_view

STALE_NS: Final = 5 * NS_PER_S
"""Real time without a new view after which a live session counts as silent."""

Life = Literal["beginning", "running", "silent", "finished", "stopped", "ended"]


class RunStatus(msgspec.Struct, frozen=True):
    """A run as read from its directory. ``run`` None: nothing is stored yet; ``view`` None: it has written none.

    ``silent``: the process is live and has written no view for a while. ``ended``: it is gone and has not finished.
    """

    found: FoundRun
    life: Life
    remark: str
    run: RunRow | None
    view: SessionView | None
    orders: list[Order] = []
    fills: list[LedgerRow] = []
    positions: list[PositionView] = []


def read_status(found: FoundRun, now_ns: int, *, orders: bool = False, fills: bool = False) -> RunStatus:
    """Return the run in ``found.directory``; ``now_ns`` is the machine's time. Lists are read on request only.

    Raises StorageError when store or view cannot be read, and for damage or altered history of a run that is not
    live.
    """
    view = read_view(found.directory)
    path = found.directory / DATABASE_NAME
    if not path.exists():
        life, remark = _life(found, None, None, now_ns)
        return RunStatus(found, life, remark, None, None)
    with StoreReader(path) as store:
        run = store.run()
        if not found.live:
            store.verify_history()  # a live session verifies its own
        if view is not None and (run is None or view.run_id != run.run_id):
            view = None  # of the run that was here before
        life, remark = _life(found, run, view, now_ns)
        if life == "ended" and run is not None and view is None and store.is_kept() and store.checkpoint() is None:
            remark = "a copy that qts db export made, without a checkpoint; the run goes on in its own directory"
        return RunStatus(
            found,
            life,
            remark,
            run,
            view,
            store.orders() if orders else [],
            store.ledger() if fills else [],
            _positions_of(store) if view is None else list(view.positions),
        )


def _life(found: FoundRun, run: RunRow | None, view: SessionView | None, now_ns: int) -> tuple[Life, str]:
    if found.live:
        if view is None or view.ended or view.pid != found.pid:
            return "beginning", "it has begun and shown nothing yet"
        age_ns = now_ns - view.written_ns
        if age_ns > STALE_NS:
            return "silent", f"its process lives, but it has shown nothing new for {age_ns // NS_PER_S} s"
        return "running", ""
    if run is None:
        return "ended", "nothing was stored"
    if run.finished:
        return "finished", ""
    if view is not None and view.ended:
        return "stopped", "--resume continues it"
    return "ended", "its process is gone and it did not finish; --resume continues it"


def _positions_of(store: StoreReader) -> list[PositionView]:
    """Return the stored positions without prices: a store keeps no marks."""
    return [
        PositionView(row.strategy, row.pool.value, row.symbol, row.qty, ratio(row.cost, row.qty), None, None, None)
        for row in store.positions()
        if row.qty
    ]


def status_line(status: RunStatus) -> str:
    """Return one line with the command, what it trades with at a real broker, id, process and life of the run."""
    name = "a run" if status.run is None else f"qts {status.run.command}, run {status.run.run_id}"
    if status.view is not None and status.view.mode in MONEY:
        name = f"{MONEY[status.view.mode]}, {name}"
    pid = f", pid {status.found.pid}" if status.found.live and status.found.pid is not None else ""
    remark = f": {status.remark}" if status.remark else ""
    return f"{name}{pid}, {status.life}{remark}"
