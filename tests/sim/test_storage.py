"""A store that fails stops the session; what it kept is enough to continue (`failing-call`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from qts.db.contracts import Record
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.runtime.persistence.session_log import FILE_NAME
from qts.runtime.wiring import stores
from tests.effort import EVERY_KILL
from tests.sim.conftest import Whole
from tests.sim.sessions import book_of, comparable, run, spike_plan

TRANSACTIONS = 19
"""Of the undisturbed session, the one that stores its result not counted."""


class FailingStore(SqliteStore):
    """The disk is full from the ``fails_at``-th transaction on, when its rows are written and not yet committed."""

    fails_at = 0
    transactions = 0

    def _write(self, records: Sequence[Record], *, keep_images: bool) -> None:
        super()._write(records, keep_images=keep_images)
        FailingStore.transactions += 1
        if FailingStore.transactions >= FailingStore.fails_at:
            raise StorageError("disk full")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[FailingStore]:
    monkeypatch.setattr(stores, "SqliteStore", FailingStore)
    monkeypatch.setattr(FailingStore, "transactions", 0)
    return FailingStore


EACH = range(1, TRANSACTIONS + 1)


@pytest.mark.parametrize("fails_at", EACH if EVERY_KILL else [1, 2, 3, 11, 18, TRANSACTIONS])
def test_a_full_disk_ends_the_session_and_loses_nothing(
    fails_at: int, tmp_path: Path, failing: type[FailingStore], monkeypatch: pytest.MonkeyPatch, whole: Whole
) -> None:
    # Given a disk that is full in the middle of a group of records
    monkeypatch.setattr(failing, "fails_at", fails_at)

    # When the session runs, then it ends there and writes nothing more
    with pytest.raises(StorageError, match="disk full") as error:
        run(spike_plan(tmp_path))
    assert error.value.exit_code == 3
    assert failing.transactions == fails_at, "nothing is written after the first failure"

    # When there is room again and it is resumed, then it comes to the same end
    monkeypatch.setattr(failing, "fails_at", TRANSACTIONS * 3)
    resumed = run(spike_plan(tmp_path, resume=True))
    assert comparable(resumed.values) == whole.values
    assert book_of(tmp_path) == whole.book
    assert (tmp_path / FILE_NAME).read_text("utf-8") == whole.log


def test_each_transaction_of_the_session_was_tried(
    tmp_path: Path, failing: type[FailingStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "fails_at", TRANSACTIONS * 3)

    run(spike_plan(tmp_path))

    assert failing.transactions == TRANSACTIONS
