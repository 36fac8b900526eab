"""Finds the server that follows a session's book, from the options and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from qts.runtime.session.session_plan import Options

if TYPE_CHECKING:
    from qts.db.adapter import DataSourceAdapter
    from qts.db.follower import OpenAdapter

_URL: Final = "QTS_DB_URL"


def server_of(options: Options, environ: Mapping[str, str]) -> OpenAdapter | None:
    """Return what makes the adapter of the server that is given; None for none, and nothing of it is imported then.

    Raises InputError for a URL that cannot be used. The server's driver is imported when the adapter is made.
    """
    if not (options.db or environ.get(_URL)):
        return None
    from qts.db.access import from_environment

    access = from_environment(options.db, environ)
    if access is None:
        return None

    async def make() -> DataSourceAdapter:
        """Make the adapter, on the thread of the follower."""
        from qts.db.servers import open_adapter

        return open_adapter(access, live=False)  # brokers are simulated here

    return make
