"""Turn stored rows into records, and name the row that is none: it was changed by a disk or from outside."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec

from qts.capital.contracts import Transfer
from qts.db.contracts import BatchRow, ConfigRow, RunRow, StrategyFile
from qts.db.tables import APPEND_ONLY, BATCHES, DAY_CLOSES, HOLDING_CLOSES, REPLACED, TRANSFERS, Table, inbox_ids
from qts.errors import ContractError, StorageError
from qts.ledger.closes import OpeningBalances
from qts.money import PRECISION

RESTORE: Final = "the file is damaged; restore it from a backup or start with a new data directory"
_NEWEST_CLOSE: Final = DAY_CLOSES.select.replace("ORDER BY id", "ORDER BY id DESC LIMIT 1")
_NEWEST_HOLDINGS: Final = (
    f"SELECT {', '.join(HOLDING_CLOSES.columns)} FROM {HOLDING_CLOSES.name} JOIN "  # noqa: S608 - our own names
    f"(SELECT max(id) AS newest, min(id) AS oldest FROM {HOLDING_CLOSES.name} WHERE run_id = ?1 "
    "GROUP BY strategy, symbol) ON run_id = ?1 AND id = newest ORDER BY oldest"
)
RUN_COLUMNS: Final = "run_id, command, seed, source_id, config_hash, started_at, finished, result, account"
CONFIG_COLUMNS: Final = "version, config_hash, timestamp, actor, reason, settings"
FILE_COLUMNS: Final = "strategy, class_name, name, digest"
SQL_RUN: Final = f"SELECT {RUN_COLUMNS} FROM runs"  # noqa: S608 - a constant
SQL_CONFIGS: Final = f"SELECT {CONFIG_COLUMNS} FROM configurations WHERE run_id = ? ORDER BY version"  # noqa: S608
SQL_FILES: Final = f"SELECT {FILE_COLUMNS} FROM strategy_files WHERE run_id = ? ORDER BY strategy, name"  # noqa: S608
_OWN: Final = "SELECT run_id, account FROM runs"
UNFIT: Final = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, ContractError)
"""Errors of making a record of values of another kind; those of msgspec are ValueErrors."""
_PLAIN: Final = frozenset({str, int, type(None), bool, float, tuple})
"""Types of values that hold no record of their own."""
_R = TypeVar("_R", bound=msgspec.Struct)
_Row = Sequence[Any]


@contextmanager
def of_row(path: Path, table: str, row: object) -> Iterator[None]:
    """Raise StorageError naming the store ``path``, ``table`` and ``row`` for what the block cannot understand."""
    try:
        yield
    except UNFIT as error:
        raise _unfit(path, table, row, error) from error


def _unfit(path: Path, table: str, row: object, error: Exception) -> StorageError:
    return StorageError(
        f"{path}: table {table}, row {row}: it cannot be what was written ({type(error).__name__}: {error}); "
        f"{RESTORE}"
    )


def refuse_damage(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageError when the file is not built as SQLite builds it: rows may be lost, or shown twice."""
    found = [text for (text,) in connection.execute("PRAGMA integrity_check(3)").fetchall()]
    if found != ["ok"]:
        raise StorageError(f"{path}: SQLite finds it damaged: {'; '.join(found).strip()[:500]}; {RESTORE}")


def refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageError when a row is of another run or account than the file."""
    own = dict(zip(("run_id", "account"), connection.execute(_OWN).fetchone() or ("", ""), strict=True))
    for table in (*APPEND_ONLY, *REPLACED):
        key = ", ".join(table.key or ("id",))
        for column in (*table.owner, *(name for name in table.columns if name == "account")):
            sql = f"SELECT {column}, {key} FROM {table.name} WHERE {column} NOT IN (?, ?) LIMIT 1"  # noqa: S608
            unnamed = "" if column == "account" else own[column]  # rows of before have no account
            found = connection.execute(sql, (own[column], unnamed)).fetchone()
            if found is not None:
                row = " ".join(map(str, found[1:]))
                raise StorageError(
                    f"{path}: table {table.name}, row {row} is of {column} {found[0]}, the file of {own[column]}; "
                    f"{RESTORE}"
                )


def records(path: Path, table: Table, rows: Iterable[_Row], first: int = 1) -> list[Any]:
    """Return the record of each row of ``table``, of which the first has the number ``first``.

    Raises StorageError like :func:`of_row`.
    """
    return _made(path, table.name, rows, table.decode, len(table.key), first)


def run_of(path: Path, row: _Row | None) -> RunRow | None:
    """Return the run of its one row, read as :data:`RUN_COLUMNS`; None for none."""

    def made(values: _Row) -> RunRow:
        """Make the record."""
        *others, finished, result, account = values
        return RunRow(*others, {0: False, 1: True}[finished], result, account)  # type: ignore[call-arg]

    return None if row is None else _made(path, "runs", [row], made, 1)[0]


def configs_of(path: Path, rows: Iterable[_Row]) -> list[ConfigRow]:
    """Return the configurations; the settings of each are texts by name."""

    def made(values: _Row) -> ConfigRow:
        """Make the record."""
        row = ConfigRow(*values)
        msgspec.json.decode(row.settings, type=dict[str, str])
        return row

    return _made(path, "configurations", rows, made, 1)


def opening_of(path: Path, connection: sqlite3.Connection, run_id: str) -> OpeningBalances | None:
    """Return the newest close with every holding as its newest row has it, in the order of first rows; None: none.

    Raises sqlite3.Error, and StorageError like :func:`of_row`.
    """
    closes = records(path, DAY_CLOSES, connection.execute(_NEWEST_CLOSE, (run_id,)).fetchall())
    if not closes:
        return None
    holdings = connection.execute(_NEWEST_HOLDINGS, (run_id,)).fetchall()
    return OpeningBalances(closes[0], records(path, HOLDING_CLOSES, holdings))


def batches_of(path: Path, rows: Iterable[_Row]) -> list[BatchRow]:
    """Return the batches of their rows: number and inbox."""

    def made(values: _Row) -> BatchRow:
        """Make the record."""
        seq, inbox = values
        return BatchRow(seq, inbox_ids(inbox))

    return _made(path, BATCHES, rows, made, 1)


def files_of(path: Path, rows: Iterable[_Row]) -> list[StrategyFile]:
    """Return the files that the strategies were made of."""
    return _made(path, "strategy_files", rows, lambda values: StrategyFile(*values), 3)


def transfers_of(path: Path, rows: Iterable[_Row], first: int = 1) -> list[Transfer]:
    """Return the transfers of their legs, which stand one behind the other; the first has the number ``first``."""
    legs, found = list(rows), []
    for place in range(0, len(legs), 2):
        with of_row(path, TRANSFERS.name, place + first):
            pair = legs[place : place + 2]
            if [leg[1] for leg in pair] != [1, 2] or pair[0][0] != pair[1][0]:
                raise ValueError("the two legs of a transfer do not stand together")
            (transfer,) = TRANSFERS.decode(pair)
            check_record(transfer)
            found.append(transfer)
    return found


def _made(
    path: Path, table: str, rows: Iterable[_Row], make: Callable[[_Row], _R], key: int, first: int = 1
) -> list[_R]:
    found: list[_R] = []
    fit: set[tuple[type, ...]] = set()
    for number, row in enumerate(rows, first):
        try:  # not of_row(): entering it costs as much as making the record
            record = make(row)
            kinds = tuple(map(type, row))
            check_record(record, kinds_fit=kinds in fit)
        except UNFIT as error:
            raise _unfit(path, table, " ".join(map(str, row[:key])) if key else number, error) from error
        fit.add(kinds)
        found.append(record)
    return found


def check_record(record: msgspec.Struct, *, kinds_fit: bool = False) -> None:
    """Raise ValueError when a value is of another kind than it has to be, or no amount of money."""
    if not kinds_fit:
        msgspec.convert(msgspec.structs.asdict(record), type(record))  # what stands in it is looked at by itself
    names, values_of = _looked_at(record.__class__)
    for place, value in enumerate(values_of(record)):
        kind = value.__class__
        if kind is Decimal:
            if not (value.is_finite() and abs(value.adjusted()) <= PRECISION):
                raise ValueError(f"{names[place]} is {value}")
        elif kind not in _PLAIN and isinstance(value, msgspec.Struct):
            check_record(value, kinds_fit=kinds_fit)


@cache
def _looked_at(kind: type[msgspec.Struct]) -> tuple[Sequence[str], Callable[[Any], Sequence[Any]]]:
    """Return the fields that may hold an amount or another record, by their types, and what reads them."""
    names = [field.name for field in msgspec.structs.fields(kind) if not _is_plain(field.type)]
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda record: [getattr(record, name) for name in names]


def _is_plain(kind: Any) -> bool:
    """Return whether a value of the type ``kind`` is neither an amount nor a record, and holds no record."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return all(map(_is_plain, get_args(kind)))
    if origin is Annotated:
        return _is_plain(get_args(kind)[0])
    kind = origin or kind
    return kind in _PLAIN or (isinstance(kind, type) and issubclass(kind, Enum))
