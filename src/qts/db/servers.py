"""Makes the adapter of the server, the spreadsheet, or the file of SQLite that a URL names.

It is the one place that imports the driver of servers, and only when the adapter of one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from qts.db.access import parse
from qts.db.adapter import DataSourceAdapter
from qts.db.sheets_config import SheetsConfig
from qts.errors import InputError, MissingExtraError

FILE: Final = "sqlite://"
"""How the URL of a file begins; its absolute path follows: ``sqlite:///home/me/copies.sqlite``."""
SPREADSHEET: Final = "sheets://"
"""How the URL of a spreadsheet of Google Sheets begins; its id follows."""


def file_of(url: str) -> Path | None:
    """Return the path of a URL of a file; None for the URL of a server. Raises InputError for no absolute path."""
    if not url.lower().startswith(FILE):
        return None
    text = unquote(url[len(FILE) :])
    path = Path(f"/{text.lstrip('/')}")
    if not text.startswith("/") or not path.name:
        raise InputError(f"the database URL names no absolute path of a file: give {FILE}/path/to/file")
    return path


def opener_of(
    url: str, environ: Mapping[str, str], *, live: bool, sheets: SheetsConfig | None = None
) -> Callable[[], DataSourceAdapter]:
    """Return what makes the adapter for a URL, which is then opened on a loop; nothing is imported before that.

    ``live``: it is to hold what a real broker did. ``sheets``: the settings of a spreadsheet, None: the
    defaults. Raises InputError for a URL or credentials that cannot be used. Making the adapter of a server raises
    MissingExtraError without its driver.
    """
    path = file_of(url)
    if path is not None:
        return lambda: _of_file(path)
    if url.lower().startswith(SPREADSHEET):
        return _opener_of_sheets(url, environ, sheets or SheetsConfig())
    access = parse(url, environ)

    def make() -> DataSourceAdapter:
        """Make the adapter of the server."""
        require_driver()
        from qts.db.timescale import TimescaleDBAdapter

        return TimescaleDBAdapter(access, live=live)

    return make


def require_driver() -> None:
    """Raise MissingExtraError without the driver of servers."""
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError("a database server", "postgres") from None


def _of_file(path: Path) -> DataSourceAdapter:
    from qts.db.sqlite_adapter import SqliteAdapter

    return SqliteAdapter(path)


def _opener_of_sheets(
    url: str, environ: Mapping[str, str], config: SheetsConfig
) -> Callable[[], DataSourceAdapter]:
    from qts.db.sheets.access import access_of
    from qts.db.sheets.pacing import pacing_of

    access, pacing = access_of(url, environ), pacing_of(config)

    def make() -> DataSourceAdapter:
        """Make the adapter of the spreadsheet."""
        try:
            import google.auth  # noqa: F401
            import requests  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name not in ("google", "google.auth", "requests"):
                raise
            raise MissingExtraError("Google Sheets", "sheets") from None
        from qts.db.sheets import GoogleSheetsAdapter

        return GoogleSheetsAdapter(access, config, pacing)

    return make
