"""Queries for the rows of a table: those that a query chooses, page by page behind the last row that was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from qts.db.adapter import END_NS, Query
from qts.db.batch import body_columns
from qts.db.tables import Table

PAGE: Final = 1_000
"""Rows of a page; even, so that the two legs of a transfer are on the same one."""
SYMBOLS: Final = ("symbol",)
STRATEGIES: Final = ("strategy", "strategy_tag")
TIMES: Final = ("timestamp", "updated_at")


class Dialect(NamedTuple):
    """The SQL of a database: what stands before the name of a table, and in the place of the value number n.

    ``by_runs``: the rows of an account are found as those of its runs, in the order of the key. SQLite would take
    an index that begins with the account, and sort all of its rows for each page.
    """

    schema: str
    mark: Callable[[int], str]
    by_runs: bool


POSTGRES: Final = Dialect("qts.", "${}".format, by_runs=False)
SQLITE: Final = Dialect("", lambda _: "?", by_runs=True)


class Choice:
    """The conditions of a query over a table, and their values."""

    def __init__(self, table: Table, where: Query, dialect: Dialect) -> None:
        self._mark = dialect.mark
        self.conditions: list[str] = []
        self.values: list[Any] = []
        known = (*table.owner, *table.columns)
        if where.run_id:
            self._add("run_id = ", where.run_id)
        if where.account and "account" in known and not dialect.by_runs:
            self._add("account = ", where.account)
        elif where.account:
            runs = f"SELECT r.run_id FROM {dialect.schema}runs AS r"  # noqa: S608 - our own names
            self._add(f"run_id IN ({runs} WHERE r.account = ", where.account, ")")
        for wanted, names in ((where.symbol, SYMBOLS), (where.strategy, STRATEGIES)):
            name = next((name for name in names if name in known), None)
            if wanted and name:
                self._add(f"{name} = ", wanted)
        time = next(name for name in TIMES if name in known)
        if where.since_ns > 0:
            self._add(f"{time} >= ", min(where.since_ns, END_NS))
        if where.until_ns < END_NS:
            self._add(f"{time} < ", max(where.until_ns, -END_NS))

    def _add(self, before: str, value: Any, behind: str = "") -> None:
        self.values.append(value)
        self.conditions.append(f"{before}{self._mark(len(self.values))}{behind}")


class Pages:
    """The query for the next page of a table; ``for_body``: with the columns that a body has."""

    def __init__(self, table: Table, where: Query, dialect: Dialect, *, for_body: bool = False) -> None:
        self._key = ("run_id", *(table.key or ("id",)))
        columns = body_columns(table) if for_body else table.columns
        self._choice, self._mark = Choice(table, where, dialect), dialect.mark
        self._behind: list[Any] = []
        self._select = f"SELECT {', '.join((*self._key, *columns))} FROM {dialect.schema}{table.name}"  # noqa: S608
        self.ended = False

    @property
    def values(self) -> list[Any]:
        """Return the values of the query."""
        return self._choice.values + self._behind

    @property
    def sql(self) -> str:
        """Return the query."""
        key = ", ".join(self._key)
        conditions = list(self._choice.conditions)
        if self._behind:
            first = len(self._choice.values) + 1
            conditions.append(f"({key}) > ({', '.join(map(self._mark, range(first, first + len(self._key))))})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{self._select}{where} ORDER BY {key} LIMIT {PAGE}"

    def turn(self, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Return the rows of a page without their key, and begin the next one behind them."""
        count = len(self._key)
        if rows:
            self._behind = list(rows[-1][:count])
        self.ended = len(rows) < PAGE
        return [[digits(value) for value in row[count:]] for row in rows]


def digits(value: Any) -> Any:
    """Return a number with all the digits that the server has: asyncpg makes 7.5E+5 of 750000."""
    if isinstance(value, Decimal) and "E+" in str(value):
        return Decimal(f"{value:f}")
    return value
