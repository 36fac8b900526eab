"""Connections that another thread can cut: an answer that comes a byte at a time has no timeout of its own."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool


class CuttableAdapter(HTTPAdapter):
    """An adapter of a session whose connections :meth:`cut` ends, whatever they do; not those over a proxy."""

    def __init__(self) -> None:
        self._connections: WeakSet[Any] = WeakSet()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools whose connections are remembered."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _remembered(HTTPConnectionPool, self._connections),
            "https": _remembered(HTTPSConnectionPool, self._connections),
        }

    def cut(self) -> None:
        """End every connection; on any thread. A call that waits for one fails at once."""
        for connection in list(self._connections):
            sock = connection.sock
            if sock is not None:
                with suppress(OSError):  # it has ended
                    sock.shutdown(socket.SHUT_RDWR)


def _remembered(pool: Any, connections: WeakSet[Any]) -> Any:
    """Return a class of pools like ``pool`` that adds its connections to ``connections``."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            connections.add(self)

    class Connections(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Connections
