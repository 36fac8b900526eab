"""``qts export`` and ``qts compare``: the results of finished runs as files, and side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

EXPORT_FORMATS = ("csv", "parquet", "jsonl")


def add_parser(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write trades, fills, orders, equity, bars and plots of a run to files",
        description="Writes trades, fills, orders, equity, splits and dividends (actions), the bars of the price "
        "charts and what strategies have plotted, each to a file of its name. Amounts are exact decimal text in "
        "csv and jsonl, doubles in parquet.",
    )
    export.add_argument("run", metavar="DIR", type=Path, help="directory of a finished run")
    export.add_argument("--format", choices=EXPORT_FORMATS, default="csv", help="format of the files (default csv)")
    export.add_argument("--to", type=Path, metavar="OUT", help="directory to write to (default DIR/export)")
    export.add_argument("--json", action="store_true", help="print one JSON object: the files and their rows")
    export.set_defaults(func=_export)

    compare = commands.add_parser(
        "compare",
        help="show the figures of two runs side by side",
        description="Shows the figures of performance of two finished runs side by side, and what they differ in.",
    )
    compare.add_argument("runs", metavar=("A", "B"), nargs=2, type=Path, help="directories of finished runs")
    compare.add_argument("--json", action="store_true", help="print one JSON object")
    compare.set_defaults(func=_compare)


def _export(args: argparse.Namespace) -> int:
    import msgspec

    from qts.runtime.session.finished_run import finished_run
    from qts.runtime.session.session import session_facts
    from qts.wording import counted
    from qts.workbench.export import export

    directory = args.to or args.run / "export"
    facts = session_facts(finished_run(args.run))
    written = export(facts, args.format, directory, replace=args.to is None)
    if args.json:
        print(msgspec.json.encode({str(one.path): one.rows for one in written}).decode())
        return 0
    for one in written:
        print(f"{one.path}: {counted(one.rows, 'row')}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from qts.cli.comparison import comparison, print_comparison
    from qts.cli.console import Screen
    from qts.runtime.session.finished_run import finished_run

    results = [finished_run(directory) for directory in args.runs]
    if args.json:
        print(comparison(results))
    else:
        print_comparison(Screen(), results)
    return 0
