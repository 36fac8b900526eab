"""``--db``: what a session writes is on the server too, row by row, and its results are those without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qts.db.sqlite_adapter import migrate_file
from tests.cli.command_line import own_directory, run_qts, tape
from tests.servers.fixtures import Database

__all__ = ["own_directory", "tape"]
TURNS = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side


class Turns:
    name = "turns"
    pool = Pool.SWING
    symbols = ()

    def __init__(self):
        self.seen = 0

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        self.seen += 1
        if self.seen % 10 == 0:
            yield Intent(quote.symbol, Side.BUY if self.seen % 20 else Side.SELL, 0.95, qty=2, reason="again")
"""
CHANGING = ("wall_s", "events_per_s", "started_at", "finished_at", "notes", "note_values")
"""What differs between two runs of the same session; the notes are looked at by themselves."""


@pytest.fixture(params=["postgres", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of many runs with nothing in it."""
    if request.param == "postgres":
        database: Database = request.getfixturevalue("book_database")
        return database.url
    migrate_file(tmp_path / "copies.sqlite")
    return f"sqlite://{tmp_path}/copies.sqlite"


def steady(told: dict[str, Any]) -> dict[str, Any]:
    """The results of a session without what depends on the machine."""
    return {name: value for name, value in told.items() if name not in CHANGING and "latency" not in name}


def test_a_replay_that_a_store_follows_has_the_same_rows_there(
    url: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a strategy that buys and sells by turns, replayed by itself
    strategy = tmp_path / "turns.py"
    strategy.write_text(TURNS)
    command = ("replay", str(tape), "--strategy", f"{strategy}:Turns", "--json")
    code, alone, _ = run_qts(capsys, *command, "--data-dir", "alone")
    assert code == 0, alone

    # When it is replayed with a server that follows
    code, followed, _ = run_qts(capsys, *command, "--data-dir", "followed", "--db", url)

    # Then its results are the same, and server and local book have the same rows
    assert code == 0
    by_itself, with_server = json.loads(alone), json.loads(followed)
    assert with_server["fills"] > 20
    assert steady(with_server) == steady(by_itself)
    # And one note more says how far the server is
    (note,) = [note for note in with_server["note_values"] if note not in by_itself["note_values"]]
    assert note["code"] == "server-has-all"
    code, out, _ = run_qts(capsys, "db", "verify", "--db", url, "--data-dir", "followed")
    assert code == 0
    assert out.splitlines()[-1] == "result every row that was compared is the same on both sides"
    # And nothing of the server is in the directory of the run: both have the same files
    assert {one.name for one in Path("followed").iterdir()} == {one.name for one in Path("alone").iterdir()}
