"""A strategy in a worker process: the same file, the same decisions, whatever happens to the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.errors import InputError
from qts.market.contracts import Bar, MarketValue, Quote, Tick
from qts.strategy.loading import StrategySpec, load_strategies
from qts.strategy.scalp import Scalp
from qts.strategy.two_ema import TwoEma
from tests.event.test_remote_lane import is_gone
from tests.risk.requests import D
from tests.runtime import recording_strategy
from tests.runtime.live_rig import PROCESS, LiveRig, live
from tests.runtime.rig import SYMBOL, Rig, kst

MakeRig = Callable[..., Rig]
SECOND = 1_000_000_000
HEADER = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class {name}:
    name = "{name}"
    pool = Pool.SCALP
    symbols = ()
    quotes = 0
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote): return ()
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): pass
"""


def market(count: int, first: int = 0) -> list[MarketValue]:
    """Quotes a second apart whose price walks up and down, trades between them, now and then something else.

    A trade is not shown to a strategy: a fill that it causes is reported with the next quote.
    """
    values: list[MarketValue] = []
    for number in range(first, first + count):
        at_ns, bid = kst(10) + number * SECOND, 150_000 + 100 * (number % 7 - number % 3)
        values.append(Quote(SYMBOL, at_ns, bid=D(bid), ask=D(bid + 100), bid_size=D(5), ask_size=D(5)))
        values.append(Tick(SYMBOL, at_ns + SECOND // 2, D(bid - 100 * (number % 4)), D(50)))
        if number % 10 == 4:
            at_ns += SECOND // 2
            values.append(Quote("000660", at_ns, bid=D(90_000), ask=D(90_100), bid_size=D(5), ask_size=D(5)))
            values.append(Bar(SYMBOL, at_ns, D(bid), D(bid), D(bid), D(bid), D(7)))
    return values


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """The recording_strategy as a user's file."""
    shutil.copy(recording_strategy.__file__, tmp_path / "seen.py")
    return f"{tmp_path / 'seen.py'}:RecordingStrategy"


def written(tmp_path: Path, name: str, body: str) -> str:
    """A user's file with the class ``name``: a strategy that does only what ``body`` says."""
    path = tmp_path / f"{name.lower()}.py"
    path.write_text(HEADER.format(name=name) + body)
    return f"{path}:{name}"


def on_the_virtual_clock(rig_of: MakeRig, spec: str, values: list[MarketValue]) -> tuple[Any, Any]:
    """Orders and memory of the same strategy, called inline."""
    rig = rig_of(*load_strategies([StrategySpec(spec)]))
    rig.show(*values)
    return rig.orders(), memory_of(rig)


def memory_of(rig: Rig) -> Any:
    """What the newest checkpoint keeps of the recording_strategy on the loop."""
    return msgspec.msgpack.decode(rig.kernel.host.export_state()["recorder"]["attributes"])["memory"]


def remote_memory_of(rig: LiveRig) -> Any:
    return rig.memory("recorder")["attributes"]["memory"]


async def test_the_same_file_sees_and_says_the_same_inline_and_in_a_process(
    rig_of: MakeRig, spec: str, tmp_path: Path
) -> None:
    values = market(60)
    orders, memory = on_the_virtual_clock(rig_of, spec, values)

    async with live(tmp_path, spec) as rig:
        await rig.show(*values)

        assert rig.pid("recorder") not in (None, os.getpid())
        assert rig.orders() == orders
        assert remote_memory_of(rig) == memory
        assert rig.faults() == []
    assert sum(line.startswith("fill") for line in memory["seen"]) > 10
    assert any("Decimal" in line and line.endswith("True False") for line in memory["seen"])


async def test_on_the_loop_of_a_paper_session_it_is_the_same_again(
    rig_of: MakeRig, spec: str, tmp_path: Path
) -> None:
    values = market(30)
    orders, memory = on_the_virtual_clock(rig_of, spec, values)

    async with live(tmp_path, spec, settings={}) as rig:
        await rig.show(*values)

        assert rig.orders() == orders
        assert remote_memory_of(rig) == memory


async def test_a_worker_killed_again_and_again_loses_nothing_and_hears_nothing_twice(
    rig_of: MakeRig, spec: str, tmp_path: Path
) -> None:
    values = market(40)
    orders, memory = on_the_virtual_clock(rig_of, spec, values)

    killed = untold = 0
    async with live(tmp_path, spec) as rig:
        for number, value in enumerate(values):
            await rig.show(value)
            if rig.share("recorder")["untold"] or number % 9 == 0:
                untold += bool(rig.share("recorder")["untold"])
                pid = rig.pid("recorder")
                assert pid is not None
                with contextlib.suppress(ProcessLookupError):  # nothing was sent since it died
                    os.kill(pid, signal.SIGKILL)
                    killed += 1

        assert remote_memory_of(rig) == memory
        assert rig.orders() == orders
        assert len(rig.faults()) >= killed - 1
    assert untold >= 3


async def test_a_worker_that_dies_in_the_midst_of_a_value_is_told_it_again_with_the_fills_before_it(
    rig_of: MakeRig, spec: str, tmp_path: Path
) -> None:
    values = market(20)
    orders, memory = on_the_virtual_clock(rig_of, spec, values)
    sixth = f"quote {kst(10) + 5 * SECOND} "
    (position,) = (n for n, line in enumerate(memory["seen"]) if line.startswith(sixth))
    assert memory["seen"][position - 1].startswith("fill")

    (tmp_path / "kill_at").write_text("6")
    async with live(tmp_path, spec) as rig:
        await rig.show(*values)

        assert not (tmp_path / "kill_at").exists()
        assert [fault.partition(" process")[0] for fault in rig.faults()] == [
            "strategy recorder raised WorkerDied: worker"
        ]
        assert remote_memory_of(rig) == memory
        assert rig.orders() == orders
        assert not rig.kernel.host.contexts[0].halted


async def test_a_session_that_is_killed_again_and_again_gives_its_strategy_every_value_and_fill_once(
    spec: str, tmp_path: Path
) -> None:
    """Each life goes on from the last checkpoint on disk; what the worker holds then is in no memory yet."""
    values = market(45)
    lives = in_the_midst = 0
    rows = 0
    while rows < len(values):
        async with live(tmp_path, spec) as rig:
            rows = rig.kernel.intake.rows
            some = values[rows : rows + 1 + lives % 5]
            await rig.show(*some[:-1])
            await rig.push(
                *some[-1:]
            )  # it is in the P1 queue, in the lane or with the worker when the session dies
            for _ in range(lives % 3):
                await asyncio.sleep(0)
            in_the_midst += bool(rig.in_lane("recorder"))
            await rig.kernel.shared.record.checkpoint()
            rows, lives = rig.kernel.intake.rows, lives + 1
    assert in_the_midst > 3

    async with live(tmp_path, spec) as rig:
        await rig.drain()
        told = [line.split()[1] for line in remote_memory_of(rig)["seen"] if line.startswith("quote")]
        assert told == [str(v.ts_ns) for v in values if isinstance(v, Quote) and v.symbol == SYMBOL]
        fills = [line for line in remote_memory_of(rig)["seen"] if line.startswith("fill")]
        assert len(fills) == len(set(fills)) > 5
        assert len(fills) + len(rig.share("recorder")["untold"]) == len(rig.store.ledger())


async def test_a_halted_or_not_yet_started_strategy_is_resumed_as_it_was(spec: str, tmp_path: Path) -> None:
    async with live(tmp_path, spec) as rig:
        untouched = {"errors": 0, "halted": False, "attributes": None, "untold": []}
        assert rig.memory("recorder").items() >= untouched.items()
        await rig.kernel.shared.record.checkpoint()
    async with live(tmp_path, spec) as rig:
        await rig.show(*market(1))
        assert len(remote_memory_of(rig)["seen"]) == 2  # on_start once, one quote
        for _ in range(3):
            rig.kernel.host.remote["recorder"].on_failure("it is enough")
        await rig.kernel.shared.record.checkpoint()
    async with live(tmp_path, spec) as rig:
        await rig.show(*market(2, first=1))
        assert rig.kernel.host.contexts[0].halted
        assert remote_memory_of(rig)["quotes"] == 1
        assert rig.pid("recorder") is None


async def test_what_a_strategy_does_not_want_never_travels(tmp_path: Path) -> None:
    """The symbols that count are those it has after its on_start, as on the loop."""
    body = """
    symbols = ("000660",)
    seen = ()
    def on_start(self, ctx): self.symbols = ["005930"]
    def on_quote(self, ctx, quote):
        self.seen += (quote.symbol,)
        return ()
"""
    async with live(tmp_path, written(tmp_path, "Choosy", body)) as rig:
        sent = []
        context = rig.kernel.host.remote["Choosy"]
        wanted = context.wants

        def watch(event: Any) -> bool:
            answer = wanted(event)
            sent.append((event.body.symbol, answer))
            return answer

        await rig.until(lambda: rig.pid("Choosy") and rig.share("Choosy")["attributes"])
        context.wants = watch  # type: ignore[method-assign]
        await rig.show(*market(10))
        assert ("000660", True) not in sent
        assert ("000660", False) in sent
        assert rig.memory("Choosy")["attributes"]["memory"]["seen"] == {"tuple": [SYMBOL] * 10}


FAILING = """
    def on_quote(self, ctx, quote):
        self.quotes += 1
        if self.quotes in (1, 2, 4, 5, 6):
            yield Intent(quote.symbol, Side.BUY, 1.0, qty=1)
            raise ValueError(f"quote {self.quotes}")
"""


async def test_three_faults_in_a_row_halt_it_as_inline_and_what_it_said_before_stands(
    rig_of: MakeRig, tmp_path: Path
) -> None:
    values = [value for value in market(12) if isinstance(value, Quote) and value.symbol == SYMBOL]
    spec = written(tmp_path, "Failing", FAILING)
    inline = rig_of(*load_strategies([StrategySpec(spec)]))
    inline.show(*values)

    async with live(tmp_path, spec) as rig:
        await rig.show(*values)

        assert rig.faults() == [line.message.splitlines()[0] for line in inline.logged if line.level == "ERROR"]
        assert len(rig.faults()) == 5  # the fifth halts it; that safety warns does not silence it
        assert rig.kernel.host.contexts[0].halted
        assert [(o.side, o.qty, o.state) for o in rig.orders()] == [
            (o.side, o.qty, o.state) for o in inline.orders()
        ]
        assert rig.memory("Failing")["attributes"]["memory"]["quotes"] == 6
        assert any(change.code == "AN060" for change in rig.kernel.shared.safety.history)
        assert rig.kernel.shared.account.holding("Failing", SYMBOL) == 0  # its exits are the runtime's
        await rig.until(lambda: rig.pid("Failing") is None)


async def test_values_that_wait_in_a_batch_are_not_shown_after_the_third_fault(tmp_path: Path) -> None:
    values = [value for value in market(30) if isinstance(value, Quote) and value.symbol == SYMBOL]
    async with live(tmp_path, written(tmp_path, "Failing", FAILING)) as rig:
        await rig.push(*values)
        await rig.drain()
        assert rig.memory("Failing")["attributes"]["memory"]["quotes"] == 6
        assert rig.kernel.dispatcher.queue_stats()["P1_HIGH"]["handled"] == 30


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "def on_quote(self, ctx, quote): return ['buy']",
            "a strategy answers with Intents, Targets and Cancels, got 'buy'",
        ),
        (
            "def on_quote(self, ctx, quote): return [Intent(quote.symbol, Side.BUY, 2.0)]",
            "between 0 and 1, got 2.0",
        ),
        ("def on_quote(self, ctx, quote): return [Intent(quote.symbol, Side.BUY, 1.0, qty=0.5)]", "got 0.5"),
        ("def on_quote(self, ctx, quote): raise SystemExit(0)", "Odd raised SystemExit: 0"),
    ],
)
async def test_an_answer_that_is_no_intent_is_the_strategys_mistake(body: str, told: str, tmp_path: Path) -> None:
    async with live(tmp_path, written(tmp_path, "Odd", f"\n    {body}\n")) as rig:
        await rig.show(*market(1))
        (fault,) = rig.faults()
        assert told in fault


async def test_a_method_that_returns_nothing_says_nothing(tmp_path: Path) -> None:
    async with live(tmp_path, written(tmp_path, "Silent", "\n    def on_quote(self, ctx, quote): ...\n")) as rig:
        await rig.show(*market(4))
        assert rig.faults() == []


async def test_amounts_arrive_exactly_and_with_their_type(tmp_path: Path) -> None:
    body = """
    def on_quote(self, ctx, quote):
        from decimal import Decimal
        yield Intent(quote.symbol, Side.BUY, Decimal("0.9"), qty=Decimal("3.00"), limit=150_000, reason="삼성")
        yield Intent(quote.symbol, Side.SELL, 1)
"""
    async with live(tmp_path, written(tmp_path, "Exact", body)) as rig:
        said: list[Any] = []
        rig.kernel.host.remote["Exact"]._on_intent = lambda strategy, intent: said.append(intent)
        await rig.show(*market(1))
    rest = "tif=<TimeInForce.DAY: 'DAY'>, trigger=None, tag='', algo=None)"
    assert [repr(intent) for intent in said] == [
        "Intent(symbol='005930', side=<Side.BUY: 'BUY'>, confidence=0.9, qty=Decimal('3.00'), limit=150000, "
        f"reason='삼성', {rest}",
        "Intent(symbol='005930', side=<Side.SELL: 'SELL'>, confidence=1.0, qty=None, limit=None, "
        f"reason='', {rest}",
    ]


HANGING = """
    def on_quote(self, ctx, quote):
        self.quotes += 1
        if self.quotes == 1:
            return [Intent(quote.symbol, Side.BUY, 1.0, qty=3)]
        while True:
            pass
"""


async def test_a_strategy_that_burns_cpu_is_cut_off_and_halted_and_no_fill_waits_for_it(tmp_path: Path) -> None:
    settings = {**PROCESS, "event.lane_limits.p1_ms": "300"}
    first, second, *others = (v for v in market(6) if isinstance(v, Quote) and v.symbol == SYMBOL)
    async with live(tmp_path, written(tmp_path, "Hanging", HANGING), settings=settings) as rig:
        context = rig.kernel.host.contexts[0]
        await rig.show(first)
        await rig.push(second)  # it hangs in this one, and the order of the first is filled against it
        await rig.until(lambda: rig.kernel.counters.fills)
        assert (context.errors, rig.faults()) == (0, [])
        await rig.push(*others)
        await rig.until(lambda: context.halted)
        await rig.drain()

        assert context.errors == 3
        assert rig.faults()
        assert all("cut off after 300 ms" in fault for fault in rig.faults())
        assert rig.pid("Hanging") is None
        assert rig.kernel.counters.forced_exits > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.unlink(), "there is no strategy file"),
        (lambda path: path.write_text(path.read_text() + "\n"), "is not what it was when the session began"),
    ],
)
async def test_a_worker_that_cannot_start_is_a_fault_with_a_message_for_people(
    change: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    spec = written(tmp_path, "Gone", "")
    async with live(tmp_path, spec) as rig:
        await rig.until(lambda: rig.pid("Gone") and rig.share("Gone")["attributes"])
        change(tmp_path / "gone.py")
        pid = rig.pid("Gone")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await rig.push(*market(1))
        await rig.until(lambda: rig.kernel.host.contexts[0].halted)
        assert "ended while it held an event" in rig.faults()[0]
        assert all(told in fault for fault in rig.faults()[1:])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "def __init__(self):\n        import sys\n"
            "        if sys.argv[0].endswith('worker.py'): raise OSError('no licence here')",
            "no licence here",
        ),
        ("def on_start(self, ctx): self.socket = object()", "self.socket holds a builtins.object"),
    ],
)
async def test_what_cannot_be_made_or_kept_there_is_said_and_halts_it(body: str, told: str, tmp_path: Path) -> None:
    async with live(tmp_path, written(tmp_path, "Sorry", f"\n    {body}\n")) as rig:
        await rig.until(lambda: rig.kernel.host.contexts[0].halted)
        await rig.show(*market(2))
        assert rig.faults()
        assert all(told in fault for fault in rig.faults())
        assert rig.pid("Sorry") is None


async def test_an_attribute_that_becomes_odd_later_is_named_and_the_memory_before_it_is_kept(
    tmp_path: Path,
) -> None:
    body = """
    def on_quote(self, ctx, quote):
        self.quotes += 1
        if self.quotes > 2: self.file = object()
        return ()
"""
    async with live(tmp_path, written(tmp_path, "Late", body)) as rig:
        await rig.show(*market(3))
        assert all("self.file holds a builtins.object" in fault for fault in rig.faults())
        assert rig.kernel.host.contexts[0].halted
        assert rig.memory("Late")["attributes"]["memory"]["quotes"] == 2


async def test_a_strategy_whose_on_start_raises_is_never_asked(tmp_path: Path) -> None:
    body = "\n    def on_start(self, ctx): raise KeyError('x')\n"
    async with live(tmp_path, written(tmp_path, "Clumsy", body)) as rig:
        await rig.show(*market(2))
        assert rig.faults() == ["strategy Clumsy raised KeyError: 'x' in on_start; it is halted"]
        assert rig.kernel.host.contexts[0].halted


async def test_strategies_of_the_package_take_their_settings_along(tmp_path: Path) -> None:
    scalp = Scalp(samples=3, entry_deviation=2.5, time_limit_s=60.0)
    async with live(tmp_path, strategies=(scalp, TwoEma())) as rig:
        await rig.show(*market(5))
        memory = rig.memory(scalp.name)["attributes"]
        assert memory["class"] == "qts.strategy.scalp:Scalp"
        assert (memory["memory"]["_warm_up"], memory["memory"]["_entry"]) == (3, 2.5)
        assert rig.pid(scalp.name) != rig.pid(TwoEma().name)
        assert rig.faults() == []


async def test_no_process_is_left_behind(spec: str, tmp_path: Path) -> None:
    async with live(tmp_path, spec) as rig:
        await rig.show(*market(3))
        pid = rig.pid("recorder")
        assert pid is not None
        assert any(f"strategy recorder runs in process {pid}" == line.message for line in rig.logged)
    assert is_gone(pid)


class Wanting(Scalp):
    def __init__(self, samples: int) -> None:
        super().__init__(samples=samples)


class Hidden:
    """Not what its module has under its name."""

    class Inner(Scalp):
        pass


Hidden.Inner.__qualname__ = "Hidden"


@pytest.mark.parametrize(
    ("strategies", "told"),
    [
        ((Wanting(3),), "needs the arguments samples but is made without any"),
        ((Hidden.Inner(),), "at the top of an importable module"),
        (tuple(Scalp() for _ in range(9)), "there are 9 strategies, but event.max_worker_processes is 8"),
    ],
)
async def test_what_no_worker_could_make_is_refused_before_the_session_begins(
    strategies: tuple[Any, ...], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        async with live(tmp_path, strategies=strategies):
            pass


def test_on_the_virtual_clock_the_setting_changes_nothing(rig_of: MakeRig, spec: str) -> None:
    values = market(20)
    orders, memory = on_the_virtual_clock(rig_of, spec, values)

    rig = rig_of(*load_strategies([StrategySpec(spec)]), settings={"runtime.strategy_lane": "process"})
    rig.show(*values)

    assert rig.kernel.host.remote == {}
    assert rig.orders() == orders
    assert memory_of(rig) == memory
    assert rig.store.ledger()
    assert all(isinstance(row.price, Decimal) for row in rig.store.ledger())
