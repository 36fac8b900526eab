"""Opening a connection, and calls on it that end in time.

A call whose answer is late ends with its connection: to cancel it politely would take a second connection, which a
server that hangs does not answer either. Whether what was asked for happened is then unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import asyncpg

from qts.access import tls_context
from qts.clock import NS_PER_S, stopwatch_ns
from qts.db.access import Access
from qts.db.timescale.failures import Failure, explained, late
from qts.db.timescale.stats import AdapterStats

_T = TypeVar("_T")
SERVER_LIMITS: Final = {
    "statement_timeout": "2s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "5s",
}
"""Limits that the server keeps: of a statement, of waiting for a lock, of doing nothing within a transaction."""
CALL_S: Final = 3.0
"""How long a call may take; longer than the server's own limit, whose answer says more."""
CONNECT_S: Final = 5.0
SLOW_S: Final = 0.5
_SETTINGS: Final = {
    **SERVER_LIMITS,
    # A server notices within 11 s that the machine of a writer is gone, and lets go of its claim.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "TimeZone": "UTC",
    "jit": "off",  # compiling costs more than any of our statements
}


async def connect(access: Access, name: str, stats: AdapterStats) -> asyncpg.Connection:
    """Return a connection, named ``name`` at the server. Raises InputError and Unavailable."""
    stats.connects += 1
    try:
        return await asyncpg.connect(**connect_arguments(access, name), timeout=CONNECT_S)
    except TimeoutError as error:
        raise late(access.place, "connect", CONNECT_S) from error
    except Failure as error:
        raise explained(error, access.place, "connect") from error


def connect_arguments(access: Access, name: str) -> dict[str, Any]:
    """Return what asyncpg is given to connect. Raises InputError for a certificate that cannot be read.

    A pooler refuses settings, and gives each transaction another connection, on which no prepared statement is.
    """
    return {
        "host": access.host,
        "port": access.port,
        "user": access.user,
        "database": access.database,
        "password": access.password or None,
        "ssl": tls_context(access.tls, access.root_certificate, "sslrootcert") or False,
        "statement_cache_size": 0 if access.pooled else 100,
        "server_settings": {"application_name": name} if access.pooled else {**_SETTINGS, "application_name": name},
    }


async def finish(
    connection: asyncpg.Connection,
    work: Coroutine[Any, Any, _T],
    *,
    where: str,
    what: str,
    stats: AdapterStats,
    seconds: float | None = None,
) -> _T:
    """Return what ``work`` on the connection returns. Raises asyncpg's errors, and Unavailable when it is late.

    ``seconds`` None: :data:`CALL_S`. Late, or given up by the caller, the connection is ended at once.
    """
    seconds = CALL_S if seconds is None else seconds
    stats.calls += 1
    begun, is_late = stopwatch_ns(), False

    def end() -> None:
        """End the connection; the call then fails at once."""
        nonlocal is_late
        is_late = True
        connection.terminate()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        return await work
    except BaseException as error:
        if is_late:
            stats.late += 1
            raise late(where, what, seconds) from error
        if isinstance(error, asyncio.CancelledError):
            connection.terminate()
        raise
    finally:
        timer.cancel()
        if stopwatch_ns() - begun > SLOW_S * NS_PER_S:
            stats.slow += 1
