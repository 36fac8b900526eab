"""``qts data``: keep a recorded file in the form that replays read fastest; write the built-in bars to a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qts.cli.session_cmd import add_reading, declared_reading
from qts.cli.settings import add_settings, overrides_of


def add_parser(commands: Any) -> None:
    data = commands.add_parser("data", help="prepare recorded files, write the sample data")
    verbs = data.add_subparsers(title="commands", metavar="COMMAND", required=True)
    prepare = verbs.add_parser(
        "prepare",
        help="read a recorded file once, so that replays of it begin at once and run faster",
        description="Keeps the values of FILE in the user's cache directory, as its first replay does by itself "
        "(data.prepared). Replays of the same content with the same instruments then read that; the result is the "
        "same. Give the options and settings of the replay.",
    )
    prepare.add_argument("file", metavar="FILE", type=Path, help="the recording (plain or .gz)")
    add_reading(prepare)
    add_settings(prepare)
    prepare.set_defaults(func=_prepare)
    sample = verbs.add_parser(
        "sample",
        help="write a file of daily bars to try things with: 005930, 2014-2018",
        description="Writes the built-in daily bars of 005930 (Samsung Electronics, 2014-2018, adjusted prices) to "
        "FILE as a CSV. The five days without trading are left out. A file that is there is not replaced.",
    )
    sample.add_argument("file", metavar="FILE.csv", type=Path, help="where to, such as 005930.csv")
    sample.set_defaults(func=_sample)


def _prepare(args: argparse.Namespace) -> int:
    from qts.runtime.session.session_plan import Options
    from qts.runtime.wiring.plans import prepare
    from qts.wording import counted

    options = Options(config_dir=args.config, overrides=overrides_of(args.set), read_as=declared_reading(args))
    with _progress() as show:
        capture, is_new = prepare(options, args.file, args.format, show)
    size = f"{counted(capture.rows, 'value')}, {capture.size / 1_000_000:.1f} MB"
    print(f"{'prepared' if is_new else 'was prepared already'}: {args.file} ({size})")
    print(f"in {capture.path}")
    refused = sum(capture.contents.end["refused"][reason][0] for reason in capture.contents.end["refused"])
    if refused:
        print(f"{counted(refused, 'row')} cannot be used; a replay lists them by reason")
    return 0


def _sample(args: argparse.Namespace) -> int:
    from qts.errors import InputError
    from qts.market.sample import sample_csv
    from qts.report.output_path import require_output_path, write_output
    from qts.wording import counted

    path, what = args.file, "the sample data"
    if path.suffix.lower() != ".csv":
        raise InputError(f"{what} cannot go to {path}: it is a CSV; name a file that ends in .csv")
    require_output_path(what, path)
    text = sample_csv()
    write_output(what, path, text.encode())
    print(f"{path}: {counted(text.count(chr(10)) - 1, 'daily bar')} of 005930, 2014-2018")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Show a bar on the terminal, on standard error so that standard output stays clean."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:  # the library would still print an empty line
        yield lambda share: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda share: bar.update(task, completed=share)
