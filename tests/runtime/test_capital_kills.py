"""A session that is killed while an operator moves capital: each command is booked whole and once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import pytest

from qts.db.contracts import Record
from qts.ledger.contracts import BookingRow
from qts.ledger.verification import BookRows, verify
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Adopt, Deposit, Withdraw
from qts.runtime.drivers.sync import run_to_completion
from tests.runtime.rig import SYMBOL
from tests.runtime.test_account_opening import agreed, used_before
from tests.runtime.test_recovery import Disk, RunningSession, Session, dies, killed, session

__all__ = ["session"]

GIVEN = {"operator": "kim", "reason": "test"}
COMMANDS = (
    Deposit(**GIVEN, id="deposit-1", amount=D(2_000_000)),
    Adopt(**GIVEN, id="adopt-001", symbol=SYMBOL, strategy="scripted", qty=D(5)),
    Withdraw(**GIVEN, id="withdraw-1", amount=D(500_000)),
)


def executes(running: RunningSession, number: int) -> None:
    run_to_completion(CommandHandler(running.kernel).execute(COMMANDS[number]))


def stands(running: RunningSession) -> tuple[object, ...]:
    account = running.shared.account
    external = account.external
    return account.cash, external.cash, account.positions(), external.positions(), account.capital_paid_in


def book_of(running: RunningSession) -> BookRows:
    account, store = running.shared.account, running.store
    rows = (store.ledger(), store.transfers(), store.actions(), store.orders(), store.positions(), store.pools())
    closes = {"closes": store.day_closes(), "holding_closes": store.holding_closes()}
    return BookRows(account.initial, account.quantum, *rows, bookings=store.bookings(), **closes)


def has_booking(records: Sequence[Record]) -> bool:
    return any(isinstance(record, BookingRow) for record in records)


@pytest.mark.parametrize("number", range(len(COMMANDS)))
@pytest.mark.parametrize("written", [False, True])
def test_a_command_is_booked_once_wherever_the_session_dies(
    session: Session, number: int, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a session that has adopted an account, and has executed the commands before this one
    used_before(session.broker)
    first = session.restart()
    first.quote(1)
    for before in range(number):
        executes(first, before)
    # When it is killed right before its rows are on disk, or right after it, before the command is answered
    commit = Disk.commit

    def killing(self: Disk, records: Sequence[Record], *more: object) -> int:
        if not has_booking(records):
            return commit(self, records, *more)  # type: ignore[arg-type]
        if written:
            commit(self, records, *more)  # type: ignore[arg-type]
        dies()
        return 0

    with monkeypatch.context() as patch, killed():
        patch.setattr(Disk, "commit", killing)
        executes(first, number)
    # And the next session finds every command again, twice
    again = session.restart()
    again.quote(2)
    for _ in range(2):
        for each in range(number + 1):
            executes(again, each)
    # Then it stands where one stands that was never killed
    ours = [D(100_000_000), D(102_000_000), D(102_000_000), D(101_500_000)][number + 1]
    theirs = [D(3_000_000), D(1_000_000), D(1_000_000), D(1_500_000)][number + 1]
    shares = ({}, D(7)) if not number else ({SYMBOL: D(5)}, D(2))
    paid_in = ours + (750_000 if number else 0)
    assert stands(again) == (ours, theirs, shares[0], {SYMBOL: shares[1], "000660": D(3)}, paid_in)
    # And the stored book is whole, and what the broker has
    assert verify(book_of(again)).differences == ()
    run_to_completion(again.kernel.auditor.run_full_audit(again.clock.time_ns()))
    assert agreed(again.kernel) == [True] * 4
    # And a third process stands there too
    assert stands(session.restart()) == stands(again)


def test_what_was_taken_over_stays_over_closed_days(session: Session) -> None:
    # Given shares taken over and money deposited, and a day that is closed since
    used_before(session.broker)
    first = session.restart()
    first.quote(1)
    for number in range(len(COMMANDS)):
        executes(first, number)
    account = first.shared.account
    before = (stands(first), account.contributions_value, account.deposits_total)
    first.quote(86_400)
    assert account.last_close is not None
    # When the session is continued the next day, and finds a command of the day before
    again = session.restart()
    executes(again, 1)
    # Then nothing has changed
    account = again.shared.account
    now = (stands(again), account.contributions_value, account.deposits_total)
    assert now == before
    assert len(book_of(again).closes) == 1
    assert verify(book_of(again)).differences == ()
