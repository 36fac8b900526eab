"""Reconciles our orders with the broker's books; nothing is sent again before the fate of an order is known.

An order of unknown fate that is present at the broker is adopted; where the broker keeps no ids, the only one there
that is just what was asked for. One that is absent in two answers at least two seconds apart, both requested when
the broker had to show it (``visibility_lag_ns``), without a fill and without an order there that might be it, was
never sent. Any other stays unknown, its key stays closed for new orders, and a person is told why.

A broker whose lists drop orders that have ended shows one that ended unfilled within its lag in the same way as one
that was never sent. Both are called NOT_SENT: nothing was executed, nothing works, and what it reserved is free.
Its executions would be listed, and one that comes all the same is booked (``fill-after-end``). Where it keeps none
of our ids or executions have no numbers, ``orders`` names the ended orders of the day, so there absence proves that
it never arrived, and an order that was executed in part and has ended is known by its row.

An order that was accepted and that the broker does not show is in doubt: absent in two answers in the same way,
what is left of it has ended. What the broker says of an order ends it only when all that it has executed is known,
and when it speaks of the quantity that was ordered. An answer is older than what has happened to an order since it
was requested: then it says nothing of that order.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, Protocol

from qts.broker.contracts import BrokerOrder, BrokerOrderState, BrokerQueries
from qts.clock import NS_PER_S
from qts.errors import BrokerUnavailable
from qts.execution.contracts import (
    AckStatus,
    ExecutionReport,
    Fill,
    Order,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    OrderState,
    VenueRef,
)
from qts.execution.lifecycle import apply_absent, apply_ack, renumbered, with_number
from qts.execution.texts import kept_ack, kept_ref
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.ledger.contracts import BookingRow
from qts.money import plus, sum_of
from qts.pipeline.act import withdraw
from qts.runtime.due_work import GUARD_INTERVAL_NS
from qts.runtime.orders.broker_answers import AnswerReader, BrokerAnswer
from qts.runtime.orders.broker_queries import answered
from qts.runtime.orders.cumulative_fills import CumulativeFills
from qts.runtime.orders.numbered_reports import NO_QUESTION, NumberedReports, Question
from qts.runtime.orders.order_matching import claimable, sole_match
from qts.runtime.orders.order_warnings import OrderWarnings
from qts.runtime.persistence.store_writer import StoreWriter

BETWEEN_ANSWERS_NS = 2 * NS_PER_S
_ENDS: Final[Mapping[BrokerOrderState, type[OrderCancelled | OrderRejected]]] = {
    BrokerOrderState.CANCELLED: OrderCancelled,
    BrokerOrderState.REJECTED: OrderRejected,
}
_MAY_BE_SENT = frozenset({OrderState.INTENT, OrderState.PENDING_NEW})
_FAST: Final = 4
"""Requests in a second from which on a broker is asked often."""
_INTERVALS_NS: Final = (3 * NS_PER_S, NS_PER_S)
_SLOW_INTERVALS_NS: Final = (30 * NS_PER_S, 3 * NS_PER_S)


class LookAgain(Protocol):
    """Applies reports that waited for their order; see :meth:`~qts.runtime.orders.numbered_reports.take`."""

    def __call__(self, answered: Question = NO_QUESTION, foreign: Container[VenueRef] = ()) -> bool:
        """Return whether any was applied."""
        ...


class OrderReconciler:
    """Resolves UNKNOWN orders, and finds what was never told, in the broker's own books.

    ``resolving`` is the broker for what is not certain, ahead of entries; ``broker`` for comparisons that can wait.
    Fills and ends that the books show are given to ``on_report`` as if they came now, an order that was never sent
    to ``on_absent``, open orders that are not ours and fills that no notice told in words to ``warn``, and what a
    person has to look at to ``on_code``. ``is_settled``: whether no report waits to be handled.
    ``numbers``: reports of orders whose number is not known; ``look_again`` applies those that need not wait.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        broker: BrokerQueries,
        resolving: BrokerQueries,
        record: StoreWriter,
        on_report: Callable[[ExecutionReport], None],
        on_absent: Callable[[Order], None],
        warn: Callable[[str], object],
        on_code: Callable[[str, str], object],
        is_settled: Callable[[], bool],
        numbers: NumberedReports,
        look_again: LookAgain,
        is_simulated: bool,
    ) -> None:
        self._account = account
        self._orders = orders
        self._broker = broker
        self._resolving = resolving
        self._record = record
        self._on_report = on_report
        self._on_absent = on_absent
        self._say = warn
        self._on_code = on_code
        self._numbers = numbers
        self._look_again = look_again
        self._is_simulated = is_simulated
        self._lag_ns = broker.capabilities.visibility_lag_ns
        self._cumulative = CumulativeFills(account, broker.name, self._lag_ns)
        self._absent_since: dict[str, int] = {}
        self._went_on_ns = 0
        self._doubted: dict[str, None] = {}
        """Orders that are open here and that the broker does not show, or of which it shows too little."""
        self._ended: list[Order] = []
        """Orders that a restart found ended in the gateway's file, and that no one was told of."""
        self._is_asking = False
        """Whether a question of :meth:`resolve` is under way."""
        self._questions: dict[str, int] = {}
        """How often the broker was asked about each order of unknown fate."""
        self._asked_ns = 0
        """When it was asked last, ns of the session's clock."""
        self._doubts = 0
        """How often something has happened since which the broker's books may show what ours lack."""
        self.not_compared = ""
        """Why the books have to be compared before an entry, in words; "" when they were."""
        self._answers = AnswerReader(account, orders, numbers, is_settled=is_settled, lag_ns=self._lag_ns)
        patience_ns = max(BETWEEN_ANSWERS_NS, self._lag_ns)
        self._warnings = OrderWarnings(broker.name, patience_ns, say=warn, on_code=on_code)

    def settle_intents(self, fate_of: Callable[[str], OrderAck], now_ns: int) -> bool:
        """Answer every order whose intent was stored before a restart by what ``fate_of`` knows of it.

        Such an order may have been sent, and answered or not. Return whether one is UNKNOWN. Those that have ended
        are told by :meth:`catch_up`, when all that was stored has been told.
        """
        is_unknown = False
        for order in [order for order in self._orders if order.state in _MAY_BE_SENT]:
            settled = apply_ack(order, fate_of(order.client_order_id), now_ns)
            self._put(settled)
            is_unknown |= settled.state is OrderState.UNKNOWN
            if settled.state in FINAL_STATES:
                self._ended.append(settled)
        return is_unknown

    def adopt(self, ack: OrderAck, now_ns: int) -> None:
        """Take over an answer that came after its order was given up as UNKNOWN, at ``now_ns``.

        The broker's books may have been faster: what they have shown stays, and a contradiction is noted.
        """
        order = self._orders.get(ack.client_order_id)
        if order is None:
            return
        adopted = apply_ack(order, ack, now_ns)
        self._put(adopted)
        self._absent_since.pop(ack.client_order_id, None)
        self._look_again()
        if adopted.state in FINAL_STATES and order.state not in FINAL_STATES:
            self._on_absent(adopted)

    def note_number(self, client_order_id: str, ref: VenueRef) -> None:
        """Note the number that the broker gave to a cancel of an order: reports may name it."""
        order = self._orders.get(client_order_id)
        noted = order if order is None else with_number(order, kept_ref(ref))
        if noted is not None and noted is not order:
            self._put(noted)
            self._look_again()

    def withdraw(self, order: Order, now_ns: int, why: str) -> None:
        """End ``order``, whose intent is still being written, at ``now_ns``, with ``why`` as its note."""
        withdraw(order, now_ns, why, orders=self._orders, account=self._account, log=self._record)

    def any(self) -> bool:
        """Return whether any order is UNKNOWN or in doubt."""
        return len(self._orders) > 0 and any(map(self._is_asked_about, self._orders))

    def _is_asked_about(self, order: Order) -> bool:
        return order.state is OrderState.UNKNOWN or order.client_order_id in self._doubted

    @property
    def interval_ns(self) -> int:
        """Return the real time between two comparisons with the broker's books in a session on the loop.

        A fill that was never told is found within it; what is not certain is asked for sooner.
        """
        rate = self._broker.capabilities.requests_per_s
        usual_ns, soon_ns = _INTERVALS_NS if rate is None or rate >= _FAST else _SLOW_INTERVALS_NS
        return soon_ns if self.not_compared or self._numbers or self.any() else usual_ns

    @property
    def next_question_ns(self) -> int:
        """Return when the broker is asked next, ns of the session's clock; 0: now, or it is being asked."""
        if self._is_asking or not self._asked_ns:
            return 0
        return self._asked_ns + (GUARD_INTERVAL_NS if self._is_simulated else self.interval_ns)

    def questions_about(self, client_order_id: str) -> int:
        """Return how often this process has asked the broker about an order of unknown fate."""
        return self._questions.get(client_order_id, 0)

    def _count_questions(self, now_ns: int) -> None:
        """Count one question about each order of unknown fate; those whose fate is known are forgotten."""
        self._asked_ns = now_ns
        unknown = [order.client_order_id for order in self._orders if order.state is OrderState.UNKNOWN]
        self._questions = {key: self._questions.get(key, 0) + 1 for key in unknown}

    async def resolve(self, now_ns: int) -> bool:
        """Ask the broker about what is not certain; return whether there was news. Without an answer it stays so.

        Of a simulated venue only orders that are UNKNOWN or in doubt: it tells all else.
        """
        if self._is_asking or (self._is_simulated and not self.any()):
            return False
        self._is_asking = True
        try:
            return await self.catch_up(now_ns)
        except BrokerUnavailable as error:
            self._doubt(str(error))
            return False  # asked again later
        finally:
            self._is_asking = False

    def require_comparison(self, why: str) -> bool:
        """Let no entry leave before the books were compared; return whether that has to be requested."""
        self._doubt(why)  # not at a simulated venue, which tells what it has held back
        return not self._is_simulated

    def _doubt(self, why: str) -> None:
        if not self._is_simulated:
            self._doubts += 1
            self.not_compared = why

    async def catch_up(self, now_ns: int) -> bool:
        """Take over what the broker's books show and ours lack; return whether there was anything.

        Executions of its day, of whatever order, and the ends of orders that are open here. Raises
        BrokerUnavailable.
        """
        untold, self._ended = self._ended, []
        for one in untold:
            self._on_absent(one)
        self._look_again()
        self._count_questions(now_ns)
        before, doubts = {order.client_order_id: order for order in self._orders.remembered()}, self._doubts
        question = self._numbers.begin_question(now_ns)
        asked = self._resolving if self.any() or self.not_compared else self._broker
        fills = await answered(asked.fills_since(0))  # by the broker's clock, which may be behind ours
        theirs = await answered(asked.orders())
        answer = self._answers.read(fills, theirs, now_ns)
        if doubts == self._doubts:
            self.not_compared = ""
        open_here = {order.client_order_id: order for order in self._orders}
        self._warnings.keep(answer.ours)
        self._doubted = {key: None for key in self._doubted if key in open_here}
        self._absent_since = {key: ns for key, ns in self._absent_since.items() if key in open_here}
        if self._numbers:
            self._look_again(foreign=self._answers.foreign(answer))
        has_news, sure = False, {key for key, order in open_here.items() if before.get(key) is order}
        for key, order in open_here.items():
            if self._is_asked_about(order) or not (self._is_simulated or order.state in _MAY_BE_SENT):
                if key in sure:
                    has_news |= self._compare(order, answer)
                else:
                    self._doubted[key] = None  # something has happened to it since: the answer is older, ask again
        if not self._is_simulated:
            if answer.fills and answer.is_settled:
                self._say(f"{len(answer.fills)} fills in the books of {self._broker.name} were told by no notice")
            for fill in answer.fills:
                if fill.client_order_id not in open_here:  # of one that has ended here, or is not ours
                    self._on_report(fill)
            for key, found in answer.ours.items():
                ended = self._orders.get(key)
                if key not in open_here and ended is not None and before.get(key) is ended:
                    has_news |= self._compare_ended(ended, found, answer)
            self._warnings.tell_foreign(answer.others)
            has_news |= self._look_again(question)
        return bool(answer.fills) or has_news

    def _compare(self, order: Order, answer: BrokerAnswer) -> bool:
        """Compare an order that is open here with the broker's books; return whether they show something new."""
        key, now_ns, is_unknown = order.client_order_id, answer.asked_ns, order.state is OrderState.UNKNOWN
        found, is_executed = answer.ours.get(key), key in answer.executed
        may_be: Sequence[BrokerOrder] = ()
        has_number = bool(order.venue_refs) or self._broker.capabilities.client_order_ids
        if found is None and not has_number:
            may_be = claimable(order, answer.others, self._lag_ns)
            found = sole_match(order, may_be, self._orders)
        if (is_unknown and is_executed) or (found is not None and (is_unknown or not has_number)):
            ref = None if found is None else found.ref
            ack = kept_ack(OrderAck(AckStatus.ACCEPTED, key, ref, "found at the broker"))
            order = apply_ack(order, ack, now_ns)
            self._put(order)
        elif found is not None and not self._is_simulated and found.ref not in order.venue_refs:
            order = renumbered(order, kept_ref(found.ref))  # by someone else
            self._put(order)
        if self._look_again():
            self._doubted[key] = None  # the answer is older than what was applied now
            return True
        fills = [fill for fill in answer.fills if fill.client_order_id == key]
        for fill in fills:
            self._on_report(fill)
        if found is not None:
            self._absent_since.pop(key, None)
            self._doubted.pop(key, None)
            return self._compare_with(order, found, fills, answer)
        if not is_unknown or is_executed:
            self._doubted[key] = None  # what is left of it may have ended: a broker need not show that
        if may_be or (is_unknown and is_executed):
            self._absent_since.pop(key, None)
            if is_unknown and may_be:
                self._warnings.warn(
                    key, f"order {key} may be one of {_names(may_be)} at {self._broker.name}, or none of them"
                )
        elif self._numbers.has_news_of(order):
            self._absent_since.pop(key, None)
        elif now_ns - self._known_since_ns(order, now_ns) >= self._lag_ns:
            return self._count_absence(order, now_ns)
        return False

    def _known_since_ns(self, order: Order, now_ns: int) -> int:
        """Return when an order changed last; of one from before the clock was set back, when we went on."""
        return order.ts_update_ns if order.ts_update_ns <= now_ns else self._went_on_ns

    def _compare_with(self, order: Order, found: BrokerOrder, fills: Sequence[Fill], answer: BrokerAnswer) -> bool:
        """Compare an order that is open here with ``found``, its row; return whether that shows something new.

        ``fills``: its executions in the same ``answer`` that were not booked.
        """
        key, now_ns = order.client_order_id, answer.asked_ns
        if found.qty != order.qty and not self._is_simulated:
            self._doubted[key] = None  # a row of another quantity than was ordered proves nothing
            said = f"{found.filled} of {found.qty} {found.state.value}"
            self._warnings.warn(key, f"{self._broker.name} shows order {key} as {said}, ordered were {order.qty}")
            return False
        inferred = self._infer(order, found, answer)
        filled = plus(order.filled, sum_of(fill.qty for fill in fills))
        if found.filled > filled or inferred:
            self._doubted[key] = None  # an execution is not listed yet: it ends when all of them are known
            if not inferred and answer.is_settled and self._warnings.has_differed(order, now_ns):
                name, shown = self._broker.name, f"{found.filled} of order {key} executed"
                self._warnings.warn(key, f"{name} shows {shown} and has told of {filled}", "FS070")
            return inferred
        self._warnings.agrees(key)
        end = end_of(found, order, self._broker.name, now_ns)
        if end is not None:
            self._on_report(end)  # the broker does not report it again
        return end is not None

    def _compare_ended(self, order: Order, found: BrokerOrder, answer: BrokerAnswer) -> bool:
        """Compare an order that has ended here with its row; return whether that shows something new."""
        key, now_ns = order.client_order_id, answer.asked_ns
        if found.qty == order.qty and self._infer(order, found, answer):
            return True
        if not found.is_open:
            self._warnings.agrees(key)
        elif self._warnings.has_differed(order, now_ns):
            what = (
                f"order {key} is {order.state.value} here, {self._broker.name} still works {found.remaining} of it"
            )
            self._warnings.warn(key, what, "FS070")
        return False

    def _infer(self, order: Order, found: BrokerOrder, answer: BrokerAnswer) -> bool:
        """Book what the row shows of an order where executions have no numbers; return whether there was anything.

        Not while a notice waits to be handled: it may be just that execution.
        """
        if self._is_simulated or self._broker.capabilities.execution_ids or not answer.is_settled:
            return False
        reports = self._cumulative.reports(order, found, answer.asked_ns)
        for report in reports:
            self._on_report(report)
        if reports:
            key, name = order.client_order_id, self._broker.name
            code = "AN030" if isinstance(reports[0], Fill) else "FS041"
            self._on_code(code, f"{name} shows {found.filled} of order {key} executed, its notices told otherwise")
        return bool(reports)

    @property
    def cumulative(self) -> CumulativeFills | None:
        """Return what gives executions their ids; None where the broker numbers them."""
        return None if self._broker.capabilities.execution_ids else self._cumulative

    def on_booking(self, row: BookingRow) -> None:
        """Note an execution that was taken back."""
        self._cumulative.on_booking(row)

    def _count_absence(self, order: Order, now_ns: int) -> bool:
        """Count one answer in which ``order`` is absent; return whether it has ended thereby."""
        first = self._absent_since.setdefault(order.client_order_id, now_ns)
        if now_ns - first < BETWEEN_ANSWERS_NS:
            return False
        key = order.client_order_id
        del self._absent_since[key]
        evidence = f"absent in two answers {(now_ns - first) / NS_PER_S:.1f} s apart"
        if order.state is OrderState.UNKNOWN:
            absent = apply_absent(order, now_ns, evidence)
            self._put(absent)
            self._on_absent(absent)
        else:  # it was there: what is left of it has ended
            self._doubted.pop(key, None)
            self._on_report(OrderCancelled(self._broker.name, key, order.symbol, now_ns, evidence))
        return True

    def _put(self, order: Order) -> None:
        self._orders.put(order)
        self._record.write_later(order)
        if order.state in FINAL_STATES:
            self._account.release(order.client_order_id)

    def export_state(self) -> dict[str, Any]:
        """Return since when which order was absent, and the orders in doubt, for a checkpoint."""
        doubted = {"doubted": list(self._doubted)} if self._doubted else {}
        return {"absent_since": self._absent_since, **doubted, **self._cumulative.export_state()}

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``: absence before counts from then on, at the latest."""
        self._went_on_ns = now_ns
        self._absent_since = {key: min(since_ns, now_ns) for key, since_ns in self._absent_since.items()}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._absent_since = dict(saved["absent_since"])
        self._doubted = dict.fromkeys(saved.get("doubted", ()))
        self._cumulative.import_state(saved)


def end_of(theirs: BrokerOrder, ours: Order, broker: str, now_ns: int) -> OrderCancelled | OrderRejected | None:
    """Return the report of an end that the broker's books give; None while the order can fill, or has filled."""
    kind = _ENDS.get(theirs.state)
    key = ours.client_order_id
    return None if kind is None else kind(broker, key, ours.symbol, now_ns, "so the broker's books say")


def _names(theirs: Sequence[BrokerOrder]) -> str:
    return ", ".join(f"{one.ref.number} ({one.side.value} {one.qty} {one.symbol})" for one in theirs[:5])
