"""The checks of a broker and of the clock: what they find and what to do, against a scripted broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.clock import ManualClock, from_ns
from qts.errors import BrokerUnavailable
from qts.runtime.checks.connection_checks import CheckResult, Finding, check_broker, check_clock
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
    ("theirs_ms", "took_ms", "most_ms", "finding", "said"),
    [
        # asked at 0; the answer is of the middle of the way
        (100, 200, 1_000, Finding.OK, "the clock is 0.000 s behind the broker's, to ±0.100 s"),
        (-400, 200, 1_000, Finding.OK, "the clock is 0.500 s ahead of the broker's, to ±0.100 s"),
        (1_000, 200, 1_000, Finding.OK, "the clock is 0.900 s behind the broker's, to ±0.100 s"),
        (1_001, 200, 1_000, Finding.NOT_MEASURED, "0.901 s behind the broker's, to ±0.100 s; allowed: 1 s"),
        (1_200, 200, 1_000, Finding.NOT_MEASURED, "1.100 s behind the broker's, to ±0.100 s; allowed: 1 s"),
        (1_201, 200, 1_000, Finding.NOT_OK, "1.101 s behind the broker's, to ±0.100 s; allowed: 1 s"),
        (-1_001, 200, 1_000, Finding.NOT_OK, "1.101 s ahead of the broker's, to ±0.100 s; allowed: 1 s"),
    ],
)
async def test_the_clock_is_judged_by_what_is_certain(
    theirs_ms: int, took_ms: int, most_ms: int, finding: Finding, said: str
) -> None:
    now_ns = kst(10)

    async def time() -> int:
        return now_ns + theirs_ms * MS

    clock = ManualClock(from_ns(now_ns))
    result = await check_clock(clock, time, most_ns=most_ms * MS, stopwatch=ticking(0, took_ms))
    assert (result.finding, said in result.said[0]) == (finding, True), result
    assert bool(result.remedy) is (finding is not Finding.OK)


async def test_a_broker_that_tells_no_time_leaves_the_clock_unmeasured() -> None:
    clock = ManualClock(from_ns(kst(10)))

    async def none() -> int | None:
        return None

    async def fails() -> int | None:
        raise BrokerUnavailable("the line is down")

    for time in (None, none, fails):
        result = await check_clock(clock, time)
        assert (result.finding, result.measured) == (Finding.NOT_MEASURED, {})
        assert result.remedy
