"""``qts data``: prepare recorded files, write bars to files, compare the days of the exchange with a broker."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from qts.cli.arguments import day_of
from qts.cli.session_cmd import add_reading, declared_reading
from qts.cli.settings import add_settings, directory, overrides_of

_AHEAD_DAYS: Final = 60
_MOST_NAMED: Final = 10


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
    _add_fetch(verbs)
    _add_holidays(verbs)


def _add_fetch(verbs: Any) -> None:
    fetch = verbs.add_parser(
        "fetch",
        help="write a broker's bars to files that qts backtest reads",
        description="Asks a broker for the bars of each SYMBOL and writes them to SYMBOL.csv. Days are adjusted "
        "for splits unless --raw is given. A file that is there is not replaced. The account is that of "
        "broker.kis.account; its keys come from the environment.",
    )
    fetch.add_argument("symbols", metavar="SYMBOL", nargs="+", help="codes such as 005930")
    fetch.add_argument("--feed", choices=("kis",), required=True, help="the broker to ask")
    fetch.add_argument("--from", dest="first", type=day_of, metavar="DATE", help="first day, such as 2024-01-31")
    fetch.add_argument("--to", dest="last", type=day_of, metavar="DATE", help="last day; today without it")
    fetch.add_argument("--minutes", action="store_true", help="the minutes of today in place of days")
    fetch.add_argument("--raw", action="store_true", help="prices as they were traded, also before a split")
    fetch.add_argument("--dir", type=directory, default=Path(), metavar="DIR", help="where to; here without it")
    add_settings(fetch)
    fetch.set_defaults(func=_fetch)


def _add_holidays(verbs: Any) -> None:
    holidays = verbs.add_parser(
        "holidays",
        help="compare the calendar of the exchange with what a broker says",
        description="Asks the broker on which days the exchange opens, from today on, and names the days that the "
        "calendar of QTS sees differently; then the exit code is 1. KIS answers a live account alone, and wants to "
        "be asked once a day, so its answer is kept for the day.",
    )
    holidays.add_argument("--feed", choices=("kis",), default="kis", help="the broker to ask")
    holidays.add_argument("--to", dest="last", type=day_of, metavar="DATE", help="last day; without it in 60 days")
    add_settings(holidays)
    holidays.set_defaults(func=_holidays)


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


def _fetch(args: argparse.Namespace) -> int:
    from qts.errors import InputError
    from qts.report.output_path import require_output_path, write_output
    from qts.runtime.session.session_plan import Options
    from qts.runtime.wiring.kis_data import fetch_days, fetch_minutes
    from qts.wording import counted

    what, symbols = "the bars", list(dict.fromkeys(args.symbols))
    if args.minutes and (args.first or args.last or args.raw):
        raise InputError("--minutes are those of today; give them without --from, --to and --raw")
    if not args.minutes and args.first is None:
        raise InputError("which days? give the first one, --from 2024-01-31, or --minutes for those of today")
    for symbol in symbols:
        require_output_path(what, args.dir / f"{symbol}.csv")
    options = Options(config_dir=args.config, overrides=overrides_of(args.set))
    if args.minutes:
        found = fetch_minutes(options, symbols)
    else:
        found = fetch_days(options, symbols, args.first, args.last, adjusted=not args.raw)
    kind = "minute bar" if args.minutes else "daily bar"
    for one in found:
        path = args.dir / f"{one.symbol}.csv"
        write_output(what, path, one.text.encode())
        print(f"{path}: {counted(len(one.bars), kind)}, {one.bars[0].day} to {one.bars[-1].day}")
        if one.missing:
            print(f"  {counted(len(one.missing), 'trading day')} without a bar: {_named(one.missing)}")
    return 0


def _holidays(args: argparse.Namespace) -> int:
    from datetime import timedelta

    from qts.clock import SystemClock
    from qts.market.krx import KST
    from qts.runtime.session.session_plan import Options
    from qts.runtime.wiring.kis_data import compare_days
    from qts.wording import counted

    options = Options(config_dir=args.config, overrides=overrides_of(args.set))
    last = args.last or SystemClock().now().astimezone(KST).date() + timedelta(days=_AHEAD_DAYS)
    found = compare_days(options, last)
    since = " (the answer of earlier today)" if found.is_kept else ""
    print(
        f"{counted(found.count, 'day')} compared, to {last}{since}: {counted(len(found.differences), 'difference')}"
    )
    if found.unknown:
        print(f"the broker has not told {counted(found.unknown, 'day')} of that time")
    for one in found.differences:
        theirs, ours = ("opens", "is closed") if one.opens else ("is closed", "opens")
        print(f"{one.day}: the exchange {theirs} by the broker, and {ours} by the calendar of QTS")
    return 1 if found.differences else 0


def _named(days: Sequence[date]) -> str:
    """Return the first days by name, and how many more there are."""
    named = ", ".join(str(day) for day in days[:_MOST_NAMED])
    return named if len(days) <= _MOST_NAMED else f"{named} and {len(days) - _MOST_NAMED} more"


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
