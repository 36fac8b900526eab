"""Escapes among faults, by a seed: once nothing goes wrong any more, everything is settled and flat within 30 s.

Answers, notices and lists are late, lost, doubled or cut short while a holding has to be left, for several reasons;
the session is killed and goes on by itself. Then the broker is well, and 30 seconds of the session's clock have to
do. What is sold is never more than the broker's own books hold of ours.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from qts.broker.contracts import Capabilities
from qts.execution.protective.contracts import Origin
from qts.execution.working import FINAL_STATES
from qts.runtime.drivers.sync import run_to_completion
from tests.effort import examples
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session
from tests.sim.broker_agreement import assert_agreed
from tests.sim.broker_faults import Faults, FaultyBroker
from tests.sim.test_ambiguous_orders import BROKERS, SETTINGS, STEP_S, wants_something

RETRY = {"pipeline.forced_exit_retry_s": "10"}
BEFORE, AMONG = 12, 6
"""Steps of trading, and at most so many in which the holding has to be left, both among faults."""
SETTLED_S = 30
OTHERS = (Origin.OPERATOR, Origin.HALTED, Origin.POOL, Origin.LEVEL)


def asks(running: RunningSession, second: float) -> None:
    """Let the session compare its books as it does on the clock, and go on with what follows from that."""
    running.clock.set_ns(max(running.clock.time_ns(), kst(10, 0, second)))
    running.kernel.due.resolve_soon()
    run_to_completion(running.kernel.drain())


def step(running: RunningSession, faults: Faults, second: float) -> None:
    rng = faults.rng
    running.quote(second)
    for ack in faults.late_answers():
        running.kernel.unresolved.adopt(ack, running.clock.time_ns())
    faults.at_the_broker()
    run_to_completion(running.kernel.drain())
    if rng.random() < 0.5:
        faults.before_a_question()
        asks(running, second + STEP_S / 2)
        faults.heals()


def killed(running: RunningSession, session: Session, faults: Faults) -> RunningSession:
    """Kill the session after its last checkpoint, which has all that is required, and begin it again."""
    run_to_completion(running.shared.record.checkpoint())
    again = session.restart()
    faults.of(again)
    return again


def escapes(session: Session, faults: Faults) -> tuple[RunningSession, int]:
    """Live one session; return it, and the seconds after which it was settled."""
    rng = faults.rng
    running = session.restart()
    faults.of(running)
    for number in range(1, BEFORE):
        faults.step = number
        if rng.random() < 0.8:
            wants_something(running, faults)
        step(running, faults, number * STEP_S)
    origins = [Origin.ESCAPE, *rng.sample(OTHERS, rng.randint(0, 4))]
    rng.shuffle(origins)
    end = BEFORE + rng.randint(1, AMONG)
    for number in range(BEFORE, end):
        faults.step = number
        due = origins if number == end - 1 else origins[:1]
        origins = origins[len(due) :]
        for origin in due:
            running.kernel.exits.request("scripted", SYMBOL, origin, origin.value, running.clock.time_ns())
            running.kernel.due.pending = True
        if rng.random() < 0.15:
            faults.heals()
            running = killed(running, session, faults)
        step(running, faults, number * STEP_S)
    faults.calms_down()
    began_s = end * STEP_S
    for second in range(began_s, began_s + 2 * SETTLED_S):
        faults.step = 1_000
        running.quote(second)
        for ack in faults.late_answers():
            running.kernel.unresolved.adopt(ack, running.clock.time_ns())
        run_to_completion(running.kernel.drain())
        faults.executes_exits()
        run_to_completion(running.kernel.drain())
        if second % 3 == 0:
            asks(running, second + 0.5)
        if is_settled(running):
            return running, second - began_s
    return running, 2 * SETTLED_S


def is_settled(running: RunningSession) -> bool:
    return not (len(running.shared.orders) or len(running.shared.protective) or running.held())


@pytest.mark.parametrize("able", BROKERS.values(), ids=BROKERS)
def test_whatever_went_wrong_it_is_settled_and_flat_within_thirty_seconds(
    tmp_path: Path, able: Capabilities
) -> None:
    took = Counter[int]()
    for seed in range(examples(3, whole=200)):
        (tmp_path / str(seed)).mkdir()
        broker = FaultyBroker(capabilities=able)
        session = Session(tmp_path / str(seed), broker, {**SETTINGS, **RETRY})
        faults = Faults(broker, seed)
        try:
            running, seconds = escapes(session, faults)
            assert is_settled(running), (seed, running.held(), list(running.shared.orders))
            assert seconds <= SETTLED_S, (seed, seconds)
            assert [one for one in running.shared.orders if one.state not in FINAL_STATES] == [], seed
            assert min(broker.books.held.values(), default=0) >= 0, seed
            sent = [approved.request.client_order_id for approved in broker.placed]
            assert_agreed(running.shared, running.store, broker.books, sent, faults.recount, seed)
            took[seconds] += 1
        finally:
            session.kill()
    print(f"settled after seconds: {sorted(took.items())}")
