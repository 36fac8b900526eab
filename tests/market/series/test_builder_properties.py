"""What holds for any trades: sums are theirs, coarser bars fold finer ones, and a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.clock import NEVER_NS, NS_PER_S
from qts.market.contracts import Bar, Tick
from qts.market.files import open_feed
from qts.market.series.builder import BarBuilder, EndedBars
from qts.market.series.intervals import parse_interval
from qts.market.series.wanted import wanted_bars
from tests.market.files.samples import real_file

from .samples import KRX, SAMSUNG, builder, give, kst

MINUTE = 60 * NS_PER_S
OPEN = kst("2024-03-04 09:00:00")
DAY = 86_400 * NS_PER_S
TIMED = {"30s": 5, "1m": 5, "5m": 5, "7m": 5, "1h": 5, "1d": 5, "1w": 5}
ALL = {**TIMED, "3t": 5, "1.5v": 5, "200$": 5}
DIVIDES = [("30s", "1m"), ("1m", "5m"), ("1m", "7m"), ("5m", "1h"), ("7m", "1d"), ("1h", "1d"), ("1d", "1w")]

sizes = st.sampled_from(["0.1", "0.25", "1", "1.50", "3"]).map(Decimal)
prices = st.integers(95, 105).map(Decimal)
symbols = st.sampled_from(["005930", "000660"])
steps = st.one_of(st.integers(0, 20), st.integers(0, 40 * NS_PER_S), st.integers(0, 5 * 3_600 * NS_PER_S))


@st.composite
def tapes(draw: st.DrawFn) -> list[Tick]:
    ts_ns, tape = OPEN - 3_600 * NS_PER_S, []
    for _ in range(draw(st.integers(1, 60))):
        ts_ns += draw(steps)
        tape.append(Tick(draw(symbols), ts_ns, draw(prices), draw(sizes)))
    return tape


def run(bars: BarBuilder, tape: Iterable[Tick]) -> list[EndedBars]:
    return [moment for tick in tape for moment in give(bars, tick)]


def all_of(moments: Iterable[EndedBars]) -> list[Bar]:
    return [bar for moment in moments for bar in moment.bars]


def ended(declared: dict[str, int], tape: Sequence[Tick]) -> list[Bar]:
    """Return all bars of a tape: two weeks later every one of time is over."""
    bars = builder(declared)
    moments = run(bars, tape)
    while bars.due_ns != NEVER_NS:
        moments += bars.take_ended(bars.due_ns)
    bars.end_session(tape[-1].ts_ns + 14 * DAY)
    return all_of([*moments, *bars.take_ended(tape[-1].ts_ns + 14 * DAY)])


def folded(bars: Sequence[Bar]) -> tuple[object, ...]:
    return (
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.value or 0 for bar in bars),
        sum(bar.trades or 0 for bar in bars),
    )


@given(tapes())
@settings(deadline=None)
def test_every_trade_is_in_exactly_one_bar_of_each_interval(tape: list[Tick]) -> None:
    bars = ended(ALL, tape)

    for interval in ALL:
        for symbol in KRX:
            own = [bar for bar in bars if bar.interval == interval and bar.symbol == symbol]
            trades = [tick for tick in tape if tick.symbol == symbol]
            assert sum(bar.volume for bar in own) == sum(tick.size for tick in trades)
            assert sum(bar.value or 0 for bar in own) == sum(tick.size * tick.price for tick in trades)
            assert sum(bar.trades or 0 for bar in own) == len(trades)


@given(tapes())
@settings(deadline=None)
def test_a_coarser_bar_is_the_fold_of_the_finer_ones_in_it(tape: list[Tick]) -> None:
    bars = ended(TIMED, tape)

    for symbol in KRX:
        for finer, coarser in DIVIDES:
            parts = [bar for bar in bars if bar.symbol == symbol and bar.interval == finer]
            for whole in (bar for bar in bars if bar.symbol == symbol and bar.interval == coarser):
                inside = [bar for bar in parts if whole.start_ns <= bar.start_ns < whole.ts_ns]
                assert folded(inside) == folded([whole])


@given(tapes())
@settings(deadline=None)
def test_bars_of_a_series_follow_each_other_and_none_is_longer_than_its_interval(tape: list[Tick]) -> None:
    bars = ended(TIMED, tape)

    for symbol in KRX:
        for interval in TIMED:
            own = [bar for bar in bars if bar.symbol == symbol and bar.interval == interval]
            assert all(one.ts_ns <= other.start_ns for one, other in pairwise(own))
            assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in own)
            length = parse_interval(interval).ns
            assert all(bar.partial == (bar.ts_ns - bar.start_ns < length) for bar in own if length < DAY)


@given(tapes())
@settings(deadline=None)
def test_a_bar_of_trades_volume_or_value_ends_at_once_when_it_is_full(tape: list[Tick]) -> None:
    for bar in ended(ALL, tape):
        interval = parse_interval(bar.interval)
        counted = (None, bar.trades, bar.volume, bar.value)[interval.unit]
        if counted is not None:
            assert bar.partial == (counted < interval.size)
            assert bar.trades != 1 or bar.open == bar.close


@given(tapes(), st.data())
@settings(deadline=None)
def test_a_restart_at_any_place_changes_nothing(tape: list[Tick], data: st.DataObject) -> None:
    # Given what is told in one piece
    whole = builder(ALL)
    expected = run(whole, tape)

    # When the state goes through JSON and into a new builder, twice
    first = data.draw(st.integers(0, len(tape)))
    second = data.draw(st.integers(first, len(tape)))
    moments, bars = [], builder(ALL)
    for part in (tape[:first], tape[first:second], tape[second:]):
        moments += run(bars, part)
        state = msgspec.json.decode(msgspec.json.encode(bars.export_state()))
        bars = builder(ALL)
        bars.import_state(state)

    # Then it tells the same and is left in the same state
    assert moments == expected
    assert msgspec.json.encode(bars.export_state()) == msgspec.json.encode(whole.export_state())
    assert bars.due_ns == whole.due_ns


@given(tapes(), st.integers(0, 60))
@settings(deadline=None)
def test_when_the_clock_asks_in_between_changes_no_bar(tape: list[Tick], every: int) -> None:
    asked = builder(TIMED)
    moments = []
    for number, tick in enumerate(tape):
        moments += give(asked, tick)
        if every and number % every == 0:
            moments += asked.take_ended(tick.ts_ns)

    assert all_of(moments) == all_of(run(builder(TIMED), tape))


@given(tapes())
@settings(deadline=None)
def test_longer_bars_are_the_same_from_trades_and_from_finer_bars(tape: list[Tick]) -> None:
    # Given the one-minute bars of a tape within sessions
    minutes = [bar for bar in ended({"1m": 5}, tape) if bar.symbol == SAMSUNG]
    expected = [bar for bar in ended({"5m": 5, "1h": 5}, tape) if bar.symbol == SAMSUNG]

    # When they are a feed's bars
    bars = builder({"5m": 5, "1h": 5})
    moments = [moment for bar in minutes for moment in give(bars, bar)]
    moments += [*bars.finish(), *bars.take_ended(NEVER_NS - 1)]
    bars.end_session(NEVER_NS - 1)
    moments += bars.take_ended(NEVER_NS - 1)

    # Then they fold to the bars of the trades
    for interval in ("5m", "1h"):
        assert [one for one in all_of(moments) if one.interval == interval] == [
            one for one in expected if one.interval == interval
        ]


@pytest.mark.parametrize("declared", [{"1m": 5, "5m": 5, "1h": 5}, {"1000t": 5, "10v": 5, "1e6$": 5}])
def test_bars_of_a_recorded_perpetual_add_up_to_its_trades(declared: dict[str, int]) -> None:
    feed = open_feed(real_file("binance_usdm_btcusdt_20240808.gz"))
    bars = BarBuilder(wanted_bars(declared, (), "bars"), feed.instruments)
    trades, told = [], []
    for value in feed.values():
        if isinstance(value, Tick):
            trades.append(value)
            told += all_of(give(bars, value))
    running = bars.export_state()["symbols"]["BTCUSDT"]["bars"]

    for interval in declared:
        own, rest = [bar for bar in told if bar.interval == interval], running[interval]["part"]
        assert sum(bar.volume for bar in own) + rest.volume == sum(tick.size for tick in trades)
        assert sum(bar.value or 0 for bar in own) + rest.value == sum(tick.size * tick.price for tick in trades)
        assert sum(bar.trades or 0 for bar in own) + rest.trades == len(trades)
        assert own or interval in ("1h",)
