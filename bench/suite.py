"""The command line of one suite: ``python -m bench.NAME [--quick] [--json]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.figures import QUICK_RUNS, RUNS, machine

Report = dict[str, Any]


def parser_of(name: str, text: str | None, quick: str) -> argparse.ArgumentParser:
    """The options that every suite has; ``text`` is its module's docstring, ``quick`` what --quick leaves out."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=text)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def measure_parts(parts: Mapping[str, Callable[..., Report]], *, quick: bool) -> Report:
    """Measure the parts, one after the other; each returns figures and, under ``targets``, rows of the table."""
    report: Report = {"machine": machine(), "runs": QUICK_RUNS if quick else RUNS, "targets": []}
    for name, part in parts.items():
        found = part(quick=quick)
        report["targets"] += found.pop("targets")
        report[name] = found
    return report


def print_report(report: Report, show: Callable[[Report], str], *, as_json: bool) -> int:
    """Print a report for programs or for people; returns the exit code."""
    print(json.dumps(report) if as_json else show(report))
    return 0


def run_suite(
    name: str,
    text: str | None,
    quick: str,
    argv: Sequence[str],
    measure: Callable[..., Report],
    show: Callable[[Report], str],
) -> int:
    """Run a suite that has no options of its own."""
    chosen = parser_of(name, text, quick).parse_args(argv)
    return print_report(measure(quick=chosen.quick), show, as_json=chosen.json)
