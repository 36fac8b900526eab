"""Act: money reserved, intent durable, then the broker; its answer is booked, an unknown one as unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import pytest

from qts.db.contracts import DecisionRow, Record
from qts.errors import HalfDoneError
from qts.execution.contracts import AckStatus, Fill, Order, OrderAck, OrderState, VenueRef
from qts.execution.lifecycle import apply_fill
from qts.pipeline.act import withdraw
from qts.pipeline.contracts import Acted, Candidate, Decision
from qts.risk.contracts import Approved, Refusal, Refused
from qts.strategy.contracts import Side
from tests.broker.scripted import DAY
from tests.pipeline.rig import SYMBOL, PipelineRig
from tests.risk.requests import NOW, D

COST_OF_100 = D(5_000_000) + 5_000 + 1
"""100 at 50,000: amount, fee of 0.1 %, one won for rounding."""


async def test_the_intent_is_durable_before_the_broker_hears_of_it() -> None:
    rig = PipelineRig()
    stored_at_send: list[object] = []
    rig.broker.before_answer = lambda approved: stored_at_send.extend(rig.log.durable)

    await rig.run(qty=100, limit=50_000)

    decision, order = stored_at_send
    assert isinstance(decision, DecisionRow)
    assert isinstance(order, Order)
    assert order.state is OrderState.INTENT
    assert order.approval_id == decision.approval_id == rig.broker.placed[0].approval_id
    assert order.client_order_id == decision.client_order_id


async def test_nothing_is_sent_when_the_intent_cannot_be_stored() -> None:
    rig = PipelineRig()

    async def full(records: object) -> None:
        raise OSError("disk full")

    rig.log.write_intent = full  # type: ignore[method-assign]

    with pytest.raises(HalfDoneError, match="disk full"):
        await rig.run(qty=1)
    assert rig.broker.placed == []
    assert (rig.log.given_up, rig.log.held) == (["order o-1"], 0)


def while_the_intent_is_written(rig: PipelineRig, happens: Callable[[], object]) -> None:
    """The disk takes its time, and something happens meanwhile."""
    write = rig.log.write_intent

    async def slow(records: Sequence[Record]) -> None:
        await write(records)
        happens()

    rig.log.write_intent = slow  # type: ignore[method-assign]


async def test_no_checkpoint_is_taken_from_the_intent_to_the_answer() -> None:
    rig, held = PipelineRig(), list[int]()
    place = rig.broker.place
    while_the_intent_is_written(rig, lambda: held.append(rig.log.held))

    async def noted(approved: Approved) -> OrderAck:
        held.append(rig.log.held)
        return await place(approved)

    rig.broker.place = noted  # type: ignore[method-assign]

    await rig.run(qty=100, limit=50_000)

    assert (held, rig.log.held) == ([1, 1], 0)


async def test_an_entry_does_not_leave_when_an_alarm_was_raised_while_its_intent_was_written() -> None:
    rig = PipelineRig()
    while_the_intent_is_written(rig, lambda: rig.safety.apply_fail_safe("FS104"))

    outcome = await rig.run(qty=100, limit=50_000)

    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.SAFETY_BLOCKS_ENTRIES
    assert (rig.broker.placed, len(rig.sent)) == ([], 1)  # it counts against the limits all the same
    assert (len(rig.orders), rig.account.open_reservations) == (0, ())
    (ended,) = rig.log.later
    assert isinstance(ended, Order)
    assert (ended.state, ended.note) == (OrderState.NOT_SENT, "safety stopped it before it was sent")


async def test_an_exit_leaves_whatever_was_raised_while_its_intent_was_written() -> None:
    rig = PipelineRig()
    rig.hold(10)
    while_the_intent_is_written(rig, lambda: rig.safety.apply_fail_safe("FS104"))

    outcome = await rig.run(Side.SELL)

    assert isinstance(outcome, Acted)
    assert len(rig.broker.placed) == 1


async def test_an_order_that_was_withdrawn_while_its_intent_was_written_does_not_leave() -> None:
    """Given an emergency stop without liquidation, a sale on its way to the disk does not leave either."""
    rig = PipelineRig()
    rig.hold(10)

    def stop() -> None:
        (order,) = rig.orders
        withdraw(order, NOW, "emergency stop", orders=rig.orders, account=rig.account, log=rig.log)

    while_the_intent_is_written(rig, stop)

    outcome = await rig.run(Side.SELL)

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.detail) == (
        Refusal.WITHDRAWN,
        "withdrawn before it was sent: emergency stop",
    )
    assert (rig.broker.placed, len(rig.orders), rig.account.open_reservations) == ([], 0, ())


async def test_a_decision_cut_off_while_it_waits_for_the_disk_leaves_nothing_behind() -> None:
    rig = PipelineRig()
    waiting = asyncio.Event()

    async def hangs(records: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    rig.log.write_intent = hangs  # type: ignore[method-assign]
    task = asyncio.create_task(rig.run(qty=100, limit=50_000))
    await waiting.wait()
    assert len(rig.account.open_reservations) == 1

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.broker.placed == []
    assert (len(rig.orders), rig.account.open_reservations) == (0, ())


async def test_the_money_is_reserved_before_the_send() -> None:
    rig = PipelineRig()
    free_at_send: list[Decimal] = []
    rig.broker.before_answer = lambda approved: free_at_send.append(rig.account.available(approved.request.pool))

    await rig.run(qty=100, limit=50_000)

    assert free_at_send == [D(33_333_333) - COST_OF_100]


async def test_an_accepted_order_works_and_keeps_its_money() -> None:
    rig = PipelineRig()

    outcome = await rig.run(qty=100, limit=50_000)

    assert isinstance(outcome, Acted)
    (order,) = rig.orders
    assert order.state is OrderState.WORKING
    assert order.venue_refs == (VenueRef(DAY, "scripted-o1", "scripted"),)
    assert [r.cash for r in rig.account.open_reservations] == [COST_OF_100]
    assert rig.log.later == [order]


async def test_a_rejected_order_gives_its_money_back() -> None:
    rig = PipelineRig()
    rig.broker.answer = AckStatus.REJECTED

    outcome = await rig.run(qty=100, limit=50_000)

    assert isinstance(outcome, Acted)
    assert outcome.ack.status is AckStatus.REJECTED
    assert len(rig.orders) == 0
    assert rig.account.open_reservations == ()
    stored = rig.log.later[-1]
    assert isinstance(stored, Order)
    assert stored.state is OrderState.REJECTED
    assert "as scripted" in stored.note


@pytest.mark.parametrize(
    "answer",
    [
        AckStatus.UNKNOWN,
        TimeoutError("3 s"),
        ConnectionResetError("reset"),
        ValueError("no JSON"),
        LookupError("status"),
    ],
)
async def test_an_unknown_answer_keeps_order_and_money_and_nothing_is_sent_again(
    answer: AckStatus | Exception,
) -> None:
    rig = PipelineRig()
    rig.broker.answer = answer

    await rig.run(qty=100, limit=50_000)

    (order,) = rig.orders
    assert order.state is OrderState.UNKNOWN
    assert [r.cash for r in rig.account.open_reservations] == [COST_OF_100]
    assert len(rig.broker.placed) == 1


@pytest.mark.parametrize("strategy", ["s", "another"])
async def test_the_next_order_on_that_key_is_refused_to_every_strategy(strategy: str) -> None:
    rig = PipelineRig()
    rig.broker.answer = AckStatus.UNKNOWN
    await rig.run(qty=100, limit=50_000)
    rig.broker.answer = AckStatus.ACCEPTED

    refused = await rig.run(qty=1, strategy=strategy)

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.UNRESOLVED_ORDER
    assert len(rig.broker.placed) == 1


async def test_the_other_side_of_that_key_is_free() -> None:
    rig = PipelineRig()
    rig.hold(10, strategy="holder")
    rig.broker.answer = AckStatus.UNKNOWN
    await rig.run(qty=100, limit=50_000)
    rig.broker.answer = AckStatus.ACCEPTED

    assert isinstance(await rig.run(Side.SELL, strategy="holder"), Acted)
    assert [approved.request.side for approved in rig.broker.placed] == [Side.BUY, Side.SELL]


def _filled(rig: PipelineRig, approved: Approved, qty: int) -> None:
    """A fill that is booked while the answer to the order is still under way."""
    request = approved.request
    fill = Fill(
        "said", "x-1", request.client_order_id, SYMBOL, Side.BUY, D(qty), D(50_000), D(0), D(0), NOW, qty == 100
    )
    order = rig.orders.get(request.client_order_id)
    assert order is not None
    rig.account.apply_fill(fill, strategy=order.strategy, pool=order.pool)
    rig.orders.put(apply_fill(order, fill))


async def test_a_fill_that_overtakes_the_answer_is_not_forgotten() -> None:
    rig = PipelineRig()
    rig.broker.before_answer = lambda approved: _filled(rig, approved, 40)

    await rig.run(qty=100, limit=50_000)

    (order,) = rig.orders
    assert (order.state, order.filled) == (OrderState.PARTIAL, D(40))


async def test_a_refusal_that_contradicts_a_fill_leaves_the_rest_reserved() -> None:
    rig = PipelineRig()
    rig.broker.answer = AckStatus.REJECTED
    rig.broker.before_answer = lambda approved: _filled(rig, approved, 40)

    await rig.run(qty=100, limit=50_000)

    (order,) = rig.orders
    assert order.state is OrderState.PARTIAL
    assert "declined" in order.note
    (left,) = rig.account.open_reservations
    assert left.left == D(60)


async def test_money_that_went_away_since_the_gate_looked_is_a_refusal_not_an_order() -> None:
    rig = PipelineRig(symbol_weight_limit=0.6)
    candidate = rig.evaluate(rig.transform(rig.extract(rig.signal(qty=100, limit=50_000))))
    assert isinstance(candidate, Candidate)
    decision = rig.decide(candidate)
    assert isinstance(decision, Decision)
    for number in range(6):
        await rig.run(qty=100, limit=50_000, strategy=f"other-{number}")

    outcome = await rig.act(decision)

    # 6 × 5,005,001 of 33,333,333 leave 3,303,327.
    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.INSUFFICIENT_CAPITAL
    assert outcome.code == "GR061"
    assert len(rig.broker.placed) == 6


async def test_a_sale_reserves_the_holding_not_money() -> None:
    rig = PipelineRig()
    rig.hold(10)

    await rig.run(Side.SELL)

    assert rig.account.reserved_qty("s", SYMBOL) == D(10)
    assert rig.account.reserved(rig.broker.placed[0].request.pool) == 0


async def test_the_stored_decision_explains_itself() -> None:
    rig = PipelineRig()

    await rig.run(confidence=0.75, qty=100, limit=50_000)

    (decision,) = [row for row in rig.log.durable if isinstance(row, DecisionRow)]
    inputs = msgspec.json.decode(decision.inputs)
    assert inputs["confidence"] == 0.75
    assert inputs["view"]["price"] == "50100"
    assert inputs["view"]["equity"] == "99999999"
    assert inputs["limits"]["max_positions"] == 15
    assert "instrument" not in inputs["view"]
    assert decision.config_hash == "hash-1"
    assert decision.ts_ns == NOW
    assert decision.expires_ns == NOW + 5_000_000_000


async def test_the_day_counts_a_send_before_the_answer() -> None:
    rig = PipelineRig()
    counted: list[int] = []
    rig.broker.before_answer = lambda approved: counted.append(rig.day.entries)

    await rig.run(qty=1)

    assert counted == [1]


async def test_an_order_that_waits_for_its_answer_is_pending_and_no_longer_an_intent() -> None:
    rig = PipelineRig()
    states: list[OrderState] = []
    rig.broker.before_answer = lambda approved: states.extend(order.state for order in rig.orders)

    await rig.run(qty=1)

    assert states == [OrderState.PENDING_NEW]
    assert [row.state for row in rig.log.later if isinstance(row, Order)] == [OrderState.WORKING]


async def test_an_order_that_may_wait_for_long_is_seen_as_pending_in_the_store() -> None:
    rig = PipelineRig(stores_pending=True)

    await rig.run(qty=1)

    rows = [row.state for row in rig.log.later if isinstance(row, Order)]
    assert rows == [OrderState.PENDING_NEW, OrderState.WORKING]


class _Server:
    """A server that has to have every order: what it says, and how often it was waited for."""

    def __init__(self, rig: PipelineRig, lacking: str) -> None:
        self.lacking, self.waits, self.held = lacking, 0, list[int]()
        self._rig = rig
        rig.act._confirmed = self.confirmed

    async def confirmed(self) -> str:
        self.waits += 1
        self.held.append(self._rig.log.held)
        return self.lacking


async def test_an_entry_that_the_server_does_not_have_in_time_does_not_leave() -> None:
    rig = PipelineRig()
    server = _Server(rig, "the server did not have the order within 250 ms")

    outcome = await rig.run(qty=100, limit=50_000)

    assert isinstance(outcome, Refused)
    assert outcome.reason is Refusal.STORE_BEHIND
    assert outcome.detail.startswith("the server did not have the order within 250 ms; ")
    assert (rig.broker.placed, len(rig.orders), rig.account.open_reservations) == ([], 0, ())
    (ended,) = rig.log.later
    assert isinstance(ended, Order)
    assert (ended.state, ended.note) == (OrderState.NOT_SENT, server.lacking)
    assert (server.held, rig.log.held) == ([0], 0)  # a checkpoint with the intent is what the server is shown


async def test_an_exit_waits_for_the_server_and_leaves_without_it() -> None:
    rig = PipelineRig()
    rig.hold(10)
    server = _Server(rig, "the server is AWAY")

    outcome = await rig.run(Side.SELL)

    assert isinstance(outcome, Acted)
    assert (server.waits, len(rig.broker.placed)) == (1, 1)


async def test_an_entry_that_the_server_has_leaves_and_holds_checkpoints_from_then_on() -> None:
    rig, held = PipelineRig(), list[int]()
    server, place = _Server(rig, ""), rig.broker.place

    async def noted(approved: Approved) -> OrderAck:
        held.append(rig.log.held)
        return await place(approved)

    rig.broker.place = noted  # type: ignore[method-assign]

    assert isinstance(await rig.run(qty=100, limit=50_000), Acted)
    assert (server.held, held, rig.log.held) == ([0], [1], 0)
