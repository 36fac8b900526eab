"""Backtests of daily bars beside backtesting.py: a universe at once, and the whole command on one file.

``python -m bench.backtest [--quick] [--json]``. Both trade the crossing of two averages, one share a trade,
without costs, with cash that never binds; the run fails when their trades differ. backtesting.py knows no universe
and takes the files one by one.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterable
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from bench.figures import QUICK_RUNS, RUNS, machine, table
from bench.startup import QTS, seconds
from bench.suite import parser_of, print_report

FIRST, DAYS = date(2010, 1, 4), 2_520
SYMBOLS, QUICK_SYMBOLS = 500, 10
COMMAND_BARS = 2_148
CASH = 1_000_000_000
FAST, SLOW = 20, 50
SHARE_OF_PEER, HELPS, PEER_RUNS = 0.5, 3, 20
STRATEGY = '''"""In with one share while the fast average is above the slow one, else out."""

from collections import deque

from qts.kit import Intent, Side, Strategy, param


class Cross(Strategy):
    fast, slow = param(20, 2, 100), param(50, 3, 300)

    def __init__(self):
        self.closes = {}

    def on_bar(self, ctx, bar):
        symbol = bar.symbol
        closes = self.closes.get(symbol)
        if closes is None:
            closes = self.closes[symbol] = deque(maxlen=self.slow)
        closes.append(int(bar.close * 100))
        if len(closes) < self.slow:
            return ()
        newest = list(closes)
        above = sum(newest[-self.fast:]) * self.slow > sum(newest) * self.fast
        if above == bool(ctx.holding(symbol)) or ctx.working(symbol):
            return ()
        return (Intent(symbol, Side.BUY, 1.0, qty=1) if above else Intent(symbol, Side.SELL, 1.0),)
'''


class Trade(NamedTuple):
    """A fill: symbol, day, +1 or -1 share, and its price in hundredths."""

    symbol: str
    day: str
    qty: int
    cents: int


def write_bars(path: Path, seed: int, days: int) -> Path:
    """Write a random walk of daily bars, prices to the cent, on weekdays."""
    rng, day, cents, rows = random.Random(seed), FIRST, 10_000, ["Date,Open,High,Low,Close,Volume"]
    while len(rows) <= days:
        if day.weekday() < 5:
            first = max(100, cents + rng.randint(-50, 50))
            cents = max(100, first + rng.randint(-150, 150))
            prices = (first, max(first, cents) + 20, min(first, cents) - 20, cents)
            rows.append(",".join([day.isoformat(), *(f"{one / 100:.2f}" for one in prices), "500000"]))
        day += timedelta(days=1)
    path.write_text("\n".join([*rows, ""]))
    return path


def peer_trades(paths: Iterable[Path]) -> tuple[list[Trade], float]:
    """Run backtesting.py over each file; return its fills and its seconds, reading included."""
    import pandas
    from backtesting import Backtest, Strategy

    class Cross(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            closes = (pandas.Series(self.data.Close) * 100).round().astype("int64")
            self.above = (closes.rolling(FAST).sum() * SLOW > closes.rolling(SLOW).sum() * FAST).to_numpy()

        def next(self) -> None:
            if len(self.data) < SLOW:  # an indicator of theirs would begin a bar later
                return
            above = self.above[len(self.data) - 1]
            if above and not self.position:
                self.buy(size=1)
            elif not above and self.position:
                self.position.close()

    trades: list[Trade] = []
    begun = perf_counter()
    for path in paths:
        frame = pandas.read_csv(path, index_col=0, parse_dates=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stats = Backtest(frame, Cross, cash=CASH, commission=0, finalize_trades=False).run()
        for row in stats._trades.itertuples():
            trades += [
                Trade(path.stem, row.EntryTime.date().isoformat(), 1, round(row.EntryPrice * 100)),
                Trade(path.stem, row.ExitTime.date().isoformat(), -1, round(row.ExitPrice * 100)),
            ]
    return sorted(trades), perf_counter() - begun


def our_trades(folder: Path, strategy: Path, run: Path) -> tuple[list[Trade], float]:
    """Run the universe at once; return its fills and its seconds, reading included."""
    import qts

    begun = perf_counter()
    result = qts.backtest(f"{strategy}:Cross", str(folder), fees=0, cash=CASH, data_dir=str(run))
    took = perf_counter() - begun
    trades = [
        Trade(
            fill["symbol"],
            fill["time"].date().isoformat(),
            1 if fill["side"] == "BUY" else -1,
            _cents(fill["price"]),
        )
        for fill in result.fills
    ]
    return sorted(trades), took


def _cents(price: Any) -> int:
    return round(price * 100)


def closed(trades: list[Trade]) -> list[Trade]:
    """Leave out what is bought last and not sold: the peer lists a position once it is closed."""
    last = {trade.symbol: trade for trade in trades}
    return [trade for trade in trades if trade.qty < 0 or last[trade.symbol] is not trade]


def measure(*, quick: bool = False, symbols: int | None = None) -> dict[str, Any]:
    """Bars a second of both in turns, medians; the whole command beside ``qts --help`` and the peer's own run."""
    runs = QUICK_RUNS if quick else RUNS
    symbols = symbols or (QUICK_SYMBOLS if quick else SYMBOLS)
    has_peer = find_spec("backtesting") is not None
    report: dict[str, Any] = {"machine": machine(), "runs": runs, "symbols": symbols, "days": DAYS, "targets": []}
    with tempfile.TemporaryDirectory() as directory:
        folder, strategy = Path(directory) / "universe", Path(directory) / "cross.py"
        folder.mkdir()
        strategy.write_text(STRATEGY)
        paths = [write_bars(folder / f"S{n:03d}.csv", n, DAYS) for n in range(symbols)]
        one = write_bars(Path(directory) / "ONE.csv", 0, COMMAND_BARS)
        report |= _universe(folder, paths, strategy, runs, has_peer=has_peer)
        report |= _command(one, strategy, runs, has_peer=has_peer)
    for what, value, bar in (
        ("universe, share of backtesting.py's bars/s", report.get("share"), SHARE_OF_PEER),
        ("whole command, s", report["command_s"], report.get("allowed_s")),
    ):
        if value is not None and bar is not None:
            met = value <= bar if what.endswith(", s") else value >= bar
            report["targets"].append({"what": what, "value": value, "bar": bar, "met": met})
    return report


def _universe(folder: Path, paths: list[Path], strategy: Path, runs: int, *, has_peer: bool) -> dict[str, Any]:
    """Take turns over the same files; the medians of bars a second, and the median of the turns' ratios."""
    bars, ours, theirs, shares, trades = len(paths) * DAYS, [], [], [], 0
    for number in range(runs):
        mine, took = our_trades(folder, strategy, folder.parent / f"run-{number}")
        ours.append(bars / took)
        trades = len(mine)
        if has_peer:
            listed, peer_took = peer_trades(paths)
            if closed(mine) != listed:
                differing = sorted(set(closed(mine)) ^ set(listed))
                raise SystemExit(f"the trades differ: {len(mine)} and {len(listed)}, first {differing[:4]}")
            theirs.append(bars / peer_took)
            shares.append(ours[-1] / theirs[-1])
    found: dict[str, Any] = {"bars": bars, "fills": trades, "bars_per_s": round(statistics.median(ours))}
    if has_peer:
        found |= {
            "peer_bars_per_s": round(statistics.median(theirs)),
            "share": round(statistics.median(shares), 3),
        }
    return found


def _command(path: Path, strategy: Path, runs: int, *, has_peer: bool) -> dict[str, Any]:
    """Time the whole command with its report; allowed are 3 x ``qts --help`` + 20 x the peer's run in memory."""
    help_s, command_s, peer_s = [], [], []
    for number in range(runs):
        here = path.parent / f"command-{number}"
        here.mkdir()
        help_s.append(seconds([*QTS, "--help"], str(here)))
        options = ["--strategy", f"{strategy}:Cross", "--cash", str(CASH), "--fees", "0", "--report", "report.html"]
        command_s.append(seconds([*QTS, "backtest", str(path), *options, "--data-dir", "run"], str(here)))
        if has_peer:
            peer_s.append(peer_trades([path])[1])
    found = {
        "command_bars": COMMAND_BARS,
        "command_s": round(statistics.median(command_s), 3),
        "help_s": round(statistics.median(help_s), 3),
    }
    if has_peer:
        found["peer_s"] = round(statistics.median(peer_s), 3)
        found["allowed_s"] = round(HELPS * found["help_s"] + PEER_RUNS * found["peer_s"], 3)
    return found


def show(report: dict[str, Any]) -> str:
    rows = [["QTS, the universe at once", f"{report['bars_per_s']:,} bars/s", ""]]
    if "share" in report:
        rows += [
            ["backtesting.py, file by file", f"{report['peer_bars_per_s']:,} bars/s", ""],
            ["share", f"{report['share']:.3f}", f"≥ {SHARE_OF_PEER}"],
        ]
    else:
        rows.append(["backtesting.py", "not installed", ""])
    allowed = f"≤ {report['allowed_s']:.2f} s" if "allowed_s" in report else ""
    rows.append([f"whole command, {report['command_bars']:,} bars", f"{report['command_s']:.2f} s", allowed])
    head = f"{report['symbols']} symbols × {report['days']:,} days, {report['fills']:,} fills"
    return table([head, "measured", "bar"], rows)


def main(argv: list[str]) -> int:
    parser = parser_of("backtest", __doc__, f"{QUICK_SYMBOLS} symbols, fewer turns")
    parser.add_argument("--symbols", type=int, help=f"symbols of the universe (default {SYMBOLS})")
    chosen = parser.parse_args(argv)
    report = measure(quick=chosen.quick, symbols=chosen.symbols)
    return print_report(report, show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
