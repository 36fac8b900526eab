"""Answers, notices and lists are late, lost, doubled or cut short, by a seed: nothing is sent or booked twice.

The broker's books, which know no faults, and a recount of what happened there, which shares no code with either
side, are the measure: at the end our shares, our money and the fate of every order are theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Capabilities
from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, OrderAck, OrderState
from qts.execution.working import FINAL_STATES
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from qts.strategy.targets import Cancel
from tests.broker.scripted import NAMED
from tests.effort import examples
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session
from tests.sim.broker_agreement import assert_agreed
from tests.sim.broker_faults import Faults, FaultyBroker

BY_NUMBER = replace(NAMED, client_order_ids=False)
CUMULATIVE = replace(BY_NUMBER, execution_ids=False)
LAGS = 10 * NS_PER_S
"""How long a lagging broker shows neither an order nor an execution."""
BROKERS = {
    "named": NAMED,
    "named, lists lag": replace(NAMED, visibility_lag_ns=LAGS),
    "by number": BY_NUMBER,
    "cumulative": CUMULATIVE,
    "cumulative, lists lag": replace(CUMULATIVE, visibility_lag_ns=LAGS),
}
SETTINGS = {
    "safety.broker_failure_limit": "10",
    "safety.broker_failure_window_minutes": "0.5",
}
"""Safety stops a session whose broker answers so seldom; here it is to go on."""
STEPS, STEP_S = 60, 5


def at(step: float) -> int:
    return kst(10, 0, step * STEP_S)


@contextmanager
def lived(directory: Path, able: Capabilities, seed: int) -> Iterator[tuple[Session, Faults]]:
    """Processes of a session at a broker that can do what ``able`` says, and has the faults of ``seed``."""
    directory.mkdir()
    broker = FaultyBroker(capabilities=able)
    session = Session(directory, broker, SETTINGS)
    try:
        yield session, Faults(broker, seed)
    finally:
        session.kill()


def asks(running: RunningSession, step: float) -> None:
    running.clock.set_ns(max(running.clock.time_ns(), at(step)))
    run_to_completion(running.kernel.unresolved.resolve(at(step)))
    run_to_completion(running.kernel.drain())


def wants_something(running: RunningSession, faults: Faults) -> None:
    rng, held = faults.rng, running.held()
    if rng.random() < (0.5 if len(running.shared.orders) else 0.05):
        running.scripted.intents.append(Cancel(symbol=SYMBOL))  # type: ignore[arg-type]
    else:
        side = Side.SELL if held and rng.random() < 0.5 else Side.BUY
        running.scripted.wants(side, qty=rng.randint(1, max(1, held) if side is Side.SELL else 6))


def lives(session: Session, faults: Faults) -> RunningSession:
    """Trade for five minutes among faults, and then let the broker be heard."""
    rng = faults.rng
    running = session.restart()
    faults.of(running)
    for step in range(1, STEPS):
        faults.step = step
        if rng.random() < 0.05:
            faults.heals()  # a session that cannot ask does not begin
            run_to_completion(running.shared.record.checkpoint())
            running = session.restart()
            faults.of(running)
        if rng.random() < 0.8:
            wants_something(running, faults)
        running.quote(step * STEP_S)
        for ack in faults.late_answers():
            running.kernel.unresolved.adopt(ack, running.clock.time_ns())
        faults.at_the_broker()
        run_to_completion(running.kernel.drain())
        if rng.random() < 0.5:
            faults.before_a_question()
            asks(running, step + 0.5)
            faults.heals()
    faults.ends_the_day()
    for step in range(STEPS, STEPS + 12):
        asks(running, step)
    return running


def assert_as_at_the_broker(running: RunningSession, faults: Faults, where: object) -> None:
    sent = [approved.request.client_order_id for approved in faults.broker.placed]
    assert_agreed(running.shared, running.store, faults.broker.books, sent, faults.recount, where)


@pytest.mark.parametrize("able", BROKERS.values(), ids=BROKERS)
def test_nothing_is_sent_or_booked_twice_and_nothing_is_missed(tmp_path: Path, able: Capabilities) -> None:
    """Ten thousand orders and cancels whose fate is not known at once, where every example is drawn."""
    unsure, untold = Counter[str](), Counter[str]()
    count = examples(3, whole=250)
    for seed in range(count):
        with lived(tmp_path / str(seed), able, seed) as (session, faults):
            running = lives(session, faults)
            assert [one for one in running.shared.orders if one.state not in FINAL_STATES] == [], seed
            assert_as_at_the_broker(running, faults, seed)
        unsure += faults.unsure
        untold += faults.untold
    print(f"unsure: {sum(unsure.values())}, {dict(unsure)}; untold: {dict(untold)}")
    assert sum(unsure.values()) >= 8 * count, unsure


@pytest.mark.parametrize("able", [BY_NUMBER, CUMULATIVE], ids=["by number", "cumulative"])
def test_of_two_that_are_alike_neither_is_taken_for_ours_until_the_answer_comes(
    tmp_path: Path, able: Capabilities
) -> None:
    for seed in range(examples(4, whole=100)):
        with lived(tmp_path / str(seed), able, seed) as (session, faults):
            # Given an order without an answer, and beside it so many of a person that two there are just like it
            arrives, early = faults.rng.random() < 0.5, faults.rng.random() < 0.5
            running = session.restart()
            faults.of(running)
            key = is_unanswered_beside_others(running, faults, arrives=arrives, early=early)
            # when the broker is asked again and again, also by another process
            for step in range(2, 30):
                if faults.rng.random() < 0.1:
                    run_to_completion(running.shared.record.checkpoint())
                    running = session.restart()
                    faults.of(running)
                running.scripted.wants(Side.BUY, qty=2)
                running.quote(step * STEP_S)
                asks(running, step + 0.5)
            # then it stays unknown, nothing of its symbol and side leaves, and a person is told
            assert [order.state for order in running.shared.orders] == [OrderState.UNKNOWN], seed
            assert len(faults.broker.placed) == 1, seed
            assert any("may be one of" in line.message for line in running.logged), seed
            # When the answer comes after all, then its own executions are booked, and no others
            status = AckStatus.ACCEPTED if arrives else AckStatus.REJECTED
            ref = faults.broker.books.orders[key].ref if arrives else None
            running.kernel.unresolved.adopt(OrderAck(status, key, ref), running.clock.time_ns())
            if arrives:
                faults.executes(key, 1, told=False)
            faults.ends_the_day()
            for step in range(STEPS, STEPS + 5):
                asks(running, step)
            assert_as_at_the_broker(running, faults, seed)


def is_unanswered_beside_others(running: RunningSession, faults: Faults, *, arrives: bool, early: bool) -> str:
    """Buy two shares without an answer, and let a person buy two as well, ``early`` before it; return our id."""
    broker = faults.broker
    running.quote(0)
    for _ in range(1 if arrives else 2):
        if early:
            broker.order_by_hand(SYMBOL, Side.BUY, 2, at(0))
    faults.script(arrives=arrives)
    running.scripted.wants(Side.BUY, qty=2)
    running.quote(STEP_S)
    for _ in range(1 if arrives else 2):
        if not early:
            broker.order_by_hand(SYMBOL, Side.BUY, 2, at(1))
    (order,) = running.shared.orders
    return order.client_order_id
