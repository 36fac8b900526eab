"""The part of a connection to a server that migrations need; asyncpg's has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from qts.wording import printable

SCHEMA: Final = "qts"
"""The schema in which everything of QTS is; other schemas of the database are never looked into."""


class Connection(Protocol):
    """A connection to a server, used by one coroutine at a time. Each method raises asyncpg's errors."""

    async def execute(self, query: str, *args: Any) -> str:
        """Run one statement, or without ``args`` several; return what the server says was done."""
        ...

    async def fetch(self, query: str, *args: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a query."""
        ...

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Return the first value of the first row; None for no row."""
        ...

    def transaction(self, *, isolation: str) -> AbstractAsyncContextManager[Any]:
        """Begin; commit at the end of the block, roll back when it raises.

        ``isolation``: "read_committed", in which each statement sees what was committed before it.
        """
        ...


async def use_schema(connection: Connection, schema: str, *more: str) -> None:
    """Make ``schema`` the one in which names are found and made until the transaction ends; then those of ``more``.

    Temporary objects come last, so that none of them takes the place of one of ours.
    """
    path = ", ".join(quoted(name) for name in (schema, *more, "pg_temp"))
    await connection.execute(f"SET LOCAL search_path = {path}")


def quoted(name: str) -> str:
    """Return a name as it is written in SQL."""
    return '"' + name.replace('"', '""') + '"'


def said(error: Exception) -> str:
    """Return what the server refused something with, in one line."""
    detail = getattr(error, "detail", None)
    text = f"{getattr(error, 'message', None) or error}{f' ({detail})' if detail else ''}"
    return printable(" ".join(text.split()))
