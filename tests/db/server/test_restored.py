"""A server that is not what it was: restored from a backup, a replica without the newest rows, another writer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qts.db.follower import FollowerState
from qts.errors import StateError
from tests.db.server.books import assert_three_agree
from tests.db.server.following import Following, until
from tests.db.server.trader import RUN, Trader
from tests.servers import sql
from tests.servers.fixtures import Database, OwnServer, database_of
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy


def test_a_server_restored_to_yesterday_is_given_what_it_lacks(own_server: OwnServer, tmp_path: Path) -> None:
    # Given a server with a backup of after 20 fills, and 40 fills of which the book's outbox has let go
    server, path = own_server(), tmp_path / "live.sqlite"
    backup = server.directory / "backup"
    with Following(Trader(path), server.url()) as following:
        following.trade(20)
        following.drain()
        server.stop()
        subprocess.run(["cp", "-a", server.data, backup], check=True)
        server.start()
        for _ in range(2):
            following.trade(10)
            following.drain()
        # When the server is lost, and put back as it was then
        server.kill()
        shutil.rmtree(server.data)
        backup.rename(server.data)
        server.start()
        # Then it is given what it lacks, also without a fill that is new, as soon as it is asked what it has
        applied = "SELECT applied FROM qts.run_progress"
        until(lambda: database_of(server).value(applied) == following.trader.store.offered)
        assert_three_agree(database_of(server), path, fills=40)
        following.trade(5)
        following.drain()
    assert_three_agree(database_of(server), path, fills=45)


def test_a_server_restored_between_two_sessions_is_given_what_it_lacks(
    own_server: OwnServer, tmp_path: Path
) -> None:
    # Given a session that has ended, and a server that was put back to its beginning since
    server, path = own_server(), tmp_path / "live.sqlite"
    with Following(Trader(path), server.url()) as following:
        following.trade(20)
        following.drain()
    sql.execute(server.url(), "DROP SCHEMA qts CASCADE")
    sql.migrate(server.url())
    # When the next session begins
    with Following(Trader(path), server.url()) as following:
        assert following.applied_at_start == 0
        following.trade(1)
        following.drain()
    # Then the server has all of both
    assert_three_agree(database_of(server), path, fills=21)


@pytest.fixture
def replica(own_server: OwnServer) -> Iterator[tuple[Postgres, Postgres]]:
    """A server, and a replica that copies it as it goes, not yet started."""
    primary = own_server()
    copy = Postgres()
    try:
        copy.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(copy.data, *copy.user() or (0, 0))
        primary.program(
            "pg_basebackup", "-d", primary.url(), "-D", str(copy.data), "-R", "-X", "stream", "-c", "fast"
        )
        yield primary, copy
    finally:
        copy.remove()


def test_a_replica_promoted_without_the_last_rows_is_given_them(
    replica: tuple[Postgres, Postgres], tmp_path: Path
) -> None:
    # Given a server whose replica has its first 20 fills
    primary, copy = replica
    path = tmp_path / "live.sqlite"
    copy.start()
    with Proxy(primary.port) as proxy, Following(Trader(path), primary.url(port=proxy.port)) as following:
        following.trade(20)
        following.drain()
        until(lambda: database_of(copy).value("SELECT count(*) FROM qts.t_ledger") == 20)
        # When it copies no more, the server gets 20 others, is lost, and the replica takes its place
        copy.kill()
        following.trade(20)
        following.drain()
        primary.kill()
        copy.start()
        proxy.target = copy.port
        proxy.cut()
        # Then it is not written to while it is a replica
        following.wait_for_reason("is a replica")
        sql.query(copy.url(), "SELECT pg_promote(true)")
        # and is given the rows that it lacks, and those that come
        following.trade(5)
        following.drain()
        assert_three_agree(database_of(copy), path, fills=45)


def test_of_two_hosts_with_one_account_the_second_is_refused(book_database: Database, tmp_path: Path) -> None:
    # Given a session on one host
    with Following(Trader(tmp_path / "one.sqlite"), book_database.url) as first:
        first.trade(3)
        first.drain()
        # When a session of the same account begins on another host, also as another run
        for run in (RUN, msgspec.structs.replace(RUN, run_id="fedcba9876543210")):
            second = Following(Trader(tmp_path / f"{run.run_id}.sqlite", run), book_database.url)
            # Then it is told who has the account, and does not begin
            with pytest.raises(StateError, match=r"it is written by process \d+ on "):
                second.__enter__()
            second.trader.store.close()
        # and the first one continues
        first.trade(2)
        first.drain()
    assert_three_agree(book_database, tmp_path / "one.sqlite", fills=5)


def test_a_writer_whose_account_another_host_took_writes_nothing_more(
    book_database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    # Given a session that has lost its server for a while
    with Following(Trader(tmp_path / "one.sqlite"), book_database.by(proxy.port)) as first:
        first.trade(3)
        first.drain()
        proxy.refuse()
        first.wait_for(FollowerState.AWAY)
        # When another host takes the account over meanwhile, with a run of its own
        run = msgspec.structs.replace(RUN, run_id="fedcba9876543210")
        with Following(Trader(tmp_path / "two.sqlite", run), book_database.url) as second:
            second.trade(2)
            second.drain()
            # Then the first one is refused when it comes back, and nothing of it is written
            first.trade(2)
            proxy.heal()
            reason = first.wait_for(FollowerState.REFUSED)
            assert "written by" in reason or "taken over by" in reason
            second.trade(1)
            second.drain()
    counted = dict(map(tuple, book_database.query("SELECT run_id, count(*) FROM qts.t_ledger GROUP BY run_id")))
    assert counted == {RUN.run_id: 3, run.run_id: 3}
