"""How many market values a second the whole machine takes: book, account, risk gate, ledger and checkpoints on.

The inputs are those of ``bench.replay_cases``: prepared columns (events are made while replaying), with few orders
and with many, the raw capture straight from its .gz, a quote a day and one a minute. Beside them, in the same run
and on the same interpreter, what people use today doing the same, and what nothing in Python can beat: the strategy
shown the prepared values, and the capture's lines only unpacked and decoded.

``python -m bench.replay [--quick] [--json] [--only CASE] [--against CHECKOUT]``; the last one measures the package
of another checkout by turns with this one.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from bench.figures import RUNS, about, machine, median_ratio, table, targets_table
from bench.replay_cases import (
    CAPTURE,
    CASES,
    DAILY,
    FIRST,
    MINUTES,
    NO_DEPTH,
    ORDERS,
    PREPARED,
    ROWS,
    SECOND,
    EmaTrader,
    PreparedFeed,
)
from bench.suite import parser_of, print_report

ROOT = Path(__file__).resolve().parents[1]
NAUTILUS, VNPY = "nautilus BacktestEngine", "vnpy CTA backtest"
PEERS = {NAUTILUS: "bench.replay_nautilus", VNPY: "bench.replay_vnpy"}
"""vnpy's keeps no account and asks no risk gate: a tick at its strategy, an order at the next tick's price."""
BARS = {PREPARED: 500_000, SECOND: 250_000}
PEER_BAR = 3.0
AGAINST_BARS = {ORDERS: 2.0, FIRST: 1.0, SECOND: 2.8, DAILY: 15.0, MINUTES: 4.0}
"""How many times as fast as the commit before group commit, the straight loop and prepared captures."""
PREPARED_BARS = {SECOND: 0.6, NO_DEPTH: 0.95}
MOST_MB = 250
QUICK = 10
SHORT = 20_000
"""Rows of a case up to which the quick form keeps them all: fewer would measure the start of a session."""
BEFORE = "before"
LIMIT_S = 300

Runs = list[dict[str, Any]]


def measure_all(runs: int, quick: int, names: Sequence[str], against: Path | None) -> dict[str, Any]:
    """All cases take turns, so that a busy minute hits them all; medians, and the ratios of neighbouring runs."""
    ours: dict[str, Runs] = {name: [] for name in names}
    before: dict[str, Runs] = {name: [] for name in names if against is not None}
    peers: dict[str, Runs] = {name: [] for name in PEERS if PREPARED in names}
    missing: dict[str, str] = {}
    feed, bare = PreparedFeed(ROWS // quick), list[float]()
    for turn in range(runs):
        for name in names:
            sides = [(ours, ROOT), *([(before, against)] if against is not None else [])]
            for side, checkout in sides if turn % 2 == 0 else reversed(sides):
                rows = CASES[name].rows
                side[name].append(case_run(name, rows // quick if rows > SHORT else rows, checkout))
        for peer in [name for name in peers if name not in missing]:
            done = peer_run(PEERS[peer], ROWS // quick)
            if "missing" in done:
                missing[peer] = done["missing"]
            else:
                peers[peer].append(done)
        bare.append(bare_rate(feed))
    report = {name: _medians(done) for name, done in (ours | peers).items() if done}
    report["bare loop"] = {"rows_per_s": round(statistics.median(bare))}
    if CAPTURE.exists():
        report["decoded lines"] = {"rows_per_s": round(statistics.median(decoded_rate() for _ in range(runs)))}
    _add_ratios(report, ours, peers, before)
    notes = [f"{name}: left out, {why}" for name, why in missing.items()]
    notes += [] if CAPTURE.exists() else [f"raw capture: left out, {CAPTURE.name} is not here"]
    return {"machine": machine(), "runs": runs, "cases": report, "notes": notes, "targets": judge(report)}


def case_run(name: str, rows: int, checkout: Path) -> dict[str, Any]:
    """One run of a case with package and settings of ``checkout``, in a process of its own.

    The process works there, for the sake of ``config/``, but takes the case from here (``-P``).
    """
    path = os.pathsep.join([str(checkout / "src"), str(ROOT)])
    command = [sys.executable, "-P", "-m", "bench.replay_cases", name, str(rows)]
    done = _told(command, {**os.environ, "PYTHONPATH": path}, checkout)
    if not Path(done["package"]).is_relative_to(checkout):
        raise SystemExit(f"{name}: measured {done['package']}, not the package of {checkout}")
    return done


def peer_run(module: str, rows: int) -> dict[str, Any]:
    """One run of a peer in a process of its own; ``missing`` in its answer says why there is none."""
    return _told([sys.executable, "-m", module, str(rows)], dict(os.environ), ROOT)


def _told(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder, env=environment, timeout=LIMIT_S
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _medians(done: Runs) -> dict[str, Any]:
    rates = ("rows_per_s", "rows_per_cpu_s")
    return done[-1] | {rate: round(statistics.median(row[rate] for row in done)) for rate in rates}


def _add_ratios(
    report: dict[str, dict[str, Any]],
    ours: Mapping[str, Runs],
    peers: Mapping[str, Runs],
    before: Mapping[str, Runs],
) -> None:
    """Add to each case ``ratios``, by what it is compared with."""
    for name, done in ours.items():
        others = {BEFORE: before.get(name, [])}
        if name == PREPARED:
            others |= peers
        elif name in PREPARED_BARS:
            others |= {PREPARED: ours.get(PREPARED, [])}
        report[name]["ratios"] = {other: ratio(done, runs) for other, runs in others.items() if runs}


def ratio(ours: Runs, theirs: Runs) -> dict[str, float]:
    """How many times as fast, by the clock and by CPU time, which is judged: other programs disturb it less."""
    return {
        of: median_ratio([row[rate] for row in ours], [row[rate] for row in theirs])
        for of, rate in (("wall", "rows_per_s"), ("cpu", "rows_per_cpu_s"))
    }


def bare_rate(feed: PreparedFeed) -> int:
    """Values made and shown to the strategy, nothing else: what no runtime in Python can beat."""
    feed.resume({"given": 0})
    strategy, rows = EmaTrader(), 0
    begun = perf_counter()
    for rows, value in enumerate(feed.values(), 1):  # noqa: B007 - the count is what is left of the loop
        strategy.on_quote(_Flat, value)  # type: ignore[arg-type]
    return round(rows / (perf_counter() - begun))


class _Flat:
    """A context that never holds anything."""

    @staticmethod
    def holding(symbol: str) -> int:
        return 0


def decoded_rate() -> int:
    """Lines of the capture unpacked and decoded, nothing else."""
    decode, rows = msgspec.json.decode, 0
    begun = perf_counter()
    with gzip.open(CAPTURE, "rb") as lines:
        for rows, line in enumerate(lines, 1):  # noqa: B007 - the count is what is left of the loop
            decode(line[line.index(b"{") :])
    return round(rows / (perf_counter() - begun))


def judge(cases: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bars; those of rows a second each with what no runtime in Python can beat here."""
    found = []
    for name, best in ((PREPARED, "bare loop"), (SECOND, "decoded lines")):
        rate = cases.get(name, {}).get("rows_per_s")
        found.append(_target(f"{name}, rows/s", rate, BARS[name], cases.get(best, {}).get("rows_per_s")))
    wanted = [(PREPARED, NAUTILUS, PEER_BAR)]
    wanted += [(name, BEFORE, bar) for name, bar in AGAINST_BARS.items()]
    wanted += [(name, PREPARED, bar) for name, bar in PREPARED_BARS.items()]
    for name, other, bar in wanted:
        value = cases.get(name, {}).get("ratios", {}).get(other, {}).get("cpu")
        found.append(_target(f"{name}, x {other}, CPU", value, bar))
    most = max((row.get("peak_mb", 0) for name, row in cases.items() if name not in PEERS), default=None)
    return [*found, _target("peak MB", most, MOST_MB, at_least=False)]


def _target(
    what: str, value: float | None, bar: float, floor: float | None = None, *, at_least: bool = True
) -> dict[str, Any]:
    met = None if value is None else value >= bar if at_least else value <= bar
    return {"what": what, "value": value, "bar": bar, "at_least": at_least, "met": met, "floor": floor}


def show(report: dict[str, Any]) -> str:
    header = ["replay", "rows/s", "rows/CPU s", "opening s", "rows", "orders", "fills", "peak MB", "breached"]
    keys = ("rows_per_s", "rows_per_cpu_s", "opening_s", "rows", "orders", "fills", "peak_mb")
    rows = [
        [name, *(f"{row[key]:,}" if key in row else "" for key in keys), ", ".join(row.get("breached", ()))]
        for name, row in report["cases"].items()
    ]
    ratios = [
        [f"{name}, x {other}", f"{times['wall']:.2f}", f"{times['cpu']:.2f}"]
        for name, row in report["cases"].items()
        for other, times in row.get("ratios", {}).items()
    ]
    parts = [about(report), table(header, rows)]
    parts += [table(["times as fast", "wall", "CPU"], ratios)] if ratios else []
    parts += ["\n".join(report["notes"])] if report["notes"] else []
    return "\n\n".join([*parts, targets_table(report["targets"])])


def main(argv: list[str]) -> int:
    parser = parser_of("replay", __doc__, "one run, the long cases with a tenth of their rows")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"of: {'; '.join(CASES)}")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="measure its package by turns with this one"
    )
    chosen = parser.parse_args(argv)
    against = None if chosen.against is None else chosen.against.resolve()
    if against is not None and not (against / "src" / "qts").is_dir():
        parser.error(f"--against {chosen.against}: there is no src/qts; name the root of another checkout")
    names = [name for name in chosen.only or CASES if CASES[name].step_ns is not None or CAPTURE.exists()]
    report = measure_all(1 if chosen.quick else RUNS, QUICK if chosen.quick else 1, names, against)
    return print_report(report, show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
