"""The programs for other tools trade as the guide says they do, in the tool itself where it is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import pytest

import qts
from qts.kit import Bar, Context, Intent, Side, Sma, Strategy
from qts.market.sample import sample_csv
from tests.examples import peer_rules
from tests.examples.peer_rules import Outcome

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "examples/coming_from"
GUIDE: Final = (ROOT / "docs/guides/coming-from.md").read_text(encoding="utf-8")
DAY: Final = r"(\d{4}-\d\d-\d\d)"
TRIP: Final = re.compile(
    rf"([\d.]+) +{DAY}(?: 00:00:00\S*)? +([\d.]+)(?: +0\.0)? +{DAY}(?: 00:00:00\S*)? +([\d.]+)"
)
"""Shares, day and price in, day and price out."""


class Peer(NamedTuple):
    """Another tool: its name, the module that shows it is installed, its program, and its rules.

    ``equity`` finds the equity at the end in what the program prints, ``fill`` a fill, as day, shares and price in
    the order of ``order``; None: it prints round trips.
    """

    name: str
    module: str
    program: str
    rules: Callable[[], Outcome]
    equity: str
    fill: str | None = None
    order: str = "dsp"


PEERS: Final = (
    Peer(
        "backtesting", "backtesting", "backtesting_py.py", peer_rules.backtesting_py, r"Equity Final \[\$\] +(\S+)"
    ),
    Peer("freqtrade", "freqtrade", "freqtrade_backtest.py", peer_rules.freqtrade, r"^([\d,]+)$"),
    Peer("vectorbt", "vectorbt", "vectorbt_signals.py", peer_rules.vectorbt, r"^([\d.]+)$"),
    Peer(
        "zipline",
        "zipline",
        "zipline_algorithm.py",
        peer_rules.zipline,
        r"^([\d,]+)$",
        rf"^{DAY} -?(\d+) ([\d.]+)$",
    ),
    Peer(
        "nautilus",
        "nautilus_trader",
        "nautilus_engine.py",
        peer_rules.nautilus,
        r"^total +(\d+)$",
        rf"(?:BUY|SELL) +(\d+) +(\d+) +{DAY}",
        "spd",
    ),
    Peer(
        "vnpy",
        "vnpy_ctastrategy",
        "vnpy_cta.py",
        peer_rules.vnpy,
        r"^([\d,]+)$",
        rf"^{DAY} (?:LONG|SHORT) ([\d.]+) ([\d.]+)$",
    ),
)


RUN: Final = PEERS if os.environ.get("QTS_PEERS") else PEERS[:1]
"""The tools whose programs are run: the first alone is a requirement of the tests; ``make peers`` runs all."""


def python_of(peer: Peer) -> Path:
    """Return the interpreter that has the tool: this one, or that of its environment. Skips where neither has."""
    if importlib.util.find_spec(peer.module) is not None:
        return Path(sys.executable)
    own = ROOT / ".venv-peers" / peer.name / "bin/python"
    if not own.exists():
        pytest.skip(
            f"{peer.name} is not installed; 'make peers' installs it in an environment of its own (minutes)"
        )
    return own


def said_by(peer: Peer, folder: Path) -> str:
    """Run the tool's program in ``folder``, which is also its home, and return what it prints."""
    (folder / "005930.csv").write_text(sample_csv(), encoding="utf-8")
    python = python_of(peer)
    env = {**os.environ, "HOME": str(folder), "ZIPLINE_ROOT": str(folder), "TMPDIR": str(folder)}
    env["PYTHONWARNINGS"] = "ignore"
    if python == Path(sys.executable):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [python, PROGRAMS / peer.program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=env,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fills_in(said: str, peer: Peer) -> list[tuple[date, float, int]]:
    """Return the fills that a program has printed: day, shares without a sign, price."""
    if peer.fill is None:
        found = [
            fill
            for shares, day_in, price_in, day_out, price_out in TRIP.findall(said)
            for fill in ((day_in, shares, price_in), (day_out, shares, price_out))
        ]
    else:
        cells = [dict(zip(peer.order, row, strict=True)) for row in re.findall(peer.fill, said, re.MULTILINE)]
        found = [(cell["d"], cell["s"], cell["p"]) for cell in cells]
    return [(date.fromisoformat(day), float(shares), int(float(price))) for day, shares, price in found]


@pytest.mark.parametrize("peer", RUN, ids=lambda peer: peer.name)
def test_its_program_trades_in_the_tool_as_its_rules_say(peer: Peer, tmp_path: Path) -> None:
    # Given the program that the guide shows, when the tool runs it on the sample
    said = said_by(peer, tmp_path)
    # Then its fills are those of the rules, to the day, the share and the price
    told = fills_in(said, peer)
    due = peer.rules().trades
    assert [(day, price) for day, _, price in told] == [(trade.day, trade.price) for trade in due]
    assert [shares for _, shares, _ in told] == pytest.approx([float(abs(trade.shares)) for trade in due])
    # And so is its equity at the end
    (equity,) = re.findall(peer.equity, said, re.MULTILINE)
    assert float(equity.replace(",", "")) == pytest.approx(float(peer.rules().equity), abs=0.5)


class Tracked(Strategy):
    """The strategy of the guide with means that QTS keeps."""

    bars: ClassVar = {"1d": peer_rules.SLOW}

    def on_start(self, ctx: Context) -> None:
        self.fast = ctx.track(Sma(peer_rules.FAST), "1d")
        self.slow = ctx.track(Sma(peer_rules.SLOW), "1d")

    def on_bar(self, ctx: Context, bar: Bar) -> list[Intent]:
        ahead = self.fast[bar.symbol].value - self.slow[bar.symbol].value
        if ahead > 0 and ctx.is_flat(bar.symbol):
            return [Intent(bar.symbol, Side.BUY, 1.0)]
        if ahead < 0 and not ctx.is_flat(bar.symbol):
            return [Intent(bar.symbol, Side.SELL, 1.0)]
        return []


@pytest.mark.parametrize(
    "strategy", [f"{ROOT / 'examples/sma_cross.py'}:SmaCross", Tracked], ids=["printed", "tracked"]
)
def test_the_strategy_here_trades_as_its_rules_say(strategy: Any, tmp_path: Path) -> None:
    # Given the strategy of the guide, when it is tested here without costs
    (tmp_path / "005930.csv").write_text(sample_csv(), encoding="utf-8")
    result = qts.backtest(strategy, tmp_path / "005930.csv", fees=0)
    # Then its fills and its equity at the end are those of the rules
    fills, due = result.fills, peer_rules.ours().trades
    assert [str(time)[:10] for time in fills.column("time")] == [str(trade.day) for trade in due]
    assert fills.column("price") == [trade.price for trade in due]
    assert fills.column("qty") == [abs(trade.shares) for trade in due]
    assert fills.column("side") == ["BUY", "SELL"] * 11
    assert result.equity[-1]["equity"] == peer_rules.ours().equity


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_guide_shows_the_equity_that_its_rules_give(peer: Peer) -> None:
    section = section_of(peer)
    assert f"| {float(peer.rules().equity):,.0f} |" in section
    assert f"| {len(peer.rules().trades) // 2} |" in section
    assert f"| {float(peer_rules.ours().equity):,.0f} |" in section


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("vectorbt", peer_rules.vectorbt(by_default=True)),
        ("freqtrade", peer_rules.freqtrade(all_candles=True)),
    ],
)
def test_the_guide_shows_what_a_tool_does_without_the_care_of_its_program(name: str, outcome: Outcome) -> None:
    (peer,) = (peer for peer in PEERS if peer.name == name)
    assert f"{float(outcome.equity):,.0f}" in section_of(peer)


def section_of(peer: Peer) -> str:
    """Return the part of the guide about a tool."""
    (section,) = re.findall(rf"^## {peer.name}(?:\.py)?\n(.*?)(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
    return section
