"""The places at which a session at a real broker is killed: before and after single steps of its own code.

Each step is a method; its places are named here, in the order in which a life comes to them. Those of
:data:`AT_THE_BROKER` and :data:`IN_THE_STORE` are passed by the doubles themselves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from qts.broker.gateway.admission import Admission
from qts.broker.gateway.gateway import Gateway
from qts.broker.gateway.lanes import Lanes
from qts.broker.gateway.sent_file import Answered, SentFile
from qts.broker.gateway.worker import Worker
from qts.event.journal import Journal
from qts.ledger.account import Account
from qts.runtime.checks.auditor import Auditor
from qts.runtime.orders.missed_facts import MissedFacts
from qts.runtime.orders.order_comparison import OrderComparison
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.orders.reconciliation import OrderReconciler
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.persistence.store_writer import GroupCommitWriter


class Step(NamedTuple):
    """A method, and the names of the places before and after it; "" for one that is no place."""

    owner: type
    method: str
    before: str
    after: str


STEPS = (
    # an order on its way
    Step(Gateway, "submit", "submit", "submitted"),
    Step(Lanes, "take", "take", ""),
    Step(Admission, "why_unsent", "", "checked"),
    Step(SentFile, "append", "write", "written"),
    Step(SentFile, "sync", "sync", "synced"),
    Step(Worker, "_why_late", "", "checked again"),
    Step(Worker, "_end", "end", "ended"),
    Step(Gateway, "deliver", "deliver", "delivered"),
    # a cancel
    Step(Gateway, "cancel", "ask to cancel", "cancel is asked"),
    # what is stored
    Step(Gateway, "begin_checkpoint", "begin checkpoint", ""),
    Step(Gateway, "end_checkpoint", "end checkpoint", "checkpoint ended"),
    Step(SentFile, "settle", "settle", "settled"),
    Step(SentFile, "compact", "compact", "compacted"),
    Step(SentFile, "_swap", "swap", "swapped"),
    Step(Checkpoints, "encode", "encode", "encoded"),
    Step(GroupCommitWriter, "checkpoint", "checkpoint", "checkpoint stored"),
    Step(Journal, "append_locked", "append", "appended"),
    # what the broker's books show
    Step(OrderReconciler, "catch_up", "catch up", "caught up"),
    Step(OrderComparison, "compare", "compare", "compared"),
    Step(OrderReconciler, "_put", "put", ""),
    # bookings, and who is told
    Step(Account, "apply_fill", "book", "booked"),
    Step(Account, "book_external", "book external", "external booked"),
    Step(Account, "reverse", "reverse", "reversed"),
    Step(Account, "release", "release", "released"),
    Step(StrategyNews, "on_ended", "tell the end", "end told"),
    Step(Auditor, "run_full_audit", "audit", "audited"),
    # a restart
    Step(Checkpoints, "restore", "restore", "restored"),
    Step(OrderReconciler, "settle_intents", "settle intents", "intents settled"),
    Step(MissedFacts, "tell", "tell what was missed", "what was missed is told"),
)
AT_THE_BROKER = ("call", "answer", "report", "reported")
"""The broker is about to be called, has done what it was asked; a report is about to be given to the session, is on
its disk."""
IN_THE_STORE = ("before", "inside", "after")
"""A transaction of the store is about to begin, has written its rows, has committed."""
OF_ANSWERS = {"write": "note", "written": "noted"}
"""The places of the gateway's file where it takes an answer in place of an order."""
AT_A_RESTART = (
    "restore", "restored", "settle intents", "intents settled", "tell what was missed", "what was missed is told",
)  # fmt: skip
"""Places to which the first life of a session does not come."""
PLACES = (
    *IN_THE_STORE,
    *AT_THE_BROKER,
    *(place for step in STEPS for place in (step.before, step.after) if place),
    *OF_ANSWERS.values(),
)


def watch_steps(passes: Callable[[str], object]) -> None:
    """Let every step of this process call ``passes`` with its places."""
    for step in STEPS:
        setattr(step.owner, step.method, _watched(getattr(step.owner, step.method), step, passes))


def _watched(method: Callable[..., Any], step: Step, passes: Callable[[str], object]) -> Callable[..., Any]:
    def at(place: str, arguments: tuple[Any, ...]) -> None:
        if place in OF_ANSWERS and isinstance(arguments[0], Answered):
            place = OF_ANSWERS[place]
        if place:
            passes(place)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def waits(self: Any, *arguments: Any, **named: Any) -> Any:
            at(step.before, arguments)
            done = await method(self, *arguments, **named)
            at(step.after, arguments)
            return done

        return waits

    @functools.wraps(method)
    def runs(self: Any, *arguments: Any, **named: Any) -> Any:
        at(step.before, arguments)
        done = method(self, *arguments, **named)
        at(step.after, arguments)
        return done

    return runs
