"""The volume of a market as an execution knows it: never of the time that it is about to trade in."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec

from qts.execution.config import ExecutionConfig
from qts.market.contracts import Bar
from qts.runtime.orders.execution_volumes import measured_profile, traded_since
from tests.db.books import bar

MINUTE, DAY = 60_000_000_000, 86_400_000_000_000
NOW = 100 * DAY


def minute(start_ns: int, volume: int) -> Bar:
    """The bar of the minute from ``start_ns`` on."""
    return msgspec.structs.replace(
        bar(), interval="1m", start_ns=start_ns, ts_ns=start_ns + MINUTE, volume=D(volume)
    )


def measured(bars: Sequence[Bar], count: int, minutes: int) -> tuple[tuple[int, ...], int, int] | None:
    found = measured_profile(lambda symbol, n: bars, ExecutionConfig, "005930", count, minutes * MINUTE, NOW)
    if found is None:
        return None
    return tuple(map(int, found.volumes)), (found.from_ns - NOW) // MINUTE, (found.to_ns - NOW) // MINUTE


def test_the_same_time_of_earlier_days_comes_first() -> None:
    # Given two earlier days, on which the second minute had three and five times the volume of the first
    bars = [
        minute(NOW - 2 * DAY, 10),
        minute(NOW - 2 * DAY + MINUTE, 30),
        minute(NOW - DAY, 10),
        minute(NOW - DAY + MINUTE, 50),
        minute(NOW - MINUTE, 999),
    ]

    assert measured(bars, 2, 2) == ((20, 80), -2 * 1440, -1440 + 2)


def test_else_the_minutes_right_before_the_start() -> None:
    bars = [minute(NOW - number * MINUTE, 10 * number) for number in range(4, 0, -1)]

    assert measured(bars, 2, 4) == ((70, 30), -4, 0)


def test_nothing_from_the_start_on_is_looked_at() -> None:
    before = [minute(NOW - number * MINUTE, 10) for number in range(4, 0, -1)]

    assert measured([*before, minute(NOW, 10**6), minute(NOW + MINUTE, 10**6)], 2, 4) == measured(before, 2, 4)


def test_too_short_a_past_is_no_profile() -> None:
    assert measured([], 2, 4) is None
    assert measured([minute(NOW - MINUTE, 10)], 2, 4) is None
    assert measured([minute(NOW - number * MINUTE, 0) for number in range(4, 0, -1)], 2, 4) is None


def test_what_was_traded_since_a_part_counts_whole_minutes_and_is_unknown_without_bars() -> None:
    bars = [minute(NOW - 3 * MINUTE, 7), minute(NOW - 2 * MINUTE, 10), minute(NOW - MINUTE, 20)]

    assert traded_since(lambda symbol, n: bars, "005930", NOW - 2 * MINUTE) == 30
    assert traded_since(lambda symbol, n: bars, "005930", NOW - 2 * MINUTE - 1) == 30
    assert traded_since(lambda symbol, n: bars, "005930", NOW - 2 * MINUTE + 1) == 20
    assert traded_since(lambda symbol, n: (), "005930", NOW - 2 * MINUTE) is None
    assert traded_since(lambda symbol, n: bars, "005930", 0) is None
