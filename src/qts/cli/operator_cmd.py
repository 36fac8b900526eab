"""Commands to a running session: a command file in its data directory, and the wait for the answer.

The base of ``qts safety release``, ``qts flatten``, ``qts reconcile``, ``qts state override``, ``qts state
clear-override``, ``qts config reload``, ``qts adopt`` and ``qts capital``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qts.cli.answers import NOT_DONE, add_wait, print_unanswered
from qts.cli.session_choice import session_for

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun
    from qts.runtime.control.commands import Command

ANSWER_WITHIN = timedelta(seconds=5)
"""Time to wait for an answer where no session runs: one that is just beginning may give it."""
ANSWER_OF_LIVE_WITHIN = timedelta(seconds=30)
"""Time to wait for a running session: a busy machine or a slow disk may delay it for seconds."""
BROKER_WITHIN_S: Final = 90.0
"""The same in seconds where the session asks its broker first."""


def add_command(
    verbs: Any,
    name: str,
    made_from: Callable[[argparse.Namespace], Command],
    help_text: str,
    *,
    description: str = "",
    reason: str = "",
    asks_broker: bool = False,
) -> argparse.ArgumentParser:
    """Add a verb that sends the command ``made_from`` its arguments, with operator and reason.

    ``asks_broker``: the session asks its broker before it answers, so how long to wait is an option. ``reason`` is
    recorded where none is given, and the login name as the operator; "": both have to be given.
    """
    text = description or help_text
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_text, description=text)
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="the session's directory (default: the only session that is running in ./qts-data)",
    )
    who, why = "who gives the command; recorded", "why; recorded"
    if reason:
        who, why = f"{who} (default: the login name)", f"{why} (default: {reason})"
    parser.add_argument("--operator", required=not reason, metavar="WHO", help=who)
    parser.add_argument("--reason", required=not reason, default=reason, metavar="TEXT", help=why)
    if asks_broker:
        add_wait(parser, BROKER_WITHIN_S)
    parser.set_defaults(func=_send, made_from=made_from)
    return parser


def add_scope(parser: argparse.ArgumentParser, what: str) -> None:
    """Let one strategy, symbol or pool be named; none means everything."""
    scope = parser.add_mutually_exclusive_group()
    for name, example in (("strategy", "NAME"), ("symbol", "SYMBOL"), ("pool", "POOL")):
        scope.add_argument(
            f"--{name}", dest=f"only_{name}", default="", metavar=example, help=f"{what} this {name} only"
        )


def given_to(args: argparse.Namespace) -> tuple[FoundRun, Path]:
    """Write the command of ``args`` for its session; return the run and the path at which its answer appears."""
    from qts.runtime.control.command_files import encoded, write_command

    if args.operator is None:
        args.operator = _login_name()
    command = args.made_from(args)
    encoded(command)  # what is wrong with its words is said first, wherever it goes
    run = session_for(args.data_dir)
    return run, write_command(run.directory, command)


def _send(args: argparse.Namespace) -> int:
    from qts.clock import PacedClock, SystemClock, to_ns
    from qts.db.find_run import run_in

    run, answer = given_to(args)
    if args.data_dir is None:
        print(f"session in {run.directory}, pid {run.pid}")
    begun = SystemClock().now()
    clock = PacedClock(begun)

    def is_over() -> bool:  # a session that has ended gives no answer
        return answer.exists() or not run_in(run.directory).live

    within = timedelta(seconds=args.wait) if "wait" in args else ANSWER_OF_LIVE_WITHIN
    clock.wait_until_ns(to_ns(begun + min(ANSWER_WITHIN, within)), answer.exists)
    clock.wait_until_ns(to_ns(begun + within), is_over)
    if not answer.exists():
        if run_in(run.directory).live:
            return print_unanswered(run, "command", live=True)
        print(f"no session answers in {run.directory}; the command waits there for the next one")
        return NOT_DONE
    given = json.loads(answer.read_text(encoding="utf-8"))
    print(given["answer"])
    return 0 if given["done"] else 2


def _login_name() -> str:
    """Return the name under which the user is logged in. Raises InputError where there is none."""
    import getpass

    from qts.errors import InputError

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError("this user has no login name; say who gives the command with --operator WHO") from None
