"""The embedded store: what is written comes back digit for digit, and a batch is wholly there or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from decimal import Decimal as D
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.db import sqlite as sqlite_module
from qts.db.chain import COLUMNS
from qts.db.contracts import ConfigRow
from qts.db.sqlite import SqliteStore
from qts.db.tables import BY_RECORD
from qts.errors import ContractError, StorageError
from qts.execution.contracts import OrderState, VenueRef
from qts.risk.contracts import TimeInForce
from qts.strategy.contracts import Side
from tests.execution.orders import changed

from . import rows
from .rows import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "qts.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened_store = opened(path)
    yield opened_store
    opened_store.close()


WRITTEN = dict.fromkeys(BY_RECORD.values())


def everything(store: SqliteStore) -> dict[str, list[Any]]:
    return {name: list(getattr(store, name)()) for name in rows.KINDS}


def read_all(path: Path) -> None:
    store = opened(path)
    try:
        everything(store)
    finally:
        store.close()


class TestWhatIsWrittenComesBack:
    @pytest.mark.parametrize("text", ["", "'); DROP TABLE orders; --", "한국", "a\x00b", "\N{GRINNING FACE}"])
    def test_any_text_is_only_text(self, store: SqliteStore, text: str) -> None:
        store.commit([rows.position(symbol=text)])
        assert store.positions()[0].symbol == text

    def test_a_transfer_of_any_exponent_is_two_legs_of_the_same_digits(
        self, store: SqliteStore, path: Path
    ) -> None:
        store.commit([rows.transfer(amount="1E+5")])
        assert store.transfers()[0].amount == 100_000
        legs = sqlite3.connect(path)
        assert legs.execute("SELECT leg, pool, amount FROM capital_transfers ORDER BY leg").fetchall() == [
            (1, "SCALP", "-100000"),
            (2, "SWING", "100000"),
        ]
        legs.close()


class TestRulesOfTheSchema:
    """Refused by the database itself, by whatever connection it is written."""

    def refused(self, store: SqliteStore, *records: Any, match: str) -> None:
        before = everything(store)
        with pytest.raises(StorageError, match=match):
            store.commit([rows.equity(99), *records])
        assert everything(store) == before
        store.commit([rows.equity(100)])  # the connection is clean

    def test_a_fill_is_stored_once(self, store: SqliteStore) -> None:
        store.commit([rows.ledger()])
        self.refused(store, rows.ledger(qty=D(99)), match="t_ledger.order_id, t_ledger.execution_id")

    def test_the_same_execution_id_of_another_broker_is_another_fill(self, store: SqliteStore) -> None:
        store.commit([rows.ledger(), rows.ledger(broker="kis")])
        assert len(store.ledger()) == 2

    def test_an_order_needs_an_approval(self, store: SqliteStore) -> None:
        self.refused(store, rows.order(), match="needs the approval that names it")

    def test_an_approval_of_another_order_does_not_count(self, store: SqliteStore) -> None:
        self.refused(store, rows.decision("o-2"), rows.order(approval_id="a-o-2"), match="needs the approval")

    def test_an_approval_is_given_once(self, store: SqliteStore) -> None:
        store.commit([rows.decision()])
        self.refused(store, rows.decision(), match="decisions.approval_id")

    def test_an_order_may_stand_before_its_approval_in_the_batch(self, store: SqliteStore) -> None:
        store.commit([rows.order(), rows.decision()])
        assert len(store.orders()) == 1

    def test_a_transfer_is_applied_once(self, store: SqliteStore) -> None:
        store.commit([rows.transfer()])
        self.refused(store, rows.transfer(), match="capital_transfers.transfer_id")

    def test_a_transfer_may_not_leave_its_source_below_zero(self, store: SqliteStore) -> None:
        self.refused(store, rows.transfer(), rows.pool(cash="-0.01"), match="below zero")
        store.commit([rows.transfer(), rows.pool(cash="0.00")])

    def test_a_fill_behind_a_transfer_in_the_batch_may_overdraw_the_pool(self, store: SqliteStore) -> None:
        store.commit([rows.transfer(), rows.pool(cash="0"), rows.ledger(), rows.pool(cash="-1")])
        assert [p.cash for p in store.pools()] == [-1]
        assert len(store.transfers()) == 1

    def test_a_transfer_of_nothing_or_less_is_refused(self, store: SqliteStore) -> None:
        for amount in ("0", "0.00", "-5"):
            self.refused(store, rows.transfer(amount=amount), match="CHECK")

    def test_a_transfer_to_itself_is_refused(self, store: SqliteStore) -> None:
        circle = msgspec.structs.replace(rows.transfer(), target=Pool.SCALP)
        self.refused(store, circle, match="sum to zero and belong to different pools")

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE t_ledger SET qty = '1'",
            "UPDATE capital_transfers SET amount = '1'",
            "UPDATE decisions SET inputs = ''",
            "UPDATE configurations SET actor = ''",
        ],
    )
    def test_what_is_append_only_cannot_be_changed(self, store: SqliteStore, path: Path, sql: str) -> None:
        store.commit([rows.ledger(), rows.decision(), rows.transfer()])
        store.accept_config(ConfigRow(1, "hash", 5, "kim", "tighter", "{}"))
        other = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(sql)
        other.close()

    @pytest.mark.parametrize(
        ("legs", "words"),
        [
            ([(1, "SCALP", "-5")], "FOREIGN KEY"),
            ([(2, "SWING", "5")], "FOREIGN KEY"),
            ([(1, "SCALP", "-5"), (2, "SWING", "6")], "sum to zero"),
            ([(2, "SWING", "6"), (1, "SCALP", "-5")], "sum to zero"),
            ([(1, "SCALP", "-5"), (2, "SCALP", "5")], "different pools"),
            ([(1, "SCALP", "5"), (2, "SWING", "-5")], "CHECK"),
        ],
    )
    def test_legs_written_by_hand_must_make_a_whole_transfer(
        self, store: SqliteStore, path: Path, legs: list[tuple[int, str, str]], words: str
    ) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError, match=words):
            self.write_legs(other, legs)
        other.close()

    def write_legs(self, connection: sqlite3.Connection, legs: list[tuple[int, str, str]]) -> None:
        for number, (leg, pool, amount) in enumerate(legs, 1):
            values = ("run-1", number, "main", "t-1", leg, 3 - leg, 0, pool, amount, "r", "r", None)
            places = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO capital_transfers VALUES ({places})", values)
        connection.execute("COMMIT")


class TestErrorsSayWhatToDo:
    def test_a_full_disk(self, store: SqliteStore) -> None:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageError, match=r"qts\.sqlite: cannot commit: .*full; free space"):
            store.commit([rows.ledger(str(i)) for i in range(500)])
        assert store.ledger() == []
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.commit([rows.ledger()])
        assert len(store.ledger()) == 1

    def test_another_writer(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_module, "BUSY_S", 0.0)
        store, other = opened(path), sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process is writing"):
            store.commit([rows.ledger()])
        other.execute("ROLLBACK")
        store.commit([rows.ledger()])
        other.close()
        store.close()

    def test_a_file_that_is_something_else(self, path: Path) -> None:
        path.write_bytes(b"not a database at all, but long enough to be one" * 50)
        with pytest.raises(StorageError, match="not a database; the file is something else"):
            opened(path)

    def test_a_damaged_file(self, path: Path) -> None:
        store = opened(path)
        store.commit([rows.ledger(str(i)) for i in range(2000)])
        store.close()
        data = bytearray(path.read_bytes())
        data[4096 * 2 :] = b"\xff" * (len(data) - 4096 * 2)
        path.write_bytes(bytes(data))
        with pytest.raises(StorageError, match="damaged; restore it from a backup"):
            read_all(path)

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"unable to open.*the directory must exist"):
            opened(tmp_path / "missing" / "qts.sqlite")

    def test_an_unknown_durability(self, path: Path) -> None:
        with pytest.raises(ContractError, match="FULL or NORMAL, got 'OFF'"):
            SqliteStore(path, durability="OFF")  # type: ignore[arg-type]


@pytest.mark.parametrize(("durability", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_durability_is_what_was_asked_for_in_wal_mode(path: Path, durability: Any, level: int) -> None:
    store = SqliteStore(path, durability=durability)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (level,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    store.close()


def test_it_may_be_used_from_any_thread_by_one_at_a_time(path: Path) -> None:
    store = opened(path)
    with ThreadPoolExecutor(1) as other:
        for number in range(20):
            other.submit(store.commit, [rows.ledger(f"x-{number}")], b"%d" % number).result()
    assert [row.execution_id for row in store.ledger()] == [f"x-{number}" for number in range(20)]
    assert store.checkpoint() == b"19"
    store.close()


VERSIONS = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "state": st.sampled_from(list(OrderState)),
                "filled": st.sampled_from([D(0), D(1), D("1.0")]),
                "qty": st.sampled_from([D(2), D("2.00")]),
                "limit": st.sampled_from([None, D(7)]),
                "side": st.sampled_from(list(Side)),
                "reason": st.sampled_from(["", "trend"]),
                "forced": st.booleans(),
                "note": st.text(max_size=3),
                "time_in_force": st.sampled_from(list(TimeInForce)),
                "venue": st.sampled_from(["", "NXT"]),
                "parent_id": st.sampled_from(["", "p-1"]),
                "expires_ns": st.sampled_from([None, 7]),
                "tag": st.sampled_from(["", "vwap"]),
                "venue_refs": st.sampled_from([(), (VenueRef(date(2026, 1, 22), "7", "KRX"),)]),
            },
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(VERSIONS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_newest_version_of_an_order_is_stored_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]], checkpoints: list[bool]
) -> None:
    """Whatever changed, in one transaction or several: also what no report ever changes."""
    store = opened(tmp_path_factory.mktemp("store") / "q.sqlite")
    newest = rows.order("o-1")
    store.commit([rows.decision("o-1"), newest])
    for batch, with_checkpoint in zip(batches, checkpoints, strict=False):
        versions = [changed(newest, **changes) for changes in batch]
        newest = versions[-1]
        store.commit(versions, checkpoint=b"here" if with_checkpoint else None)
        (stored,) = store.orders()
        assert repr(stored) == repr(newest)
    store.close()


def test_an_order_cannot_move_to_an_approval_that_does_not_name_it(store: SqliteStore) -> None:
    store.commit([rows.decision("o-1"), rows.order("o-1"), rows.decision("o-2")])
    taken = msgspec.structs.replace(rows.order("o-1"), approval_id=rows.order("o-2").approval_id)
    with pytest.raises(StorageError, match="an order needs the approval that names it"):
        store.commit([taken])
    assert store.orders() == [rows.order("o-1")]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_called_so_and_not_a_link_or_a_failing_disk(make: Any, path: Path) -> None:
    make(path)

    with pytest.raises(StorageError, match=r"qts\.sqlite: it is not a regular file; move it away"):
        opened(path)


RECORDS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.sampled_from("ab"), st.integers(-5, 5).map(str)),
        st.tuples(st.just("order"), st.sampled_from("abc"), st.sampled_from(["INTENT", "WORKING", "FILLED"])),
        st.tuples(st.just("pool"), st.sampled_from([pool.value for pool in Pool]), st.integers(-5, 5).map(str)),
        st.tuples(st.just("move"), st.just(""), st.sampled_from(["0", "5"])),
        st.tuples(st.just("history"), st.just(""), st.just("")),
    ),
    min_size=1,
    max_size=30,
)
"""What a session gives to the store: (kind, key, value)."""


def records_of(words: list[tuple[str, str, str]]) -> list[list[Any]]:
    """Return a list for each of ``words``: a decision with its order, a move with the row of its source."""
    decided: set[str] = set()
    found: list[list[Any]] = []
    for number, (kind, key, value) in enumerate(words, 1):
        if kind == "fill":
            found.append([rows.ledger(f"x-{number}"), rows.position(symbol=key, qty=value)])
        elif kind == "order":
            decision = [] if key in decided else [rows.decision(key)]
            decided.add(key)
            found.append([*decision, rows.order(key, value, ts_update_ns=number)])
        elif kind == "pool":
            found.append([msgspec.structs.replace(rows.pool(), pool=Pool(key), cash=D(value))])
        elif kind == "move":
            found.append([rows.transfer(f"t-{number}"), rows.pool(Pool.SCALP, value)])
        else:
            found.append(
                [rows.state(number), rows.safety(number), rows.equity(number), rows.refusal(f"d-{number}")]
            )
    return found


def stored_in(path: Path) -> dict[str, list[Any]]:
    """Return every row of the tables that records fill, with the digests that seal them."""
    with closing(sqlite3.connect(path)) as connection:
        read = {table.name: (*table.columns, *(["digest"] if table.name in COLUMNS else [])) for table in WRITTEN}
        return {
            name: list(connection.execute(f"SELECT {', '.join(some)} FROM {name}")) for name, some in read.items()
        }


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.lists(st.integers(1, 10), min_size=1, max_size=30))
def test_what_records_leave_does_not_depend_on_how_they_are_grouped(
    tmp_path_factory: pytest.TempPathFactory, words: list[tuple[str, str, str]], sizes: list[int]
) -> None:
    # Given records that are written one event at a time
    directory, events = tmp_path_factory.mktemp("groups"), records_of(words)
    single = opened(directory / "single.sqlite")
    for event in events:
        single.commit(event, checkpoint=b"one")
    single.close()

    # When the same records are written in groups of any sizes
    grouped, at = opened(directory / "grouped.sqlite"), 0
    for size in cycle(sizes):
        if at >= len(events):
            break
        grouped.commit([record for event in events[at : at + size] for record in event], checkpoint=b"many")
        at += size
    grouped.close()

    # Then the tables are the same, and so are the digests that seal what happened
    assert stored_in(directory / "grouped.sqlite") == stored_in(directory / "single.sqlite")


def test_a_group_that_finds_the_disk_full_leaves_nothing_and_can_be_written_later(store: SqliteStore) -> None:
    # Given a file that may not grow, and a group of events
    events = records_of([("fill", "a", "1"), ("order", "a", "WORKING"), ("history", "", "")] * 60)
    group = [record for event in events for record in event]
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")

    # When it is written, then nothing of it is there
    with pytest.raises(StorageError, match="full; free space"):
        store.commit(group, checkpoint=b"many")
    assert not any(everything(store).values())
    assert (store.checkpoint(), store.checkpoint_number) == (None, 0)

    # When there is room, then the same group is written under the same numbers
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert store.commit(group, checkpoint=b"many") == 1
    assert (len(store.ledger()), len(store.orders()), store.checkpoint()) == (60, 1, b"many")
    store.verify_history()
