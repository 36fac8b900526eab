"""A server that is away for a minute while fills go on: what they wait, and how soon it has them all again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from tests.servers.proxy import Proxy

from bench.store_book import NAME, Fills, server, target
from qts.clock import SystemClock
from qts.db.access import parse
from qts.db.follower import Follower, FollowerState
from qts.db.timescale import TimescaleDBAdapter

FILLS_PER_S = 50
LATE_S = 0.1
AWAY_S, QUICK_AWAY_S = 60.0, 8.0
DRAIN = 20
"""The rate at which the server is to get what it missed, times the rate of the fills."""


def measure(*, quick: bool) -> dict[str, Any]:
    """Fill at a steady rate; the server answers, then nothing passes for as long, then it answers again.

    A busy disk makes fills late as well, so those that are late while the server answers are the measure.
    """
    away_s = QUICK_AWAY_S if quick else AWAY_S
    with server() as started, Proxy(started.port) as proxy, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        book = Fills(Path(folder) / "book.sqlite", "a" * 16, "FULL")
        url = started.url(port=proxy.port)

        async def adapter() -> TimescaleDBAdapter:
            return TimescaleDBAdapter(parse(url, {}), live=True)

        follower = Follower(NAME, book.run, adapter, SystemClock(), whole_account=True)
        follower.connect()
        follower.start(book.store)
        waits_before = _fill(book, follower, away_s)
        proxy.refuse()
        waits = _fill(book, follower, away_s)
        assert follower.status.state is FollowerState.AWAY, follower.status
        missed = follower.status.lag_batches
        proxy.heal()
        drained_s = _drained(follower)
        lost = book.store.offered - follower.status.applied
        follower.stop()
        book.store.close()
    late_before, late = (sum(wait > LATE_S for wait in each) for each in (waits_before, waits))
    return {
        "fills": len(waits),
        "missed": missed,
        "drained_s": round(drained_s, 3),
        "late": late,
        "late_before": late_before,
        "commit_p99_ms": [round(sorted(each)[int(len(each) * 0.99)] * 1_000, 1) for each in (waits_before, waits)],
        "targets": [
            target(
                f"server away {away_s:.0f} s: fills over 100 ms late, beyond those before", late - late_before, 0
            ),
            target(
                "server back: batches drained, times the rate of fills",
                missed / drained_s / FILLS_PER_S,
                DRAIN,
                at_least=True,
            ),
            target("server back: batches it lacks in the end", lost, 0),
        ],
    }


def _fill(book: Fills, follower: Follower, seconds: float) -> list[float]:
    """Fill for a while, each at its time, and return how long after it each was committed, in s."""
    begun, waits = perf_counter(), []
    for number in range(int(seconds * FILLS_PER_S)):
        due = begun + number / FILLS_PER_S
        sleep(max(0.0, due - perf_counter()))
        book.fill()
        follower.wake()
        waits.append(perf_counter() - due)
    return waits


def _drained(follower: Follower) -> float:
    """Wait until the server takes batches again, and return how long it then takes until it has all, in s."""
    while not follower.is_following:
        sleep(0.0005)
    begun = perf_counter()
    while follower.status.lag_batches:
        sleep(0.0005)
    return perf_counter() - begun
