"""Strategies that declare bars: what they are shown, in which order, and what they may look back on."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from qts.clock import NEVER_NS, NS_PER_S
from qts.errors import ContractError
from qts.indicators import Bollinger, Ema, Indicator, Macd, Sma
from qts.market.actions import Split
from qts.market.contracts import Bar, MarketValue, Quote, Tick
from qts.market.series.builder import BarBuilder
from qts.market.series.wanted import wanted_bars
from qts.notes import in_english
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.session.view_builder import notes_of
from qts.runtime.strategies.moments import Moments
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.base_class import Strategy
from qts.strategy.contracts import Context, Intent, Side
from qts.strategy.loading import StrategySpec, check_strategy, load_strategies
from tests.broker.scripted import ScriptedBroker
from tests.effort import EVERY_KILL
from tests.risk.requests import D
from tests.runtime.live_rig import PROCESS, live
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
MINUTE_NS = 60 * NS_PER_S
"""Whether to leave the session at 200 rows (``make soak``)."""


def local(ctx: Context) -> str:
    return f"{ctx.now + timedelta(hours=9):%H:%M:%S}"


def told(bar: Bar) -> str:
    """Return a bar in one line: interval, its minutes of the day, open-high-low-close above 150,000, volume."""
    start, end = ((ns - kst(0)) // MINUTE_NS for ns in (bar.start_ns, bar.ts_ns))
    prices = "-".join(str(int(price - 150_000) // 100) for price in (bar.open, bar.high, bar.low, bar.close))
    cut = " cut" if bar.partial else ""
    return f"{bar.interval} {start // 60}:{start % 60:02}..{end // 60}:{end % 60:02} {prices} {bar.volume:f}{cut}"


class OnBars(ScriptedStrategy):
    """Keeps what it is shown, with the time at which it is shown."""

    bars: ClassVar[Any] = {"1m": 3, "5m": 2}
    data = ("trades",)

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        return ()

    def on_trade(self, ctx: Context, tick: Tick) -> Iterable[Intent]:
        self.heard.append(f"{local(ctx)} trade {int(tick.price - 150_000) // 100}")
        return ()

    def on_timer(self, ctx: Context, name: str) -> Iterable[Intent]:
        self.heard.append(f"{local(ctx)} {name}")
        return ()

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.heard.append(f"{local(ctx)} {told(bar)}")
        intents, self.intents = self.intents, []
        return intents

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Iterable[Intent]:
        self.heard.append(f"{local(ctx)} bars {' '.join(f'{one.symbol} {one.interval}' for one in bars.values())}")
        return ()


def trade(at_ns: int, step: int, size: int = 1, symbol: str = SYMBOL) -> Tick:
    """Return a trade ``step`` grid steps above 150,000."""
    return Tick(symbol, at_ns, D(150_000 + 100 * step), D(size))


def feed_bar(at_ns: int, step: int, symbol: str = SYMBOL, interval: str = "1m") -> Bar:
    price = D(150_000 + 100 * step)
    return Bar(symbol, at_ns, price, price + 200, price - 100, price + 100, D(10), interval=interval)


def test_bars_are_built_from_trades_and_told_when_their_time_is_over(rig_of: MakeRig) -> None:
    # Given trades of seven minutes from 9:00 on
    strategy = OnBars()
    rig = rig_of(strategy)
    # When the market shows them: three in the first minute, one in the third, one right at 9:05, one in the seventh
    rig.show(
        trade(kst(9, 0, 1), 0, 5),
        trade(kst(9, 0, 30), 4, 1),
        trade(kst(9, 0, 59), -2, 2),
        trade(kst(9, 2, 10), 1, 3),
        trade(kst(9, 5), 7, 4),
        trade(kst(9, 6, 30), 2, 6),
    )
    # Then each bar came at its own end, a minute without a trade has none, the five minutes are the sum of the
    # minutes, and the bar that ended at 9:05 came before the trade of that very nanosecond
    assert strategy.heard == [
        "09:00:01 trade 0",
        "09:00:30 trade 4",
        "09:00:59 trade -2",
        "09:01:00 1m 9:00..9:01 0-4--2--2 8",
        f"09:01:00 bars {SYMBOL} 1m",
        "09:02:10 trade 1",
        "09:03:00 1m 9:02..9:03 1-1-1-1 3",
        f"09:03:00 bars {SYMBOL} 1m",
        "09:05:00 5m 9:00..9:05 0-4--2-1 11",
        f"09:05:00 bars {SYMBOL} 5m",
        "09:05:00 trade 7",
        "09:06:00 1m 9:05..9:06 7-7-7-7 4",
        f"09:06:00 bars {SYMBOL} 1m",
        "09:06:30 trade 2",
    ]


def test_of_one_nanosecond_the_timer_comes_first_then_the_bars_then_the_trade(rig_of: MakeRig) -> None:
    # Given a timer at 9:05 and trades right before and at that time
    class Timed(OnBars):
        def on_start(self, ctx: Context) -> None:
            ctx.at("09:05", "timer")

    strategy = Timed()
    rig = rig_of(strategy)
    # When the market shows them
    rig.show(trade(kst(9, 4, 59), 1), trade(kst(9, 5), 2))
    # Then the shorter interval comes first, and its on_bars after every on_bar
    assert strategy.heard == [
        "09:04:59 trade 1",
        "09:05:00 timer",
        "09:05:00 1m 9:04..9:05 1-1-1-1 1",
        "09:05:00 5m 9:00..9:05 1-1-1-1 1",
        f"09:05:00 bars {SYMBOL} 1m",
        f"09:05:00 bars {SYMBOL} 5m",
        "09:05:00 trade 2",
    ]


def test_a_bar_of_trades_ends_with_its_last_trade_and_comes_before_it(rig_of: MakeRig) -> None:
    class ByTrades(OnBars):
        bars: ClassVar[Any] = {"3t": 2}

    strategy = ByTrades()
    rig = rig_of(strategy)

    rig.show(*(trade(kst(10, 0, second), second) for second in range(1, 5)))

    assert [line.partition(" ")[2] for line in strategy.heard] == [
        "trade 1",
        "trade 2",
        "3t 10:00..10:00 1-3-1-3 3",
        f"bars {SYMBOL} 3t",
        "trade 3",
        "trade 4",
    ]


def test_the_last_bars_of_a_session_come_when_it_has_ended_and_are_cut_where_they_are(rig_of: MakeRig) -> None:
    # Given bars of 7 minutes and of a day, and trades at 15:29, in the closing auction and on the next day
    class Daily(OnBars):
        bars: ClassVar[Any] = {"7m": 2, "1d": 2}
        data = ()

    strategy = Daily()
    rig = rig_of(strategy)
    # When they come
    rig.show(trade(kst(15, 29), 3), trade(kst(15, 30), 5, 9), trade(kst(9, 0, day=23), 1))
    # Then 390 minutes are 55 bars of seven and one of five; both came a minute after the close
    assert strategy.heard == [
        "15:31:00 7m 15:25..15:30 3-5-3-5 10 cut",
        "15:31:00 1d 9:00..15:30 3-5-3-5 10",
        f"15:31:00 bars {SYMBOL} 7m",
        f"15:31:00 bars {SYMBOL} 1d",
    ]


def test_the_feeds_own_bars_of_one_time_are_one_moment_and_make_the_longer_ones(rig_of: MakeRig) -> None:
    # Given bars of a minute, of two symbols at each time, from 9:01 to 9:06
    class OfBoth(OnBars):
        data = ()

    strategy = OfBoth()
    rig = rig_of(strategy)
    feed = rig.shared.feed
    feed.instruments["000660"] = feed.instruments[SYMBOL]  # type: ignore[index]
    values = [feed_bar(kst(9, minute), minute, symbol) for minute in range(1, 7) for symbol in ("000660", SYMBOL)]
    # When they come, and the input is over
    rig.show(*values)
    heard_before = len(strategy.heard)
    run_to_completion(rig.kernel.finish())
    # Then the moment of 9:01 holds both, that of 9:05 the five minutes as well, and the last came at the end
    assert strategy.heard[:3] == [
        "09:01:00 1m 9:00..9:01 1-3-0-2 10",
        "09:01:00 1m 9:00..9:01 1-3-0-2 10",
        f"09:01:00 bars 000660 1m {SYMBOL} 1m",
    ]
    at_five = [line for line in strategy.heard if line.startswith("09:05")]
    assert at_five == [
        "09:05:00 1m 9:04..9:05 5-7-4-6 10",
        "09:05:00 1m 9:04..9:05 5-7-4-6 10",
        "09:05:00 5m 9:00..9:05 1-7-0-6 50",
        "09:05:00 5m 9:00..9:05 1-7-0-6 50",
        f"09:05:00 bars 000660 1m {SYMBOL} 1m",
        f"09:05:00 bars 000660 5m {SYMBOL} 5m",
    ]
    last = [line for line in strategy.heard[heard_before:] if line.startswith("09:06")]
    assert last[-1] == f"09:06:00 bars 000660 1m {SYMBOL} 1m"


def test_a_strategy_without_a_declaration_hears_the_feeds_bars_beside_one_that_declares(rig_of: MakeRig) -> None:
    class Plain(ScriptedStrategy):
        def __init__(self) -> None:
            super().__init__("plain")
            self.seen: list[Bar] = []

        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            self.seen.append(bar)
            return ()

    plain, declared = Plain(), OnBars()
    rig = rig_of(plain, declared)
    values = [feed_bar(kst(9, minute), minute) for minute in range(1, 4)]

    rig.show(*values)

    assert plain.seen == values
    assert [line for line in declared.heard if "bars" not in line] == [
        "09:01:00 1m 9:00..9:01 1-3-0-2 10",
        "09:02:00 1m 9:01..9:02 2-4-1-3 10",
    ]


def test_history_holds_the_bar_that_is_shown_and_at_most_what_is_declared(rig_of: MakeRig) -> None:
    seen: list[Any] = []

    class Looking(OnBars):
        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            series = ctx.history(SYMBOL, "1m", 3)
            seen.append(
                ([int(one.close - 150_000) // 100 for one in series], list(series.closes), ctx.ready(SYMBOL))
            )
            assert series[-1] is bar or bar.interval == "5m"
            return ()

    rig = rig_of(Looking())
    rig.show(*(trade(kst(9, minute), minute) for minute in range(11)))

    assert seen[0] == ([0], [150_000.0], False)
    assert seen[2] == ([0, 1, 2], [150_000.0, 150_100.0, 150_200.0], False)
    assert seen[3] == ([1, 2, 3], [150_100.0, 150_200.0, 150_300.0], False)
    # Ready once two bars of five minutes are there, at 9:10
    assert [ready for _, _, ready in seen] == [False] * 10 + [True, True]


@pytest.mark.parametrize(
    ("asks", "text"),
    [
        (lambda ctx: ctx.history(SYMBOL, "1m", 100_000), "n must be from 1 to 3, as `bars` declares, got 100000"),
        (lambda ctx: ctx.history(SYMBOL, "2m", 1), "declared are: 1m, 5m"),
        (lambda ctx: ctx.track(Sma(2), "2m"), "track: '2m' is not declared"),
        (lambda ctx: ctx.track("Sma", "1m"), "track: give an indicator such as Sma\\(20\\), got 'Sma'"),
        (lambda ctx: ctx.track(Macd().signal, "1m"), "track: give an indicator such as Sma"),
        (lambda ctx: ctx.track(Sma(2), "1m")["5930"], r"Sma\(2\) 1m: '5930' is none of 005930"),
    ],
)
def test_what_was_not_declared_is_an_error_that_names_it(
    rig_of: MakeRig, asks: Callable[[Context], object], text: str
) -> None:
    raised: list[str] = []

    class Asking(OnBars):
        symbols = (SYMBOL,)

        def on_start(self, ctx: Context) -> None:
            with pytest.raises(ContractError, match=text) as caught:
                asks(ctx)
            raised.append(str(caught.value))

    rig = rig_of(Asking())

    assert raised
    assert not rig.kernel.host.contexts[0].halted


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"7x": 5}, "interval '7x'"),
        ({"5m": 100_000}, "must be a whole number from 1 to 10000, got 100000"),
        ("5m", "must be a mapping"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused_when_the_class_is_loaded(declared: Any, text: str) -> None:
    class Wrong(OnBars):
        bars: ClassVar[Any] = declared

    with pytest.raises(ContractError, match=text):
        check_strategy(Wrong(), "wrong.py:Wrong")


class Tracking(OnBars):
    """Tracks the mean of two closes of a minute."""

    data = ()

    def on_start(self, ctx: Context) -> None:
        self.mean = ctx.track(Sma(2), "1m")

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        if bar.interval == "1m":
            mean = self.mean[bar.symbol]
            self.heard.append(f"{local(ctx)} {mean.ready} {mean.value}")
        return ()

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Iterable[Intent]:
        return ()


def test_a_tracked_indicator_is_fed_before_on_bar_and_plotted(rig_of: MakeRig) -> None:
    strategy = Tracking()
    rig = rig_of(strategy)

    rig.show(*(trade(kst(9, minute), minute) for minute in range(4)))

    assert strategy.heard == [
        "09:01:00 False nan",
        "09:02:00 True 150050.0",
        "09:03:00 True 150150.0",
    ]
    ((key, series),) = rig.kernel.host.contexts[0].plots
    assert key == ("", f"Sma(2) 1m {SYMBOL}")
    assert list(series.points()) == [(kst(9, 2), 150_050.0), (kst(9, 3), 150_150.0)]
    assert not rig.kernel.host.contexts[0].halted
    rig.kernel.host.keep_memories()
    memory = rig.kernel.host.export_state()["scripted"]
    assert b"mean" not in bytes(memory["attributes"])


def test_indicators_of_settings_that_hardly_differ_are_tracked_apart(rig_of: MakeRig) -> None:
    tracked: list[Mapping[str, Indicator]] = []

    class Two(OnBars):
        def on_start(self, ctx: Context) -> None:
            tracked.extend(ctx.track(Bollinger(2, width), "1m") for width in (2.0, 2.0000001, 2.0))

    # Given two bands of widths that differ in the eighth digit, and one of them asked for again
    rig = rig_of(Two())

    # When closes of 150,000 and 150,100 have come, 50 from their mean
    rig.show(*(trade(kst(9, minute), minute) for minute in range(3)))

    # Then each has its own width, and the same is given for the same
    first, second, again = tracked
    assert again is first
    uppers = [one[SYMBOL].upper.value for one in (first, second)]  # type: ignore[attr-defined]
    assert uppers == pytest.approx([150_150.0, 150_150.000005], abs=1e-7)


def test_another_class_of_the_same_name_is_not_given_the_values_of_the_first(rig_of: MakeRig) -> None:
    other = type("Sma", (Ema,), {"__slots__": ()})
    raised: list[str] = []

    class Both(OnBars):
        def on_start(self, ctx: Context) -> None:
            ctx.track(Sma(2), "1m")
            with pytest.raises(ContractError) as caught:
                ctx.track(other(2), "1m")
            raised.append(str(caught.value))

    rig_of(Both())

    assert raised == ["track Sma(2) 1m: another class of this name is tracked; rename one of them"]


def test_of_what_is_tracked_only_symbols_with_a_bar_are_in_it(rig_of: MakeRig) -> None:
    tracked: list[Mapping[str, Indicator]] = []

    class OfAll(OnBars):
        symbols = ()

        def on_start(self, ctx: Context) -> None:
            tracked.append(ctx.track(Sma(2), "1m"))

    rig = rig_of(OfAll())
    (means,) = tracked
    assert (SYMBOL in means, len(means), means[SYMBOL].ready) == (False, 0, False)

    rig.show(*(trade(kst(9, minute), minute) for minute in range(3)))

    assert (SYMBOL in means, list(means), means[SYMBOL].ready) == (True, [SYMBOL], True)
    assert ("000660" in means, means["000660"].ready) == (False, False)


def test_tracking_in_on_bar_is_an_error_that_says_where_to(rig_of: MakeRig) -> None:
    class Late(OnBars):
        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            ctx.track(Sma(2), "1m")
            return ()

    rig = rig_of(Late())
    rig.show(*(trade(kst(9, minute), minute) for minute in range(4)))

    context = rig.kernel.host.contexts[0]
    assert "call ctx.track in on_start" in context.faults["on_bar"].first


@pytest.mark.parametrize(
    "values",
    [
        [feed_bar(kst(9, minute), minute) for minute in range(1, 9)],
        [
            value
            for minute in range(8)
            for value in (trade(kst(9, minute), minute), Quote(SYMBOL, kst(9, minute) + 1, D(150_000), D(150_100)))
        ],
    ],
    ids=["bars of the feed", "quotes"],
)
def test_what_it_is_not_shown_does_not_end_a_row_of_failures(values: list[MarketValue], rig_of: MakeRig) -> None:
    # Given a strategy that fails at each of the bars that it declares, and has no on_quote
    class Failing(Strategy):
        name, symbols, bars = "failing", (SYMBOL,), {"1m": 3}

        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            raise ValueError(bar.close)

    rig = rig_of(Failing())
    # When values of the feed come between them
    rig.show(*values)
    # Then the third failure halts it
    context = rig.kernel.host.contexts[0]
    assert context.halted
    assert context.faults["on_bar"].count == 3


def test_an_interval_shorter_than_the_bars_of_the_feed_is_noted(rig_of: MakeRig) -> None:
    rig = rig_of(OnBars())

    rig.show(*(feed_bar(kst(9, minute), minute, interval="5m") for minute in (5, 10, 15)))

    (said,) = [text for text in map(in_english, notes_of(rig.kernel)) if text.startswith("bars of")]
    assert said.startswith("bars of 1m: scripted declares them and none has come")


def test_what_on_bar_wants_becomes_an_order_of_its_moment(rig_of: MakeRig) -> None:
    class Plain(OnBars):
        bars: ClassVar[Any] = {"1m": 1}

    strategy = Plain()
    rig = rig_of(strategy)
    strategy.wants(Side.BUY, qty=3)
    rig.show(trade(kst(9, 59, 30), 0))
    rig.quotes(kst(9, 59, 58), 4)

    assert [(order.ts_intent_ns, order.filled) for order in rig.orders()] == [(kst(10), 3)]


def test_bars_hold_a_session_to_one_component_more_and_no_more_without(rig_of: MakeRig) -> None:
    rig = rig_of(ScriptedStrategy())
    assert rig.kernel.moments is None
    assert rig.kernel.host.contexts[0].bars is None


def test_in_real_time_bars_of_one_time_wait_for_each_other_though_the_clock_is_later(rig_of: MakeRig) -> None:
    # Given two bars of one time that arrive one after the other, the clock a second later
    strategy = OnBars()
    rig = rig_of(strategy)
    first, second = feed_bar(kst(9, 1), 1), feed_bar(kst(9, 1), 2, "000660")
    while rig.kernel.run_scheduled_task(first.ts_ns):
        rig.drain()
    rig.kernel.market.accept(first)
    # When the tasks due before the second are run
    rig.kernel.pending_value = second
    while rig.kernel.run_scheduled_task(kst(9, 1, 1)):
        rig.drain()
    # Then the first still waits; without another value it comes
    assert strategy.heard == []
    rig.kernel.pending_value = None
    while rig.kernel.run_scheduled_task(kst(9, 1, 1)):
        rig.drain()
    assert [line.partition(" ")[2] for line in strategy.heard] == [
        "1m 9:00..9:01 1-3-0-2 10",
        f"bars {SYMBOL} 1m",
    ]


def test_bars_over_a_split_are_built_from_prices_as_strategies_see_them(rig_of: MakeRig) -> None:
    # Given a week's bar that has begun at a price of 150,000, and a split of 2:1 after its first day
    rig = rig_of(ScriptedStrategy())
    prices = PriceView("split")
    wanted = wanted_bars({"1w": 2}, (), "bars")
    builder = BarBuilder(wanted, rig.shared.feed.instruments)
    moments = Moments(StrategyTimers(rig.shared.calendar), builder, rig.kernel.due, prices)
    moments.on_bar(feed_bar(kst(15, 30), 0, interval="1d"))
    prices.on_split(Split(SYMBOL, date(2026, 1, 23), D(2), D(1)), kst(0, day=23))
    # When the next day trades at half the price and twice the volume, and the week is over
    half = Bar(SYMBOL, kst(15, 30, day=23), *[D(75_000)] * 4, D(20), interval="1d")
    moments.on_bar(half)
    moments.finish()
    # Then the bar is one of the prices that the strategy has seen
    (bar,) = [bar for ended in moments.ended for bar in ended.bars if bar.interval == "1w"]
    assert (bar.open, bar.high, bar.low, bar.close) == (150_000, 150_200, 149_900, 150_000)
    assert bar.volume == 20


# -- in a process of its own, and resumed --------------------------------------------------------------------------

RECORDER = """
from qts.indicators import Sma
from qts.kit import Intent, Side, Strategy

class Recorder(Strategy):
    bars = {"1m": 3, "5m": 2, "4t": 5}
    data = ("trades",)

    def __init__(self):
        self.seen = []

    def on_start(self, ctx):
        self.mean = ctx.track(Sma(2), "1m")
        ctx.every("90s", "often")

    def on_trade(self, ctx, tick):
        self.seen.append(f"trade {tick.ts_ns} {self.mean[tick.symbol].value}")

    def on_timer(self, ctx, name):
        self.seen.append(f"{name} {len(ctx.history('005930', '4t', 5))}")

    def on_bar(self, ctx, bar):
        closes = list(ctx.history(bar.symbol, "1m", 3).closes)
        mean = self.mean[bar.symbol]
        self.seen.append(f"{bar} {closes} {mean.ready} {mean.value} {ctx.ready(bar.symbol)} {ctx.warming}")
        if bar.interval == "5m" and ctx.is_flat(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, 1.0, qty=2)

    def on_bars(self, ctx, bars):
        self.seen.append(f"{sorted(bars)} {[bar.interval for bar in bars.values()]}")
"""


def walk(count: int, seed: int = 1) -> list[MarketValue]:
    """Return ``count`` trades from 8:59:50 on, some seconds apart, and quotes around each fifth minute."""
    rng, at_ns, values = random.Random(seed), kst(8, 59, 50), list[MarketValue]()
    for ns in (kst(9, minute, second) for minute in range(4, 30, 5) for second in (59, 61, 62)):
        values.append(Quote(SYMBOL, ns, bid=D(150_000), ask=D(150_100), bid_size=D(99), ask_size=D(99)))
    for _ in range(count):
        at_ns += rng.choice((0, 1, 7, 20, 60)) * NS_PER_S
        values.append(trade(at_ns, rng.randrange(-3, 4), rng.randrange(1, 9)))
    return sorted(values, key=lambda value: value.ts_ns)


@pytest.fixture
def recorder(tmp_path: Path) -> str:
    (tmp_path / "recorder.py").write_text(RECORDER)
    return f"{tmp_path / 'recorder.py'}:Recorder"


def memory_of(rig: Rig) -> list[str]:
    saved = msgspec.msgpack.decode(bytes(rig.kernel.host.export_state()["Recorder"]["attributes"]))
    found: list[str] = saved["memory"]["seen"]
    return found


def seen_on_the_virtual_clock(rig_of: MakeRig, spec: str, values: list[MarketValue]) -> tuple[Any, list[str]]:
    rig = rig_of(*load_strategies([StrategySpec(spec)]))
    rig.show(*values)
    orders = rig.orders()
    return orders, msgspec.msgpack.decode(rig.kernel.host.export_state()["Recorder"]["attributes"])["memory"][
        "seen"
    ]


async def seen_live(
    directory: Path,
    spec: str,
    parts: list[list[MarketValue]],
    settings: dict[str, str],
    broker: ScriptedBroker | None = None,
) -> Any:
    """Show the parts on an event loop, each in a session resumed from the one before; return what it saw."""
    directory.mkdir()
    for part in parts:
        async with live(directory, spec, settings=settings, broker=broker) as rig:
            assert rig.kernel.moments is not None
            await rig.until(lambda timers=rig.kernel.moments.timers: timers.due_ns < NEVER_NS)  # type: ignore[misc]
            await rig.show(*part)
            orders = rig.orders()
            found = rig.memory("Recorder")["attributes"]["memory"]["seen"]
            assert rig.faults() == []
    return orders, found


@pytest.mark.parametrize("settings", [{}, PROCESS], ids=["loop", "process"])
async def test_bars_are_the_same_on_the_loop_in_a_process_and_after_being_resumed(
    rig_of: MakeRig, recorder: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    # Given what the strategy sees and orders on the virtual clock
    values = walk(60)
    expected = seen_on_the_virtual_clock(rig_of, recorder, values)
    assert expected[0]
    assert sum("5m" in line for line in expected[1]) > 3
    # When it runs on the event loop or in a process of its own, in one piece and in three
    whole = await seen_live(tmp_path / "whole", recorder, [values], settings)
    parts = await seen_live(tmp_path / "parts", recorder, [values[:23], values[23:50], values[50:]], settings)
    # Then it is the same
    assert whole == expected
    assert parts == expected


async def test_at_a_broker_that_cannot_be_rewound_windows_go_on_from_their_rows(tmp_path: Path) -> None:
    # Given a strategy that only looks, at a broker whose sessions are rolled forward
    (tmp_path / "looker.py").write_text(RECORDER.replace("ctx.is_flat(bar.symbol)", "False"))
    spec, values = f"{tmp_path / 'looker.py'}:Recorder", walk(60)
    # When it runs in one piece and in three
    whole = await seen_live(tmp_path / "whole", spec, [values], {}, ScriptedBroker())
    three = [values[:23], values[23:50], values[50:]]
    parts = await seen_live(tmp_path / "parts", spec, three, {}, ScriptedBroker())
    # Then it sees the same, and its windows are rows
    assert len(whole[1]) > 100
    assert parts == whole
    with closing(sqlite3.connect(tmp_path / "parts" / "rig.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM bars WHERE interval = '4t'").fetchone() >= (5,)


def resumed(directory: Path, spec: str) -> Rig:
    """Return a session that goes on from the newest checkpoint, as a new process does."""
    return Rig(directory, *load_strategies([StrategySpec(spec)]), is_resumed=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_session_killed_at_any_row_sees_and_orders_what_it_does_in_one_piece(
    tmp_path: Path, recorder: str, seed: int
) -> None:
    # Given a session in one piece
    values = walk(60, seed)

    def session(directory: Path, kills: list[int]) -> tuple[Any, Any]:
        """Show the values; at each kill nothing more is stored, and a new process goes on from the checkpoint."""
        directory.mkdir()
        rig, first = Rig(directory, *load_strategies([StrategySpec(recorder)])), 0
        for stop in [*kills, len(values)]:
            rig.show(*values[first:stop])
            orders, first = rig.orders(), stop
            if stop < len(values):
                rig.close()
                rig = resumed(directory, recorder)
        seen = memory_of(rig)
        rig.close()
        return orders, seen

    whole = session(tmp_path / "whole", [])
    rng = random.Random(seed)
    for number in range(6 if EVERY_KILL else 1):
        # When it is left at random rows, in the middle of bars, and resumed
        kills = sorted(rng.sample(range(1, len(values)), 11))
        # Then it sees and orders the same
        assert session(tmp_path / f"{seed}-{number}", kills) == whole, kills
