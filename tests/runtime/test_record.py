"""The one writer of the store: what waits goes first, a checkpoint knows its own rows, a failure is the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from qts.db.contracts import EquityRow, Record
from qts.errors import StateError, StorageError
from qts.runtime.record import RunRecord
from tests.execution.test_working import order


def sample(number: int) -> EquityRow:
    from decimal import Decimal as D

    return EquityRow(number, D(1), D(1), D(0), D(0), D(0), "BALANCED", "NORMAL")


class Kept:
    """A store that keeps what was committed, or fails."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[Any], bytes | None]] = []
        self.full = False

    async def commit(self, records: Sequence[Record], checkpoint: bytes | None = None) -> None:
        if self.full:
            raise StorageError("disk full")
        self.commits.append((list(records), checkpoint))


def connected(store: Kept) -> tuple[RunRecord, list[str]]:
    record, told = RunRecord(store), []  # type: ignore[arg-type]
    record.connect(lambda: f"book rows {record.rows_of_the_book}".encode(), lambda: told.append("failed"))
    return record, told


async def test_what_waits_goes_out_first_with_the_next_transaction() -> None:
    store = Kept()
    record, _ = connected(store)
    record.write_later(sample(1))
    record.write_later(sample(2))

    await record.write_now([sample(3)])
    await record.write_now([])

    assert store.commits == [([sample(1), sample(2), sample(3)], None), ([], None)]


async def test_a_checkpoint_knows_of_the_rows_it_is_written_with() -> None:
    store = Kept()
    record, _ = connected(store)
    record.write_later(order("a"))
    record.write_later(sample(1))

    await record.checkpoint([order("b")])

    assert store.commits == [([order("a"), sample(1), order("b")], b"book rows 2")]
    assert record.rows_of_the_book == 2


async def test_a_thousand_waiting_rows_are_full() -> None:
    record, _ = connected(Kept())
    for number in range(999):
        record.write_later(sample(number))
    assert not record.is_full

    record.write_later(sample(999))

    assert record.is_full
    await record.checkpoint()
    assert not record.is_full


async def test_after_a_failure_nothing_is_written_any_more() -> None:
    store = Kept()
    record, told = connected(store)
    record.raise_failure()  # nothing failed yet
    store.full = True

    with pytest.raises(StorageError, match="disk full"):
        await record.write_now([sample(1)])
    store.full = False
    for write in (record.write_now, record.checkpoint):
        with pytest.raises(StorageError, match="disk full"):
            await write([sample(2)])
    with pytest.raises(StorageError, match="disk full"):
        record.raise_failure()

    assert store.commits == []
    assert told == ["failed"]


async def test_a_checkpoint_before_the_kernel_stands_is_a_mistake() -> None:
    with pytest.raises(StateError, match="before it was connected"):
        await RunRecord(Kept()).checkpoint()  # type: ignore[arg-type]
