"""How time passes: inline coroutines end at once, and pacing changes only the time it takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from qts.clock import PacedClock, from_ns
from qts.errors import StateError
from qts.market.contracts import Quote
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.replay_driver import run_replay, run_virtual
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.event.support import as_python_starts_collecting
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst
from tests.runtime.test_store_writer import sample


async def seven() -> int:
    return 7


async def waits() -> None:
    await asyncio.sleep(0)


def quotes(count: int) -> list[Quote]:
    return [
        Quote(SYMBOL, kst(10, 0, second), bid=D(150_000), ask=D(150_100), bid_size=D(1), ask_size=D(1))
        for second in range(count)
    ]


def test_a_step_that_does_not_wait_is_completed() -> None:
    assert run_to_completion(seven()) == 7


def test_a_step_that_waits_is_a_mistake_on_the_virtual_clock() -> None:
    with pytest.raises(StateError, match="waited for something on the virtual clock"):
        run_to_completion(waits())


def test_the_input_comes_to_its_end(rig_of) -> None:  # type: ignore[no-untyped-def]
    rig: Rig = rig_of()
    told: list[float | None] = []

    assert run_virtual(rig.kernel, iter(quotes(5)), lambda share, moment: told.append(share), StopFlag(), None)
    assert rig.kernel.intake.rows == 5


def test_a_stop_ends_after_the_pending_value(rig_of) -> None:  # type: ignore[no-untyped-def]
    rig: Rig = rig_of()
    stop = StopFlag()

    def some():  # type: ignore[no-untyped-def]
        for number, quote in enumerate(quotes(9), 1):
            if number == 4:
                stop.request()
            yield quote

    assert not run_virtual(rig.kernel, some(), lambda share, moment: None, stop, None)
    assert rig.kernel.intake.rows == 4


def test_a_slow_clock_gives_the_same_session(rig_of) -> None:  # type: ignore[no-untyped-def]
    fast, slow = rig_of(), rig_of()
    pace = PacedClock(from_ns(kst(10)), 3_600.0)

    for rig, clock in ((fast, None), (slow, pace)):
        run_virtual(rig.kernel, iter(quotes(5)), lambda share, moment: None, StopFlag(), clock)

    assert slow.kernel.dispatcher.queue_stats()["P1_HIGH"]["handled"] == 5
    assert slow.clock.time_ns() == fast.clock.time_ns()
    assert pace.time_ns() >= kst(10, 0, 4)


class WatchedPace(PacedClock):
    """A clock that passes only while the replay waits; ``waits`` holds what the store shows then."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(from_ns(kst(10)), 3_600.0)
        self._rig = rig
        self._shown_ns = kst(10)
        self.waits: list[tuple[bool, int]] = []

    def time_ns(self) -> int:
        return self._shown_ns

    def wait_until_ns(self, ns: int, stopped: Callable[[], bool]) -> None:
        if ns > self._shown_ns:  # at the end of the input there is nothing to wait for
            self.waits.append((self._rig.shared.record.is_settled, len(self._rig.store.ledger())))
            self._shown_ns = ns


def test_a_replay_that_waits_for_its_clock_shows_its_fills_in_the_store_and_a_fast_one_later(
    rig_of: Callable[..., Rig],
) -> None:
    # Given a strategy that buys 10 shares at the first quote, in a fast replay and in a slowed one
    strategies = ScriptedStrategy(), ScriptedStrategy()
    fast, slow = (rig_of(strategy) for strategy in strategies)
    for strategy in strategies:
        strategy.wants(Side.BUY, qty=10)
    pace = WatchedPace(slow)

    # When both see the same quotes
    for rig, clock in ((fast, None), (slow, pace)):
        run_virtual(rig.kernel, iter(quotes(4)), lambda share, moment: None, StopFlag(), clock)

    # Then the slowed one has written everything before each wait, its fills among it
    assert pace.waits
    assert all(settled for settled, _ in pace.waits)
    assert pace.waits[-1][1] > 0
    # And the fast one has the same fills in memory, and in the store with the next checkpoint
    assert fast.held() == slow.held() > 0
    assert (fast.store.ledger(), fast.shared.record.is_settled) == ([], False)
    fast.store_now()
    slow.store_now()
    assert fast.store.ledger() == slow.store.ledger()


def test_a_thousand_waiting_records_are_written_when_the_handler_has_ended(rig_of: Callable[..., Rig]) -> None:
    # Given 999 samples that wait for a checkpoint, and that are not enough for one
    rig = rig_of()
    first, second, third = quotes(3)
    rig.show(first)
    rig.store_now()
    stored = len(rig.store.equity_curve())
    for number in range(999):
        rig.shared.record.write_later(sample(number))
    rig.show(second)
    assert len(rig.store.equity_curve()) == stored

    # When one more comes, then all are written when the next row is handled, and not before
    rig.shared.record.write_later(sample(999))
    assert len(rig.store.equity_curve()) == stored
    rig.show(third)
    assert [row.ts_ns for row in rig.store.equity_curve()[stored:]] == list(range(1_000))


def test_the_garbage_collector_is_given_back_as_it_was(rig_of, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    rig: Rig = rig_of()

    def breaks():  # type: ignore[no-untyped-def]
        yield quotes(1)[0]
        raise RuntimeError("the file is gone")

    as_python_starts_collecting(monkeypatch)
    with pytest.raises(RuntimeError, match="the file is gone"):
        run_virtual(rig.kernel, breaks(), lambda share, moment: None, StopFlag(), None)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_other_tasks_of_the_loop_can_run(rig_of) -> None:  # type: ignore[no-untyped-def]
    """given a task beside a replay that would not end by itself, when the task asks it to stop, then it stops"""
    rig: Rig = rig_of()
    stop = StopFlag()

    async def asks() -> None:
        stop.request()

    def many():  # type: ignore[no-untyped-def]
        for number in range(10_000_000):
            yield Quote(SYMBOL, kst(10) + number * 1_000, bid=D(150_000), ask=D(150_100))

    task = asyncio.create_task(asks())
    finished = await run_replay(rig.kernel, many(), lambda share, moment: None, stop, None)

    assert (finished, task.done()) == (False, True)


async def test_a_replay_on_the_loop_is_the_one_without(rig_of) -> None:  # type: ignore[no-untyped-def]
    alone, beside = rig_of(), rig_of()
    pace = PacedClock(from_ns(kst(10)), 3_600.0)

    run_virtual(alone.kernel, iter(quotes(5)), lambda share, moment: None, StopFlag(), None)
    assert await run_replay(beside.kernel, iter(quotes(5)), lambda share, moment: None, StopFlag(), pace)

    assert beside.kernel.dispatcher.queue_stats()["P1_HIGH"]["handled"] == 5
    assert beside.kernel.intake.rows == alone.kernel.intake.rows == 5
    assert beside.clock.time_ns() == alone.clock.time_ns()
    assert pace.time_ns() >= kst(10, 0, 4)
