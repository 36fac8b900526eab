"""A session with a real broker whose books are compared with ours when a test says so.

The broker is the scripted one, which has a lag of ten seconds where it says so and shows what a test lets it. Times
are seconds after ten o'clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, OrderState
from qts.ledger.contracts import BookingKind
from qts.market.contracts import Quote
from qts.runtime.drivers.sync import run_to_completion
from tests.broker.scripted import NAMED
from tests.runtime.live_rig import LiveRig
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session

BY_NUMBER = replace(NAMED, client_order_ids=False)
CUMULATIVE = replace(NAMED, client_order_ids=False, execution_ids=False)
LAGGING = replace(NAMED, visibility_lag_ns=10 * NS_PER_S)
PRICE = 150_100


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.kill()


def asks(running: RunningSession, second: float, *, drained: bool = True) -> None:
    """Let the session compare its books with the broker's, as it does on the clock."""
    running.clock.set_ns(max(running.clock.time_ns(), kst(10, 0, second)))
    run_to_completion(running.kernel.unresolved.resolve(kst(10, 0, second)))
    if drained:
        run_to_completion(running.kernel.drain())


def unanswered(session: Session, *, arrives: bool) -> RunningSession:
    """Have ten shares bought one second after ten; the answer is lost, and the order too unless it ``arrives``."""
    running = session.restart()
    session.broker.answers.append(AckStatus.UNKNOWN)
    session.broker.receives = arrives
    session.broker.now_ns = running.clock.time_ns
    running.buys()
    session.broker.receives = True
    assert running.order().state is OrderState.UNKNOWN
    return running


def bought(session: Session) -> tuple[RunningSession, str]:
    """Have ten shares bought one second after ten; the order works."""
    running = session.restart()
    session.broker.now_ns = running.clock.time_ns
    running.buys()
    return running, running.order().client_order_id


def codes(running: RunningSession | LiveRig, code: str) -> list[str]:
    return [line.message for line in running.logged if code in line.message]


def reversals(running: RunningSession) -> list[int]:
    run_to_completion(running.shared.record.checkpoint())
    return [int(row.qty) for row in running.store.bookings() if row.kind is BookingKind.REVERSAL]


def told(running: RunningSession) -> None:
    run_to_completion(running.kernel.drain())


def quote(second: float) -> Quote:
    return Quote(SYMBOL, kst(10, 0, second), bid=D(150_000), ask=D(150_100), bid_size=D(9_999), ask_size=D(9_999))
