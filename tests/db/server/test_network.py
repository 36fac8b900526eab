"""Networks that swallow, cut and forget: what a server has is asked for, and nothing of it is there twice."""

from __future__ import annotations

from pathlib import Path

from qts.db.follower import FollowerState
from tests.db.server.books import assert_three_agree
from tests.db.server.following import Following
from tests.db.server.trader import Trader
from tests.servers.fixtures import Database
from tests.servers.proxy import Proxy


def test_connections_that_are_half_open_are_left_and_made_again(
    book_database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    # Given a follower whose way to the server ends without a word, which the server does not hear of either
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.by(proxy.port)) as following:
        following.trade(5)
        following.drain()
        proxy.half_open()
        # When fills come, then it is away at the deadline of the call
        following.trade(5)
        assert "no answer within" in following.wait_for(FollowerState.AWAY)
        # and goes on over a new connection, also while the server still has the old one
        following.drain()
        assert_three_agree(book_database, path, fills=10)


def test_answers_that_are_swallowed_are_asked_for_again(
    book_database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    # Given a way to the server on which its answers are lost, while it gets what it is sent
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.by(proxy.port)) as following:
        following.trade(5)
        following.drain()
        proxy.silence("down")
        following.trade(5)
        following.wait_for(FollowerState.AWAY)
        # When answers come again, then what it got is not there twice
        proxy.cut()
        proxy.heal()
        following.drain()
        assert_three_agree(book_database, path, fills=10)


def test_lost_answers_to_commits_leave_every_fill_there_once(
    book_database: Database, proxy: Proxy, tmp_path: Path
) -> None:
    # Given a way to the server on which every third answer to a batch is lost with its connection
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), book_database.by(proxy.port)) as following:
        for fill in range(12):
            if fill % 3 == 0:
                proxy.lose_answer("qts_apply")
            # When fills come, then each is there once
            following.trade()
            following.drain()
        assert proxy.accepted >= 5
        assert_three_agree(book_database, path, fills=12)
