"""kill -9 of the process that writes a spreadsheet, at any of its calls: no row is lost, none is there twice."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from qts.db.adapter import Query
from qts.db.contracts import LedgerRow, PositionRow
from qts.db.sqlite import SqliteStore
from tests.db.server.trader import RUN, recount
from tests.db.sheets.rig import need_client
from tests.effort import EVERY_KILL
from tests.servers.sheets import Sheets, adapter_of

ROOT = Path(__file__).parents[3]
KILLS = 200 if EVERY_KILL else 4
FILLS = 3
"""Fills of each life, one by one."""
CALLS = 14
"""Calls of a life of three fills: to open, claim and look, and two for each fill or three."""


def live(book: Path, sheets: Sheets, key: Path, call: int, when: str) -> int:
    """Let a process trade and follow, and return how it ended."""
    arguments = [str(book), sheets.base_url, str(key), str(FILLS), str(call), when]
    done = subprocess.run(
        [sys.executable, "-m", "tests.db.sheets.trading_process", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_kills_at_any_call_lose_and_double_nothing(tmp_path: Path) -> None:
    need_client()
    rng, book = random.Random(7), tmp_path / "book.sqlite"
    with Sheets(state=None) as sheets:
        sheets.per_minute = 1_000_000
        key = sheets.write_credentials(tmp_path / "key.json")
        killed = 0
        # Given processes that follow each other on one book and one spreadsheet, the first one on an empty one
        for life in range(KILLS):
            # When each is killed at some call, before it is sent or when its answer has come
            place = rng.randint(1, CALLS + (6 if life == 0 else 0))
            killed += live(book, sheets, key, place, rng.choice(["before", "after"])) != 0
            # Then the spreadsheet has no fill twice, and none behind one that it lacks
            titles = [title for title in sheets.titles if title.startswith("t_ledger")]
            ids = [row[0] for title in titles for row in sheets.tab(title).filled[1:]]
            assert ids == [str(number) for number in range(1, len(ids) + 1)]
        assert killed >= KILLS // 2
        # and when one has ended well, spreadsheet, book and a recount are the same
        assert live(book, sheets, key, 0, "") == 0
        asyncio.run(assert_three_agree(book, sheets, key))
        assert len([title for title in sheets.titles if title.startswith("t_ledger")]) == 1


async def assert_three_agree(book: Path, sheets: Sheets, key: Path) -> None:
    """Assert that the spreadsheet has the rows of the book, and both what a recount says."""
    store = SqliteStore(book, durability="NORMAL")
    fills, positions = list(store.ledger()), list(store.positions())
    store.close()
    adapter = adapter_of(sheets, key)
    await adapter.open()
    found: list[list[Any]] = [
        [row async for row in adapter.read(LedgerRow, Query())],
        [row async for row in adapter.read(PositionRow, Query())],
    ]
    assert found == [fills, positions]
    assert await adapter.altered(RUN.run_id) == ()
    assert not adapter.warnings
    await adapter.close()
    assert [row.execution_id for row in fills] == [f"x-{number}" for number in range(1, len(fills) + 1)]
    books = recount(len(fills))
    assert {row.symbol: (row.qty, row.cost) for row in positions} == {
        symbol: (qty, books.cost[symbol]) for symbol, qty in books.held.items()
    }
