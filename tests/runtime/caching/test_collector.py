"""What is written to a cache and when: what has changed, and what stands, for as long as the session goes on."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from qts.cache.config import CacheConfig
from qts.cache.contracts import Kind, PositionValue, ViewValue
from qts.execution.contracts import OrderState
from qts.market.contracts import Quote, Tick
from qts.market.last_values import LastValues
from qts.runtime.caching.collector import Collector
from qts.runtime.caching.committed_book import CommittedBook
from qts.runtime.caching.session_state import SessionState
from qts.runtime.caching.values import Depth
from tests.runtime.caching.rows import fill, held, order

MS = 1_000_000
S = 1_000 * MS


def given() -> tuple[SessionState, Collector]:
    state = SessionState(CommittedBook(100), LastValues())
    return state, Collector(state, CacheConfig())


def told(collector: Collector, now_ns: int = S) -> list[tuple[Kind, str]]:
    return [(kind, name) for kind, name, _ in collector.changed(now_ns)]


def test_a_price_is_told_once_for_each_new_value() -> None:
    state, collector = given()
    state.last.quotes["A"] = Quote("A", 1, bid=D(99), ask=D(101), bid_size=D(5), ask_size=D(5))
    assert told(collector) == [(Kind.PRICE, "A"), (Kind.BOOK, "A")]
    assert told(collector) == []

    state.last.ticks["A"] = Tick("A", 2, D(100), D(1))
    assert told(collector) == [(Kind.PRICE, "A")]


def test_where_the_depth_is_known_the_touch_is_no_book() -> None:
    state, collector = given()
    state.depths["A"] = Depth(1, ((D(99), D(5)),), ((D(101), D(5)),))
    state.last.quotes["A"] = Quote("A", 1, bid=D(99), ask=D(101), bid_size=D(7), ask_size=D(7))

    books = [value for kind, _, value in collector.changed(S) if kind is Kind.BOOK]

    assert [one.bids[0].volume for one in books] == [5]  # type: ignore[union-attr]
    assert told(collector) == []


def test_a_holding_is_given_again_within_its_lifetime_while_the_session_goes_on() -> None:
    state, collector = given()
    state.alive_ns = S
    state.book.add([held(10), held(5, strategy="two"), held(3, symbol="B")])
    assert told(collector) == [(Kind.POSITION, "A"), (Kind.POSITION, "B")]

    # When a third of a second has passed, and one of them was sold meanwhile
    state.book.add([held(0, symbol="B", cost=0)])
    assert told(collector) == [(Kind.POSITION, "B")]
    state.alive_ns = S + 334 * MS
    assert told(collector) == [(Kind.POSITION, "A")]
    # And not while the session makes no progress
    assert told(collector, now_ns=9 * S) == []


def test_what_stands_is_as_old_as_the_session_was_last_seen() -> None:
    state, collector = given()
    state.book.add([held(10)])
    state.alive_ns = S
    list(collector.changed(S))
    state.alive_ns = 2 * S

    ((_, _, value),) = collector.changed(2 * S + 300 * MS)

    assert isinstance(value, PositionValue)
    assert (value.at_ns, value.qty) == (2 * S, 10)


def test_what_stands_is_given_again_after_the_clock_was_set_back() -> None:
    state, collector = given()
    state.book.add([held(10), order("o1", OrderState.WORKING)])
    state.strategies = {"ema": {"class": "TwoEma"}}
    state.alive_ns = 7_200 * S
    while told(collector):
        pass

    state.alive_ns = 3_600 * S

    assert told(collector) == [(Kind.POSITION, "A"), (Kind.ORDER, "o1"), (Kind.STRATEGY, "ema")]
    assert told(collector) == []


def test_an_order_has_the_average_of_its_fills_and_is_given_again_while_it_works() -> None:
    state, collector = given()
    state.alive_ns = S
    state.book.add([fill("o1", "e1", qty=4, price=100), order("o1", OrderState.PARTIAL, filled=4)])
    collector.fills()
    assert averages(collector, S) == {"o1": D(100)}
    # When 20 s have passed
    state.alive_ns = 21 * S
    assert averages(collector, 21 * S) == {"o1": D(100)}
    # And it ends
    state.book.add([fill("o1", "e2", qty=6, price=110), order("o1", OrderState.FILLED, filled=10)])
    collector.fills()
    assert averages(collector, 21 * S) == {"o1": D(106)}
    state.alive_ns = 60 * S
    assert averages(collector, 60 * S) == {}


def test_an_order_that_is_seen_before_its_fill_is_told_again() -> None:
    state, collector = given()
    state.book.add([order("o1", OrderState.FILLED, filled=10)])
    assert averages(collector, S) == {"o1": None}

    state.book.add([fill("o1", "e1", qty=10, price=100)])
    collector.fills()

    assert averages(collector, S) == {"o1": D(100)}
    assert averages(collector, S) == {}


def averages(collector: Collector, now_ns: int) -> dict[str, Any]:
    changed = collector.changed(now_ns)
    return {name: value.avg_fill_price for kind, name, value in changed if kind is Kind.ORDER}  # type: ignore[union-attr]


def test_strategies_and_the_view_are_told_when_they_are_others() -> None:
    state, collector = given()
    state.strategies = {"ema": {"class": "TwoEma", "fast": "5"}}
    state.view = (7, b'{"version":1}')
    assert told(collector) == [(Kind.STRATEGY, "ema"), (Kind.VIEW, "")]
    assert told(collector) == []

    state.view = (8, b'{"version":1}')
    assert [value for _, _, value in collector.changed(S)] == [ViewValue(at_ns=8, json='{"version":1}')]
