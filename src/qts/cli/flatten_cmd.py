"""``qts flatten``: sell what the strategies hold of a symbol or in a pool, and wait until it is sold."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from qts.cli.answers import NOT_DONE, REFUSED, add_wait, print_session, print_unanswered, wait_for
from qts.cli.arguments import name_of
from qts.cli.operator_cmd import add_command, given_to
from qts.errors import InputError

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun
    from qts.runtime.control.commands import Answer, Command, FlattenedHolding

_WAIT_S = 30.0


def add_parser(commands: Any) -> None:
    """Add ``flatten``."""
    flatten = add_command(
        commands,
        "flatten",
        _command,
        "sell what the strategies hold of a symbol or in a pool; nothing is stopped",
        description="Sells the quantity that the strategies hold of a symbol, or in a pool, when the session takes "
        "the command. It is no stop: open buys stay, strategies may enter again, and what they buy is not sold "
        "by it. Their own sells there are cancelled first. Shares that are EXTERNAL are never sold. Exit code 0: "
        "sold; 1: not yet, or no session runs; 2: refused.",
    )
    flatten.add_argument("name", nargs="?", type=name_of, metavar="SYMBOL|POOL", help="what to sell")
    one = flatten.add_mutually_exclusive_group()
    one.add_argument("--symbol", type=name_of, metavar="SYMBOL", help="a symbol, where a pool has the same name")
    one.add_argument("--pool", type=name_of, metavar="POOL", help="a pool, where a symbol has the same name")
    add_wait(flatten, _WAIT_S)
    flatten.set_defaults(func=_flatten)


def _command(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Flatten

    return Flatten(
        operator=args.operator,
        reason=args.reason,
        name=args.name or "",
        symbol=args.symbol or "",
        pool=args.pool or "",
    )


def _flatten(args: argparse.Namespace) -> int:
    if sum(map(bool, (args.name, args.symbol, args.pool))) != 1:
        raise InputError("give one symbol or one pool: qts flatten SYMBOL|POOL, --symbol SYMBOL or --pool POOL")
    run, path = given_to(args)
    if not run.live:
        print(f"no session runs in {run.directory}, so nothing trades there; --resume carries it out")
        return NOT_DONE
    print_session(run)
    shown: dict[tuple[str, str], str] = {}
    answer, live = wait_for(run, path, args.wait, lambda newest: _show(newest, shown))
    if answer is None:
        return print_unanswered(run, "command", live=live)
    _show(answer, shown)
    if not answer.done:
        return REFUSED
    return _end(answer, run, args.wait, live=live)


def _show(answer: Answer, shown: dict[tuple[str, str], str]) -> None:
    """Print the answer once, and each holding whenever it has changed."""
    if not shown:
        print(answer.answer)
        shown["", ""] = answer.answer
    for one in () if answer.flatten is None else answer.flatten.holdings:
        done = "bought back" if one.asked.startswith("-") else "sold"
        line = f"{one.strategy} {one.symbol}: {one.sold} of {one.asked} {done}{_rest(one)}"
        if shown.get((one.strategy, one.symbol)) != line:
            shown[one.strategy, one.symbol] = line
            print(line, flush=True)


def _rest(one: FlattenedHolding) -> str:
    if one.left != "0":
        what = "bought back" if one.asked.startswith("-") else "sold"
        return f", {one.left} to be {what}{': ' if one.why else ''}{one.why}"
    return "" if one.held == "0" else f"; {one.held} held, which it does not sell"


def _end(answer: Answer, run: FoundRun, waited_s: float, *, live: bool) -> int:
    report = answer.flatten
    if report is None:
        return NOT_DONE
    if report.complete and report.is_flat:
        print("done")
        return 0
    if report.complete:
        print("ended before everything was sold")
        return NOT_DONE
    goes_on = "the session continues it" if live else "the session has ended; --resume continues it"
    print(f"not done after {waited_s:g} s; {goes_on}")
    return NOT_DONE
