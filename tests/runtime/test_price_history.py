"""The second look at a session's input: candles within bounds, the range of each trip, a close for each session."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import to_ns
from qts.market.bars.columns import BarColumns
from qts.market.contracts import Bar, MarketValue, Quote
from qts.market.generic import AlwaysOpen
from qts.performance import RoundTrip
from qts.runtime.session.price_history import CandleSeries, PriceHistory, prices_by_session, symbols_by_use

D = Decimal
DAY = timedelta(days=1)
START = datetime(2024, 1, 2, tzinfo=UTC)


def bar(day: int, low: int, high: int, symbol: str = "A", opened: int | None = None) -> Bar:
    """Return the bar of a day, known at the next midnight; it opens at its low and closes at its high."""
    ts_ns = to_ns(START + day * DAY)
    return Bar(symbol, ts_ns, D(low if opened is None else opened), D(high), D(low), D(high), D(10))


def trip(begun_day: int, ended_day: int, symbol: str = "A") -> RoundTrip:
    return RoundTrip(
        strategy="s",
        symbol=symbol,
        begun_ns=to_ns(START + begun_day * DAY),
        ended_ns=to_ns(START + ended_day * DAY),
        bought=D(1),
        sold=D(1),
        costs=D(0),
        entry_price=D(1),
        result=D(0),
    )


def history(bars: list[Bar], *trips: RoundTrip) -> PriceHistory:
    found = PriceHistory(["A"], trips, to_ns(START + 100 * DAY) - to_ns(START))
    for _ in found.take(bars):
        pass
    return found


def test_a_trip_has_the_range_of_its_bars_but_of_the_last_one_only_the_open() -> None:
    # Given a trip filled on the second bar, held over the third, sold at the open of the fourth
    bars = [bar(0, 1, 99), bar(1, 10, 20), bar(2, 8, 15), bar(3, 2, 50, opened=12), bar(4, 1, 99)]
    held = trip(1, 3)
    found = history(bars, held)
    # Then neither what was before, nor what the fourth bar did after its open, counts
    assert found.range_of("A", held.begun_ns, held.ended_ns) == (D(8), D(20))


def test_a_trip_within_one_bar_has_its_range_and_one_without_prices_has_none() -> None:
    inside, elsewhere = trip(1, 1), trip(1, 3, "B")
    found = history([bar(0, 1, 99), bar(1, 10, 20)], inside, elsewhere)
    assert found.range_of("A", inside.begun_ns, inside.ended_ns) == (D(10), D(20))
    assert found.range_of("B", elsewhere.begun_ns, elsewhere.ended_ns) is None


def test_every_session_has_the_last_price_of_each_symbol_that_had_one() -> None:
    found = PriceHistory([], (), 1)
    noon = to_ns(START + timedelta(hours=12))
    values: list[MarketValue] = [
        Quote("A", noon, bid=D(10), ask=D(12)),
        Quote("A", noon + 1, last=D(15)),
        Quote("B", noon + 2),
        bar(1, 20, 30, "B"),
    ]
    assert [(one.day.isoformat(), dict(one.of)) for one in prices_by_session(found.take(values), AlwaysOpen())] == [
        ("2024-01-02", {"A": D(15)}),
        ("2024-01-03", {"B": D(30)}),
    ]


def test_quotes_become_candles_of_a_fixed_time() -> None:
    # Given quotes over 2,000 seconds, so that a candle is of one second
    found = PriceHistory(["A"], (), 2_000 * 10**9)
    begin = to_ns(START)
    quotes = [
        Quote("A", begin + ms * 10**6, last=D(price)) for ms, price in ((0, 5), (400, 9), (999, 7), (1_000, 8))
    ]
    for _ in found.take(quotes):
        pass
    (candles,) = found.candles()
    assert (candles.open, candles.high, candles.low, candles.close) == ([5, 8], [9, 8], [5, 8], [7, 8])
    assert candles.times_ns == [begin + 999 * 10**6, begin + 10**9]


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=400), st.integers(4, 40))
def test_thinned_candles_are_few_and_lose_no_extreme(ranges: list[tuple[int, int]], most: int) -> None:
    series = CandleSeries(most)
    for place, (low, size) in enumerate(ranges):
        series.add(place, place, (low, low + size, low, low + size), 1.0)
    candles = series.candles("A")
    # Then there are at most as many as allowed, in order, from the first open to the last close
    assert len(candles.times_ns) <= most
    assert candles.times_ns == sorted(set(candles.times_ns))
    assert (candles.open[0], candles.close[-1]) == (ranges[0][0], sum(ranges[-1]))
    assert candles.times_ns[-1] == len(ranges) - 1
    # And the highest, the lowest and the whole volume are in them
    assert min(candles.low) == min(low for low, _ in ranges)
    assert max(candles.high) == max(low + size for low, size in ranges)
    assert sum(candles.volume) == len(ranges)
    # Each of `span` bars, but the last
    assert len(candles.times_ns) == -(-len(ranges) // candles.span)


def test_the_most_traded_symbols_come_first_and_one_is_shown_even_if_none_was_traded() -> None:
    assert symbols_by_use({"B": 1, "A": 1, "C": 5}, ["X"]) == ["C", "A", "B"]
    assert symbols_by_use({}, ["X", "Y"]) == ["X"]


def test_a_trip_that_ended_just_before_its_bar_was_known_has_the_open_of_that_bar() -> None:
    # Given fills on a market that never closes, which have the last moment of the bar's own day
    held = msgspec.structs.replace(trip(1, 3), begun_ns=trip(1, 3).begun_ns - 1, ended_ns=trip(1, 3).ended_ns - 1)
    found = history([bar(1, 10, 20), bar(2, 8, 15), bar(3, 2, 50, opened=5), bar(4, 1, 99)], held)
    # Then the gap to the open at which it was left counts, and nothing later
    assert found.range_of("A", held.begun_ns, held.ended_ns) == (D(5), D(20))


def test_closes_known_at_midnight_are_those_of_the_day_before() -> None:
    # Given the bar of 1 January, known at the midnight that ends it
    prices = PriceHistory(["A"], (), to_ns(START + DAY) - to_ns(START)).take([bar(0, 1, 9), bar(1, 1, 9)])
    sessions = prices_by_session(prices, AlwaysOpen(), is_known_next_day=True)
    assert [one.day.isoformat() for one in sessions] == ["2024-01-01", "2024-01-02"]


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(0, 500), st.integers(0, 10**9)), min_size=1, max_size=200
    ),
    st.integers(4, 12),
    st.integers(0, 8),
    st.lists(st.tuples(st.integers(-3, 420), st.integers(0, 60)), max_size=6),
)
def test_a_series_taken_at_once_gives_what_its_bars_give_one_by_one(
    ranges: list[tuple[int, int, int]], most: int, size_decimals: int, spans: list[tuple[int, int]]
) -> None:
    # Given bars two nanoseconds apart, and trips that begin and end at their times and between them
    lows, highs = [low for low, _, _ in ranges], [low + size for low, size, _ in ranges]
    series = BarColumns(
        symbol="A",
        interval="1d",
        known_ns=array("q", range(0, 2 * len(ranges), 2)),
        days=array("q", [738_000] * len(ranges)),
        prices=(lows, highs, lows, highs),
        price_decimals=2,
        volume=[volume for _, _, volume in ranges],
        size_decimals=size_decimals,
    )
    trips = [
        msgspec.structs.replace(trip(0, 0), begun_ns=begun, ended_ns=begun + length) for begun, length in spans
    ]
    one_by_one, at_once = (PriceHistory(["A"], trips, 10**15) for _ in range(2))
    candles = CandleSeries(most), CandleSeries(most)
    for value in series.bars():
        prices = (float(value.open), float(value.high), float(value.low), float(value.close))
        candles[0].add(value.ts_ns, value.ts_ns, prices, float(value.volume))
    # When one takes the bars, the other their columns
    for _ in one_by_one.take(series.bars()):
        pass
    at_once.take_bars([series])
    candles[1].add_bars(series)
    # Then candles and extremes are the same to the digit
    assert candles[1].candles("A") == candles[0].candles("A")
    assert at_once.candles() == one_by_one.candles()
    for one in trips:
        span = ("A", one.begun_ns, one.ended_ns)
        assert repr(at_once.range_of(*span)) == repr(one_by_one.range_of(*span))
