"""The smallest session that holds everything: two days, some hundred values, buys, sells, a fall into DEFENSIVE.

It takes a fraction of a second, so that it can be run again and again with a fault at another place each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.market.contracts import IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.market.krx import krx_instrument
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.strategy.contracts import Strategy
from tests.sim.sessions import SYMBOL, Restless

KST = ZoneInfo("Asia/Seoul")
THURSDAY = datetime(2026, 1, 22, tzinfo=KST)
QUOTES = 60
"""Of each day: three minutes apart."""


class TinyFeed:
    """Quotes of one symbol that walk on the grid; on the first day the S&P 500 and a VIX of 37 beside them."""

    name = "tiny"
    source_id = "tiny"
    declares_volatility = True
    max_age_ns = 5_000_000_000
    rows_refused: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.instruments = {SYMBOL: krx_instrument(SYMBOL)}
        self._values = [*day_of_values(THURSDAY, 1), *day_of_values(THURSDAY + timedelta(days=1), 2)]
        self._given = 0

    def values(self) -> Iterator[MarketValue]:
        while self._given < len(self._values):
            self._given += 1
            yield self._values[self._given - 1]

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return self._given / len(self._values)


def day_of_values(midnight: datetime, seed: int) -> list[MarketValue]:
    rng = random.Random(seed)
    bid, values = 150_000, list[MarketValue]()
    for number in range(QUOTES):
        ns = to_ns(midnight + timedelta(hours=9, minutes=1 + 3 * number))
        bid += rng.choice((-300, -100, 0, 100, 300))
        size = Decimal(2)  # so little that an order fills in parts
        values.append(Quote(SYMBOL, ns, bid=Decimal(bid), ask=Decimal(bid + 100), bid_size=size, ask_size=size))
        if number == QUOTES // 2:
            values += [IndexLevel("S&P500", ns, 4_000.0), VolatilityLevel("VIX", ns, 37.0)]
    return values


def strategies() -> Sequence[Strategy]:
    return [Restless(f"restless-{pool.value.lower()}", pool, 3 + at) for at, pool in enumerate(Pool)]


def tiny_plan(data_dir: Path, *, resume: bool = False, **settings: str) -> SessionPlan:
    return SessionPlan(
        command="replay",
        options=Options(seed=7, data_dir=data_dir, resume=resume, overrides=settings),
        open_feed=TinyFeed,
        default_strategies=strategies,
        overrides_for=lambda feed: {
            "risk.symbol_weight_limit": "0.60",
            "broker.sim.order_jitter_ms": "0",
        },
        judged_by_index=True,
    )
