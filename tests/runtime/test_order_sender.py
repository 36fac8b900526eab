"""How requests leave for a broker: at once where it answers at once, in tasks beside everything else where not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from qts.execution.contracts import AckStatus, OrderAck
from qts.pipeline.sending import OrderSender, Ticket
from qts.risk.contracts import Approved
from qts.runtime.orders.order_sender import InlineSender, TaskSender
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.risk.requests import NOW, entry

ACCEPTED, REJECTED, UNKNOWN = AckStatus.ACCEPTED, AckStatus.REJECTED, AckStatus.UNKNOWN


def approved(key: str) -> Approved:
    return Approved(f"a-{key}", entry(client_order_id=key), "hash", NOW + 1)


def in_tasks(broker: ScriptedBroker, *, timeout_s: float = 60, most: int = 64) -> tuple[TaskSender, list[str]]:
    """A sender in tasks, and what its listeners failed with."""
    failed: list[str] = []
    return TaskSender(
        broker, lambda effect, error: failed.append(f"{effect}: {error}"), timeout_s=timeout_s, most=most
    ), failed


async def test_inline_the_answer_is_there_when_the_order_was_given_away() -> None:
    ticket = InlineSender(ScriptedBroker()).submit(approved("o"))

    assert ticket.ack is not None
    assert ticket.ack.status is ACCEPTED


async def test_inline_a_broker_that_waits_proves_nothing() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True

    ticket = InlineSender(broker).submit(approved("o"))

    assert ticket.ack is not None
    assert ticket.ack.status is UNKNOWN


async def test_no_caller_waits_for_a_slow_answer() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker)
    told: list[OrderAck] = []

    ticket = sender.submit(approved("o"))
    ticket.when_answered(told.append)
    await until(lambda: broker.waiting == ["o"])
    assert (ticket.ack, told, sender.in_flight) == (None, [], 1)

    broker.let_answer("o")
    await until(lambda: told)
    assert [ack.status for ack in told] == [ACCEPTED]
    assert (ticket.ack, sender.in_flight) == (told[0], 0)


async def test_a_slow_answer_holds_back_no_other() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker)
    slow, quick = sender.submit(approved("slow")), sender.submit(approved("quick"))
    await until(lambda: len(broker.waiting) == 2)

    broker.let_answer("quick")
    await until(lambda: quick.ack)

    assert slow.ack is None
    await sender.close(0)


@pytest.mark.parametrize("answer", [TimeoutError("socket"), ConnectionResetError("reset"), ValueError("no JSON")])
@pytest.mark.parametrize("make", [InlineSender, lambda broker: in_tasks(broker)[0]])
async def test_what_is_raised_is_no_proof(answer: Exception, make: Callable[[ScriptedBroker], OrderSender]) -> None:
    broker = ScriptedBroker()
    broker.answer = answer

    ticket = make(broker).submit(approved("o"))
    await until(lambda: ticket.ack)

    assert ticket.ack is not None
    assert (ticket.ack.status, ticket.ack.reason) == (UNKNOWN, f"no answer: {type(answer).__name__}: {answer}")


async def test_an_answer_to_another_order_is_none_to_this_one() -> None:
    class Confused(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            return OrderAck(REJECTED, "another")

    ticket = InlineSender(Confused()).submit(approved("o"))

    assert ticket.ack == OrderAck(UNKNOWN, "o", reason="no answer: but one to order another")


async def test_what_is_not_answered_in_time_is_unknown_and_sent_once() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker, timeout_s=0)

    ticket = sender.submit(approved("o"))
    await until(lambda: ticket.ack)

    assert ticket.ack == OrderAck(UNKNOWN, "o", reason="no answer: within 0 s")
    assert len(broker.placed) <= 1


async def test_what_is_under_way_at_the_end_is_unknown_whether_it_has_begun_or_not() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker)
    begun = sender.submit(approved("begun"))
    await until(lambda: broker.waiting)
    not_begun = sender.submit(approved("not begun"))

    await sender.close(0)

    for ticket in (begun, not_begun):
        assert ticket.ack is not None
        assert (ticket.ack.status, ticket.ack.reason) == (UNKNOWN, "cut off while it was sent")
    assert sender.in_flight == 0


async def test_the_end_waits_for_answers_that_come_in_time() -> None:
    broker = ScriptedBroker()
    sender, _ = in_tasks(broker)

    ticket = sender.submit(approved("o"))
    await sender.close(60)

    assert ticket.ack is not None
    assert ticket.ack.status is ACCEPTED


async def test_beyond_its_bound_an_order_is_not_sent_and_a_cancel_waits_for_its_turn() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker, most=2)
    sender.submit(approved("a"))
    sender.cancel("b")

    order, cancel = sender.submit(approved("c")), sender.cancel("d")
    await until(lambda: broker.waiting == ["a", "b"])

    assert order.ack == OrderAck(REJECTED, "c", reason="not sent: 2 requests are under way")
    assert cancel.ack is None
    broker.let_answer("b")
    await until(lambda: broker.cancels == ["b", "d"])
    assert sender.in_flight == 2
    await sender.close(0)
    assert [one.request.client_order_id for one in broker.placed] == ["a"]


async def test_a_cancel_whose_turn_never_comes_is_answered_at_the_end() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker, most=1)
    sender.submit(approved("a"))
    cancel = sender.cancel("b")

    await sender.close(0)

    assert cancel.ack == OrderAck(UNKNOWN, "b", reason="cut off before it was sent")
    assert broker.cancels == []


async def test_a_cancel_that_is_under_way_is_not_sent_again() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker)

    first = sender.cancel("o")
    await until(lambda: broker.cancels == ["o"])
    assert sender.cancel("o") is first

    broker.let_answer("o")
    await until(lambda: first.ack)
    again = sender.cancel("o")
    assert again is not first
    await sender.close(0)


async def test_a_listener_that_fails_ends_the_session_and_not_the_task_alone() -> None:
    sender, failed = in_tasks(ScriptedBroker())

    def fails(ack: OrderAck) -> None:
        raise LookupError("half booked")

    sender.submit(approved("o")).when_answered(fails)
    await until(lambda: failed)

    assert failed == ["the answer to order o: half booked"]


async def test_only_the_first_answer_counts_and_a_late_caller_gets_it_at_once() -> None:
    ticket, told = Ticket("o"), list[OrderAck]()
    first, second = OrderAck(ACCEPTED, "o"), OrderAck(REJECTED, "o")

    ticket.answer(first)
    ticket.answer(second)
    ticket.when_answered(told.append)

    assert (ticket.ack, told) == (first, [first])
    await asyncio.sleep(0)


async def test_a_cancel_that_an_answer_makes_necessary_is_sent_before_the_end() -> None:
    broker = ScriptedBroker()
    broker.holds_answers = True
    sender, _ = in_tasks(broker)
    cancels: list[Ticket] = []
    sender.submit(approved("o")).when_answered(lambda ack: cancels.append(sender.cancel("o")))
    await until(lambda: broker.waiting)

    closing = asyncio.create_task(sender.close(60))
    broker.let_answer("o")
    await until(lambda: broker.cancels == ["o"])
    broker.let_answer("o")
    await closing

    assert [ticket.ack.status for ticket in cancels if ticket.ack] == [ACCEPTED]
