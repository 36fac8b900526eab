"""The dispatcher with a journal: acknowledgement, spilling, restarts, dead letters, checkpoints."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import ContractError, StorageError
from qts.event.codec import pack_event, unpack_event
from qts.event.config import EventConfig, JournalConfig, QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventType, Lane, OverflowPolicy, create_event, event_time_ns
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal, read_journal
from qts.event.journal_segments import Mark, segment_paths
from qts.event.work import BlockedKey
from qts.execution.contracts import EmergencyStop
from qts.ids import CounterIds
from tests.effort import examples
from tests.event.support import P0, P1, Recorder, event_of, fill, inline_dispatcher, tick
from tests.event.test_journal import Disk, disk, refuse

__all__ = ["disk"]
RUN_ID = "0123456789abcdef"
PARTIAL = EventType.FILL_PARTIAL


def config(window: int = 100, **journal: Any) -> EventConfig:
    queues = QueueConfigs(p0=QueueConfig(P0, window, OverflowPolicy.BLOCK))
    return EventConfig(
        queue_configs=queues,
        retry_backoff_ms=0,
        journal=JournalConfig(**{"mark_ms": 1, "segment_bytes": 4_096, **journal}),
    )


@pytest.fixture
def restarts(tmp_path: Path) -> Iterator[Restarts]:
    started = Restarts(tmp_path / "journal")
    yield started
    started.end()


class Restarts:
    """One journal, and one process after the other that uses it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal: Journal | None = None

    def begin(self, given_config: EventConfig | None = None, *, checkpointed: bool = False) -> EventDispatcher:
        """A new dispatcher on a virtual clock, as after a restart; what the last life settled is on disk."""
        self.end()
        settings_ = given_config or config()
        self.journal = Journal(self.directory, RUN_ID, settings_.journal, checkpointed=checkpointed)
        return inline_dispatcher(settings_, journal=self.journal)

    def end(self) -> None:
        if self.journal is not None:
            self.journal.close()

    def words(self) -> dict[str, str]:
        """What the journal says of every event."""
        assert self.journal is not None
        self.journal.flush()
        return {one.record.event_id: one.status_name for one in read_journal(self.directory).entries.values()}


def numbered(n: int, order: str = "o-1") -> Event:
    return create_event(PARTIAL, payload={"n": n, "order_id": order}, event_id=f"n-{n}")


def stop_event(n: int = 0) -> Event:
    return create_event(
        EventType.EMERGENCY_STOP, payload=EmergencyStop("me", "test", 1, True), event_id=f"stop-{n}"
    )


# -- the stored form -------------------------------------------------------------------------------------------

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text()
    | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(
    payload=st.dictionaries(st.text("abcdef", min_size=1), _values, max_size=4),
    source=st.text(),
    number=st.integers(1, 2**40) | st.text(min_size=1),
    stamp=st.integers(0, 2**62),
)
@settings(max_examples=examples(40, whole=100))
def test_an_event_is_stored_and_read_back_exactly(
    payload: dict[str, Any], source: str, number: int | str, stamp: int
) -> None:
    event = Event(PARTIAL, P0, source, payload, number, 17, "run", stamp)  # type: ignore[arg-type]
    try:
        stored = pack_event(event)
    except ContractError:
        return  # lone surrogates and the like are refused, never stored as something else
    back = unpack_event(stored)
    assert (back, back.source, dict(back.payload)) == (event, source, payload)
    assert (event_time_ns(back), back.accepted_ns, back.requires_ack) == (17, stamp, True)


def test_typed_payloads_and_empty_ones_are_read_back() -> None:
    typed = create_event(PARTIAL, payload=fill())
    assert unpack_event(pack_event(typed)).body == fill()
    empty = create_event(EventType.BROKER_DISCONNECT, requires_ack=False)
    assert unpack_event(pack_event(empty)).payload is None
    assert unpack_event(pack_event(empty)).requires_ack is False


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x90", pack_event(numbered(1))[:-1]], ids=["empty", "odd", "list", "cut"]
)
def test_bytes_that_are_no_event_are_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match="not a stored event"):
        unpack_event(data)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("poison", ["\ud800", 1 << 70, {1: 2}, object(), nested(100_000)])
def test_an_event_that_cannot_be_stored_is_refused_and_harms_nothing(restarts: Restarts, poison: Any) -> None:
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    with pytest.raises(ContractError):
        dispatcher.dispatch_nowait(event_of(P0, n=1, bad=poison))
    dispatcher.dispatch_nowait(numbered(2))
    dispatcher.run_inline()
    assert seen.numbers == [2]
    assert dispatcher.queue_stats()["P0_CRITICAL"]["accepted"] == 1


def test_a_payload_of_ten_megabytes_is_journalled(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    dispatcher.dispatch_nowait(create_event(PARTIAL, payload={"n": 1, "raw": "x" * 10_000_000}))
    dispatcher.run_inline()
    assert seen.numbers == [1]


# -- acknowledgement -------------------------------------------------------------------------------------------


async def test_dispatch_returns_after_the_sync_but_the_handler_does_not_wait_for_it(
    tmp_path: Path, disk: Disk
) -> None:
    with Journal(tmp_path, RUN_ID) as journal:
        dispatcher, started = EventDispatcher(journal=journal), asyncio.Event()
        dispatcher.register_handler(P0, lambda event: started.set())
        await dispatcher.start()
        disk.go.clear()
        dispatching = asyncio.ensure_future(dispatcher.dispatch(numbered(1)))
        await started.wait()
        assert not dispatching.done()
        assert journal.synced == 0
        disk.go.set()
        assert await dispatching is True
        assert journal.synced == 1
        await dispatcher.stop()


async def test_an_event_that_asks_for_no_acknowledgement_does_not_wait(tmp_path: Path, disk: Disk) -> None:
    with Journal(tmp_path, RUN_ID) as journal:
        dispatcher = EventDispatcher(journal=journal)
        disk.go.clear()
        assert await dispatcher.dispatch(create_event(PARTIAL, payload={"n": 1}, requires_ack=False)) is True
        assert journal.synced == 0
        disk.go.set()


async def test_a_handler_that_dispatches_p0_does_not_wait_for_the_disk(tmp_path: Path, disk: Disk) -> None:
    with Journal(tmp_path, RUN_ID) as journal:
        dispatcher, seen, both = EventDispatcher(journal=journal), list[int](), asyncio.Event()

        async def chain(event: Event) -> None:
            seen.append(event.payload["n"])
            if len(seen) == 1:
                await dispatcher.dispatch(numbered(2))
            else:
                both.set()

        dispatcher.register_handler(P0, chain)
        await dispatcher.start()
        disk.go.clear()
        dispatcher.dispatch_nowait(numbered(1))
        await both.wait()
        assert journal.synced == 0
        disk.go.set()
        await dispatcher.stop()


async def test_an_acknowledgement_can_be_asked_for_without_waiting(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN_ID) as journal:
        dispatcher, told = EventDispatcher(journal=journal), list[object]()
        dispatcher.dispatch_nowait(numbered(1), told.append)
        journal.flush()
        assert told == [None]
        dispatcher.dispatch_nowait(event_of(P1), told.append)  # nothing below P0 is journalled
        assert told == [None, None]
        assert len(read_journal(tmp_path).entries) == 1


def test_without_a_journal_an_acknowledgement_comes_at_once() -> None:
    told: list[object] = []
    inline_dispatcher().dispatch_nowait(numbered(1), told.append)
    assert told == [None]


def test_an_event_object_that_is_queued_already_is_not_taken_twice(restarts: Restarts) -> None:
    dispatcher, seen, event = restarts.begin(), Recorder(), numbered(1)
    dispatcher.register_handler(P0, seen)
    assert dispatcher.dispatch_nowait(event)
    assert dispatcher.dispatch_nowait(event)
    dispatcher.run_inline()
    assert seen.numbers == [1]
    assert restarts.words() == {"n-1": "applied"}


# -- spilling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_what_memory_cannot_hold_is_read_back_in_order(restarts: Restarts, window: int) -> None:
    dispatcher, seen = restarts.begin(config(window, segment_bytes=1 << 20)), Recorder()
    dispatcher.register_handler(P0, seen)
    for n in range(500):
        dispatcher.dispatch_nowait(numbered(n))
    row = dispatcher.queue_stats()["P0_CRITICAL"]
    assert (row["size"], row["accepted"], row["high_water"]) == (500, 500, 500)
    assert len(dispatcher._levels[0].items) == window
    dispatcher.run_inline()
    assert seen.numbers == list(range(500))
    assert set(restarts.words().values()) == {"applied"}
    assert check_journal(restarts.directory) == []


def test_an_emergency_stop_overtakes_what_was_spilled(restarts: Restarts) -> None:
    dispatcher, order = restarts.begin(config(2)), list[str]()
    dispatcher.register_handler(P0, lambda event: order.append(event.event_id))
    for n in range(10):
        dispatcher.dispatch_nowait(numbered(n))
    dispatcher.dispatch_nowait(stop_event())
    dispatcher.dispatch_nowait(numbered(10))
    dispatcher.run_inline()
    assert order == ["stop-0", *(f"n-{n}" for n in range(11))]


@given(st.lists(st.sampled_from(["put", "put", "put", "stop", "run one"]), max_size=120), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_any_mix_of_putting_and_taking_keeps_the_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], window: int
) -> None:
    with Journal(tmp_path_factory.mktemp("spill"), RUN_ID, config().journal) as journal:
        dispatcher = inline_dispatcher(config(window), journal=journal)
        queue = dispatcher._levels[0].queue
        stops, others, taken = list[str](), list[str](), list[str]()
        expected = list[str]()
        for number, step in enumerate(steps):
            if step == "put":
                dispatcher.dispatch_nowait(numbered(number))
                others.append(f"n-{number}")
            elif step == "stop":
                dispatcher.dispatch_nowait(stop_event(number))
                stops.append(f"stop-{number}")
            elif stops or others:
                expected.append((stops or others).pop(0))
                event = queue.get_nowait()
                assert event is not None
                taken.append(event.event_id)
            assert queue.size() == len(stops) + len(others)
        while (event := queue.get_nowait()) is not None:
            taken.append(event.event_id)
        assert taken == [*expected, *stops, *others]


async def test_eight_threads_never_wait_and_the_order_inside_each_order_is_kept(tmp_path: Path) -> None:
    settings_ = config(10)
    with Journal(tmp_path, RUN_ID, settings_.journal) as journal:
        dispatcher, seen = EventDispatcher(settings_, journal=journal), dict[str, list[int]]()
        dispatcher.register_handler(
            P0, lambda event: seen.setdefault(event.payload["order_id"], []).append(event.payload["n"])
        )
        await dispatcher.start()

        def produce(order: int) -> None:
            for n in range(300):
                dispatcher.publish(PARTIAL, {"n": n, "order_id": f"o-{order}"})

        await asyncio.gather(*(asyncio.to_thread(produce, order) for order in range(8)))
        assert await dispatcher.stop() == dict.fromkeys(dispatcher.queue_stats(), 0)
        assert seen == {f"o-{order}": list(range(300)) for order in range(8)}
    report = read_journal(tmp_path)
    assert report.problems == []
    assert report.count(None) == 0


def test_events_that_are_spilled_over_several_files_come_back(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(config(1)), Recorder()
    dispatcher.register_handler(P0, seen)
    assert restarts.journal is not None
    for n in range(200):
        dispatcher.dispatch_nowait(numbered(n))
        restarts.journal.flush()
    assert len(segment_paths(restarts.directory)) > 3
    dispatcher.run_inline()
    assert seen.numbers == list(range(200))
    restarts.journal.flush()
    assert len(segment_paths(restarts.directory)) == 1


def test_what_cannot_be_read_back_stays_in_the_journal_and_is_fatal(restarts: Restarts) -> None:
    codes: list[str] = []
    settings_ = config(1, segment_bytes=1 << 20)
    journal = restarts.journal = Journal(restarts.directory, RUN_ID, settings_.journal)
    dispatcher = inline_dispatcher(settings_, journal=journal, on_code=lambda *told: codes.append(told[0]))
    seen = Recorder()
    dispatcher.register_handler(P0, seen)
    for n in range(5):
        dispatcher.dispatch_nowait(numbered(n))
    journal.flush()
    ((_, path),) = segment_paths(restarts.directory)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    dispatcher.run_inline()
    dispatcher.dispatch_nowait(numbered(5))
    dispatcher.run_inline()
    assert seen.numbers == [0]  # nothing overtakes what cannot be read
    assert "FS096" in codes
    with pytest.raises(StorageError, match="cannot be read back"):
        journal.raise_if_fatal()
    path.write_bytes(whole)
    dispatcher = restarts.begin(settings_)
    dispatcher.register_handler(P0, seen)
    dispatcher.run_inline()
    assert seen.numbers in ([0, 1, 2, 3, 4], [0, 0, 1, 2, 3, 4])  # 5 was never acknowledged


# -- restarts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [2, 100])
def test_a_restart_handles_what_was_accepted_and_not_handled_before_anything_new(
    restarts: Restarts, window: int
) -> None:
    dispatcher = restarts.begin(config(window))
    dispatcher.register_handler(P0, Recorder())
    for n in range(20):
        dispatcher.dispatch_nowait(numbered(n))
    dispatcher, seen = restarts.begin(config(window)), Recorder()
    dispatcher.register_handler(P0, seen)
    dispatcher.dispatch_nowait(numbered(20))
    dispatcher.run_inline()
    assert seen.numbers == list(range(21))
    again = restarts.begin()
    again.register_handler(P0, seen)
    again.run_inline()
    assert seen.numbers == list(range(21))
    assert check_journal(restarts.directory) == []


def test_what_a_source_that_was_not_answered_sends_again_is_handled_again(restarts: Restarts) -> None:
    """The journal is "at least once"; the unique key of the effect makes it "exactly once" (`effect-with-mark`).

    To drop it before the journal would one day drop a fill that the restored checkpoint does not contain.
    """
    # Given fills on disk, one of them not handled yet, whose source died before it heard that.
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    for n in range(3):
        dispatcher.dispatch_nowait(numbered(n))
        if n < 2:
            dispatcher.run_inline()
    # When it tells the last two again.
    dispatcher, answers = restarts.begin(), list[Exception | None]()
    dispatcher.register_handler(P0, seen)
    for n in (1, 2):
        dispatcher.dispatch_nowait(numbered(n), answers.append)
    dispatcher.run_inline()
    # Then both are handled and answered, and the journal says how many were sent again.
    assert seen.numbers == [0, 1, 2, 1, 2]
    assert restarts.words() == {f"n-{n}": "applied" for n in range(3)}
    assert answers == [None, None]
    assert check_journal(restarts.directory) == []
    assert read_journal(restarts.directory).repeated == 2


def test_one_id_for_two_different_fills_costs_none_and_is_reported(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.dispatch_nowait(create_event(PARTIAL, payload={"n": 7, "order_id": "o-2"}, event_id="n-1"))
    dispatcher.run_inline()
    assert seen.numbers == [1, 7]
    restarts.words()
    assert check_journal(restarts.directory) == ["event id n-1 names two events: 1 and 2"]


def test_an_emergency_stop_is_first_after_a_restart_too(restarts: Restarts) -> None:
    dispatcher = restarts.begin()
    for event in (numbered(1), numbered(2), stop_event()):
        dispatcher.dispatch_nowait(event)
    dispatcher, order = restarts.begin(config(1)), list[str]()
    dispatcher.register_handler(P0, lambda event: order.append(event.event_id))
    dispatcher.run_inline()
    assert order == ["stop-0", "n-1", "n-2"]


async def test_a_thousand_queued_at_a_stop_are_all_handled(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN_ID, config().journal) as journal:
        dispatcher, seen = EventDispatcher(config(), journal=journal), Recorder()
        dispatcher.register_handler(P0, seen)
        for n in range(1_000):
            dispatcher.dispatch_nowait(numbered(n))
        await dispatcher.start()
        assert (await dispatcher.stop())["P0_CRITICAL"] == 0
        assert seen.numbers == list(range(1_000))
    assert read_journal(tmp_path).count(None) == 0


def test_ids_go_on_after_those_in_the_journal_also_before_the_start(restarts: Restarts) -> None:
    for _ in range(2):  # published before anything runs, with the same prefix in both processes
        restarts.begin().publish(EventType.BROKER_DISCONNECT)
    assert len(restarts.words()) == 2


def test_ids_go_on_after_those_in_the_journal(restarts: Restarts) -> None:
    dispatcher = restarts.begin()
    for _ in range(3):
        dispatcher.publish(PARTIAL, {"n": 1})
    dispatcher = restarts.begin()
    seen: list[str] = []
    dispatcher.register_handler(P0, lambda event: seen.append(event.event_id))
    dispatcher.run_inline()
    dispatcher.publish(PARTIAL, {"n": 2})
    dispatcher.run_inline()
    assert seen == ["e-1", "e-2", "e-3", "e-4"]


def test_a_stored_event_that_cannot_be_decoded_is_kept_aside_and_never_stops_a_start(restarts: Restarts) -> None:
    restarts.begin()
    assert restarts.journal is not None
    restarts.journal.append("poison", b"\xc1 not an event")
    codes: list[str] = []
    for _ in range(2):
        restarts.end()
        restarts.journal = Journal(restarts.directory, RUN_ID, config().journal)
        dispatcher = inline_dispatcher(
            config(), journal=restarts.journal, on_code=lambda *told: codes.append(told[0])
        )
        dispatcher.run_inline()
    assert codes == ["FS098"]
    kept = restarts.directory / "quarantine" / "1.msgpack"
    assert kept.read_bytes() == b"\xc1 not an event"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert restarts.words() == {"poison": "parked"}


def test_a_spilled_event_that_cannot_be_decoded_is_skipped(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(config(1)), Recorder()
    dispatcher.register_handler(P0, seen)
    assert restarts.journal is not None
    dispatcher.dispatch_nowait(numbered(0))
    with restarts.journal.lock:
        bad = restarts.journal.append_locked(b"poison", b"\xc1")
        dispatcher._levels[0].queue.place(numbered(99), bad)  # type: ignore[attr-defined]
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    assert seen.numbers == [0, 1]


# -- dead letters ----------------------------------------------------------------------------------------------


def failing_then_restarted(restarts: Restarts) -> tuple[EventDispatcher, Recorder]:
    """n-1 of order o-1 fails for good, n-2 follows it, n-3 is of another order; then the process restarts."""
    dispatcher, seen = restarts.begin(), Recorder(failures=4)
    dispatcher.register_handler(P0, seen)
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    dispatcher.dispatch_nowait(numbered(2))
    dispatcher.dispatch_nowait(numbered(3, order="o-2"))
    dispatcher.run_inline()
    assert seen.numbers == [3]
    assert restarts.words() == {"n-1": "parked", "n-2": "accepted", "n-3": "applied"}
    dispatcher = restarts.begin()
    dispatcher.register_handler(P0, seen)
    dispatcher.run_inline()
    return dispatcher, seen


def test_a_parked_event_and_what_follows_it_are_held_after_a_restart_too(restarts: Restarts) -> None:
    dispatcher, seen = failing_then_restarted(restarts)
    assert seen.numbers == [3]
    assert [letter.event.event_id for letter in dispatcher.dead_letter_queue] == ["n-1"]
    assert restarts.words() == {"n-1": "parked", "n-2": "accepted", "n-3": "applied"}


def test_an_operator_may_skip_it_after_a_restart(restarts: Restarts) -> None:
    dispatcher, seen = failing_then_restarted(restarts)
    dispatcher.skip_dead_letter("n-1")
    dispatcher.run_inline()
    assert seen.numbers == [3, 2]
    assert restarts.words() == {"n-1": "withdrawn", "n-2": "applied", "n-3": "applied"}
    assert check_journal(restarts.directory) == []


def test_a_replayed_dead_letter_is_marked_by_how_it_ended(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(), Recorder(failures=4)
    dispatcher.register_handler(P0, seen)
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    assert dispatcher.replay_dead_letter("n-1")
    dispatcher.run_inline()
    assert seen.numbers == [1]
    assert restarts.words() == {"n-1": "applied"}
    assert check_journal(restarts.directory) == []


def test_a_dead_letter_opened_again_between_two_lives_is_tried_by_the_next(restarts: Restarts) -> None:
    failing_then_restarted(restarts)
    restarts.end()
    with Journal(restarts.directory, RUN_ID, config().journal) as journal:
        journal.mark_done(1, Mark.REOPENED)
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    dispatcher.run_inline()
    assert seen.numbers == [1, 2]
    assert len(dispatcher.dead_letter_queue) == 0
    assert restarts.words() == {"n-1": "applied", "n-2": "applied", "n-3": "applied"}
    assert check_journal(restarts.directory) == []


class Other(Recorder):
    """A handler of another name: dead letters go by it."""


def two_letters(restarts: Restarts) -> tuple[EventDispatcher, Recorder, Recorder]:
    """n-1 fails with both of its handlers."""
    dispatcher, first, second = restarts.begin(), Recorder(failures=4), Other(failures=4)
    dispatcher.register_handler(P0, first)
    dispatcher.register_handler(P0, second)
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    assert len(dispatcher.dead_letter_queue) == 2
    return dispatcher, first, second


def test_an_event_is_applied_when_none_of_its_letters_is_left(restarts: Restarts) -> None:
    dispatcher, first, second = two_letters(restarts)
    assert dispatcher.replay_dead_letter("n-1", "Other")
    dispatcher.run_inline()
    assert (first.numbers, second.numbers) == ([], [1])
    assert restarts.words() == {"n-1": "parked"}
    assert dispatcher.replay_dead_letter("n-1")
    dispatcher.run_inline()
    assert (first.numbers, second.numbers) == ([1], [1])
    assert restarts.words() == {"n-1": "applied"}
    assert check_journal(restarts.directory) == []


def test_letters_tried_at_the_same_time_settle_their_event_once(restarts: Restarts) -> None:
    dispatcher, first, second = two_letters(restarts)
    second.failures = 4
    assert dispatcher.replay_dead_letter("n-1")
    assert dispatcher.replay_dead_letter("n-1")
    dispatcher.run_inline()
    assert (first.numbers, second.numbers) == ([1], [])
    assert restarts.words() == {"n-1": "parked"}
    assert check_journal(restarts.directory) == []


def test_skipping_one_of_two_letters_leaves_the_other(restarts: Restarts) -> None:
    dispatcher, first, second = two_letters(restarts)
    assert dispatcher.skip_dead_letter("n-1", "Recorder")
    assert restarts.words() == {"n-1": "parked"}
    assert dispatcher.replay_dead_letter("n-1")
    dispatcher.run_inline()
    assert (first.numbers, second.numbers) == ([], [1])
    assert restarts.words() == {"n-1": "applied"}
    assert check_journal(restarts.directory) == []


def test_a_letter_replayed_while_another_handler_still_tries_does_not_settle_the_event(restarts: Restarts) -> None:
    dispatcher, first, second = restarts.begin(), Recorder(failures=4), Other(failures=1)
    dispatcher.register_handler(P0, first)
    dispatcher.register_handler(P0, second)
    schedule, later = dispatcher._scheduler.retries.schedule, list[BlockedKey]()

    def second_waits(blocked: BlockedKey, delay_s: float) -> None:
        if blocked.registration is dispatcher._levels[0].registrations[1]:
            later.append(blocked)
        else:
            schedule(blocked, delay_s)

    dispatcher._scheduler.retries.schedule = second_waits
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    assert dispatcher.replay_dead_letter("n-1")
    dispatcher.run_inline()
    assert first.numbers == [1]
    assert restarts.words() == {"n-1": "accepted"}
    schedule(later[0], 0.0)
    dispatcher.run_inline()
    assert second.numbers == [1]
    assert restarts.words()["n-1"] == "parked", (
        "one handler had failed for good; that it was tried again is no harm"
    )
    assert check_journal(restarts.directory) == []


def test_a_kill_between_two_handlers_tries_the_event_again_with_both(restarts: Restarts) -> None:
    dispatcher, first = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, first)
    dispatcher.register_handler(P0, Recorder(failures=1))
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher._scheduler.retries.schedule = lambda blocked, delay_s: None  # killed before the second attempt
    dispatcher.run_inline()
    assert restarts.words() == {"n-1": "accepted"}
    dispatcher, second = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, first)
    dispatcher.register_handler(P0, second)
    dispatcher.run_inline()
    assert (first.numbers, second.numbers) == ([1, 1], [1])  # at least once; the handler's own key makes it once
    assert restarts.words() == {"n-1": "applied"}


async def test_an_event_in_a_lane_is_applied_when_the_lane_is_done(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN_ID, config().journal) as journal:
        dispatcher, gate = EventDispatcher(config(), journal=journal), threading.Event()
        dispatcher.register_handler(P0, lambda event: bool(gate.wait(10)) and None, lane=Lane.THREAD)
        await dispatcher.start()
        await dispatcher.dispatch(numbered(1))
        journal.flush()
        assert read_journal(tmp_path).count(None) == 1
        gate.set()
        await dispatcher.stop()
    assert read_journal(tmp_path).count(Mark.APPLIED) == 1


# -- checkpoints -----------------------------------------------------------------------------------------------


def with_checkpoint(restarts: Restarts, window: int) -> tuple[dict[str, Any], list[int]]:
    """Five events: 0 handled, 1 in hand while the checkpoint is taken, 2 to 4 queued; 5 comes after it."""
    dispatcher, effects = restarts.begin(config(window), checkpointed=True), list[int]()
    saved: dict[str, Any] = {}

    def handle(event: Event) -> None:
        effects.append(event.payload["n"])
        if event.payload["n"] == 1:
            saved.update(dispatcher.export_state())
            raise KeyboardInterrupt  # the process ends here

    dispatcher.register_handler(P0, CallbackHandler(handle, "book"))
    for n in range(5):
        dispatcher.dispatch_nowait(numbered(n))
    with pytest.raises(KeyboardInterrupt):
        dispatcher.run_inline()
    dispatcher.dispatch_nowait(numbered(5))
    return saved, effects


@pytest.mark.parametrize("window", [1, 2, 100])
def test_a_restart_from_a_checkpoint_does_what_neither_it_nor_the_journal_knows_as_done(
    restarts: Restarts, window: int
) -> None:
    saved, effects = with_checkpoint(restarts, window)
    dispatcher = restarts.begin(config(window), checkpointed=True)
    dispatcher.register_handler(P0, CallbackHandler(lambda event: effects.append(event.payload["n"]), "book"))
    dispatcher.import_state(saved)
    assert dispatcher.queue_stats()["P0_CRITICAL"]["size"] == 3
    dispatcher.run_inline()
    assert effects == [0, 1, 2, 3, 4, 5]
    row = dispatcher.queue_stats()["P0_CRITICAL"]
    assert (row["accepted"], row["handled"], row["size"]) == (6, 6, 0)
    assert restarts.journal is not None
    dispatcher.export_state()
    restarts.journal.commit()
    assert set(restarts.words().values()) == {"applied"}
    assert check_journal(restarts.directory) == []


def test_the_source_of_an_event_may_take_back_what_the_checkpoint_does_not_know(restarts: Restarts) -> None:
    saved, effects = with_checkpoint(restarts, 100)
    dispatcher = restarts.begin(checkpointed=True)
    dispatcher.register_handler(P0, CallbackHandler(lambda event: effects.append(event.payload["n"]), "book"))
    dispatcher.import_state(saved)
    assert dispatcher.replay_journal(withdraw=lambda event: event.payload["n"] == 5) == 0
    dispatcher.run_inline()
    assert effects == [0, 1, 2, 3, 4]
    dispatcher.export_state()
    assert restarts.journal is not None
    restarts.journal.commit()
    assert restarts.words()["n-5"] == "withdrawn"


def test_what_an_operator_opened_again_is_not_taken_back(restarts: Restarts) -> None:
    dispatcher = restarts.begin()
    dispatcher.register_handler(P0, Recorder())
    for n in (1, 2):
        dispatcher.dispatch_nowait(numbered(n))
    dispatcher.run_inline()
    restarts.end()
    with Journal(restarts.directory, RUN_ID, config().journal) as journal:
        journal.mark_done(1, Mark.REOPENED)
        journal.append("n-3", pack_event(numbered(3)))
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)
    assert dispatcher.replay_journal(withdraw=lambda event: True) == 1
    dispatcher.run_inline()
    assert seen.numbers == [1]
    assert restarts.words() == {"n-1": "applied", "n-2": "applied", "n-3": "withdrawn"}


def test_a_checkpoint_that_waits_for_an_event_the_journal_lacks_is_refused(restarts: Restarts) -> None:
    saved, _ = with_checkpoint(restarts, 1)
    restarts.end()
    for _, path in segment_paths(restarts.directory):
        path.unlink()
    dispatcher = restarts.begin(config(1), checkpointed=True)
    dispatcher.register_handler(P0, CallbackHandler(Recorder(), "book"))
    with pytest.raises(StorageError, match="waits for event 3, which the journal does not hold"):
        dispatcher.import_state(saved)


# -- failures --------------------------------------------------------------------------------------------------


async def failing_dispatcher(
    tmp_path: Path, disk: Disk, break_it: Callable[[], None]
) -> tuple[Journal, list[str], Recorder]:
    codes: list[str] = []
    journal = Journal(tmp_path, RUN_ID)
    dispatcher = EventDispatcher(journal=journal, on_code=lambda code, detail: codes.append(code))
    seen = Recorder()
    dispatcher.register_handler(P0, seen)
    await dispatcher.start()
    await dispatcher.dispatch(numbered(1))
    break_it()
    for n in (2, 3):
        with pytest.raises(StorageError, match="not written any more"):
            await dispatcher.dispatch(numbered(n))
    errors: list[Any] = []
    dispatcher.dispatch_nowait(numbered(4), errors.append)
    assert [type(error) for error in errors] == [StorageError]
    await dispatcher.stop()
    journal.close()
    return journal, codes, seen


async def test_after_a_failed_sync_p0_is_handled_but_never_acknowledged(tmp_path: Path, disk: Disk) -> None:
    def break_it() -> None:
        disk.on_sync = refuse(5)

    journal, codes, seen = await failing_dispatcher(tmp_path, disk, break_it)
    assert codes == ["FS096"]
    assert seen.numbers == [1, 2, 3, 4]  # exits stay possible
    assert journal.must_exit


async def test_after_a_full_disk_too_but_the_process_may_live_on(tmp_path: Path, disk: Disk) -> None:
    def break_it() -> None:
        disk.on_write = refuse(28)

    journal, codes, seen = await failing_dispatcher(tmp_path, disk, break_it)
    assert codes == ["FS096"]
    assert seen.numbers == [1, 2, 3, 4]
    assert not journal.must_exit


def test_a_queue_that_breaks_loses_nothing_that_was_journalled(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(config(2)), Recorder()
    dispatcher.register_handler(P0, seen)
    for n in range(6):
        dispatcher.dispatch_nowait(numbered(n))

    class Broken(deque[Event]):
        def append(self, event: Event) -> None:
            raise RuntimeError("broken")

    level = dispatcher._levels[0]
    level.queue.items = Broken(level.queue.items)
    level.use(level.queue)
    dispatcher._scheduler.rewire()
    dispatcher.dispatch_nowait(numbered(6))
    dispatcher.run_inline()
    assert seen.numbers == list(range(7))
    assert dispatcher.reports.counts["queue"] == 1


def test_a_queue_that_breaks_on_arrival_is_replaced_and_the_event_is_in_the_next(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P0, seen)

    class Broken(deque[Event]):
        def append(self, event: Event) -> None:
            raise RuntimeError("broken")

    dispatcher._levels[0].queue.items = Broken()
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    assert seen.numbers == [1]
    assert dispatcher.reports.counts["queue"] == 1
    assert restarts.words() == {"n-1": "applied"}


def test_a_producer_in_a_thread_waits_when_the_disk_falls_far_behind(tmp_path: Path, disk: Disk) -> None:
    codes: list[str] = []
    settings_ = EventConfig(block_report_ms=1, journal=JournalConfig(buffer_bytes=65_536))
    with Journal(tmp_path, RUN_ID, settings_.journal) as journal:
        dispatcher = EventDispatcher(settings_, journal=journal, on_code=lambda code, detail: codes.append(code))
        disk.go.clear()
        large = {"n": 1, "raw": "x" * 40_000}
        for _ in range(4):  # from the loop's own thread: it never waits
            dispatcher.dispatch_nowait(create_event(PARTIAL, payload=large))
            while not disk.writes:  # the first occupies the disk, the others gather
                pass
        assert codes == []
        thread = threading.Thread(target=lambda: dispatcher.dispatch_nowait(create_event(PARTIAL, payload=large)))
        thread.start()
        thread.join()
        assert codes == ["FS095"]
        disk.go.set()
        journal.flush()
        assert journal.synced == 5


def test_lower_priorities_go_their_way_as_before(restarts: Restarts) -> None:
    dispatcher, seen = restarts.begin(), Recorder()
    dispatcher.register_handler(P1, lambda event: seen.calls)
    dispatcher.publish(EventType.PRICE_TICK, tick())
    dispatcher.run_inline()
    assert restarts.words() == {}
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 1
    assert CounterIds("e").last == 0
