"""The embedded store: one SQLite file in WAL mode.

A batch is one transaction, its rows are written table by table. NORMAL survives kill -9 of the process and is for
replay; FULL also survives a loss of power and is for paper and live.

How a checkpoint is remembered: append-only tables by their last row number, rows that change by an image of how
they stood, taken at the first change after it. Rewinding deletes the former and puts back the latter.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.db import tables
from qts.db.adapter import RunCopy
from qts.db.bar_pruning import BarPruning
from qts.db.batch import Batch
from qts.db.chain import COLUMNS, CONFIGURATIONS, Chain, begin_chain
from qts.db.connections import BUSY_S
from qts.db.contracts import (
    ActionRow,
    BatchRow,
    BookingRow,
    ConfigRow,
    DayCloseRow,
    DecisionRow,
    EquityRow,
    Execution,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    QuarantineRow,
    Record,
    RefusalRow,
    RunRow,
    SafetyRow,
    StageRow,
    StateRow,
    StrategyFile,
)
from qts.db.decoding import (
    RUN_COLUMNS,
    SQL_CONFIGS,
    SQL_FILES,
    SQL_RUN,
    batches_of,
    configs_of,
    files_of,
    of_row,
    opening_of,
    records,
    refuse_damage,
    refuse_others,
    run_of,
    transfers_of,
)
from qts.db.failures import explanation
from qts.db.marks import NUMBERED, last_numbers, marks_of, marks_text
from qts.db.migrate import migrate, migrations
from qts.db.outbox import Outbox
from qts.db.past_facts import StoredPast
from qts.db.run_copy import copy_of
from qts.errors import ContractError, StateError, StorageError
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.files import in_place_opener
from qts.ids import id_prefixes
from qts.ledger.closes import OpeningBalances
from qts.market.contracts import Bar

Durability = Literal["FULL", "NORMAL"]

_WAL_PAGES: Final = 4_000
"""Pages in the write-ahead log before it is folded into the file (16 MB): rarer folding, cheaper commits."""

_SQL_KEEP_RUN: Final = "INSERT INTO kept_runs VALUES (?)"
_SQL_KEPT: Final = "SELECT EXISTS (SELECT 1 FROM kept_runs)"
_SQL_NEW_RUN: Final = f"INSERT INTO runs ({RUN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SQL_NEW_CONFIG: Final = (
    "INSERT INTO configurations (run_id, version, config_hash, timestamp, actor, reason, settings, digest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SQL_NEW_FILE: Final = (
    "INSERT INTO strategy_files (run_id, strategy, class_name, name, digest) VALUES (?, ?, ?, ?, ?)"
)

_SQL_NEW_BATCH: Final = f"INSERT INTO {tables.BATCHES} (run_id, id, inbox) VALUES (?, ?, ?)"  # noqa: S608
_SQL_BATCHES: Final = f"SELECT id, inbox FROM {tables.BATCHES} WHERE run_id = ? AND id > ? ORDER BY id"  # noqa: S608

_ENDED: Final = ", ".join(f"'{state.value}'" for state in sorted(FINAL_STATES))
_SQL_OPEN_ORDERS: Final = tables.ORDERS.select_as(tables.ORDERS.columns, f"run_id = ? AND state NOT IN ({_ENDED})")

_PADDING: Final = 512
_SQL_CHECKPOINT: Final = (
    "INSERT INTO checkpoint (run_id, id, marks, data) VALUES (?, 1, ?, ?) "
    "ON CONFLICT (run_id) DO UPDATE SET marks = excluded.marks, data = excluded.data"
)
_INSERT: Final = {t.name: t.insert(*["digest"] if t.name in COLUMNS else []) for t in tables.APPEND_ONLY}
_REPLACE: Final = {table.name: table.replace(with_image=True) for table in tables.REPLACED}
_CHANGE: Final = {table.name: table.replace(with_image=False) for table in tables.REPLACED}
_UPDATE: Final = {table.name: table.update(with_image=True) for table in tables.REPLACED}
_UPDATE_AGAIN: Final = {table.name: table.update(with_image=False) for table in tables.REPLACED}
_SELECT_ONE: Final = {table.name: table.select_one for table in tables.REPLACED}
_ACCOUNT_AT: Final = {t.name: t.columns.index("account") for t in tables.APPEND_ONLY if "account" in t.columns}
"""The place of the account in the values of a row that has it."""
_MADE_ID: Final = re.compile(r"[0-9a-f]{8,16}-[odat]-[0-9]+")
"""Ids as sessions make them: the beginning of the run's, the kind, a number."""


class SqliteStore:
    """The :class:`~qts.db.session.SessionStore` in the file ``path``; one writer at a time, from any thread.

    ``rewindable``: the run's broker is simulated, so that :meth:`rewind` may take back what was written. A run that
    begins without it is marked in the file: whatever opens the file later, no row of it is deleted, and an order
    only moves on in its life. Every method raises StorageError with what to do when the file cannot be written or
    read, is damaged, has a schema this version did not make, or when a row breaks a rule of the schema.

    Every key begins with the run or its account, which the store adds to the rows it writes. A record that names
    another account, or has an id that another run made, is a ContractError.
    """

    def __init__(self, path: Path | str, *, durability: Durability, rewindable: bool = False) -> None:
        self._path = Path(path)
        self._rewindable = rewindable
        self._is_kept = False
        """Whether the run trades with a real broker, so that its rows only grow; see the table ``kept_runs``."""
        if durability not in ("FULL", "NORMAL"):
            raise ContractError(f"durability must be FULL or NORMAL, got {durability!r}")
        self._run_id = ""
        self._account = ""
        self._own_ids: tuple[str, ...] = ()
        self._owner: dict[str, tuple[str, ...]] = {}
        self._numbers: dict[str, int] = {}
        self._chain = Chain()
        self._generation = 0
        self._imaged: dict[tuple[str, ...], None] = {}
        self._pruning: BarPruning | None = None
        self._outbox: Outbox | None = None
        """What followers are sent; None without followers."""
        self._connection = self._open(durability)
        self._past = StoredPast(self._path)

    # -- the run -----------------------------------------------------------------------------------------------

    def open_run(self, run: RunRow, files: Sequence[StrategyFile] = ()) -> None:
        """Write down the run the file belongs to; the same run again changes nothing, another is a StateError."""
        with self._transaction("open the run"):
            row = self._connection.execute(SQL_RUN).fetchone()
            if row is None:
                self._connection.execute(_SQL_NEW_RUN, msgspec.structs.astuple(run))
                rows = ((run.run_id, *msgspec.structs.astuple(file)) for file in files)
                self._connection.executemany(_SQL_NEW_FILE, rows)
                begin_chain(self._connection, run.run_id)
                if not self._rewindable:
                    self._connection.execute(_SQL_KEEP_RUN, (run.run_id,))
            elif (row[0], row[-1]) != (run.run_id, run.account):
                raise StateError(
                    f"{self._path} belongs to run {row[0]} of account {row[-1]}, not to run {run.run_id} of "
                    f"account {run.account}; give another data directory"
                )
        if row is None:
            with self._explained("open the run"):
                self._load(self._connection)

    def run(self) -> RunRow | None:
        """Return the run of the file; None when none was opened."""
        with self._explained("read the run"):
            return run_of(self._path, self._connection.execute(SQL_RUN).fetchone())

    def strategy_files(self) -> Sequence[StrategyFile]:
        """Return what the strategies of the run were made of when it began, by strategy and name."""
        with self._explained("read the files of the strategies"):
            return files_of(self._path, self._connection.execute(SQL_FILES, (self._run_id,)))

    def finish_run(self, result: str) -> None:
        """Mark the run finished. Raises StateError when none was opened."""
        with self._transaction("finish the run"):
            changed = self._connection.execute("UPDATE runs SET finished = 1, result = ?", (result,)).rowcount
            if changed != 1:
                raise StateError(f"{self._path} has no run to finish; open one first")

    def accept_config(self, row: ConfigRow) -> None:
        """Write down a configuration before it is in force; rewinding leaves it."""
        with self._chain.undone_if_it_fails(), self._transaction("write down the configuration"):
            self._require_run()
            number, *values = msgspec.structs.astuple(row)
            digest = self._chain.add(CONFIGURATIONS, number, values)
            self._connection.execute(_SQL_NEW_CONFIG, (self._run_id, number, *values, digest))

    def configs(self) -> Sequence[ConfigRow]:
        """Return the configurations by version."""
        with self._explained("read the configurations"):
            return configs_of(self._path, self._connection.execute(SQL_CONFIGS, (self._run_id,)))

    def verify_history(self, *, only_new: bool = False) -> str:
        """Raise StorageError, naming table and row, when a row is not what was written.

        ``only_new`` looks at those since the last look. Returns a sentence on rows older than the chain.
        """
        with self._explained("read the history"):
            marks = last_numbers(self._connection, self._path)
            sentence = self._chain.verify(self._connection, marks, str(self._path), only_new=only_new)
            if not only_new:
                refuse_others(self._connection, self._path)
                refuse_damage(self._connection, self._path)
            return sentence

    # -- writing -----------------------------------------------------------------------------------------------

    def commit(self, records: Sequence[Record], checkpoint: bytes | None = None, inbox: Sequence[str] = ()) -> int:
        """Write all of it in one transaction, and nothing of it when anything is refused; the batch's number.

        :meth:`_transaction` written out, because in real time it runs twice for every fill.
        """
        self._require_run()
        numbers, imaged, execute = self._numbers.copy(), len(self._imaged), self._connection.execute
        heads = self._chain.heads.copy()
        try:
            execute("BEGIN IMMEDIATE")
            self._write(records, keep_images=checkpoint is None)
            seq = self._numbers[tables.BATCHES] = self._numbers[tables.BATCHES] + 1
            execute(_SQL_NEW_BATCH, (self._run_id, seq, tables.inbox_text(inbox)))
            if self._outbox is not None:
                self._outbox.write(self._connection, seq)
            if checkpoint is not None:
                self._mark(checkpoint)
                if self._pruning is not None:
                    self._pruning.delete_old(self._connection)
            execute("COMMIT")
        except BaseException as error:
            self._chain.heads = heads
            self._take_back(numbers, imaged)
            if isinstance(error, sqlite3.Error):
                raise explanation(self._path, "commit", error) from error
            raise
        if checkpoint is not None:
            self._generation += 1
            self._imaged.clear()
        if self._outbox is not None:
            self._outbox.written(seq, is_offered=self._is_kept or checkpoint is not None)
        if self._pruning is not None:
            self._pruning.committed(records, with_checkpoint=checkpoint is not None)
        return seq

    @property
    def checkpoint_number(self) -> int:
        """Return the number of the newest checkpoint, from 1 over all lives of the run; 0 for none."""
        return self._generation - 1

    def checkpoint(self) -> bytes | None:
        """Return the newest checkpoint; None when there is none."""
        with self._explained("read the checkpoint"):
            row = self._connection.execute("SELECT data FROM checkpoint").fetchone()
            return None if row is None else bytes(row[0][: marks_of(self._connection, self._path)[1]])

    def rewind(self) -> None:
        """Put back exactly what stood at the newest checkpoint; without one, nothing of the run.

        Raises StateError when the store is not ``rewindable``, or was begun as one that is not.
        """
        if self._is_kept and self._rewindable and self.checkpoint() is None:
            raise StateError(
                f"{self._path} is not rewound: it is a copy that qts db export made, which has no checkpoint to go "
                "on from; continue the run in the directory where it began"
            )
        if self._is_kept or not self._rewindable:
            raise StateError(
                f"{self._path} is not rewound: its run trades with a real broker, and what that did stays done"
            )
        with self._transaction("rewind"):
            generation, _, *last = marks_of(self._connection, self._path)
            for name, mark in zip(NUMBERED, last, strict=True):
                sql = f"DELETE FROM {name} WHERE run_id = ? AND id > ?"  # noqa: S608 - our own table
                self._connection.execute(sql, (self._run_id, mark))
            behind = (self._run_id, last[NUMBERED.index(tables.BATCHES)])
            self._connection.execute("DELETE FROM outbox WHERE run_id = ? AND seq > ?", behind)
            for table in tables.REPLACED:
                self._put_back(table, generation)
        with self._explained("rewind"):
            self._load(self._connection)

    # -- reading -----------------------------------------------------------------------------------------------

    def batches(self, since: int = 0) -> Sequence[BatchRow]:
        """Return the batches behind number ``since``, in their order."""
        with self._explained("read batches"):
            return batches_of(self._path, self._connection.execute(_SQL_BATCHES, (self._run_id, since)))

    def ledger(self, since: int = 0) -> Sequence[LedgerRow]:
        """Return the booked fills behind the first ``since``, in the order of booking."""
        return self._read(tables.LEDGER, since)

    def actions(self, since: int = 0) -> Sequence[ActionRow]:
        """Return the splits and dividends behind the first ``since``, in the order of booking."""
        return self._read(tables.ACTIONS, since)

    def bookings(self, since: int = 0) -> Sequence[BookingRow]:
        """Return the bookings behind the first ``since``, in the order of booking."""
        return self._read(tables.BOOKINGS, since)

    def day_closes(self, since: int = 0) -> Sequence[DayCloseRow]:
        """Return the closes behind the first ``since``, in their order."""
        return self._read(tables.DAY_CLOSES, since)

    def holding_closes(self, since: int = 0) -> Sequence[HoldingCloseRow]:
        """Return the holdings at closes behind the first ``since``, in the order of writing."""
        return self._read(tables.HOLDING_CLOSES, since)

    def opening(self) -> OpeningBalances | None:
        """Return the newest close with every holding as it stood then; None before the first close."""
        with self._explained("read the opening balances"):
            return opening_of(self._path, self._connection, self._run_id)

    def open_orders(self) -> Sequence[Order]:
        """Return the orders that have not ended, by client order id."""
        with self._explained("read orders"):
            rows = self._connection.execute(_SQL_OPEN_ORDERS, (self._run_id,))
            return records(self._path, tables.ORDERS, rows)

    def orders(self, since_ns: int = 0) -> Sequence[Order]:
        """Return the orders that changed at ``since_ns`` or later, by client order id."""
        return self._read(tables.ORDERS, since_ns)

    def executions(self, since_ns: int = 0) -> Sequence[Execution]:
        """Return the executions that changed at ``since_ns`` or later, by id."""
        return self._read(tables.EXECUTIONS, since_ns)

    def stages(self, since: int = 0) -> Sequence[StageRow]:
        """Return what stages of executions answered behind the first ``since``, in the order of writing."""
        return self._read(tables.STAGES, since)

    def positions(self, since_ns: int = 0) -> Sequence[PositionRow]:
        """Return the holdings that changed at ``since_ns`` or later, by strategy and symbol, flat ones too."""
        return self._read(tables.POSITIONS, since_ns)

    def pools(self, since_ns: int = 0) -> Sequence[PoolRow]:
        """Return the pools that changed at ``since_ns`` or later, by name."""
        return self._read(tables.POOLS, since_ns)

    def transfers(self, since: int = 0) -> Sequence[Transfer]:
        """Return the transfers behind the first ``since``, in the order of booking."""
        with self._explained("read capital_transfers"):
            from_row = (self._run_id, 2 * since)  # a row for each leg
            rows = self._connection.execute(tables.TRANSFERS.select_since, from_row)
            return transfers_of(self._path, rows, 2 * since + 1)

    def state_history(self, since: int = 0) -> Sequence[StateRow]:
        """Return the transitions of the operating state behind the first ``since``."""
        return self._read(tables.STATES, since)

    def safety_history(self, since: int = 0) -> Sequence[SafetyRow]:
        """Return the causes that safety knew behind the first ``since``."""
        return self._read(tables.SAFETY, since)

    def equity_curve(self, since: int = 0) -> Sequence[EquityRow]:
        """Return the samples of the account behind the first ``since``."""
        return self._read(tables.EQUITY, since)

    def refusals(self, since: int = 0) -> Sequence[RefusalRow]:
        """Return the refused intents behind the first ``since``."""
        return self._read(tables.REFUSALS, since)

    def quarantine(self, since: int = 0) -> Sequence[QuarantineRow]:
        """Return the notices that were not booked behind the first ``since``, in the order of arrival."""
        return self._read(tables.QUARANTINE, since)

    def decisions(self, since: int = 0) -> Sequence[DecisionRow]:
        """Return the approvals behind the first ``since``."""
        return self._read(tables.DECISIONS, since)

    def bars(self) -> Sequence[Bar]:
        """Return the finished bars that were written and not deleted, in that order."""
        return self._read(tables.BARS, 0)

    def keep_bars(self, kept: Mapping[str, int]) -> None:
        """Keep the last ``kept[interval]`` bars of each series; delete older ones now and with checkpoints."""
        self._pruning = BarPruning(self._run_id, kept)
        with self._transaction("delete old bars"):
            self._pruning.begin(self._connection)

    def follow(self, followers: Sequence[str]) -> None:
        """Keep in the outbox, from the next batch on, what ``followers`` are sent."""
        self._require_run()
        with self._transaction("follow"):
            newest = self._numbers[tables.BATCHES]
            self._outbox = Outbox(
                self._path,
                self._connection,
                self._run_id,
                self._account,
                followers,
                newest=newest,
                offered=newest if self._is_kept else last_numbers(self._connection, self._path)[tables.BATCHES],
            )

    @property
    def offered(self) -> int:
        """Return the number of the newest batch that followers may be sent."""
        return self._followed().offered

    @property
    def outbox_bytes(self) -> int:
        """Return the bytes of the batches that are kept for followers."""
        return self._followed().size

    def pending(self, follower: str, most: int, most_bytes: int = 1 << 20) -> Sequence[Batch]:
        """Return the batches that the follower is not done with, on a connection of its own."""
        return self._followed().pending(follower, most, most_bytes)

    def done(self, follower: str, seq: int) -> None:
        """Note that the follower has all batches up to ``seq``; stored with the next commit."""
        self._followed().done(follower, seq)

    def copy(self) -> AbstractContextManager[RunCopy]:
        """Return everything of the run, as of one moment, on a connection of its own."""
        return copy_of(self._path)

    def past(self) -> StoredPast:
        """Return a reader of single facts, on a connection of its own that is closed with the store."""
        return self._past

    def close(self) -> None:
        """Close the file; what was committed is safe without it. May be called twice."""
        self._past.close()
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()
            with suppress(StorageError), self._transaction("store what followers have"):  # else it is sent again
                outbox.let_go(self._connection)
        self._connection.close()

    # -- inside ------------------------------------------------------------------------------------------------

    def _open(self, durability: Durability) -> sqlite3.Connection:
        self._make_private()
        with self._explained("open"):
            # By one caller at a time, but not always from the same thread: the check of threads is ours.
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with self._explained("open"):
                self._prepare(connection, durability)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_private(self) -> None:
        """Begin a new file for its owner alone; the library gives the files beside it the same mode."""
        try:
            os.close(in_place_opener(str(self._path), os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            # It is not opened to be judged: closing it would take away the locks of others in this process.
            found = self._path.lstat()
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                raise StorageError(f"{self._path}: it is not a regular file; move it away") from None
            if stat.S_ISLNK(found.st_mode) or found.st_nlink > 1:
                raise StorageError(
                    f"{self._path}: it is a link, symbolic or hard; put the file itself there"
                ) from None
        except OSError:
            pass  # reported by the library, with what to do

    def _prepare(self, connection: sqlite3.Connection, durability: Durability) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        migrate(connection, migrations(), str(self._path))
        self._load(connection)

    def _load(self, connection: sqlite3.Connection) -> None:
        """Load what the writer keeps in memory: generation, last row numbers, which rows have an image already."""
        run = connection.execute("SELECT run_id, account FROM runs").fetchone()
        self._run_id, self._account = run or ("", "")
        self._own_ids = tuple(f"{prefix}-" for prefix in id_prefixes(self._run_id))
        of = {"run_id": self._run_id, "account": self._account}
        for table in (*tables.APPEND_ONLY, *tables.REPLACED):
            self._owner[table.name] = tuple(of[column] for column in table.owner)
        self._generation = marks_of(connection, self._path)[0]
        self._is_kept = bool(connection.execute(_SQL_KEPT).fetchone()[0])
        for name in NUMBERED:
            sql = f"SELECT coalesce(max(id), 0) FROM {name} WHERE run_id = ?"  # noqa: S608 - our own table
            (self._numbers[name],) = connection.execute(sql, (self._run_id,)).fetchone()
        self._chain.load(connection, self._run_id)
        self._imaged = {
            (table.name, *key): None
            for table in tables.REPLACED
            for _, *key in connection.execute(table.select_changed, (self._run_id, self._generation))
        }

    def _followed(self) -> Outbox:
        if self._outbox is None:
            raise StateError(f"{self._path} is not followed; call follow() first")
        return self._outbox

    def _require_run(self) -> None:
        """Raise StateError before a run is opened: rows belong to one."""
        if not self._run_id:
            raise StateError(f"{self._path} has no run to write for; open one first")

    def _require_own(self, made_id: str) -> None:
        """Raise ContractError for an id that another run made."""
        if not made_id.startswith(self._own_ids) and _MADE_ID.fullmatch(made_id):
            raise ContractError(f"{made_id} is of another run; {self._path} belongs to run {self._run_id}")

    def _require_own_row(self, name: str, record: Record, values: tables.Values) -> None:
        """Raise ContractError for a row of another account or run."""
        place = _ACCOUNT_AT.get(name)
        if place is not None and values[place] != self._account:
            raise ContractError(
                f"a {type(record).__name__} is of account {values[place]!r}; {self._path} belongs to account "
                f"{self._account!r}"
            )
        if isinstance(record, DecisionRow):
            self._require_own(record.client_order_id)
            self._require_own(record.decision_id)
        elif isinstance(record, RefusalRow):
            self._require_own(record.decision_id)
        elif isinstance(record, LedgerRow):
            self._require_own(record.order_id)
        elif isinstance(record, StageRow):
            self._require_own(record.execution_id)

    def _take_back(self, numbers: dict[str, int], imaged: int) -> None:
        """Restore file and memory as before a batch that was refused."""
        self._numbers = numbers
        while len(self._imaged) > imaged:
            self._imaged.popitem()
        if self._outbox is not None:
            self._outbox.taken_back()
        if self._connection.in_transaction:
            with self._explained("commit"):
                self._connection.execute("ROLLBACK")

    def _write(self, records: Sequence[Record], *, keep_images: bool) -> None:
        """Write the rows that are appended table by table, then of each row that changes the newest version alone.

        Older versions are never visible. A transfer is written at once, behind the row of its source: a fill later
        in the batch may overdraw the pool, the transfer before it did not. Orders come behind their decisions.
        """
        appended: dict[str, list[tables.Values]] = {}
        positions: dict[tuple[str, str], PositionRow] = {}
        pools: dict[Pool, PoolRow] = {}
        orders: dict[str, Order] = {}
        executions: dict[str, Execution] = {}
        transfers: list[Transfer] = []
        for record in records:
            if isinstance(record, Order):
                self._require_own(record.client_order_id)
                orders[record.client_order_id] = record
            elif isinstance(record, Execution):
                self._require_own(record.execution_id)
                executions[record.execution_id] = record
            elif isinstance(record, PositionRow):
                positions[record.strategy, record.symbol] = record
            elif isinstance(record, PoolRow):
                pools[record.pool] = record
                if transfers:
                    self._replace(tables.POOLS, record, keep_images)
                    self._transfer([t for t in transfers if t.source is record.pool])
                    transfers = [t for t in transfers if t.source is not record.pool]
            elif isinstance(record, Transfer):
                self._require_own(record.transfer_id)
                transfers.append(record)
            else:
                table = _table_of(record)
                values = table.encode(record)
                self._require_own_row(table.name, record, values)
                appended.setdefault(table.name, []).append(self._numbered(table, values))
        for name, rows in appended.items():
            self._connection.executemany(_INSERT[name], rows)
            if self._outbox is not None:
                self._outbox.append(name, rows, len(self._owner[name]))
        for position in positions.values():
            self._replace(tables.POSITIONS, position, keep_images)
        for pool in pools.values():
            self._replace(tables.POOLS, pool, keep_images)
        self._transfer(transfers)
        self._write_orders(orders, records, keep_images)
        for execution in executions.values():
            self._replace(tables.EXECUTIONS, execution, keep_images)

    def _write_orders(self, orders: dict[str, Order], records: Sequence[Record], keep_images: bool) -> None:
        """Write the orders of a batch, those whose decision is in ``records`` as the new rows they are."""
        new = set() if keep_images else {row.client_order_id for row in records if isinstance(row, DecisionRow)}
        run, name = self._run_id, tables.ORDERS.name
        rows = [(run, *tables.ORDERS.encode(order), 0, None) for key, order in orders.items() if key in new]
        self._connection.executemany(_REPLACE[name], rows)
        if self._outbox is not None:
            for row in rows:
                self._outbox.replace(name, row[1:2], row[1:-2])
        for key, order in orders.items():
            if key not in new:
                self._replace(tables.ORDERS, order, keep_images)

    def _transfer(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            rows = [self._numbered(tables.TRANSFERS, leg) for leg in tables.transfer_legs(transfer)]
            self._connection.executemany(_INSERT[tables.TRANSFERS.name], rows)
            if self._outbox is not None:
                self._outbox.append(tables.TRANSFERS.name, rows, len(self._owner[tables.TRANSFERS.name]))

    def _numbered(self, table: tables.Table, values: tables.Values) -> tables.Values:
        """Return the next row of an append-only table: owner, number, ``values``, and a digest if it is sealed."""
        name = table.name
        number = self._numbers[name] = self._numbers[name] + 1
        if name in COLUMNS:
            return (*self._owner[name], number, *values, self._chain.add(name, number, values))
        return (*self._owner[name], number, *values)

    def _replace(self, table: tables.Table, record: Record, keep_image: bool) -> None:
        """Write a row that changes; the first time since the checkpoint it takes its former content along."""
        encoded, name, execute = table.encode(record), table.name, self._connection.execute
        if self._is_kept and table is tables.ORDERS:
            self._refuse_backward(encoded)
        if self._outbox is not None:
            self._outbox.replace(name, encoded[: len(table.key)], encoded)
        owner = self._owner[name]
        values = (*owner, *encoded)
        if not keep_image:
            row = (*values, 0, None)
            if not self._update(_UPDATE[name], row):
                execute(_REPLACE[name], row)
            return
        whole_key = values[: len(owner) + len(table.key)]
        key = whole_key[len(owner) :]
        if (name, *key) in self._imaged:
            if not self._update(_UPDATE_AGAIN[name], values):
                execute(_CHANGE[name], (*values, self._generation, None))
            return
        former = execute(_SELECT_ONE[name], whole_key).fetchone()
        row = (*values, self._generation, None if former is None else json.dumps(former))
        if former is None or not self._update(_UPDATE[name], row):
            execute(_REPLACE[name], row)
        self._imaged[name, *key] = None

    def _refuse_backward(self, values: tables.Values) -> None:
        """Raise StorageError when an order of a real broker would become another one, or one of before."""
        key = values[: len(tables.ORDERS.key)]
        former = self._connection.execute(_SELECT_ONE[tables.ORDERS.name], (self._run_id, *key)).fetchone()
        why = "" if former is None else tables.why_not_after(former, values)
        if why:
            raise StorageError(
                f"{self._path}: table orders: order {key[-1]}: {why}; nothing of the batch was written. What a "
                "real broker did stays done, so this is a defect: report it, and resume the run"
            )

    def _update(self, update: tuple[str, Callable[[tables.Values], tables.Values]], row: tables.Values) -> bool:
        sql, in_order = update
        return bool(self._connection.execute(sql, in_order(row)).rowcount)

    def _mark(self, checkpoint: bytes) -> None:
        """Write the checkpoint padded, so that one of about the same size overwrites it in place."""
        size = len(checkpoint)
        marks = marks_text(self._generation + 1, size, self._numbers.values())
        padded = checkpoint.ljust(-(-size // _PADDING) * _PADDING, b"\0")
        self._connection.execute(_SQL_CHECKPOINT, (self._run_id, marks, padded))

    def _put_back(self, table: tables.Table, generation: int) -> None:
        changed = self._connection.execute(table.select_changed, (self._run_id, generation)).fetchall()
        owner = self._owner[table.name]
        for image, *key in changed:
            self._connection.execute(table.delete_one, (*owner, *key))
            if image is None:
                continue
            with of_row(self._path, table.name, " ".join(map(str, key))):
                before = json.loads(image)
                if before[: len(key)] != key:
                    raise ValueError("how it stood before belongs to another row")
                records(self._path, table, [before])
            self._connection.execute(_REPLACE[table.name], (*owner, *before, 0, None))

    def _read(self, table: tables.Table, since: int) -> list[Any]:
        with self._explained(f"read {table.name}"):
            rows = self._connection.execute(table.select_since, (self._run_id, since))
            return records(self._path, table, rows, 1 if table.key else since + 1)

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        """Begin, and commit, or roll back whatever was raised; the connection is clean for the next one."""
        with self._explained(what):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explanation(self._path, what, error) from error


def _table_of(record: Record) -> tables.Table:
    table = tables.BY_RECORD.get(type(record))
    if table is None:
        raise ContractError(f"a store cannot write a {type(record).__name__}")
    return table
