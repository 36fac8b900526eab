"""What stays on the loop of a strategy that works in a process of its own.

Everything the session has to keep is here: the strategy's memory after the last note, the fills it was not told
yet, its failures in a row. So a worker may die at any moment: the next one begins with that memory, and every fill
and every value is in it exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from qts.event.contracts import Event
from qts.event.remote import RemoteHandler
from qts.event.worker import target_of
from qts.market.contracts import Bar, Quote
from qts.runtime.strategies.context import ON_START, SAVE, WORKER, OnFault, OnIntent, StrategyContext
from qts.runtime.strategies.process_protocol import Brief, Note, Origin, Start, Started, fault_text
from qts.strategy.contracts import FillView, Intent, Strategy
from qts.strategy.loading import check_made_without_arguments, fingerprint_of
from qts.strategy.snapshot import save

OnRunning = Callable[[str, int], None]
_SHOWN: Final = (Quote, Bar)


class StrategyProcessHandler(RemoteHandler):
    """One strategy's handler of P1. ``on_running`` is told of every worker that is ready, with its process id.

    Raises InputError or ContractError for a strategy that another process cannot make.
    """

    target = "qts.runtime.strategies.worker:StrategyWorker"

    def __init__(
        self, seat: StrategyContext, spec: str, *, on_intent: OnIntent, on_fault: OnFault, on_running: OnRunning
    ) -> None:
        self.seat = seat
        self.name = f"strategy {seat.strategy.name}"
        self._origin = origin_of(seat.strategy, spec)
        self._made = None if spec else msgspec.msgpack.encode(save(seat.strategy, seat.run))
        self._memory: bytes | None = None
        self._symbols: tuple[str, ...] = ()
        self._untold: list[FillView] = []  # few: without a note there are no new orders
        self._on_intent = on_intent
        self._on_fault = on_fault
        self._on_running = on_running

    def tell(self, fill: FillView) -> None:
        """Keep a fill for the next batch: the strategy hears of it before the next value."""
        if not self.seat.halted:
            self._untold.append(fill)

    # -- what the lane asks ------------------------------------------------------------------------------------

    @property
    def is_needed(self) -> bool:
        return not self.seat.halted

    def arguments(self) -> Start:
        return Start(self._origin, self.seat.brief(()), self._made, self._memory, self.seat.most_intents)

    def wants(self, event: Event) -> bool:
        value = event.body
        return value.__class__ in _SHOWN and (not self._symbols or value.symbol in self._symbols)

    def brief(self) -> Brief:
        return self.seat.brief(self._untold)

    def on_started(self, note: Any) -> None:
        started = msgspec.convert(note, Started)
        self._symbols = started.symbols
        self._on_running(self.seat.strategy.name, started.pid)
        self._keep(started.memory, started.unsaved)
        if started.fault:
            self._faulted(ON_START, started.fault, self.seat.errors + 1, final=True, trace=started.trace)

    def on_note(self, note: Any) -> None:
        done = msgspec.convert(note, Note)
        del self._untold[: done.told]
        all_taken = True
        for word in done.said:
            if isinstance(word, Intent):
                all_taken &= self._pass_on(word)
            else:
                self._faulted(word.callback, word.text, word.in_row, trace=word.trace)
        self._keep(done.memory, done.unsaved)
        if all_taken and not self.seat.halted:
            self.seat.errors = done.errors  # what came after the last failure has gone well

    def on_failure(self, problem: str) -> None:
        self._faulted(WORKER, problem, self.seat.errors + 1)

    def _keep(self, memory: bytes | None, unsaved: str) -> None:
        """Take over the memory; one that cannot be kept halts the strategy, and the last that could be stays."""
        if memory is not None:
            self._memory = memory
            return
        self.seat.unsaved = True
        self._faulted(SAVE, unsaved, self.seat.errors + 1, final=True)

    def _pass_on(self, intent: Intent) -> bool:
        try:
            self._on_intent(self.seat.strategy, intent)
            return True
        except Exception as error:  # noqa: BLE001 - edge: what comes of a user's intent is the user's, as on the loop
            self._faulted("intent", fault_text(error), self.seat.errors + 1)
            return False

    def _faulted(self, callback: str, text: str, in_row: int, *, final: bool = False, trace: str = "") -> None:
        halted_before = self.seat.halted
        self.seat.fail(callback, text, in_row, final=final)
        if self.seat.halted:
            self._untold.clear()
        self._on_fault(self.seat.strategy.name, callback, text, self.seat.halted and not halted_before, trace)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_memory(self) -> dict[str, Any]:
        """The attributes like a strategy on the loop (None before its first start), and what is untold."""
        attributes = None if self._memory is None else msgspec.Raw(self._memory)
        return {"attributes": attributes, "untold": list(self._untold)}

    def import_memory(self, saved: dict[str, Any]) -> None:
        attributes = saved["attributes"]
        self._memory = None if attributes is None else msgspec.msgpack.encode(attributes)
        self._untold = msgspec.convert(saved["untold"], list[FillView])


def origin_of(strategy: Strategy, spec: str) -> Origin:
    """Where a worker finds the class: the file the user has named, else an importable module.

    Raises InputError for a file that is gone or a class that wants arguments, ContractError for one that no other
    process can import.
    """
    if spec:
        return Origin.of_file(spec, fingerprint_of(spec))
    place = target_of(type(strategy))
    check_made_without_arguments(type(strategy), place)
    return Origin(place)
