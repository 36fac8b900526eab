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
    try:
        from qts.db.timescale import TimescaleDBAdapter
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise MissingExtraError("a database server", "postgres") from None
    return TimescaleDBAdapter(access, live=live)
