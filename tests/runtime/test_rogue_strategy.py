"""A strategy that asks for ten thousand orders in a second, at a broker that is not simulated."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal as D
from pathlib import Path

from qts.broker.gateway.limits.count_config import CountLimits
from qts.market.contracts import Quote
from qts.market.krx import krx_instrument
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Context, Intent, Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import CALM, live
from tests.runtime.rig import ScriptedStrategy, ScriptFeed, kst

SYMBOLS = tuple(f"{number:06d}" for number in range(100_000, 102_500))
MS = 1_000_000
MOST_TO_LEAVE = 10


class Rogue(ScriptedStrategy):
    """Asks at every quote for a share of each of the next 500 symbols, until it has asked for 10,000 orders."""

    def __init__(self) -> None:
        super().__init__("rogue")
        self.is_calm = True
        self.asked = 0

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if self.is_calm:
            return ()
        begin, self.asked = self.asked, min(self.asked + 500, 10_000)
        return [Intent(SYMBOLS[number % len(SYMBOLS)], Side.BUY, 1.0, qty=1) for number in range(begin, self.asked)]


class Universe(ScriptFeed):
    """A feed of 2,500 symbols."""

    def __init__(self) -> None:
        super().__init__()
        self.instruments = {symbol: krx_instrument(symbol) for symbol in SYMBOLS}


def quote(symbol: str, at_ns: int) -> Quote:
    size = D(10_000)
    return Quote(symbol, at_ns, bid=D(10_000), ask=D(10_010), bid_size=size, ask_size=size)


async def test_of_ten_thousand_orders_asked_for_in_a_second_ten_leave_at_most_and_safety_locks_down(
    tmp_path: Path,
) -> None:
    # Given the limits as they are, and a market in which every symbol has a price
    rogue, broker, most = Rogue(), ScriptedBroker(), CountLimits().asked_per_second
    settings = {**CALM, "runtime.strategy_lane": "loop"}
    async with live(tmp_path, strategies=[rogue], settings=settings, broker=broker, feed=Universe()) as rig:
        for begin in range(0, len(SYMBOLS), 100):
            await rig.push(*(quote(symbol, kst(9, 59)) for symbol in SYMBOLS[begin : begin + 100]))
            await rig.drain()
        assert (rogue.quotes, broker.placed) == (2_500, [])
        rogue.is_calm = False

        # When it asks for 10,000 orders over 2,500 symbols within a second
        for number in range(20):
            await rig.show(quote(SYMBOLS[0], kst(10) + number * 50 * MS))

        # Then ten have left at most, it is halted, and safety is in LOCKDOWN
        assert rogue.asked > most
        assert 0 < len(broker.placed) <= MOST_TO_LEAVE
        (context,) = rig.kernel.host.contexts
        assert context.halted
        assert context.why == f"a limit has ended it: it has asked for more than {most:,} orders within a second"
        assert rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN
        assert {"AN060", "FS104"} <= {change.code for change in rig.kernel.shared.safety.history}

        # and nothing more leaves, whatever the market does
        left = len(broker.placed)
        for second in range(1, 5):
            await rig.show(quote(SYMBOLS[0], kst(10, 0, second)))
        assert len([one for one in broker.placed if not one.request.reduce_only]) == left


ROGUE_FILE = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Apart:
    name, pool, symbols = "apart", Pool.SCALP, ()
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote): return [Intent(quote.symbol, Side.BUY, 1.0, qty=1)] * 6
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): pass
"""


async def test_one_in_a_process_of_its_own_is_halted_as_well(tmp_path: Path) -> None:
    # Given a limit of ten, and a strategy in a worker process that asks for six at each quote
    file, broker = tmp_path / "apart.py", ScriptedBroker()
    file.write_text(ROGUE_FILE, "utf-8")
    settings = {**CALM, "broker.limits.asked_per_second": "10"}
    async with live(tmp_path, f"{file}:Apart", settings=settings, broker=broker, feed=Universe()) as rig:
        await rig.show(quote(SYMBOLS[0], kst(10)))
        (context,) = rig.kernel.host.contexts
        assert not context.halted

        # When the second quote makes it twelve in a second
        await rig.show(quote(SYMBOLS[0], kst(10) + 500 * MS))

        # Then it is halted, and safety is in LOCKDOWN
        assert context.halted
        assert rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN
        await rig.show(quote(SYMBOLS[0], kst(10, 0, 2)))
        assert len(broker.placed) <= 1
