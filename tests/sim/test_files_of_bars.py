"""A session over files of bars: strategies see each bar once, when it is known, and trade on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.cli.main import main

BARS = """date,open,high,low,close,volume
2024-01-02,78200,79800,78200,79600,17142847
2024-01-03,78500,78800,77000,77000,21753644
2024-01-04,76100,77300,76100,76600,15324439
"""
STRATEGY = """
from pathlib import Path
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Once:
    name, pool, symbols = "once", Pool.SWING, ()

    def on_start(self, ctx): ...
    def on_quote(self, ctx, quote):
        raise AssertionError("bars are no quotes")
    def on_fill(self, ctx, fill): ...
    def on_bar(self, ctx, bar):
        with Path("seen.txt").open("a") as file:
            print(bar.symbol, bar.day, f"{ctx.now:%m-%dT%H:%M}", bar.close, file=file)
        if not ctx.holding(bar.symbol) and not ctx.working(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, confidence=1.0, qty=1)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(STRATEGY)
    return tmp_path


def run(*words: str) -> int:
    return main(["replay", *words, "--strategy", "mine.py:Once", "--data-dir", "run"])


def test_every_bar_of_a_universe_reaches_on_bar_at_the_close_of_its_session(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given two files of Korean shares, of which one begins a day later
    (here / "005930.csv").write_text(BARS)
    (here / "000660.csv").write_text("\n".join([BARS.splitlines()[0], *BARS.splitlines()[2:]]) + "\n")
    # When they are replayed
    assert run("005930.csv", "000660.csv", "--json") == 0
    # Then on_bar is called with each, at one moment in the order of symbols, at 15:30 in Seoul
    assert (here / "seen.txt").read_text().splitlines() == [
        "005930 2024-01-02 01-02T06:30 79600",
        "000660 2024-01-03 01-03T06:30 77000",
        "005930 2024-01-03 01-03T06:30 77000",
        "000660 2024-01-04 01-04T06:30 76600",
        "005930 2024-01-04 01-04T06:30 76600",
    ]
    # And each order of a bar fills on the next
    result = json.loads(capsys.readouterr().out)
    assert result["fills"] == 2
    said = "input: 2 symbols, 5 bars of 1d, each known at the close of its session"
    assert said in result["notes"]


def test_the_account_is_in_the_currency_of_the_symbols(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "AAPL.csv").write_text(BARS)
    assert run("AAPL.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["currency"] == "USD"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("AAPL.csv", "--set", "runtime.currency=KRW"), "'AAPL' cannot be traded in this account"),
        (("AAPL.csv", "--format", "observer-jsonl"), "not observer-jsonl"),
        (("AAPL.csv", "AAPL.csv"), "are both of AAPL and overlap in time"),
        (("quotes.csv", "--symbol", "A"), "--symbol A is for files of bars"),
        (("quotes.csv", "--format", "bars"), "no file of bars"),
        (("missing.csv",), "no such file"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    (here / "AAPL.csv").write_text(BARS)
    (here / "quotes.csv").write_text("ts,symbol,last\n2026-01-23T00:01:06Z,005930,70000\n")
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert not (here / "seen.txt").exists()


def test_a_report_never_replaces_a_file_of_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / "prices"
    folder.mkdir()
    (folder / "AAPL.csv").write_text(BARS)
    assert run("prices", "--report", "prices/AAPL.csv") == 2
    assert "the report cannot go to prices/AAPL.csv" in capsys.readouterr().err
    assert (folder / "AAPL.csv").read_text() == BARS


def test_prices_before_1970_are_replayed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "IBM.csv").write_text(BARS.replace("2024-", "1962-"))
    assert run("IBM.csv", "--json") == 0
    assert (here / "seen.txt").read_text().splitlines()[0] == "IBM 1962-01-02 01-03T00:00 79600"


def test_a_paper_session_takes_bars_as_well(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "AAPL.csv").write_text(BARS)
    words = [
        "run",
        "--feed",
        "AAPL.csv",
        "--speed",
        "1000000",
        "--strategy",
        "mine.py:Once",
        "--data-dir",
        "run",
        "--json",
    ]
    assert main(words) == 0
    assert len((here / "seen.txt").read_text().splitlines()) == 3
