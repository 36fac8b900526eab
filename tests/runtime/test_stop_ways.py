"""A paper session is stopped by command, by file and by signal: no entry leaves after it, whatever is full."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.cli.kill_signals import kill_by_signal
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.event.codec import pack_event
from qts.event.contracts import EventType, create_event
from qts.event.journal import Journal
from qts.execution.contracts import EmergencyStop
from qts.market.contracts import Bar, Quote
from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Answer, Stop
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import paper_plan
from qts.safety.scoped_stops import scope_of
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy
from tests.sim.recordings import FIRST_DAY, row, write


class Busy:
    """Buys a share at every quote, and after ten of them sells what it holds."""

    symbols: Sequence[str] = ()

    def __init__(self, name: str = "busy", pool: Pool = Pool.SCALP) -> None:
        self.name = name
        self.pool = pool
        self.held = 0
        self.bought = 0

    def on_start(self, ctx: Context) -> None:
        """Nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        if ctx.holding(quote.symbol) >= 10:
            return (Intent(quote.symbol, Side.SELL, 1.0),)
        return (Intent(quote.symbol, Side.BUY, 1.0, qty=1),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.held += int(fill.qty) if fill.side is Side.BUY else -int(fill.qty)
        self.bought += fill.side is Side.BUY


def paper(directory: Path, *strategies: Strategy, resume: bool = False) -> SessionPlan:
    """Two quotes a second on a Thursday morning, a hundred times as fast."""
    tape = directory.with_suffix(".csv")
    if not tape.exists():
        first = FIRST_DAY.replace(hour=10)
        write(tape, [row(first + n * timedelta(seconds=0.5), 150_000 + n % 3 * 100) for n in range(12_000)])
    settings = {"state.properties.balanced.max_daily_trades": "100000"}
    options = Options(data_dir=directory, resume=resume, speed=100.0, overrides=settings)
    return msgspec.structs.replace(paper_plan(options, str(tape), None), default_strategies=lambda: strategies)


def run_until(plan: SessionPlan, steps: Iterable[Callable[[StopFlag], bool]]) -> SessionResult:
    """Run; at each turn the step in hand is taken, the next once it says True; after the last the session ends."""
    stop, left = StopFlag(), list(steps)

    def progress(share: float | None, moment_ns: int) -> None:
        if left and left[0](stop):
            left.pop(0)
        if not left:
            stop.request()

    with kill_by_signal(stop.kill, listens=True):
        result = run_session(plan, progress=progress, stop=stop)
    assert not left, "the session ended before it got that far"
    return result


def buys_after_lockdown(directory: Path) -> tuple[int, int]:
    """How many entries were decided before the lockdown, and how many after it."""
    store = SqliteStore(directory / "qts.sqlite", durability="NORMAL")
    try:
        (locked_ns,) = (row.ts_ns for row in store.safety_history() if row.to_state == "LOCKDOWN")
        moments = [order.ts_intent_ns for order in store.orders() if order.side is Side.BUY]
    finally:
        store.close()
    return sum(ns <= locked_ns for ns in moments), sum(ns > locked_ns for ns in moments)


Way = Callable[[Path, bool], None]


def by_command(directory: Path, liquidate: bool) -> None:
    write_command(directory, Stop(operator="kim", reason="drill", liquidate=liquidate))


def by_file(directory: Path, liquidate: bool) -> None:
    draft = directory / "draft"
    draft.write_text("the exchange behaves strangely\n")
    os.replace(draft, directory / "operator" / ("stop-sell" if liquidate else "stop-keep"))


def by_signal(directory: Path, liquidate: bool) -> None:
    os.kill(os.getpid(), signal.SIGUSR2 if liquidate else signal.SIGUSR1)


@pytest.mark.parametrize("liquidate", [True, False], ids=["sell", "keep"])
@pytest.mark.parametrize("way", [by_command, by_file, by_signal])
def test_after_a_stop_no_entry_leaves(way: Way, liquidate: bool, tmp_path: Path) -> None:
    # Given a session that trades at every quote
    busy = Busy()
    turns = [20]

    def asked(stop: StopFlag) -> bool:
        if not busy.held:
            return False
        way(tmp_path, liquidate)
        return True

    def seen(stop: StopFlag) -> bool:
        turns[0] -= 1
        return turns[0] <= 0 and not (liquidate and busy.held)

    # when it is stopped and goes on for a while
    result = run_until(paper(tmp_path, busy), [asked, seen])
    # then it has locked down, no entry was decided after that, and with a sale nothing is held
    before, after = buys_after_lockdown(tmp_path)
    assert before > 0
    assert after == 0
    assert result.values.safety_state == "LOCKDOWN"
    if liquidate:
        assert result.values.positions == {}
    assert all(row["ok"] is not False for row in result.values.invariants.values())
    assert not any((tmp_path / "operator" / name).exists() for name in ("stop-keep", "stop-sell"))


def test_without_a_descriptor_the_file_stops_all_the_same(tmp_path: Path) -> None:
    # Given a session in whose table of files there is no room
    busy = Busy()
    (tmp_path / "stop").touch()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    turns = [10]

    def asked(stop: StopFlag) -> bool:
        if not busy.bought:
            return False
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        os.replace(tmp_path / "stop", tmp_path / "operator" / "stop-keep")  # as mv does: needs no descriptor
        return True

    def seen(stop: StopFlag) -> bool:
        turns[0] -= 1
        if turns[0] == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return turns[0] <= 0

    # when the file is put there
    try:
        result = run_until(paper(tmp_path, busy), [asked, seen])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # then it is obeyed
    assert result.values.safety_state == "LOCKDOWN"
    assert buys_after_lockdown(tmp_path)[1] == 0


@pytest.mark.parametrize("way", [by_file, by_signal])
def test_with_a_full_disk_the_stop_is_obeyed_and_not_forgotten_by_the_resume(way: Way, tmp_path: Path) -> None:
    # Given a session of whose files none can grow any more when it is stopped
    busy = Busy()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def asked(stop: StopFlag) -> bool:
        if not busy.held:
            return False
        if way is by_file:
            way(tmp_path, True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        if way is by_signal:
            way(tmp_path, True)
        return True

    try:
        with pytest.raises(StorageError):
            run_until(paper(tmp_path, busy), [asked, lambda stop: False])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    bought = busy.bought
    # when the disk has room again and the session is resumed
    again = Busy()
    result = run_until(paper(tmp_path, again, resume=True), [lambda stop: True] * 20)
    # then it is locked down before anything is bought
    assert result.values.safety_state == "LOCKDOWN"
    assert again.bought <= bought
    assert buys_after_lockdown(tmp_path)[1] == 0


# -- one part ----------------------------------------------------------------------------------------------------


def test_a_scoped_stop_is_answered_followed_and_survives_a_resume(tmp_path: Path) -> None:
    # Given two strategies, of which one is stopped with a sale
    one, two = Busy("one"), Busy("two", Pool.SWING)
    answers: list[Path] = []

    def asked(stop: StopFlag) -> bool:
        if not one.held:
            return False
        answers.append(write_command(tmp_path, Stop(operator="kim", reason="drill", strategy="one")))
        return True

    def told(stop: StopFlag) -> bool:
        with suppress(FileNotFoundError):
            answer = msgspec.json.decode(answers[0].read_bytes(), type=Answer)
            return answer.stop is not None and answer.stop.complete
        return False

    first = run_until(paper(tmp_path, one, two), [asked, told])
    answer = msgspec.json.decode(answers[0].read_bytes(), type=Answer)
    # then its answer tells in the end that all is sold
    assert answer.stop is not None
    assert answer.stop.held == {}
    assert int(answer.stop.sold["005930"]) > 0
    assert first.values.safety_state == "NORMAL"
    # when the session is resumed
    again, other = Busy("one"), Busy("two", Pool.SWING)
    bought = one.bought
    result = run_until(paper(tmp_path, again, other, resume=True), [lambda stop: other.bought > two.bought])
    # then that part is still cut off, is shown, and the other trades
    (stop,) = result.values.stops
    assert (stop["scope"], stop["name"], stop["operator"], stop["holdings"]) == ("strategy", "one", "kim", "sell")
    assert again.bought == bought
    assert result.values.refusals["STOPPED_BY_OPERATOR"] > 0
    assert any(note.startswith("stopped: strategy one is stopped since") for note in result.values.notes)


def test_a_restart_obeys_a_scoped_stop_that_was_journalled_and_never_carried_out(tmp_path: Path) -> None:
    # Given a session that was killed after it had accepted a stop
    first = run_until(paper(tmp_path, Busy()), [lambda stop: True])
    stop = EmergencyStop("kim", "drill", 1, liquidate=False, scope=scope_of(pool="SCALP"))
    event = create_event(EventType.EMERGENCY_STOP, "operator", stop, event_id="operator-1")
    with Journal(tmp_path / "journal", first.values.run_id) as journal:
        journal.append(event.event_id, pack_event(event))
    # when it is resumed
    result = run_until(paper(tmp_path, Busy(), resume=True), [lambda stop: True] * 3)
    # then the pool is cut off
    assert [(row["scope"], row["name"]) for row in result.values.stops] == [("pool", "SCALP")]
    assert result.values.safety_state == "NORMAL"
