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

from collections.abc import Callable, Container, Sequence
from typing import Any, Protocol

from qts.broker.contracts import BrokerOrder, BrokerQueries
from qts.errors import BrokerUnavailable
from qts.execution.contracts import ExecutionReport, Fill, Order, OrderAck, OrderState, VenueRef
from qts.execution.lifecycle import apply_ack, with_number
from qts.execution.texts import kept_ref
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.ledger.contracts import BookingRow
from qts.pipeline.act import withdraw
from qts.runtime.orders.broker_answers import AnswerReader
from qts.runtime.orders.broker_queries import answered
from qts.runtime.orders.cumulative_fills import CumulativeFills
from qts.runtime.orders.foreign_fills import ForeignFills
from qts.runtime.orders.numbered_reports import NO_QUESTION, NumberedReports, Question
from qts.runtime.orders.order_comparison import BETWEEN_ANSWERS_NS, OrderComparison
from qts.runtime.orders.order_warnings import OrderWarnings
from qts.runtime.orders.question_times import QuestionTimes, interval_ns
from qts.runtime.orders.unannounced_fills import UnannouncedFills
from qts.runtime.persistence.store_writer import StoreWriter

_MAY_BE_SENT = frozenset({OrderState.INTENT, OrderState.PENDING_NEW})


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
        self._numbers = numbers
        self._look_again = look_again
        self._is_simulated = is_simulated
        self._lag_ns = broker.capabilities.visibility_lag_ns
        self._cumulative = CumulativeFills(account, broker.name, self._lag_ns)
        self._ended: list[Order] = []
        """Orders that a restart found ended in the gateway's file, and that no one was told of."""
        self._questions = QuestionTimes(is_simulated=is_simulated)
        self._doubts = 0
        """How often something has happened since which the broker's books may show what ours lack."""
        self.not_compared = ""
        """Why the books have to be compared before an entry, in words; "" when they were."""
        self._answers = AnswerReader(account, orders, numbers, is_settled=is_settled, lag_ns=self._lag_ns)
        patience_ns = max(BETWEEN_ANSWERS_NS, self._lag_ns)
        self._warnings = OrderWarnings(broker.name, patience_ns, say=warn, on_code=on_code)
        self.unannounced = UnannouncedFills(broker.name, on_code)
        """What the books have told while the line seemed well, until its notice comes."""
        self._foreign = ForeignFills(account, broker.name, self._lag_ns, numbers.is_ours)
        self._comparison = OrderComparison(
            broker=broker,
            is_simulated=is_simulated,
            orders=orders,
            numbers=numbers,
            cumulative=self._cumulative,
            warnings=self._warnings,
            put=self._put,
            look_again=look_again,
            on_fill=self._give_on,
            on_report=on_report,
            on_absent=on_absent,
            on_code=on_code,
        )

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
        self._comparison.was_answered(order)
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
        return len(self._orders) > 0 and any(map(self._comparison.is_uncertain, self._orders))

    @property
    def interval_ns(self) -> int:
        """Return the real time between two comparisons with the broker's books in a session on the loop.

        A fill that was never told is found within it; what is not certain is asked for sooner.
        """
        is_uncertain = bool(self.not_compared or self._numbers or self._foreign.is_waiting) or self.any()
        return interval_ns(self._broker.capabilities.requests_per_s, is_uncertain=is_uncertain)

    @property
    def next_question_ns(self) -> int:
        """Return when the broker is asked next, ns of the session's clock; 0: now, or it is being asked."""
        return self._questions.next_ns(self.interval_ns)

    def questions_about(self, client_order_id: str) -> int:
        """Return how often this process has asked the broker about an order of unknown fate."""
        return self._questions.about(client_order_id)

    async def resolve(self, now_ns: int) -> bool:
        """Ask the broker about what is not certain; return whether there was news. Without an answer it stays so.

        Of a simulated venue only orders that are UNKNOWN or in doubt: it tells all else.
        """
        if self._questions.is_asking or (self._is_simulated and not self.any()):
            return False
        self._questions.is_asking = True
        try:
            return await self.catch_up(now_ns)
        except BrokerUnavailable as error:
            self._doubt(str(error))
            return False  # asked again later
        finally:
            self._questions.is_asking = False

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
        unknown = [order.client_order_id for order in self._orders if order.state is OrderState.UNKNOWN]
        self._questions.count(unknown, now_ns)
        is_well = not self.not_compared
        self.unannounced.check(now_ns)
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
        self._comparison.keep(open_here)
        is_numbered = self._broker.capabilities.execution_ids
        foreign = self._answers.foreign(answer) if self._numbers or not is_numbered else set[VenueRef]()
        if self._numbers:
            self._look_again(foreign=foreign)
        has_news, sure = False, {key for key, order in open_here.items() if before.get(key) is order}
        for key, order in open_here.items():
            if self._comparison.is_uncertain(order) or not (self._is_simulated or order.state in _MAY_BE_SENT):
                if key in sure:
                    has_news |= self._comparison.compare(order, answer)
                else:
                    self._comparison.doubt(order)  # the answer is older than what has happened to it since
        if not self._is_simulated:
            if answer.fills and answer.is_settled:
                self._say(f"{len(answer.fills)} fills in the books of {self._broker.name} were told by no notice")
                if is_well:
                    self.unannounced.found(answer.fills, now_ns)
            for fill in answer.fills:
                if fill.client_order_id not in open_here:  # of one that has ended here, or is not ours
                    self._give_on(fill)
            for key, found in answer.ours.items():
                ended = self._orders.get(key)
                if key not in open_here and ended is not None and before.get(key) is ended:
                    has_news |= self._comparison.compare_ended(ended, found, answer)
            self._warnings.tell_foreign(answer.others)
            if answer.is_settled and not is_numbered:
                rows = [one for one in answer.others if one.ref in foreign]
                for fill in self._foreign.inferred(rows, now_ns):
                    has_news = True
                    self._on_report(fill)
            has_news |= self._look_again(question)
        return bool(answer.fills) or has_news

    @property
    def cumulative(self) -> CumulativeFills | None:
        """Return what gives executions their ids; None where the broker numbers them."""
        return None if self._broker.capabilities.execution_ids else self._cumulative

    @property
    def foreign(self) -> ForeignFills | None:
        """Return what gives executions of others their ids; None where the broker numbers them."""
        return None if self._broker.capabilities.execution_ids else self._foreign

    @property
    def foreign_within_ns(self) -> int:
        """Return after which time a trade of others that no notice told is booked; 0: as soon as it is listed."""
        capabilities = self._broker.capabilities
        if capabilities.execution_ids:
            return 0
        return self._foreign.patience_ns + interval_ns(capabilities.requests_per_s, is_uncertain=False)

    def begin(self, rows: Sequence[BrokerOrder], now_ns: int) -> None:
        """Note that what ``rows``, read until ``now_ns``, show as executed is in the opening of the account."""
        if not self._broker.capabilities.execution_ids:
            self._foreign.begin(rows, now_ns)

    def on_booking(self, row: BookingRow) -> None:
        """Note an execution that was taken back."""
        self._cumulative.on_booking(row)

    def _give_on(self, fill: Fill) -> None:
        self._answers.note_told(fill)
        self._on_report(fill)

    def _put(self, order: Order) -> None:
        self._orders.put(order)
        self._record.write_later(order)
        if order.state in FINAL_STATES:
            self._account.release(order.client_order_id)

    def export_state(self) -> dict[str, Any]:
        """Return since when which order was absent, what is in doubt and what was inferred, for a checkpoint."""
        is_numbered = self._is_simulated or self._broker.capabilities.execution_ids
        foreign = {} if is_numbered else {"foreign": self._foreign.export_state()}
        return {**self._comparison.export_state(), **self._cumulative.export_state(), **foreign}

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``: what was seen before counts from then on."""
        self._comparison.go_on_at(now_ns)
        self._foreign.go_on_at(now_ns)

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._comparison.import_state(saved)
        self._cumulative.import_state(saved)
        if "foreign" in saved:
            self._foreign.import_state(saved["foreign"])
