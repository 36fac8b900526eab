"""Digests of what a session left behind, and the file that keeps them.

A session is held by its result, a digest for each key, and by its tables, for each the columns, the number of rows,
the SHA-256 of all rows and four digits for each row, so that a comparison can name the first row that differs. What
is added is no difference: a key of the result, a field of the records in one of its lists, a table, a column.

    python -m tests.sim.digests --dump FOLDER     # every row as text, to compare with another checkout's
    python -m tests.sim.digests --renew           # write digests.json again, see RENEWAL
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.db.datadir import DATABASE_NAME
from qts.runtime.session.result import ResultValues
from qts.runtime.wiring.stores import stored_run
from tests.sim.digest_sessions import SESSIONS
from tests.sim.sessions import ABOUT_THE_RUN, BOOKKEEPING, comparable, run

FILE: Final = Path(__file__).with_name("digests.json")
RENEWAL: Final = (
    "Digests of the results of six short sessions, see digests.py. Only a change that is meant to alter results or "
    "books renews them, and says so in the changelog after a look at what differs (--dump in both checkouts)."
    " A change for speed or order in the code never does."
)
DERIVED: Final = {"digest"}
"""Columns left out: the digest of a row covers the run's ids; :func:`left_by` has the store verify it instead."""
MARK: Final = 4
MARKS_A_LINE: Final = 22

Rows = list[str]


class Table(msgspec.Struct, frozen=True):
    """The digests of one table; ``marks`` is one group of hexadecimal digits a row, in lines."""

    columns: str
    rows: int
    sha256: str
    marks: list[str]


class Digests(msgspec.Struct, frozen=True):
    """The digests of one session; ``fields`` are those of the records of each list of records in the result."""

    result: dict[str, str]
    fields: dict[str, str]
    tables: dict[str, Table]


class Left(msgspec.Struct, frozen=True):
    """What a session left: the result by key and every table's columns and rows, as text without ids of the run."""

    result: dict[str, str]
    tables: dict[str, tuple[list[str], Rows]]


def left_by(name: str, folder: Path) -> Left:
    """Run the session ``name`` of :data:`SESSIONS` in ``folder`` and return what it left there.

    Raises StorageError when the store's own history does not hold.
    """
    plan = SESSIONS[name](folder)
    values = run(plan).values
    anonymous = _Anonymous(values)
    database = folder / "run" / DATABASE_NAME
    with stored_run(database) as store:
        store.verify_history()
    result = {key: anonymous.text(value) for key, value in comparable(values).items()}
    tables = dict[str, tuple[list[str], Rows]]()
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(names) - ABOUT_THE_RUN):
            found = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            columns = [column for column in found if column not in BOOKKEEPING | DERIVED]
            read = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")
            tables[table] = columns, [anonymous.text(row) for row in read]
    return Left(result, tables)


class _Anonymous:
    """Takes out of a text what names the run: its id, the ids made from it, the digest of its settings.

    A setting that is added changes them all and nothing else.
    """

    def __init__(self, values: ResultValues) -> None:
        self._names = {values.run_id: "RUN", values.run_id[:8]: "RUN8", values.config_hash: "CONFIGURATION"}
        self._any = re.compile("|".join(map(re.escape, self._names)))

    def text(self, value: Any) -> str:
        return self._any.sub(lambda found: self._names[found.group()], _text(value))


def digests_of(left: Left) -> Digests:
    """Return the digests of what a session left."""
    tables = {}
    for name, (columns, rows) in left.tables.items():
        marks = [_digest(row)[:MARK] for row in rows]
        lines = [" ".join(marks[at : at + MARKS_A_LINE]) for at in range(0, len(marks), MARKS_A_LINE)]
        tables[name] = Table(" ".join(columns), len(rows), _digest("\n".join(rows)), lines)
    fields = {key: " ".join(names) for key, text in left.result.items() if (names := _fields_of(text))}
    return Digests({key: _digest(text)[:16] for key, text in left.result.items()}, fields, tables)


def differences(kept: Digests, left: Left) -> Iterator[str]:
    """Yield a line for each key and table of ``kept`` that ``left`` has otherwise; added ones are no difference."""
    for key, digest in kept.result.items():
        text = left.result.get(key)
        if text is None:
            yield f"the result has no {key!r} any more"
        elif _digest(_with_fields(text, kept.fields.get(key)))[:16] != digest:
            yield f"result {key!r} differs, now {_short(text)}"
    for name, table in kept.tables.items():
        if name not in left.tables:
            yield f"there is no table {name} any more"
        elif missing := set(table.columns.split()) - set(left.tables[name][0]):
            yield f"table {name} has no column {', '.join(sorted(missing))} any more"
        else:
            yield from _table_difference(name, table, _only(table.columns.split(), *left.tables[name]))


def kept_digests() -> dict[str, Digests]:
    """Return the digests of the file by the name of the session."""
    content = msgspec.json.decode(FILE.read_bytes(), type=dict[str, msgspec.Raw])
    return {name: msgspec.json.decode(raw, type=Digests) for name, raw in content.items() if name != "about"}


def _table_difference(name: str, table: Table, rows: Rows) -> Iterator[str]:
    if _digest("\n".join(rows)) == table.sha256:
        return
    marks = " ".join(table.marks).split()
    counted = f"{table.rows} rows before, {len(rows)} now"
    for number, (mark, row) in enumerate(zip(marks, rows, strict=False), 1):
        if _digest(row)[:MARK] != mark:
            yield f"table {name} differs from row {number} on ({counted}), which now is {_short(row)}"
            return
    end = min(len(marks), len(rows))
    more = _short(rows[end]) if len(rows) > end else "nothing"
    yield f"table {name} differs after row {end} ({counted}), where now follows {more}"


def _fields_of(text: str) -> list[str]:
    """Return the names of the fields of a list of records, in their order; none for another value."""
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return []
    return list(dict.fromkeys(name for record in value for name in record))


def _with_fields(text: str, fields: str | None) -> str:
    """Return the text of a list of records with ``fields`` alone; another text as it is."""
    if fields is None or not _fields_of(text):
        return text
    known = fields.split()
    return _text([{name: one for name, one in record.items() if name in known} for record in json.loads(text)])


def _only(wanted: Sequence[str], columns: Sequence[str], rows: Rows) -> Rows:
    """Return the rows cut to the columns ``wanted``, so that an added column is no difference."""
    if list(wanted) == list(columns):
        return rows
    places = [columns.index(column) for column in wanted]
    return [_text([cells[place] for place in places]) for cells in map(json.loads, rows)]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:400]}…"


def _all_left() -> Iterator[tuple[str, Left]]:
    for name in SESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            yield name, left_by(name, Path(folder))


def _renew() -> None:
    content: Mapping[str, Any] = {"about": RENEWAL} | {name: digests_of(left) for name, left in _all_left()}
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def _dump(folder: Path) -> None:
    for name, left in _all_left():
        inside = folder / name.replace(" ", "-")
        inside.mkdir(parents=True, exist_ok=True)
        (inside / "result.txt").write_text("".join(f"{key}: {text}\n" for key, text in left.result.items()))
        for table, (columns, rows) in left.tables.items():
            (inside / f"{table}.txt").write_text("\n".join([json.dumps(columns), *rows, ""]))


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["--renew"]:
            _renew()
        case ["--dump", folder]:
            _dump(Path(folder))
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
