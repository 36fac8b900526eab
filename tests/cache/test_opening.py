"""What is refused when a cache is opened: one line that names what was found, what is allowed and what to do."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from qts.cache.access import parse
from qts.cache.redis_cache import RedisCache
from qts.cache.server.failures import RIGHTS
from qts.cache.server.limits import Limits
from qts.cache.servers import opener_of
from qts.errors import InputError, MissingExtraError, QtsError, Unavailable
from tests.cache.servers import PATIENT_S
from tests.conformance.cache import BOOK, FIELDS, PRICE, hashed, levels, names
from tests.servers.fixtures import Database
from tests.servers.process import free_port
from tests.servers.proxy import Proxy
from tests.servers.valkey import Cluster, Valkey

SECRET = "s3cr3t-Pa55"
PATIENT = Limits(call_s=PATIENT_S, connect_s=PATIENT_S, least=2)
SHORT = Limits(call_s=0.05, connect_s=0.1)


def cache_at(
    url: str, environ: Mapping[str, str] = os.environ, *, limits: Limits = PATIENT, writes: bool = True
) -> RedisCache:
    return RedisCache(parse(url, environ), limits=limits, writes=writes)


async def refusal(cache: RedisCache, kind: type[QtsError] = InputError) -> str:
    """Return the one line with which opening is refused; nothing of the cache is left then."""
    with pytest.raises(QtsError) as caught:
        await cache.open()
    text = str(caught.value)
    assert type(caught.value) is kind, text
    assert "\n" not in text
    assert SECRET not in f"{text}{caught.value!r}{cache!r}"
    assert (cache.server, cache.pool.in_use) == ("", 0)
    await cache.close()
    return text


async def works(cache: RedisCache) -> str:
    """Open a cache, write and read, and return what its server calls itself."""
    await cache.open()
    await cache.put([hashed(), levels()])
    assert await cache.get(PRICE) == FIELDS
    server = cache.server
    await cache.close()
    return server


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    encrypted: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A server within the block, whose connections are all done after it; yields its port."""
    open_ones: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=encrypted) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*open_ones)


@asynccontextmanager
async def answering(answers: bytes) -> AsyncIterator[str]:
    """A server that answers the same to whatever it is sent first; yields its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_024)
        writer.write(answers)
        while await reader.read(1_024):
            pass

    async with serving(answer) as port:
        yield f"redis://127.0.0.1:{port}/0"


def greeting(server: str, version: str, mode: str = "standalone") -> bytes:
    """The answers of a server to a client that greets it, names itself in two words, and greets it again."""
    words = {"server": server, "version": version, "mode": mode, "role": "master"}
    said = "".join(f"${len(word)}\r\n{word}\r\n" for pair in words.items() for word in pair)
    hello = f"%{len(words)}\r\n{said}"
    return f"{hello}+OK\r\n+OK\r\n{hello}".encode()


# -- who answers ------------------------------------------------------------------------------------------------


async def test_a_server_is_named_with_its_version(valkey: Valkey) -> None:
    assert (await works(cache_at(valkey.url()))).startswith("Valkey ")


async def test_a_node_of_a_cluster_is_as_good_as_any_other(valkey_cluster: Cluster) -> None:
    for node in valkey_cluster.nodes:
        assert (await works(cache_at(node.url()))).endswith(", cluster of 3 nodes")


async def test_postgres_is_named(database: Database) -> None:
    text = await refusal(cache_at(f"redis://127.0.0.1:{database.port}/0"))
    assert "PostgreSQL answers there" in text
    assert "Redis or Valkey" in text
    assert "--db" in text


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
async def test_another_program_is_told_by_its_answer(answer: bytes) -> None:
    async with answering(answer) as url:
        text = await refusal(cache_at(url))
    assert "Protocol error" in text
    assert "give the URL of a Redis or Valkey server" in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (greeting("redis", "7.0.15"), ("Redis 7.0.15 answers", "Redis 7.2", "Valkey 8")),
        (greeting("valkey", "7.2.4"), ("Valkey 7.2.4 answers", "Redis 7.2", "Valkey 8")),
        (greeting("other", "99.0"), ("other 99.0 answers", "Redis 7.2")),
        (greeting("redis", "new"), ("Redis new answers", "Redis 7.2")),
        (greeting("redis", "8.2.0", "sentinel"), ("Sentinel", "give the server's URL")),
        (b"-ERR unknown command 'HELLO'\r\n", ("unknown command", "Redis 7.2 or Valkey 8")),
        (b"-DENIED Redis is running in protected mode\r\n", ("protected mode", "with a password")),
    ],
)
async def test_a_server_that_cannot_be_used_says_what_is_allowed(answer: bytes, words: tuple[str, ...]) -> None:
    async with answering(answer) as url:
        text = await refusal(cache_at(url))
    for word in words:
        assert word in text


async def test_no_server_at_all_is_unavailable() -> None:
    text = await refusal(cache_at(f"redis://127.0.0.1:{free_port()}/0"), Unavailable)
    assert "connection refused" in text
    text = await refusal(cache_at("redis://no-such-host.invalid/0?tls=disable"), Unavailable)
    assert "no-such-host.invalid" in text


async def test_a_server_that_never_answers_is_unavailable(valkey: Valkey, valkey_proxy: Proxy) -> None:
    valkey_proxy.silence()
    url = valkey.url(port=valkey_proxy.port)
    assert "cannot connect: no answer" in await refusal(cache_at(url, limits=SHORT), Unavailable)


async def test_a_server_that_ends_connections_is_unavailable(valkey: Valkey, valkey_proxy: Proxy) -> None:
    valkey_proxy.refuse()
    await refusal(cache_at(valkey.url(port=valkey_proxy.port)), Unavailable)


async def test_a_server_with_room_for_fewer_connections_is_used_with_those(own_valkey: Valkey) -> None:
    own_valkey.ask("CONFIG", "SET", "maxclients", "3")
    limits = Limits(call_s=PATIENT_S, connect_s=PATIENT_S, least=10)
    await works(cache_at(own_valkey.url(), limits=limits))


# -- who asks ---------------------------------------------------------------------------------------------------


async def test_a_password_is_needed_and_has_to_be_the_right_one(own_valkey: Valkey, tmp_path: Path) -> None:
    # Given a server that wants a password
    own_valkey.ask("CONFIG", "SET", "requirepass", SECRET)
    # Then without one, and with another one, it is said where it is given
    for environ in ({}, {"QTS_CACHE_PASSWORD": f"{SECRET}x"}):
        text = await refusal(cache_at(own_valkey.url(), environ))
        assert "QTS_CACHE_PASSWORD" in text
    # And with the right one, or a file with it, the server is used
    file = tmp_path / "password"
    file.write_text(SECRET)
    file.chmod(0o600)
    for environ in ({"QTS_CACHE_PASSWORD": SECRET}, {"QTS_CACHE_PASSWORD_FILE": str(file)}):
        await works(cache_at(own_valkey.url(), environ))


async def test_the_password_is_in_no_message_after_opening_either(own_valkey: Valkey) -> None:
    own_valkey.ask("CONFIG", "SET", "requirepass", SECRET)
    cache = cache_at(own_valkey.url(user="default"), {"QTS_CACHE_PASSWORD": SECRET})
    await cache.open()
    # Given a server that then has another password, and none at all
    own_valkey.ask("CONFIG", "SET", "requirepass", "another", password=SECRET)
    own_valkey.ask("CLIENT", "KILL", "TYPE", "normal", password="another")
    with pytest.raises(InputError, match="QTS_CACHE_PASSWORD") as wrong:
        await cache.get(PRICE)
    own_valkey.kill()
    with pytest.raises(Unavailable) as gone:
        await cache.get(PRICE)
    for caught in (wrong, gone):
        assert SECRET not in f"{caught.value}{caught.value!r}{caught.getrepr(style='short')}"
    await cache.close()


async def test_a_user_without_the_right_to_write_can_only_read(valkey: Valkey) -> None:
    # Given a user who may read
    valkey.ask("ACL", "SETUSER", "reader", "on", "nopass", "%R~qts:*", *RIGHTS.replace("+@write", "").split())
    url = valkey.url(user="reader")
    # Then it is refused where it is to write, with what it lacks
    text = await refusal(cache_at(url))
    assert "needs DEL" in text
    assert "+@write" in text
    # And is as good as any where it is to read
    await works(cache_at(valkey.url()))
    cache = cache_at(url, writes=False)
    await cache.open()
    assert await cache.get(PRICE) == FIELDS
    assert await cache.levels(BOOK, 1) is not None
    assert await names(cache, "qts:") == sorted([PRICE, BOOK, f"{BOOK}:bid", f"{BOOK}:ask"])
    with pytest.raises(InputError, match="let the ACL"):
        await cache.put([hashed()])
    await cache.close()
    valkey.ask("ACL", "DELUSER", "reader")


async def test_the_rights_that_are_named_are_enough(valkey: Valkey, valkey_cluster: Cluster) -> None:
    rights = RIGHTS.split()
    for node in (valkey, *valkey_cluster.nodes):
        node.ask("ACL", "SETUSER", "trader", "on", "nopass", "~qts:*", *rights)
    for server in (valkey, valkey_cluster.nodes[0]):
        await works(cache_at(server.url(user="trader")))
    for node in (valkey, *valkey_cluster.nodes):
        node.ask("ACL", "DELUSER", "trader")


async def test_to_look_for_rights_changes_nothing(valkey: Valkey) -> None:
    # Given users of whom each lacks one command, and a key that is there
    valkey.ask("SET", "kept", "7")
    for lacking in (
        "multi",
        "del",
        "hset",
        "zadd",
        "set",
        "pexpire",
        "unlink",
        "hgetall",
        "zrange",
        "eval",
        "eval_ro",
        "scan",
    ):
        valkey.ask("ACL", "SETUSER", "monkey", "reset", "on", "nopass", "~*", "+@all", f"-{lacking}")
        cache = cache_at(valkey.url(user="monkey"))
        # When a cache is opened for them, then what they lack is named
        if lacking == "multi":  # which is not needed
            await cache.open()
            await cache.close()
        else:
            assert f"needs {lacking.upper()}" in await refusal(cache)
        # And nothing is there that was not before
        assert valkey.ask("KEYS", "*") == ["kept"]
    valkey.ask("ACL", "DELUSER", "monkey")


async def test_a_replica_can_only_be_read(own_valkey: Valkey, valkey: Valkey) -> None:
    own_valkey.ask("REPLICAOF", "127.0.0.1", valkey.port)
    text = await refusal(cache_at(own_valkey.url()))
    assert "replica" in text
    assert "give the URL of its primary" in text
    cache = cache_at(own_valkey.url(), writes=False)
    await cache.open()
    assert await cache.get("qts:A:none") is None
    await cache.close()


async def test_a_database_that_is_not_there_is_refused(valkey: Valkey, valkey_cluster: Cluster) -> None:
    for server in (valkey, valkey_cluster.nodes[0]):
        text = await refusal(cache_at(server.url().replace("/0", "/999")))
        assert "number of a database" in text


# -- encryption -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def encrypted(valkey: Valkey, certificate: Path, *, asks_who: bool = False) -> AsyncIterator[int]:
    """Encryption before a server that was built without it; yields its port.

    ``asks_who``: a client has to show that certificate too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    if asks_who:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", valkey.port)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async with serving(accept, context) as port:
        yield port


async def test_who_answers_encrypted_has_to_prove_who_it_is(valkey: Valkey, certificate: Path) -> None:
    async with encrypted(valkey, certificate) as port:
        url = f"rediss://127.0.0.1:{port}/0"
        # An authority that is believed, or no look at it
        await works(cache_at(f"{url}?tlsrootcert={certificate}"))
        await works(cache_at(f"{url}?tls=require"))
        # An authority that is not known, and another host
        text = await refusal(cache_at(url))
        assert "certificate verify failed" in text
        assert "tlsrootcert=" in text
        by_name = url.replace("127.0.0.1", "localhost")
        await refusal(cache_at(f"{by_name}?tlsrootcert={certificate}"))
        await works(cache_at(f"{by_name}?tlsrootcert={certificate}&tls=verify-ca"))
        # And a file that holds none
        assert "no certificates" in await refusal(cache_at(f"{url}?tlsrootcert={__file__}"))


async def test_a_server_may_ask_who_we_are(valkey: Valkey, certificate: Path) -> None:
    async with encrypted(valkey, certificate, asks_who=True) as port:
        url = f"rediss://127.0.0.1:{port}/0?tlsrootcert={certificate}"
        await works(cache_at(f"{url}&tlscert={certificate}&tlskey={certificate.with_suffix('.key')}"))
        cache = cache_at(f"{url}&tlscert={certificate}&tlskey={certificate}")
        assert "no certificate and its key" in await refusal(cache)


async def test_encryption_on_one_side_alone_is_told(valkey: Valkey, certificate: Path) -> None:
    url = valkey.url().replace("redis://", "rediss://")
    assert "tls=disable" in await refusal(cache_at(url, limits=SHORT), Unavailable)
    async with encrypted(valkey, certificate) as port:
        text = await refusal(cache_at(f"redis://127.0.0.1:{port}/0"), Unavailable)
        assert "rediss://" in text


# -- the driver -------------------------------------------------------------------------------------------------


def test_the_driver_is_imported_when_a_client_is_made() -> None:
    code = (
        "import sys\n"
        "from qts.cache.servers import opener_of\n"
        "make = opener_of('redis://127.0.0.1', {})\n"
        "assert not {'redis', 'hiredis'} & set(sys.modules), sorted(sys.modules)\n"
        "make()\n"
        "assert {'redis', 'hiredis'} <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("missing", ["redis", "hiredis"])
def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    make = opener_of("redis://127.0.0.1", {})
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"a cache server needs the optional extra 'redis'"):
        make()


def test_a_url_that_cannot_be_used_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="that of a database"):
        opener_of("postgresql://u@host/book", {})
