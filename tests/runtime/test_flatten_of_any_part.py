"""Whatever part is flattened and however it is executed, no more is sold than was held, and nothing of others."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal as D
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.execution.contracts import AckStatus
from qts.market.contracts import Quote
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Flatten
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.effort import examples
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst

POOLS = (Pool.SCALP, Pool.SCALP, Pool.SWING)


class Plan(NamedTuple):
    """One trial: holdings of three strategies and of the owner, what is flattened, what happens meanwhile.

    ``parts``: how much of each sale is executed at a time. ``buys``: who buys how much while it sells.
    ``refuses``: how many of the first sales the broker rejects. ``fills_the_offers``: offers that rest are executed
    before their cancel arrives.
    """

    held: tuple[int, int, int]
    external: int
    offers: tuple[bool, bool, bool]
    target: str
    parts: list[int]
    buys: list[tuple[int, int]]
    refuses: int
    fills_the_offers: bool


PLANS = st.builds(
    Plan,
    held=st.tuples(*[st.integers(0, 6)] * 3),
    external=st.integers(0, 9),
    offers=st.tuples(*[st.booleans()] * 3),
    target=st.sampled_from([SYMBOL, "SCALP", "SWING", "PORTFOLIO"]),
    parts=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    buys=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=2),
    refuses=st.integers(0, 1),
    fills_the_offers=st.booleans(),
)


class Trial:
    """A session at a broker of which the test executes every order, in parts."""

    def __init__(self, rig: LiveRig, broker: ScriptedBroker, names: list[ScriptedStrategy]) -> None:
        self.rig, self.broker, self.strategies = rig, broker, names
        self.handler = CommandHandler(rig.kernel)
        self.now_ns = kst(10)

    async def sees(self, seconds: int = 1) -> None:
        self.now_ns += seconds * 1_000_000_000
        await self.rig.show(Quote(SYMBOL, self.now_ns, D(1_000), D(1_001), D(9_999), D(9_999)))

    def open(self) -> list[tuple[str, str, int, bool]]:
        """Return (id, strategy, what is left, is a sale at the market) of the orders open at the broker."""
        asked = {one.request.client_order_id: one.request for one in self.broker.placed}
        return [
            (key, asked[key].strategy, int(row.remaining), asked[key].forced)
            for key, row in self.broker.books.orders.items()
            if row.is_open and key in asked
        ]

    def held(self) -> tuple[int, ...]:
        account = self.rig.kernel.shared.account
        return tuple(int(account.holding(one.name, SYMBOL)) for one in self.strategies)

    async def buys(self, number: int, qty: int) -> None:
        """Let a strategy want to buy, and execute what leaves of it at once."""
        self.strategies[number].wants(Side.BUY, qty=qty)
        seen = set(self.broker.books.orders)
        await self.sees()
        for key in set(self.broker.books.orders) - seen:
            if self.broker.books.orders[key].side is Side.BUY:
                self.broker.fill(key, qty, 1_001, self.now_ns)
        await self.rig.drain()


@settings(max_examples=examples(10, whole=400), deadline=None)
@given(plan=PLANS)
def test_a_flattening_sells_what_was_held_and_nothing_else(plan: Plan) -> None:
    async def run(directory: Path) -> None:
        # Given three strategies with shares, some of them on offer, and an owner who has some as well
        broker = ScriptedBroker()
        broker.books.held, broker.books.paid = {SYMBOL: D(plan.external)}, {SYMBOL: D(1_000)}
        names = [ScriptedStrategy(f"s{number}", pool) for number, pool in enumerate(POOLS)]
        async with live(directory, strategies=names, settings={}, broker=broker) as rig:
            trial = Trial(rig, broker, names)
            await trial.sees()
            for number, qty in enumerate(plan.held):
                if qty:
                    await trial.buys(number, qty)
            assert trial.held() == plan.held
            for one, offers, qty in zip(names, plan.offers, plan.held, strict=True):
                if offers and qty:
                    one.wants(Side.SELL, limit=1_200)
            await trial.sees()
            # When a part is flattened
            meant = [plan.target in (SYMBOL, pool.value) for pool in POOLS]
            asked = [qty if is_meant else 0 for qty, is_meant in zip(plan.held, meant, strict=True)]
            command = Flatten(operator="kim", reason="test", name=plan.target)
            if not any(asked):
                with pytest.raises(InputError, match="no strategy holds anything of"):
                    await trial.handler.execute(command)
                return
            await trial.handler.execute(command)
            broker.answers.extend([AckStatus.REJECTED] * plan.refuses)
            bought = await executed(trial, plan)
            # Then of each holding so much was sold, what was bought since is there, and so is what is the owner's
            kept = [qty - sale for qty, sale in zip(plan.held, asked, strict=True)]
            left = tuple(qty + more for qty, more in zip(kept, bought, strict=True))
            account = rig.kernel.shared.account
            assert (trial.held(), len(rig.kernel.shared.protective)) == (left, 0)
            assert int(account.external.qty(SYMBOL)) == plan.external
            assert int(broker.books.held.get(SYMBOL, D(0))) == plan.external + sum(left)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


async def executed(trial: Trial, plan: Plan) -> list[int]:
    """Execute the sales in parts until nothing is left of them; return how much each strategy has bought since."""
    broker, bought = trial.broker, [0, 0, 0]
    buys = list(plan.buys)
    for turn in range(40):
        held = trial.held()
        for key, strategy, left, forced in trial.open():
            if key in broker.cancels:
                if plan.fills_the_offers and turn == 0:
                    broker.fill(key, 1, 1_200, trial.now_ns)
                    await trial.rig.drain()
                broker.end(key, trial.now_ns)
            elif forced:
                assert left <= held[int(strategy[1])]
                broker.fill(key, min(plan.parts[turn % len(plan.parts)], left), 1_000, trial.now_ns)
        await trial.rig.drain()
        if buys:
            number, qty = buys.pop(0)
            before = trial.held()[number]
            await trial.buys(number, qty)
            bought[number] += max(0, trial.held()[number] - before)
        await trial.sees(30)
    return bought
