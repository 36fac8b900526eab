"""``qts adopt`` and ``qts capital``: shares and money that come to a running session's pools, or leave them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from qts.cli.arguments import amount_of, name_of
from qts.cli.operator_cmd import add_command

if TYPE_CHECKING:
    from qts.runtime.control.commands import Command


def add_parser(commands: Any) -> None:
    """Add ``adopt``, and ``capital`` with its commands ``deposit`` and ``withdraw``."""
    adopt = add_command(
        commands,
        "adopt",
        _adopt,
        "give shares at the broker that are not the session's to one of its strategies",
        description="Gives shares of EXTERNAL, which are at the broker and not the session's, to a strategy, at "
        "what they have cost. No cash moves, and their value is capital that came in, no result. From then on the "
        "strategy may sell them.",
        reason="adopt",
        asks_broker=True,
    )
    adopt.add_argument("symbol", type=name_of, metavar="SYMBOL", help="the symbol of the shares")
    adopt.add_argument(
        "--to", type=name_of, required=True, metavar="STRATEGY", help="the strategy that takes them over"
    )
    adopt.add_argument("--qty", type=amount_of, metavar="N", help="how many (default: all that are EXTERNAL)")
    capital = commands.add_parser(
        "capital",
        help="pay money into the pools of a running session, or take it out",
        description="Pays money into the pools of a running session, or takes it out.",
    )
    capital.set_defaults(func=lambda args: _usage(capital))
    verbs = capital.add_subparsers(title="commands", metavar="COMMAND")
    for name, made_from, text, begin, more in (
        (
            "deposit",
            _deposit,
            "pay money into the pools",
            "Divides money among the pools",
            "At a real broker it comes from EXTERNAL cash, which is there and not the session's: pay in first",
        ),
        (
            "withdraw",
            _withdraw,
            "take money out of the pools",
            "Takes money from the pools",
            "At a real broker it becomes EXTERNAL cash, which is there and not the session's: take it out then",
        ),
    ):
        description = f"{begin} by their targets. It is no result. {more}."
        verb = add_command(verbs, name, made_from, text, description=description, reason=name, asks_broker=True)
        verb.add_argument(
            "amount", type=amount_of, metavar="AMOUNT", help="money in the account's currency, such as 1000000"
        )


def _usage(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2


def _adopt(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Adopt

    return Adopt(**_given(args), symbol=args.symbol, strategy=args.to, qty=args.qty)


def _deposit(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Deposit

    return Deposit(**_given(args), amount=args.amount)


def _withdraw(args: argparse.Namespace) -> Command:
    from qts.runtime.control.commands import Withdraw

    return Withdraw(**_given(args), amount=args.amount)


def _given(args: argparse.Namespace) -> dict[str, str]:
    """Return operator and reason, and an id by which the command is booked once."""
    from qts.ids import random_prefix

    return {"operator": args.operator, "reason": args.reason, "id": random_prefix()}
