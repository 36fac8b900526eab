"""``qts ledger``: the book of a run in double entry, shown and computed again.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qts.cli.arguments import count_of, day_of, terminal_width
from qts.cli.run_selection import add_run_option
from qts.errors import InputError, InvariantBreach

if TYPE_CHECKING:
    from qts.ledger.entries import Entry

LAST = 20
SHOWN_DIFFERENCES = 10
SHOWN_ACCOUNTS = 12


def add_parser(subparsers: Any) -> None:
    """Add ``qts ledger show`` and ``qts ledger verify``."""
    parser = subparsers.add_parser(
        "ledger",
        help="the book of a run in double entry: entries by account, day or order, and a check of all of it",
        description="Shows the book of a run in double entry, and computes it again from its rows.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="the entries of the book",
        description="Shows the entries of the book, each with its postings. Positive amounts are held or were "
        "spent, negative ones say where they come from (a negative result was earned); every "
        "entry adds up to 0. With --account each line has the "
        "balance after it. Times are the market's, with --csv and --json UTC.",
    )
    show.add_argument(
        "--account",
        metavar="NAME",
        default="",
        help="only postings of this account or group: cash, cash:SCALP, holding:STRATEGY:SYMBOL, result, fees, "
        "taxes, dividends, capital, market:SYMBOL, external",
    )
    show.add_argument("--day", metavar="YYYY-MM-DD", type=day_of, help="only entries of this day of the market")
    show.add_argument(
        "--order", metavar="ID", default="", help="only entries of this order, transfer, booking or ex-date"
    )
    show.add_argument(
        "--last",
        metavar="N",
        type=count_of,
        default=None,
        help=f"only the newest N entries (default {LAST} on a screen, all with --csv and --json; 0: all)",
    )
    form = show.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values with a header")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    add_run_option(show)
    show.set_defaults(func=run_show)
    verify = commands.add_parser(
        "verify",
        help="compute the whole book again and name the first difference",
        description="Computes the book again from its rows: every amount, that every entry adds up to 0, the cash "
        "and results of pools, shares and costs of holdings, fills against their orders, reversals against their "
        "fills, closes of days against the rows they cover, and costs from the prices paid. Exit code 4 when "
        "anything differs.",
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    add_run_option(verify)
    verify.set_defaults(func=run_verify)


def run_show(args: argparse.Namespace) -> int:
    """Run ``qts ledger show``: exit code 0; 2 when there is no such run, account or order."""
    from qts.cli.ledger_lines import entry_table, entry_values
    from qts.cli.market_time import MarketTime
    from qts.cli.run_selection import run_line
    from qts.db.find_run import find_run
    from qts.ledger.verification import selected
    from qts.runtime.persistence.book_reader import read_book

    found = find_run(args.data_dir)
    time = MarketTime.of_run(found.directory)
    entries = read_book(found).entries()
    _refuse_unknown(entries, args.account, args.order)
    since_ns, until_ns = (None, None) if args.day is None else time.bounds(args.day)
    chosen = list(selected(entries, account=args.account, order=args.order, since_ns=since_ns, until_ns=until_ns))
    most = args.last if args.last is not None else 0 if args.csv or args.json else LAST
    newest = chosen[-most:] if most else chosen
    if args.json:
        print(json.dumps({"entries": [entry_values(*one) for one in newest]}, ensure_ascii=False))
        return 0
    table = entry_table(newest, args.account)
    if args.csv:
        print(table.csv(), end="")
        return 0
    print(run_line(found))
    print("\n".join(table.lines(time, terminal_width())) if newest else "no entries")
    if len(newest) < len(chosen):
        print(f"the newest {len(newest):,} of {len(chosen):,} entries; --last 0 shows all")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Run ``qts ledger verify``: exit code 0 when nothing differs, 4 when anything does, 2 when there is no run."""
    from qts.cli.run_selection import run_line
    from qts.db.find_run import find_run
    from qts.ledger.verification import verify
    from qts.runtime.persistence.book_reader import read_book
    from qts.wording import counted

    found = find_run(args.data_dir)
    book = read_book(found)
    done = verify(book)
    if args.json:
        differences = [{"subject": one.subject, "detail": one.detail} for one in done.differences]
        counts = {"entries": done.entries, "postings": done.postings, "comparisons": done.comparisons}
        print(json.dumps({"directory": str(found.directory), **counts, "differences": differences}))
        return InvariantBreach.exit_code if differences else 0
    print(run_line(found))
    print(
        f"book   {counted(done.entries, 'entry', 'entries')}, {counted(done.postings, 'posting')}, "
        f"{counted(done.comparisons, 'comparison')}"
    )
    if book.quantum is None:
        print("note   an exported run, or one of an earlier version: costs were not computed again from the prices")
    if not done.differences:
        print("result every entry adds up to 0, and the sums of all are what is stored")
        return 0
    print(f"result {counted(len(done.differences), 'difference')}, the first: {done.differences[0]}")
    for one in done.differences[1:SHOWN_DIFFERENCES]:
        print(f"       {one}")
    if len(done.differences) > SHOWN_DIFFERENCES:
        print(f"       … and {len(done.differences) - SHOWN_DIFFERENCES:,} more")
    return InvariantBreach.exit_code


def _refuse_unknown(entries: Sequence[Entry], account: str, order: str) -> None:
    """Raise InputError for an account or a reference that no entry has; a kind of accounts may have none."""
    from qts.ledger.entries import BookKind
    from qts.ledger.verification import is_in

    accounts = {one.account for entry in entries for one in entry.postings}
    if (
        account
        and account not in {kind.value for kind in BookKind}
        and not any(is_in(one, account) for one in accounts)
    ):
        kind, *_ = account.split(":")
        alike = sorted(str(one) for one in accounts if one.kind.value == kind)
        there = alike or sorted({one.kind.value for one in accounts})
        more = ", …" if len(there) > SHOWN_ACCOUNTS else ""
        raise InputError(f"the book has no account {account!r}; it has {', '.join(there[:SHOWN_ACCOUNTS])}{more}")
    if order and all(entry.reference != order for entry in entries):
        raise InputError(f"the book has no entry of {order!r}; qts orders --last 0 shows the orders of the run")
