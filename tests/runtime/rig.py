"""A kernel on a scripted market: a test decides what the market shows and when, and checks what the kernel did.

005930 by KRX rules of January 2026; Thursday the 22nd is the first day, 100,000,000 won, BALANCED. Orders travel 20
ms and nothing is random about it. Every strategy is a :class:`ScriptedStrategy`: it wants what the test tells it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from qts.broker.sim.exchange import SimExchange
from qts.capital.contracts import Pool
from qts.clock import ManualClock, from_ns, to_ns
from qts.config.loader import load_config
from qts.db.contracts import RunRow
from qts.event.payloads import LogWrite
from qts.execution.contracts import Order
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.market.krx import krx_instrument
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Answer, ClearOverride, Command, Override, Release, Reload, Stop
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.replay_driver import run_virtual
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.persistence.recovery import resume_point
from qts.runtime.wiring.brokers import simulated_broker
from qts.runtime.wiring.components import make_components
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy

from .new_store import opened_store

KST = ZoneInfo("Asia/Seoul")
SYMBOL = "005930"
THURSDAY = datetime(2026, 1, 22, tzinfo=KST)
STEADY = {"broker.sim.order_jitter_ms": "0", "broker.sim.cancel_jitter_ms": "0"}


def command(name: str, operator: str = "kim", **more: Any) -> Command:
    """Return a command by its name in JSON, with the reason "drill"."""
    kinds = {
        "stop": Stop,
        "release": Release,
        "override": Override,
        "clear_override": ClearOverride,
        "reload": Reload,
    }
    made: Command = kinds[name](operator=operator, reason="drill", **more)  # type: ignore[operator]
    return made


def kst(hour: int, minute: int = 0, second: float = 0, *, day: int = 22) -> int:
    """Return the nanoseconds of a moment in January 2026, Korean time."""
    return to_ns(THURSDAY.replace(day=day, hour=hour, minute=minute) + timedelta(seconds=second))


class ScriptedStrategy:
    """A strategy that returns, at the next quote, the intents that a test gave it; it can be made to fail, too."""

    symbols: Sequence[str] = ()

    def __init__(self, name: str = "scripted", pool: Pool = Pool.SCALP) -> None:
        self.name = name
        self.pool = pool
        self.intents: list[Intent] = []
        self.fail_with: list[Exception] = []
        self.fills: list[FillView] = []
        self.quotes = 0

    def wants(self, side: Side, confidence: float = 1.0, **more: Any) -> None:
        self.intents.append(Intent(SYMBOL, side, confidence, **more))

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if self.fail_with:
            raise self.fail_with.pop(0)
        intents, self.intents = self.intents, []
        return intents

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.fills.append(fill)


class ScriptFeed:
    """A feed that has the instrument alone; the values come from the test."""

    name = "script"
    source_id = "script"
    max_age_ns = 5_000_000_000
    declares_volatility = True
    rows_refused: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.instruments = {SYMBOL: krx_instrument(SYMBOL)}

    def values(self) -> Iterator[MarketValue]:
        return iter(())

    def position(self) -> dict[str, Any]:
        return {}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Resume nothing: the feed has no values."""

    def progress(self) -> float | None:
        return None


class Rig:
    """A kernel with its store and a scripted market."""

    def __init__(
        self,
        directory: Path,
        *strategies: Strategy,
        start_ns: int = kst(0),
        judged_by_index: bool = False,
        settings: Mapping[str, str] | None = None,
        is_resumed: bool = False,
    ) -> None:
        loaded = load_config(None, {**STEADY, **(settings or {})}, {})
        self.logged: deque[LogWrite] = deque(maxlen=1_000)
        self.store = opened_store(directory / "rig.sqlite")
        self.store.open_run(RunRow("rig", "test", 7, "script", loaded.hash, "", False))
        checkpoint = resume_point(self.store, is_simulated=True) if is_resumed else None
        self.clock = ManualClock(from_ns(start_ns))
        self.clock.set_ns(start_ns if checkpoint is None else decode(checkpoint)["parts"]["clock"])
        feed = ScriptFeed()
        connection = simulated_broker(loaded.tree.broker.sim, feed, self.clock, 7)
        exchange = connection.broker
        assert isinstance(exchange, SimExchange)
        self.exchange = exchange
        self.kernel = Kernel(
            make_components(
                run_id="rig",
                seed=7,
                config=loaded.tree,
                config_hash=loaded.hash,
                feed=feed,
                connection=connection,
                strategies=strategies or (ScriptedStrategy(),),
                store=self.store,
                clock=self.clock,
                log=self.logged.append,
                judged_by_index=judged_by_index,
                inline=True,
            )
        )
        if checkpoint is None:
            run_to_completion(self.kernel.start(None))
        else:
            run_to_completion(self.kernel.restore(checkpoint, self.store, None))
        self.commands = CommandHandler(self.kernel)
        self.shared = self.kernel.shared
        self.prices = (150_000, 150_100)

    def drain(self) -> None:
        """Handle everything that is queued, and all due work."""
        run_to_completion(self.kernel.drain())

    def show(self, *values: MarketValue) -> None:
        """Pass these values to the kernel and handle everything that follows from each."""
        run_virtual(self.kernel, iter(values), lambda share, moment: None, StopFlag(), None)

    def quote(self, at_ns: int, bid: int | None = None, ask: int | None = None, size: int = 10_000) -> None:
        """Show one quote; prices that are not given stay as before."""
        bid = self.prices[0] if bid is None else bid
        ask = (bid + 100 if bid != self.prices[0] else self.prices[1]) if ask is None else ask
        self.prices = (bid, ask)
        self.show(
            Quote(SYMBOL, at_ns, bid=Decimal(bid), ask=Decimal(ask), bid_size=Decimal(size), ask_size=Decimal(size))
        )

    def quotes(self, start_ns: int, seconds: int, every_s: int = 1) -> int:
        """Show unchanged quotes for ``seconds``; return the time of the last one."""
        at_ns = start_ns
        for number in range(0, seconds + 1, every_s):
            at_ns = start_ns + number * 1_000_000_000
            self.quote(at_ns)
        return at_ns

    def index(self, at_ns: int, level: float) -> None:
        self.show(IndexLevel("S&P500", at_ns, level))

    def vix(self, at_ns: int, level: float) -> None:
        self.show(VolatilityLevel("VIX", at_ns, level))

    def command(self, command: Command) -> Answer:
        """Execute an operator's command; what follows from it waits for :meth:`show` or the kernel's ``drain``."""
        return run_to_completion(self.commands.execute(command))

    def stop(self, *, liquidate: bool = True) -> None:
        """Give an emergency stop of everything."""
        self.command(command("stop", liquidate=liquidate))

    def store_now(self) -> None:
        """Write what waits, so that the store shows it."""
        run_to_completion(self.shared.record.checkpoint())

    def orders(self) -> list[Order]:
        """Return the stored orders, oldest first."""
        self.store_now()
        stored = self.store.orders()
        return sorted(
            stored, key=lambda order: (order.ts_intent_ns, len(order.client_order_id), order.client_order_id)
        )

    def held(self, strategy: str = "scripted") -> int:
        return int(self.shared.account.holding(strategy, SYMBOL))

    def refusals(self) -> dict[str, int]:
        return self.kernel.counters.refusals

    def invariant(self, number: int) -> dict[str, Any]:
        return self.kernel.invariants.summary()[f"inv{number:02d}"]

    def close(self) -> None:
        self.store.close()


def defensive(rig: Rig, at_ns: int) -> None:
    """Force DEFENSIVE by a FAIL."""
    rig.quote(at_ns)
    rig.kernel.on_code("FS020", "a computed value is not a number")
    rig.drain()
    assert rig.shared.state.current_state is OperatingState.DEFENSIVE


def with_ten(rig: Rig, *strategies: ScriptedStrategy) -> int:
    """Let every strategy buy ten shares at ten o'clock; return the moment at which they are held."""
    for strategy in strategies:
        strategy.wants(Side.BUY, qty=10)
    return rig.quotes(kst(10), 3)
