"""Limits that count, at a broker that is not simulated: a restart gives nothing back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from decimal import Decimal as D
from pathlib import Path

from qts.broker.contracts import Capabilities
from qts.market.contracts import Quote
from qts.strategy.contracts import Side
from tests.broker.books import Books
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.event.support import until
from tests.runtime.live_rig import CALM, LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, ScriptFeed, kst

S = 1_000_000_000


def quote(at_ns: int) -> Quote:
    size = D(10_000)
    return Quote(SYMBOL, at_ns, bid=D(150_000), ask=D(150_100), bid_size=size, ask_size=size)


class Sessions:
    """Sessions one after the other on the same books, each killed without a last word."""

    def __init__(self, directory: Path, capabilities: Capabilities = NAMED, **limits: object) -> None:
        self._directory = directory
        self._capabilities = capabilities
        self._settings = {f"broker.limits.{name}": str(value) for name, value in limits.items()}
        self._books = Books("scripted")
        self.broker = ScriptedBroker(books=self._books)
        self.strategy = ScriptedStrategy()

    def next(self) -> AbstractAsyncContextManager[LiveRig]:
        self.broker = ScriptedBroker(books=self._books, capabilities=self._capabilities)
        self.strategy = ScriptedStrategy()
        settings = {**CALM, "runtime.strategy_lane": "loop", **self._settings}
        return live(
            self._directory, strategies=[self.strategy], settings=settings, broker=self.broker, feed=ScriptFeed()
        )

    async def buys(self, rig: LiveRig, at_ns: int) -> bool:
        """Let the strategy want a share, which the broker fills; return whether an order has left."""
        before = len(self.broker.placed)
        self.strategy.wants(Side.BUY, qty=1)
        await rig.show(quote(at_ns))
        if len(self.broker.placed) == before:
            return False
        self.broker.fill(self.broker.placed[-1].request.client_order_id, 1, 150_100, at_ns)
        await rig.show(quote(at_ns + S // 10))
        return True


async def test_the_messages_of_a_day_count_over_a_kill(tmp_path: Path) -> None:
    # Given a day of three messages before an entry, two of which have left
    sessions = Sessions(tmp_path, messages_per_day=4, messages_per_day_kept=1, duplicate_window_ms=0)
    async with sessions.next() as rig:
        assert [await sessions.buys(rig, kst(10, 0, 2 * number)) for number in range(2)] == [True, True]

    # When the session is killed and goes on, then one more leaves
    async with sessions.next() as rig:
        await rig.show(quote(kst(10, 1)))
        assert [await sessions.buys(rig, kst(10, 1, 2 + 2 * number)) for number in range(2)] == [True, False]
        assert "limit messages_per_day: 3 messages today, at most 3" in rig.orders()[-1].note

    # and another day has messages of its own
    async with sessions.next() as rig:
        await rig.show(quote(kst(10, day=23)))
        assert await sessions.buys(rig, kst(10, 0, 2, day=23))


async def test_a_strategy_that_was_stopped_stays_so_after_a_kill(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, repeated_executions=2, duplicate_window_ms=0)
    async with sessions.next() as rig:
        assert [await sessions.buys(rig, kst(10, 0, 2 * number)) for number in range(3)] == [True, True, False]

    async with sessions.next() as rig:
        await rig.show(quote(kst(10, 1)))
        assert [one.operator for one in rig.kernel.shared.stops] == ["limit repeated_executions"]
        assert not await sessions.buys(rig, kst(10, 1, 2))


async def test_executions_that_no_checkpoint_has_count_after_a_kill(tmp_path: Path) -> None:
    # Given one execution in the checkpoint, and a second right before the kill
    sessions = Sessions(tmp_path, repeated_executions=2, duplicate_window_ms=0)
    async with sessions.next() as rig:
        assert await sessions.buys(rig, kst(10))
        sessions.strategy.wants(Side.BUY, qty=1)
        await rig.show(quote(kst(10, 0, 2)))
        key = sessions.broker.placed[-1].request.client_order_id
        sessions.broker.fill(key, 1, 150_100, kst(10, 0, 3))
        await until(lambda: rig.kernel.counters.fills == 2)

    # When the session goes on, then the strategy is stopped
    async with sessions.next() as rig:
        await rig.show(quote(kst(10, 1)))
        assert rig.kernel.shared.account.holding("scripted", SYMBOL) == 2
        assert [one.operator for one in rig.kernel.shared.stops] == ["limit repeated_executions"]


async def test_an_order_that_no_checkpoint_has_is_remembered_as_sent_after_a_kill(tmp_path: Path) -> None:
    # Given an entry of which a repetition may follow after ten minutes, sent and cancelled right before the kill
    sessions = Sessions(tmp_path, duplicate_window_ms=600_000)
    async with sessions.next() as rig:
        await rig.show(quote(kst(10)))
        await rig.kernel.shared.record.checkpoint()
        sessions.strategy.wants(Side.BUY, qty=1, limit=149_000)
        await rig.show(quote(kst(10, 0, 1)))
        sessions.broker.end(sessions.broker.placed[-1].request.client_order_id, kst(10, 0, 2))
        await until(lambda: len(rig.kernel.shared.orders) == 0)

    # When the session goes on and the strategy asks for the same a minute later, then it does not leave
    async with sessions.next() as rig:
        await rig.show(quote(kst(10, 1)))
        sessions.strategy.wants(Side.BUY, qty=1, limit=149_000)
        await rig.show(quote(kst(10, 1, 1)))
        assert sessions.broker.placed == []
        assert "limit duplicate_window_ms: the same order was sent or filled" in rig.orders()[-1].note
