"""Whatever a session, its rules and its operators do, only what is its own is ever sold."""

from __future__ import annotations

import asyncio
import tempfile
from decimal import Decimal as D
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import InputError
from qts.execution.contracts import Fill
from qts.execution.protective.contracts import Origin
from qts.market.contracts import Quote
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Adopt, Flatten, Release, Stop
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst
from tests.runtime.test_account_opening import agreed

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["by hand", "sold by hand", "buys", "sells", "adopts", "stop", "exit", "flatten", "taken back"]
        ),
        st.integers(1, 9),
    ),
    min_size=3,
    max_size=7,
)


class Trial:
    """A session at a broker where the owner trades as well; orders are executed as soon as they are there."""

    def __init__(self, rig: LiveRig, broker: ScriptedBroker) -> None:
        self.rig, self.broker = rig, broker
        self.handler = CommandHandler(rig.kernel)
        self.ours = self.theirs = D(0)
        """What is ours, and what is the owner's, counted by what was done alone."""
        self.seen = self.step = 0

    async def does(self, what: str, qty: int) -> None:
        self.step += 1
        at_ns = kst(9, 1) + self.step * 20_000_000_000
        strategy = self.rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        if what == "by hand":
            self.trades_by_hand(Side.BUY, D(qty), at_ns)
        elif what == "taken back":
            self.takes_back(at_ns)
        elif what == "sold by hand":
            self.trades_by_hand(Side.SELL, min(D(qty), self.ours + self.theirs), at_ns)
        elif what == "adopts":
            await self.adopts(D(qty))
        elif what == "exit":
            self.rig.kernel.exits.request("scripted", SYMBOL, Origin.HALTED, "a rule", at_ns)
        elif what == "stop":
            await self.handler.execute(Stop(operator="kim", reason="test", strategy="scripted"))
        elif what == "flatten":
            await self.flattens()
        else:
            strategy.wants(Side.BUY if what == "buys" else Side.SELL, qty=qty)
        for second in range(4):
            now_ns = at_ns + second * 1_000_000_000
            await self.sees(now_ns)
            await self.executes(now_ns)
        if what == "stop":
            await self.handler.execute(Release(operator="kim", reason="test", strategy="scripted"))
        account = self.rig.kernel.shared.account
        assert (account.position(SYMBOL), account.external.qty(SYMBOL)) == (self.ours, self.theirs)

    def trades_by_hand(self, side: Side, qty: D, at_ns: int) -> None:
        """Let the owner trade, also shares of the strategy: then EXTERNAL is short of them."""
        if qty:
            ids = ("scripted", f"x-{self.step}", "by hand", SYMBOL, side)
            self.broker.trade_by_hand(Fill(*ids, qty, D(1_000), D(0), D(0), at_ns, last=True))
            self.theirs += qty * side.sign

    def takes_back(self, at_ns: int) -> None:
        """Let the broker take back the newest sale of the strategy."""
        sales = [fill for fill in self.broker.books.valid_fills() if fill.side is Side.SELL]
        ours = [fill for fill in sales if fill.client_order_id in self.broker.books.orders]
        if ours:
            self.broker.take_back(ours[-1], at_ns)
            self.ours += ours[-1].qty

    async def flattens(self) -> None:
        try:
            await self.handler.execute(Flatten(operator="kim", reason="test", name=SYMBOL))
        except InputError:
            assert not self.ours

    async def sees(self, now_ns: int) -> None:
        await self.rig.show(Quote(SYMBOL, now_ns, D(1_000), D(1_001), D(9_999), D(9_999)))

    async def adopts(self, qty: D) -> None:
        some = qty if qty <= self.theirs else None
        given = {"operator": "kim", "reason": "test", "id": f"adopt-{self.step:04}", "symbol": SYMBOL}
        command = Adopt(**given, strategy="scripted", qty=some)  # type: ignore[arg-type]
        try:
            await self.handler.execute(command)
        except InputError:
            assert self.theirs <= 0 or self.rig.kernel.shared.protective.reasons()
        else:
            taken = command.qty or self.theirs
            self.ours, self.theirs = self.ours + taken, self.theirs - taken

    async def executes(self, now_ns: int) -> None:
        for approved in self.broker.placed[self.seen :]:
            request = approved.request
            if request.side is Side.SELL:
                there = self.ours + min(self.theirs, D(0))
                assert request.qty <= there, f"{request.qty} are sold, {there} of ours are there"
            self.ours += request.qty * request.side.sign
            self.broker.fill(request.client_order_id, str(request.qty), 1_000, now_ns)
        self.seen = len(self.broker.placed)
        await self.rig.drain()


@settings(max_examples=8, deadline=None)
@given(held=st.integers(0, 9), steps=STEPS)
def test_only_what_is_ours_is_sold(held: int, steps: list[tuple[str, int]]) -> None:
    async def run(directory: Path) -> None:
        # Given an account that had shares before us
        broker = ScriptedBroker()
        broker.books.held, broker.books.paid = {SYMBOL: D(held)}, {SYMBOL: D(1_000)}
        async with live(directory, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
            trial = Trial(rig, broker)
            trial.theirs = D(held)
            await trial.sees(kst(9, 0, 30))
            # When the owner trades and gives shares, a strategy buys and sells, and rules and operators sell all
            for what, qty in [*steps, ("exit", 1)]:
                await trial.does(what, qty)
            # Then no sale was of more than is ours, the rest is where it was, and all books agree
            missing = max(-trial.theirs, D(0))
            assert (trial.ours, broker.books.held.get(SYMBOL, D(0))) == (missing, trial.theirs + missing)
            await rig.kernel.auditor.run_full_audit(rig.clock.time_ns())
            assert False not in agreed(rig.kernel)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))
