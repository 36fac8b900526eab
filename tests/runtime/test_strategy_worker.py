"""The part of a strategy that is in the worker process, looked at without a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.clock import from_ns
from qts.errors import ContractError, InputError
from qts.event.contracts import EventType, create_event
from qts.indicators import Sma
from qts.market.contracts import Bar, Quote
from qts.runtime.strategies.context import StrategyContext
from qts.runtime.strategies.intents import intents_of
from qts.runtime.strategies.process_handler import StrategyProcessHandler, source_of
from qts.runtime.strategies.process_protocol import (
    BatchContext,
    BatchResult,
    Fault,
    Start,
    Started,
    StrategySource,
    fault_text,
)
from qts.runtime.strategies.worker import StrategyWorker, View
from qts.state.contracts import OperatingState
from qts.strategy.contracts import AnyIntent, Context, FillView, Intent, Side
from qts.strategy.levels import Away
from qts.strategy.loading import StrategySpec, fingerprint_of
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderNews, OrderStatus
from qts.strategy.targets import Cancel, Target
from qts.strategy.tracked import Tracked
from qts.strategy.user_code import call_directly
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
QUESTIONS = ("now", "state", "budget")
FILL = FillView(SYMBOL, Side.BUY, D(1), D(150_000), D(15), D(0), kst(10), "o-1", "x-1", False)


class Parrot(ScriptedStrategy):
    """Answers with what it was shown last; the tests look at it from outside."""

    def __init__(self) -> None:
        super().__init__("parrot")
        self.heard: list[str] = []

    def on_start(self, ctx: Context) -> None:
        self.heard.append(f"start {ctx.budget}")

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.heard.append(f"quote {quote.ts_ns}")
        if quote.bid is None:
            raise ValueError("no bid")
        return (Intent(quote.symbol, Side.BUY, 0.9, limit=quote.bid),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.heard.append(f"bar {bar.ts_ns}")
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.heard.append(f"fill {fill.execution_id}")
        if fill.partial:
            raise ValueError("partial")


class Aiming(ScriptedStrategy):
    """Answers with a target and a cancel, and keeps what it is told in its order."""

    def __init__(self) -> None:
        super().__init__("aiming")
        self.heard: list[str] = []

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        return (Target(quote.symbol, weight=0.5, stop=Away(share=0.1), tag="t"), Cancel("t"))

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.heard.append("fill")

    def on_order(self, ctx: Context, news: OrderNews) -> None:
        self.heard.append(news.status.value)


class Endless(ScriptedStrategy):
    def __init__(self) -> None:
        super().__init__("endless")

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        while True:
            yield Intent(quote.symbol, Side.BUY, 0.9, qty=1)


def over_the_wire(value: Any) -> Any:
    """What arrives at the other side."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def context_of(errors: int = 0, *fills: FillView | OrderNews) -> BatchContext:
    return BatchContext(kst(10), OperatingState.BALANCED, D("1000.50"), {}, (), errors, fills)


def worker(memory: bytes | None = None) -> StrategyWorker:
    origin = StrategySource("tests.runtime.test_strategy_worker:Parrot")
    return StrategyWorker(over_the_wire(Start(origin, context_of(), None, memory)))


def quotes(*bids: int | None) -> list[Any]:
    return [
        create_event(
            EventType.ORDERBOOK_UPDATE, payload=Quote(SYMBOL, n, None if bid is None else D(bid), D(160_000))
        )
        for n, bid in enumerate(bids)
    ]


def done(made: StrategyWorker, events: list[Any], told: BatchContext) -> BatchResult:
    return msgspec.convert(over_the_wire(made.work(events, over_the_wire(told))), BatchResult)


def heard(memory: bytes) -> Any:
    return msgspec.msgpack.decode(memory)["memory"]["heard"]


def test_targets_and_news_of_orders_travel_in_their_order() -> None:
    # Given the news of an order, and its fill
    news = OrderNews(SYMBOL, Side.BUY, OrderStatus.SENT, D(5), D(0), "t", "o-1", "in", "", "", kst(10))
    origin = StrategySource("tests.runtime.test_strategy_worker:Aiming")
    made = StrategyWorker(over_the_wire(Start(origin, context_of(), None, None)))
    # When both are told with a quote
    result = done(made, quotes(150_000), context_of(0, news, FILL))
    # Then they are heard in that order, and what it wants comes back as it was said
    assert result.memory is not None
    assert heard(result.memory) == ["SENT", "fill"]
    assert result.fills_seen == 2
    assert result.output == [Target(SYMBOL, weight=0.5, stop=Away(share=0.1), tag="t"), Cancel("t")]


def test_the_view_answers_what_the_host_answers(rig_of: MakeRig) -> None:
    """Every answer, after trades, on the money and on an unknown symbol."""
    scripted, other = ScriptedStrategy(), ScriptedStrategy("other")
    rig = rig_of(scripted, other)
    scripted.wants(Side.BUY, qty=7)
    other.wants(Side.BUY, qty=4)
    now = rig.quotes(kst(10), 3)
    scripted.wants(Side.BUY, qty=1, limit=149_000)
    rig.quotes(now + 1_000_000_000, 1)
    context: StrategyContext = rig.kernel.host.contexts[0]

    view = View(msgspec.convert(over_the_wire(context.batch_context((FILL,))), BatchContext))

    assert view.batch.fills == (FILL,)
    assert [getattr(view, name) for name in QUESTIONS] == [getattr(context, name) for name in QUESTIONS]
    for symbol in (SYMBOL, "000660"):
        assert repr(view.holding(symbol)) == repr(context.holding(symbol))
        assert repr(view.average_cost(symbol)) == repr(context.average_cost(symbol))
        assert view.working(symbol) is context.working(symbol)
    assert (view.holding(SYMBOL), view.working(SYMBOL)) == (7, True)
    assert view.average_cost("000660") is None


def test_a_fresh_worker_starts_its_strategy_and_one_with_a_memory_rebuilds_and_keeps_it() -> None:
    fresh = msgspec.convert(over_the_wire(worker().started()), Started)
    assert heard(fresh.memory) == ["start 1000.50"]
    assert (fresh.symbols, fresh.fault) == ((), "")

    again = worker(fresh.memory)
    assert heard(again.started().memory) == ["start 1000.50"]


def test_fills_are_told_before_the_values_and_the_note_says_how_many() -> None:
    note = done(worker(), quotes(150_000), context_of(0, FILL, FILL))
    assert heard(note.memory)[1:] == ["fill x-1", "fill x-1", "quote 0"]
    assert note.fills_seen == 2
    assert note.output == [Intent(SYMBOL, Side.BUY, 0.9, limit=D(150_000))]


def test_the_view_is_that_of_the_batch_even_for_who_keeps_it() -> None:
    made = worker()
    kept = made.view
    made.work([], over_the_wire(msgspec.structs.replace(context_of(), now_ns=kst(11))))
    assert kept.now == from_ns(kst(11))


def test_bars_are_shown_as_bars() -> None:
    bar = create_event(EventType.VOLUME_UPDATE, payload=Bar(SYMBOL, 5, D(1), D(1), D(1), D(1), D(1)))
    assert heard(done(worker(), [bar], context_of()).memory)[-1] == "bar 5"


def test_a_good_value_ends_the_row_of_errors_and_a_good_fill_does_not() -> None:
    partial = msgspec.structs.replace(FILL, partial=True)
    note = done(worker(), quotes(None, 150_000, None), context_of(1, FILL))
    assert [word.in_row if isinstance(word, Fault) else "intent" for word in note.output] == [2, "intent", 1]
    assert note.errors == 1
    assert done(worker(), [], context_of(1, partial, FILL)).errors == 2


def test_after_the_third_error_in_a_row_nothing_more_is_shown_or_told() -> None:
    partial = msgspec.structs.replace(FILL, partial=True)
    note = done(worker(), quotes(None, 150_000), context_of(1, partial, partial, FILL))
    assert note.fills_seen == 2
    faults = [word for word in note.output if isinstance(word, Fault)]
    assert [(word.text, word.in_row, word.callback) for word in faults] == [
        ("ValueError: partial", 2, "on_fill"),
        ("ValueError: partial", 3, "on_fill"),
    ]
    assert ["Traceback" in word.trace for word in faults] == [True, False]
    assert heard(note.memory)[1:] == ["fill x-1", "fill x-1"]


def test_an_origin_is_the_file_as_it_was_or_an_importable_class(tmp_path: Path) -> None:
    assert source_of(Parrot(), None) == StrategySource("tests.runtime.test_strategy_worker:Parrot")
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    spec = f"{path}:Mine"
    assert source_of(Parrot(), StrategySpec(spec)) == StrategySource(spec, fingerprint_of(spec))
    with pytest.raises(InputError, match="there is no strategy file"):
        source_of(Parrot(), StrategySpec(f"{tmp_path / 'gone.py'}:Mine"))
    with pytest.raises(ContractError, match="no handler at"):
        StrategyWorker(over_the_wire(Start(StrategySource("no.such.module:X"), context_of())))


def test_an_intent_the_session_cannot_take_is_the_strategys_mistake(rig_of: MakeRig) -> None:
    context = rig_of(Parrot()).kernel.host.contexts[0]
    faults: list[tuple[str, str, str, bool]] = []

    def refuse(strategy: object, intent: Intent) -> None:
        raise KeyError(intent.symbol)

    remote = StrategyProcessHandler(
        context, None, on_intent=refuse, on_fault=lambda *fault: faults.append(fault), on_running=print
    )
    note = done(worker(), quotes(150_000), context_of())
    remote.add_fill(FILL)
    remote.on_batch_result(over_the_wire(note))
    assert faults == [("parrot", "intent", f"KeyError: {SYMBOL!r}", False, "")]
    assert context.errors == 1
    assert remote.export_memory()["untold"] == [FILL]  # the note did not say that it was told


def test_news_that_were_not_told_are_kept_in_a_checkpoint_in_their_place(rig_of: MakeRig) -> None:
    # Given the news of an order and its fill, which the process has not been told
    def handler(strategy: ScriptedStrategy) -> StrategyProcessHandler:
        return StrategyProcessHandler(
            rig_of(strategy).kernel.host.contexts[0],
            None,
            on_intent=lambda *arguments: None,
            on_fault=lambda *fault: None,
            on_running=print,
        )

    news = OrderNews(SYMBOL, Side.BUY, OrderStatus.SENT, D(5), D(0), "t", "o-1", "in", "", "", kst(10))
    first, second, deaf = handler(Aiming()), handler(Aiming()), handler(Parrot())
    for one in (first, deaf):
        one.add_news(news)
        one.add_fill(FILL)
    # When they are stored and restored
    second.import_memory(over_the_wire(first.export_memory()))
    # Then both come with the next batch, in their order; a strategy without the hook has the fill alone
    assert second.batch_context().fills == (news, FILL)
    assert deaf.batch_context().fills == (FILL,)


def test_a_note_that_is_none_changes_nothing(rig_of: MakeRig) -> None:
    context = rig_of(Parrot()).kernel.host.contexts[0]
    remote = StrategyProcessHandler(
        context, None, on_intent=lambda *arguments: None, on_fault=lambda *fault: None, on_running=print
    )
    before = remote.export_memory()
    with pytest.raises(msgspec.ValidationError):
        remote.on_batch_result({"output": [], "fills_seen": 0, "errors": "many", "memory": b""})
    assert remote.export_memory() == before
    assert context.errors == 0


def test_failures_with_good_values_between_them_do_not_halt_it_however_many(rig_of: MakeRig) -> None:
    """Three in a row halt a strategy; here each batch ends well."""
    context = rig_of(Parrot()).kernel.host.contexts[0]
    faults: list[tuple[str, str, str, bool]] = []
    remote = StrategyProcessHandler(
        context,
        None,
        on_intent=lambda *arguments: None,
        on_fault=lambda *fault: faults.append(fault),
        on_running=print,
    )
    memory = msgspec.msgpack.encode({})
    for _ in range(4):
        remote.on_batch_result(
            {
                "output": [{"type": "Fault", "text": "odd", "in_row": 1, "callback": "on_quote"}],
                "fills_seen": 0,
                "errors": 0,
                "memory": memory,
            }
        )
    assert faults == [("parrot", "on_quote", "odd", False, "")] * 4
    assert (context.errors, context.halted) == (0, False)


def test_a_name_that_is_no_text_travels_to_the_worker(tmp_path: Path) -> None:
    # Given a strategy with a parameter set, in a file whose name is no text, and one in a file like any other
    for name in (os.fsdecode(b"\xb0\xa1.py"), "mine.py"):
        (tmp_path / name).write_text("class Mine: ...")
    odd = StrategySpec(f"{tmp_path / os.fsdecode(bytes([0xB0, 0xA1]))}.py:Mine", {"fast": "5"})
    # When its source has been sent
    there = msgspec.msgpack.decode(msgspec.msgpack.encode(StrategySource.of_file(odd)), type=StrategySource)
    # Then it names the same file and parameter
    assert (there.spec, there.params) == (odd.place, {"fast": "5"})
    assert StrategySource.of_file(StrategySpec(f"{tmp_path / 'mine.py'}:Mine")).name == b""


def test_a_strategy_that_asks_without_end_is_halted_in_its_process_too() -> None:
    origin = StrategySource("tests.runtime.test_strategy_worker:Endless")
    one = StrategyWorker(over_the_wire(Start(origin, context_of(), most_intents=7)))

    note = msgspec.convert(
        over_the_wire(one.work(quotes(150_000, 150_100), over_the_wire(context_of()))), BatchResult
    )

    (fault,) = note.output
    assert isinstance(fault, Fault)
    told = (fault.text, fault.in_row, fault.callback)
    assert told == ("TooManyIntents: it asked for more than 7 intents in one call", 3, "on_quote")
    assert note.errors == 3


WARMED = """
from qts.indicators import Sma
from qts.kit import Intent, Side, Strategy

class Warmed(Strategy):
    bars = {"1m": 2}

    def __init__(self):
        self.seen = []

    def on_start(self, ctx):
        self.mean = ctx.track(Sma(2), "1m")

    def on_bar(self, ctx, bar):
        self.seen.append([ctx.warming, f"{ctx.now:%H:%M}", ctx.ready(bar.symbol), str(self.mean[bar.symbol].value)])
        yield Intent(bar.symbol, Side.BUY, 1.0)
"""


def minute_bar(minute: int, close: int) -> Bar:
    at_ns = kst(10, minute)
    return Bar(SYMBOL, at_ns, *[D(close)] * 4, D(1), "1m", "2026-01-22", at_ns - 60_000_000_000)


def test_a_worker_warms_its_strategy_up_and_another_goes_on_from_there(tmp_path: Path) -> None:
    # Given two bars from before the session
    (tmp_path / "warmed.py").write_text(WARMED)
    source = StrategySource.of_file(StrategySpec(f"{tmp_path / 'warmed.py'}:Warmed"))
    past = [Moment(kst(10, minute), (), (minute_bar(minute, close),)) for minute, close in ((1, 10), (2, 20))]
    start = Start(source, context_of(), None, None, warm_up=past)
    # When a worker starts
    first = StrategyWorker(over_the_wire(start))
    greeting = msgspec.convert(over_the_wire(first.started()), Started)
    # Then its strategy has seen them, and what it wanted is dropped and counted
    assert (greeting.dropped, greeting.failures, greeting.fault) == (2, [], "")
    # When it dies, and another one starts with memory, bars and indicators, and gets the next bar
    second = StrategyWorker(
        over_the_wire(
            Start(
                source,
                context_of(),
                None,
                greeting.memory,
                bars=[bar for one in past for bar in one.bars],
                tracked=greeting.tracked,
            )
        )
    )
    moment = Moment(kst(10, 3), (), (minute_bar(3, 30),))
    event = create_event(EventType.VOLUME_UPDATE, "moments", moment)
    done = msgspec.convert(over_the_wire(second.work([event], over_the_wire(context_of()))), BatchResult)
    # Then the mean goes on, and the intent counts
    assert second.strategy.seen == [  # type: ignore[attr-defined]
        [True, "01:01", False, "nan"],
        [True, "01:02", True, "15.0"],
        [False, "01:00", True, "25.0"],
    ]
    assert [type(one) for one in done.output] == [Intent]


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (lambda: Decimal(1) > Decimal("NaN"), "an indicator is NaN until it is ready: ask its ready first"),
        (lambda: Decimal(1) * 1.01, "prices are Decimals: write a factor as Decimal('1.01')"),
        (lambda: "a" + 1, "TypeError: can only concatenate"),
    ],
)
def test_what_python_says_of_decimals_beside_floats_is_told_with_what_to_do(
    raised: Callable[[], object], says: str
) -> None:
    with pytest.raises((ArithmeticError, TypeError)) as caught:
        raised()
    assert says in fault_text(caught.value)


@pytest.mark.parametrize("returned", [Target(SYMBOL, 1), Intent(SYMBOL, Side.BUY, 0.9), Cancel("t"), "buy"])
def test_one_intent_returned_by_itself_is_told_as_such(returned: Any) -> None:
    with pytest.raises(ContractError, match="yield what is wanted, or return a list of it; it returned"):
        list(intents_of(call_directly, returned, 10))


def test_the_indicators_of_a_track_asked_like_one_of_them_say_that_a_symbol_is_missing() -> None:
    with pytest.raises(AttributeError, match=r"by symbol; write \[bar.symbol\].ready"):
        _ = Tracked(Sma(3), "1d").ready
