"""What is refused when a server is opened: one line that names what was found, what is allowed and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from qts.db.access import Access, parse
from qts.db.timescale import TimescaleDBAdapter
from qts.db.timescale.connecting import connect_arguments
from qts.db.timescale.server_checks import check_server
from qts.errors import InputError, QtsError, StateError, Unavailable
from tests.db import rows
from tests.db.timescale.adapters import adapter_at, opened
from tests.servers.fixtures import EVERY_BOOK, Database
from tests.servers.postgres import Postgres
from tests.servers.process import ServerUnavailable

HERE = "trader@db:5432/book"
GOOD: dict[str, Any] = {
    "major": 18,
    "version": "18.6",
    "encoding": "UTF8",
    "is_replica": False,
    "read_only": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timescaledb": None,
    "license": None,
}


async def refusal(url: str, kind: type[QtsError] = InputError, *, live: bool = True) -> str:
    """Return the one line with which opening is refused."""
    adapter = adapter_at(url, live=live)
    with pytest.raises(kind) as caught:
        await adapter.open()
    text = str(caught.value)
    assert "\n" not in text
    assert urlsplit(url).path[1:] in text
    with pytest.raises(StateError):
        _ = adapter.capabilities
    await adapter.close()
    return text


@EVERY_BOOK
async def test_a_plain_server_is_opened_and_says_so_once(book_database: Database) -> None:
    # Given a PostgreSQL without TimescaleDB
    async with opened(book_database.url) as adapter:
        # Then it is named with its version, and what it lacks is one sentence
        assert adapter.capabilities.server.startswith(f"PostgreSQL {book_database.version}.")
        assert not adapter.capabilities.compression
        (lacks,) = adapter.warnings
        assert "no TimescaleDB" in lacks
        assert "same answers" in lacks
        # And it is opened once
        with pytest.raises(StateError, match="open already"):
            await adapter.open()
    # And closed as often as one likes
    await adapter.close()


async def test_what_is_not_open_is_not_asked(book_database: Database) -> None:
    adapter = adapter_at(book_database.url)
    with pytest.raises(StateError):
        await adapter.applied("run-1")
    await adapter.open()
    await adapter.close()
    with pytest.raises(StateError):
        await adapter.runs()


async def test_a_database_that_is_missing(book_database: Database) -> None:
    text = await refusal(book_database.url.replace(book_database.name, "nowhere"))
    assert 'database "nowhere" does not exist' in text
    assert "createdb" in text


async def test_a_database_without_the_schema(database: Database) -> None:
    assert "run qts db migrate" in await refusal(database.url)


async def test_a_schema_of_something_else(database: Database) -> None:
    database.execute("CREATE SCHEMA qts; CREATE TABLE qts.tickets (id int)")
    assert "of something else" in await refusal(database.url)


async def test_a_schema_that_has_drifted(book_database: Database) -> None:
    book_database.execute("ALTER TABLE qts.t_ledger DROP COLUMN digest")
    assert "t_ledger.digest is missing" in await refusal(book_database.url)


async def test_another_encoding(database: Database) -> None:
    name = f"{database.name}_ascii"
    database.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        text = await refusal(database.url.replace(database.name, name))
    finally:
        database.execute(f"DROP DATABASE {name}")
    assert "SQL_ASCII" in text
    assert "allowed is UTF8" in text


async def test_a_database_that_takes_no_writes(book_database: Database) -> None:
    book_database.execute(f"ALTER DATABASE {book_database.name} SET default_transaction_read_only = on")
    assert "default_transaction_read_only" in await refusal(book_database.url)


async def test_a_server_that_may_lose_what_it_confirmed_is_refused_for_a_real_broker(
    book_database: Database,
) -> None:
    # Given a database that confirms a commit before it is on the disk
    book_database.execute(f"ALTER DATABASE {book_database.name} SET synchronous_commit = off")
    # Then it is refused where a real broker is, and told where a broker is simulated
    text = await refusal(book_database.url, live=True)
    assert "synchronous_commit = off" in text
    assert "set it to on" in text
    async with opened(book_database.url, live=False) as adapter:
        assert "synchronous_commit = off" in adapter.warnings[0]


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = await refusal(f"postgresql://u@127.0.0.1:{port}/book", Unavailable)
    assert f"127.0.0.1:{port}" in text


async def test_a_host_that_is_none() -> None:
    await refusal("postgresql://u@no-such-host.invalid/book", Unavailable)


async def test_a_user_that_may_not_read_the_schema(book_database: Database) -> None:
    book_database.execute("CREATE ROLE stranger LOGIN")
    try:
        text = await refusal(book_database.url.replace("postgres@", "stranger@"))
    finally:
        book_database.execute("DROP ROLE stranger")
    assert "qts_write" in text


async def test_a_server_without_encryption_where_it_is_wanted(book_database: Database) -> None:
    text = await refusal(f"{book_database.url}?sslmode=verify-full")
    assert "SSL" in text
    assert "sslmode=" in text


@pytest.fixture(scope="module")
def guarded() -> Iterator[Postgres]:
    """A server that asks for a password."""
    try:
        server = Postgres("18", auth="scram-sha-256", password="right-Pa55")
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with server:
        yield server


async def test_a_wrong_password_is_named_and_not_shown(guarded: Postgres) -> None:
    # Given the wrong password, and none
    for environ in ({"QTS_DB_PASSWORD": "wrong-Pa55"}, {"PGPASSWORD": ""}):
        access = parse(guarded.url(), environ)
        adapter = TimescaleDBAdapter(access)
        with pytest.raises(InputError) as caught:
            await adapter.open()
        # Then the message says where a password is given, and shows none
        assert "QTS_DB_PASSWORD" in str(caught.value)
        assert "Pa55" not in f"{caught.value}{caught.value.__cause__}{access!r}{adapter!r}"
        await adapter.close()


async def test_the_right_password_is_taken_from_the_environment(guarded: Postgres) -> None:
    adapter = TimescaleDBAdapter(parse(guarded.url(), {"QTS_DB_PASSWORD": "right-Pa55"}))
    with pytest.raises(InputError, match="run qts db migrate"):
        await adapter.open()
    await adapter.close()


async def test_a_pooler_of_transactions_may_be_read_from_and_not_written_through(
    book_database: Database,
) -> None:
    # Given the same server, as if a pooler stood before it
    access = msgspec.structs.replace(parse(book_database.url, {}), pooled=True)
    adapter = TimescaleDBAdapter(access)
    await adapter.open()
    # Then nothing is kept on a connection or asked of the pooler, runs can be read, and a claim is refused
    arguments = connect_arguments(access, "name")
    assert arguments["statement_cache_size"] == 0
    assert arguments["server_settings"] == {"application_name": "name"}
    assert await adapter.runs() == []
    with pytest.raises(InputError, match="server's own port"):
        await adapter.claim(rows.RUN, whole_account=False)
    await adapter.close()


# -- by what the server says of itself ---------------------------------------------------------------------------


def check(live: bool = True, **found: Any) -> tuple[str, tuple[str, ...]]:
    capabilities, warnings = check_server(GOOD | found, HERE, live=live)
    return capabilities.server, warnings


def test_every_version_that_is_allowed() -> None:
    for major in (15, 16, 17, 18):
        assert check(major=major, version=f"{major}.1") == (f"PostgreSQL {major}.1", ())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"major": 14, "version": "14.9"}, ("PostgreSQL 14.9", "15 to 18", "newer server")),
        ({"encoding": "EUC_KR"}, ("EUC_KR", "UTF8", "createdb")),
        ({"is_replica": True}, ("replica", "pg_is_in_recovery", "primary")),
        ({"read_only": "on"}, ("default_transaction_read_only", "off")),
        ({"fsync": "off"}, ("fsync = off", "set it to on")),
        ({"full_page_writes": "off"}, ("full_page_writes = off", "set it to on")),
        ({"fsync": "off", "full_page_writes": "off"}, ("fsync = off and full_page_writes = off", "set them to on")),
    ],
)
def test_what_is_refused(found: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        check(**found)
    for word in (HERE, *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_what_is_told_where_the_broker_is_simulated(name: str) -> None:
    _, (warning,) = check(live=False, **{name: "off"})
    assert f"{name} = off" in warning


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply"])
def test_every_other_way_to_commit_is_durable(value: str) -> None:
    assert check(synchronous_commit=value)[1] == ()


def test_a_version_commands_no_terminal() -> None:
    server, _ = check(version="18.6\x1b]0;x\x07" + "9" * 500)
    assert server == "PostgreSQL 18.6" + r"\x1b]0;x\x07" + "9" * 70 + "…"


def test_a_newer_version_is_told() -> None:
    _, (warning,) = check(major=19, version="19.0")
    assert "19.0, newer than those" in warning


def test_timescale_under_its_own_licence_lacks_nothing() -> None:
    found = check_server(GOOD | {"timescaledb": "2.23.0", "license": "timescale"}, HERE, live=True)
    assert found.capabilities.compression
    assert found.capabilities.aggregates
    assert found.capabilities.lacks == ()
    assert found.capabilities.server == "PostgreSQL 18.6 with TimescaleDB 2.23.0"


@pytest.mark.parametrize(("license", "word"), [("apache", "= apache"), (None, "is not loaded")])
def test_timescale_without_its_means_is_a_plain_server(license: str | None, word: str) -> None:
    found = check_server(GOOD | {"timescaledb": "2.23.0", "license": license}, HERE, live=True)
    assert not found.capabilities.compression
    (lacks,) = found.capabilities.lacks
    assert word in lacks


def test_access_hides_its_password_in_every_form() -> None:
    access = Access(host="db", port=1, database="b", user="u", tls="require", password="s3cr3t")
    adapter = TimescaleDBAdapter(access)
    assert "s3cr3t" not in f"{access!r} {access} {adapter!r} {vars(adapter)!r}"
