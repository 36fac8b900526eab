"""``--db`` and declared bars: strategies are warmed up with what the server has, as with a file of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from qts.db.adapter import TickBlock
from qts.db.ticks.tick_store import TickStore
from qts.market.files import open_feed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import replay_plan
from tests.cli.command_line import own_directory, run_qts
from tests.servers.fixtures import Database
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
SEES = """
from qts.kit import Strategy


class Sees(Strategy):
    bars = {"5m": 20, "1h": 7, "1d": 3}
    not_saved = ("seen",)

    def on_bar(self, ctx, bar):
        with open("seen", "a") as file:
            print(ctx.warming, bar, file=file)
        return ()
"""
MINUTES_AND_DAYS = "SELECT qts.qts_roll_day(day) FROM qts.tick_days"


def of_day(lines: list[str], *days: str) -> list[str]:
    return [line for line in lines if line[:10] in days]


class Market:
    """Four days of quotes with trades: files of the first three and of the last, and a server."""

    def __init__(self, directory: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        self.database, self.capsys, self.directory = database, capsys, directory
        lines = walk(1_200, days=4)
        self.before = write(directory / "before.csv", lines[:900])
        self.today = write(directory / "today.csv", lines[900:])
        (directory / "sees.py").write_text(SEES)

    def record(self) -> None:
        """Store the days before on the server."""
        store = TickStore(lambda: asyncpg.connect(self.database.url))
        values = tuple(open_feed(self.before).values())

        async def append() -> None:
            await store.append(TickBlock((1 << 40) + 1, values))
            await store.close()

        asyncio.run(append())

    def replay(self, name: str, *more: str) -> tuple[dict[str, Any], str]:
        """Replay the last day; return its result and what was told, without the notes on the server's copy."""
        command = ("replay", str(self.today), "--strategy", "sees.py:Sees", "--data-dir", name, "--json")
        code, out, err = run_qts(self.capsys, *command, *more)
        assert code == 0, err
        return json.loads(out), " ".join(err.split())

    def seen(self) -> list[str]:
        """Return the bars that the strategy saw since the last call."""
        path = self.directory / "seen"
        lines = path.read_text().splitlines()
        path.unlink()
        return lines


@pytest.fixture
def market(tmp_path: Path, book_database: Database, capsys: pytest.CaptureFixture[str]) -> Market:
    return Market(tmp_path, book_database, capsys)


def test_recorded_values_warm_up_as_their_file_does(market: Market) -> None:
    # Given three days that were recorded, and a replay of the fourth with the file of them
    market.record()
    of_file, _ = market.replay("of_file", "--history", str(market.before))
    expected = market.seen()
    assert sum(line.startswith("True") for line in expected) == 20 + 7 + 3

    # When it is replayed with the server
    of_server, err = market.replay("of_server", "--db", market.database.url)

    # Then the strategy sees the same bars, digit for digit, and the note names the server
    assert market.seen() == expected
    assert [note for note in of_server["notes"] if "the market values recorded on" in note]
    assert "warm" not in err

    # And the run has a name of its own, the same each time
    alone, _ = market.replay("alone")
    again, _ = market.replay("again", "--db", market.database.url)
    assert again["run_id"] == of_server["run_id"]
    assert len({one["run_id"] for one in (of_file, of_server, alone)}) == 3
    market.seen()

    # And files win, which is told
    both, err = market.replay("both", "--db", market.database.url, "--history", str(market.before))
    assert both["run_id"] == of_file["run_id"]
    assert "warmed up with the files of --history, and not with what the server has" in err
    assert market.seen() == expected


@pytest.mark.parametrize("kept", ["", "2026-01-26", "2026-01-23"], ids=["bars", "last day", "last two days"])
def test_stored_bars_stand_in_for_values_that_were_dropped(market: Market, kept: str) -> None:
    # Given what the file of three days shows
    market.record()
    market.replay("of_file", "--history", str(market.before))
    expected = market.seen()
    # When only bars are left of the days before the one that is kept, or of all
    market.database.execute(f"{MINUTES_AND_DAYS}; DELETE FROM qts.tick_data WHERE time < '{kept or '2027-01-01'}'")
    result, _ = market.replay("of_server", "--db", market.database.url)
    # Then the bars are the same, and the note tells where they are from
    assert market.seen() == expected
    notes = " ".join(result["notes"])
    assert ("the market values recorded on" in notes) == bool(kept)
    assert "stored on" in notes


def test_a_server_without_anything_is_told_and_changes_nothing(market: Market) -> None:
    alone, _ = market.replay("alone")
    with_server, err = market.replay("with_server", "--db", market.database.url)
    assert with_server["run_id"] == alone["run_id"]
    assert "has no market values and no bars from before the session to warm up strategies with" in err


def test_a_server_that_is_away_is_told_and_the_session_starts(market: Market) -> None:
    alone, _ = market.replay("alone")
    away = ("--db", "postgresql://u@127.0.0.1:1/d", "--set", "store.drain_s=0.1")
    with_server, err = market.replay("with_server", *away)
    assert with_server["run_id"] == alone["run_id"]
    assert err.count("strategies are not warmed up with what the server has: u@127.0.0.1:1/d") == 1


@pytest.mark.parametrize("away", [False, True], ids=["emptied", "away"])
def test_a_resumed_session_has_its_bars_from_its_checkpoint(market: Market, away: bool) -> None:
    # Given a replay that was warmed up, and one that was stopped in its middle
    market.record()
    whole, _ = market.replay("whole", "--db", market.database.url)
    expected = market.seen()
    stop = StopFlag()

    def tell(share: float | None, moment_ns: int) -> None:
        if (share or 0) > 0.3:
            stop.request()

    options = Options(strategies=("sees.py:Sees",), data_dir=Path("stopped"), db=market.database.url)
    assert not run_session(replay_plan(options, [market.today], None), progress=tell, stop=stop).finished
    # When the server has lost everything, or is away, and it is resumed
    market.database.execute("DELETE FROM qts.tick_data")
    url = "postgresql://u@127.0.0.1:1/d" if away else market.database.url
    told = "--db", url, "--resume", "--set", "store.drain_s=0.1"
    resumed, err = market.replay("stopped", *told)
    # Then it is the same run with the same bars, each seen once
    assert resumed["run_id"] == whole["run_id"]
    assert market.seen() == expected
    assert "warm" not in err


def test_a_session_in_real_time_is_warmed_up_too(market: Market) -> None:
    # Given three days that were recorded
    market.record()
    # When the fourth is traded on paper
    command = ("run", "--feed", str(market.today), "--speed", "1000000", "--strategy", "sees.py:Sees", "--json")
    code, out, err = run_qts(market.capsys, *command, "--db", market.database.url, "--data-dir", "paper")
    # Then its strategy begins with all of its bars
    assert code == 0, err
    assert sum(line.startswith("True") for line in market.seen()) == 20 + 7 + 3
    assert "the market values recorded on" in " ".join(json.loads(out)["notes"])
