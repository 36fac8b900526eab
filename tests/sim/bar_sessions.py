"""Whole sessions on bars alone: a feed of bars made in the test, and a strategy that follows a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.market.contracts import Bar, Instrument, MarketValue, Quote
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent

Decide = Callable[[Context, Bar], Iterable[Intent]]


class BarFeed:
    """Bars in the order of their times, and nothing else."""

    name = "bars"
    source_id = "bars"
    declares_volatility = False
    max_age_ns = 60_000_000_000
    rows_refused: Mapping[str, int] = {}

    def __init__(self, instruments: Iterable[Instrument], bars: Iterable[Bar]) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self._bars = sorted(bars, key=lambda bar: bar.ts_ns)
        self._given = 0

    def values(self) -> Iterator[MarketValue]:
        while self._given < len(self._bars):
            self._given += 1
            yield self._bars[self._given - 1]

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return self._given / len(self._bars)


class OnBars:
    """A strategy that asks ``decide`` at each bar, and keeps what it has seen in the order in which it came."""

    name, pool = "on-bars", Pool.PORTFOLIO
    symbols: Sequence[str] = ()
    not_saved = ("decide", "seen")

    def __init__(self, decide: Decide) -> None:
        self.decide = decide
        self.seen: list[str] = []

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        raise AssertionError("there are no quotes")

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        intents = tuple(self.decide(ctx, bar))
        self.seen.append(f"bar {bar.symbol} {bar.close}")
        self.seen += [f"{one.side.value} {one.symbol} {one.qty} {one.limit}" for one in intents]
        return intents

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.seen.append(f"fill {fill.side.value} {fill.symbol} {fill.qty} at {fill.price}")


def run_bars(
    data_dir: Path,
    instruments: Sequence[Instrument],
    bars: Sequence[Bar],
    decide: Decide,
    **settings: str,
) -> tuple[SessionResult, list[str]]:
    """Run a session on ``bars`` with limits wide open; return its result and what the strategy has seen."""
    strategy = OnBars(decide)
    plan = SessionPlan(
        command="replay",
        options=Options(seed=7, data_dir=data_dir, overrides={**WIDE, **settings}),
        open_feed=lambda: BarFeed(instruments, bars),
        default_strategies=lambda: [strategy],
    )
    result = run_session(plan, progress=lambda share, moment: None, stop=StopFlag())
    assert not [name for name, one in result.values.invariants.items() if one["ok"] is False]
    return result, strategy.seen


WIDE = {
    "broker.sim.snapshot_participation": "1",
    "risk.exposure_limit": "1",
    "risk.position_size_limit": "1",
    "risk.symbol_weight_limit": "1",
}


def day_bar(symbol: str, end: datetime, prices: str, volume: int = 100_000) -> Bar:
    """Return the bar of a whole day that ends at ``end``; ``prices`` are "open high low close"."""
    day = (end - timedelta(seconds=1)).date().isoformat()
    return Bar(symbol, to_ns(end), *map(Decimal, prices.split()), Decimal(volume), day=day)
