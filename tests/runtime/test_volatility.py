"""Where the volatility of the operating state comes from: a declared index, the closes themselves, or nothing."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.market.actions import Split
from qts.market.contracts import VolatilityLevel
from qts.runtime.metrics.volatility import (
    CLOSES_NEEDED,
    NOT_MEASURED,
    DeclaredVolatility,
    RealisedVolatility,
    VolatilityReading,
    volatility_source,
)

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
SYMBOL = "005930"


def fed(closes: Sequence[D], source: RealisedVolatility | None = None, first_day: int = 1) -> RealisedVolatility:
    """One close a day, from day ``first_day`` on."""
    source = source or RealisedVolatility()
    for number, close in enumerate(closes):
        source.on_day_close({SYMBOL: close}, (first_day + number) * DAY)
    return source


def zigzag(days: int, step: D = D("0.01"), start: D = D(1000)) -> list[D]:
    """Closes that move by ``step`` up and down in turn: 20 such returns have a volatility that hardly changes."""
    return [start * (1 + step * (number % 2)) for number in range(days)]


def test_a_declared_index_is_known_for_thirty_hours_and_its_silence_is_never_calm() -> None:
    source = volatility_source(declared=True)
    assert source.reading(DAY) == VolatilityReading(None, "feed")

    source.on_level(VolatilityLevel("VIX", DAY, 14.2))

    assert source.reading(DAY + 30 * HOUR) == VolatilityReading(14.2, "feed")
    assert source.reading(DAY + 30 * HOUR + 1) == VolatilityReading(None, "feed")
    assert source.reading(DAY - 1) == VolatilityReading(None, "feed")
    assert not source.reading(DAY - 1).measured


def test_without_a_declared_index_nothing_is_measured_at_first_and_a_stand_in_says_so() -> None:
    reading = volatility_source(declared=False).reading(DAY)

    assert reading == VolatilityReading(17.5, "none")
    assert not reading.measured


def test_a_level_that_the_feed_does_not_declare_is_not_relied_on() -> None:
    source = volatility_source(declared=False)

    source.on_level(VolatilityLevel("VIX", DAY, 80.0))

    assert source.reading(DAY).source == "none"


@pytest.mark.parametrize(("closes", "measured"), [(80, False), (81, True)])
def test_measuring_takes_a_first_price_twenty_returns_and_sixty_days_before(closes: int, measured: bool) -> None:
    assert fed(zigzag(closes)).reading(closes * DAY).measured is measured


def test_the_usual_volatility_is_17_and_twice_as_much_is_34() -> None:
    """Returns of ±1 % for 300 days, then 20 of ±2 % behind one of 1 %: the window holds nothing else."""
    calm = fed(zigzag(300))
    assert calm.reading(300 * DAY).value == pytest.approx(17.0, rel=1e-3)

    wild = fed(zigzag(22, D("0.02"))[1:], calm, 301)

    assert wild.reading(321 * DAY).value == pytest.approx(34.0, rel=0.01)


def test_a_market_that_never_moved_has_no_usual_volatility() -> None:
    source = fed([D(1000)] * 200)

    assert source.reading(200 * DAY) == VolatilityReading(NOT_MEASURED, "none")


def test_once_measured_it_is_unknown_and_not_calm_when_the_closes_stop() -> None:
    source = fed(zigzag(100))

    assert source.reading(100 * DAY + 30 * HOUR).value is not None
    assert source.reading(100 * DAY + 30 * HOUR + 1) == VolatilityReading(None, "realised_20d")


def test_the_universe_has_equal_weights_and_a_symbol_counts_from_its_second_day_in_a_row() -> None:
    """Day 2: A +10 %, B −2 % → +4 %. Day 3: B is missing, C is new → A alone, 0 %. Day 4: B starts again."""
    source = RealisedVolatility()

    source.on_day_close({"A": D(100), "B": D(50)}, DAY)
    source.on_day_close({"A": D(110), "B": D(49)}, 2 * DAY)
    source.on_day_close({"A": D(110), "C": D(7)}, 3 * DAY)
    source.on_day_close({"A": D(110), "B": D(98)}, 4 * DAY)

    assert source.export_state()["returns"] == pytest.approx([0.04, 0.0, 0.0])


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=400),
    st.integers(0, 400),
)
def test_it_is_what_the_definition_says_and_a_restart_changes_nothing(prices: list[int], cut: int) -> None:
    """Against the definition computed again over the whole series, with the source restored in the middle."""
    closes = [D(price) for price in prices]
    source = fed(closes[:cut])
    other = RealisedVolatility()
    other.import_state(source.export_state())
    fed(closes[cut:], other, min(cut, len(closes)) + 1)

    returns = [float(after) / float(before) - 1 for before, after in itertools.pairwise(closes)]
    volatilities = [statistics.stdev(returns[end - 20 : end]) for end in range(20, len(returns) + 1)]
    earlier = volatilities[:-1][-250:]
    usual = statistics.median(earlier) if len(earlier) >= 60 else 0.0
    expected = 17.0 * volatilities[-1] / usual if usual > 0 else None

    reading = other.reading(len(closes) * DAY)
    assert (reading.value if reading.measured else None) == (None if expected is None else pytest.approx(expected))


def test_a_declared_index_survives_a_restart() -> None:
    source, other = DeclaredVolatility(), DeclaredVolatility()
    source.on_level(VolatilityLevel("VIX", DAY, 21.0))

    other.import_state(source.export_state())

    assert other.reading(2 * DAY) == source.reading(2 * DAY)


def test_a_split_is_no_move_of_the_closes() -> None:
    """The same course with and without a split of 4:1 on its 50th day has the same volatility."""
    course = zigzag(CLOSES_NEEDED + 5)
    plain, split = fed(course), fed(course[:50])
    split.on_split(Split(SYMBOL, date(2024, 6, 7), D(4)))
    split.on_split(Split("another", date(2024, 6, 7), D(4)))
    fed([close / 4 for close in course[50:]], split, first_day=51)
    now_ns = len(course) * DAY
    assert split.reading(now_ns).value == pytest.approx(plain.reading(now_ns).value)
    assert split.reading(now_ns).measured


def test_a_declared_index_knows_no_split() -> None:
    source = DeclaredVolatility()
    source.on_level(VolatilityLevel("VIX", DAY, 14.2))
    source.on_split(Split(SYMBOL, date(2024, 6, 7), D(4)))
    assert source.reading(DAY).value == 14.2
