"""Makes connections to a cache server as an :class:`~qts.cache.access.Access` names it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, Final

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from qts.access import tls_context
from qts.cache.access import Access
from qts.cache.server.limits import Limits
from qts.errors import InputError

_KEEP_ALIVE: Final = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 5_000,
    }.items()
    if hasattr(socket, name)
}
"""After some seconds the system lets go of what a server that is gone was sent."""


class Connector:
    """Makes connections to one server or to the nodes of a cluster."""

    def __init__(self, access: Access, limits: Limits) -> None:
        """Read the certificates. Raises InputError for one that cannot be used."""
        self.access = access
        self.limits = limits
        self._tls = tls_context(access.tls, access.root_certificate, "tlsrootcert")
        if self._tls is not None and access.certificate:
            _say_who_we_are(self._tls, access)

    async def connect(self, host: str, port: int) -> Connection:
        """Return a connection that has said who it is.

        Raises what redis-py and networks raise, and TimeoutError when it takes too long.
        """
        connection = self._connection(host, port)
        try:
            async with asyncio.timeout(self.limits.connect_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _connection(self, host: str, port: int) -> Connection:
        # Nothing is tried again and no health is asked for below our own deadline, which covers it all.
        arguments: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": self.access.number,
            "username": self.access.user or None,
            "password": self.access.password or None,
            "protocol": 3,
            "decode_responses": True,
            "encoding_errors": "surrogateescape",
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "socket_timeout": None,
            "socket_connect_timeout": self.limits.connect_s,
            "socket_keepalive": True,
            "socket_keepalive_options": _KEEP_ALIVE,
        }
        if self._tls is None:
            return Connection(**arguments)
        connection = SSLConnection(**arguments)
        connection.ssl_context.context = self._tls
        return connection


def _say_who_we_are(context: ssl.SSLContext, access: Access) -> None:
    try:
        context.load_cert_chain(access.certificate, access.key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"tlscert and tlskey name {access.certificate} and {access.key}, which are no certificate and its key "
            f"without a password ({error})"
        ) from None


def _no_password() -> str:
    """Return no password, in place of a question at the terminal."""
    return ""
