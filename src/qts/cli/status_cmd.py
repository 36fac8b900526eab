"""``qts status``, ``orders``, ``trades`` and ``positions``: show a run while it is running and afterwards.

They read the store and the session's view file, write nothing and make no session wait. Everything that does work
is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qts.cli.arguments import count_of, terminal_width
from qts.errors import InputError
from qts.wording import counted

if TYPE_CHECKING:
    from qts.cli.status_lists import Listing
    from qts.runtime.caching.cache_reading import CacheReader
    from qts.runtime.persistence.run_lookup import RunStatus

_T = TypeVar("_T")
LAST = 20
_EVERY_S = 1


def add_parser(subparsers: Any) -> None:
    """Add the four commands."""
    what = "the status of a run: states, account, positions, orders, queues, errors"
    _command(subparsers, "status", what, run_status, cached=True)
    for name, help_text in (
        ("orders", "the orders of a run and their states"),
        ("trades", "the fills of a run as they were booked"),
        ("positions", "the open positions of a run, with cost and price"),
    ):
        command = _command(subparsers, name, help_text, run_list, cached=name != "trades")
        command.set_defaults(listing=name)
        if name != "positions":
            command.add_argument(
                "--last",
                type=count_of,
                default=None,
                metavar="N",
                help=f"only the newest N (default {LAST} on a screen, all with --csv and --json; 0: all)",
            )


def _command(
    subparsers: Any, name: str, help_text: str, run: Callable[[argparse.Namespace], int], *, cached: bool
) -> argparse.ArgumentParser:
    with_cache = ", with --cache too" if name == "positions" else ""
    command: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=help_text,
        description=f"Show {help_text}. Times are the market's, with --csv and --json UTC{with_cache}. Without "
        "--data-dir: the newest run in ./qts-data that is running, else the newest.",
    )
    place = command.add_mutually_exclusive_group()
    place.add_argument("--data-dir", type=Path, metavar="DIR", help="the run's directory")
    if cached:
        place.add_argument(
            "--cache",
            metavar="URL",
            help="read it from the cache that the session writes to, on any machine: redis://user@host:port; the "
            "password comes from QTS_CACHE_PASSWORD or QTS_CACHE_PASSWORD_FILE",
        )
        command.add_argument(
            "--account", default="", metavar="NAME", help="with --cache: the account, where there are several"
        )
    command.add_argument("--watch", action="store_true", help="show it again every second until Ctrl-C")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values with a header")
    form.add_argument("--json", action="store_true", help="print one JSON object (with --watch one a line)")
    command.set_defaults(func=run, last=None, cache=None, account="")
    return command


def run_status(args: argparse.Namespace) -> int:
    """Run ``qts status``: exit code 0, also at the end of --watch; 2 when there is no such run."""
    if _is_cached(args):
        from qts.cli.cached_status import read_view, view_text

        return _show_cached(args, read_view, lambda found: view_text(found, args, terminal_width()))

    from qts.cli.columns import csv_text
    from qts.cli.status_screen import facts_of, status_lines, status_values

    def shown(status: RunStatus) -> str:
        if args.json:
            return json.dumps(status_values(status), ensure_ascii=False)
        if args.csv:
            return csv_text(*facts_of(status))
        return "\n".join(status_lines(status, terminal_width()))

    return _show(args, shown)


def run_list(args: argparse.Namespace) -> int:
    """Run ``qts orders``, ``trades`` or ``positions``: exit codes like :func:`run_status`.

    With ``--cache`` it is 3 when something that should be in the list is not known now.
    """
    if _is_cached(args):
        from qts.cli.cached_status import VALUES, values_text

        cached = VALUES[args.listing]
        return _show_cached(
            args, cached.read, lambda found: values_text(cached, found, args, _most(args), terminal_width())
        )

    from qts.cli.status_lists import LISTINGS

    listing = LISTINGS[args.listing]
    return _show(args, lambda status: _list_text(listing, status, args), **listing.needs)


def _list_text(listing: Listing, status: RunStatus, args: argparse.Namespace) -> str:
    from qts.cli.columns import csv_text, table_lines
    from qts.cli.status_screen import run_values, time_of, unknown_lines, unknown_values
    from qts.runtime.persistence.run_lookup import status_line

    view = status.view if args.listing == "orders" else None
    unknown = () if view is None else view.unknown_orders
    records = listing.records(status)
    most = _most(args)
    newest = records[-most:] if most else records
    if args.csv:
        return csv_text(listing.columns, [listing.exact(record) for record in newest])
    if args.json:
        keys = [column.key for column in listing.columns]
        rows = [dict(zip(keys, listing.plain(record), strict=True)) for record in newest]
        more = unknown_values(unknown) if args.listing == "orders" else {}
        return json.dumps({"run": run_values(status), args.listing: rows, **more}, ensure_ascii=False)
    lines = [f"{status_line(status)} · {status.found.directory}"]
    if not newest:
        lines.append(f"no {args.listing}")
    else:
        time = time_of(status)
        lines += table_lines(
            listing.titled(time), [listing.shown(record, time) for record in newest], terminal_width()
        )
        if len(newest) < len(records):
            lines.append(f"the newest {len(newest):,} of {len(records):,}; --last 0 shows all")
    if view is not None:
        lines += unknown_lines(unknown, terminal_width(), ended=bool(view.ended))
    return "\n".join(lines)


def _most(args: argparse.Namespace) -> int:
    """Return how many records are shown, the newest; 0: all."""
    if args.last is not None:
        return int(args.last)
    return 0 if args.csv or args.json or args.listing == "positions" else LAST


def _show(args: argparse.Namespace, text_of: Callable[[RunStatus], str], **needs: bool) -> int:
    """Print what ``text_of`` makes of the run, once or every second."""
    from qts.clock import SystemClock
    from qts.db.find_run import find_run
    from qts.runtime.persistence.run_lookup import read_status, status_line

    machine = SystemClock()

    def shown() -> tuple[str, str]:
        """Return the text, and the line about the run; it is looked up each time: a newer one may have begun."""
        status = read_status(find_run(args.data_dir), machine.time_ns(), **needs)
        return text_of(status), f"{status_line(status)} · {status.found.directory}"

    return _repeat(args, shown)


def _is_cached(args: argparse.Namespace) -> bool:
    """Return whether a cache is to be read. Raises InputError for an account without one."""
    if args.account and args.cache is None:
        raise InputError("--account is for --cache URL; a run on this machine is named by --data-dir")
    return args.cache is not None


def _show_cached(
    args: argparse.Namespace, read: Callable[[CacheReader], _T], text_of: Callable[[_T], tuple[str, str]]
) -> int:
    """Print what ``text_of`` makes of what ``read`` finds in the cache, once or every second."""
    import os

    from qts.cli.cached_status import code_of
    from qts.clock import SystemClock
    from qts.config.loader import load_config
    from qts.runtime.caching.cache_reading import CacheReader

    config = load_config(None, {}, os.environ).tree.cache
    code = 0

    def shown() -> tuple[str, str]:
        nonlocal code
        found = read(reader)
        code = code_of(found)
        return text_of(found)

    with CacheReader(args.cache, os.environ, args.account, config, SystemClock()) as reader:
        return _repeat(args, shown) or (0 if args.watch else code)


def _repeat(args: argparse.Namespace, text_of: Callable[[], tuple[str, str]]) -> int:
    """Print a text, once or every second; with ``--csv`` the line about it goes to standard error."""
    from qts.clock import NS_PER_S, PacedClock, SystemClock

    if args.watch and args.csv:
        raise InputError("--watch and --csv exclude each other: --csv is one table")
    clock = PacedClock(SystemClock().now())
    shown = 0
    try:
        while True:
            text, about = text_of()
            _print(text, args, shown)
            if args.csv:
                print(about, file=sys.stderr)
            if not args.watch:
                return 0
            shown += 1
            clock.wait_until_ns(clock.time_ns() + _EVERY_S * NS_PER_S, lambda: False)
    except KeyboardInterrupt:
        if not args.watch:
            raise
        return 0


def _print(text: str, args: argparse.Namespace, shown: int) -> None:
    if args.csv:
        print(text, end="")
    elif args.watch and not args.json and sys.stdout.isatty():
        print(_over_the_last(text, first=shown == 0), end="")
    else:
        print(text if args.json or not shown else f"\n{text}")
    sys.stdout.flush()


def _over_the_last(text: str, *, first: bool) -> str:
    """Return terminal codes that replace the last text by ``text`` without flicker."""
    lines = text.split("\n")
    room = shutil.get_terminal_size().lines - 1
    if len(lines) > room > 1:
        lines = [*lines[: room - 1], f"… {counted(len(lines) - room + 1, 'more line')}; a higher window shows them"]
    start = "\x1b[2J\x1b[H" if first else "\x1b[H"
    return start + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
