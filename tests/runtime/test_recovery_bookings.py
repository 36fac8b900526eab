"""A killed session with a real broker, where others traded too and executions were taken back: nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

from qts.db.contracts import Record
from qts.execution.contracts import Fill
from qts.ledger.contracts import BookingRow
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from tests.runtime.rig import SYMBOL, kst
from tests.runtime.test_recovery import RunningSession, Session, killed, placed, session

__all__ = ["session"]

BY_HAND = Fill(
    "scripted", "x-1", "by hand", SYMBOL, Side.BUY, D(4), D(150_000), D(10), D(0), kst(10, 0, 2), last=True
)


def bookings(running: RunningSession) -> list[tuple[str, int]]:
    run_to_completion(running.shared.record.checkpoint())
    return [(row.kind.value, int(row.qty)) for row in running.store.bookings()]


def agrees_with_the_broker(running: RunningSession, *, counted: bool = True) -> bool:
    """Audit the whole book from the stored rows and compare it with the broker's.

    ``counted``: with the independent counters as well, which are in the checkpoint alone.
    """
    run_to_completion(running.kernel.auditor.run_full_audit(running.clock.time_ns()))
    checks = running.kernel.invariants.summary()
    return all(checks[f"inv{number:02d}"]["ok"] for number in (1, 4, 5, 6, *([25] if counted else [])))


def has_booking(records: Sequence[Record]) -> bool:
    return any(isinstance(record, BookingRow) for record in records)


def test_what_was_traded_by_hand_while_the_session_was_dead_is_external(session: Session) -> None:
    # Given a session that was killed, and 4 shares bought by hand meanwhile
    placed(session)
    session.kill()
    session.broker.trade_by_hand(BY_HAND, told=False)
    # When it is started again, and a third time
    again = session.restart()
    assert bookings(again) == [("EXTERNAL_FILL", 4)]
    third = session.restart()
    # Then they are EXTERNAL, booked once, and all books agree
    assert bookings(third) == [("EXTERNAL_FILL", 4)]
    assert third.shared.account.external.positions() == session.broker.books.held == {SYMBOL: 4}
    assert (third.held(), third.ledger()) == (0, [])
    assert agrees_with_the_broker(third)


def test_a_reversal_whose_checkpoint_is_lost_counts_once(session: Session) -> None:
    # Given 10 shares that the broker takes back, and a kill after the rows of that, before their checkpoint
    first, key = placed(session)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    run_to_completion(first.kernel.drain())
    assert first.held() == 10
    run_to_completion(first.shared.record.checkpoint())
    cash = first.shared.account.cash
    first.store.without_checkpoint = has_booking
    with killed():
        session.broker.take_back(session.broker.books.fills[0], kst(10, 0, 5))
        run_to_completion(first.kernel.drain())
    # When the session is started again
    again = session.restart()
    # Then the shares are gone once, their money is back, and the fill is still there
    assert (again.held(), len(again.ledger())) == (0, 1)
    assert again.shared.account.cash > cash
    assert again.shared.account.cash == again.shared.account.opening
    assert bookings(again) == [("REVERSAL", -10)]
    assert agrees_with_the_broker(again, counted=False)


def test_a_reversal_that_was_journalled_and_not_stored_is_applied(session: Session) -> None:
    # Given a fill that is stored, and its reversal in the journal alone
    first, key = placed(session, journalled=True)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2))
    run_to_completion(first.kernel.drain())
    run_to_completion(first.shared.record.checkpoint())
    session.broker.take_back(session.broker.books.fills[0], kst(10, 0, 5))
    assert first.journal is not None
    first.journal.flush()
    # When the session is started again
    again = session.restart(journalled=True)
    # Then it is applied
    assert again.held() == 0
    assert bookings(again) == [("REVERSAL", -10)]
    assert agrees_with_the_broker(again)


def test_a_reversal_waits_for_its_fill_over_a_restart(session: Session) -> None:
    # Given an execution that is taken back before it was reported, and a restart
    first, key = placed(session)
    session.broker.fill(key, 10, 150_100, kst(10, 0, 2), told=False)
    fill = session.broker.books.fills[0]
    session.broker.take_back(fill, kst(10, 0, 5))
    run_to_completion(first.kernel.drain())
    run_to_completion(first.shared.record.checkpoint())
    again = session.restart()
    assert (again.held(), bookings(again)) == (0, [])
    # When the fill is reported at last
    session.broker.publish(fill)
    run_to_completion(again.kernel.drain())
    # Then both are booked
    assert (again.held(), len(again.ledger()), bookings(again)) == (0, 1, [("REVERSAL", -10)])
    assert again.shared.account.cash == again.shared.account.opening
    assert agrees_with_the_broker(again)
