"""Commands to a running session: they leave a command file in its data directory and wait for the answer.

``qts safety release``, ``qts state override``, ``qts state clear-override`` and
``qts config reload`` are made of this.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qts.runtime.control.commands import Command

ANSWER_WITHIN = timedelta(seconds=5)
"""How long an answer is waited for; a session that is just beginning may give it."""
ANSWER_OF_LIVE_WITHIN = timedelta(seconds=30)
"""The same for a session that goes on: a busy machine or a slow disk may hold it up for seconds."""


def add_command(
    verbs: Any, name: str, made_from: Callable[[argparse.Namespace], Command], help_text: str
) -> argparse.ArgumentParser:
    """Add a verb that sends the command ``made_from`` its arguments; each names who wants it and why."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_text, description=help_text)
    parser.add_argument(
        "--data-dir", type=Path, required=True, metavar="DIR", help="the running session's directory"
    )
    parser.add_argument("--operator", required=True, metavar="WHO", help="who wants it; recorded")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; recorded")
    parser.set_defaults(func=_send, made_from=made_from)
    return parser


def add_scope(parser: argparse.ArgumentParser, what: str) -> None:
    """Let one strategy, symbol or pool be named; none means everything."""
    scope = parser.add_mutually_exclusive_group()
    for name, example in (("strategy", "NAME"), ("symbol", "SYMBOL"), ("pool", "POOL")):
        scope.add_argument(
            f"--{name}", dest=f"only_{name}", default="", metavar=example, help=f"{what} this {name} only"
        )


def _send(args: argparse.Namespace) -> int:
    from qts.clock import PacedClock, SystemClock, to_ns
    from qts.db.find_run import runs_under
    from qts.runtime.control.command_files import write_command

    answer = write_command(args.data_dir, args.made_from(args))
    begun = SystemClock().now()
    clock = PacedClock(begun)

    def is_over() -> bool:  # who has ended answers no more: nobody is kept waiting for it
        return answer.exists() or not any(run.live for run in runs_under(args.data_dir))

    clock.wait_until_ns(to_ns(begun + ANSWER_WITHIN), answer.exists)
    clock.wait_until_ns(to_ns(begun + ANSWER_OF_LIVE_WITHIN), is_over)
    if not answer.exists():
        print(f"no session answers in {args.data_dir}; the command waits there for the next one")
        return 1
    told = json.loads(answer.read_text(encoding="utf-8"))
    print(told["answer"])
    return 0 if told["done"] else 2
