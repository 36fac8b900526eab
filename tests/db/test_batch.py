"""The bodies of batches: what no server can hold does not get into one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.db.batch import body_of, records_of, rows_of
from qts.db.contracts import QuarantineRow
from qts.errors import StorageError
from tests.db.books import Book, one_of_each


def test_a_text_that_is_no_unicode_gets_into_no_batch(tmp_path: Path) -> None:
    # Given half of a surrogate pair, as a broker's broken text may have it
    book = Book(tmp_path / "book.sqlite")
    # Then neither the local book nor a body takes it, and the book goes on
    with pytest.raises((StorageError, UnicodeEncodeError)):
        book.write(QuarantineRow(1, "x", "\ud83d", "{}"))
    with pytest.raises(StorageError, match="no server can hold"):
        body_of({"quarantine": [[1, 1, "x", "\ud83d", "{}"]]})
    assert book.write(QuarantineRow(1, "x", "?", "{}")).seq == 1
    book.close()


def test_the_records_of_a_body_are_those_that_were_committed(tmp_path: Path) -> None:
    # Given a batch with every kind of record
    book = Book(tmp_path / "book.sqlite")
    written = one_of_each()
    batch = book.write(*written)

    # Then its body has each of them
    assert sorted(map(repr, batch.records)) == sorted(map(repr, written))
    book.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"t_ledger": 1}', b'{"t_ledger": [1]}'])
def test_a_damaged_body_is_refused(body: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        rows_of(body)


def test_a_table_of_another_version_is_refused() -> None:
    with pytest.raises(StorageError, match="options"):
        records_of(b'{"options": [[1]]}')
