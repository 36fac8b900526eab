"""Trades and follows in a process of its own, which a test kills: nothing it does at its end is relied on.

    python -m tests.db.server.trading_process BOOK URL

Prints the number of each fill once the local book has it. Ends when its input does, and when the server then has
everything.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from qts.errors import StateError
from tests.db.server.following import Following
from tests.db.server.trader import Trader

BEGIN_S = 30.0
"""How long a new process waits for the server to notice that the one before it is gone."""
BETWEEN_S = 0.001


def begun(path: Path, url: str) -> Following:
    """Return the follower of the book, begun as soon as no other process has the claim."""
    end = time.monotonic() + BEGIN_S
    while True:
        try:
            return Following(Trader(path), url).__enter__()
        except StateError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def main(path: str, url: str) -> None:
    following = begun(Path(path), url)
    while not select.select([sys.stdin], [], [], BETWEEN_S)[0]:
        following.trade()
        print(following.trader.fills, flush=True)
    following.drain()
    following.follower.begin_stop().result(BEGIN_S)
    following.__exit__()


if __name__ == "__main__":
    main(*sys.argv[1:])
