"""Garbage is collected while no event waits: never during events, in quiet moments, never unbounded."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from qts.event.config import EventConfig
from qts.event.dispatcher import EventDispatcher
from qts.event.gc_control import MUCH_TOO_OLD, OLD, QUIET_CHECKS, TOO_MANY, YOUNG, GcController, controlled_gc
from tests.event.support import as_python_starts_collecting


class Cycle:
    """Refers to itself: only the garbage collector can free it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_python_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    as_python_starts_collecting(monkeypatch)


@pytest.fixture
def collector() -> Iterator[GcController]:
    with controlled_gc() as begun:
        yield begun


def cycle() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


def test_between_begin_and_end_nothing_is_collected_by_itself() -> None:
    assert gc.isenabled()
    with controlled_gc():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_who_found_it_switched_off_leaves_it_off() -> None:
    gc.disable()
    try:
        with controlled_gc():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_few_young_objects_are_left_alone(collector: GcController) -> None:
    lost = cycle()
    collector.maybe_collect(quiet=True)
    assert lost() is not None
    assert (collector.collections, collector.forced) == (0, 0)


def test_many_young_objects_are_collected_in_a_quiet_moment_only(collector: GcController) -> None:
    lost = cycle()
    kept = [[] for _ in range(YOUNG)]  # type: ignore[var-annotated]
    collector.maybe_collect(quiet=False)
    assert lost() is not None
    collector.maybe_collect(quiet=True)
    assert lost() is None
    assert (collector.collections, collector.forced, len(kept)) == (1, 0, YOUNG)


def test_too_many_are_collected_in_a_busy_moment_too(collector: GcController) -> None:
    lost = cycle()
    kept = [[] for _ in range(TOO_MANY)]  # type: ignore[var-annotated]
    collector.maybe_collect(quiet=False)
    assert lost() is None
    assert (collector.collections, collector.forced, len(kept)) == (0, 1, TOO_MANY)


def test_after_a_long_quiet_time_old_garbage_goes_too_and_once(collector: GcController) -> None:
    old = Cycle()
    lost = weakref.ref(old)
    gc.collect()  # it has survived collections: no longer young
    del old
    for _ in range(QUIET_CHECKS - 1):
        collector.maybe_collect(quiet=True)
    assert lost() is not None
    for _ in range(QUIET_CHECKS):
        collector.maybe_collect(quiet=True)
    assert lost() is None
    assert collector.collections == 1
    for _ in range(10 * QUIET_CHECKS - 1):
        collector.maybe_collect(quiet=True)
    assert collector.collections == 2, "and again every ten times that long"


def test_a_busy_moment_begins_the_quiet_time_again(collector: GcController) -> None:
    for _ in range(2):
        for _ in range(QUIET_CHECKS - 1):
            collector.maybe_collect(quiet=True)
        collector.maybe_collect(quiet=False)
    assert collector.collections == 0


def aged(collector: GcController, count: int, *, quiet: bool) -> list[list[None]]:
    """Live objects that have gone through young collections, ``count`` at least, and one look more."""
    step = YOUNG if quiet else TOO_MANY
    kept: list[list[None]] = []
    while len(kept) < count:
        kept += [[] for _ in range(step)]
        collector.maybe_collect(quiet=quiet)
    collector.maybe_collect(quiet=quiet)
    return kept


def survivor() -> tuple[Cycle, weakref.ref[Cycle]]:
    old = Cycle()
    gc.collect()  # young collections do not look at it any more
    return old, weakref.ref(old)


def test_old_garbage_goes_although_it_is_never_quiet_for_long(collector: GcController) -> None:
    old, lost = survivor()
    del old
    kept = aged(collector, OLD // 2, quiet=True)
    collector.maybe_collect(quiet=False)
    assert lost() is not None
    kept += aged(collector, OLD // 2, quiet=True)
    assert lost() is None
    assert collector.forced == 0


def test_what_became_garbage_after_one_young_collection_goes_with_the_middle_generation(
    collector: GcController,
) -> None:
    old = Cycle()
    lost = weakref.ref(old)
    kept = aged(collector, YOUNG, quiet=True)
    del old
    kept += aged(collector, 11 * YOUNG, quiet=True)
    assert lost() is None
    assert len(kept) < OLD


def test_old_garbage_goes_in_a_busy_moment_when_there_may_be_very_much(collector: GcController) -> None:
    old, lost = survivor()
    del old
    kept = aged(collector, MUCH_TOO_OLD - TOO_MANY, quiet=False)
    assert lost() is not None
    kept += aged(collector, TOO_MANY, quiet=False)
    assert lost() is None
    assert collector.collections == 0


def test_the_more_lives_the_rarer_everything_is_collected(collector: GcController) -> None:
    kept = aged(collector, 8 * OLD, quiet=True)
    collector.maybe_collect(quiet=False)
    for _ in range(QUIET_CHECKS):
        collector.maybe_collect(quiet=True)  # the old generation is counted again
    old, lost = survivor()
    del old
    kept += aged(collector, OLD, quiet=True)
    collector.maybe_collect(quiet=False)
    assert lost() is not None, f"less than a quarter of {len(kept)} has come since"
    for _ in range(2):
        kept += aged(collector, OLD, quiet=True)
        collector.maybe_collect(quiet=False)
    assert lost() is None


def test_what_is_freed_at_once_makes_nothing_old(collector: GcController) -> None:
    for _ in range(2 * OLD // YOUNG):
        cycles = [Cycle() for _ in range(YOUNG)]
        del cycles
        collector.maybe_collect(quiet=True)
        collector.maybe_collect(quiet=False)
    old, lost = survivor()
    del old
    collector.maybe_collect(quiet=True)
    assert lost() is not None


def test_the_last_of_several_users_gives_the_collector_back() -> None:
    first, second = GcController(), GcController()
    first.begin()
    second.begin()
    first.end()
    first.end()  # a second call does nothing
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0
    second.end()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_user_that_comes_and_goes_freezes_nothing_of_the_others(collector: GcController) -> None:
    old = Cycle()
    lost = weakref.ref(old)
    with controlled_gc():
        pass
    del old
    gc.collect()
    assert lost() is None


async def test_stopping_one_of_two_dispatchers_leaves_the_other_its_quiet() -> None:
    one, other = EventDispatcher(), EventDispatcher()
    await one.start()
    await other.start()
    await one.stop()
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0
    await other.stop()
    assert gc.isenabled()


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_running_dispatcher_keeps_the_collector_quiet_when_told_to(wanted: bool) -> None:
    dispatcher = EventDispatcher(EventConfig(collect_when_quiet=wanted))
    await dispatcher.start()
    await asyncio.sleep(0)
    assert gc.isenabled() is not wanted
    await dispatcher.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
