"""Finds the server that follows a session's book, from the options and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from qts.runtime.session.session_plan import Options

if TYPE_CHECKING:
    from qts.db.adapter import DataSourceAdapter
    from qts.db.follower import OpenAdapter

URL: Final = "QTS_DB_URL"
"""The variable of the environment; :mod:`qts.db.access` has it too, and is not imported without a server."""


def url_of(options: Options, environ: Mapping[str, str]) -> str:
    """Return the URL of the server that is given, else that of the environment; "" for none."""
    return options.db or environ.get(URL, "")


def server_of(options: Options, environ: Mapping[str, str]) -> OpenAdapter | None:
    """Return what makes the adapter of the server that is given; None for none, and nothing of it is imported then.

    Raises InputError for a URL that cannot be used. The server's driver is imported when the adapter is made.
    """
    url = url_of(options, environ)
    if not url:
        return None
    from qts.db.servers import opener_of

    opener = opener_of(url, environ, live=False)  # brokers are simulated here

    async def make() -> DataSourceAdapter:
        """Make the adapter, on the thread of the follower."""
        return opener()

    return make
