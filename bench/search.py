"""Searches over parameters: two workers beside one, what a trial costs beside its backtest, and backtesting.py.

``python -m bench.search [--quick] [--json] [--only PART]``. ``workers``: the same trials by one worker and by two,
by turns. ``trial``: a trial through pool and study beside the same backtest in this process. ``peer``: trials a
second beside ``optimize`` of backtesting.py over the same bars and the same grid, both with two processes.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.backtest import STRATEGY
from bench.figures import QUICK_RUNS, RUNS, median_ratio, table
from bench.suite import measure_parts, parser_of, print_report
from qts.market.sample import load_sample
from qts.runtime.session.session_plan import Options, Profile
from qts.search.begin import Request, definition_of
from qts.search.contracts import Job, encode
from qts.search.local_pool import LocalPool
from qts.search.search import Search, key_of
from qts.search.study import Definition, Study
from qts.search.trial import Trials

FASTER, MOST_OVERHEAD, OF_PEER = 1.8, 0.1, 2.0
SYMBOLS, TRIALS = 8, 8
GRID = ("fast=5..20:5", "slow=30..60:10")


def write_bars(directory: Path, symbols: int) -> tuple[Path, ...]:
    """Write the packaged days of 005930 as files of so many symbols."""
    rows = [
        f"{one.day.isoformat()},{one.bar.open},{one.bar.high},{one.bar.low},{one.bar.close},{one.bar.volume}"
        for one in load_sample()
        if one.bar is not None and not one.bar.is_halt
    ]
    text = "\n".join(["Date,Open,High,Low,Close,Volume", *rows, ""])
    files = tuple(directory / f"{5_930 + number:06d}.csv" for number in range(symbols))
    for path in files:
        path.write_text(text)
    return files


def definition(directory: Path, files: tuple[Path, ...], params: tuple[str, ...]) -> Definition:
    """Return the study of a grid over ``files``."""
    place = directory / "cross.py"
    place.write_text(STRATEGY)
    return definition_of(
        Request(
            files=files,
            format=None,
            strategy=f"{place}:Cross",
            params=params,
            where=(),
            options=Options(profile=Profile.PLAIN, overrides={"runtime.equity_start": "1000000000"}),
            version="bench",
            min_trades=0,
        )
    )


def searched(directory: Path, of: Definition, workers: int) -> float:
    """Return the seconds of the study, from the first trial on: the workers are there already."""
    pool = LocalPool(of.setup, workers, 600.0, os.environ)
    windows = of.plan.folds[0].train
    first = {axis.name: axis.values[0] for axis in of.axes}
    warm = [
        (number, encode(Job(number=number, key=str(number), params=first, windows=windows, seed=number)))
        for number in range(2 * workers)
    ]
    for _ in pool.run(warm):
        pass
    with tempfile.TemporaryDirectory(dir=directory) as place, Study.begin(Path(place) / "study", of) as study:
        begun = perf_counter()
        Search(study, pool, on_progress=lambda one: None, is_stopped=lambda: False).run()
        took = perf_counter() - begun
    pool.close()
    return took


def measure_workers(*, quick: bool) -> dict[str, Any]:
    """Two workers beside one, by turns."""
    one, two = [], []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        of = definition(directory, write_bars(directory, 2 if quick else SYMBOLS), (f"fast=10..{9 + TRIALS}",))
        for _ in range(QUICK_RUNS if quick else RUNS):
            one.append(searched(directory, of, 1))
            two.append(searched(directory, of, 2))
    ratio = median_ratio(one, two)
    return {
        "trial_s": round(statistics.median(one) / TRIALS, 2),
        "targets": [_target("two workers, times as fast as one", ratio, FASTER, at_least=True)],
    }


def measure_trial(*, quick: bool) -> dict[str, Any]:
    """A trial through pool and study beside its backtest alone."""
    plain, through = [], []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        of = definition(directory, write_bars(directory, 1), (f"fast=10..{9 + TRIALS}",))
        trials, windows = Trials(of.setup), of.plan.folds[0].train
        for _ in range(QUICK_RUNS if quick else RUNS):
            begun = perf_counter()
            for number in range(TRIALS):
                params = {"fast": str(10 + number)}
                key = key_of(of, params, windows, of.seed)
                trials.answer(Job(number=number, key=key, params=params, windows=windows, seed=of.seed))
            plain.append((perf_counter() - begun) / TRIALS)
            through.append(searched(directory, of, 1) / TRIALS)
    share = median_ratio(through, plain) - 1.0
    return {
        "backtest_s": round(statistics.median(plain), 3),
        "targets": [_target("what a trial costs beside its backtest, share of it", share, MOST_OVERHEAD)],
    }


def measure_peer(*, quick: bool) -> dict[str, Any]:
    """Trials a second beside backtesting.py."""
    try:
        peer = _peer()
    except ImportError as error:
        return {"missing": f"backtesting.py: {error}; install the extra `bench`", "targets": []}
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (file,) = write_bars(directory, 1)
        of = definition(directory, (file,), GRID)
        for _ in range(QUICK_RUNS if quick else RUNS):
            ours.append(searched(directory, of, 2))
            begun = perf_counter()
            peer(file)
            theirs.append(perf_counter() - begun)
    ratio = median_ratio(theirs, ours)
    return {"targets": [_target("trials a second, times those of backtesting.py", ratio, OF_PEER, at_least=True)]}


def _peer() -> Callable[[Path], object]:
    import pandas as pd
    from backtesting import Backtest

    from bench.search_peer import Cross

    def optimize(file: Path) -> object:
        frame = pd.read_csv(file, index_col=0, parse_dates=True)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            tested = Backtest(frame, Cross, cash=1_000_000_000, commission=0, finalize_trades=True)
            return tested.optimize(fast=[5, 10, 15, 20], slow=[30, 40, 50, 60], maximize="Sharpe Ratio")

    return optimize


def _target(what: str, value: float, bar: float, *, at_least: bool = False) -> dict[str, Any]:
    met = value >= bar if at_least else value <= bar
    return {"what": what, "value": round(value, 3), "bar": bar, "at_least": at_least, "met": met}


def show(report: dict[str, Any]) -> str:
    """The targets as a table."""
    rows = [
        [one["what"], f"{one['value']:.2f}", f"{'≥' if one['at_least'] else '≤'} {one['bar']}", _met(one)]
        for one in report["targets"]
    ]
    figures = [
        f"{name}: " + ", ".join(f"{key} {value}" for key, value in report[name].items())
        for name in PARTS
        if report.get(name)
    ]
    return "\n".join([table(["target", "measured", "bar", ""], rows), "", *figures])


def _met(target: dict[str, Any]) -> str:
    return "met" if target["met"] else "missed"


PARTS = {"workers": measure_workers, "trial": measure_trial, "peer": measure_peer}


def main(argv: list[str]) -> int:
    parser = parser_of("search", __doc__, "fewer runs, shorter trials")
    parser.add_argument("--only", choices=tuple(PARTS), help="one part alone")
    chosen = parser.parse_args(argv)
    parts = {name: part for name, part in PARTS.items() if chosen.only in (None, name)}
    return print_report(measure_parts(parts, quick=chosen.quick), show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
