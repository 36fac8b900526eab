"""Orders through real sockets to a server that loses answers: none twice, and the books are the broker's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Capabilities
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.execution.contracts import OrderState
from qts.execution.working import FINAL_STATES
from qts.market.contracts import Bar, Quote
from qts.market.krx import krx_instrument
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.broker.scripted import NAMED
from tests.effort import examples
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import ScriptFeed, kst
from tests.servers.proxy import Proxy
from tests.sim.broker_agreement import assert_agreed

pytest.importorskip("aiohttp", reason="the extra kis is not installed")

from tests.broker.http_world import BrokerServer, HttpBroker

SYMBOLS = tuple(f"{number:06d}" for number in range(10, 100, 10))
ANSWER_S = 0.3
SETTINGS = {
    "broker.gateway.answer_ms": str(round(ANSWER_S * 1_000)),
    "broker.gateway.entry_wait_ms": "60000",
    "safety.broker_failure_limit": "10",
    "safety.broker_failure_window_minutes": "0.5",
    "risk.order_rate_per_second": "50",
    "state.properties.balanced.max_daily_trades": "1000",
    "event.retry_backoff_ms": "1",
}
"""Safety stops a session whose broker answers so seldom, and a day has fewer entries; here it is to go on."""


class Market(ScriptFeed):
    def __init__(self) -> None:
        super().__init__()
        self.instruments = {symbol: krx_instrument(symbol) for symbol in SYMBOLS}


class Trader:
    """Wants what the test gives it, one order of each symbol at its next quote."""

    name, pool, symbols = "trader", Pool.SCALP, SYMBOLS

    def __init__(self) -> None:
        self.wanted: dict[str, Intent] = {}

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        wanted = self.wanted.pop(quote.symbol, None)
        return () if wanted is None else (wanted,)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Take no note of it."""


class Campaign:
    """Orders in batches: sent together, then executed in part with notices that may be lost, then looked for."""

    def __init__(self, rig: LiveRig, trader: Trader, server: BrokerServer, proxy: Proxy, seed: int) -> None:
        self.rig, self.trader, self.server, self.proxy = rig, trader, server, proxy
        self.rng = random.Random(seed)
        self.now_ns = kst(9, 30)

    async def batch(self) -> None:
        self.now_ns += 60 * NS_PER_S
        held = self.rig.kernel.shared.account.position
        for symbol in SYMBOLS:
            has = int(held(symbol))
            side = Side.SELL if has and self.rng.random() < 0.6 else Side.BUY
            qty = self.rng.randint(1, has) if side is Side.SELL else self.rng.randint(1, 4)
            self.trader.wanted[symbol] = Intent(symbol, side, 1.0, qty=qty)
            bid, ask, size = D(15_000), D(15_010), D(10_000)
            await self.rig.push(Quote(symbol, self.now_ns, bid=bid, ask=ask, bid_size=size, ask_size=size))
        if self.rng.random() < 0.2:
            self.proxy.cut()  # with orders on the way
        await self.rig.until(lambda: not self.rig.kernel.dispatcher.stats.is_busy)
        await self.rig.until(lambda: not self.rig.kernel.sender.in_flight)
        self.server.do(self.execute)
        await self.look()
        self.server.do(self.end)
        await self.look()

    async def look(self) -> None:
        """Compare the books, until what is not certain had to be seen twice."""
        kernel = self.rig.kernel
        for _ in range(30):
            self.now_ns += 3 * NS_PER_S
            while kernel.run_scheduled_task(self.now_ns):
                await kernel.run_due_work()
            self.rig.clock.set_ns(max(self.now_ns, self.rig.clock.time_ns()))
            await kernel.unresolved.resolve(self.now_ns)
            await self.rig.drain()
            if not (kernel.unresolved.not_compared or kernel.unresolved.any()):
                return

    def execute(self) -> None:
        """At the broker: let open orders fill, in part or whole."""
        broker, rng = self.server.broker, self.rng
        for key, order in list(broker.books.orders.items()):
            if order.is_open and rng.random() < 0.8:
                qty, price = rng.randint(1, int(order.remaining)), 15_000 + 10 * rng.randint(0, 1)
                told = broker.capabilities.client_order_ids and rng.random() < 0.6
                broker.repeats = int(told and rng.random() < 0.2)
                broker.fill(key, qty, price, self.now_ns, told=told)
                self.server.recount.executed(key, qty, price)

    def end(self) -> None:
        """At the broker: let what is open end; no notice says so."""
        broker = self.server.broker
        for key, order in list(broker.books.orders.items()):
            if order.is_open:
                broker.end(key, self.now_ns, told=False)
                self.server.recount.ended(key)


@pytest.mark.parametrize(
    "able",
    [NAMED, replace(NAMED, client_order_ids=False, execution_ids=False)],
    ids=["named", "cumulative"],
)
async def test_no_order_arrives_twice_and_the_books_are_the_brokers(tmp_path: Path, able: Capabilities) -> None:
    for seed in range(examples(1, whole=4)):
        directory = tmp_path / str(seed)
        directory.mkdir()
        await trades(directory, able, seed)


async def trades(directory: Path, able: Capabilities, seed: int) -> None:
    """Let a session send forty orders and more, and compare it with the broker."""
    trader = Trader()
    with (
        BrokerServer(seed, late_s=ANSWER_S * 1.5, capabilities=able) as server,
        Proxy(server.port, is_postgres=False) as proxy,
    ):
        broker: Any = HttpBroker(proxy.port, able)
        async with live(directory, strategies=[trader], settings=SETTINGS, broker=broker, feed=Market()) as rig:
            kernel = rig.kernel
            broker.now_ns = rig.clock.time_ns
            await kernel.broker.connect()
            campaign = Campaign(rig, trader, server, proxy, seed)
            server.is_faulty = True
            for _ in range(200):  # some are refused, while the books are not compared
                if sum(server.fates.values()) < 40:
                    await campaign.batch()
            for _ in range(5):
                await campaign.look()

            print(f"{sum(server.fates.values())} orders: {dict(server.fates)}")
            refused = Counter(row.reason for row in rig.store.refusals())
            assert sum(server.fates.values()) >= 40, refused
            assert [one for one in kernel.shared.orders if one.state not in FINAL_STATES] == []
            sent = [one.request.client_order_id for one in server.broker.placed]
            assert_agreed(kernel.shared, rig.store, server.broker.books, sent, server.recount, seed)


async def test_an_order_on_a_line_that_goes_dead_is_unknown_and_is_found_on_the_next_one(tmp_path: Path) -> None:
    """The machine between has lost its power: nothing passes on the line any more, not even its end."""
    trader = Trader()
    with BrokerServer(1, late_s=ANSWER_S) as server, Proxy(server.port, is_postgres=False) as proxy:
        broker: Any = HttpBroker(proxy.port, NAMED)
        async with live(tmp_path, strategies=[trader], settings=SETTINGS, broker=broker, feed=Market()) as rig:
            kernel = rig.kernel
            broker.now_ns = rig.clock.time_ns
            await kernel.broker.connect()
            campaign = Campaign(rig, trader, server, proxy, 1)
            # Given that no answer comes back, and then a line that is dead
            proxy.silence("down")
            symbol = SYMBOLS[0]
            trader.wanted[symbol] = Intent(symbol, Side.BUY, 1.0, qty=3)
            bid, ask, size = D(15_000), D(15_010), D(10_000)
            await rig.push(Quote(symbol, campaign.now_ns, bid=bid, ask=ask, bid_size=size, ask_size=size))
            await rig.until(lambda: len(server.broker.placed) == 1)
            proxy.half_open()
            proxy.heal()
            (key,) = [one.request.client_order_id for one in server.broker.placed]
            order = kernel.shared.orders.get
            await rig.until(lambda: getattr(order(key), "state", None) is OrderState.UNKNOWN)
            server.do(lambda: server.broker.fill(key, 2, 15_000, campaign.now_ns, told=False))
            # When the books are compared on a line of their own
            await campaign.look()
            # Then the order is found with what was executed of it, and was sent once
            found = order(key)
            assert found is not None
            assert (found.state, int(found.filled)) == (OrderState.PARTIAL, 2)
            assert len(server.broker.placed) == 1
            assert kernel.unresolved.not_compared == ""
