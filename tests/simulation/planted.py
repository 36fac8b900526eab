"""Mistakes that are planted in the package, to see that the simulator finds them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace


def plant(name: str) -> None:
    """Put one mistake into the package, for the rest of the process."""
    PLANTED[name]()


def _a_sync_left_out() -> None:
    """The gateway's file is not confirmed by the disk before an order leaves."""
    from qts.broker.gateway.sent_file import SentFile

    SentFile.sync = lambda self: None  # type: ignore[method-assign]


def _a_key_without_the_execution() -> None:
    """The key of a fill has not the broker's number of the execution."""
    from qts.ledger.account import Account

    before = Account._id_of

    def same(self: Account, fill: Any) -> Any:
        return before(self, replace(fill, execution_id=fill.execution_id[:6]))

    Account._id_of = same  # type: ignore[method-assign]


def _an_answer_after_its_news() -> None:
    """The books take each answer to an order for one that has just been asked for: what is newer is undone."""
    from qts.execution import lifecycle
    from qts.runtime.orders import order_comparison, reconciliation

    before = lifecycle.apply_ack

    def undone(order: Any, ack: Any, ts_ns: int) -> Any:
        after = before(order, ack, ts_ns)
        if order.filled and order.filled < order.qty:
            return replace(after, filled=Decimal(0), state=lifecycle.OrderState.WORKING)
        return after

    from qts.pipeline import act

    for module in (act, order_comparison, reconciliation):
        module.apply_ack = undone  # type: ignore[attr-defined]


def _a_lag_of_0() -> None:
    """Absence from the broker's lists is believed at once."""
    from qts.runtime.orders import order_comparison

    before = order_comparison.OrderComparison.__init__

    def without(self: Any, **given: Any) -> None:
        before(self, **given)
        self._lag_ns = 0

    order_comparison.OrderComparison.__init__ = without  # type: ignore[assignment]
    order_comparison.BETWEEN_ANSWERS_NS = 0


def _a_page_loop_that_stops() -> None:
    """Of a list of executions the first page alone is read."""
    from tests.simulation.broker import SimBroker

    before = SimBroker.fills_since

    async def first_page(self: SimBroker, ts_ns: int) -> Any:
        return (await before(self, ts_ns))[:2]

    SimBroker.fills_since = first_page  # type: ignore[method-assign]


def _external_sold() -> None:
    """A sale takes what the account holds for what the strategy holds."""
    from qts.ledger.account import Account

    before = Account.holding

    def all_of_it(self: Account, strategy: str, symbol: str) -> Decimal:
        held = before(self, strategy, symbol)
        return self.broker_positions().get(symbol, held) if held > 0 else held

    Account.holding = all_of_it  # type: ignore[method-assign]


def _a_retry_after_the_mark() -> None:
    """An order that is not answered is sent again."""
    from qts.broker.gateway.worker import Worker

    before = Worker._place

    async def twice(self: Worker, order: Any) -> None:
        await before(self, order)
        if order.client_order_id in self._unknown or not order.ticket.ack:
            await self._broker.place(order.approved)

    Worker._place = twice  # type: ignore[method-assign]


def _a_float_in_a_sum() -> None:
    """The fee of a fill goes through a binary float."""
    from qts.ledger import account

    before = account.ledger_row

    def rounded(*given: Any, **named: Any) -> Any:
        row = before(*given, **named)
        return replace(row, fee=Decimal(float(row.fee) + 0.1) - Decimal("0.1"))

    account.ledger_row = rounded  # type: ignore[assignment]


def _a_checkpoint_before_the_journal() -> None:
    """A checkpoint is stored without waiting for the journal that it names."""
    from qts.runtime.persistence.store_writer import GroupCommitWriter

    GroupCommitWriter._named_by = lambda self, batch: None  # type: ignore[method-assign]
    GroupCommitWriter._is_journalled = lambda self: True  # type: ignore[method-assign]


def _a_lane_starved() -> None:
    """Questions about orders of unknown fate never get their turn."""
    from qts.broker.gateway.lanes import Lane
    from qts.broker.gateway.worker import Worker

    before = Worker._may_go

    def starved(self: Worker, request: Any) -> bool:
        waiting = getattr(request, "waiting", None)
        return before(self, request) and not (waiting is not None and waiting.lane is Lane.RESOLVE)

    Worker._may_go = starved  # type: ignore[method-assign]


PLANTED: dict[str, Callable[[], None]] = {
    "a sync left out": _a_sync_left_out,
    "a key without the execution": _a_key_without_the_execution,
    "an answer after its news": _an_answer_after_its_news,
    "a lag of 0": _a_lag_of_0,
    "a page loop that stops": _a_page_loop_that_stops,
    "EXTERNAL sold": _external_sold,
    "a retry after the mark": _a_retry_after_the_mark,
    "a float in a sum": _a_float_in_a_sum,
    "a checkpoint before the journal": _a_checkpoint_before_the_journal,
    "a lane starved": _a_lane_starved,
}
"""Each mistake by its name."""
