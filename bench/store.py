"""What a server behind the local book costs: the batch of a fill, a followed replay, a minute without it, and P0.

``python -m bench.store [--quick] [--json] [--only PART | --against CHECKOUT]`` starts a PostgreSQL of its own, its
data on a disk and with fsync, so it needs the extras ``postgres`` and ``test``. The parts:

``fill``: the batch of a fill, applied, beside a bare one-row autocommit insert; and its round trips on the wire.
``away``: a server that is away for a minute at 50 fills a second.
``flood``: the waits of P0 events under a flood, with everything of a server at work and without.
``sessions``: whole commands, followed and by themselves; what the server has is compared row by row.

``--against CHECKOUT`` measures only what commands take without a server, by turns with the package of another
checkout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import store_away, store_fill, store_flood, store_sessions
from bench.figures import about, micros, targets_table
from bench.suite import measure_parts, print_report

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "fill": store_fill.measure,
    "away": store_away.measure,
    "flood": store_flood.measure,
    "sessions": store_sessions.measure_followed,
}


def show(report: dict[str, Any]) -> str:
    """The figures as a table, and what they are made of."""
    lines = [about(report), "", targets_table(report["targets"]), ""]
    if "fill" in report:
        for name, what in (("batch_us", "fill batch"), ("insert_us", "bare insert")):
            figures = report["fill"][name]
            lines.append(f"{what}: p50 {micros(figures['p50'])}, p99 {micros(figures['p99'])}")
    if "away" in report:
        one = report["away"]
        lines.append(
            f"away: {one['fills']:,} fills, commits p99 {one['commit_p99_ms'][1]} ms after they were due, before "
            f"{one['commit_p99_ms'][0]} ms; {one['late']} over 100 ms late, before {one['late_before']}; "
            f"{one['missed']:,} batches drained in {one['drained_s']} s"
        )
    if "flood" in report:
        one = report["flood"]
        lines += [f"flood, {arm}: p99 in µs {found}" for arm, found in one["p99_us"].items()]
        lines += [f"  followed ÷ {arm} {found}" for arm, found in one["ratios"].items()]
    if "sessions" in report:
        lines.append(store_sessions.show(report["sessions"]))
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs and loads")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="measure its package by turns with this one"
    )
    chosen = parser.parse_args(argv)
    parts = {chosen.only: PARTS[chosen.only]} if chosen.only else PARTS
    if chosen.against is not None:
        parts = {"sessions": partial(store_sessions.measure_serverless, chosen.against)}
    report = measure_parts(parts, quick=chosen.quick)
    return print_report(report, show, as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
