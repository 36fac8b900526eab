"""The strategy's half of a worker process: makes it, shows it fills and values, notes down what it says.

It does what :class:`~qts.runtime.strategies.strategy_host.StrategyHost` does with a strategy on the loop, with the
brief in the place of the account. The process is ended without notice when the session is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from qts.clock import from_ns
from qts.errors import ContractError, InputError
from qts.event.contracts import Event
from qts.event.worker import resolve
from qts.market.contracts import Quote
from qts.money import ZERO
from qts.runtime.drivers.standard_output import redirected_output
from qts.runtime.strategies.intents import in_row_after, intents_of
from qts.runtime.strategies.process_protocol import (
    ERRORS_BEFORE_HALT,
    Brief,
    Fault,
    Origin,
    Start,
    Started,
    fault_text,
    trace_of,
)
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Intent, Strategy
from qts.strategy.loading import RAISED_IN_CALL, fingerprint_of, load_strategy, make_strategy
from qts.strategy.snapshot import restore, save_bytes
from qts.strategy.user_code import runner_for

_NOTHING = (ZERO, None)


class View:
    """The strategy's :class:`~qts.strategy.contracts.Context`: the account as it stood when the batch was sent."""

    __slots__ = ("brief",)

    def __init__(self, brief: Brief) -> None:
        self.brief = brief

    @property
    def now(self) -> datetime:
        return from_ns(self.brief.now_ns)

    @property
    def state(self) -> OperatingState:
        return self.brief.state

    @property
    def budget(self) -> Decimal:
        return self.brief.budget

    def holding(self, symbol: str) -> Decimal:
        return self.brief.holdings.get(symbol, _NOTHING)[0]

    def average_cost(self, symbol: str) -> Decimal | None:
        return self.brief.holdings.get(symbol, _NOTHING)[1]

    def working(self, symbol: str) -> bool:
        return symbol in self.brief.working


class StrategyWorker:
    """One strategy in its process (a :class:`~qts.event.remote.RemoteWork`).

    What it prints goes to standard error: standard output is the session's.
    Raises InputError or ContractError for a strategy that cannot be made.
    """

    def __init__(self, arguments: Any) -> None:
        start = msgspec.convert(arguments, Start)
        with redirected_output(drains=False):
            self._begin(start)

    def _begin(self, start: Start) -> None:
        self.strategy = made_from(start.origin)
        self._run = runner_for(self.strategy)
        self.view = View(start.brief)
        self._said: list[msgspec.Raw] = []
        self._errors = start.brief.errors
        self._most_intents = start.most_intents
        self._fault = self._trace = ""
        self._traced: set[str] = set()
        for memory in (start.made, start.memory):
            self._restore(memory)
        try:
            self._run(self.strategy.on_start, self.view)
        except RAISED_IN_CALL as error:
            self._fault, self._trace = fault_text(error), trace_of(error)
        self._restore(start.memory)

    def started(self) -> Started:
        memory, unsaved = self._memory()
        return Started(os.getpid(), tuple(self.strategy.symbols), memory, self._fault, unsaved, self._trace)

    def work(self, events: Sequence[Event], brief: Any) -> dict[str, Any]:
        """Tell the fills, then show the values; a strategy that is halted on the way hears no more."""
        view = self.view.brief = msgspec.convert(brief, Brief)
        self._said, self._errors = [], view.errors
        told = 0
        with redirected_output(drains=False):
            for fill in view.fills:
                if not self._halted:
                    told += 1
                    self._guarded("on_fill", partial(self._run, self.strategy.on_fill, self.view, fill))
            for event in events:
                if not self._halted:
                    self._guarded(
                        "on_quote" if event.body.__class__ is Quote else "on_bar", partial(self._show, event.body)
                    )
            memory, unsaved = self._memory()
        return {
            "said": self._said,
            "told": told,
            "errors": self._errors,
            "memory": memory,
            "unsaved": unsaved,
        }

    @property
    def _halted(self) -> bool:
        return self._errors >= ERRORS_BEFORE_HALT

    def _show(self, value: Any) -> None:
        show = self.strategy.on_quote if value.__class__ is Quote else self.strategy.on_bar
        self._write_down(self._run(show, self.view, value))
        self._errors = 0

    def _write_down(self, intents: Iterable[Intent] | None) -> None:
        """Encoded one by one: what was said before a failure stands, and what cannot travel is a failure too."""
        for intent in intents_of(self._run, intents, self._most_intents):
            self._said.append(_encoded(intent))

    def _guarded(self, callback: str, call: Callable[[], None]) -> None:
        try:
            call()
        except RAISED_IN_CALL as error:
            self._errors = in_row_after(error, self._errors)
            trace = "" if callback in self._traced else trace_of(error)
            self._traced.add(callback)
            self._said.append(_encoded(Fault(fault_text(error), self._errors, callback, trace)))

    def _memory(self) -> tuple[bytes | None, str]:
        """The strategy's memory, or why it cannot be kept."""
        try:
            return save_bytes(self.strategy, self._run), ""
        except ContractError as error:
            return None, fault_text(error)

    def _restore(self, memory: bytes | None) -> None:
        if memory is not None:
            restore(self.strategy, msgspec.msgpack.decode(memory), self._run)


def made_from(origin: Origin) -> Strategy:
    """The strategy at ``origin``. Raises InputError for a file that is not what the session has begun with."""
    if not origin.print:
        return make_strategy(resolve(origin.place), origin.place)
    if fingerprint_of(origin.spec) != origin.print:
        raise InputError(f"{origin.place} is not what it was when the session began; begin a new one to trade it")
    return load_strategy(origin.spec)


def _encoded(word: Intent | Fault) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(word))
