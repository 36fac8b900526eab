"""Looks who answers before a cache server is used: which program, how old, and what this user may do."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, ResponseError

from qts.cache.access import Access
from qts.cache.server.commands import pack
from qts.cache.server.connecting import Connector
from qts.cache.server.failures import Failure, explained, is_passing, late
from qts.cache.server.limits import deadline
from qts.cache.server.routing import Nodes
from qts.errors import InputError, QtsError
from qts.wording import counted, printable

OLDEST: Final = {"redis": (7, 2), "valkey": (8, 0)}
_NAMES: Final = {"redis": "Redis", "valkey": "Valkey"}
_ALLOWED: Final = "allowed are Redis 7.2, Valkey 8, and newer ones"
_KEY: Final = "qts:{none}"
_WRITES: Final = (
    ("DEL", _KEY),
    ("HSET", _KEY, "a field", "its text", "a field without one"),
    ("ZADD", _KEY, "no number", "a"),
    ("SET", _KEY, "a", "PX", 0),
    ("PEXPIRE", _KEY, "no number"),
    ("UNLINK", _KEY),
    ("EVAL", "#!lua\nreturn 1", 0),
)
"""Commands that change nothing at a key that is not there: rights to them are checked before what they say."""
_READS: Final = (
    ("HGETALL", _KEY),
    ("ZRANGE", _KEY, 0, 0),
    ("EVAL_RO", "#!lua flags=no-writes\nreturn 1", 0),
    ("SCAN", 0, "COUNT", 1),
)
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""What a client of PostgreSQL begins with; the answer is one letter."""


async def open_nodes(connector: Connector, *, writes: bool) -> tuple[Nodes, str]:
    """Return the nodes, with connections, and name and version of the server for people.

    Raises InputError for a server that cannot be used, and Unavailable.
    """
    nodes = Nodes(connector)
    try:
        hello = await _greeted(nodes, connector)
        server = _checked(hello, connector.access, writes=writes)
        if hello.get("mode") == "cluster":
            await _find_masters(nodes, connector)
            server += f", cluster of {counted(len(nodes.masters), 'node')}"
        await _check_rights(nodes, connector, writes=writes)
        least = -(-connector.limits.least // len(nodes.masters))
        await asyncio.gather(*(pool.warm(least) for pool in nodes.masters))
    except BaseException:
        await nodes.close()
        raise
    return nodes, server


async def _greeted(nodes: Nodes, connector: Connector) -> Mapping[str, Any]:
    """Return what the server says of itself."""
    place = connector.access.place
    seconds = connector.limits.connect_s + connector.limits.call_s
    try:
        async with deadline(seconds):
            [reply] = await nodes.first.send(pack(("HELLO",)), 1)
    except TimeoutError as error:
        raise _with_a_hint(late(place, "connect", seconds), connector.access) from error
    except Failure as error:
        if not isinstance(error, AuthenticationError | ResponseError) and await _is_postgres(connector):
            raise InputError(
                f"{place}: PostgreSQL answers there, which is no cache; give the URL of a Redis or Valkey server, "
                "and that of a database to --db"
            ) from error
        raise _with_a_hint(explained(error, place, "connect"), connector.access) from error
    if not isinstance(reply, Mapping):
        raise InputError(f"{place}: cannot connect: what answers is no Redis; {_ALLOWED}")
    return reply


def _with_a_hint(failed: QtsError, access: Access) -> QtsError:
    """Return an error that also says what else it may be where one side alone encrypts."""
    text = str(failed)
    if access.tls == "disable" and ("was ended" in text or "reset" in text):
        return type(failed)(f"{text}; where the server wants encryption give rediss://")
    if access.tls != "disable" and "no answer" in text:
        return type(failed)(f"{text}; where the server has no encryption give redis:// with tls=disable")
    return failed


def _checked(hello: Mapping[str, Any], access: Access, *, writes: bool) -> str:
    """Return name and version of a server. Raises InputError for one that cannot be used."""
    program, version = str(hello.get("server", "")), str(hello.get("version", ""))
    name = _NAMES.get(program, printable(program, 40) or "an unknown program")
    server = f"{name} {printable(version, 40)}"
    found = re.match(r"(\d+)\.(\d+)", version)
    if program not in OLDEST or found is None or (int(found[1]), int(found[2])) < OLDEST[program]:
        raise InputError(f"{access.place}: {server} answers there; {_ALLOWED}")
    if hello.get("mode") == "sentinel":
        raise InputError(f"{access.place}: a Sentinel answers there, which holds no values; give the server's URL")
    if writes and hello.get("mode") != "cluster" and hello.get("role") != "master":
        raise InputError(
            f"{access.place}: {server} is a replica there, which cannot be written; give the URL of its primary"
        )
    return server


async def _find_masters(nodes: Nodes, connector: Connector) -> None:
    place, seconds = connector.access.place, connector.limits.connect_s
    try:
        async with deadline(seconds):
            await nodes.look(nodes.first)
    except TimeoutError as error:
        raise late(place, "ask for the nodes of the cluster", seconds) from error
    except Failure as error:
        raise explained(error, place, "ask for the nodes of the cluster") from error
    if not nodes.masters:
        raise InputError(f"{place}: the cluster has no node with keys; assign its slots first")


async def _check_rights(nodes: Nodes, connector: Connector, *, writes: bool) -> None:
    """Ask for what is needed, in forms that change nothing.

    Whether the keys are allowed shows at the first use: which ones the session has is not known here.
    """
    place, seconds = connector.access.place, connector.limits.connect_s
    asked = (*_WRITES, *_READS) if writes else _READS
    try:
        async with deadline(seconds):
            replies = await nodes.of(_KEY).send(b"".join(map(pack, asked)), len(asked))
    except TimeoutError as error:
        raise late(place, "ask for rights", seconds) from error
    except Failure as error:
        raise explained(error, place, "ask for rights") from error
    for words, reply in zip(asked, replies, strict=True):
        if isinstance(reply, NoPermissionError) and "to run the" in str(reply):
            raise explained(reply, place, f"use the server, which needs {words[0]}") from reply
        if isinstance(reply, ReadOnlyError):
            raise InputError(f"{place}: the server is read-only; give the URL of its primary") from reply
        if isinstance(reply, ResponseError) and is_passing(reply):
            raise explained(reply, place, "use the server") from reply


async def _is_postgres(connector: Connector) -> bool:
    """Return whether PostgreSQL answers, which ends a connection at the first word that it does not know."""
    access = connector.access
    with suppress(OSError, EOFError):
        async with asyncio.timeout(connector.limits.connect_s):
            reader, writer = await asyncio.open_connection(access.host, access.port)
            try:
                writer.write(_SSL_REQUEST)
                return await reader.read(16) in (b"S", b"N")
            finally:
                writer.transport.abort()
    return False
