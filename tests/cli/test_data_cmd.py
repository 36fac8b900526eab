"""``qts data prepare``, and what a replay makes of it: the same run, to the byte; ``qts data sample``."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main
from qts.runtime.wiring.stores import stored_run
from tests.market.files.samples import depth, quote, trade, write

CHILD = """
import os, signal, sys
from qts.cli.main import main
from qts.market.files.feed import FileFeed
from qts.market.prepared.feed import PreparedFeed
last = int(sys.argv[1])

def killed(values):
    def until_killed(feed):
        for at, value in enumerate(values(feed)):
            if at == last:
                os.kill(os.getpid(), signal.SIGKILL)
            yield value
    return until_killed

for one in (FileFeed, PreparedFeed):
    one.values = killed(one.values)
sys.exit(main(sys.argv[2:]))
"""
MEASURED = {"wall_s", "events_per_s", "started_at", "finished_at", "latency_us_by_priority", "p0_latency_us"}
STRATEGY = """
from decimal import Decimal
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Often:
    def __init__(self):
        self.name, self.pool, self.symbols, self.seen = "often", Pool.SCALP, (), 0

    def on_start(self, ctx): ...

    def on_quote(self, ctx, quote):
        self.seen += 1
        if self.seen % 40:
            return ()
        side = Side.SELL if ctx.holding(quote.symbol) > 0 else Side.BUY
        qty = None if side is Side.SELL else Decimal("0.100")
        return (Intent(quote.symbol, side, 1.0, qty=qty, reason="often"),)

    def on_bar(self, ctx, bar):
        return ()

    def on_fill(self, ctx, fill): ...
"""
"""A market order every 40 quotes."""
SETTINGS = ("--set", "runtime.checkpoint_interval_rows=100", "--set", "risk.symbol_weight_limit=0.9")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "qts" / "captures"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A market that swings, with depth; one row is none."""
    (tmp_path / "often.py").write_text(STRATEGY)
    rng = random.Random(4)
    rows = [b"broken"]
    for at in range(900):
        price = 61_800 + 300 * (at // 60 % 2) + rng.randrange(20)
        ms = at * 1_000
        rows.append(quote(ms, f"{price}.00", f"{price}.10", bid_size="9.001", ask_size="9.001"))
        if at % 3 == 0:
            rows.append(trade(ms, at + 1, f"{price}.10", "1.000"))
        if at % 5 == 0:
            rows.append(depth(ms, [[f"{price}.00", "3.0"]], [[f"{price}.10", "2.0"]]))
    return write(tmp_path / "capture.gz", rows)


def replay(directory: Path, file: Path, *more: str) -> list[str]:
    strategy = f"{file.parent / 'often.py'}:Often"
    return ["replay", str(file), "--strategy", strategy, "--data-dir", str(directory), "--json", *SETTINGS, *more]


def result_of(directory: Path, file: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(replay(directory, file, *more)) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {key: value for key, value in result.items() if key not in MEASURED}


def book_of(directory: Path) -> tuple[Any, ...]:
    with stored_run(directory / "qts.sqlite") as store:
        return store.run(), store.ledger(), store.orders(), store.equity_curve(), store.transfers()


def test_it_prepares_once_and_says_where(capture: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", str(capture)]) == 0
    first = capsys.readouterr().out
    assert main(["data", "prepare", str(capture)]) == 0
    second = capsys.readouterr().out

    (kept,) = cache.glob("*.qtsp")
    assert first.startswith(f"prepared: {capture} (1,380 values, ")
    assert f"in {kept}\n1 row cannot be used; a replay lists them by reason\n" in first
    assert second.startswith(f"was prepared already: {capture} (1,380 values, ")


def test_a_replay_is_the_same_run_prepared_or_not(
    capture: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = result_of(tmp_path / "text", capture, capsys, "--set", "data.prepared=off")
    assert not cache.exists()
    first = result_of(tmp_path / "first", capture, capsys)
    assert len(list(cache.glob("*.qtsp"))) == 1
    second = result_of(tmp_path / "second", capture, capsys)

    assert text["orders"] > 3
    assert text["rows_refused"] == {"malformed": 1}
    assert first == second == text
    assert book_of(tmp_path / "second")[1:] == book_of(tmp_path / "first")[1:] == book_of(tmp_path / "text")[1:]


@pytest.mark.parametrize("begun_on", ["auto", "off"])
@pytest.mark.parametrize("last", [137, 1_379])
def test_killed_on_one_it_resumes_on_the_other(
    begun_on: str, last: int, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given kill -9 in the middle of a replay of the prepared form, the text ends it the same, and the reverse."""
    whole = result_of(tmp_path / "whole", capture, capsys)
    resumed_on = {"auto": "off", "off": "auto"}[begun_on]
    killed = replay(tmp_path / "run", capture, "--set", f"data.prepared={begun_on}")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(last), *killed], check=False, capture_output=True, env=os.environ
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    resumed = result_of(tmp_path / "run", capture, capsys, "--resume", "--set", f"data.prepared={resumed_on}")

    assert resumed == whole
    assert book_of(tmp_path / "run")[1:] == book_of(tmp_path / "whole")[1:]


def test_a_paper_session_prepares_nothing(capture: Path, cache: Path, tmp_path: Path) -> None:
    command = ["run", "--feed", str(capture), "--speed", "1000000", "--data-dir", str(tmp_path / "run"), "--json"]

    assert main(command) == 0

    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_told_once_and_the_replay_is_the_same(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_bytes(b"")

    assert main(replay(tmp_path / "run", capture)) == 0

    told = capsys.readouterr()
    assert told.err.count("no prepared capture is kept") == 1
    assert json.loads(told.out)["rows"] == 1_380
    assert main(["data", "prepare", str(capture)]) == 3
    assert "the capture cannot be prepared" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"nonsense\n"])
def test_a_file_that_cannot_be_used_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_bytes(content)

    assert main(["data", "prepare", str(tmp_path / "f")]) == 2

    assert str(tmp_path / "f") in capsys.readouterr().err


def test_without_a_home_there_is_no_place(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)

    assert main(["data", "prepare", str(capture)]) == 3
    assert "neither XDG_CACHE_HOME nor HOME" in capsys.readouterr().err
    assert main(replay(tmp_path / "run", capture)) == 0


def test_the_sample_is_a_file_that_a_backtest_reads_without_a_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a folder with nothing in it, the sample is written to a file named after its symbol
    path = tmp_path / "005930.csv"
    assert main(["data", "sample", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 1,220 daily bars of 005930, 2014-2018\n"
    lines = path.read_text().splitlines()
    assert lines[:2] == ["Date,Open,High,Low,Close,Volume", "2014-01-02,21000,21100,20300,20400,31025000"]
    assert len(lines) == 1_221
    # When a strategy is tested on it, then every row of it is used
    strategy = Path(__file__).parents[2] / "examples" / "sma_cross.py"
    arguments = ["--strategy", f"{strategy}:SmaCross", "--data-dir", str(tmp_path / "run"), "--to", "2014-12-31"]
    assert main(["backtest", str(path), *arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows_refused"] == {}
    assert result["rows"] == 245  # Korean trading days of 2014


def test_the_sample_replaces_no_file_and_is_called_a_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    for path, said in (
        (mine, "is there"),
        (tmp_path / "005930.txt", "ends in .csv"),
        (tmp_path / "no/a.csv", "create"),
    ):
        assert main(["data", "sample", str(path)]) == 2
        assert said in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
