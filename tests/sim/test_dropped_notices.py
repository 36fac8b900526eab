"""A fill of which no notice comes is found in the broker's books within five seconds, and booked once.

On the virtual clock: the books are compared as often as a session at a real broker does it, and now and then cannot
be read.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qts.broker.contracts import Capabilities
from qts.clock import NS_PER_MS, NS_PER_S
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.effort import examples
from tests.runtime.books_rig import BY_NUMBER, CUMULATIVE, NAMED
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

TICK_NS = 100 * NS_PER_MS
MOST_NS = 5 * NS_PER_S


class Days:
    """A session whose orders fill a share at a time, and the times that its broker's notices were lost."""

    def __init__(self, running: RunningSession, seed: int) -> None:
        self.running, self.broker = running, running.broker
        self.rng = random.Random(seed)
        self.now_ns = kst(10)
        self.asked_ns = 0
        self.lost: list[int] = []
        """When the fills were executed of which no notice came and which are not booked yet."""
        self.delays: list[int] = []

    def tick(self) -> None:
        self.now_ns += TICK_NS
        running, rng = self.running, self.rng
        running.clock.set_ns(max(running.clock.time_ns(), self.now_ns))
        for key, order in list(self.broker.books.orders.items()):
            if order.is_open and rng.random() < 0.2:
                told = rng.random() < 0.3
                self.broker.fill(key, 1, 150_000 + 100 * rng.randint(0, 1), self.now_ns, told=told)
                self.lost += [] if told else [self.now_ns]
        run_to_completion(running.kernel.drain())
        if self.now_ns - self.asked_ns >= running.kernel.unresolved.interval_ns:
            self.asked_ns = self.now_ns
            self.broker.is_up = rng.random() < 0.9 or bool(running.kernel.unresolved.not_compared)
            run_to_completion(running.kernel.unresolved.resolve(self.now_ns))
            run_to_completion(running.kernel.drain())
            self.broker.is_up = True
        if self.lost and not self.lacks():
            self.delays += [self.now_ns - executed_ns for executed_ns in self.lost]
            self.lost.clear()

    def trade(self, side: Side, qty: int) -> None:
        """Have one order filled to its end, and let the books be compared after it."""
        second = (self.now_ns - kst(10)) / NS_PER_S
        self.running.scripted.wants(side, qty=qty)
        self.running.quote(second)
        while any(order.is_open for order in self.broker.books.orders.values()) or self.lacks():
            self.tick()

    def lacks(self) -> bool:
        """Return whether the session has not booked all that the broker has executed."""
        return self.running.held() != int(self.broker.books.held.get(SYMBOL, 0))


@pytest.mark.parametrize("able", [NAMED, BY_NUMBER, CUMULATIVE], ids=["named", "by number", "cumulative"])
def test_a_fill_without_a_notice_is_found_within_five_seconds_and_booked_once(
    tmp_path: Path, able: Capabilities
) -> None:
    session = Session(tmp_path, ScriptedBroker(capabilities=able))
    try:
        running = session.restart()
        days = Days(running, seed=5)
        count = examples(40, whole=400)
        while len(days.delays) < count:
            held = running.held()
            days.trade(Side.SELL if held else Side.BUY, held or 10)

        print(f"{len(days.delays)} lost notices, found after {max(days.delays) / NS_PER_S:.1f} s at most")
        assert max(days.delays) <= MOST_NS
        books, ledger = days.broker.books, running.ledger()
        assert sum(int(row.side.sign * row.qty) for row in ledger) == int(books.held[SYMBOL])
        assert sum(int(row.qty) for row in ledger) == sum(int(fill.qty) for fill in books.fills)
        assert running.shared.account.cash == books.cash
    finally:
        session.kill()
