"""Runs signals through the decision pipeline and passes on each outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from qts.errors import HalfDoneError
from qts.event.contracts import Event
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.pipeline.contracts import Acted, Decision, Outcome
from qts.pipeline.resolve import Resolution
from qts.pipeline.runner import Pipeline
from qts.risk.contracts import Refused
from qts.runtime.due_work import DueWork
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.orders.reject_watch import RejectWatch
from qts.runtime.persistence.history_rows import refusal_row
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.session_events import Codes, Log
from qts.runtime.shared_components import SharedComponents
from qts.strategy.algo import AlgoKind
from qts.strategy.contracts import Intent, Signal
from qts.strategy.targets import Target

_ENDED_BY: Final = {AckStatus.REJECTED: OrderState.REJECTED, AckStatus.NOT_SENT: OrderState.NOT_SENT}


class DecisionPath:
    """Runs one signal after the other; ``make`` builds the stages for the configuration in force.

    ``on_answer`` is called with an order and the moment (ns) once its answer is known or it was withdrawn before it
    was sent; it returns whether a forced exit can go on. ``on_other`` decides what is no intent,
    ``on_algo`` begins what is executed in parts. ``news`` tells strategies what became of their signals; ``log``
    takes what did not leave.
    """

    def __init__(
        self,
        make: Callable[[], Pipeline],
        shared: SharedComponents,
        *,
        rejects: RejectWatch,
        codes: Codes,
        counters: SessionCounters,
        due: DueWork,
        on_answer: Callable[[Order, int], bool],
        on_other: Callable[[Signal], Awaitable[None]],
        on_algo: Callable[[Signal], None],
        news: StrategyNews,
        log: Log,
    ) -> None:
        self._make = make
        self._pipeline = make()
        self._shared = shared
        self._rejects = rejects
        self._codes = codes
        self._counters = counters
        self._due = due
        self._on_order_answer = on_answer
        self._on_other = on_other
        self._on_algo = on_algo
        self._news = news
        self._log = log
        self._answer_missing = True
        self._decided: set[str] = set()
        """Decisions that are stored and of which a checkpoint may still hold the signal."""
        self._writing: list[str] = []
        """Ids of orders whose intent is being written."""

    @property
    def writing(self) -> Sequence[str]:
        """Return the ids of the orders whose intent is being written.

        A checkpoint of this moment has the order, and holds its signal as one that is still to be decided.
        """
        return self._writing

    def skip(self, decision_ids: set[str]) -> None:
        """Decide no signal with one of these ids: it was decided after the checkpoint that it comes from."""
        self._decided = decision_ids

    def reconfigure(self) -> None:
        """Rebuild the stages for the configuration now in force."""
        self._pipeline = self._make()

    async def on_signal(self, event: Event) -> None:
        """Handle a P2 event: decide a strategy's signal."""
        self._due.run_calls()  # a FAIL of the watchdog comes before the signals of the strategy that hung
        signal: Signal = event.payload
        if self._decided and signal.decision_id in self._decided:
            return
        if isinstance(signal.intent, Intent):
            await self.run(signal)
        else:
            await self._on_other(signal)

    def resolve(self, signal: Signal, target: Target) -> Resolution:
        """Return what ``target`` asks for now, under the configuration in force; nothing is changed."""
        return self._pipeline.resolve(signal, target)

    async def run(self, signal: Signal) -> None:
        """Decide an intent, or begin the execution of one that names an algorithm."""
        intent = signal.intent
        if isinstance(intent, Intent) and intent.algo is not None and intent.algo.kind is not AlgoKind.SINGLE:
            with self._shared.record.whole(f"the execution of decision {signal.decision_id}"):
                self._on_algo(signal)
        else:
            await self.decide(signal)

    def judge(self, signal: Signal) -> Decision | Refused:
        """Return the decision on a signal, or its refusal; nothing is sent."""
        return self._pipeline.decided(signal)

    async def decide(self, signal: Signal) -> Outcome:
        """Run ``signal`` through all stages; return the outcome. Raises HalfDoneError for a half-done effect."""
        decision = self._pipeline.decided(signal)
        try:
            outcome = decision if isinstance(decision, Refused) else await self._act(decision)
            self._shared.record.raise_failure()
            if isinstance(outcome, Refused):
                self.on_refused(outcome)
                self._continue_after(outcome.request.client_order_id)
            else:
                self._news.on_accepted(outcome.decision.approved.request)
                outcome.ticket.when_answered(partial(self._on_answer, outcome))
        except HalfDoneError:
            raise
        except Exception as error:  # of any kind: the order may be written or sent, so it is not decided again
            raise self._shared.record.give_up(f"the outcome of decision {signal.decision_id}", error) from error
        return outcome

    async def _act(self, decision: Decision) -> Acted | Refused:
        key = decision.approved.request.client_order_id
        self._writing.append(key)
        try:
            return await self._pipeline.act(decision)
        finally:
            self._writing.remove(key)

    def _continue_after(self, client_order_id: str) -> None:
        """Let go on what waits for an order that was answered, or withdrawn before it was sent."""
        order = self._shared.orders.get(client_order_id)
        if order is not None and self._on_order_answer(order, self._shared.clock.time_ns()):
            self._due.pending = True

    def _on_answer(self, acted: Acted, ack: OrderAck) -> None:
        with self._shared.record.whole(f"the answer to order {ack.client_order_id}"):
            self._judge_answer(acted, ack)
            order = self._shared.orders.get(ack.client_order_id)
            if order is not None and order.state is _ENDED_BY.get(ack.status):
                self._news.on_ended(order)  # a rejection that came by a report has been told
            self._continue_after(ack.client_order_id)

    def _judge_answer(self, acted: Acted, ack: OrderAck) -> None:
        if ack.status is AckStatus.UNKNOWN:
            self._codes.report("FS042", f"no answer to order {ack.client_order_id}")
            self._answer_missing = True
        elif ack.status is AckStatus.REJECTED:
            self._rejects.on_answer(acted, ack)
        elif ack.status is AckStatus.NOT_SENT:
            self._log("WARNING", f"order {ack.client_order_id} did not leave: {ack.reason}")
        else:
            self._shared.safety.broker_succeeded()
            self._counters.changes += self._answer_missing  # safety forgot a failure: its cached share is old
            self._answer_missing = False

    def on_refused(self, refused: Refused) -> None:
        """Count, store and tell a refusal."""
        self._news.on_refused(refused)
        self._counters.refused(refused.reason.value)
        self._shared.record.write_later(refusal_row(refused))
