"""How long the governor takes to replay 8,000 days (32 years), from rows and from a CSV file.

``python -m bench.state [--quick] [--json]``.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.figures import QUICK_RUNS, RUNS, machine, table
from bench.suite import run_suite
from qts.ids import seeded
from qts.state.backtest import SeriesRow, backtest, read_series

DAYS = 8_000
TARGET_S = 5.0


def series(days: int) -> list[SeriesRow]:
    """A seeded index with calm and stormy stretches, so that the governor has something to do."""
    rng = seeded(1, "bench-state")
    day, close, fear = date(1990, 1, 2), 1_000.0, 18.0
    rows: list[SeriesRow] = []
    while len(rows) < days:
        if day.weekday() < 5:
            storm = rng.random() < 0.01
            fear = min(80.0, max(10.0, fear + rng.gauss(0, 1.0) + 0.05 * (18.0 - fear) + (20.0 if storm else 0.0)))
            close *= math.exp(rng.gauss(0.0003, fear / 1_600) - (0.03 if storm else 0.0))
            rows.append(SeriesRow(day, round(close, 2), round(fear, 2)))
        day += timedelta(days=1)
    return rows


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Seconds, medians."""
    runs = QUICK_RUNS if quick else RUNS
    rows = series(DAYS)
    from_rows, from_file, transitions = [], [], 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "series.csv"
        path.write_text("date,close,vix\n" + "".join(f"{row.day},{row.close},{row.vix}\n" for row in rows))
        for _ in range(runs):
            begun = perf_counter()
            transitions = len(backtest(rows))
            between = perf_counter()
            backtest(read_series(path)[0])
            from_rows.append(between - begun)
            from_file.append(perf_counter() - between)
    seconds = statistics.median(from_file)
    return {
        "machine": machine(),
        "runs": runs,
        "days": DAYS,
        "transitions": transitions,
        "rows_s": round(statistics.median(from_rows), 3),
        "file_s": round(seconds, 3),
        "targets": [
            {
                "what": "state backtest of 8,000 days, s",
                "value": seconds,
                "bar": TARGET_S,
                "met": seconds <= TARGET_S,
            }
        ],
    }


def show(report: dict[str, Any]) -> str:
    rows = [
        ["rows in memory", f"{report['rows_s']:.2f} s", f"{report['days'] / report['rows_s']:,.0f}"],
        ["CSV file", f"{report['file_s']:.2f} s", f"{report['days'] / report['file_s']:,.0f}"],
    ]
    head = f"state backtest of {report['days']:,} days, {report['transitions']} transitions"
    return table([head, "took", "days/s"], rows)


if __name__ == "__main__":
    sys.exit(run_suite("state", __doc__, "fewer runs", sys.argv[1:], measure, show))
