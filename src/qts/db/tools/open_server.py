"""Makes the adapter of the server, or of the file of SQLite, that a URL names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from qts.db.access import URL, parse
from qts.db.adapter import DataSourceAdapter
from qts.db.servers import open_adapter
from qts.errors import InputError, Unavailable

FILE: Final = "sqlite://"
"""How the URL of a file begins; its absolute path follows: ``sqlite:///home/me/copies.sqlite``."""


def chosen_url(given: str, environ: Mapping[str, str]) -> str:
    """Return the URL that was ``given``, else that of the environment. Raises InputError when there is none."""
    url = given or environ.get(URL, "")
    if not url:
        raise InputError(
            f"no database is named: give --db postgresql://user@host/database, or set {URL} to such a URL"
        )
    return url


def file_of(url: str) -> Path | None:
    """Return the path of a URL of a file; None for the URL of a server. Raises InputError for no absolute path."""
    if not url.lower().startswith(FILE):
        return None
    text = unquote(url[len(FILE) :])
    path = Path(f"/{text.lstrip('/')}")
    if not text.startswith("/") or not path.name:
        raise InputError(f"the database URL names no absolute path of a file: give {FILE}/path/to/file")
    return path


def adapter_for(url: str, environ: Mapping[str, str], *, live: bool = False) -> DataSourceAdapter:
    """Return the adapter for a URL, not yet opened; ``live``: it is to hold what a real broker did.

    Raises InputError for a URL that cannot be used, and MissingExtraError without the client of servers.
    """
    path = file_of(url)
    if path is None:
        return open_adapter(parse(url, environ), live=live)
    from qts.db.sqlite_adapter import SqliteAdapter

    return SqliteAdapter(path)


@asynccontextmanager
async def opened(adapter: DataSourceAdapter) -> AsyncIterator[DataSourceAdapter]:
    """Open the adapter for the length of the block. Raises InputError for a server that is not there."""
    try:
        try:
            await adapter.open()
        except Unavailable as error:
            raise unreachable(error) from error
        yield adapter
    finally:
        await adapter.close()


def unreachable(error: Unavailable) -> InputError:
    """Return the error for a command that was given a server which does not answer."""
    return InputError(f"{error}; start the server there, or give the URL of one that runs with --db or {URL}")
