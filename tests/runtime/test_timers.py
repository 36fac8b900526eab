"""Timers: due on the market's clock, saved, and never twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import NEVER_NS, NS_PER_S, to_ns
from qts.errors import ContractError
from qts.market.contracts import MarketValue, Quote, Tick
from qts.market.generic import AlwaysOpen
from qts.market.krx import krx_instrument
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.contracts import Context, Intent, Side
from qts.strategy.loading import StrategySpec, load_strategies
from qts.strategy.timer import MAX_TIMERS, timer_at, timer_every
from tests.risk.requests import D
from tests.runtime.live_rig import PROCESS, LiveRig, live
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
MINUTE_NS = 60 * NS_PER_S
KRX = krx_instrument(SYMBOL).calendar


class Alarmed(ScriptedStrategy):
    """Sets the timers of its script when it starts, and keeps when it hears of which."""

    def __init__(self, **timers: str) -> None:
        super().__init__()
        self.timers = timers
        self.heard: list[str] = []

    def on_start(self, ctx: Context) -> None:
        for name, when in self.timers.items():
            (ctx.at if ":" in when else ctx.every)(when, name)

    def on_quote(self, ctx: Context, quote: object) -> Iterable[Intent]:
        self.heard.append(f"quote {ctx.now.astimezone(UTC) + timedelta(hours=9):%d %H:%M:%S}")
        return ()

    def on_timer(self, ctx: Context, name: str) -> Iterable[Intent]:
        self.heard.append(f"{name} {ctx.now.astimezone(UTC) + timedelta(hours=9):%d %H:%M:%S}")
        intents, self.intents = self.intents, []
        return intents


def test_a_daily_timer_is_due_on_session_days_alone_at_its_local_time() -> None:
    # Given a timer at 15:10 that is set on Friday the 23rd at that very time
    timers = StrategyTimers(KRX)
    timers.set("s", timer_at("15:10", "home"), kst(15, 10, day=23))
    # Then it is due next on Monday
    assert timers.due_ns == kst(15, 10, day=26)
    # And after that on Tuesday
    assert [one.name for one in timers.take(timers.due_ns)] == ["home"]
    assert timers.due_ns == kst(15, 10, day=27)


def test_an_interval_counts_from_the_open_and_stays_inside_the_session() -> None:
    # Given a timer every 100 minutes, set on Thursday before the open; the session lasts 390 minutes
    timers = StrategyTimers(KRX)
    timers.set("s", timer_every("100m", "look"), kst(8))
    # When it is taken six times
    found = []
    for _ in range(6):
        found.append(timers.due_ns)
        timers.take(timers.due_ns)
    # Then it was due at the open and 100, 200, 300 minutes after it, and at the next open, not at 15:40
    thursday = [kst(9), kst(10, 40), kst(12, 20), kst(14)]
    assert found == [*thursday, kst(9, day=23), kst(10, 40, day=23)]


def test_an_interval_counts_from_local_midnight_where_the_market_never_closes() -> None:
    timers = StrategyTimers(AlwaysOpen())
    noon = to_ns(datetime(2026, 1, 22, 12, tzinfo=UTC))
    timers.set("s", timer_every("7h", "look"), noon)

    found = []
    for _ in range(3):
        found.append((timers.due_ns - noon) / 3600e9)
        timers.take(timers.due_ns)

    assert found == [2.0, 9.0, 12.0]  # 14:00, 21:00, and midnight, from which it counts again


@given(minutes=st.integers(1, 500), after_s=st.integers(0, 6 * 86_400), count=st.integers(1, 30), krx=st.booleans())
def test_an_interval_is_never_due_twice_nor_outside_a_session(
    minutes: int, after_s: int, count: int, krx: bool
) -> None:
    calendar = KRX if krx else AlwaysOpen()
    timers = StrategyTimers(calendar)
    before = kst(0) + after_s * NS_PER_S
    timers.set("s", timer_every(f"{minutes}m", "x"), before)
    for _ in range(count):
        due_ns = timers.due_ns
        assert due_ns > before
        if krx:
            day = calendar.local_date(datetime.fromtimestamp(due_ns / 1e9, UTC))
            open_ns, close = to_ns(calendar.at(day, 9)), calendar.close(day)
            assert close is not None
            assert open_ns <= due_ns < to_ns(close)
            assert (due_ns - open_ns) % (minutes * MINUTE_NS) == 0
        assert len(timers.take(due_ns)) == 1
        before = due_ns


def test_the_same_name_again_replaces_and_the_same_timer_again_goes_on() -> None:
    timers = StrategyTimers(KRX)
    timers.set("s", timer_at("15:10", "x"), kst(9))
    timers.set("s", timer_at("15:10", "x"), kst(15, 10))  # as it was: what is due stays due
    assert timers.due_ns == kst(15, 10)
    timers.set("s", timer_at("15:20", "x"), kst(15))
    assert timers.due_ns == kst(15, 20)
    assert len(timers.take(kst(15, 20))) == 1


def test_one_timer_too_many_is_refused_by_its_name_and_changes_nothing() -> None:
    timers = StrategyTimers(KRX)
    for number in range(MAX_TIMERS):
        timers.set("s", timer_at("15:10", f"t{number}"), kst(9))
    with pytest.raises(ContractError, match="timer 'more': a strategy may have 1,000 timers"):
        timers.set("s", timer_at("10:00", "more"), kst(9))
    timers.set("other", timer_at("15:10", "more"), kst(9))  # each strategy has its own
    assert timers.due_ns == kst(15, 10)


def test_a_calendar_without_further_sessions_has_no_further_times() -> None:
    class Over(AlwaysOpen):
        def is_trading_day(self, day: object) -> bool:
            return False

    timers = StrategyTimers(Over())
    timers.set("s", timer_at("15:10", "x"), kst(9))
    assert timers.due_ns == NEVER_NS


@pytest.mark.parametrize("when", ["24:00", "9:30", "15:60", "noon", "", None, 15])
def test_a_time_that_is_none_is_refused(when: object) -> None:
    with pytest.raises(ContractError, match='at: the time must be a text from "00:00" to "23:59"'):
        timer_at(when, "x")


@pytest.mark.parametrize("span", ["0m", "5", "5d", "25h", "-5m", "5 m", "86401s", None, 5])
def test_an_interval_that_is_none_is_refused(span: object) -> None:
    with pytest.raises(ContractError, match="every: the interval must be a text like"):
        timer_every(span, "x")


@pytest.mark.parametrize("name", ["", "x" * 61, "a\nb", None, 3])
def test_a_name_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(ContractError, match="printable text of 1 to 60"):
        timer_at("15:10", name)


# -- in a session --------------------------------------------------------------------------------------------------


def test_a_timer_comes_before_the_value_of_the_same_nanosecond(rig_of: MakeRig) -> None:
    # Given a timer at 10:00, one every 30 minutes, and quotes right before, at and right after ten
    alarmed = Alarmed(ten="10:00", half="30m")
    rig = rig_of(alarmed)
    # When the market shows them
    for at_ns in (kst(9, 45), kst(10), kst(10, 0, 1)):
        rig.quote(at_ns)
    # Then each timer came at its own time, in the order in which they were set, before the quote of that time
    assert alarmed.heard == [
        "half 22 09:00:00",
        "half 22 09:30:00",
        "quote 22 09:45:00",
        "ten 22 10:00:00",
        "half 22 10:00:00",
        "quote 22 10:00:00",
        "quote 22 10:00:01",
    ]


def test_what_a_timer_wants_becomes_an_order(rig_of: MakeRig) -> None:
    alarmed = Alarmed(ten="10:00")
    rig = rig_of(alarmed)
    rig.quote(kst(9, 59, 59))
    alarmed.wants(Side.BUY, qty=3)

    rig.quotes(kst(10, 0, 1), 2)

    assert [(order.ts_intent_ns, order.filled) for order in rig.orders()] == [(kst(10), 3)]


def test_a_strategy_without_the_hook_is_told_so_and_halted(rig_of: MakeRig) -> None:
    class Deaf(ScriptedStrategy):
        def on_start(self, ctx: Context) -> None:
            ctx.at("15:10", "home")

    rig = rig_of(Deaf())

    (context,) = rig.kernel.host.contexts
    assert context.halted
    assert "timer 'home': the class has no on_timer(self, ctx, name)" in context.why
    assert rig.kernel.moments is None


def test_ten_thousand_timers_halt_their_strategy_and_name_the_first_too_many(rig_of: MakeRig) -> None:
    class Greedy(Alarmed):
        def on_start(self, ctx: Context) -> None:
            for number in range(10_000):
                ctx.at("15:10", f"t{number}")

    rig = rig_of(Greedy())

    (context,) = rig.kernel.host.contexts
    assert context.halted
    assert "timer 't1000': a strategy may have 1,000 timers" in context.why


def test_a_session_without_timers_has_no_moments(rig_of: MakeRig) -> None:
    assert rig_of(ScriptedStrategy()).kernel.moments is None


def test_a_strategy_sees_all_it_holds_and_writes_into_the_log(rig_of: MakeRig) -> None:
    seen: list[object] = []

    class Looking(Alarmed):
        def on_timer(self, ctx: Context, name: str) -> Iterable[Intent]:
            seen.append((dict(ctx.holdings), ctx.is_flat(SYMBOL), ctx.is_flat("000660")))
            ctx.log(f"{name} is here" + "!" * 2_000)
            yield from super().on_timer(ctx, name)

    looking = Looking(ten="10:00", later="10:01")
    rig = rig_of(looking)
    rig.quote(kst(9, 59, 59))
    looking.wants(Side.BUY, qty=3)
    rig.quotes(kst(10, 0, 1), 61)

    assert seen == [({}, True, True), ({SYMBOL: 3}, False, True)]
    lines = [line for line in rig.logged if line.fields == {"strategy": "scripted"} and "is here" in line.message]
    assert [(line.level, line.message[:12], len(line.message), line.ts_ns) for line in lines] == [
        ("INFO", "ten is here!", 1_000, kst(10)),
        ("INFO", "later is her", 1_000, kst(10, 1)),
    ]


def test_lines_of_the_log_are_bounded_and_that_is_told(rig_of: MakeRig) -> None:
    class Chatty(Alarmed):
        def on_timer(self, ctx: Context, name: str) -> Iterable[Intent]:
            for number in range(10_500):
                ctx.log(f"line {number}")
            return ()

    rig = rig_of(Chatty(ten="10:00"))
    rig.quote(kst(10))

    mine = [line.message for line in rig.logged if line.fields.get("strategy") == "scripted"]
    assert mine[-1] == "has written 10,000 lines; further ones are left out"
    assert mine[-2] == "line 9999"


# -- in a process of its own, and resumed --------------------------------------------------------------------------

LISTENER = """
from qts.kit import Intent, Side, Strategy

class Listener(Strategy):
    data = ("trades",)

    def __init__(self):
        self.seen = []

    def on_start(self, ctx):
        ctx.every("20s", "often")
        ctx.at("09:01", "once")

    def on_trade(self, ctx, tick):
        self.seen.append(f"trade {tick.ts_ns} {tick.price} {dict(ctx.holdings)}")
        if len(self.seen) == 10:
            ctx.every("15s", "often")

    def on_timer(self, ctx, name):
        self.seen.append(f"{name} {ctx.is_flat('005930')}")
        ctx.log(f"timer {name}")
        if len(self.seen) % 3 == 0:
            yield Intent("005930", Side.BUY, 1.0, qty=1)
"""


def trades(count: int) -> list[MarketValue]:
    """Return a quote before each of ``count`` trades, ten seconds apart from 08:59:55 on."""
    values: list[MarketValue] = []
    for number in range(count):
        at_ns = kst(8, 59, 55 + 10 * number)
        values.append(Quote(SYMBOL, at_ns, bid=D(150_000), ask=D(150_100), bid_size=D(9), ask_size=D(9)))
        values.append(Tick(SYMBOL, at_ns, D(150_000 + 100 * (number % 3)), D(5)))
    return values


def heard(rig: Rig) -> list[str]:
    memory = msgspec.msgpack.decode(rig.kernel.host.export_state()["Listener"]["attributes"])
    found: list[str] = memory["memory"]["seen"]
    return found


def has_timers(rig: LiveRig) -> bool:
    assert rig.kernel.moments is not None
    return rig.kernel.moments.due_ns < NEVER_NS


def lines_of(rig: Rig | LiveRig) -> list[str]:
    return [line.message for line in rig.logged if line.fields == {"strategy": "Listener"}]


async def test_trades_and_timers_are_the_same_on_the_loop_and_in_a_process(rig_of: MakeRig, tmp_path: Path) -> None:
    # Given a strategy that hears trades and timers, and what it hears on the virtual clock
    path = tmp_path / "listener.py"
    path.write_text(LISTENER)
    spec = f"{path}:Listener"
    rig = rig_of(*load_strategies([StrategySpec(spec)]))
    rig.show(*trades(20))
    orders, seen, lines = rig.orders(), heard(rig), lines_of(rig)
    assert [line.partition(" ")[0] for line in seen].count("once") == 1
    assert any("Decimal('1')" in line for line in seen)
    assert orders
    for settings in (PROCESS, {}):
        # When the same values are shown in a process of its own, and on the event loop
        directory = tmp_path / f"live{len(settings)}"
        directory.mkdir()
        async with live(directory, spec, settings=settings) as other:
            await other.until(lambda: has_timers(other))  # the process has started
            await other.show(*trades(20))
            # Then it hears and orders the same
            assert other.orders() == orders
            assert other.memory("Listener")["attributes"]["memory"]["seen"] == seen
            assert lines_of(other) == lines
            assert other.faults() == []


async def test_a_resumed_session_hears_of_every_timer_once(tmp_path: Path) -> None:
    # Given the same strategy, and what it hears in one piece
    path = tmp_path / "listener.py"
    path.write_text(LISTENER)
    spec, values = f"{path}:Listener", trades(20)
    (tmp_path / "whole").mkdir()
    async with live(tmp_path / "whole", spec, settings={}) as rig:
        await rig.show(*values)
        run_to_completion(rig.kernel.shared.record.checkpoint())
        seen = rig.memory("Listener")["attributes"]["memory"]["seen"]
    for settings in (PROCESS, {}):
        # When the session is left and resumed after every few values
        directory = tmp_path / f"parts{len(settings)}"
        directory.mkdir()
        for first in range(0, len(values), 7):
            async with live(directory, spec, settings=settings) as part:
                await part.until(lambda: has_timers(part))
                await part.show(*values[first : first + 7])
                run_to_completion(part.kernel.shared.record.checkpoint())
                found = part.memory("Listener")["attributes"]["memory"]["seen"]
        # Then it has heard the same
        assert found == seen
