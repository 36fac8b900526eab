"""The adapter of KIS against the double: one account, served on the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

from qts.broker.kis.broker import KisBroker
from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import KisParts, parts_of
from qts.capital.contracts import Pool
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.strategy.contracts import Side
from tests.doubles.kis import KisDouble, Settings
from tests.doubles.kis.books import Order

SYMBOL = "005930"


@dataclass
class Rig:
    """The double, the broker on it, and what that says to people."""

    kis: KisDouble
    parts: KisParts
    broker: KisBroker
    said: list[str]

    def approved(
        self, key: str, side: Side = Side.BUY, qty: int = 10, limit: int | None = 69_000, **terms: Any
    ) -> Approved:
        """An approved order, at a limit below the market."""
        now = self.kis.clock.time_ns()
        kind = terms.pop("type", OrderType.MARKET if limit is None else OrderType.LIMIT)
        price = None if limit is None else D(limit)
        request = OrderRequest(
            key, f"d-{key}", "test", Pool.SCALP, terms.pop("symbol", SYMBOL), side, D(qty), price, D(70_000), now,
            type=kind, **terms,
        )  # fmt: skip
        return Approved(f"a-{key}", request, "0" * 64, now + 1_000_000_000)

    def orders(self) -> list[Order]:
        """What the double has numbered today, oldest first."""
        return self.kis.books.today(self.kis.keys.account)

    def restart(self) -> KisBroker:
        """Return a broker as a new process makes it."""
        return self.parts.broker()


def environ_of(kis: KisDouble, cache: Path) -> dict[str, str]:
    """The environment of the customer of the double."""
    prefix = "QTS_KIS_PAPER_" if kis.is_paper else "QTS_KIS_LIVE_"
    keys = {
        "APP_KEY": kis.keys.appkey,
        "APP_SECRET": kis.keys.appsecret,
        "ACCOUNT": f"{kis.keys.account}-{kis.keys.product}",
        "HTS_ID": kis.keys.hts_id,
    }
    return {**{prefix + name: text for name, text in keys.items()}, "XDG_CACHE_HOME": str(cache)}


def parts_on(
    kis: KisDouble, cache: Path, tell: Callable[[str], object] = lambda said: None, **settings: Any
) -> KisParts:
    """What the connections of the customer share. Time that something waits for passes at once."""
    kind = "paper" if kis.is_paper else "live"
    given = {"rest": kis.rest_url, "websocket": kis.ws_url, "requests_per_s": 18}

    async def jump(seconds: float) -> None:
        await asyncio.sleep(0)
        kis.clock.jump(timedelta(seconds=seconds))

    config = KisConfig(account=kind, **{f"{kind}_{name}": one for name, one in given.items()}, **settings)
    return parts_of(config, environ_of(kis, cache), kis.clock, live=not kis.is_paper, tell=tell, pause=jump)


@asynccontextmanager
async def served(
    cache: Path, *, paper: bool = False, settings: Settings | None = None, **config: Any
) -> AsyncIterator[Rig]:
    """Serve a double and a broker on it. Orders are executed where the test says so alone."""
    settings = settings or Settings()
    settings.matching = "told"
    settings.paper_per_s = 18
    said: list[str] = []
    async with KisDouble(seed=1, paper=paper, speed=0, settings=settings) as kis:
        parts = parts_on(kis, cache, said.append, **config)
        broker = parts.broker()
        try:
            yield Rig(kis, parts, broker, said)
        finally:
            await broker.close()
