"""Garbage is collected when nobody waits: off while events run, looked at in quiet moments, never unbounded."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from qts.event.config import EventConfig
from qts.event.dispatcher import EventDispatcher
from qts.event.garbage import QUIET_LOOKS, TOO_MANY, YOUNG, QuietCollector, quiet_collector


class Knot:
    """Refers to itself: only the garbage collector can free it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_python_starts() -> None:
    """Whatever a dispatcher of another test, whose loop was closed under it, has left behind."""
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def collector() -> Iterator[QuietCollector]:
    with quiet_collector() as begun:
        yield begun


def knot() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_between_begin_and_end_nothing_is_collected_by_itself() -> None:
    assert gc.isenabled()
    with quiet_collector():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_who_found_it_switched_off_leaves_it_off() -> None:
    gc.disable()
    try:
        with quiet_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_few_young_objects_are_left_alone(collector: QuietCollector) -> None:
    lost = knot()
    collector.look(quiet=True)
    assert lost() is not None
    assert (collector.collections, collector.forced) == (0, 0)


def test_many_young_objects_are_collected_in_a_quiet_moment_only(collector: QuietCollector) -> None:
    lost = knot()
    kept = [[] for _ in range(YOUNG)]  # type: ignore[var-annotated]
    collector.look(quiet=False)
    assert lost() is not None
    collector.look(quiet=True)
    assert lost() is None
    assert (collector.collections, collector.forced, len(kept)) == (1, 0, YOUNG)


def test_too_many_are_collected_in_a_busy_moment_too(collector: QuietCollector) -> None:
    lost = knot()
    kept = [[] for _ in range(TOO_MANY)]  # type: ignore[var-annotated]
    collector.look(quiet=False)
    assert lost() is None
    assert (collector.collections, collector.forced, len(kept)) == (0, 1, TOO_MANY)


def test_after_a_long_quiet_time_old_garbage_goes_too_and_once(collector: QuietCollector) -> None:
    old = Knot()
    lost = weakref.ref(old)
    gc.collect()  # it has survived collections: no longer young
    del old
    for _ in range(QUIET_LOOKS - 1):
        collector.look(quiet=True)
    assert lost() is not None
    for _ in range(QUIET_LOOKS):
        collector.look(quiet=True)
    assert lost() is None
    assert collector.collections == 1
    for _ in range(10 * QUIET_LOOKS - 1):
        collector.look(quiet=True)
    assert collector.collections == 2, "and again every ten times that long"


def test_a_busy_moment_begins_the_quiet_time_anew(collector: QuietCollector) -> None:
    for _ in range(2):
        for _ in range(QUIET_LOOKS - 1):
            collector.look(quiet=True)
        collector.look(quiet=False)
    assert collector.collections == 0


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_running_dispatcher_keeps_the_collector_quiet_when_told_to(wanted: bool) -> None:
    dispatcher = EventDispatcher(EventConfig(collect_when_quiet=wanted))
    await dispatcher.start()
    await asyncio.sleep(0)
    assert gc.isenabled() is not wanted
    await dispatcher.stop()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
