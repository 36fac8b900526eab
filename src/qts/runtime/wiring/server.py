"""Finds the servers that follow a session's book, from the options and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from qts.config.loader import load_config
from qts.db.config import DATABASE, SHEETS
from qts.errors import InputError
from qts.runtime.session.session_plan import NamedServers, Options

if TYPE_CHECKING:
    from qts.db.adapter import DataSourceAdapter
    from qts.db.follower import OpenAdapter

URL: Final = "QTS_DB_URL"
"""The variable of the environment; :mod:`qts.db.access` has it too, and is not imported without a server."""
SHEETS_ID: Final = "QTS_SHEETS_ID"
"""The variable of the environment that names a spreadsheet."""
MODE: Final = "DATA_SOURCE_MODE"
"""The variable of the environment that ``store.data_source_mode: auto`` looks at."""
SHEETS_SCHEME: Final = "sheets://"
"""How the URL of a spreadsheet begins; its id follows."""


def url_of(options: Options, environ: Mapping[str, str]) -> str:
    """Return the URL of the database that is given, else that of the environment; "" for none."""
    return options.db or environ.get(URL, "")


def sheets_url_of(given: str, environ: Mapping[str, str]) -> str:
    """Return the URL of the spreadsheet whose id or URL is given, else that of the environment; "" for none.

    Raises InputError for a URL of something else.
    """
    text = given or environ.get(SHEETS_ID, "")
    scheme, mark, _ = text.partition("://")
    if not mark:
        return f"{SHEETS_SCHEME}{text}" if text else ""
    if scheme.lower() != "sheets":
        who = "--sheets" if given else SHEETS_ID
        raise InputError(
            f"{who} names no spreadsheet of Google Sheets: it begins with {scheme[:20]!r}; give its ID, which "
            f"stands between /d/ and /edit in its address, or {SHEETS_SCHEME}ID"
        )
    return text


def servers_of(options: Options, environ: Mapping[str, str]) -> NamedServers:
    """Return what makes the adapters of the servers that are named; nothing of one is imported where there is none.

    Raises InputError for a URL that cannot be used. A server's client is imported when its adapter is made.
    """
    found: dict[str, OpenAdapter] = {}
    if url := url_of(options, environ):
        refuse_sheets_as_database(url)
        found[DATABASE] = _database(url, environ)
    if url := sheets_url_of(options.sheets, environ):
        found[SHEETS] = _spreadsheet(url, options, environ)
    return NamedServers(found, environ.get(MODE, ""))


def refuse_sheets_as_database(url: str) -> None:
    """Raise InputError when the URL of a database names a spreadsheet."""
    if url.lower().startswith(SHEETS_SCHEME):
        raise InputError("--db names a spreadsheet; give it by --sheets ID, and a database by --db URL")


def _database(url: str, environ: Mapping[str, str]) -> OpenAdapter:
    from qts.db.servers import opener_of

    opener = opener_of(url, environ, live=False)  # brokers are simulated here

    async def make() -> DataSourceAdapter:
        """Make the adapter, on the thread of the follower."""
        return opener()

    return make


def _spreadsheet(url: str, options: Options, environ: Mapping[str, str]) -> OpenAdapter:
    """Return what makes the adapter; credentials that are missing are no reason not to begin, so it reads them."""
    from qts.db.servers import opener_of
    from qts.db.sheets.access import spreadsheet_of

    spreadsheet_of(url)

    async def make() -> DataSourceAdapter:
        """Make the adapter, on the thread of the follower."""
        config = load_config(options.config_dir, options.overrides, environ).tree.sheets
        return opener_of(url, environ, live=False, sheets=config)()

    return make
