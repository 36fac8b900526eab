"""The checks of a broker and of the clock: what they find and what to do, against a scripted broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.broker.broker_clock import BrokerClock
from qts.broker.gateway.config import GatewayConfig
from qts.runtime.checks.connection_checks import CheckResult, Finding, check_broker, clock_result
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.runtime.rig import SYMBOL, kst

MS = 1_000_000


def ticking(*readings_ms: int) -> Callable[[], int]:
    """Return a stopwatch that shows these moments one after the other."""
    left: Iterator[int] = iter(readings_ms)
    return lambda: next(left) * MS


async def test_a_broker_that_answers_is_ok_with_what_it_can_do_and_has() -> None:
    # Given a broker with an order and shares, whose slowest query takes 40 ms
    broker = ScriptedBroker()
    broker.books.held = {SYMBOL: D(7)}
    broker.now_ns = lambda: kst(10)
    broker.order_by_hand(SYMBOL, Side.BUY, 5)
    broker.capabilities = replace(NAMED, client_order_ids=False, requests_per_s=15, visibility_lag_ns=10_000 * MS)
    # When it is checked
    result = await check_broker(broker, stopwatch=ticking(0, 10, 20, 60, 60, 65, 70, 80))
    # Then all of it is said, and it was closed again
    assert result == CheckResult(
        "broker",
        Finding.OK,
        (
            "connected to scripted",
            "it takes LIMIT, MARKET; keeps no order ids of ours, numbers executions, changes no orders; "
            "15 requests a second; shows an order after at most 10 s",
            "its books were read: 1 order, 0 executions of the day, 1 symbol held, an account in KRW",
            "the slowest of 4 queries took 40 ms",
        ),
        "",
        {"query_ms": 40.0},
    )
    assert broker.calls == ["connect", "orders", "fills_since", "positions", "balance", "close"]
    assert (broker.placed, broker.cancels) == ([], [])


async def test_a_slow_broker_is_not_ok() -> None:
    result = await check_broker(ScriptedBroker(), stopwatch=ticking(0, 1, 1, 2, 2, 2_103, 2_103, 2_104))
    assert (result.finding, result.measured) == (Finding.NOT_OK, {"query_ms": 2_101.0})
    assert "known late" in result.remedy


async def test_a_broker_that_cannot_be_reached_is_not_ok() -> None:
    broker = ScriptedBroker()
    broker.is_up = False
    result = await check_broker(broker)
    assert result.finding is Finding.NOT_OK
    assert result.said[0].startswith("scripted: not connected: ")
    assert "keys and the account" in result.remedy
    assert broker.calls[-1] == "close"


async def test_books_that_cannot_be_read_are_named() -> None:
    # Given a broker of which the line breaks before the last answer
    broker = ScriptedBroker()
    seen: list[str] = []

    def breaks() -> None:
        seen.append(broker.calls[-1])
        broker.is_up = len(seen) < 3

    broker.before_query = breaks
    result = await check_broker(broker)
    assert result.finding is Finding.NOT_OK
    assert result.said[-1].startswith("not read: its money: ")
    assert result.measured == {}


async def test_a_broker_that_never_answers_is_given_up() -> None:
    broker = ScriptedBroker()
    broker.holds_queries = True
    result = await check_broker(broker, timeout_s=0.01)
    assert result.finding is Finding.NOT_OK
    assert "not read: its orders: the broker has not answered a query within 0.01 s" in result.said[-1]


@pytest.mark.parametrize(
    ("apart_ms", "finding", "said"),
    [
        (500, Finding.OK, "our clock is at least 500 ms from the broker's"),
        (501, Finding.NOT_OK, "our clock is at least 501 ms ahead of the broker's, allowed are 500 ms: set it"),
        (
            -2_001,
            Finding.NOT_OK,
            "our clock is at least 2,001 ms behind the broker's, allowed are 2,000 ms: set it",
        ),
    ],
)
def test_the_clock_is_judged_by_the_limits_of_a_session(apart_ms: int, finding: Finding, said: str) -> None:
    # Given an answer with a time to the millisecond, received in the moment in which it was asked for
    clock = BrokerClock()
    clock.note(kst(10), kst(10) + apart_ms * MS, kst(10) + apart_ms * MS, resolution_ns=0)
    result = clock_result(clock, GatewayConfig(clock_warning_ms=500, clock_fail_ms=2_000))
    assert (result.finding, result.said) == (finding, (said,))
    assert result.measured == {"apart_ms": abs(apart_ms)}
    assert bool(result.remedy) is (finding is not Finding.OK)


@pytest.mark.parametrize("clock", [None, BrokerClock()])
def test_a_broker_that_tells_no_time_leaves_the_clock_unmeasured(clock: BrokerClock | None) -> None:
    result = clock_result(clock, GatewayConfig())
    assert (result.finding, result.measured) == (Finding.NOT_MEASURED, {})
    assert result.said == ("not measured: the broker has told no time",)
    assert result.remedy
