"""kill -9 of the process that trades and of PostgreSQL, at any moment: no fill is lost, none is there twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.db.server.books import assert_three_agree
from tests.effort import EVERY_KILL
from tests.servers.fixtures import OwnServer, database_of

ROOT = Path(__file__).parents[3]
KILLS = 200 if EVERY_KILL else 2
"""Kills of each of the two."""


class Life:
    """A process that trades; ``newest`` is the newest fill that it has said to be in its book."""

    def __init__(self, path: Path, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.db.server.trading_process", str(path), url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.newest = 0

    def trade(self, fills: int) -> None:
        """Let it trade so many fills."""
        assert self._process.stdout is not None
        for _ in range(fills):
            line = self._process.stdout.readline()
            assert line, f"the process ended with {self._process.wait()}"
            self.newest = int(line)

    def kill(self) -> None:
        self._process.kill()
        self._read_the_rest()

    def end(self) -> None:
        """Let it end as sessions do, when the server has everything."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._read_the_rest()
        assert self._process.returncode == 0

    def _read_the_rest(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                self.newest = int(line)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def test_kills_of_the_process_and_of_the_server_lose_and_double_nothing(
    own_server: OwnServer, tmp_path: Path
) -> None:
    # Given a process that trades, and a server that has what it trades
    server, path, rng = own_server(), tmp_path / "live.sqlite", random.Random(18)
    life = Life(path, server.url())
    kills = ["process", "server"] * KILLS
    rng.shuffle(kills)
    for killed in kills:
        # When one of them is killed after some fills, and begun again, also after a while
        life.trade(rng.randint(1, 40))
        time.sleep(rng.uniform(0, 0.01))
        if killed == "process":
            life.kill()
            newest, life = life.newest, Life(path, server.url())
            # Then every fill that the process had in its book is in it, and it continues behind them
            life.trade(1)
            assert life.newest in (newest + 1, newest + 2)
        else:
            server.kill()
            time.sleep(rng.uniform(0, 0.1))
            server.start()
    # and at the end book, server and a recount have the same fills
    life.trade(5)
    life.end()
    assert_three_agree(database_of(server), path, fills=life.newest)
