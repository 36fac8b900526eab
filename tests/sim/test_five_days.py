"""Five trading days in one paper session, with nights, a weekend, holidays: memory and audits of one day's size."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qts.clock import to_ns
from qts.db.find_run import run_in
from qts.db.sqlite import SqliteStore
from qts.ledger.verification import verify
from qts.market.krx import KrxCalendar
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.book_reader import read_book
from tests.sim import five_days
from tests.sim.five_days import DAYS, entries_held

FILLS_A_DAY = 7
AN_OPEN_ORDER = 10
"""Entries that differ with what is open at a close; three days of fills are more than twice as many."""
READERS = ("ledger", "actions", "transfers", "bookings", "orders", "decisions")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the five days once: directory, what was held after each close, and the rows that the audits read."""
    directory = tmp_path_factory.mktemp("five-days")
    held: list[dict[str, int]] = []
    read: list[tuple[int, str, int]] = []

    def look(kernel: Kernel) -> None:
        account, auditor = kernel.shared.account, kernel.auditor
        held.append(
            {
                "account": entries_held(account),
                "proven sums": entries_held(auditor._proven._sums) + len(auditor._proven._approvals),
                "extremes": entries_held(kernel.shared.extremes),
                "prices": entries_held(kernel.shared.last),
                "quarantine": entries_held(kernel.execution_reports.quarantine._known),
                "rejects": entries_held(kernel.shared.rejects),
                "fills of the account": account.fills_applied,
            }
        )

    with pytest.MonkeyPatch.context() as patch:
        count_rows(patch, lambda name, moments: read.extend((len(held), name, moment) for moment in moments))
        five_days.run(five_days.plan(directory, per_day=40), patch, look)
    return directory, held, read


def count_rows(patch: pytest.MonkeyPatch, note: Callable[[str, list[int]], object]) -> None:
    """Call ``note`` with the reader's name and the times of all rows that a session reads from its store."""
    for name in READERS:
        reader = getattr(SqliteStore, name)

        def counted(store: SqliteStore, since: int = 0, reader: Any = reader, name: str = name) -> Any:
            rows = reader(store, since)
            note(name, [getattr(row, "ts_ns", 0) or row.ts_update_ns for row in rows])
            return rows

        patch.setattr(SqliteStore, name, counted)


def test_what_a_session_holds_is_as_large_after_the_fifth_day_as_after_the_second(session: Any) -> None:
    _, held, _ = session
    fills = [one.pop("fills of the account") for one in held]
    assert fills == [FILLS_A_DAY * (n + 1) for n in range(len(DAYS))]
    for name in held[0]:
        early, late = [one[name] for one in held[:2]], [one[name] for one in held[2:5]]
        assert max(late) <= max(early) + AN_OPEN_ORDER, name


def test_an_audit_reads_the_rows_of_its_day_alone(session: Any) -> None:
    # Given rows of five days
    _, _, read = session
    calendar = KrxCalendar()
    opens = [to_ns(calendar.at(day, 0)) for day in DAYS]
    # When the fifth day's books are audited
    fifth = [(name, ts_ns) for closes, name, ts_ns in read if closes == 4]
    # Then no row of a day before is read
    assert {name for name, _ in fifth} == {"ledger", "orders", "decisions"}
    assert min(ts_ns for _, ts_ns in fifth) >= opens[4]
    assert [name for name, _ in fifth].count("ledger") == FILLS_A_DAY
    # And the end reads all of them
    end = [name for closes, name, _ in read if closes >= 5]
    assert end.count("ledger") >= FILLS_A_DAY * len(DAYS)


def test_every_trading_day_has_its_close(session: Any) -> None:
    directory, _, _ = session
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        closes = connection.execute("SELECT day, fills, orders FROM day_closes ORDER BY id").fetchall()
        (holdings,) = connection.execute("SELECT count(*) FROM holding_closes").fetchone()
    assert [date.fromisoformat(day) for day, _, _ in closes] == list(DAYS)
    assert [fills for _, fills, _ in closes] == [FILLS_A_DAY * (n + 1) for n in range(len(DAYS))]
    assert holdings == len(DAYS)


def test_each_day_leaves_a_report_in_both_languages(session: Any) -> None:
    directory, _, _ = session
    reports = {path.name for path in (directory / "days").iterdir()}
    for day in DAYS:
        assert {f"{day}.en.txt", f"{day}.ko.txt"} <= reports
    first, second = [(directory / "days" / f"{day}.en.txt").read_text("utf-8").splitlines() for day in DAYS[:2]]
    closing_equity = next(line for line in first if line.startswith("closing equity: "))
    assert closing_equity.replace("closing", "opening") in second
    assert f"fills: {FILLS_A_DAY}" in second


def test_a_session_goes_on_from_the_newest_opening_balances(tmp_path: Path) -> None:
    # Given a session that is stopped on the fourth day
    closes: list[int] = []
    stop = StopFlag()

    def stops(kernel: Kernel) -> None:
        closes.append(kernel.shared.account.fills_applied)
        if len(closes) == 3:
            stop.request()

    with pytest.MonkeyPatch.context() as patch:
        five_days.run(five_days.plan(tmp_path, per_day=40), patch, stops, stop)

    # And the reports of its days, one of which a kill might have left out
    days = tmp_path / "days"
    reports = {path.name: path.read_bytes() for path in days.iterdir()}
    assert f"{DAYS[1]}.ko.txt" in reports
    for path in days.glob(f"{DAYS[1]}.*"):
        path.unlink()

    # When it goes on
    read: list[tuple[int, str, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        count_rows(patch, lambda name, moments: read.extend((len(closes), name, moment) for moment in moments))
        plan = five_days.plan(tmp_path, per_day=40, resume=True)
        result = five_days.run(plan, patch, lambda kernel: closes.append(kernel.shared.account.fills_applied))

    # Then until its end it reads no row of the days that were closed before
    opens = to_ns(KrxCalendar().at(DAYS[3], 0))
    before = [name for closed, name, moment in read if closed < len(DAYS) - 1 and moment < opens]
    assert before == []
    # And every report is there again, as it was
    assert {name: (days / name).read_bytes() for name in reports} == reports
    # And the book is that of a session in one piece, sound from its first row on
    assert closes == [FILLS_A_DAY * (n + 1) for n in range(len(DAYS))]
    assert all(one["ok"] is not False for one in result.values.invariants.values())
    assert verify(read_book(run_in(tmp_path))).differences == ()
