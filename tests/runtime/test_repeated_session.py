"""A session that was recorded as it ran is repeated: the same decisions, orders, fills and ledger."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import DataError
from qts.market.contracts import FeedGap, Quote
from qts.strategy.contracts import AnyIntent, Intent, Side, Strategy
from tests.effort import examples
from tests.runtime.live_market import ScriptedLiveFeed, Step
from tests.runtime.rig import SYMBOL
from tests.runtime.steps_rig import Rows, record, repeat


class Turns(Strategy):
    """Buys on every third quote and sells what it holds on every fifth, so that orders meet values everywhere."""

    name = "turns"
    pool = Pool.SCALP
    symbols = (SYMBOL,)

    def on_start(self, ctx: Any) -> None:
        self.quotes = 0

    def on_quote(self, ctx: Any, quote: Quote) -> Sequence[AnyIntent]:
        self.quotes += 1
        if self.quotes % 5 == 0 and ctx.position(SYMBOL).qty > 0:
            return [Intent(SYMBOL, Side.SELL, 1.0, qty=int(ctx.position(SYMBOL).qty), reason=str(self.quotes))]
        if self.quotes % 3 == 0:
            return [Intent(SYMBOL, Side.BUY, 1.0, qty=1 + self.quotes % 4, reason=str(self.quotes))]
        return []

    def on_order(self, ctx: Any, news: Any) -> None:
        self.quotes += 1


def quotes(feed: ScriptedLiveFeed, count: int, seed: int) -> list[Step]:
    """Return quotes that come in bursts with pauses of some milliseconds between, and a gap."""
    chance, steps = random.Random(seed), list[Step]()

    def pause(seconds: float) -> Step:
        async def sleep() -> None:
            await asyncio.sleep(seconds)

        return sleep

    price = 150_000
    for _ in range(count):
        price += 100 * chance.randint(-2, 2)
        steps.append(Quote(SYMBOL, 0, bid=D(price), ask=D(price + 100), bid_size=D(10_000), ask_size=D(10_000)))
        if chance.random() < 0.4:
            steps.append(pause(chance.choice((0.0, 0.001, 0.004, 0.02))))
    steps.insert(count // 2, FeedGap(0, "cut"))
    return steps


def recorded_and_repeated(directory: Path, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of a session and of its repetition; of the first of four whose record is not refused."""
    for turn in range(4):
        place = directory / str(turn)
        place.mkdir()
        first = record(place, [Turns()], lambda feed: quotes(feed, 200, seed))
        try:
            return first, repeat(place, [Turns()])
        except DataError as refusal:
            if "cannot be repeated after" not in str(refusal):
                raise
    raise AssertionError("no record could be repeated")


@pytest.mark.parametrize("seed", range(examples(2, whole=30)))
def test_what_was_decided_is_decided_again(tmp_path: Path, seed: int) -> None:
    """given orders whose intents are written while prices come, then the repeated session stores the same rows

    Where signals met within a millisecond a record may be refused, which is told and never a different result.
    """
    first, second = recorded_and_repeated(tmp_path, seed)

    assert len(first["orders"]) >= 4
    assert len(first["ledger"]) >= 3
    for table, rows in first.items():
        assert second[table] == rows, table
