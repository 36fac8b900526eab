"""Makes the adapter of a server; the one place that imports its driver, and only when a server is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qts.db.access import Access
from qts.errors import MissingExtraError

if TYPE_CHECKING:
    from qts.db.timescale import TimescaleDBAdapter


def open_adapter(access: Access, *, live: bool = True) -> TimescaleDBAdapter:
    """Return the adapter of the server, to be opened on a loop; see its class for ``live``.

    Raises MissingExtraError without the driver.
    """
    require_driver()
    from qts.db.timescale import TimescaleDBAdapter

    return TimescaleDBAdapter(access, live=live)


def require_driver() -> None:
    """Raise MissingExtraError without the driver of servers."""
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError("a database server", "postgres") from None
