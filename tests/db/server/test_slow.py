"""A server that is slow or hangs: calls end in time, their connection is ended, and no one waits behind them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from qts.db.follower import FollowerState
from tests.db.server.books import assert_three_agree
from tests.db.server.following import Following, until
from tests.db.server.trader import Trader
from tests.servers.fixtures import Database
from tests.servers.proxy import Proxy

SLEEPY = """
CREATE FUNCTION public.sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON qts.t_ledger FOR EACH ROW EXECUTE FUNCTION public.sleep()
"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
WRITER = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qts ledger'"


def test_a_server_200_ms_away_is_followed_in_batches(book_database: Database, proxy: Proxy, tmp_path: Path) -> None:
    # Given a server whose answers take 200 ms
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.by(proxy.port)) as following:
        proxy.delay(0.1, "both")
        # When 50 fills are made while one answer is on its way
        before = len([one for one in proxy.statements if "qts_apply" in one])
        following.trade(50)
        # Then it has them after far fewer calls than batches
        following.drain()
        assert len([one for one in proxy.statements if "qts_apply" in one]) - before < 20
        assert_three_agree(book_database, path, fills=50)


def test_a_server_5_s_away_is_away_and_is_followed_when_it_is_near_again(
    book_database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    # Given a follower of a server that answers
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.by(proxy.port)) as following:
        following.trade(5)
        following.drain()
        # When its answers take 5 s, then it is away, the connection is ended, and fills go on
        proxy.delay(5, "down")
        following.trade()
        assert "no answer within" in following.wait_for(FollowerState.AWAY)
        following.trade(20)
        # and when they are quick again, everything goes on
        proxy.heal()
        following.drain()
        assert_three_agree(book_database, path, fills=26)


def test_a_statement_that_hangs_in_the_server_is_ended_there(book_database: Database, tmp_path: Path) -> None:
    # Given a server in which each fill sleeps for 30 s
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.url) as following:
        following.trade(3)
        following.drain()
        book_database.execute(SLEEPY)
        # When a fill is sent, then it is not followed, also as someone has changed its schema, and fills go on
        following.trade()
        until(lambda: not following.follower.is_following)
        following.trade(10)
        # and the server has ended the statement by its own limit, of which nothing is there
        until(lambda: not book_database.value(SLEEPING))
        assert book_database.value("SELECT count(*) FROM qts.t_ledger") == 3
        # and it has everything once when it no longer sleeps
        book_database.execute("DROP TRIGGER slow ON qts.t_ledger")
        following.drain()
        assert_three_agree(book_database, path, fills=14)


def test_a_server_process_that_makes_no_progress_is_left(book_database: Database, tmp_path: Path) -> None:
    # Given a follower whose process in the server is stopped
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.url) as following:
        following.trade(3)
        following.drain()
        pid = book_database.value(WRITER)
        os.kill(pid, signal.SIGSTOP)
        try:
            # When fills come, then the call ends at its deadline and fills go on
            following.trade(3)
            assert "no answer within" in following.wait_for(FollowerState.AWAY)
            following.trade(20)
        finally:
            os.kill(pid, signal.SIGCONT)
        # and when that process goes on, what it was sent is there once with all the rest
        following.drain()
        assert_three_agree(book_database, path, fills=26)
