"""Makes the adapter of the server, or of the file of SQLite, that a URL names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from qts.db.access import URL
from qts.db.adapter import DataSourceAdapter
from qts.db.servers import opener_of
from qts.db.sheets.failures import SheetsUnavailable
from qts.db.sheets_config import SheetsConfig
from qts.errors import InputError, Unavailable


def chosen_url(given: str, environ: Mapping[str, str]) -> str:
    """Return the URL that was ``given``, else that of the environment. Raises InputError when there is none."""
    url = given or environ.get(URL, "")
    if not url:
        raise InputError(
            f"no database is named: give --db postgresql://user@host/database, or set {URL} to such a URL"
        )
    return url


def adapter_for(
    url: str, environ: Mapping[str, str], *, live: bool = False, sheets: SheetsConfig | None = None
) -> DataSourceAdapter:
    """Return the adapter for a URL, not yet opened; ``live``: it is to hold what a real broker did.

    ``sheets``: the settings of a spreadsheet, None: the defaults.

    Raises InputError for a URL that cannot be used, and MissingExtraError without the client of servers.
    """
    return opener_of(url, environ, live=live, sheets=sheets)()


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
    if isinstance(error, SheetsUnavailable):
        return InputError(
            f"{error}; try again in a minute; if it stays so, see that this machine reaches the base_url of "
            "config/sheets.yaml"
        )
    return InputError(f"{error}; start the server there, or give the URL of one that runs with --db or {URL}")
