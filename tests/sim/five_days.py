"""A paper session over trading days with nights, weekends and holidays between them, in one process.

Every day is the same: quotes of one symbol all day long, and a strategy that buys a share and sells it again.
"""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any, ClassVar

import pytest

from qts.capital.contracts import Pool
from qts.clock import PacedClock, to_ns
from qts.ledger.account import Account
from qts.market.contracts import Bar, MarketValue, Quote
from qts.market.krx import krx_instrument
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.kernel import Kernel
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent, Side

SYMBOL = "005930"
DAYS = tuple(date(2026, 2, day) for day in (12, 13, 19, 20, 23, 24))
"""Two days, a weekend with the three holidays of the lunar new year, two days, a weekend; the session ends with the
sixth, whose books are audited as a whole."""


class DaysFeed:
    """``per_day`` quotes on each of ``days``, spread from five past nine to ten past three."""

    name = "days"
    max_age_ns = 10**15
    declares_volatility = False
    rows_refused: Mapping[str, int] = {}

    def __init__(self, days: Sequence[date], per_day: int) -> None:
        self.source_id = f"days:{len(days)}:{per_day}"
        self.instruments = {SYMBOL: krx_instrument(SYMBOL)}
        self._days, self._per_day, self._at = days, per_day, 0

    def values(self) -> Iterator[MarketValue]:
        zone = self.instruments[SYMBOL].calendar.at(self._days[0], 0).tzinfo
        step = timedelta(seconds=6 * 3_600) / self._per_day
        all_values = (
            self._quote(datetime(day.year, day.month, day.day, 9, 5, tzinfo=zone) + n * step, n)
            for day in self._days
            for n in range(self._per_day)
        )
        for place, value in enumerate(all_values):
            if place >= self._at:
                self._at = place + 1
                yield value

    def _quote(self, moment: datetime, number: int) -> Quote:
        bid = D(50_000 + 100 * (number % 7))
        return Quote(SYMBOL, to_ns(moment), bid=bid, ask=bid + 100, bid_size=D(10_000), ask_size=D(10_000))

    def position(self) -> dict[str, Any]:
        return {"at": self._at}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._at = position["at"]

    def progress(self) -> float | None:
        return None


class BuyAndSell:
    """Buys a share and sells it again, ``every`` quotes."""

    name = "in-and-out"
    pool = Pool.SCALP
    symbols: Sequence[str] = (SYMBOL,)

    def __init__(self, every: int = 5) -> None:
        self.every = every
        self.quotes = 0

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if self.quotes % self.every:
            return ()
        side = Side.BUY if self.quotes // self.every % 2 else Side.SELL
        return (Intent(SYMBOL, side, 1.0, qty=1 if side is Side.BUY else None, reason="in and out"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Keep nothing."""


def plan(data_dir: Path, *, days: Sequence[date] = DAYS, per_day: int = 120, resume: bool = False) -> SessionPlan:
    options = Options(data_dir=data_dir, resume=resume, speed=1e6)
    return SessionPlan(
        command="run",
        options=options,
        open_feed=lambda: DaysFeed(days, per_day),
        default_strategies=lambda: (BuyAndSell(),),
        overrides_for=lambda feed: {
            "risk.symbol_weight_limit": "0.60",
            "runtime.equity_sample_interval_s": "1800",
            "state.enabled": "false",
        },
        paced=True,
    )


_NOT_FOLLOWED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType, type(None))


def entries_held(root: object) -> int:
    """Return how many entries the containers have that can be reached from ``root``, bound methods' owners too."""
    seen: set[int] = set()
    todo, count = [root], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _NOT_FOLLOWED):
            continue
        seen.add(id(one))
        if isinstance(one, dict | list | set | frozenset) or type(one).__name__ in ("deque", "array"):
            count += len(one)  # type: ignore[arg-type]
        todo += gc.get_referents(one)
    return count


def census(kernel: Kernel) -> dict[str, int]:
    """Return the entries held by each component of a session; what several hold counts for each."""
    components = kernel.components
    assert is_dataclass(components)
    held = {field.name: getattr(components, field.name) for field in fields(components)}
    held |= {field.name: getattr(components.shared, field.name) for field in fields(components.shared)}
    return {name: entries_held(one) for name, one in held.items() if name not in ("shared",)}


class SteppingClock(PacedClock):
    """An accelerated clock that moves only when the session has nothing left to do, however slow the machine is."""

    __slots__ = ("_at_ns",)
    kernels: ClassVar[list[Kernel]] = []

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        super().__init__(start, speed)
        self._at_ns = 0

    def monotonic_ns(self) -> int:
        return self._at_ns

    async def sleep_until_ns(self, ns: int) -> None:
        kernel = self.kernels[-1]
        while _is_busy(kernel):
            await asyncio.sleep(0.0005)
        self._at_ns += max(0, ns - self.time_ns())


def _is_busy(kernel: Kernel) -> bool:
    return kernel.dispatcher.stats.is_busy or kernel.background.is_running("audit")


def run(
    plan: SessionPlan, patch: pytest.MonkeyPatch, look: Callable[[Kernel], object], stop: StopFlag | None = None
) -> SessionResult:
    """Run ``plan`` on a :class:`SteppingClock`; ``look`` is called when the rows of a day's close are stored."""
    make, finish = Kernel.__init__, Account.finish_close

    def made(kernel: Kernel, components: Any) -> None:
        make(kernel, components)
        SteppingClock.kernels.append(kernel)

    def finished(account: Account) -> None:
        finish(account)
        look(SteppingClock.kernels[-1])

    patch.setattr(Kernel, "__init__", made)
    patch.setattr(Account, "finish_close", finished)
    patch.setattr("qts.runtime.session.session.PacedClock", SteppingClock)
    try:
        return run_session(plan, progress=lambda share, moment: None, stop=stop or StopFlag())
    finally:
        SteppingClock.kernels.clear()
