"""What fails under a gateway, its disk, its thread or a question, ends what has to end and nothing else."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.own_thread import OwnThread
from qts.broker.gateway.questions import CONNECT
from qts.clock import ManualClock, from_ns
from qts.errors import BrokerUnavailable, StorageError
from qts.execution.contracts import AckStatus, OrderAck, VenueRef
from tests.broker.gateway_rig import approved, at_once, on_thread, sent_file
from tests.broker.scripted import ScriptedBroker
from tests.broker.test_sent_file import answered, sent
from tests.event.support import until
from tests.risk.requests import NOW

UNKNOWN, NOT_SENT = AckStatus.UNKNOWN, AckStatus.NOT_SENT


async def test_an_entry_that_grew_too_old_while_the_disk_worked_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, clock = ScriptedBroker(), ManualClock(from_ns(NOW))
    config = GatewayConfig(answer_ms=60_000, entry_wait_ms=1_000)
    async with on_thread(broker, tmp_path, config, clock) as rig:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", lambda fd: clock.set_ns(NOW + 1_000_000_001))
            ticket = rig.gateway.submit(approved("o"))
            await until(lambda: ticket.ack)

        assert ticket.ack is not None
        assert (ticket.ack.status, ticket.ack.reason) == (NOT_SENT, "not sent: it waited longer than 1 s")
        view = rig.gateway.view()
        assert view is not None
        assert (view.too_old, view.not_sent, broker.placed) == (1, 1, [])


async def test_a_thread_that_ends_cuts_off_what_waits_for_an_answer(tmp_path: Path) -> None:
    def broken(request: object) -> str:
        raise RuntimeError("dictionary changed size during iteration")

    broker = ScriptedBroker()
    broker.holds_answers = True
    async with on_thread(broker, tmp_path) as rig:
        waits = rig.gateway.submit(approved("waits"))
        await until(lambda: broker.placed)
        rig.why_not = broken
        rig.gateway.submit(approved("o"))
        await until(lambda: waits.ack)

        assert waits.ack is not None
        assert (waits.ack.status, waits.ack.reason) == (UNKNOWN, "cut off while it was sent")
        await until(lambda: rig.failed)


async def test_a_file_that_cannot_be_rewritten_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    broker = ScriptedBroker()
    file = sent_file(tmp_path, most_bytes=1)
    async with on_thread(broker, tmp_path, file=file) as rig:
        first = rig.gateway.submit(approved("first"))
        await until(lambda: first.ack)
        rig.gateway.begin_checkpoint()
        rig.gateway.end_checkpoint()  # the store has it: the file is to be rewritten with the next answer
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            rig.gateway.submit(approved("second"))
            await until(lambda: rig.failed)

        assert "the gateway's file: " in rig.failed[0]
        assert "No space left on device" in rig.failed[0]


async def test_a_question_that_was_given_up_before_it_was_asked_is_not_asked_and_not_counted(
    tmp_path: Path,
) -> None:
    broker, let_go, asked = ScriptedBroker(), threading.Event(), list[int]()

    async def blocks() -> None:
        let_go.wait(60)

    async def question() -> None:
        asked.append(1)

    async with on_thread(broker, tmp_path) as rig:
        # Given a thread that is busy, a question for it that it has not begun with, and which is given up
        first = asyncio.ensure_future(rig.gateway.ask(None, blocks, CONNECT))
        given_up = asyncio.ensure_future(rig.gateway.ask(None, question, CONNECT))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        # when the thread goes on
        let_go.set()
        await first
        await rig.gateway.queries.connect()

        # then the question was not asked, and does not take the place of another one
        assert (asked, rig.gateway.in_flight) == ([], 0)
        await until(lambda: rig.gateway.view().in_flight == 0)  # type: ignore[union-attr]


async def test_a_gateway_that_ends_without_a_thread_closes_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(work: Any, name: str) -> None:
        raise StorageError("the system starts no further one")

    async with on_thread(ScriptedBroker(), tmp_path) as rig:
        monkeypatch.setattr("qts.broker.gateway.own_thread.start_thread", none_left)
        with pytest.raises(StorageError, match="starts no further one"):
            await rig.gateway.queries.orders()
        await rig.gateway.close(0)
        await rig.gateway.queries.close()

        with pytest.raises(StorageError, match="is closed"):
            rig.file.sync()


async def test_a_thread_that_fails_before_any_order_ends_the_session_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*arguments: Any) -> None:
        raise StorageError("the system starts no further one")

    async with on_thread(ScriptedBroker(), tmp_path) as rig:
        monkeypatch.setattr("qts.broker.gateway.file_thread.start_thread", none_left)
        task = asyncio.ensure_future(rig.gateway.queries.orders())
        await until(lambda: rig.failed)
        task.cancel()

        assert rig.failed == ["the gateway's thread: the system starts no further one"]
        monkeypatch.undo()
        with pytest.raises((asyncio.CancelledError, BrokerUnavailable, StorageError)):
            await task


async def test_a_gateway_knows_the_fate_of_orders_by_its_file(tmp_path: Path) -> None:
    file = sent_file(tmp_path)
    file.append(sent("asked"), sent("taken"), answered("taken"))
    async with on_thread(ScriptedBroker(), tmp_path, file=file) as rig:
        assert rig.gateway.fate_of("asked").status is UNKNOWN
        assert rig.gateway.fate_of("taken").status is AckStatus.ACCEPTED


async def test_an_order_that_the_thread_took_before_it_failed_is_not_called_unsent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, taken = ScriptedBroker(), threading.Event()
    broker.holds_answers = True
    broker.before_answer = lambda order: taken.set()
    call = OwnThread.call

    def fails_behind(thread: OwnThread, work: Any) -> None:
        call(thread, work)
        assert taken.wait(60)
        raise StorageError("the thread qts-gateway has ended: out of memory")

    async with on_thread(broker, tmp_path) as rig:
        # Given a thread that fails after it has given the order to the broker
        with monkeypatch.context() as patched:
            patched.setattr(OwnThread, "call", fails_behind)
            ticket = rig.gateway.submit(approved("o"))
        # Then no one says that it was not sent, and the answer counts when it comes
        assert ticket.ack is None
        broker.let_answer("o")
        await until(lambda: ticket.ack)
        assert ticket.ack is not None
        assert ticket.ack.status is AckStatus.ACCEPTED


async def test_a_gateway_that_ends_while_its_file_is_rewritten_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go, sync = threading.Event(), threading.Event(), os.fsync

    def hangs(fd: int) -> None:
        begun.set()
        assert let_go.wait(60)
        sync(fd)

    async with on_thread(ScriptedBroker(), tmp_path, file=sent_file(tmp_path, most_bytes=1)) as rig:
        first = rig.gateway.submit(approved("first"))
        await until(lambda: first.ack)
        rig.gateway.begin_checkpoint()
        rig.gateway.end_checkpoint()  # the store has it: the file is to be rewritten with the next answer
        # Given a file that is being rewritten on a disk that hangs
        monkeypatch.setattr(os, "fsync", hangs)
        second = rig.gateway.submit(approved("second"))
        await until(lambda: begun.is_set() and second.ack)
        # When the session ends, and the disk goes on
        await rig.gateway.close(0)
        let_go.set()
        await rig.gateway.queries.close()
        # Then nothing has failed
        assert rig.failed == []

    monkeypatch.undo()
    assert sent_file(tmp_path).fate_of("second").status is AckStatus.ACCEPTED


async def test_an_order_that_waits_for_a_disk_that_hangs_does_not_leave_when_the_session_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def hangs(fd: int) -> None:
        begun.set()
        assert let_go.wait(60)

    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        # Given an order in the file of a disk that hangs, and a cancel, which does not wait for it
        monkeypatch.setattr(os, "fdatasync", hangs)
        ticket = rig.gateway.submit(approved("o"))
        await until(begun.is_set)
        cancel = rig.gateway.cancel("p")
        await until(lambda: cancel.ack)
        # When the session ends, and the disk goes on
        await rig.gateway.close(0)
        let_go.set()
        await rig.gateway.queries.close()
        # Then the order has not left, as the file says; here no one could know it yet
        assert ticket.ack is not None
        assert (ticket.ack.status, broker.placed, broker.cancels) == (UNKNOWN, [], ["p"])

    assert sent_file(tmp_path).fate_of("o").status is NOT_SENT


class Cut(ScriptedBroker):
    """Loses its line with each cancel."""

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        raise ConnectionResetError("the connection was cut")


async def test_a_cancel_whose_line_is_cut_proves_nothing(tmp_path: Path) -> None:
    async with on_thread(Cut(), tmp_path) as rig:
        ticket = rig.gateway.cancel("o")
        await until(lambda: ticket.ack)

        assert ticket.ack is not None
        assert ticket.ack.status is UNKNOWN
        assert "the connection was cut" in ticket.ack.reason


async def test_at_once_a_connection_is_opened_at_once() -> None:
    broker = ScriptedBroker()

    await at_once(broker).queries.connect()

    assert broker.calls == ["connect"]


async def test_until_its_connection_is_open_nothing_leaves_a_gateway(tmp_path: Path) -> None:
    broker = ScriptedBroker()
    async with on_thread(broker, tmp_path) as rig:
        broker.is_up = False
        with pytest.raises(BrokerUnavailable):
            await rig.gateway.queries.connect()
        order, cancel = rig.gateway.submit(approved("o")), rig.gateway.cancel("p")
        await rig.gateway.ask(None, partial(asyncio.sleep, 0), CONNECT)  # behind both: it has looked at them
        await rig.gateway.close(0)

        assert order.ack is not None
        assert cancel.ack is not None
        assert (order.ack.status, cancel.ack.status) == (NOT_SENT, UNKNOWN)
        assert (broker.placed, broker.cancels) == ([], [])


def test_a_gateway_without_a_file_has_nothing_for_a_checkpoint() -> None:
    gateway = at_once(ScriptedBroker())
    gateway.import_state(gateway.export_state())
    assert (gateway.export_state(), gateway.fate_of("o").status) == ({"sent": 0}, UNKNOWN)


def test_a_thread_that_was_never_begun_has_nothing_to_end() -> None:
    thread = OwnThread("of a test", asyncio.Event().wait, lambda error: None)  # type: ignore[arg-type]
    assert not thread.end()
    thread.join(60)
    thread.call(lambda: pytest.fail("called after the end"))
