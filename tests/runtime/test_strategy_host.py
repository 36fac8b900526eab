"""The host: who is shown what, whose intents count, and whose mistakes stay whose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten

MakeRig = Callable[..., Rig]


class Watcher(ScriptedStrategy):
    """Keeps what it is shown."""

    def __init__(self, name: str, symbols: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.symbols = symbols
        self.bars = 0
        self.starts = 0

    def on_start(self, ctx: Context) -> None:
        self.starts += 1

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.bars += 1
        return ()


def test_no_symbols_means_every_symbol_and_others_see_only_their_own(rig_of: MakeRig) -> None:
    everything, mine, other = Watcher("all"), Watcher("mine", (SYMBOL,)), Watcher("other", ("000660",))
    rig = rig_of(everything, mine, other)

    rig.quote(kst(10))
    rig.show(Bar(SYMBOL, kst(10, 1), *[D(150_000)] * 4, D(1)))

    assert [(w.quotes, w.bars, w.starts) for w in (everything, mine, other)] == [(1, 1, 1), (1, 1, 1), (0, 0, 1)]


def test_a_host_shows_the_strategy_its_own_account(rig_of: MakeRig) -> None:
    seen: dict[str, Any] = {}

    class Curious(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
            seen.update(
                now=ctx.now,
                state=ctx.state,
                budget=ctx.budget,
                holding=ctx.holding(SYMBOL),
                cost=ctx.average_cost(SYMBOL),
                working=ctx.working(SYMBOL),
            )
            return super().on_quote(ctx, quote)

    curious, other = Curious(), ScriptedStrategy("other")
    rig = rig_of(curious, other)
    curious.wants(Side.BUY, qty=10)
    other.wants(Side.BUY, qty=5)
    now = rig.quotes(kst(10), 3)
    budget = rig.shared.account.available(Pool.SCALP)
    curious.wants(Side.BUY, qty=1, limit=149_000)
    rig.quotes(now + 1_000_000_000, 1)

    assert seen["state"] is OperatingState.BALANCED
    assert seen["holding"] == 10
    assert seen["cost"] == D(150_100)
    assert seen["working"] is True
    assert seen["budget"] < budget
    assert seen["now"] == rig.clock.now()


def test_what_a_strategy_said_before_it_failed_stands(rig_of: MakeRig) -> None:
    class HalfWay(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Iterator[Intent]:
            self.quotes += 1
            yield Intent(SYMBOL, Side.BUY, 1.0, qty=1)
            raise RuntimeError("and then")

    half, healthy = HalfWay(), ScriptedStrategy("healthy")
    rig = rig_of(half, healthy)
    healthy.wants(Side.BUY, qty=2)

    rig.quote(kst(10))

    assert [(order.strategy, order.qty) for order in rig.orders()] == [("scripted", D(1)), ("healthy", D(2))]


def test_a_strategy_that_asks_without_end_is_halted_at_once_and_nothing_of_it_counts(rig_of: MakeRig) -> None:
    class Endless(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Iterator[Intent]:
            self.quotes += 1
            while True:
                yield Intent(SYMBOL, Side.BUY, 1.0, qty=1)

    endless, healthy = Endless(), ScriptedStrategy("healthy")
    rig = rig_of(endless, healthy)
    healthy.wants(Side.BUY, qty=2)

    rig.quotes(kst(10), 3)

    assert endless.quotes == 1
    assert rig.kernel.host.contexts[0].halted
    assert [(order.strategy, order.qty) for order in rig.orders()] == [("healthy", D(2))]
    assert [line for line in rig.logged if "it asked for more than 1,000 intents in one call" in line.message]


@pytest.mark.parametrize(("wanted", "halted"), [(1_000, False), (1_001, True)])
def test_a_thousand_intents_are_not_without_end(wanted: int, halted: bool, rig_of: MakeRig) -> None:
    class Many(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
            return [Intent(SYMBOL, Side.BUY, 1.0, qty=1)] * wanted

    rig = rig_of(Many())

    rig.quote(kst(10))

    assert rig.kernel.host.contexts[0].halted is halted


def test_a_good_answer_ends_the_row_of_errors(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    for minute in range(5):
        scripted.fail_with = [ValueError("x"), ValueError("y")]
        rig.quotes(kst(10, minute), 2)

    assert not rig.kernel.host.contexts[0].halted
    assert sum("raised ValueError" in line.message for line in rig.logged) == 10


def test_an_error_about_a_fill_counts_too_and_the_fill_is_booked(rig_of: MakeRig) -> None:
    class Clumsy(ScriptedStrategy):
        def on_fill(self, ctx: Context, fill: FillView) -> None:
            raise KeyError(fill.symbol)

    clumsy = Clumsy()
    rig = rig_of(clumsy)
    clumsy.wants(Side.BUY, qty=3)
    rig.quotes(kst(10), 1)

    assert rig.held() == 3
    assert any("KeyError" in line.message for line in rig.logged)


def test_something_that_is_no_intent_is_the_strategy_s_mistake(rig_of: MakeRig) -> None:
    class Chatty(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Any:
            self.quotes += 1
            return ["buy"]

    chatty, healthy = Chatty(), ScriptedStrategy("healthy")
    rig = rig_of(chatty, healthy)
    healthy.wants(Side.BUY, qty=2)

    rig.quotes(kst(10), 6)

    assert rig.kernel.host.contexts[0].halted
    assert rig.held("healthy") == 2


def test_what_only_looks_like_an_intent_is_the_strategy_s_mistake(rig_of: MakeRig) -> None:
    class Alike(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Any:
            return [SimpleNamespace(symbol=SYMBOL, side=Side.BUY, confidence=1.0, qty=1, limit=None, reason="")]

    rig = rig_of(Alike())
    rig.quotes(kst(10), 1)

    assert rig.orders() == []
    assert "a strategy answers with Intents" in rig.logged[0].message


def test_a_method_that_returns_nothing_says_nothing(rig_of: MakeRig) -> None:
    class Silent(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Any: ...
        def on_bar(self, ctx: Context, bar: Bar) -> Any: ...

    rig = rig_of(Silent())
    rig.quotes(kst(10), 4)
    for minute in range(4):
        rig.show(Bar(SYMBOL, kst(10, 1 + minute), *[D(150_000)] * 4, D(1)))

    assert not rig.logged
    assert rig.kernel.host.contexts[0].errors == 0


def test_a_strategy_that_ends_the_program_is_halted_and_the_session_goes_on(rig_of: MakeRig) -> None:
    class Leaver(ScriptedStrategy):
        def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
            raise SystemExit(0)

    leaver, healthy = Leaver("leaver"), ScriptedStrategy("healthy")
    rig = rig_of(leaver, healthy)
    healthy.wants(Side.BUY, qty=2)

    rig.quotes(kst(10), 6)

    assert [context.halted for context in rig.kernel.host.contexts] == [True, False]
    assert rig.held("healthy") == 2
    assert "strategy leaver raised SystemExit: 0" in rig.logged[0].message


def test_a_signal_that_is_not_decided_in_fail_is_counted_as_refused(rig_of: MakeRig) -> None:
    # Given a strategy that holds ten shares, and a FAIL, in which decisions are paused
    strategy = ScriptedStrategy()
    rig = rig_of(strategy, settings={"state.enabled": "false"})
    now = with_ten(rig, strategy)
    rig.kernel.on_code("FS020", "a computed value is not a number")
    rig.quote(now + 1_000_000_000)
    assert rig.refusals() == {}
    # when it wants to sell
    strategy.wants(Side.SELL)
    rig.quote(now + 2_000_000_000)
    # then nothing is sent, and the signal is counted
    assert rig.held() == 10
    assert rig.refusals() == {"SIGNALS_PAUSED": 1}
