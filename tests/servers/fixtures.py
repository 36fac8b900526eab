"""Fixtures with real servers: started when the first test of a process of the tests asks, stopped at its end.

A test takes ``database``: an empty database of its own on PostgreSQL 18, or ``book_database``: one with the schema
of books. With :data:`EVERY_POSTGRES` or :data:`EVERY_BOOK` it runs on each version that the project is tested with.
What a machine lacks is skipped with the reason. A test that kills a server, fills its disk or changes its settings
takes ``own_server``, which starts one for it. ``valkey``, ``valkey_cluster`` and ``own_valkey`` are cache servers.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.servers import sql
from tests.servers.pglite import PGlite
from tests.servers.postgres import UNPRIVILEGED, Postgres, fresh_directory
from tests.servers.process import ServerUnavailable
from tests.servers.proxy import Proxy
from tests.servers.valkey import Cluster, Valkey

if TYPE_CHECKING:
    import asyncpg

VERSIONS = ("18", "15")
"""The newest and the oldest PostgreSQL that is supported."""
EVERY_POSTGRES = pytest.mark.parametrize("database", VERSIONS, indirect=True, ids=lambda one: f"postgres{one}")
"""Run a test that takes ``database`` on every version."""
EVERY_BOOK = pytest.mark.parametrize("book_database", VERSIONS, indirect=True, ids=lambda one: f"postgres{one}")
"""Run a test that takes ``book_database`` on every version."""

MakeDatabase = Callable[[str, str], tuple["Database", str]]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """An empty database of one test, and ways to ask it that do not pass the code under test."""

    url: str
    """Its URL, of a superuser and without a password."""
    port: int
    """The port of its server, for a proxy."""
    version: str
    server: Postgres | None
    """The server it is on, which other tests use too; None if it was named by a variable of the environment."""

    @property
    def name(self) -> str:
        """The name of the database."""
        return urlsplit(self.url).path[1:]

    def query(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of one statement."""
        return sql.query(self.url, statement, *values)

    def value(self, statement: str, *values: object) -> Any:
        """Return the first column of the first row of one statement."""
        return self.query(statement, *values)[0][0]

    def execute(self, script: str) -> None:
        """Run statements without values."""
        sql.execute(self.url, script)

    def by(self, port: int) -> str:
        """Return the URL of this database by way of a proxy that listens on ``port``."""
        parts = urlsplit(self.url)
        user = f"{parts.username}@" if parts.username else ""
        return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))


def _start(version: str) -> Iterator[Postgres]:
    try:
        server = Postgres(version)
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL 18 that the tests of this process share."""
    yield from _start("18")


@pytest.fixture(scope="session")
def postgres_15_server() -> Iterator[Postgres]:
    """A PostgreSQL 15 that the tests of this process share."""
    yield from _start("15")


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> MakeDatabase:
    """Return a function that makes a database like a template, and returns it with the URL that can drop it."""

    def make(version: str, template: str = "template0") -> tuple[Database, str]:
        pytest.importorskip("asyncpg", reason="needs the extra postgres: pip install 'qts-runtime[postgres]'")
        named = os.environ.get("QTS_TEST_POSTGRES_URL") if version == VERSIONS[0] else None
        server: Postgres | None = None
        if not named:
            server = request.getfixturevalue("postgres_server" if version == "18" else "postgres_15_server")
        maintenance = named or (server.url() if server else "")
        name = f"test_{os.getpid()}_{next(_numbers)}"
        sql.execute(maintenance, f"CREATE DATABASE {name} TEMPLATE {template}")
        parts = urlsplit(maintenance)
        url = urlunsplit(parts._replace(path=f"/{name}"))
        return Database(url, parts.port or 5432, version, server), maintenance

    return make


@pytest.fixture
def database(request: pytest.FixtureRequest, new_database: MakeDatabase) -> Iterator[Database]:
    """An empty database of this test, dropped after it; on PostgreSQL 18 unless the test asks for a version."""
    made, maintenance = new_database(getattr(request, "param", VERSIONS[0]), "template0")
    yield made
    sql.execute(maintenance, f"DROP DATABASE {made.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def book_template(new_database: MakeDatabase) -> Iterator[Callable[[str], str]]:
    """Return a function that gives the name of a database of a version with the schema of books, made once."""
    made: dict[str, tuple[Database, str]] = {}

    def template(version: str) -> str:
        if version not in made:
            made[version] = new_database(version, "template0")
            sql.migrate(made[version][0].url)
        return made[version][0].name

    yield template
    for one, maintenance in made.values():
        if one.server is None:  # one of ours goes with all its databases, and may be gone already
            sql.execute(maintenance, f"DROP DATABASE {one.name} WITH (FORCE)")


@pytest.fixture
def book_database(
    request: pytest.FixtureRequest, new_database: MakeDatabase, book_template: Callable[[str], str]
) -> Iterator[Database]:
    """A database of this test with the schema of books; on PostgreSQL 18 unless the test asks for a version."""
    version = getattr(request, "param", VERSIONS[0])
    made, maintenance = new_database(version, book_template(version))
    yield made
    sql.execute(maintenance, f"DROP DATABASE {made.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def book_cluster() -> Iterator[Path]:
    """The data directory of a stopped PostgreSQL 18 whose database ``postgres`` has the schema of books."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: pip install 'qts-runtime[postgres]'")
    try:
        server = Postgres("18")
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        sql.migrate(server.url())
        server.stop()
        yield server.data


OwnServer = Callable[..., Postgres]
"""Starts a PostgreSQL 18 with settings given by name; its database ``postgres`` has the schema of books."""


@pytest.fixture
def own_server(book_cluster: Path) -> Iterator[OwnServer]:
    """Start servers for this test alone, removed after it, with a book as in ``book_database``."""
    with ExitStack() as ended:

        def start(**settings: str) -> Postgres:
            server = Postgres("18", settings=settings)
            ended.callback(server.remove)
            server.take_data_of(book_cluster)
            server.start()
            return server

        yield start


def database_of(server: Postgres) -> Database:
    """Return the database ``postgres`` of a server."""
    return Database(server.url(), server.port, server.version, server)


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    """A proxy before the server of ``database``; ``database.by(proxy.port)`` is the URL that passes it."""
    with Proxy(database.port) as made:
        yield made


@pytest.fixture(scope="session")
def pglite() -> Iterator[PGlite]:
    """TimescaleDB in WebAssembly that the tests of this process share: one backend, so no two at the same time."""
    try:
        server = PGlite()
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


@pytest.fixture(scope="session")
def certificate() -> Iterator[Path]:
    """A certificate for 127.0.0.1 that signs itself, with its key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl to make a certificate")
    directory = fresh_directory()
    made, key = directory / "server.crt", directory / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=qts tests",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, UNPRIVILEGED, UNPRIVILEGED)
    yield made
    shutil.rmtree(directory)


# -- cache servers ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A Valkey that the tests of this process share."""
    yield from _valkey()


@pytest.fixture(scope="session")
def shared_valkey_cluster() -> Iterator[Cluster]:
    """Three masters that the tests of this process share."""
    _needs_redis()
    try:
        cluster = Cluster()
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with cluster:
        yield cluster


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """A Valkey with the settings and users of its start and without keys; another test uses it next."""
    shared_valkey.ask("FLUSHALL")
    return shared_valkey


@pytest.fixture
def valkey_cluster(shared_valkey_cluster: Cluster) -> Cluster:
    """Three masters of a cluster without keys; another test uses them next."""
    shared_valkey_cluster.ask("FLUSHALL")
    return shared_valkey_cluster


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey for this test alone, which may kill it and change its settings."""
    yield from _valkey()


@pytest.fixture
def valkey_proxy(valkey: Valkey) -> Iterator[Proxy]:
    """A proxy before ``valkey``; ``valkey.url(port=valkey_proxy.port)`` is the URL that passes it."""
    with Proxy(valkey.port, is_postgres=False) as made:
        yield made


def _valkey() -> Iterator[Valkey]:
    _needs_redis()
    try:
        server = Valkey()
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


def _needs_redis() -> None:
    pytest.importorskip("redis", reason="needs the extra redis: pip install 'qts-runtime[redis]'")
