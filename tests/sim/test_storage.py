"""A store that fails stops the session; what it kept is enough to continue (`failing-call`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from qts.db.contracts import Record
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.runtime.wiring import stores
from tests.sim.conftest import Whole
from tests.sim.sessions import book_of, comparable, run, spike_plan


class FailingStore(SqliteStore):
    """From the ``fails_at``-th commit on the disk is full."""

    fails_at = 0
    commits = 0

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        FailingStore.commits += 1
        if FailingStore.commits >= FailingStore.fails_at:
            raise StorageError("disk full")
        return super().commit(records, checkpoint, inbox)


@pytest.mark.parametrize("fails_at", [1, 2, 3, 40, 41, 42, 43, 120, 200, 301, 350])
def test_a_full_disk_ends_the_session_and_loses_nothing(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Whole
) -> None:
    FailingStore.commits, FailingStore.fails_at = 0, fails_at

    with monkeypatch.context() as patch:
        patch.setattr(stores, "SqliteStore", FailingStore)
        with pytest.raises(StorageError, match="disk full") as error:
            run(spike_plan(tmp_path))
    resumed = run(spike_plan(tmp_path, resume=True))

    assert error.value.exit_code == 3
    assert FailingStore.commits == fails_at, "nothing is written after the first failure"
    assert comparable(resumed.values) == whole.values
    assert book_of(tmp_path) == whole.book
