"""``qts stop``: stop a running session, or one part of it, and wait until that is done.

``qts safety stop`` is its former name and stays for one release.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qts.cli.answers import NOT_DONE, REFUSED, add_wait, print_session, print_unanswered, wait_for
from qts.cli.operator_cmd import add_scope
from qts.cli.session_choice import running_sessions, why_none_is_taken
from qts.wording import counted

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun
    from qts.runtime.control.commands import Answer, Stop

WAIT_S = 30.0


def add_parser(commands: Any) -> None:
    text = "stop trading, all of it or one part: cancel orders, then sell or keep the positions"
    stop = commands.add_parser(
        "stop",
        help=text,
        description="Without a scope safety goes to LOCKDOWN. With one only that part is stopped until "
        "'qts safety release' with the same scope. Exit code 0: done; 1: orders are still open, or with "
        "--sell positions are; 2: refused.",
    )
    what = stop.add_mutually_exclusive_group(required=True)
    what.add_argument("--keep", action="store_true", help="cancel every order and sell nothing")
    what.add_argument("--sell", action="store_true", help="cancel every order and sell every position")
    _common(stop, required=False)
    add_scope(stop, "stop")
    stop.set_defaults(func=_stop)


def add_alias(commands: Any) -> None:
    """Add ``stop``, its former name, to the commands of ``qts safety``."""
    alias = commands.add_parser("stop", help="the former name of 'qts stop --sell'; removed in the next release")
    alias.add_argument("--keep-positions", action="store_true", help="the former name of --keep")
    _common(alias, required=True)
    alias.set_defaults(func=_alias, only_strategy="", only_symbol="", only_pool="")


def _common(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        required=required,
        metavar="DIR",
        help="the running session's directory" + ("" if required else " (default: the newest that is running)"),
    )
    parser.add_argument("--operator", required=True, metavar="WHO", help="who gives the command; recorded")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; recorded")
    add_wait(parser, WAIT_S)


def _alias(args: argparse.Namespace) -> int:
    new = "qts stop --keep" if args.keep_positions else "qts stop --sell"
    print(f"qts safety stop is now called {new}; the old name is removed in the next release", file=sys.stderr)
    args.sell = not args.keep_positions
    return _stop(args)


def _stop(args: argparse.Namespace) -> int:
    from qts.db.find_run import find_run
    from qts.errors import InputError
    from qts.runtime.control.command_files import write_command
    from qts.runtime.control.commands import Stop

    run = find_run(args.data_dir) if args.data_dir else next(iter(running_sessions()), None) or find_run()
    why = why_none_is_taken(run)
    if why:
        print(why)
        return REFUSED
    command = Stop(
        operator=args.operator,
        reason=args.reason,
        liquidate=args.sell,
        strategy=args.only_strategy,
        symbol=args.only_symbol,
        pool=args.only_pool,
    )
    try:
        answer = write_command(run.directory, command)
    except InputError as error:
        if command.is_scoped or not run.live or run.pid is None or not isinstance(error.__cause__, OSError):
            raise
        return _by_signal(run.pid, command, error)
    if not run.live:
        print(f"no session runs in {run.directory}, so nothing trades there; --resume carries the stop out")
        return NOT_DONE
    return _wait_and_print(run, answer, args.wait)


def _by_signal(pid: int, command: Stop, error: Exception) -> int:
    """Stop by signal the session whose directory takes no command file."""
    from qts.cli.kill_signals import signal_for

    number = signal_for(liquidate=command.liquidate)
    os.kill(pid, number)
    print(f"{error}; {number.name} was sent to the session instead (pid {pid}); check 'qts safety show'")
    return NOT_DONE


def _wait_and_print(run: FoundRun, path: Path, wait_s: float) -> int:
    answer, live = wait_for(run, path, wait_s)
    if answer is None:
        return print_unanswered(run, "stop", live=live)
    if not answer.done:
        print(answer.answer)
        return REFUSED
    _print_answer(answer, run, waited_s=wait_s, live=live)
    return 0 if answer.stop is not None and answer.stop.complete else NOT_DONE


def _print_answer(answer: Answer, run: FoundRun, *, waited_s: float, live: bool) -> None:
    print_session(run)
    print(answer.answer)
    if answer.stop is None:
        return
    report = answer.stop
    print(f"cancelled       {counted(report.cancelled, 'order')}")
    print(f"sold            {_quantities(report.sold)}")
    print(f"open positions  {_quantities(report.held, none='none')}")
    if report.complete:
        return
    goes_on = "the session continues it" if live else "the session has ended; --resume continues it"
    print(f"not done after {waited_s:g} s: {counted(report.working, 'order')} still open; {goes_on}")


def _quantities(amounts: dict[str, str], *, none: str = "nothing") -> str:
    return ", ".join(f"{symbol} {qty}" for symbol, qty in amounts.items()) or none
