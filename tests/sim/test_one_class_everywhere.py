"""One strategy on the prices of KIS with simulated fills, at an account of KIS, and on the record of its prices.

It is fed the same values, one after the other, each when all that follows from the one before is done. So it asks
for the same, orders leave and end alike, and it is told the same. What may differ is left out: the ids of orders
and executions, which name their run; the times, since answers take as long as they take; and the words with which a
broker says why an order has ended. On the loop of a session a strategy may see the second value of a frame before
it is told that its order has left, so values and news are compared apart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qts.db.datadir import DATABASE_NAME
from qts.runtime.wiring.stores import stored_run
from tests.doubles.kis import KST
from tests.doubles.kis.books import BUYING
from tests.sim.kis_days import LOOK_S, PRICE, SYMBOL, DaysAtKis, seen_in

OPEN = datetime(2026, 10, 20, 10, 0, tzinfo=KST)
VALUES = 14
LOW = 69_000
PAPER, PAPER_ACCOUNT, REPLAY = "simulated fills", "paper account", "replay"
QUIET = 4
"""Looks in a row at which nothing was under way."""
STEPS = """
import json
import os

from qts.kit import Cancel, Intent, Side, Strategy

class Steps(Strategy):
    symbols = ("005930",)
    data = ("trades",)
    wanted = {
        2: lambda symbol: [Intent(symbol, Side.BUY, 1.0, qty=10, reason="some")],
        4: lambda symbol: [Intent(symbol, Side.BUY, 1.0, qty=5, limit=69_000, reason="cheaper", tag="low")],
        6: lambda symbol: [Cancel(tag="low")],
        7: lambda symbol: [Intent(symbol, Side.BUY, 1.0, qty=100_000, reason="too many")],
        9: lambda symbol: [Intent(symbol, Side.SELL, 1.0, qty=4, reason="a part")],
        11: lambda symbol: [Intent(symbol, Side.SELL, 1.0, reason="all")],
        12: lambda symbol: [Intent(symbol, Side.SELL, 1.0, reason="nothing is left")],
    }
    def on_start(self, ctx):
        self.trades = 0
    def on_quote(self, ctx, quote):
        if self.trades and quote.bid is not None and quote.ask is not None:
            tell(ctx, "quote", quote.bid, quote.ask)
        return ()
    def on_trade(self, ctx, tick):
        self.trades += 1
        tell(ctx, "trade", self.trades, tick.price, tick.size, ctx.holding(tick.symbol))
        intents = self.wanted.get(self.trades, lambda symbol: [])(tick.symbol)
        if intents:
            tell(ctx, "wants", *[(type(one).__name__, str(getattr(one, "qty", "")), one.tag) for one in intents])
        return intents
    def on_order(self, ctx, news):
        tell(ctx, "order", news.status.value, news.side.value, news.qty, news.filled, news.tag, news.reason)
    def on_fill(self, ctx, fill):
        tell(ctx, "fill", fill.side.value, fill.qty, fill.price, fill.fee, fill.tax, fill.partial)

def tell(ctx, *what):
    with open(os.environ["SEEN"], "a") as file:
        file.write(json.dumps(what, default=str) + "\\n")
"""


def told(directory: Path) -> list[Any]:
    """Return what the strategy of a session was told and what it wanted, in order."""
    return [json.loads(line) for line in seen_in(directory).read_text().splitlines()]


async def show(world: DaysAtKis) -> None:
    """Let the values come. What is at the market at KIS is executed as the simulated exchange does it: at the price
    of the next value, before any strategy sees that."""
    kis, kernel = world.kis, world.kernel

    async def handled(counted: Callable[[], int], least: int) -> None:
        """Wait until so many are counted, and then for some looks in a row nothing is under way."""
        await world.until(lambda: counted() >= least, "what was shown")
        looks = 0
        while looks < QUIET:
            await asyncio.sleep(LOOK_S)
            looks = 0 if kernel.dispatcher.stats.is_busy or kernel.sender.in_flight else looks + 1

    await world.until(world.is_registered, "all registrations")
    await world.until(lambda: len(kernel.shared.session_infos) > 0, "what KIS says of the symbol")
    for number in range(VALUES):
        price = PRICE + 100 * (number % 3)
        for order in kis.books.open_orders():
            if order.price != LOW:
                fills = world.fills + 1
                kis.fill(order.number, price=price if order.side == BUYING else price - 100)
                await handled(lambda: world.fills, fills)
        for value in (
            partial(kis.market.quote, SYMBOL, price - 100, price),
            partial(kis.market.trade, SYMBOL, price, 5 + number),
        ):
            rows = kernel.intake.rows + 1
            value()
            await handled(lambda: kernel.intake.rows, rows)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Run the strategy everywhere; return the directories of the sessions."""
    directories = {}
    for name in (PAPER, PAPER_ACCOUNT):
        directory = tmp_path_factory.mktemp("kis")
        with pytest.MonkeyPatch.context() as patch:
            world = DaysAtKis(directory, patch, OPEN, strategy=STEPS, matching="told")
            world.run(partial(show, world), simulated=name == PAPER)
            directories[name] = world.directory
            if name == PAPER:
                directories[REPLAY] = world.replay("replay")
    return directories


def chosen(directory: Path, *kinds: str) -> list[Any]:
    return [one for one in told(directory) if one[0] in kinds]


def test_the_values_are_the_same(sessions: dict[str, Path]) -> None:
    seen = {name: chosen(directory, "trade", "quote") for name, directory in sessions.items()}
    assert [one[1] for one in seen[REPLAY] if one[0] == "trade"] == [*range(1, VALUES + 1)]
    for name in sessions:
        assert seen[name] == seen[REPLAY], name


def test_it_wants_the_same_at_the_same_values(sessions: dict[str, Path]) -> None:
    seen = {name: chosen(directory, "trade", "wants") for name, directory in sessions.items()}
    for name in sessions:
        assert seen[name] == seen[REPLAY], name


def test_it_is_told_the_same_of_its_orders_and_fills(sessions: dict[str, Path]) -> None:
    # At the trades with these numbers; a fill comes with the value behind it
    expected = [
        ["order", "SENT", "BUY", "10", "0", "", "some"],
        ["fill", "BUY", "10", "70200", "105", "0", False],
        ["order", "SENT", "BUY", "5", "0", "low", "cheaper"],
        ["order", "CANCELLED", "BUY", "5", "0", "low", "cheaper"],
        ["order", "REFUSED", "BUY", "100000", "0", "", "SYMBOL_WEIGHT_LIMIT"],
        ["order", "SENT", "SELL", "4", "0", "", "a part"],
        ["fill", "SELL", "4", "69900", "41", "559", False],
        ["order", "SENT", "SELL", "6", "0", "", "all"],
        ["fill", "SELL", "6", "70100", "63", "841", False],
        ["order", "REFUSED", "SELL", "0", "0", "", "NOTHING_TO_SELL"],
    ]
    for name, directory in sessions.items():
        assert chosen(directory, "order", "fill") == expected, name


def test_orders_and_ledger_are_the_same(sessions: dict[str, Path]) -> None:
    seen = {}
    for name, directory in sessions.items():
        with stored_run(directory / DATABASE_NAME) as store:
            orders = [
                (one.strategy, one.side, one.symbol, one.qty, one.limit, one.filled, one.state, one.request.tag)
                for one in store.orders()
            ]
            rows = [(one.side, one.symbol, one.qty, one.price, one.fee, one.tax) for one in store.ledger()]
        seen[name] = orders, rows
    assert len(seen[REPLAY][0]) == 4
    assert len(seen[REPLAY][1]) == 3
    for name in sessions:
        assert seen[name] == seen[REPLAY], name
