"""Answers, notices and lists are late, lost, doubled or cut short, by a seed: nothing is sent or booked twice.

The broker's books, which know no faults, are the measure: at the end our shares, our money and the fate of every
order are theirs.
"""

from __future__ import annotations

import random
from decimal import Decimal as D
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Capabilities
from qts.execution.contracts import AckStatus, OrderState
from qts.execution.working import FINAL_STATES
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.effort import examples
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

BY_NUMBER = replace(NAMED, client_order_ids=False)
CUMULATIVE = replace(BY_NUMBER, execution_ids=False)
MOST_LOST = 2
"""Answers that may be missing: with the third, safety stops the session."""


class Faults:
    """What happens at the broker in each second, drawn from a seed."""

    def __init__(self, broker: ScriptedBroker, seed: int) -> None:
        self.broker, self.rng, self.lost = broker, random.Random(seed), 0
        self.restarts = 0

    def before_an_order(self) -> None:
        rng, broker = self.rng, self.broker
        broker.answers.clear()
        broker.receives = True
        fate = rng.random()
        if fate < 0.1:
            broker.answers.append(AckStatus.REJECTED)
        elif fate < 0.5 and self.lost < MOST_LOST:
            self.lost += 1
            broker.answers.append(rng.choice((AckStatus.UNKNOWN, TimeoutError("cut"))))
            broker.receives = rng.random() < 0.6

    def at_the_broker(self, running: RunningSession, now_ns: int) -> None:
        rng, broker = self.rng, self.broker
        broker.holds_notices = rng.random() < 0.3
        for key, order in list(broker.books.orders.items()):
            if not order.is_open:
                continue
            ours = running.shared.orders.get(key)
            is_mapped = broker.capabilities.client_order_ids or (ours is not None and bool(ours.venue_refs))
            told = is_mapped and rng.random() < 0.7
            broker.repeats = int(rng.random() < 0.2)
            fate = rng.random()
            if fate < 0.5:
                qty = rng.randint(1, int(order.remaining))
                broker.fill(key, qty, 150_000 + 100 * rng.randint(0, 1), now_ns, told=told)
            elif fate < 0.65:
                broker.end(key, now_ns, told=told)
        broker.repeats = 0
        while broker.held_notices and rng.random() < 0.7:
            broker.let_notice(rng.randrange(len(broker.held_notices)))

    def before_a_question(self) -> None:
        self.broker.is_up = self.rng.random() < 0.9
        if self.rng.random() < 0.2:
            self.broker.pages.extend([""] * self.rng.randint(0, 1) + ["the body was empty"])


def asks(running: RunningSession, second: float) -> None:
    running.clock.set_ns(max(running.clock.time_ns(), kst(10, 0, second)))
    run_to_completion(running.kernel.unresolved.resolve(kst(10, 0, second)))
    run_to_completion(running.kernel.drain())


def lives(session: Session, faults: Faults) -> RunningSession:
    """Trade for a minute among faults, and then let the broker be heard."""
    broker, rng = session.broker, faults.rng
    running = session.restart()
    for second in range(1, 60):
        if rng.random() < 0.05:
            broker.is_up = True  # a session that cannot ask does not begin
            broker.pages.clear()
            run_to_completion(running.shared.record.checkpoint())
            running = session.restart()
        if rng.random() < 0.4:
            faults.before_an_order()
            side = Side.SELL if running.held() and rng.random() < 0.5 else Side.BUY
            running.scripted.wants(side, qty=rng.randint(1, max(1, running.held()) if side is Side.SELL else 6))
        running.quote(second)
        faults.at_the_broker(running, kst(10, 0, second))
        run_to_completion(running.kernel.drain())
        if rng.random() < 0.5:
            faults.before_a_question()
            asks(running, second + 0.5)
            broker.is_up = True
            broker.pages.clear()
    for key, order in list(broker.books.orders.items()):
        if order.is_open:
            broker.end(key, kst(10, 1), told=False)
    while broker.held_notices:
        broker.let_notice()
    for second in range(61, 90, 3):
        asks(running, second)
    return running


@pytest.mark.parametrize("able", [NAMED, BY_NUMBER, CUMULATIVE], ids=["named", "by number", "cumulative"])
def test_nothing_is_sent_or_booked_twice_and_nothing_is_missed(tmp_path: Path, able: Capabilities) -> None:
    for seed in range(examples(3, whole=300)):
        directory = tmp_path / str(seed)
        directory.mkdir()
        session = Session(directory)
        try:
            broker = session.broker
            broker.capabilities = able
            running = lives(session, Faults(broker, seed))
            books, account = broker.books, running.shared.account

            sent = [approved.request.client_order_id for approved in broker.placed]
            assert len(set(sent)) == len(sent), seed
            assert account.position(SYMBOL) == books.held.get(SYMBOL, D(0)), seed
            assert account.cash + account.external.cash == books.cash, seed
            assert [one for one in running.shared.orders if one.state not in FINAL_STATES] == [], seed
            run_to_completion(running.shared.record.checkpoint())
            for order in running.store.orders():
                theirs = books.orders.get(order.client_order_id)
                assert order.filled == (D(0) if theirs is None else theirs.filled), (seed, order)
                assert theirs is not None or order.state in (OrderState.NOT_SENT, OrderState.REJECTED), (
                    seed,
                    order,
                )
            assert not account.open_reservations, seed
        finally:
            session.kill()
