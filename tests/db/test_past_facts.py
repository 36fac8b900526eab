"""Facts of closed days are found in the store one at a time, while another connection writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.db.past_facts import StoredPast
from qts.errors import StorageError
from qts.ledger.actions import action_id
from qts.ledger.bookings import booking_id, fill_id_of
from qts.ledger.closes import BookMarks
from qts.ledger.contracts import BookingKind
from qts.ledger.fills import id_of_row
from tests.db import rows
from tests.db.rows import RUN, opened

OURS = {"account": "main", "trade_date": "2018-05-04"}


def test_each_fact_is_found_by_its_identity(tmp_path: Path) -> None:
    # Given a store with one fact of each kind, and a reader that was asked before
    store = opened(tmp_path / "q.sqlite")
    store.open_run(RUN)
    fill, action, external = rows.ledger(**OURS), rows.action(), rows.booking()
    deposit = rows.booking("d-1", kind=BookingKind.DEPOSIT, pool=Pool.SWING, symbol="")
    reversal = rows.booking("x-7", kind=BookingKind.REVERSAL, pool=Pool.SCALP, strategy="ema")
    past = store.past()
    assert past.execution(id_of_row(fill)) is None
    store.commit(
        [fill, action, external, deposit, reversal, rows.pool(), rows.transfer(), rows.decision(), rows.order()]
    )

    # When it is asked for each, then it finds them
    assert past.execution(id_of_row(fill)) == fill
    assert past.execution(fill_id_of(external)) == external
    assert past.has_action(action_id(action))
    assert past.has_transfer(rows.transfer().transfer_id)
    assert past.has_booking(booking_id(external))
    assert past.has_booking(booking_id(deposit))
    assert past.has_noted("main", BookingKind.DEPOSIT, "d-1")
    assert past.has_reversed(fill_id_of(reversal))
    assert past.order("o-1") == rows.order()

    # And nothing else
    assert past.execution(id_of_row(fill)._replace(trade_date="2018-05-05")) is None
    assert not past.has_action(action_id(action)._replace(ex_date="2018-05-05"))
    assert not past.has_transfer("t-99")
    assert not past.has_booking(booking_id(deposit)._replace(pool=None))
    assert not past.has_noted("main", BookingKind.WITHDRAWAL, "d-1")
    assert not past.has_reversed(fill_id_of(external))
    assert past.order("o-2") is None
    store.close()


def test_the_facts_of_a_holding_end_with_the_marks_of_its_close(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.open_run(RUN)
    ledger = [rows.ledger(f"x-{n}", **OURS) for n in range(3)]
    other = rows.ledger("x-9", **OURS, symbol="000660")
    external = [rows.booking(str(n)) for n in range(2)]
    store.commit([ledger[0], other, *ledger[1:], rows.action(), *external])

    mine = store.past().holding("ema", "005930", BookMarks(fills=3, actions=1, bookings=2))
    theirs = store.past().holding("", "005930", BookMarks(fills=3, actions=1, bookings=1))

    assert mine == (ledger[:2], [rows.action()], [])
    assert theirs == ([], [], external[:1])
    store.close()


def test_a_file_that_cannot_be_read_is_an_error_and_no_answer(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        StoredPast(tmp_path / "none.sqlite").order("o-1")
