"""A short session over a dividend, a split and a reverse split, with orders open across both.

Two shares of a market that never closes, a quote of each every hour. ABC pays 25 on the third day and is split 50:1
on the fourth, when three shares of DEF become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.market.actions import CorporateAction, Dividend, Split
from qts.market.contracts import Bar, Instrument, MarketValue, Quote
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Context, FillView, Intent, Side, Strategy

FIRST = date(2024, 6, 3)
PAID = Dividend("ABC", FIRST + timedelta(days=2), D("25.004"))
FIFTY = Split("ABC", FIRST + timedelta(days=3), D(50))
THIRD = Split("DEF", FIRST + timedelta(days=3), D(1), D(3))
ACTIONS: tuple[CorporateAction, ...] = (PAID, FIFTY, THIRD)
DAYS = 6
BIDS = {
    "ABC": ("2500.00", "2500.00", "2475.00", "49.50", "48.00", "50.00"),
    "DEF": ("12.00", "12.00", "12.00", "36.00", "36.00", "37.00"),
}
"""The bid of each day; the ask is a cent above."""


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        currency="USD",
        quantum=D("0.01"),
        lot=D(1),
        ticks=FixedTicks("0.01"),
        costs=RateCosts("0", "0", "0.01"),
        calendar=AlwaysOpen(),
    )


def at(day: int, hour: int) -> int:
    """Return the moment, ns since 1970, of an hour of a day of the session, both counted from 0."""
    return to_ns(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)) + (day * 24 + hour) * 3_600 * NS_PER_S


def quotes() -> list[MarketValue]:
    """Return a quote of each symbol for each hour from one to 23."""
    values: list[MarketValue] = []
    for day in range(DAYS):
        for hour in range(1, 24):
            for symbol, bids in BIDS.items():
                bid = D(bids[day])
                values.append(Quote(symbol, at(day, hour), bid, bid + D("0.01"), D(10_000), D(10_000)))
    return values


class ListFeed:
    """A feed of given values that knows ``actions``."""

    name = "two shares"
    max_age_ns = 900 * NS_PER_S
    declares_volatility = False
    rows_refused: Mapping[str, int] = {}

    def __init__(
        self,
        values: Sequence[MarketValue],
        actions: Sequence[CorporateAction] = ACTIONS,
        instruments: Sequence[Instrument] = (),
    ) -> None:
        self._values = values
        self._at = 0
        self.actions = actions
        self.instruments = {one.symbol: one for one in instruments or map(instrument, BIDS)}
        self.source_id = f"list:{len(values)}:{len(actions)}"

    def values(self) -> Iterator[MarketValue]:
        while self._at < len(self._values):
            self._at += 1
            yield self._values[self._at - 1]

    def position(self) -> dict[str, Any]:
        return {"at": self._at}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._at = position["at"]

    def progress(self) -> float | None:
        return self._at / len(self._values)


FIRST_WANTS: Mapping[tuple[int, int], Intent] = {
    (0, 2): Intent("ABC", Side.BUY, 1.0, qty=7, reason="to hold"),
    (0, 3): Intent("DEF", Side.BUY, 1.0, qty=10, reason="to hold"),
    (2, 20): Intent("ABC", Side.BUY, 1.0, qty=4, limit=D("2400.73"), reason="if it falls"),
    (2, 21): Intent("DEF", Side.SELL, 1.0, qty=2, limit=D("14.00"), reason="less than one new share"),
    (5, 3): Intent("ABC", Side.SELL, 1.0, reason="enough"),
}
SECOND_WANTS: Mapping[tuple[int, int], Intent] = {
    (0, 2): Intent("DEF", Side.BUY, 1.0, qty=5, reason="to hold"),
    (2, 20): Intent("DEF", Side.SELL, 1.0, qty=4, limit=D("15.01"), reason="if it rises"),
    (2, 23): Intent("ABC", Side.BUY, 1.0, qty=1, reason="at the next price, which is of the ex-date"),
}


class Scripted:
    """A strategy that gives fixed intents at fixed hours (day, hour), and keeps what it was shown at noon."""

    symbols: Sequence[str] = ()

    def __init__(
        self, name: str = "first", pool: Pool = Pool.SCALP, wants: Mapping[tuple[int, int], Intent] | None = None
    ) -> None:
        self.name = name
        self.pool = pool
        self.wants = [
            [day, hour, intent] for (day, hour), intent in (FIRST_WANTS if wants is None else wants).items()
        ]
        self.shown: dict[str, list[str]] = {"ABC": [], "DEF": []}
        self.costs: dict[str, list[str]] = {"ABC": [], "DEF": []}
        self.fills: list[str] = []

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        day, rest = divmod(quote.ts_ns - at(0, 0), 24 * 3_600 * NS_PER_S)
        hour = rest // (3_600 * NS_PER_S)
        if hour == 12:
            self.shown[quote.symbol].append(f"{quote.bid} × {quote.bid_size}")
            self.costs[quote.symbol].append(str(ctx.average_cost(quote.symbol)))
        now = [day, hour, quote.symbol]
        return [intent for *moment, intent in self.wants if [*moment, intent.symbol] == now]

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        self.fills.append(f"{fill.side.value} {fill.qty} {fill.symbol} at {fill.price}")


def two() -> tuple[Scripted, Scripted]:
    return Scripted(), Scripted("second", Pool.SWING, SECOND_WANTS)


def split_plan(
    data_dir: Path,
    *,
    resume: bool = False,
    overrides: Mapping[str, str] | None = None,
    actions: Sequence[CorporateAction] = ACTIONS,
    strategies: Sequence[Strategy] | None = None,
) -> SessionPlan:
    """Return the plan of the session; ``strategies`` None: the two of this module."""
    return SessionPlan(
        command="replay",
        options=Options(data_dir=data_dir, resume=resume, overrides=overrides or {}),
        open_feed=lambda: ListFeed(quotes(), actions),
        default_strategies=lambda: two() if strategies is None else strategies,
        overrides_for=lambda feed: {
            "runtime.currency": "USD",
            "runtime.equity_start": "100000",
            "runtime.dividend_tax_rate": "0.15",
            "risk.symbol_weight_limit": "0.60",
            "runtime.equity_sample_interval_s": "1800",
        },
    )
