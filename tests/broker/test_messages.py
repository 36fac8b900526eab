"""Messages are counted as they leave, on disk before the next process can send one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qts.broker.gateway import sent_file as module
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.gateway.limits.counted import CountedLimits
from qts.broker.gateway.limits.messages import Messages
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.broker.gateway.sent_file import Asked, Sent, SentFile
from qts.broker.sending import Ticket
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus
from qts.strategy.contracts import Side
from tests.broker.counted_rig import FAR, StatedDay
from tests.broker.gateway_rig import approved, on_thread, sent_file
from tests.broker.limits_rig import StatedFacts
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.risk.requests import NOW

S = 1_000_000_000
MONDAY, TUESDAY = "2026-01-19", "2026-01-20"
EXIT: dict[str, Any] = {"side": Side.SELL, "limit": None, "reduce_only": True}


def order(key: str, day: str = MONDAY, expires_ns: int = 5) -> Sent:
    return Sent(key, f"a-{key}", expires_ns, 1, day)


def again(file: SentFile, directory: Path) -> SentFile:
    file.close()
    return sent_file(directory)


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_file_knows_how_many_messages_have_left_on_its_newest_day(tmp_path: Path) -> None:
    file = sent_file(tmp_path)
    file.append(order("o1"), Asked(MONDAY), order("o2"))
    assert file.today == (MONDAY, 3)

    file = again(file, tmp_path)
    assert file.today == (MONDAY, 3)
    file.append(Asked(TUESDAY))
    assert file.today == (TUESDAY, 1)
    assert again(file, tmp_path).today == (TUESDAY, 1)


def test_a_date_before_the_newest_counts_as_that_one(tmp_path: Path) -> None:
    file = sent_file(tmp_path)
    file.append(order("o1", TUESDAY), Asked(MONDAY))

    assert again(file, tmp_path).today == (TUESDAY, 2)


def test_the_count_stays_when_the_file_is_rewritten(tmp_path: Path) -> None:
    # Given a file of which two orders are settled and one is not
    file = sent_file(tmp_path)
    file.append(order("o1"), Asked(MONDAY), order("o2"), order("o3", expires_ns=99))
    file.settle(["o1", "o2"])

    # When it is rewritten, and another message leaves
    file.compact(50)
    file.append(Asked(MONDAY))

    # Then the day has all five, before and after the file is read again
    assert file.today == (MONDAY, 5)
    file = again(file, tmp_path)
    assert ([one.client_order_id for one in file.sent()], file.today) == (["o3"], (MONDAY, 5))
    file.close()


def test_a_message_that_leaves_while_the_file_is_rewritten_counts_once(tmp_path: Path, monkeypatch: Any) -> None:
    file = sent_file(tmp_path)
    file.append(order("o1"))
    swap = file._swap

    def leaves_meanwhile(fd: int, size: int) -> int:
        file.append(Asked(MONDAY), order("o2"))
        return swap(fd, size)

    monkeypatch.setattr(file, "_swap", leaves_meanwhile)
    file.compact(0)

    assert file.today == (MONDAY, 3)
    assert again(file, tmp_path).today == (MONDAY, 3)


def test_orders_of_an_earlier_version_count_on_no_day(tmp_path: Path) -> None:
    # Given a file in which orders have no date yet
    file = sent_file(tmp_path)
    file.append(order("o1"))
    path = file.path
    file.close()
    begun, old = (entry for _, entry in module._entries(path.read_bytes()))
    assert isinstance(old, Sent)
    body = module._encode(["sent", old.client_order_id, old.approval_id, old.expires_ns, old.at_ns])
    record = module._HEAD.pack(len(body), module.zlib.crc32(body)) + body
    path.write_bytes(module._packed(begun) + record)

    file = sent_file(tmp_path)

    assert ([one.client_order_id for one in file.sent()], file.today) == (["o1"], ("", 0))
    file.close()


# -- the counts ----------------------------------------------------------------------------------------------------


def counts(clock: ManualClock, entries_per_second: int | None = 3) -> Messages:
    return Messages(clock, lambda ns: MONDAY, entries_per_second=entries_per_second)


def test_an_order_that_is_on_its_way_counts_until_a_second_after_it_has_left() -> None:
    clock = ManualClock(from_ns(NOW))
    messages = counts(clock)

    # Given an order that the disk takes two seconds to confirm
    messages.take()
    clock.set_ns(NOW + 2 * S)
    assert messages.sent().second == 1

    # When it leaves, then it counts for a second from there on, and once on its day
    messages.leave()
    clock.set_ns(NOW + 3 * S - 1)
    assert messages.sent().second == 1
    clock.set_ns(NOW + 3 * S)
    assert (messages.sent().second, messages.sent().day) == (0, 1)


def test_an_order_that_is_kept_back_stays_counted_on_its_day_alone() -> None:
    messages = counts(ManualClock(from_ns(NOW)))
    messages.take()

    messages.keep_back()

    assert (messages.sent().second, messages.sent().day) == (0, 1)


def test_a_process_that_goes_on_counts_the_first_second_as_used() -> None:
    clock = ManualClock(from_ns(NOW))
    messages = counts(clock)
    messages.continue_after(MONDAY, 7)

    assert (messages.lets_entry_leave(), messages.sent().day) == (False, 7)
    clock.set_ns(NOW + S - 1)
    assert not messages.lets_entry_leave()
    clock.set_ns(NOW + S)
    assert messages.lets_entry_leave()


def test_of_what_the_file_and_a_checkpoint_know_the_most_counts() -> None:
    clock = ManualClock(from_ns(NOW))
    for in_file, in_checkpoint in ((7, 5), (5, 7)):
        messages, saved = counts(clock), counts(clock)
        messages.continue_after(MONDAY, in_file)
        saved.continue_after(MONDAY, in_checkpoint)
        messages.import_state(saved.export_state())
        assert messages.sent().day == 7


def test_what_a_checkpoint_knows_of_an_earlier_day_changes_nothing() -> None:
    clock = ManualClock(from_ns(NOW))
    messages, saved = counts(clock), counts(clock)
    saved.continue_after("2026-01-16", 9)
    messages.continue_after(MONDAY, 2)

    messages.import_state(saved.export_state())

    assert messages.sent().day == 2


def test_a_gateway_without_limits_holds_nothing_back() -> None:
    messages = Messages.uncounted(ManualClock(from_ns(NOW)))
    messages.continue_after("", 0)
    for _ in range(1_000):
        messages.add()

    assert messages.lets_entry_leave()


# -- the gateway's thread ------------------------------------------------------------------------------------------


def limits(clock: ManualClock, day: StatedDay | None = None, **config: Any) -> OrderLimits:
    counted = CountedLimits(lambda: CountLimits(**{**FAR, **config}), day or StatedDay(), clock)
    return OrderLimits(lambda: CountLimits(**FAR), StatedFacts(), clock, counted=counted)


def placed(broker: ScriptedBroker) -> list[str]:
    return [one.request.client_order_id for one in broker.placed]


def was_sent(ticket: Ticket) -> bool:
    return ticket.ack is None or ticket.ack.status is not AckStatus.NOT_SENT


FOUR = {"messages_per_second": 4, "messages_per_second_kept": 2}


async def test_what_is_on_its_way_counts_before_the_next_entry(tmp_path: Path) -> None:
    clock, broker = ManualClock(from_ns(NOW)), ScriptedBroker()
    async with on_thread(broker, tmp_path, clock=clock, limits=limits(clock, **FOUR)) as rig:
        # When three entries are given away before the first can have left
        entries = [rig.gateway.submit(approved(f"o{number}", symbol=f"s{number}")) for number in range(3)]
        await until(lambda: len(broker.placed) == 2)
        exits = [rig.gateway.submit(approved(f"x{number}", symbol=f"s{number}", **EXIT)) for number in range(3)]
        await until(lambda: len(broker.placed) == 5)

        # Then two of them leave, and every exit
        assert [was_sent(one) for one in (*entries, *exits)] == [True, True, False, True, True, True]
        assert "o2" not in placed(broker)


async def test_an_entry_whose_turn_has_come_waits_until_the_second_has_room(tmp_path: Path) -> None:
    # Given an entry behind an order that is not answered, and cancels that use up the second before it can leave
    clock, broker = ManualClock(from_ns(NOW)), ScriptedBroker()
    broker.holds_answers = True
    config = GatewayConfig(answer_ms=60_000, entry_wait_ms=60_000, in_flight=1)
    async with on_thread(broker, tmp_path, config, clock=clock, limits=limits(clock, **FOUR)) as rig:
        first = rig.gateway.submit(approved("o1", symbol="a"))
        await until(lambda: broker.placed)
        rig.gateway.submit(approved("o2", symbol="b"))
        for number in range(3):
            rig.gateway.cancel(f"c{number}")
        await until(lambda: len(broker.cancels) == 3)

        # When the order is answered, then the entry still waits
        broker.holds_answers = False
        broker.let_answer("o1")
        await until(lambda: first.ack)
        assert placed(broker) == ["o1"]
        view = rig.gateway.view()
        assert view is not None
        assert {lane.lane: lane.waiting for lane in view.lanes}["entry"] == 1

        # and leaves when the second is over
        clock.set_ns(NOW + S)
        await until(lambda: placed(broker) == ["o1", "o2"])


async def test_the_count_of_the_day_goes_on_in_the_next_process(tmp_path: Path) -> None:
    day: dict[str, Any] = {"messages_per_day": 5, "messages_per_day_kept": 2}
    clock, broker = ManualClock(from_ns(NOW)), ScriptedBroker()
    async with on_thread(broker, tmp_path, clock=clock, limits=limits(clock, **day)) as rig:
        rig.gateway.submit(approved("o1"))
        rig.gateway.cancel("o1")
        await until(lambda: broker.cancels and broker.placed)

    # When the process ends and another one goes on, without a checkpoint
    clock.set_ns(NOW + 2 * S)
    async with on_thread(broker, tmp_path, clock=clock, limits=limits(clock, **day)) as rig:
        clock.set_ns(NOW + 3 * S)  # the first second of a process may have been used by the one before
        third = rig.gateway.submit(approved("o2", symbol="b", ts_ns=NOW + 3 * S))
        await until(lambda: len(broker.placed) == 2)
        fourth = rig.gateway.submit(approved("o3", symbol="c", ts_ns=NOW + 3 * S))

        # Then it has the messages of both
        assert (was_sent(third), was_sent(fourth)) == (True, False)
        assert fourth.ack is not None
        assert "messages_per_day: 3 messages today, at most 3" in fourth.ack.reason
