"""The publisher by itself: what it does when its own thread fails, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from decimal import Decimal as D

import pytest

from qts.cache.breaker import BreakerState
from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheWrite
from qts.clock import SystemClock
from qts.errors import MissingExtraError, StorageError
from qts.market.contracts import Quote
from qts.market.last_values import LastValues
from qts.runtime.caching.cache_view import BREAKER_STATES
from qts.runtime.caching.committed_book import CommittedBook
from qts.runtime.caching.publisher import CachePublisher, OpenCache
from qts.runtime.caching.session_state import SessionState
from tests.runtime.caching.faulty_cache import FaultyCache
from tests.runtime.caching.rows import fill, held, order


def publisher_of(open_cache: OpenCache, **settings: int) -> CachePublisher:
    return CachePublisher("main", "run 1", open_cache, CacheConfig(**settings), SystemClock())  # type: ignore[arg-type]


def state_of() -> SessionState:
    state = SessionState(CommittedBook(100), LastValues())
    state.alive_ns = SystemClock().time_ns()
    return state


def test_what_changes_last_is_written_when_it_ends() -> None:
    cache, state = FaultyCache(), state_of()
    publisher = publisher_of(lambda: cache)
    assert publisher.connect()
    publisher.begin(state)
    state.book.add([fill("o1", "e1"), order("o1"), held(10)])
    state.last.quotes["A"] = Quote("A", 1, bid=D(99), ask=D(101))
    state.view = (state.alive_ns, b"{}")

    publisher.stop()

    kinds = sorted(key.split(":")[2] for key in cache._entries)
    assert [kind for kind in kinds if kind != "writers"] == ["ord", "pos", "price", "trades", "view"]
    view = publisher.view
    assert (view.state, view.written, view.waiting, view.dropped) == ("ENDED", 5, 0, {})
    assert not [one for one in threading.enumerate() if one.name == "qts-cache"]
    publisher.stop()


def test_a_fault_in_its_thread_ends_it_and_is_told_and_the_session_goes_on() -> None:
    cache, state, broken = FaultyCache(), state_of(), threading.Event()

    def fault(writes: Sequence[CacheWrite]) -> None:
        broken.set()
        raise ZeroDivisionError("a defect")

    cache.before_put = fault
    publisher = publisher_of(lambda: cache)
    publisher.connect()
    publisher.begin(state)
    state.book.add([held(10)])
    assert broken.wait(60)
    publisher.stop()

    assert publisher.view.state == "REFUSED"
    assert "ended by ZeroDivisionError: a defect" in publisher.view.why
    (told,) = publisher.take_told()
    assert told.endswith("the session goes on without a cache")
    # And what the session hands over from then on stays bounded
    state.book.add([order(f"o{number}") for number in range(300)])
    assert len(state.book.take_orders()) == 100


def test_a_cache_whose_driver_is_missing_is_named_at_once() -> None:
    def make() -> FaultyCache:
        raise MissingExtraError("a cache server", "redis")

    publisher = publisher_of(make)
    with pytest.raises(MissingExtraError, match="redis"):
        publisher.connect()


def test_a_defect_at_the_start_is_no_silence() -> None:
    def make() -> FaultyCache:
        raise ZeroDivisionError("a defect")

    with pytest.raises(StorageError, match="ended by ZeroDivisionError"):
        publisher_of(make).connect()


def test_more_than_may_wait_is_dropped_and_counted() -> None:
    cache, state, asked = FaultyCache(), state_of(), threading.Event()

    def hang(call: str) -> None:
        if call == "put":
            asked.set()

    cache.fails, cache.delay_s = hang, 3_600.0
    publisher = publisher_of(lambda: cache, queue=3)
    publisher.connect()
    for number in range(50):
        state.last.quotes[f"{number}"] = Quote(f"{number}", 1, bid=D(99))
    publisher.begin(state)
    assert asked.wait(60)
    publisher.stop(0.1)

    view = publisher.view
    assert view.dropped["price"] == 50
    assert (view.waiting, view.written) == (0, 0)


def test_the_names_of_states_are_those_of_the_breaker() -> None:
    assert tuple(state.value for state in BreakerState) == BREAKER_STATES
