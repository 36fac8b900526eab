"""What waits for a cache: the newest of each key, in bounded memory, and nothing that its readers would refuse."""

from __future__ import annotations

from decimal import Decimal

from qts.cache.contracts import Kind, PriceValue, RiskValue
from qts.clock import NS_PER_MS
from qts.runtime.caching.waiting_values import WaitingValues

LIFETIMES = dict.fromkeys(Kind, 100 * NS_PER_MS)


def price(last: int, at_ns: int = 0) -> PriceValue:
    return PriceValue(at_ns=at_ns, timestamp_ms=0, last=Decimal(last))


def names(waiting: WaitingValues, most: int = 10, now_ns: int = 0) -> list[str]:
    return [name for (_, name), _ in waiting.take(most, now_ns)]


def test_a_newer_value_takes_the_place_of_the_older_one_and_nothing_counts_as_dropped() -> None:
    waiting = WaitingValues(10, LIFETIMES)
    waiting.put(Kind.PRICE, "A", price(1))
    waiting.put(Kind.PRICE, "B", price(2))
    waiting.put(Kind.PRICE, "A", price(3))

    assert waiting.take(10, 0) == [((Kind.PRICE, "A"), price(3)), ((Kind.PRICE, "B"), price(2))]
    assert not waiting.dropped


def test_above_the_bound_the_one_that_waits_longest_is_dropped_and_counted_by_kind() -> None:
    waiting = WaitingValues(2, LIFETIMES)
    waiting.put(Kind.RISK, "", RiskValue(at_ns=0, daily_pnl=Decimal(0), trade_count=0))
    for name in ("A", "B", "C"):
        waiting.put(Kind.PRICE, name, price(1))

    assert len(waiting) == 2
    assert names(waiting) == ["B", "C"]
    assert waiting.dropped == {"risk": 1, "price": 1}


def test_a_value_that_its_readers_would_refuse_is_not_written() -> None:
    waiting = WaitingValues(10, LIFETIMES)
    waiting.put(Kind.PRICE, "A", price(1, at_ns=0))
    waiting.put(Kind.PRICE, "B", price(1, at_ns=1))

    # When the first is as old as a price lives, to the nanosecond
    assert names(waiting, now_ns=100 * NS_PER_MS) == ["B"]
    assert waiting.dropped == {"price": 1}


def test_what_could_not_be_written_waits_in_front_unless_a_newer_one_came() -> None:
    waiting = WaitingValues(10, LIFETIMES)
    for name in ("A", "B", "C"):
        waiting.put(Kind.PRICE, name, price(1))
    taken = waiting.take(2, 0)
    waiting.put(Kind.PRICE, "B", price(2))

    waiting.put_back(taken)

    assert waiting.take(10, 0) == [
        ((Kind.PRICE, "A"), price(1)),
        ((Kind.PRICE, "C"), price(1)),
        ((Kind.PRICE, "B"), price(2)),
    ]
    assert not waiting.dropped


def test_what_is_put_back_is_bounded_too() -> None:
    waiting = WaitingValues(2, LIFETIMES)
    for name in ("A", "B"):
        waiting.put(Kind.PRICE, name, price(1))
    taken = waiting.take(2, 0)
    for name in ("C", "D"):
        waiting.put(Kind.PRICE, name, price(1))

    waiting.put_back(taken)

    assert names(waiting) == ["C", "D"]
    assert waiting.dropped == {"price": 2}
