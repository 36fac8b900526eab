"""Requests leave through the gateway: at once where the broker answers at once, beside all else where not."""

from __future__ import annotations

import ast
import asyncio
import os
import pkgutil
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import qts
from qts.broker.gateway.config import GatewayConfig
from qts.broker.sending import OrderSender, Ticket
from qts.clock import ManualClock, from_ns
from qts.errors import BrokerUnavailable, StorageError
from qts.execution.contracts import AckStatus, OrderAck
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side
from tests.broker.gateway_rig import approved, at_once, on_thread, sent_file
from tests.broker.scripted import DAY, NAMED, ScriptedBroker
from tests.event.support import until
from tests.risk.requests import NOW

ACCEPTED, REJECTED, UNKNOWN, NOT_SENT = AckStatus
S = 1_000_000_000
FULL = "No space left on device"


def holding() -> ScriptedBroker:
    broker = ScriptedBroker()
    broker.holds_answers = True
    return broker


def with_capabilities(broker: ScriptedBroker, **more: Any) -> ScriptedBroker:
    broker.capabilities = msgspec.structs.replace(broker.capabilities, **more)
    return broker


def told(ticket: Ticket) -> tuple[AckStatus, str]:
    assert ticket.ack is not None
    return ticket.ack.status, ticket.ack.reason


def placed(broker: ScriptedBroker) -> list[str]:
    return [one.request.client_order_id for one in broker.placed]


async def answered(ticket: Ticket) -> OrderAck:
    await until(lambda: ticket.ack)
    assert ticket.ack is not None
    return ticket.ack


# -- at once -------------------------------------------------------------------------------------------------------


async def test_at_once_the_answer_is_there_when_the_order_was_given_away() -> None:
    assert told(at_once(ScriptedBroker()).submit(approved("o")))[0] is ACCEPTED


async def test_at_once_a_broker_that_waits_proves_nothing() -> None:
    assert told(at_once(holding()).submit(approved("o")))[0] is UNKNOWN


async def test_at_once_an_approval_is_used_once() -> None:
    broker = ScriptedBroker()
    gateway = at_once(broker)
    gateway.submit(approved("o"))

    assert told(gateway.submit(approved("o"))) == (NOT_SENT, "not sent: approval a-o was used before")
    assert placed(broker) == ["o"]


async def test_at_once_an_approval_that_has_expired_lets_nothing_leave() -> None:
    broker, clock = ScriptedBroker(), ManualClock(from_ns(NOW))
    late = approved("o")
    clock.set_ns(late.expires_ns + 1)

    assert told(at_once(broker, clock).submit(late)) == (NOT_SENT, "not sent: approval a-o has expired")
    assert broker.placed == []


# -- on its own thread ---------------------------------------------------------------------------------------------


async def test_no_caller_waits_for_a_slow_answer(tmp_path: Path) -> None:
    broker, acks = holding(), list[OrderAck]()
    async with on_thread(broker, tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        ticket.when_answered(acks.append)
        await until(lambda: broker.waiting == ["o"])
        assert (ticket.ack, acks, rig.gateway.in_flight) == (None, [], 1)

        broker.let_answer("o")
        await until(lambda: acks)
        assert [ack.status for ack in acks] == [ACCEPTED]
        assert (ticket.ack, rig.gateway.in_flight) == (acks[0], 0)


async def test_the_broker_is_called_on_another_thread_and_its_answer_comes_on_ours(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watched(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            seen.append(threading.current_thread().name)
            return await super().place(approved)

    async with on_thread(Watched(), tmp_path) as rig:
        rig.gateway.submit(approved("o")).when_answered(lambda ack: seen.append(threading.current_thread().name))
        await until(lambda: len(seen) == 2)

    assert seen == ["qts-gateway", threading.current_thread().name]


async def test_an_order_is_on_disk_before_it_leaves_and_its_answer_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync = os.fdatasync

    def synced(fd: int) -> None:
        sync(fd)
        steps.append("on disk")

    class Watched(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            steps.append("socket")
            return await super().place(approved)

    async with on_thread(Watched(), tmp_path) as rig:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", synced)
            ticket = rig.gateway.submit(approved("o"))
            ticket.when_answered(lambda ack: steps.append(rig.file.fate_of("o").status.value))
            await until(lambda: ticket.ack)

    assert steps == ["on disk", "socket", "ACCEPTED"]


def test_a_part_of_an_execution_leaves_only_when_its_execution_lets_it() -> None:
    broker, part = ScriptedBroker(), approved("o", parent_id="x-1")
    # No one knows its execution, its execution has had all that was approved, or has some left
    assert told(at_once(broker).submit(part)) == (NOT_SENT, "not sent: no one knows its execution")
    full = at_once(broker, why_not_part=lambda request: f"{request.parent_id} has sent all of it")
    assert told(full.submit(part)) == (NOT_SENT, "not sent: x-1 has sent all of it")
    assert told(at_once(broker, why_not_part=lambda request: "").submit(part))[0] is ACCEPTED
    assert placed(broker) == ["o"]
    # What is no part is not asked about
    assert told(full.submit(approved("p")))[0] is ACCEPTED


async def test_a_gateway_that_does_all_at_once_has_nothing_to_wait_for_at_its_end() -> None:
    broker = ScriptedBroker()
    gateway = at_once(broker)
    await gateway.close(60)
    await gateway.end()
    assert broker.calls == ["close"]


async def test_where_the_disk_does_not_confirm_nothing_leaves_and_the_session_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fd: int) -> None:
        raise OSError(5, "Input/output error")

    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fails)
            ticket = rig.gateway.submit(approved("o"))
            await until(lambda: ticket.ack and rig.failed)
        cancel = rig.gateway.cancel("earlier")
        await until(lambda: cancel.ack)

    assert told(ticket)[0] is NOT_SENT
    assert "Input/output error" in rig.failed[0]
    assert (broker.placed, broker.cancels) == ([], ["earlier"])


async def test_an_order_that_cannot_be_written_down_does_not_leave_and_the_session_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, FULL)

    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        # Given a gateway at work, whose file cannot grow any more
        await answered(rig.gateway.submit(approved("before")))
        with monkeypatch.context() as patched:
            patched.setattr("qts.broker.gateway.sent_file.os.write", full)
            # When an order is given away
            ticket = rig.gateway.submit(approved("o"))
            await until(lambda: ticket.ack and rig.failed)

    # Then it is known not to have left, and nothing goes on without the file
    assert told(ticket) == (NOT_SENT, f"not sent: {tmp_path / 'sent'}: orders cannot be written down: {FULL}")
    assert FULL in rig.failed[0]
    assert placed(broker) == ["before"]


async def test_a_slow_answer_holds_back_no_other(tmp_path: Path) -> None:
    broker = holding()
    async with on_thread(broker, tmp_path) as rig:
        slow, quick = rig.gateway.submit(approved("slow")), rig.gateway.submit(approved("quick"))
        await until(lambda: len(broker.waiting) == 2)

        broker.let_answer("quick")
        await until(lambda: quick.ack)
        assert slow.ack is None


@pytest.mark.parametrize("answer", [TimeoutError("socket"), ConnectionResetError("reset"), ValueError("no JSON")])
async def test_what_is_raised_is_no_proof(tmp_path: Path, answer: Exception) -> None:
    broker = ScriptedBroker()
    broker.answer = answer
    async with on_thread(broker, tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)

    why = (UNKNOWN, f"no answer: {type(answer).__name__}: {answer}")
    assert (told(ticket), told(at_once(broker).submit(approved("p")))) == (why, why)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (OrderAck(REJECTED, "another"), "no answer: but one to order another"),
        (OrderAck(NOT_SENT, "o"), "no answer: but that it was not sent, which no broker can know"),
    ],
)
async def test_an_answer_that_cannot_be_is_none(tmp_path: Path, said: OrderAck, why: str) -> None:
    class Confused(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            return said

    async with on_thread(Confused(), tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)
        assert ticket.ack == OrderAck(UNKNOWN, "o", reason=why)


async def test_what_is_not_answered_in_time_is_unknown_and_sent_once(tmp_path: Path) -> None:
    broker = holding()
    async with on_thread(broker, tmp_path, GatewayConfig(answer_ms=1)) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)
        rig.gateway.cancel("other")
        await until(lambda: broker.cancels)

    assert told(ticket) == (UNKNOWN, "no answer: within 0.001 s")
    assert (placed(broker), rig.late) == (["o"], [])


@pytest.mark.parametrize("answer", [ACCEPTED, REJECTED])
async def test_a_late_answer_counts(tmp_path: Path, answer: AckStatus) -> None:
    broker = with_capabilities(holding(), client_order_ids=False)
    broker.answer = answer
    async with on_thread(broker, tmp_path, GatewayConfig(answer_ms=1, entry_wait_ms=60_000)) as rig:
        rig.unsettled.add("o")
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)
        assert told(ticket)[0] is UNKNOWN

        broker.let_answer()
        await until(lambda: rig.late)
        assert [(ack.client_order_id, ack.status) for ack in rig.late] == [("o", answer)]
        assert (told(ticket)[0], rig.file.fate_of("o").status) == (UNKNOWN, answer)
        rig.gateway.submit(approved("next of its key"))
        await until(lambda: len(broker.placed) == 2)
        view = rig.gateway.view()
        assert view is not None
        assert view.in_flight <= 1  # the late one was not counted twice


async def test_a_late_answer_that_says_nothing_is_none(tmp_path: Path) -> None:
    broker = holding()
    broker.answer = ConnectionResetError("reset")
    async with on_thread(broker, tmp_path, GatewayConfig(answer_ms=1)) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)
        broker.let_answer()
        other = rig.gateway.cancel("other")
        await until(lambda: broker.cancels)
        broker.let_answer()
        await until(lambda: other.ack)
        rig.gateway.deliver()

    assert rig.late == []


async def test_a_listener_that_fails_ends_the_session(tmp_path: Path) -> None:
    def fails(ack: OrderAck) -> None:
        raise LookupError("half booked")

    async with on_thread(ScriptedBroker(), tmp_path) as rig:
        rig.gateway.submit(approved("o")).when_answered(fails)
        await until(lambda: rig.failed)

    assert rig.failed == ["the answer to order o: half booked"]


async def test_only_the_first_answer_counts_and_a_late_caller_gets_it_at_once() -> None:
    ticket, acks = Ticket("o"), list[OrderAck]()
    first, second = OrderAck(ACCEPTED, "o"), OrderAck(REJECTED, "o")

    ticket.answer(first)
    ticket.answer(second)
    ticket.when_answered(acks.append)

    assert (ticket.ack, acks) == (first, [first])


async def test_an_answer_can_be_taken_before_its_call_comes(tmp_path: Path) -> None:
    """News that follows an answer is handled after it, although both are handed over by other threads."""
    answered = threading.Event()

    class Watched(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            ack = await super().place(approved)
            asyncio.get_running_loop().call_soon(answered.set)
            return ack

    async with on_thread(Watched(), tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        assert answered.wait(60)  # our loop has not had a turn since
        rig.gateway.deliver()
        assert told(ticket)[0] is ACCEPTED


async def test_the_file_is_rewritten_without_what_a_checkpoint_has(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path, file=sent_file(tmp_path, most_bytes=300)) as rig:
        stored = [rig.gateway.submit(approved(f"stored {number}")) for number in range(10)]
        await until(lambda: all(one.ack for one in stored))
        rig.gateway.begin_checkpoint()
        open_ = rig.gateway.submit(approved("open"))
        await until(lambda: open_.ack)
        rig.gateway.end_checkpoint()
        before = rig.file.size

        rig.clock.set_ns(NOW + 6 * S)  # the approvals of the others have expired
        last = rig.gateway.submit(approved("last", ts_ns=NOW + 6 * S))
        await until(lambda: last.ack and rig.file.size < before)
        assert [one.client_order_id for one in rig.file.sent()] == ["open", "last"]
        assert (rig.gateway.export_state(), rig.failed) == ({"sent": 12}, [])


async def test_an_answer_that_cannot_be_written_is_told_and_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*entries: object) -> None:
        raise StorageError("No space left on device")

    broker = holding()
    async with on_thread(broker, tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: broker.waiting)
        monkeypatch.setattr(rig.file, "append", full)
        broker.let_answer()
        await until(lambda: ticket.ack and rig.failed)
        assert told(ticket)[0] is ACCEPTED
        assert "No space left" in rig.failed[0]


async def test_charges_are_asked_for_too(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        assert await rig.gateway.queries.charges(DAY) is None
    assert (broker.asked_charges, broker.calls) == ([DAY], ["charges", "close"])


# -- its thread ----------------------------------------------------------------------------------------------------


async def test_a_thread_that_ends_by_an_error_ends_the_session(tmp_path: Path) -> None:
    def broken(request: object) -> str:
        raise RuntimeError("dictionary changed size during iteration")

    broker, config = ScriptedBroker(), GatewayConfig(answer_ms=60_000)
    async with on_thread(broker, tmp_path, config) as rig:
        rig.why_not = broken
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: rig.failed)

        assert rig.failed == ["the gateway's thread: dictionary changed size during iteration"]
        await rig.gateway.close(0)
        assert (told(ticket)[0], broker.placed) == (UNKNOWN, [])


PLACES = {
    "the approval is used": "qts.broker.gateway.admission.Admission.use",
    "the order is written down": "qts.broker.gateway.sent_file.SentFile.append",
    "the disk is waited for": "qts.broker.gateway.sent_file.SentFile.sync",
    "it is looked at again": "qts.broker.gateway.admission.Admission.why_late",
    "the broker is called": "tests.broker.scripted.ScriptedBroker.place",
    "the answer is checked": "qts.broker.gateway.worker.checked",
    "the answer is returned": "qts.broker.gateway.gateway.Gateway.on_answer",
}
"""Where memory runs out on the way of an order, by what happens there."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kth", [1, 2])
async def test_where_memory_runs_out_no_order_stays_without_an_answer_and_none_is_called_unsent_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, kth: int
) -> None:
    """At the first or second time that a place is passed: the answer says what is known, or the session ends."""
    broker, calls = ScriptedBroker(), [0]
    module, _, name = PLACES[place].rpartition(".")
    owner = pkgutil.resolve_name(module)
    original = getattr(owner, name)

    def fails(*args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == kth:
            raise MemoryError
        return original(*args, **more)

    async with on_thread(broker, tmp_path) as rig:
        monkeypatch.setattr(owner, name, fails)
        tickets = []
        for key in ("o", "p"):
            tickets.append(rig.gateway.submit(approved(key)))
            await until(lambda: rig.failed or tickets[-1].ack)
        monkeypatch.undo()
        await rig.gateway.close(0)

        assert calls[0] >= kth, "memory did run out"
        for ticket in tickets:
            status = told(ticket)[0]
            if status is NOT_SENT:
                assert ticket.client_order_id not in placed(broker)
            assert status in (ACCEPTED, UNKNOWN, NOT_SENT)
        assert len(set(placed(broker))) == len(placed(broker))
        assert rig.failed or all(told(ticket)[0] in (ACCEPTED, UNKNOWN) for ticket in tickets)


async def test_without_an_event_loop_for_its_thread_an_order_has_not_left_and_the_session_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(work: Any) -> None:
        work.close()
        raise OSError(24, "Too many open files")

    async with on_thread(ScriptedBroker(), tmp_path) as rig:
        with monkeypatch.context() as patched:
            patched.setattr("qts.broker.gateway.own_thread.asyncio.run", none_left)
            order, cancel = rig.gateway.submit(approved("o")), rig.gateway.cancel("p")

        assert told(order)[0] is NOT_SENT
        assert told(cancel)[0] is UNKNOWN
        for ticket in (order, cancel):
            assert re.search(r"has ended: .*Too many open files", told(ticket)[1])
        assert rig.gateway.in_flight == 0
        assert rig.failed[0].startswith("the gateway's thread: ")


async def test_behind_a_thread_that_has_ended_an_order_has_not_left(tmp_path: Path) -> None:
    async with on_thread(ScriptedBroker(), tmp_path) as rig:
        rig.why_not = lambda request: str(1 / 0)
        first = rig.gateway.submit(approved("o"))
        await until(lambda: rig.failed)

        second = rig.gateway.submit(approved("p"))

        assert (first.ack, told(second)[0]) == (None, NOT_SENT), "what became of the first is told at the end"


# -- before it leaves ----------------------------------------------------------------------------------------------


async def test_what_is_not_wanted_any_more_does_not_leave(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        rig.why_not = lambda request: "safety stopped it"
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: ticket.ack)

    assert (told(ticket), broker.placed) == ((NOT_SENT, "not sent: safety stopped it"), [])


async def test_it_is_looked_at_again_when_the_disk_has_taken_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:

        def slow(fd: int) -> None:
            rig.why_not = lambda request: "safety stopped it"

        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", slow)
            ticket = rig.gateway.submit(approved("o"))
            await until(lambda: ticket.ack)
        assert (told(ticket), broker.placed) == ((NOT_SENT, "not sent: safety stopped it"), [])
        assert rig.file.fate_of("o").status is NOT_SENT


async def test_an_approval_is_used_once_also_by_a_later_process(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        first = rig.gateway.submit(approved("o"))
        await until(lambda: first.ack)
        again = rig.gateway.submit(approved("o"))
        await until(lambda: again.ack)
    async with on_thread(broker, tmp_path) as rig:
        later = rig.gateway.submit(approved("o"))
        await until(lambda: later.ack)

    why = (NOT_SENT, "not sent: approval a-o was used before")
    assert (told(again), told(later), placed(broker)) == (why, why, ["o"])


async def test_an_entry_that_waited_too_long_is_not_sent_and_an_exit_is(tmp_path: Path) -> None:
    broker = with_capabilities(ScriptedBroker(), requests_per_s=1)
    async with on_thread(broker, tmp_path, GatewayConfig(answer_ms=60_000, entry_wait_ms=500)) as rig:
        first = rig.gateway.submit(approved("first"))
        await until(lambda: first.ack)
        entry = rig.gateway.submit(approved("entry"))
        exit_ = rig.gateway.submit(approved("exit", side=Side.SELL, reduce_only=True))
        await until(lambda: placed(broker) == ["first"])

        rig.clock.set_ns(NOW + 600_000_000)
        await until(lambda: entry.ack)
        assert told(entry) == (NOT_SENT, "not sent: it waited longer than 0.5 s")
        assert exit_.ack is None
        rig.clock.set_ns(NOW + S)
        await until(lambda: exit_.ack)

        view = rig.gateway.view()
        assert view is not None
        assert (view.too_old, view.not_sent, placed(broker)) == (1, 1, ["first", "exit"])


async def test_an_approval_expires_while_its_order_waits(tmp_path: Path) -> None:
    broker = with_capabilities(ScriptedBroker(), requests_per_s=1)
    async with on_thread(broker, tmp_path) as rig:
        first = rig.gateway.submit(approved("first"))
        await until(lambda: first.ack)
        ticket = rig.gateway.submit(approved("o"))

        rig.clock.set_ns(NOW + 5 * S + 1)
        await until(lambda: ticket.ack)
        assert (told(ticket), placed(broker)) == ((NOT_SENT, "not sent: approval a-o has expired"), ["first"])


async def test_a_clock_that_is_set_back_neither_keeps_an_approval_nor_ends_a_new_one(tmp_path: Path) -> None:
    class Wall(ManualClock):
        """A machine's clock that is set back: the time that has passed goes on."""

        back_ns = 0

        def time_ns(self) -> int:
            return super().time_ns() - self.back_ns

        def monotonic_ns(self) -> int:
            return self.ns

    clock = Wall(from_ns(NOW))
    broker = with_capabilities(ScriptedBroker(), requests_per_s=1)
    async with on_thread(broker, tmp_path, clock=clock) as rig:
        first = rig.gateway.submit(approved("first"))
        await until(lambda: first.ack)
        waits = rig.gateway.submit(approved("waits"))
        clock.back_ns = 3_600 * S
        clock.set_ns(NOW + 5 * S + 1)
        await until(lambda: waits.ack)
        new = rig.gateway.submit(approved("new", ts_ns=clock.time_ns()))
        await until(lambda: new.ack)

    assert (told(waits)[0], told(new)[0], placed(broker)) == (NOT_SENT, ACCEPTED, ["first", "new"])


async def test_an_order_that_waits_can_be_taken_back_and_one_that_has_left_cannot(tmp_path: Path) -> None:
    broker = with_capabilities(holding(), requests_per_s=1)
    async with on_thread(broker, tmp_path) as rig:
        rig.gateway.submit(approved("left"))
        await until(lambda: broker.waiting)
        waits = rig.gateway.submit(approved("waits"))

        assert rig.gateway.take_back("waits", "a stop")
        assert told(waits) == (NOT_SENT, "not sent: a stop")
        assert not rig.gateway.take_back("left", "a stop")
        assert not rig.gateway.take_back("never seen", "a stop")
        assert rig.gateway.in_flight == 1


# -- without ids of ours -------------------------------------------------------------------------------------------


async def test_without_our_ids_one_order_of_a_key_is_under_way_at_a_time(tmp_path: Path) -> None:
    broker = with_capabilities(holding(), client_order_ids=False)
    async with on_thread(broker, tmp_path) as rig:
        rig.gateway.submit(approved("a"))
        rig.gateway.submit(approved("b"))
        rig.gateway.submit(approved("other side", side=Side.SELL, reduce_only=True))
        rig.gateway.submit(approved("other symbol", symbol="000660"))
        await until(lambda: len(broker.waiting) == 3)
        assert sorted(placed(broker)) == ["a", "other side", "other symbol"]

        broker.let_answer("a")
        await until(lambda: "b" in broker.waiting)


async def test_without_our_ids_the_next_waits_until_the_fate_of_an_unknown_one_is_known(tmp_path: Path) -> None:
    broker = with_capabilities(ScriptedBroker(), client_order_ids=False)
    broker.answers.append(UNKNOWN)
    async with on_thread(broker, tmp_path) as rig:
        rig.unsettled.add("a")
        unknown = rig.gateway.submit(approved("a"))
        await until(lambda: unknown.ack)
        after = rig.gateway.submit(approved("b"))
        other = rig.gateway.submit(approved("c", symbol="000660"))
        await until(lambda: other.ack)
        assert after.ack is None

        rig.unsettled.clear()
        await until(lambda: after.ack)
        assert placed(broker) == ["a", "c", "b"]


async def test_a_question_is_asked_before_the_exits_behind_the_one_that_waits_for_it(tmp_path: Path) -> None:
    broker = with_capabilities(ScriptedBroker(), client_order_ids=False, requests_per_s=1)
    broker.answers.append(UNKNOWN)
    async with on_thread(broker, tmp_path) as rig:
        rig.unsettled.add("a")
        sale = {"side": Side.SELL, "reduce_only": True}
        unknown = rig.gateway.submit(approved("a", **sale))
        await until(lambda: unknown.ack)
        rig.gateway.submit(approved("waits for a", **sale))
        rig.gateway.submit(approved("behind", symbol="000660", **sale))
        question = asyncio.create_task(asyncio.wait_for(rig.gateway.resolving.orders(), 60))
        await until(lambda: rig.gateway.in_flight == 3)

        rig.clock.set_ns(NOW + S)
        await question
        assert placed(broker) == ["a"]
        rig.unsettled.clear()
        rig.clock.set_ns(NOW + 2 * S)
        await until(lambda: placed(broker) == ["a", "waits for a"])
        rig.clock.set_ns(NOW + 3 * S)
        await until(lambda: placed(broker) == ["a", "waits for a", "behind"])


async def test_a_question_has_the_place_of_the_exit_that_waits_for_it_not_of_one_that_waits_for_its_own_answer(
    tmp_path: Path,
) -> None:
    broker = with_capabilities(ScriptedBroker(), client_order_ids=False, requests_per_s=1)
    broker.answers.append(UNKNOWN)
    async with on_thread(broker, tmp_path) as rig:
        # Given an exit of unknown fate, and one of another symbol that is not answered yet
        rig.unsettled.add("a")
        sale, other = {"side": Side.SELL, "reduce_only": True}, {"symbol": "000660"}
        unknown = rig.gateway.submit(approved("a", **sale))
        await until(lambda: unknown.ack)
        broker.holds_answers = True
        rig.gateway.submit(approved("b", **other, **sale))
        rig.clock.set_ns(NOW + S)
        await until(lambda: placed(broker) == ["a", "b"])

        # When one that waits for the second, one that waits for the first, another and a question come
        rig.gateway.submit(approved("waits for b", **other, **sale))
        rig.gateway.submit(approved("waits for a", **sale))
        rig.gateway.submit(approved("behind", symbol="000270", **sale))
        question = asyncio.create_task(asyncio.wait_for(rig.gateway.resolving.orders(), 60))
        await until(lambda: rig.gateway.in_flight == 5)
        rig.clock.set_ns(NOW + 2 * S)

        # Then the question has the next token, and the exit that waited for it the one after that
        await until(lambda: broker.calls or len(broker.placed) > 2)
        assert (broker.calls, placed(broker)) == (["orders"], ["a", "b"])
        await question
        rig.unsettled.clear()
        rig.clock.set_ns(NOW + 3 * S)
        await until(lambda: len(broker.placed) > 2)
        rig.clock.set_ns(NOW + 4 * S)
        await until(lambda: len(broker.placed) > 3)
        assert placed(broker) == ["a", "b", "waits for a", "behind"]
        broker.let_answer()


# -- cancels and questions -----------------------------------------------------------------------------------------


async def test_at_the_limit_of_requests_an_emergency_goes_before_every_entry_that_waits(tmp_path: Path) -> None:
    """Four requests in a second: two are for entries, two are kept for what cannot wait."""
    broker, clock = ScriptedBroker(capabilities=replace(NAMED, requests_per_s=4)), ManualClock(from_ns(NOW))
    async with on_thread(broker, tmp_path, clock=clock) as rig:
        clock.advance(timedelta(seconds=1))
        for number in range(20):
            rig.gateway.submit(approved(f"e{number}"))
        await until(lambda: placed(broker) == ["e0", "e1"])
        # When an emergency cancels both and sells two holdings
        for key in ("e0", "e1"):
            rig.gateway.cancel(key)
        for key in ("x0", "x1"):
            rig.gateway.submit(approved(key, side=Side.SELL, reduce_only=True))
        # Then the cancels leave in the same second, the exits with the next tokens, and no entry before them
        await until(lambda: broker.cancels == ["e0", "e1"])
        assert placed(broker) == ["e0", "e1"]
        clock.advance(timedelta(seconds=1))
        await until(lambda: placed(broker)[2:4] == ["x0", "x1"])


async def test_beyond_its_bound_an_order_waits_and_a_cancel_does_not(tmp_path: Path) -> None:
    broker = holding()
    config = GatewayConfig(answer_ms=60_000, entry_wait_ms=60_000, in_flight=1)
    async with on_thread(broker, tmp_path, config) as rig:
        rig.gateway.submit(approved("a"))
        await until(lambda: broker.waiting == ["a"])
        rig.gateway.submit(approved("b"))
        rig.gateway.cancel("c")
        await until(lambda: broker.waiting == ["a", "c"])
        assert placed(broker) == ["a"]

        broker.let_answer("a")
        await until(lambda: placed(broker) == ["a", "b"])


async def test_entries_that_are_not_answered_hold_back_no_exit_and_no_question_about_an_order(
    tmp_path: Path,
) -> None:
    # Given four requests at once of which half are kept for what cannot wait, and a broker that does not answer
    broker = holding()
    config = GatewayConfig(answer_ms=60_000, entry_wait_ms=60_000, in_flight=4)
    async with on_thread(broker, tmp_path, config) as rig:
        for key in ("a", "b", "c", "d"):
            rig.gateway.submit(approved(key))
        await until(lambda: broker.waiting == ["a", "b"])
        # When an exit comes, and a question about what became of an order
        rig.gateway.submit(approved("exit", side=Side.SELL, reduce_only=True))
        await until(lambda: broker.waiting == ["a", "b", "exit"])
        await rig.gateway.resolving.orders()
        # Then both have left, and the other entries still wait
        assert placed(broker) == ["a", "b", "exit"]
        broker.let_answer("a")
        broker.let_answer("b")
        await until(lambda: placed(broker) == ["a", "b", "exit", "c"])


async def test_a_cancel_that_is_under_way_is_not_sent_again(tmp_path: Path) -> None:
    broker = holding()
    async with on_thread(broker, tmp_path) as rig:
        first = rig.gateway.cancel("o")
        await until(lambda: broker.cancels == ["o"])
        assert rig.gateway.cancel("o") is first

        broker.let_answer("o")
        await until(lambda: first.ack)
        assert rig.gateway.cancel("o") is not first


async def test_a_cancel_names_the_number_that_is_the_newest_when_it_leaves(tmp_path: Path) -> None:
    # Given a broker that keeps no ids of ours and takes one request a second, so that the cancel waits
    broker = with_capabilities(ScriptedBroker(), requests_per_s=1, client_order_ids=False)
    async with on_thread(broker, tmp_path) as rig:
        ack = await answered(rig.gateway.submit(approved("o")))
        assert ack.ref is not None
        rig.refs["o"] = ack.ref
        cancel = rig.gateway.cancel("o")

        # When the order has another number by the time that the cancel may leave
        newest = broker.books.renumber("o")
        rig.refs["o"] = newest
        rig.clock.set_ns(NOW + S)

        # Then it names that one, and the session is told the number of the cancel itself
        assert (await answered(cancel)).status is ACCEPTED
        assert broker.cancel_refs == [newest]
        assert [(key, ref.number) for key, ref in rig.numbers] == [("o", "scripted-o3")]


async def test_the_cancel_of_an_order_without_a_number_does_not_leave_where_it_would_name_nothing(
    tmp_path: Path,
) -> None:
    broker = with_capabilities(ScriptedBroker(), client_order_ids=False)
    async with on_thread(broker, tmp_path) as rig:
        ack = await answered(rig.gateway.cancel("o"))

        assert (ack.status, ack.reason) == (UNKNOWN, "no answer: its number at the broker is not known yet")
    assert at_once(broker).cancel("o").ack == ack, "the same on the virtual clock"
    assert broker.cancels == []


async def test_a_question_is_answered_on_our_loop_and_raises_there(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        await rig.gateway.queries.connect()
        assert list(await rig.gateway.queries.orders()) == []
        assert (rig.gateway.queries.name, rig.gateway.resolving.capabilities) == ("scripted", broker.capabilities)
        broker.is_up = False
        with pytest.raises(BrokerUnavailable, match="not connected"):
            await rig.gateway.resolving.fills_since(0)
    assert broker.calls == ["connect", "orders", "fills_since", "close"]


async def test_a_question_that_is_given_up_is_ended_at_the_broker_or_never_asked(tmp_path: Path) -> None:
    broker = with_capabilities(ScriptedBroker(), requests_per_s=1)
    broker.holds_queries = True
    async with on_thread(broker, tmp_path) as rig:
        asked = asyncio.create_task(rig.gateway.queries.balance())
        await until(lambda: broker.asked)
        waits = asyncio.create_task(rig.gateway.queries.positions())
        await until(lambda: rig.gateway.in_flight == 2)

        for task in (asked, waits):
            task.cancel()
        await asyncio.wait((asked, waits))
        await until(lambda: not rig.gateway.in_flight)
        rig.clock.set_ns(NOW + S)
    assert broker.calls == ["balance", "close"]


# -- the end -------------------------------------------------------------------------------------------------------


async def test_what_is_under_way_at_the_end_is_unknown_and_what_waits_was_not_sent(tmp_path: Path) -> None:
    broker = with_capabilities(holding(), requests_per_s=2)
    async with on_thread(broker, tmp_path) as rig:
        begun, cancel = rig.gateway.submit(approved("begun")), rig.gateway.cancel("x")
        await until(lambda: len(broker.waiting) == 2)
        waits, waiting_cancel = rig.gateway.submit(approved("waits")), rig.gateway.cancel("y")

        await rig.gateway.close(0)

        assert [told(one) for one in (begun, cancel, waits, waiting_cancel)] == [
            (UNKNOWN, "cut off while it was sent"),
            (UNKNOWN, "cut off while it was sent"),
            (NOT_SENT, "not sent: the session ended before its turn"),
            (UNKNOWN, "cut off before it was sent"),
        ]
        assert rig.gateway.in_flight == 0
    file = sent_file(tmp_path)
    assert [file.fate_of(key).status for key in ("begun", "waits")] == [UNKNOWN, NOT_SENT]
    file.close()


async def test_the_end_waits_for_answers_and_for_cancels_that_they_make_necessary(tmp_path: Path) -> None:
    broker, cancels = holding(), list[Ticket]()
    async with on_thread(broker, tmp_path) as rig:
        rig.gateway.submit(approved("o")).when_answered(lambda ack: cancels.append(rig.gateway.cancel("o")))
        await until(lambda: broker.waiting)

        closing = asyncio.create_task(rig.gateway.close(60))
        broker.let_answer("o")
        await until(lambda: broker.cancels == ["o"])
        broker.let_answer("o")
        await closing

    assert [told(one)[0] for one in cancels] == [ACCEPTED]


async def test_the_end_comes_although_the_broker_blocks_its_thread(tmp_path: Path) -> None:
    let_go = threading.Event()

    class Blocking(ScriptedBroker):
        async def place(self, approved: Approved) -> OrderAck:
            self.placed.append(approved)
            let_go.wait(60)
            return OrderAck(ACCEPTED, approved.request.client_order_id)

    broker = Blocking()
    async with on_thread(broker, tmp_path) as rig:
        ticket = rig.gateway.submit(approved("o"))
        await until(lambda: broker.placed)
        await rig.gateway.close(0)
        assert told(ticket) == (UNKNOWN, "cut off while it was sent")
        let_go.set()


# -- the only way --------------------------------------------------------------------------------------------------

SRC = Path(qts.__file__).parent
MAY_HOLD_A_BROKER = {"broker/contracts.py", "broker/gateway/", "broker/sim/", "runtime/wiring/brokers.py"}


def _elsewhere(is_offence: Callable[[ast.AST], bool]) -> list[str]:
    """Where outside of the gateway, and of what makes brokers, something stands."""
    return [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for path in sorted(SRC.rglob("*.py"))
        if not (name := path.relative_to(SRC).as_posix()).startswith(tuple(MAY_HOLD_A_BROKER))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if is_offence(node)
    ]


def test_only_the_gateway_names_the_port_that_takes_orders() -> None:
    def imports_broker(node: ast.AST) -> bool:
        return isinstance(node, ast.ImportFrom) and any(one.name == "Broker" for one in node.names)

    assert _elsewhere(imports_broker) == [], "take qts.broker.contracts.BrokerQueries, or an OrderSender"


def test_only_the_gateway_calls_a_broker_with_an_order() -> None:
    def calls_it(node: ast.AST) -> bool:
        takes_orders = isinstance(node, ast.Attribute) and node.attr in ("place", "replace", "cancel")
        return takes_orders and "broker" in ast.unparse(node.value).rpartition(".")[2].lower()

    assert _elsewhere(calls_it) == []


def test_a_gateway_is_an_order_sender() -> None:
    sender: OrderSender = at_once(ScriptedBroker())

    assert (sender.in_flight, sender.view()) == (0, None)
    assert sender.fate_of("o") == OrderAck(UNKNOWN, "o", reason="the session ended while it was sent")
