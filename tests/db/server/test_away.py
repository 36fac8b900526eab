"""A server that is away: fills go on, no one waits for it, and when it is back it has every one of them once."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from qts.db.follower import FollowerState
from qts.errors import Unavailable
from tests.db.server.books import assert_three_agree
from tests.db.server.following import Following
from tests.db.server.trader import Trader
from tests.servers import sql
from tests.servers.fixtures import OwnServer, database_of


def why_not(future: Future[int]) -> str:
    """Return why a future that is done at once has no result."""
    assert future.done(), "one waits for a server that is known to be away"
    with pytest.raises(Unavailable) as raised:
        future.result()
    return str(raised.value)


def test_a_server_killed_in_mid_session_has_every_fill_once_when_it_is_back(
    own_server: OwnServer, tmp_path: Path
) -> None:
    server = own_server()
    # Given a server that has 20 fills
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), server.url()) as following:
        following.trade(20)
        following.drain()
        # When it is killed, and 100 fills come while it is away
        server.kill()
        last = following.trade(100)
        reason = following.wait_for(FollowerState.AWAY)
        # Then it is shown, no one waits for it, and the local book goes on
        assert "127.0.0.1" in reason
        assert why_not(following.follower.until(last))
        assert following.follower.status.lag_batches >= 200
        # and when it is back, it has all of them once
        server.start()
        following.drain()
        assert following.follower.until(last).result(0) >= last
        assert following.trade() == last + 2
        following.drain()
        assert_three_agree(database_of(server), path, fills=121)


def test_a_server_that_is_down_at_the_start_is_followed_later(own_server: OwnServer, tmp_path: Path) -> None:
    server = own_server()
    # Given a server that is down
    server.stop()
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), server.url()) as following:
        # When a session begins and trades, then it was not held up
        assert following.applied_at_start is None
        last = following.trade(30)
        assert why_not(following.follower.until(last))
        # and the server has everything as soon as it is there
        server.start()
        following.drain()
        assert_three_agree(database_of(server), path, fills=30)


def test_a_server_that_begins_again_empty_is_given_everything(own_server: OwnServer, tmp_path: Path) -> None:
    server = own_server()
    # Given a server that has 20 fills, which the outbox of the book has let go
    path = tmp_path / "live.sqlite"
    with Following(Trader(path), server.url()) as following:
        following.trade(20)
        following.drain()
        following.trade()
        following.drain()
        # When its database is made again from nothing
        sql.execute(server.url(), "DROP SCHEMA qts CASCADE")
        sql.migrate(server.url())
        following.trade(5)
        # Then it is given the whole book
        following.drain()
        assert_three_agree(database_of(server), path, fills=26)
