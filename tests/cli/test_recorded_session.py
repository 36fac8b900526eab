"""``qts run --record`` and ``qts replay --db``: what is recorded on a server is replayed as its file is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts
from tests.cli.test_followed_session import TURNS, steady
from tests.servers.fixtures import Database
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
OF_THE_INPUT = ("source", "run_id", "notes", "note_values")
"""What tells of the input where it came from."""


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A day of 200 quotes."""
    return write(tmp_path / "tape.csv", walk(200, days=1))


def test_what_a_session_records_is_replayed_as_its_file_is(
    book_database: Database, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a paper session that records its values, told of in its view
    url = book_database.url
    command = ("run", "--feed", str(tape), "--speed", "1000000", "--db", url, "--record", "--data-dir", "paper")
    code, out, err = run_qts(capsys, *command)
    assert code == 0, err
    assert "recorded" in out
    symbol, count = book_database.query("SELECT symbol, count(*) FROM qts.tick_data GROUP BY 1")[0]
    assert count == 200

    # When its file and its values on the server are replayed with the same strategy
    strategy = tmp_path / "turns.py"
    strategy.write_text(TURNS)
    trading = ("--strategy", f"{strategy}:Turns", "--json")
    code, of_file, _ = run_qts(capsys, "replay", str(tape), *trading, "--data-dir", "of_file")
    assert code == 0
    code, of_server, err = run_qts(
        capsys, "replay", "--db", url, "--symbol", symbol, *trading, "--data-dir", "of_server"
    )
    assert code == 0, err

    # Then the results are the same
    results = [
        {name: value for name, value in steady(json.loads(one)).items() if name not in OF_THE_INPUT}
        for one in (of_file, of_server)
    ]
    assert results[0] == results[1]
    assert results[0]["fills"] > 10

    # And the same values have the same run again: its result is there
    code, again, _ = run_qts(capsys, "replay", "--db", url, "--symbol", symbol, *trading, "--data-dir", "of_server")
    assert code == 0
    assert json.loads(again)["run_id"] == json.loads(of_server)["run_id"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("run", "--record"), "--record stores values on a server: name it by --db URL, or in QTS_DB_URL"),
        (("replay",), "a replay needs an input: name a FILE, or the values on a server by --db URL --symbol CODE"),
        (("replay", "--db", "postgresql://u@127.0.0.1:1/d"), "a replay needs an input: name a FILE, or the values"),
        (
            ("replay", "tape.csv", "--recording", "2"),
            "--recording is for values on a server, and tape.csv is a file",
        ),
        (("replay", "--recording", "x"), "argument --recording: 'x' is not the number of a recording, such as 3"),
        (
            ("replay", "--db", "sqlite:///tmp/x.sqlite", "--symbol", "S"),
            "values are replayed on a server, and sqlite:///tmp/x.sqlite is a file",
        ),
        (("replay", "--db", "postgresql://u@127.0.0.1:1/d", "--symbol", "S"), "u@127.0.0.1:1/d: cannot "),
    ],
)
def test_what_cannot_be_recorded_or_replayed_is_said_and_nothing_written(
    command: tuple[str, ...], said: str, tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_qts(capsys, *command)
    assert said in " ".join(err.split())
    assert code in (2, 3)
    assert {one.name for one in tmp_path.iterdir()} == {"tape.csv"}


def test_a_symbol_that_is_not_stored_is_said(
    book_database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_qts(capsys, "replay", "--db", book_database.url, "--symbol", "005930")
    assert code == 2
    assert "has no value of 005930 from the start to the end; it has none of it at all" in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_upkeep_of_values_is_a_command(book_database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a day that was recorded 40 days ago
    book_database.execute(
        "SELECT qts.qts_mark_tick_days(ARRAY['2024-08-08'::date]);"
        "INSERT INTO qts.tick_data (time, ns, seq, symbol, kind, flags, price, size) "
        "VALUES ('2024-08-08 10:00Z', 0, 1, 'S', 'T', 0, 7, 1);"
        "UPDATE qts.tick_days SET changed = now() - interval '40 days'"
    )
    # When they are kept for 60 days, Then its bars are made, and nothing is dropped
    longer = ("--set", "store.tick_retention_days=60")
    code, out, err = run_qts(capsys, "db", "upkeep", "--db", book_database.url, *longer)
    assert code == 0, err
    assert "1 day made into bars of a day" in out
    assert "dropped  0 days of market values" in out
    # When the upkeep is asked for as it is set
    code, out, err = run_qts(capsys, "db", "upkeep", "--db", book_database.url)
    # Then its values are dropped, and that is said
    assert code == 0, err
    assert "dropped  1 day of market values: 2024-08-08; 1 bars" in out
    assert book_database.value("SELECT close FROM qts.ohlcv_1d") == 7
