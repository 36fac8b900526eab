"""The outbox: what followers are sent is what the local book holds, whatever is committed, taken back or killed."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.db import tables
from qts.db.batch import Batch, records_of, rows_of
from qts.db.contracts import ConfigRow, QuarantineRow
from qts.db.sqlite import SqliteStore
from qts.errors import ContractError, StateError, StorageError
from tests.db import rows
from tests.db.rows import opened
from tests.db.test_checkpoint import STEPS, Writer
from tests.effort import examples

ONE = "postgres"
KEYS = {table.name: len(table.key) or 1 for table in (*tables.APPEND_ONLY, *tables.REPLACED)}


class Copy:
    """A follower's copy: rows by table and key, filled by bodies alone."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[Any, ...], list[Any]]] = {}
        self.inboxes: dict[int, str] = {}
        self.applied = 0

    def apply(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            assert batch.seq == self.applied + 1
            self._add(batch.body, is_copy=False)
            self.applied = batch.seq

    def load(self, store: SqliteStore) -> None:
        with store.copy() as copy:
            for body in copy.bodies:
                self._add(body, is_copy=True)
            self.applied = copy.seq
        told = {seq: tuple(json.loads(inbox or "[]")) for seq, inbox in self.inboxes.items()}
        assert told == {row.seq: row.inbox for row in store.batches()[: self.applied]}

    def _add(self, body: bytes, *, is_copy: bool) -> None:
        for name, found in rows_of(body).items():
            if name == tables.BATCHES:
                self.inboxes |= dict(found)
                continue
            table = self.tables.setdefault(name, {})
            for row in found:
                key = tuple(row[: KEYS[name]])
                appended_twice = key in table and name in APPENDED and not is_copy
                assert not appended_twice
                table[key] = row


APPENDED = {table.name for table in tables.APPEND_ONLY}


def book(path: Path) -> dict[str, dict[tuple[Any, ...], list[Any]]]:
    """Read the rows of the file as a body has them, by our own SQL."""
    found: dict[str, dict[tuple[Any, ...], list[Any]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in (*tables.APPEND_ONLY, *tables.REPLACED):
            for row in connection.execute(f"SELECT * FROM {table.name}"):
                names = [n for n in row.keys() if n not in (*table.owner, "generation", "before")]  # noqa: SIM118
                values = [row[name] for name in names]
                found.setdefault(table.name, {})[tuple(values[: KEYS[table.name]])] = values
    return found


def followed(path: Path) -> SqliteStore:
    store = opened(path)
    store.rewind()
    store.follow([ONE])
    return store


def test_a_batch_is_sent_as_its_rows_stand_in_the_book(tmp_path: Path) -> None:
    # Given a followed store
    store = followed(tmp_path / "q.sqlite")
    # When a batch changes a pool twice, moves money, and books a fill of an event
    records = [
        rows.decision(),
        rows.order("o-1", "FILLED"),
        rows.ledger(),
        rows.position(qty="1"),
        rows.position(qty="2"),
        rows.transfer(),
        rows.pool(cash="7"),
        rows.pool(cash="8"),
    ]
    seq = store.commit(records, b"one", ["e-1", "e-2"])
    # Then it is given once, with the newest versions, numbers and digests, and says which events it has
    (batch,) = store.pending(ONE, 10)
    assert (batch.seq, batch.run_id, batch.account, batch.inbox) == (seq, "run-1", "main", ("e-1", "e-2"))
    by_table = rows_of(batch.body)
    assert {name: {tuple(r[: KEYS[name]]): r for r in found} for name, found in by_table.items()} == book(
        tmp_path / "q.sqlite"
    )
    assert [row[1] for row in by_table["capital_pools"]] == ["8"]
    assert len(by_table["capital_transfers"]) == 2
    for record in (rows.decision(), rows.ledger(), rows.transfer(), rows.position(qty="2"), rows.pool(cash="8")):
        assert record in records_of(batch.body)
    store.close()


def test_without_followers_no_row_is_kept(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.commit([rows.ledger()], b"one")
    with closing(sqlite3.connect(tmp_path / "q.sqlite")) as other:
        assert other.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert other.execute("SELECT count(*) FROM followers").fetchone() == (0,)
    with pytest.raises(StateError, match="not followed"):
        store.pending(ONE, 1)
    store.close()


def test_what_may_be_taken_back_is_shown_to_no_follower(tmp_path: Path) -> None:
    # Given a checkpoint, and behind it a fill that changes a position and a new order
    store = followed(tmp_path / "q.sqlite")
    store.commit([rows.position(qty="1")], b"one")
    store.commit([rows.position(qty="2"), rows.decision(), rows.order()])
    # Then neither the batches nor the copy go further than the checkpoint
    assert [batch.seq for batch in store.pending(ONE, 10)] == [1]
    assert store.offered == 1
    copy = Copy()
    copy.load(store)
    assert copy.applied == 1
    assert copy.tables == {"positions": {("ema", "005930"): ["ema", "005930", "SCALP", "1", "-213600.123456", 9]}}
    # When it is rewound and something else happens
    store.close()
    store = followed(tmp_path / "q.sqlite")
    store.commit([rows.position(qty="3")], b"two")
    # Then what was taken back is not sent
    assert [records_of(batch.body) for batch in store.pending(ONE, 10)] == [
        (rows.position(qty="1"),),
        (rows.position(qty="3"),),
    ]
    store.close()


def test_the_facts_of_a_real_broker_are_offered_at_once_and_their_outbox_is_emptied(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "q.sqlite", durability="NORMAL", rewindable=False)
    store.open_run(rows.RUN)
    store.follow([ONE])
    store.commit([rows.decision(), rows.order()])
    assert (store.offered, len(store.pending(ONE, 10))) == (1, 1)
    store.done(ONE, 1)
    store.commit([rows.order(state="WORKING", ts_update_ns=3)])
    assert [batch.seq for batch in store.pending(ONE, 10)] == [2]
    assert store.outbox_bytes == len(store.pending(ONE, 10)[0].body)
    copy = Copy()
    copy.load(store)
    assert copy.applied == 2
    assert copy.tables == book(tmp_path / "q.sqlite")
    store.close()


def test_a_batch_waits_for_the_slowest_of_its_followers(tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    store.follow([ONE, "sheets"])
    for number in range(1, 4):
        store.commit([rows.equity(number)], b"c")
    store.done(ONE, 3)
    store.done("sheets", 1)
    store.done(ONE, 2)  # never falls
    store.commit([], b"c")
    assert [batch.seq for batch in store.pending(ONE, 10)] == [4]
    assert [batch.seq for batch in store.pending("sheets", 10)] == [2, 3, 4]
    # When one of them is gone at the next begin, nothing waits for it
    store.close()
    store = opened(tmp_path / "q.sqlite")
    store.follow([ONE])
    store.close()
    with closing(sqlite3.connect(tmp_path / "q.sqlite")) as other:
        assert other.execute("SELECT seq FROM outbox").fetchall() == [(4,)]
        assert other.execute("SELECT name, done FROM followers").fetchall() == [(ONE, 3)]


def test_what_waits_is_counted_in_bytes_and_read_in_portions(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite"
    store = followed(path)
    for number in range(1, 6):
        store.commit([rows.refusal(f"d-{number}" * 30)], b"c")
    lengths = [len(batch.body) for batch in store.pending(ONE, 10)]
    assert store.outbox_bytes == sum(lengths)
    assert [batch.seq for batch in store.pending(ONE, 2)] == [1, 2]
    assert [batch.seq for batch in store.pending(ONE, 10, lengths[0] + lengths[1])] == [1, 2]
    assert [batch.seq for batch in store.pending(ONE, 10, 1)] == [1]
    # When the session is killed, the file knows as much
    again = opened(path)
    again.follow([ONE])
    assert again.outbox_bytes == sum(lengths)
    again.close()
    store.close()


def test_a_commit_deletes_no_more_than_it_has_time_for(tmp_path: Path) -> None:
    store = followed(tmp_path / "q.sqlite")
    for number in range(1, 251):
        store.commit([rows.equity(number)], b"c")
    store.done(ONE, 250)
    sizes = []
    for _ in range(3):
        store.commit([], b"c")
        sizes.append(store._connection.execute("SELECT count(*) FROM outbox").fetchone()[0])
    assert sizes == [151, 52, 3]  # 251 - 100, 152 - 100, the last 50 and what was added
    store.close()


def test_a_run_that_went_on_without_followers_leaves_no_gap_behind_old_rows(tmp_path: Path) -> None:
    # Given two batches that no follower has, and a life of the run without followers
    store = followed(tmp_path / "q.sqlite")
    store.commit([rows.equity(1)], b"c")
    store.commit([rows.equity(2)], b"c")
    store.close()
    store = opened(tmp_path / "q.sqlite")
    store.commit([rows.equity(3)], b"c")
    store.close()
    # When it is followed again
    store = followed(tmp_path / "q.sqlite")
    store.commit([rows.equity(4)], b"c")
    # Then what is given has no gap, and the copy gives what is missing before it
    assert [batch.seq for batch in store.pending(ONE, 10)] == [4]
    assert store.offered == 4
    copy = Copy()
    copy.load(store)
    assert (copy.applied, copy.tables) == (4, book(tmp_path / "q.sqlite"))
    store.close()


def test_a_copy_shows_one_moment_while_others_write(tmp_path: Path) -> None:
    store = followed(tmp_path / "q.sqlite")
    store.accept_config(ConfigRow(1, "cfg", 5, "start", "first load", "{}"))
    store.commit([rows.equity(number) for number in range(1, 4_002)], b"c")
    with store.copy() as copy:
        first = next(iter(copy.bodies))
        store.commit([rows.equity(4_002)], b"c")
        rest = list(copy.bodies)
    assert (copy.seq, copy.run.run_id, [row.version for row in copy.configs]) == (1, "run-1", [1])
    parts = [rows_of(body) for body in (first, *rest)]
    assert [len(part["equity_curve"]) for part in parts if "equity_curve" in part] == [2_000, 2_000, 1]
    store.close()


def test_the_parts_of_a_copy_are_small_where_its_rows_are_long(tmp_path: Path) -> None:
    # Given 30 rows of 100,000 characters, which a line of 10 Mbit/s does not carry within the 3 s of a call
    store = followed(tmp_path / "q.sqlite")
    store.commit([QuarantineRow(number, "ContractError", "no price", "x" * 100_000) for number in range(30)], b"c")
    with store.copy() as copy:
        bodies = [body for body in copy.bodies if b'"quarantine"' in body]
    assert max(map(len, bodies)) < 1_000_000
    assert sum(len(rows_of(body)["quarantine"]) for body in bodies) == 30
    store.close()


@pytest.mark.parametrize("name", ["", "Postgres", "a b", "x" * 33])
def test_a_name_that_is_not_plain_is_refused(name: str, tmp_path: Path) -> None:
    store = opened(tmp_path / "q.sqlite")
    with pytest.raises(ContractError, match="no name of a follower"):
        store.follow([name])
    with pytest.raises(StateError, match="not followed"):
        _ = store.offered
    store.close()


def test_a_batch_that_was_refused_is_in_no_outbox_and_not_in_the_next(tmp_path: Path) -> None:
    store = followed(tmp_path / "q.sqlite")
    store.commit([rows.ledger()], b"c")
    with pytest.raises(StorageError):
        store.commit([rows.position(qty="9"), rows.equity(1), rows.ledger()], b"c")
    store.commit([rows.refusal()], b"c")
    assert [records_of(batch.body) for batch in store.pending(ONE, 10)] == [(rows.ledger(),), (rows.refusal(),)]
    store.close()


@settings(max_examples=examples(40, whole=200), deadline=None)
@given(STEPS, st.data())
def test_the_copy_of_a_follower_is_the_book_of_the_newest_offered_batch(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, list[tuple[str, str, str]]]],
    data: st.DataObject,
) -> None:
    # Given a follower with a copy that is filled batch by batch, whatever happens to the store
    path = tmp_path_factory.mktemp("outbox") / "q.sqlite"
    store, writer, copy = followed(path), Writer(), Copy()
    at_checkpoint, known_then, known = book(path), set[str](), set[str]()
    for number, (step, words) in enumerate(steps):
        if step in ("rewind", "reopen"):
            if step == "rewind":
                # killed: nothing is stored of what was done since
                store._connection.close()
            else:
                store.close()
            store, known = followed(path), set(known_then)
        else:
            mark = b"%d" % number if step == "checkpoint" else None
            store.commit(writer.records(words, known), checkpoint=mark)
            if mark is not None:
                at_checkpoint, known_then = book(path), set(known)
        if data.draw(st.booleans()):
            most = data.draw(st.integers(1, 3))
            copy.apply(b for b in store.pending(ONE, most) if b.seq > copy.applied)
            if data.draw(st.booleans()):
                store.done(ONE, copy.applied)
    # When it takes what is left
    copy.apply(b for b in store.pending(ONE, 1_000) if b.seq > copy.applied)
    # Then it has the book as it stands at the newest checkpoint, and so has one that begins now
    assert copy.applied == store.offered
    assert copy.tables == at_checkpoint
    late = Copy()
    late.load(store)
    assert (late.applied, late.tables) == (copy.applied, at_checkpoint)
    store.close()


class Killed(Exception):
    """Stands for a kill: nothing of the process runs on."""


class _Counting:
    """A connection that ends before its ``at``-th statement."""

    def __init__(self, connection: sqlite3.Connection, at: int) -> None:
        self._connection, self._left = connection, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        self._count()
        return self._connection.execute(sql, *values)

    def executemany(self, sql: str, values: Any) -> Any:
        self._count()
        return self._connection.executemany(sql, values)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


def test_a_kill_at_any_statement_of_a_commit_leaves_batch_and_outbox_together(tmp_path: Path) -> None:
    records = [rows.decision(), rows.order(), rows.ledger(), rows.position(), rows.transfer(), rows.pool()]
    statements = 0
    for at in range(1, 100):
        path = tmp_path / f"{at}.sqlite"
        # Given a batch that the follower has, and one whose commit is cut off before its at-th statement
        store = followed(path)
        store.commit([rows.equity(1)], b"one")
        store.done(ONE, 1)
        real = store._connection
        store._connection = _Counting(real, at)  # type: ignore[assignment]
        try:
            store.commit(records, b"two")
        except Killed:
            statements = at
            done = False
        else:
            done = True
        real.close()
        # When the run is resumed
        store = followed(path)
        # Then the batch is in the book and in the outbox, or in neither, and what the follower had is not lost
        assert len(store.batches()) == (2 if done else 1)
        assert [batch.seq for batch in store.pending(ONE, 10)] == ([2] if done else [1])
        assert store.offered == len(store.batches())
        copy = Copy()
        copy.load(store)
        assert copy.tables == book(path)
        store.close()
        if done:
            break
    assert statements > 15


def test_a_follower_reads_on_its_own_thread_while_another_one_commits(tmp_path: Path) -> None:
    store, copy = followed(tmp_path / "q.sqlite"), Copy()
    failures: list[BaseException] = []

    def follow() -> None:
        try:
            while copy.applied < 300:
                copy.apply(store.pending(ONE, 50))
                store.done(ONE, copy.applied)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    for number in range(1, 301):
        store.commit([rows.equity(number)], b"c")
    thread.join(30)
    assert not failures
    assert copy.tables == book(tmp_path / "q.sqlite")
    store.close()
    with closing(sqlite3.connect(tmp_path / "q.sqlite")) as other:
        assert other.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        assert json.loads(json.dumps(other.execute("SELECT name, done FROM followers").fetchall())) == [[ONE, 300]]
