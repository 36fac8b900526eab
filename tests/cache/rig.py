"""Managers of one cache with clocks and sources of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from qts.cache.config import CacheConfig
from qts.cache.contracts import (
    BookValue,
    CacheClient,
    CacheValue,
    Kind,
    Level,
    OrderValue,
    PositionValue,
    PriceValue,
    RiskValue,
    StrategyValue,
    ViewValue,
)
from qts.cache.manager import CacheManager, Source
from qts.clock import Clock, ManualClock, to_ns

START = datetime(2026, 3, 2, tzinfo=UTC)
AT = to_ns(START)
MS = timedelta(milliseconds=1)
SYMBOL = "005930"


def position(qty: int, at_ns: int = AT) -> PositionValue:
    return PositionValue(at_ns=at_ns, qty=Decimal(qty), avg_price=Decimal("70000"), updated_at=AT)


VALUES: dict[type[CacheValue], tuple[str, CacheValue]] = {
    PriceValue: (SYMBOL, PriceValue(at_ns=AT, timestamp_ms=1, bid=Decimal("70100"))),
    PositionValue: (SYMBOL, position(120)),
    BookValue: (
        SYMBOL,
        BookValue(at_ns=AT, timestamp_ms=1, bids=(Level(Decimal("70100"), Decimal(5)),), asks=()),
    ),
    RiskValue: ("", RiskValue(at_ns=AT, daily_pnl=Decimal("-182400"), trade_count=3)),
    OrderValue: (
        "1b2c-o-71",
        OrderValue(
            at_ns=AT,
            status="PARTIAL",
            strategy="two_ema",
            symbol=SYMBOL,
            side="BUY",
            qty=Decimal(20),
            filled_qty=Decimal(5),
            pending_qty=Decimal(15),
        ),
    ),
    StrategyValue: ("two_ema", StrategyValue(at_ns=AT, parameters={"class": "TwoEma", "fast": "12"})),
    ViewValue: ("", ViewValue(at_ns=AT, json='{"account": "A1"}')),
}
"""A value of each kind with its name."""


class CountedSource:
    """A source that gives what it was told to, after ``gate`` was opened, and counts its calls."""

    def __init__(self, value: CacheValue | Exception | None) -> None:
        self.value = value
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, name: str) -> CacheValue | None:
        self.calls += 1
        await self.gate.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class Told:
    """What an operator was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)


def manager_of(
    client: CacheClient,
    clock: Clock,
    *,
    sources: dict[Kind, Source] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    **settings: int | float,
) -> CacheManager:
    config = CacheConfig(**settings)  # type: ignore[arg-type]
    return CacheManager(client, clock, config, account="A1", sources=sources, tell=tell)


def clock_at(offset: timedelta = timedelta()) -> ManualClock:
    return ManualClock(START + offset)
