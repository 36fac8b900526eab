"""Rows that nothing waits for go in one loop; what comes of a session does not depend on which rows did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.event.contracts import EventPriority
from qts.indicators import Sma
from qts.market.contracts import (
    Bar,
    BookUpdate,
    IndexLevel,
    Instrument,
    MarketValue,
    Quote,
    Tick,
    VolatilityLevel,
)
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers import replay_driver
from qts.runtime.drivers.replay_driver import run_virtual
from qts.runtime.drivers.straight_rows import StraightRows
from qts.runtime.session.session_plan import Options, Profile, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.order_news import OrderNews
from qts.strategy.targets import Cancel, Target
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, kst
from tests.sim.sessions import book_of, comparable, run

BASE = 150_000
"""The price of the evening before: the day's band is 105,000 to 195,000."""
OTHER = "FOREIGN"
"""A symbol without a price band, which the strategies cannot order."""
ACTIONS = ("buy", "sell", "bid", "lazily", "junk", "fails", "exits", "no truth", "cancelled", "protect", "follow")
DISTURBANCES = ("stop", "warning", "defensive", "lockdown", "checkpoint", "audit")
STEPS_NS = st.sampled_from([0, 1_000_000, 30_000_000, 30_000_000, 1_000_000_000, 61_000_000_000, 3_600_000_000_000])


class NoTruth:
    """An answer that does not say whether it is empty."""

    def __bool__(self) -> bool:
        raise ValueError("neither")


class Acting:
    """Does at its n-th quote or bar what a script says; what it could see is not part of its memory."""

    pool, symbols = Pool.SCALP, ()
    not_saved = ("act", "seen")

    def __init__(self, name: str, script: dict[int, str], act: Callable[[int], object] = lambda call: None) -> None:
        self.name = name
        self.script = script
        self.calls = 0
        self.seen: list[tuple[Any, ...]] = []
        self.act = act

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Any:
        return self.answer(ctx, quote)

    def on_bar(self, ctx: Context, bar: Bar) -> Any:
        return self.answer(ctx, bar)

    def answer(self, ctx: Context, value: Quote | Bar | Tick) -> Any:
        self.calls += 1
        self.act(self.calls)
        self.seen.append((ctx.now, value.ts_ns, ctx.holding(SYMBOL), ctx.budget, ctx.working(SYMBOL), ctx.state))
        match self.script.get(self.calls):
            case "buy":
                return (Intent(SYMBOL, Side.BUY, 1.0, qty=1),)
            case "sell":
                return [Intent(SYMBOL, Side.SELL, 1.0, qty=1)]
            case "bid":
                return (Intent(SYMBOL, Side.BUY, 1.0, qty=1, limit=D(149_000)),)
            case "lazily":
                return (Intent(SYMBOL, Side.BUY, 1.0, qty=1) for _ in range(2))
            case "junk":
                return ("buy",)
            case "fails":
                raise RuntimeError("on purpose")
            case "exits":
                raise SystemExit
            case "no truth":
                return NoTruth()
            case "protect":
                return (Target(SYMBOL, 2, stop=149_900, take=150_600),)
            case "follow":
                return (Target(SYMBOL, 3, stop=Away(share=0.01), trail=Away(300)),)
            case "cancelled":
                raise asyncio.CancelledError
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.seen.append((ctx.now, fill))


class Hearing(Acting):
    """Hears of trades and timers as well; it sets one more timer at every tenth call, and writes a line."""

    data = ("trades",)

    def on_start(self, ctx: Context) -> None:
        ctx.every("17m", "often")
        ctx.at("10:30", "once a day")

    def on_trade(self, ctx: Context, tick: Tick) -> Any:
        return self.answer(ctx, tick)

    def on_timer(self, ctx: Context, name: str) -> Any:
        self.seen.append((ctx.now, name))
        return self.answer(ctx, bar(0))

    def answer(self, ctx: Context, value: Quote | Bar | Tick) -> Any:
        if self.calls % 10 == 3:
            ctx.every(f"{self.calls}s", f"timer {self.calls % 3}")
            ctx.log(f"call {self.calls}")
        return super().answer(ctx, value)


class Declaring(Hearing):
    """Declares bars as well, and tracks an indicator."""

    bars: ClassVar[Any] = {"1m": 3, "1h": 2, "2t": 4, "1d": 1}

    def on_start(self, ctx: Context) -> None:
        super().on_start(ctx)
        self.mean = ctx.track(Sma(2), "2t")

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Any:
        self.seen.append(tuple(bars.values()))
        self.seen.append(tuple(repr(self.mean[symbol].value) for symbol in bars))
        return self.answer(ctx, bar(0))


class Aiming(Acting):
    """Says targets and cancels in the place of intents, and hears of its orders."""

    def answer(self, ctx: Context, value: Quote | Bar | Tick) -> Any:
        intents = super().answer(ctx, value)
        match self.script.get(self.calls):
            case "buy":
                return (Target(SYMBOL, 3, stop=Away(500), take=Away(share=0.1)),)
            case "sell":
                return [Target(SYMBOL, 0)]
            case "bid":
                return (Target(SYMBOL, 2, limit=D(149_000), tag="low"),)
            case "lazily":
                return (one for one in (Cancel("low"), Target(SYMBOL, weight=0.01, trail=Away(share=0.05))))
        return intents

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        self.seen.append((ctx.now, news))


class GeneralPath:
    """Stands in for :class:`StraightRows` and lets no row go straight."""

    taken, is_accepted = 0, False

    def __init__(self, *anything: object) -> None:
        """Need nothing."""

    def take(
        self, values: Iterator[MarketValue], most: int, first: MarketValue | None = None
    ) -> MarketValue | None:
        """Take nothing."""
        return first


@st.composite
def values(draw: st.DrawFn, kinds: str) -> MarketValue:
    """A value without its time, of one of ``kinds``; some prices cannot be, some sides are missing, one book is
    crossed."""
    symbol = draw(st.sampled_from([SYMBOL, SYMBOL, OTHER]))
    price = D(draw(st.sampled_from([149_900, 150_000, 150_000, 150_100, 150_500, 100_000, 200_000])))
    match draw(st.sampled_from(kinds)):
        case "q":
            spread = draw(st.sampled_from([100, 100, 100, -100]))
            bid, ask = draw(st.sampled_from([(price, price + spread)] * 3 + [(None, price), (price, None)]))
            last = draw(st.none() | st.just(price))
            return Quote(symbol, 0, bid=bid, ask=ask, bid_size=D(9), ask_size=D(9), last=last)
        case "t":
            return Tick(symbol, 0, price, D(2))
        case "u":
            return BookUpdate(symbol, 0, ((price, D(5)),), ((price + 100, D(5)),), snapshot=draw(st.booleans()))
        case "b":
            low = price - draw(st.sampled_from([0, 0, 200, -50]))  # one bar has its low above its open
            interval = draw(st.sampled_from(["1m", "1m", "5m", "1d"]))
            return Bar(symbol, 0, price, price + 100, low, price, D(10), interval=interval)
        case "i":
            return IndexLevel("INDEX", 0, draw(st.sampled_from([5_900.0, 4_000.0])))
        case _:
            return VolatilityLevel("VIX", 0, draw(st.sampled_from([12.0, 35.0])))


@st.composite
def tapes(draw: st.DrawFn) -> list[MarketValue]:
    """Values of all kinds, or bars and indices alone: then orders wait for the next bar's open."""
    kinds, first = draw(st.sampled_from([("qqqqqqttubbiv", quote(kst(15))), ("bbbbbbbi", bar(kst(15)))]))
    at_ns, tape = kst(9, 59, day=23), [first]
    for value in draw(st.lists(values(kinds), min_size=5, max_size=60)):
        at_ns += draw(STEPS_NS)
        tape.append(msgspec.structs.replace(value, ts_ns=at_ns))
    return tape


def quote(at_ns: int, symbol: str = SYMBOL) -> Quote:
    return Quote(symbol, at_ns, bid=D(BASE), ask=D(BASE + 100), bid_size=D(9), ask_size=D(9))


def bar(at_ns: int, **changed: Any) -> Bar:
    made = Bar(SYMBOL, at_ns, D(BASE), D(BASE + 100), D(BASE), D(BASE), D(1), interval="1m")
    return msgspec.structs.replace(made, **changed)


def quotes(count: int, *, first_ns: int = kst(10)) -> list[Quote]:
    return [quote(first_ns + number * 1_000_000) for number in range(count)]


SCRIPTS = st.dictionaries(st.integers(1, 40), st.sampled_from(ACTIONS), max_size=10)


class Outcome(msgspec.Struct):
    """All that two sessions on the same values have to share."""

    checkpoint: bytes
    book: dict[str, list[tuple[Any, ...]]]
    rows: int
    counts: dict[str, Any]
    seen: list[list[tuple[Any, ...]]]
    said: list[Any]


def played(
    directory: Path,
    tape: list[MarketValue],
    scripts: tuple[dict[int, str], dict[int, str]],
    disturbed: dict[int, str],
    *,
    is_watched: bool,
    kind: type[Acting] = Acting,
) -> Outcome:
    """Play ``tape`` to its end, resumed after each stop; ``disturbed`` are disturbances by number of the value."""
    first, second = kind("first", scripts[0]), Acting("second", scripts[1])
    rig = Rig(directory, first, second, settings={"risk.symbol_weight_limit": "0.60"})
    if is_watched:
        rig.kernel.dispatcher.set_deadline(lambda: None, 1_000)
    flags: list[StopFlag] = []

    def disturb(kind: str | None) -> None:
        due, on_code = rig.kernel.due, rig.kernel.on_code
        match kind:
            case "stop":
                flags[-1].request()
            case "warning":
                due.call_soon(lambda: on_code("FS081", "a drill"))
            case "defensive":
                due.call_soon(lambda: on_code("FS020", "a drill"))
            case "lockdown":
                due.call_soon(lambda: on_code("FS104", "a drill"))
            case "checkpoint":
                due.checkpoint_soon()
            case "audit":
                due.audit_soon()

    def given() -> Iterator[MarketValue]:
        for number, value in enumerate(tape):
            disturb(disturbed.get(number))
            yield value

    rest = given()
    while True:
        flags.append(StopFlag())
        if run_virtual(rig.kernel, rest, lambda share, moment: None, flags[-1], None):
            break
    rig.kernel.host.keep_memories()
    checkpoint = rig.kernel.checkpoints.encode()
    stats = rig.kernel.dispatcher.queue_stats()
    counts = {name: {key: row[key] for key in row if key != "events_per_s"} for name, row in stats.items()}
    said = [
        (one.level, one.message.partition("\n")[0], one.ts_ns, one.fields) for one in rig.logged
    ]  # no traceback
    rig.close()
    book = book_of(directory, "rig.sqlite")
    return Outcome(checkpoint, book, rig.kernel.intake.rows, counts, [first.seen, second.seen], said)


@settings(max_examples=60, deadline=None)
@given(
    tape=tapes(),
    scripts=st.tuples(SCRIPTS, SCRIPTS),
    disturbed=st.dictionaries(st.integers(0, 60), st.sampled_from(DISTURBANCES), max_size=3),
    is_watched=st.sampled_from([False, False, False, True]),
    kind=st.sampled_from([Acting, Hearing, Declaring, Aiming]),
)
def test_a_session_is_the_same_whether_rows_go_straight_or_not(
    tmp_path_factory: pytest.TempPathFactory,
    tape: list[MarketValue],
    scripts: tuple[dict[int, str], dict[int, str]],
    disturbed: dict[int, str],
    is_watched: bool,
    kind: type[Acting],
) -> None:
    # Given values of all kinds, two strategies that order, fail and ask for nonsense, stops, alarms and audits
    # When they are played with every row on the general path, and with the loop for straight rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_driver, "StraightRows", GeneralPath)
        general = played(
            tmp_path_factory.mktemp("general"), tape, scripts, disturbed, is_watched=is_watched, kind=kind
        )
    straight = played(
        tmp_path_factory.mktemp("straight"), tape, scripts, disturbed, is_watched=is_watched, kind=kind
    )
    # Then checkpoint, every table, counts, log and what the strategies saw are equal
    assert straight == general


PROTECTED = st.dictionaries(st.integers(1, 40), st.sampled_from(["protect", "follow", "follow"]), min_size=3)


@st.composite
def near_levels(draw: st.DrawFn) -> list[MarketValue]:
    """Quotes and trades, or minute bars alone, every one second or minute, that walk around the price of entry."""
    is_bars = draw(st.booleans())
    at_ns, price, tape = kst(9, 59, day=23), BASE, [bar(kst(15)) if is_bars else quote(kst(15))]
    for step in draw(st.lists(st.integers(-3, 3), min_size=20, max_size=60)):
        at_ns, before, price = at_ns + (60 if is_bars else 1) * NS_PER_S, price, price + step * 100
        if is_bars:
            low, high = min(before, price) - 100, max(before, price) + 100
            tape.append(bar(at_ns, open=D(before), high=D(high), low=D(low), close=D(price), volume=D(100)))
        elif step % 3:
            tape.append(Quote(SYMBOL, at_ns, D(price), D(price + 100), D(9), D(9)))
        else:
            tape.append(Tick(SYMBOL, at_ns, D(price), D(2)))
    return tape


@settings(max_examples=30, deadline=None)
@given(tape=near_levels(), scripts=st.tuples(PROTECTED, PROTECTED), stops=st.sets(st.integers(0, 60), max_size=2))
def test_levels_of_positions_are_reached_whether_rows_go_straight_or_not(
    tmp_path_factory: pytest.TempPathFactory,
    tape: list[MarketValue],
    scripts: tuple[dict[int, str], dict[int, str]],
    stops: set[int],
) -> None:
    # Given two strategies that hold with stops, takes and trails close to the market
    disturbed = dict.fromkeys(stops, "stop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_driver, "StraightRows", GeneralPath)
        general = played(tmp_path_factory.mktemp("general"), tape, scripts, disturbed, is_watched=False)
    straight = played(tmp_path_factory.mktemp("straight"), tape, scripts, disturbed, is_watched=False)
    assert straight == general
    target(sum("reached at" in str(line) for line in straight.said), label="levels that were reached")


UNIVERSE = ("AAA", "BBB", "CCC", "DDD")
DAY_NS = 86_400 * NS_PER_S


class Universe:
    """A feed of four symbols that trade day and night: of each a bar a day, all known at the same moment."""

    name = source_id = "universe"
    max_age_ns = 10**18
    declares_volatility = False
    rows_refused: Mapping[str, int] = {}

    def __init__(self, days: Sequence[Sequence[int]]) -> None:
        self._days = days
        ticks, costs = FixedTicks("0.1"), RateCosts("0.0005", "0", "0.01")
        self.instruments = {
            symbol: Instrument(symbol, "KRW", D("0.01"), D(1), ticks, costs, AlwaysOpen()) for symbol in UNIVERSE
        }

    def values(self) -> Iterator[MarketValue]:
        for number, prices in enumerate([(100,) * 4, *self._days]):
            ts_ns = kst(9, day=22) + number * DAY_NS
            for symbol, price in zip(UNIVERSE, prices, strict=True):
                if price:  # 0: no bar of that symbol on that day
                    close = D(price)
                    yield Bar(symbol, ts_ns, close - 1, close + 2, close - 2, close, D(1_000), interval="1d")

    def position(self) -> dict[str, Any]:
        return {}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Resume nothing: these sessions are not stopped."""

    def progress(self) -> float | None:
        return None


class ByDay:
    """Wants on a day what a script says of its symbol, one share each."""

    name, pool, symbols = "by-day", Pool.SWING, ()
    not_saved = ("seen",)

    def __init__(self, script: Mapping[tuple[str, int], str]) -> None:
        self.script = {f"{symbol} {day}": wish for (symbol, day), wish in script.items()}
        self.days: dict[str, int] = {}
        self.seen: list[tuple[Any, ...]] = []

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        return ()

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        symbol = bar.symbol
        self.days[symbol] = day = self.days.get(symbol, 0) + 1
        self.seen.append((ctx.now, symbol, bar.close, ctx.holding(symbol), ctx.budget, ctx.working(symbol)))
        match self.script.get(f"{symbol} {day}"):
            case "buy":
                return (Intent(symbol, Side.BUY, 1.0, qty=1),)
            case "sell":
                return (Intent(symbol, Side.SELL, 1.0, qty=1),)
            case "bid":
                return (Intent(symbol, Side.BUY, 1.0, qty=1, limit=D(95)),)
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.seen.append((ctx.now, fill))


@settings(max_examples=12, deadline=None)
@given(
    days=st.lists(st.tuples(*[st.sampled_from([0, 90, 100, 100, 101, 120])] * 4), min_size=4, max_size=25),
    script=st.dictionaries(
        st.tuples(st.sampled_from(UNIVERSE), st.integers(1, 24)),
        st.sampled_from(["buy", "sell", "bid"]),
        max_size=25,
    ),
    profile=st.sampled_from(Profile),
)
def test_a_universe_of_bars_is_the_same_whether_rows_go_straight_or_not(
    tmp_path_factory: pytest.TempPathFactory,
    days: list[tuple[int, int, int, int]],
    script: dict[tuple[str, int], str],
    profile: Profile,
) -> None:
    def session() -> tuple[Any, Any, Any]:
        strategy, directory = ByDay(script), tmp_path_factory.mktemp("universe") / "run"
        plan = SessionPlan(
            command="backtest",
            options=Options(data_dir=directory, profile=profile),
            open_feed=lambda: Universe(days),
            default_strategies=lambda: (strategy,),
        )
        result = run(plan)
        return comparable(result.values), book_of(directory), strategy.seen

    # Given bars of four symbols at one moment a day, when they are played on the general path and in the loop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_driver, "StraightRows", GeneralPath)
        general = session()
    # Then result, every table and what the strategy saw are equal
    assert session() == general


def told(at: int, act: Callable[[], object]) -> Acting:
    """Return a strategy that calls ``act`` at its quote number ``at``."""
    return Acting("told", {}, lambda call: act() if call == at else None)


def counts_of(rig: Rig) -> tuple[int, int, int]:
    """Return the rows taken, the P1 events handled, and the number of the event made last."""
    kernel = rig.kernel
    return (
        kernel.intake.rows,
        kernel.dispatcher.queue_stats()["P1_HIGH"]["handled"],
        kernel.dispatcher.factory.last_number,
    )


def test_rows_that_nothing_waits_for_become_no_events_and_are_counted_like_them(
    rig_of: Callable[..., Rig],
) -> None:
    # Given a strategy that wants nothing
    strategy = Acting("quiet", {})
    rig = rig_of(strategy)
    # When a thousand quotes come within a second
    rig.show(*quotes(1_000))
    # Then it saw each at its time, and they are counted and numbered like events
    assert [seen[1] for seen in strategy.seen] == [kst(10) + n * 1_000_000 for n in range(1_000)]
    rows, handled, last_number = counts_of(rig)
    assert (rows, handled) == (1_000, 1_000)
    assert last_number >= 1_000
    assert rig.shared.last.feed_ts_ns == rig.clock.time_ns() == kst(10) + 999_000_000
    # And of sixteen the latency of one was measured: rows 1, 17, ... 993
    latency = rig.kernel.dispatcher.stats.latency(EventPriority.P1_HIGH)
    assert (latency.start.count, latency.end.count) == (63, 63)


def test_bars_that_nothing_waits_for_go_straight_and_the_exchange_remembers_them(
    rig_of: Callable[..., Rig],
) -> None:
    # Given a strategy that wants nothing, and a market whose band is known
    strategy = Acting("quiet", {})
    rig = rig_of(strategy)
    rig.show(bar(kst(10)))
    # When two bars of one moment and one of the next minute follow
    bars = [bar(kst(10, 0, 30)), bar(kst(10, 0, 30), close=D(BASE + 50)), bar(kst(10, 0, 59), close=D(BASE + 100))]
    assert straight_rows(rig, bars) == (3, None)
    # Then each was shown, and the newest is the price and the exchange's memory
    assert [seen[1] for seen in strategy.seen[1:]] == [one.ts_ns for one in bars]
    assert rig.shared.last.last_trade(SYMBOL) == BASE + 100
    assert rig.exchange._books[SYMBOL].last_bar.end_ns == bars[-1].ts_ns
    assert counts_of(rig)[:2] == (4, 4)


def test_the_first_bar_of_a_day_goes_straight_unless_it_lies_outside_the_band(rig_of: Callable[..., Rig]) -> None:
    # Given a close of yesterday and a day that has begun
    rig = rig_of(Acting("quiet", {}))
    rig.show(bar(kst(15)), IndexLevel("INDEX", kst(9, day=23), 5_900.0))
    fits, stray = bar(kst(9, 0, 1, day=23)), bar(kst(9, 0, 2, day=23), low=D(100_000))
    # When its first bars come
    # Then the band around that close decides: 105,000 to 195,000
    assert straight_rows(rig, [stray]) == (0, stray)
    assert straight_rows(rig, [fits, stray]) == (1, stray)
    rig.show(stray)
    assert rig.shared.price_bands.doubts[SYMBOL].refused == 1


def test_a_bar_of_a_symbol_with_an_open_order_is_given_back(rig_of: Callable[..., Rig]) -> None:
    # Given an order that waits for the next bar's open
    rig = rig_of(Acting("buyer", {1: "buy"}))
    rig.show(bar(kst(10)))
    assert rig.exchange.active
    # When that bar comes
    first = bar(kst(10, 0, 30))
    # Then it takes the general path, which matches the order
    assert straight_rows(rig, [first]) == (0, first)


def test_counts_are_settled_before_what_a_strategy_wants_is_published(rig_of: Callable[..., Rig]) -> None:
    # Given a strategy that buys at its 100th quote, and a look at the counts when the signal is made
    strategy = Acting("buyer", {100: "buy"})
    rig = rig_of(strategy)
    seen: list[tuple[int, int]] = []
    publish = rig.kernel.signals.on_intent

    def on_intent(*arguments: Any) -> None:
        seen.append(counts_of(rig)[:2])
        publish(*arguments)

    rig.kernel.host._on_intent = on_intent
    # When 200 quotes come
    rig.show(*quotes(200))
    # Then 100 rows were taken and 100 events handled or being handled
    assert seen == [(100, 100)]


@pytest.mark.parametrize("at", [2, 99, 300])
def test_a_stop_is_seen_at_the_next_row(rig_of: Callable[..., Rig], at: int) -> None:
    # Given a strategy in whose call the stop is requested, as a signal handler does
    stop = StopFlag()
    rig = rig_of(told(at, stop.request))
    # When more quotes would come
    assert not run_virtual(rig.kernel, iter(quotes(1_000)), lambda share, moment: None, stop, None)
    # Then no further row was taken
    assert counts_of(rig)[:2] == (at, at)


@pytest.mark.parametrize("at", [2, 99, 300])
def test_a_request_of_another_thread_is_seen_at_the_next_row(rig_of: Callable[..., Rig], at: int) -> None:
    # Given a request that comes while a strategy is called
    seen: list[tuple[int, int]] = []
    strategy = told(at, lambda: rig.kernel.due.call_soon(lambda: seen.append(counts_of(rig)[:2])))
    rig = rig_of(strategy)
    # When more quotes come
    rig.show(*quotes(400))
    # Then it is executed before the next of them
    assert seen == [(at, at)]
    assert strategy.calls == 400


def test_what_was_taken_is_settled_when_the_input_breaks(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Acting("quiet", {}))

    def breaks() -> Iterator[MarketValue]:
        yield from quotes(77)
        raise RuntimeError("the file is gone")

    with pytest.raises(RuntimeError, match="the file is gone"):
        run_virtual(rig.kernel, breaks(), lambda share, moment: None, StopFlag(), None)
    assert counts_of(rig)[:2] == (77, 77)


def test_the_checkpoint_interval_is_kept_to_the_row(
    rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a checkpoint every 512 rows, looked at every 256 values before the value is taken
    rig = rig_of(Acting("quiet", {}), settings={"runtime.checkpoint_interval_rows": "512"})
    rows: list[int] = []
    record = rig.shared.record
    begin = record.begin_checkpoint

    async def noting() -> None:
        rows.append(counts_of(rig)[0])
        await begin()

    monkeypatch.setattr(record, "begin_checkpoint", noting)
    # When a thousand quotes come
    rig.show(*quotes(1_000))
    # Then the one checkpoint comes behind row 768: the look before it is the first to see 512 rows
    assert rows == [768]


def straight_rows(rig: Rig, values: Sequence[MarketValue]) -> tuple[int, MarketValue | None]:
    """Return how many of ``values`` go straight, and the first that does not."""
    straight = StraightRows(rig.kernel, StopFlag())
    given_back = straight.take(iter(values), len(values))
    return straight.taken, given_back


def test_a_row_that_is_not_plain_is_given_back(rig_of: Callable[..., Rig]) -> None:
    # Given a market at ten o'clock whose band is known
    rig = rig_of(Acting("quiet", {}))
    rig.show(*quotes(2))
    at_ns = kst(10, 0, 1)
    plain = quotes(3, first_ns=at_ns)
    cases: dict[str, MarketValue] = {
        "older than the clock": quote(kst(9)),
        "after the next check of the account": quote(kst(10, 5)),
        "outside the band": msgspec.structs.replace(plain[0], bid=D(100_000)),
        "not a number": msgspec.structs.replace(plain[0], last=D("NaN")),
        "a crossed book": msgspec.structs.replace(plain[0], ask=D(BASE - 100)),
        "a symbol not seen before": quote(at_ns + 3_000_000, OTHER),
        "a bar outside the band": bar(at_ns + 3_000_000, high=D(400_000)),
        "a bar whose low is above its open": bar(at_ns + 3_000_000, low=D(BASE + 1)),
        "a bar of no number": bar(at_ns + 3_000_000, close=D("NaN")),
        "an index": IndexLevel("INDEX", at_ns + 3_000_000, 5_900.0),
        "depth of a market with a band": BookUpdate(SYMBOL, at_ns + 3_000_000, (), ()),
    }
    for name, value in cases.items():
        # When it follows three plain quotes, then these go straight and it is given back
        taken, given_back = straight_rows(rig, [*plain, value, *plain])
        assert (name, taken) == (name, 3)
        assert given_back is value, name
        plain = [msgspec.structs.replace(one, ts_ns=rig.clock.ns) for one in plain]


def test_no_row_goes_straight_while_p1_is_paused_or_an_order_is_open(rig_of: Callable[..., Rig]) -> None:
    # Given an order that works in the market
    rig = rig_of(Acting("bidder", {2: "bid"}))
    rig.show(*quotes(5))
    assert rig.exchange.active
    assert straight_rows(rig, quotes(3, first_ns=rig.clock.ns))[0] == 0
    # When an emergency stop ends it and pauses P1
    rig.stop()
    rig.quotes(rig.clock.ns, 2)
    assert not rig.exchange.active
    # Then quotes do not go straight either: each is refused and counted; trades have no handler to be kept from
    assert straight_rows(rig, quotes(3, first_ns=rig.clock.ns))[0] == 0
