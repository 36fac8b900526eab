"""``qts reconcile``: let a running session compare the broker's books with its own now, and print the outcome."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qts.cli.answers import NOT_DONE, REFUSED, add_wait, print_session, print_unanswered, wait_for
from qts.cli.operator_cmd import add_command, given_to

if TYPE_CHECKING:
    from qts.runtime.control.commands import Command

_WAIT_S = 60.0
_DIFFERS = 4


def add_parser(commands: Any) -> None:
    """Add ``reconcile``."""
    reconcile = add_command(
        commands,
        "reconcile",
        _command,
        "compare the broker's books with those of a running session now",
        description="Lets the session ask the broker for its orders, the executions of the day, shares and cash, "
        "take over what is missing in its own books, and compare all of it. Prints what was compared, what was "
        "booked and what differs. Nothing waits for it. Exit code 0: nothing differs; 1: it could not be compared, "
        "or not in time, or no session runs; 2: refused; 4: something differs.",
        reason="reconcile",
    )
    add_wait(reconcile, _WAIT_S)
    reconcile.set_defaults(func=_reconcile)


def _command(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Reconcile

    return Reconcile(operator=args.operator, reason=args.reason)


def _reconcile(args: argparse.Namespace) -> int:
    run, path = given_to(args)
    if not run.live:
        print(f"no session runs in {run.directory}; the command waits there for the next one")
        return NOT_DONE
    print_session(run)
    answer, live = wait_for(run, path, args.wait)
    if answer is None:
        return print_unanswered(run, "command", live=live)
    if not answer.done or answer.reconcile is None:
        print(answer.answer)
        return REFUSED
    report = answer.reconcile
    if report.problem:
        print(f"not compared: {report.problem}")
        return NOT_DONE
    _list("compared", report.compared)
    _list("booked", report.booked)
    _list("differs", report.differs)
    return _DIFFERS if report.differs else 0


def _list(title: str, lines: Sequence[str]) -> None:
    """Print the lines of a kind, the first behind its title."""
    for number, line in enumerate(lines or ("nothing",)):
        print(f"{title if not number else '':<9} {line}")
