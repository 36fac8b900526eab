"""A server whose disk is full: the book goes on, and the server has everything when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.db.follower import FollowerState
from tests.db.server.books import assert_three_agree
from tests.db.server.following import Following, until
from tests.db.server.trader import Trader
from tests.servers.fixtures import database_of
from tests.servers.postgres import Postgres, fresh_directory

SIZE_MB = 192
"""Room for the data of a server and a few segments of its log."""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own in memory; only root may mount one."""
    place = fresh_directory()
    asked = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=755", "qts-test", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    if not mounted:
        place.rmdir()
        pytest.skip("a small disk needs a mount, which only root may make, and not in every container")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def fill(place: Path) -> Path:
    """Write a file until nothing more fits, and return it."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_a_full_disk_of_the_server_stops_nothing_and_is_caught_up(
    small_disk: Path, book_cluster: Path, tmp_path: Path
) -> None:
    # Given a server with some fills, on a disk that others have filled
    path = tmp_path / "live.sqlite"
    server = Postgres(directory=small_disk, settings={"max_wal_size": "64MB"})
    server.take_data_of(book_cluster)
    with server, Following(Trader(path), server.url()) as following:
        following.trade(10)
        following.drain()
        ballast = fill(small_disk)
        # When fills come until the server can take no more
        traded = 10
        while following.follower.is_following:
            following.trade(50)
            traded += 50
            until(lambda: following.has_all() or not following.follower.is_following)
        # Then it is away for that reason, and the book goes on
        assert "No space left on device" in following.wait_for(FollowerState.AWAY) + server.end_of_log()
        following.trade(50)
        # and when there is room again, whether the server survived it or has to be started, it has everything
        ballast.unlink()
        if not server.running:
            server.stop()
            server.start()
        following.drain()
        assert_three_agree(database_of(server), path, fills=traded + 50)
