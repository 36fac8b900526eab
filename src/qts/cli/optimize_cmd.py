"""``qts optimize``: search the parameters of a strategy, and say how much of the best is luck."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.cli.arguments import count_of
from qts.cli.session_cmd import add_adjust, add_history, add_reading, add_rules, add_seed, add_window, options_of
from qts.cli.settings import add_settings, directory

if TYPE_CHECKING:
    from qts.search.contracts import Pool
    from qts.search.search import Progress
    from qts.search.study import Definition, Study

_ACTIONS = ("status", "show", "best", "resume", "open-holdout")
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,9})([KMG]?)B?", re.ASCII)
_LEAST_MEMORY = 256 << 20


def add_parser(commands: Any) -> None:
    optimize = commands.add_parser(
        "optimize",
        help="search the parameters of a strategy, and say how much of the best is luck",
        description="Backtests a strategy with many parameters on all cores and ranks them. The same study gives "
        "the same answer for any number of workers, and goes on after a stop or a crash: "
        "qts optimize status|show|best|resume|open-holdout STUDY.",
    )
    optimize.add_argument(
        "what",
        metavar="DATA",
        nargs="+",
        help="files of bars or a folder of them (a universe), or one recording; or status, show, best, resume or "
        "open-holdout and the directory of a study",
    )
    optimize.add_argument(
        "--strategy", action="append", default=[], metavar="FILE.py:Class", help="the strategy to search"
    )
    optimize.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values to try: fast=3..20, slow=10..60:5 (in steps), mode=a,b or fast=10 (repeatable)",
    )
    optimize.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="try only combinations that meet it, such as 'fast < slow' (repeatable)",
    )
    optimize.add_argument(
        "--objective",
        default="sharpe",
        metavar="NAME",
        help="rank by sharpe (the default), sortino, calmar or net return",
    )
    optimize.add_argument(
        "--min-trades",
        type=count_of,
        default=30,
        metavar="N",
        help="leave out trials with fewer completed round trips (default 30)",
    )
    optimize.add_argument(
        "--method",
        default="grid",
        metavar="NAME",
        help="grid: every combination (the default); random; qmc: evenly spread; tpe: learns from trials (the "
        "extra optimize)",
    )
    optimize.add_argument("--trials", type=count_of, metavar="N", help="number of combinations of each fold")
    optimize.add_argument(
        "--max-trials", type=count_of, default=10_000, metavar="N", help="refuse to run more (default 10,000)"
    )
    add_seed(optimize)
    optimize.add_argument(
        "--repeat", type=count_of, default=1, metavar="K", help="run each with K seeds and rank by the median"
    )
    optimize.add_argument("--workers", type=count_of, metavar="W", help="processes (default: one for each core)")
    optimize.add_argument(
        "--split",
        default="none",
        metavar="NAME",
        help="none (the default); walk-forward; purged-kfold: judge the best in sessions that did not choose it",
    )
    optimize.add_argument("--train", metavar="250d", help="walk-forward: sessions of a search")
    optimize.add_argument("--test", metavar="60d", help="walk-forward: sessions that judge its best")
    optimize.add_argument(
        "--anchored", action="store_true", help="walk-forward: each search begins with the first session"
    )
    optimize.add_argument("--folds", type=count_of, default=5, metavar="N", help="purged-kfold: parts (default 5)")
    optimize.add_argument(
        "--embargo", metavar="1d", help="sessions between a search and what judges it that belong to neither"
    )
    optimize.add_argument("--holdout", metavar="20%", help="seal this share of the sessions, at the end")
    optimize.add_argument(
        "--trial-timeout", type=_seconds, default=600.0, metavar="S", help="longest trial in seconds (default 600)"
    )
    optimize.add_argument(
        "--trial-memory", type=_size, default=0, metavar="4G", help="most memory of a worker (default: no limit)"
    )
    optimize.add_argument(
        "--data-dir", type=directory, metavar="DIR", help="directory of the study (default ./qts-data/study-<id>)"
    )
    optimize.add_argument("--json", action="store_true", help="print one JSON object instead of the summary")
    optimize.add_argument(
        "--report", type=Path, metavar="OUT.html", help="write a self-contained report with plots"
    )
    add_window(optimize)
    add_history(optimize)
    add_reading(optimize, "DATA")
    add_adjust(optimize)
    add_rules(optimize)
    add_settings(optimize)
    optimize.set_defaults(func=_optimize, speed=None, resume=False, strict=False)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 86,400")
    return value


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip().upper())
    value = int(found[1]) * _SIZES[found[2]] if found else 0
    if value < _LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4G or 800M, at least 256M")
    return value


def _optimize(args: argparse.Namespace) -> int:
    if args.what[0] in _ACTIONS and not Path(args.what[0]).exists():
        return _at_study(args)
    return _begin(args)


def _begin(args: argparse.Namespace) -> int:
    from qts.errors import InputError
    from qts.search.begin import definition_of, directory_of
    from qts.search.study import Study

    if len(args.strategy) != 1:
        raise InputError(
            f"a search needs one strategy, {len(args.strategy)} are named: name it by --strategy FILE.py:Class"
        )
    _workers(args)
    _check_report(args)
    definition = definition_of(_request(args))
    with Study.begin(args.data_dir or directory_of(definition), definition) as study:
        return _run(study, args)


def _request(args: argparse.Namespace) -> Any:
    from qts.cli.distribution import version
    from qts.search.begin import Request
    from qts.search.splits import Split, days_of, share_of

    (place,), params, report = args.strategy, tuple(args.param), args.report
    args.strategy, args.param, args.report, args.plain = [], [], None, not args.rules
    options = options_of(args)
    args.report = report
    return Request(
        files=tuple(Path(text) for text in args.what),
        format=args.format,
        strategy=place,
        params=params,
        where=tuple(args.where),
        options=options,
        version=version(),
        objective=args.objective,
        min_trades=args.min_trades,
        method=args.method,
        trials=args.trials,
        most=args.max_trials,
        repeat=args.repeat,
        split=Split(
            kind=args.split,
            train=days_of(args.train, "--train") if args.train else 0,
            test=days_of(args.test, "--test") if args.test else 0,
            is_anchored=args.anchored,
            folds=args.folds,
            embargo=days_of(args.embargo, "--embargo") if args.embargo else 0,
            holdout=share_of(args.holdout, "--holdout") if args.holdout else 0.0,
        ),
        memory_bytes=args.trial_memory,
    )


def _at_study(args: argparse.Namespace) -> int:
    from qts.errors import InputError
    from qts.search.study import Study

    action, *places = args.what
    if len(places) != 1:
        raise InputError(f"qts optimize {action} wants the directory of one study, got {len(places)}")
    _check_report(args)
    path = Path(places[0])
    if action in ("status", "show", "best"):
        with Study(path, writes=False) as study:
            return _show(study, args, action)
    with Study(path, writes=True) as study:
        return _run(study, args) if action == "resume" else _open_sealed(study, args)


def _check_report(args: argparse.Namespace) -> None:
    if args.report is not None:
        from qts.report.output_path import require_output_path

        require_output_path("the report", args.report, made=args.data_dir)


def _run(study: Study, args: argparse.Namespace) -> int:
    from qts.cli.session import STOPPED, stop_on_signals
    from qts.runtime.control.stop_flag import StopFlag
    from qts.search.search import Search, Stopped

    stop = StopFlag()
    with (
        stop_on_signals(stop),
        _pool(study.definition, args, lambda: stop.requested) as pool,
        _progress(study.definition) as show,
        suppress(Stopped),
    ):
        Search(study, pool, on_progress=show, is_stopped=lambda: stop.requested).run()
    if not stop.requested:
        study.note("finished", "yes")
    _show(study, args, "show")
    return STOPPED if stop.requested else 0


def _workers(args: argparse.Namespace) -> int:
    """Return how many processes are wanted. Raises InputError for too many, or none."""
    from qts.errors import InputError
    from qts.search.local_pool import MOST_WORKERS

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted: int = cores if args.workers is None else args.workers
    if not 1 <= wanted <= MOST_WORKERS:
        raise InputError(f"--workers {wanted}: must be from 1 to {MOST_WORKERS}")
    return wanted


@contextmanager
def _pool(definition: Definition, args: argparse.Namespace, is_stopped: Callable[[], bool]) -> Iterator[Pool]:
    from qts.search.local_pool import LocalPool

    pool = LocalPool(definition.setup, _workers(args), args.trial_timeout, os.environ, is_stopped)
    try:
        yield pool
    finally:
        pool.close()


def _open_sealed(study: Study, args: argparse.Namespace) -> int:
    from qts.clock import SystemClock
    from qts.errors import InputError
    from qts.search.outcome import outcome_of
    from qts.search.search import Search
    from qts.search.study import sealed_windows

    sealed_windows(study.definition.plan)
    best = outcome_of(study, is_finished=True).params
    if not best:
        raise InputError("no trial of this study can be ranked, so there is nothing to try on the sealed sessions")
    number = study.open_sealed(SystemClock().now().isoformat(timespec="seconds"), best)
    with _pool(study.definition, args, lambda: False) as pool:
        search = Search(study, pool, on_progress=lambda progress: None, is_stopped=lambda: False)
        search.run_sealed(number, best)
    return _show(study, args, "show")


def _show(study: Study, args: argparse.Namespace, action: str) -> int:
    import msgspec

    from qts.cli.console import Screen
    from qts.cli.optimize_summary import print_best, print_outcome, print_status
    from qts.search.outcome import outcome_of

    outcome = outcome_of(study, is_finished=study.noted("finished") is not None)
    if args.report is not None:
        from qts.search.report import write_study_report

        write_study_report(study, outcome, args.report)
    if args.json:
        print(msgspec.json.encode(outcome).decode())
    elif action == "status":
        print_status(Screen(), study, outcome)
    elif action == "best":
        print_best(Screen(), study, outcome)
    else:
        print_outcome(Screen(), study, outcome)
    return 0


@contextmanager
def _progress(definition: Definition) -> Iterator[Callable[[Progress], object]]:
    """Show done, failed, best so far, rate and time left: a bar on a terminal, now and then a line without one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from qts.clock import NS_PER_S, stopwatch_ns
    from qts.runtime.drivers.standard_output import say

    def told(progress: Progress) -> str:
        best = "none yet" if progress.best is None else f"{progress.best:.4g}"
        fold = f"fold {progress.fold + 1} of {progress.folds} · " if progress.folds > 1 else ""
        return f"{fold}best {definition.objective} {best} · {progress.failed} failed"

    console = Console(stderr=True)
    if not console.is_terminal:
        begun = last = stopwatch_ns()

        def line(progress: Progress) -> None:
            nonlocal last
            now = stopwatch_ns()
            if now - last >= 10 * NS_PER_S:
                last = now
                rate = progress.done / ((now - begun) / NS_PER_S)
                of = "" if progress.total is None else f" of {progress.total}"
                say(f"{progress.done}{of} trials · {rate:.1f} a second · {told(progress)}")

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda progress: bar.update(
            task, completed=progress.done, total=progress.total, description=told(progress)
        )
