"""Reading a store beside its writer: neither waits for the other, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qts.db.contracts import RunRow
from qts.db.reading import StoreReader
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from tests.db.rows import decision, ledger, order

RUN = RunRow("run-1", "run", 7, "source", "config", "2026-03-02T00:00:00+00:00", finished=False)


def store(path: Path) -> SqliteStore:
    made = SqliteStore(path / "qts.sqlite", durability="NORMAL")
    made.open_run(RUN)
    return made


def test_what_is_committed_is_read_while_the_writer_goes_on(tmp_path: Path) -> None:
    writer = store(tmp_path)
    writer.commit([decision("o-1"), order("o-1")])
    with StoreReader(tmp_path / "qts.sqlite") as reader:
        before = reader.orders()
        # When the writer commits while a reader reads, neither waits
        writer.commit([decision("o-2"), order("o-2")])
        # Then the reader stays in the moment in which it began
        assert reader.orders() == before
        assert reader.run() == RUN
    with StoreReader(tmp_path / "qts.sqlite") as reader:
        assert len(reader.orders()) == len(before) + 1
    writer.close()


def test_fills_are_read_in_the_order_of_booking(tmp_path: Path) -> None:
    writer = store(tmp_path)
    writer.commit([ledger("x-2"), ledger("x-1")])
    with StoreReader(tmp_path / "qts.sqlite") as reader:
        assert reader.ledger() == [ledger("x-2"), ledger("x-1")]
        assert reader.positions() == []
    writer.close()


def test_a_look_at_a_finished_run_leaves_nothing_beside_it(tmp_path: Path) -> None:
    store(tmp_path).close()
    before = sorted(path.name for path in tmp_path.iterdir())
    with StoreReader(tmp_path / "qts.sqlite") as reader:
        assert reader.run() == RUN
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == before == ["qts.sqlite"]


@pytest.mark.parametrize("name", [b"a?mode=rwc#x%20", b"caf\xe9", "가".encode("cp949")])
def test_names_that_mean_something_in_an_address_or_are_no_utf8_are_just_names(name: bytes, tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(name)
    place.mkdir()
    store(place).close()
    with StoreReader(place / "qts.sqlite") as reader:
        assert reader.run() == RUN


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be looked at" * 40])
def test_a_file_that_is_no_store_says_what_to_do(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "qts.sqlite").write_bytes(content)
    with (
        pytest.raises(StorageError, match=r"qts\.sqlite: cannot read"),
        StoreReader(tmp_path / "qts.sqlite") as reader,
    ):
        reader.run()


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"cannot (open|read)"),
        StoreReader(tmp_path / "qts.sqlite") as reader,
    ):
        reader.run()
    assert list(tmp_path.iterdir()) == []
