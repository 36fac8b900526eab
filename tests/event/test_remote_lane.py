"""Remote handlers: a worker with a memory, and the half on the loop that knows it as of the last result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from qts.errors import StateError
from qts.event.config import EventConfig, LaneLimits
from qts.event.contracts import Event, EventType, Lane, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import TypeFilterHandler
from qts.event.remote import RemoteHandler
from qts.event.remote_lane import RemoteRunner
from tests.event.support import P0, P1, P2, Recorder, balanced, inline_dispatcher, is_gone, running, until
from tests.event.work import DIES, FAILS, HANGS

TICK, FILL = EventType.PRICE_TICK, EventType.FILL_CONFIRMED
PATIENT = EventConfig(retry_backoff_ms=1, lane_limits=LaneLimits(p1_ms=60_000))
HASTY = EventConfig(retry_backoff_ms=1, lane_limits=LaneLimits(p1_ms=300))


class Summer(RemoteHandler):
    """A handler that keeps the total as of the last result, and records the calls in order."""

    name = "summer"
    target = "tests.event.work:Summing"

    def __init__(self) -> None:
        self.total = 0
        self.refuse = ""
        self.pids: list[int] = []
        self.story: list[Any] = []
        self.contexts: list[Any] = []
        self.next_contexts: list[Any] = []
        self.unwanted: set[int] = set()
        self.needed = True
        self.on_done: Callable[[], None] = lambda: None

    @property
    def is_needed(self) -> bool:
        return self.needed

    def arguments(self) -> Any:
        return {"total": self.total, "refuse": self.refuse}

    def on_started(self, greeting: Any) -> None:
        assert greeting["total"] == self.total
        self.pids.append(greeting["pid"])

    def wants(self, event: Event) -> bool:
        return event.payload["n"] not in self.unwanted

    def batch_context(self) -> Any:
        return self.next_contexts.pop(0) if self.next_contexts else {}

    def on_batch_result(self, result: Any) -> None:
        self.total = result["total"]
        self.contexts.append(result["context"])
        self.story.append(result["numbers"])
        self.on_done()

    def on_failure(self, problem: str) -> None:
        self.story.append(problem)

    @property
    def done(self) -> list[int]:
        """The numbers of all results, in order."""
        return [number for told in self.story if isinstance(told, list) for number in told]

    @property
    def failures(self) -> list[str]:
        return [told for told in self.story if isinstance(told, str)]


def register(dispatcher: EventDispatcher, summer: Summer) -> None:
    dispatcher.register_handler(P1, TypeFilterHandler(summer, (TICK,)), lane=Lane.PROCESS)


def publish(dispatcher: EventDispatcher, *numbers: int) -> None:
    for number in numbers:
        dispatcher.publish(TICK, {"n": number})


def runner_of(dispatcher: EventDispatcher) -> RemoteRunner:
    runner = dispatcher.stats.handlers(P1)[0].runner
    assert isinstance(runner, RemoteRunner)
    return runner


async def test_events_are_done_in_their_order_by_a_worker_that_is_there_before_the_first() -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        await until(lambda: summer.pids)
        publish(dispatcher, *range(1, 201))
        await until(lambda: len(summer.done) == 200)
        assert summer.done == list(range(1, 201))
        assert summer.total == 20_100
        assert balanced(dispatcher)
        assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 200
    assert os.getpid() not in summer.pids
    assert [is_gone(pid) for pid in summer.pids] == [True]


async def test_batches_grow_only_as_the_worker_proves_to_be_fast_enough() -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, *range(150))
        await until(lambda: len(summer.done) == 150)
    assert [len(numbers) for numbers in summer.story] == [1, 100, 49]


async def test_what_is_not_wanted_never_travels_and_is_finished_at_once() -> None:
    summer = Summer()
    summer.unwanted = {2, 3}
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 1, 2, 3, 4)
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] >= 2)
        await until(lambda: summer.done == [1, 4])
        assert balanced(dispatcher)


async def test_what_stopped_being_wanted_while_it_waited_does_not_travel_either() -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 1, 2, 3)
        summer.on_done = lambda: summer.unwanted.add(2)
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 3)
        assert summer.done == [1, 3]


async def test_a_context_is_made_when_what_the_last_result_caused_has_been_handled() -> None:
    summer, decided = Summer(), Recorder()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        dispatcher.register_handler(P2, decided)
        summer.on_done = lambda: dispatcher.publish(EventType.SIGNAL_GENERATED, {"n": summer.total})  # type: ignore[assignment]
        summer.batch_context = lambda: {"decided": len(decided.seen)}  # type: ignore[method-assign]
        publish(dispatcher, 1, 2, 3)
        await until(lambda: len(summer.done) == 3)
    assert [context["decided"] for context in summer.contexts] == list(range(len(summer.contexts)))
    assert len(summer.contexts) >= 2


async def test_a_batch_whose_worker_is_killed_is_done_once_with_a_new_context_and_the_memory_of_before() -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 1)
        await until(lambda: summer.done == [1])
        summer.next_contexts = [{"die": True}, {"try": 2}]
        publish(dispatcher, 10)
        await until(lambda: summer.done == [1, 10])
        assert summer.total == 11
        assert summer.contexts[-1] == {"try": 2}
        assert len(set(summer.pids)) == 2
        assert [problem.partition(" process")[0] for problem in summer.failures] == ["WorkerDied: worker"]
        assert runner_of(dispatcher).restarts == 1
        assert len(dispatcher.dead_letter_queue) == 0
        assert balanced(dispatcher)


async def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_replaced() -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 1)
        await until(lambda: summer.done == [1])
        os.kill(summer.pids[0], signal.SIGKILL)
        publish(dispatcher, 2)
        await until(lambda: summer.done == [1, 2])
        assert summer.total == 3


@pytest.mark.parametrize(
    ("poison", "word"), [(DIES, "ended while it held an event"), (FAILS, "ValueError: not this one")]
)
async def test_an_event_no_worker_survives_is_dead_lettered_and_takes_no_other_along(
    poison: int, word: str
) -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 1)
        await until(lambda: summer.done == [1])
        publish(dispatcher, 2, 3, poison, 4, 5)
        await until(lambda: summer.done == [1, 2, 3, 4, 5], seconds=60)
        (letter,) = dispatcher.dead_letter_queue
        assert letter.event.payload["n"] == poison
        assert word in letter.error
        assert summer.total == 15
        assert all(word in problem for problem in summer.failures)
        assert len(summer.failures) == 1 + 1 + PATIENT.retries  # with the batch, alone, and again
        assert balanced(dispatcher)


async def test_an_event_it_hangs_in_is_cut_off_and_p0_is_handled_meanwhile() -> None:
    summer = Summer()
    order: list[str] = []
    async with running(HASTY) as dispatcher:
        register(dispatcher, summer)
        dispatcher.register_handler(P0, lambda event: order.append("fill"))
        summer.on_failure = lambda problem: order.append(problem)  # type: ignore[method-assign]
        publish(dispatcher, HANGS)
        await until(lambda: runner_of(dispatcher)._sent == 1)
        dispatcher.publish(FILL, {"n": 1})
        await until(lambda: len(order) == 2)
        assert order == ["fill", "LaneTimeout: cut off after 300 ms"]
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        publish(dispatcher, 7)
        await until(lambda: summer.done == [7])
    assert all(is_gone(pid) for pid in summer.pids)


async def test_a_worker_may_take_longer_to_start_than_to_handle_but_not_without_end() -> None:
    summer = Summer()
    never = msgspec.structs.replace(PATIENT, worker_start_ms=1)
    async with running(never) as dispatcher:
        register(dispatcher, summer)
        await until(lambda: summer.failures)
        assert summer.failures[0] == "LaneTimeout: cut off after 1 ms"
    quick = msgspec.structs.replace(PATIENT, lane_limits=LaneLimits(p1_ms=1))
    summer = Summer()
    async with running(quick) as dispatcher:
        register(dispatcher, summer)
        await until(lambda: summer.pids)
        assert summer.failures == []


async def test_a_worker_that_refuses_to_start_says_why_and_is_tried_again() -> None:
    summer = Summer()
    summer.refuse = "the file is gone"
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, 5)
        await until(lambda: len(summer.failures) == 2)
        summer.refuse = ""
        await until(lambda: summer.done == [5])
    assert set(summer.failures) == {"ValueError: the file is gone"}


async def test_a_handler_that_needs_its_worker_no_more_has_it_ended_and_the_rest_finished() -> None:
    summer = Summer()
    summer.on_done = lambda: setattr(summer, "needed", False)
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        publish(dispatcher, *range(1, 300))
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 299)
        assert summer.done == [1]
        publish(dispatcher, 1)
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 300)
        await until(lambda: is_gone(summer.pids[0]))
        assert runner_of(dispatcher).pid is None
        assert balanced(dispatcher)


async def test_what_was_not_done_at_a_stop_is_in_the_state_and_is_done_once_after_it() -> None:
    first = Summer()
    dispatcher = EventDispatcher(PATIENT)
    register(dispatcher, first)
    await dispatcher.start()
    publish(dispatcher, 1)
    await until(lambda: first.done == [1])
    publish(dispatcher, HANGS, 2, 3)
    await until(lambda: runner_of(dispatcher)._sent >= 1)
    while_running = dispatcher.export_state()
    left = await dispatcher.stop(timeout_ms=1)
    assert left["P1_HIGH"] == 3
    assert all(is_gone(pid) for pid in first.pids)

    for state in (while_running, dispatcher.export_state()):
        second = Summer()
        second.total = first.total
        second.unwanted = {HANGS}
        again = EventDispatcher(PATIENT)
        register(again, second)
        again.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
        await again.start()
        publish(again, 4)
        await until(lambda second=second: len(second.done) == 3)
        await again.stop()
        assert sorted(second.done) == [2, 3, 4]  # events without a key keep no order across a restart
        assert second.total == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
async def test_signals_to_the_whole_process_group_are_the_parents_affair(number: signal.Signals) -> None:
    summer = Summer()
    async with running(PATIENT) as dispatcher:
        register(dispatcher, summer)
        await until(lambda: summer.pids)
        os.kill(summer.pids[0], number)
        publish(dispatcher, 1)
        await until(lambda: summer.done == [1])
    assert summer.failures == []
    assert len(summer.pids) == 1


PARENT = """
import asyncio, sys
from qts.event.dispatcher import EventDispatcher
from tests.event.test_remote_lane import PATIENT, HANGS, Summer, publish, register, runner_of, until

async def main():
    summer, dispatcher = Summer(), EventDispatcher(PATIENT)
    register(dispatcher, summer)
    await dispatcher.start()
    publish(dispatcher, HANGS)
    await until(lambda: runner_of(dispatcher)._sent == 1)
    print(summer.pids[0], flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_worker_that_hangs_does_not_outlive_a_parent_that_is_killed() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert not is_gone(worker)
        parent.kill()
    await until(lambda: is_gone(worker))


def test_on_the_virtual_clock_there_is_no_worker_and_it_says_so() -> None:
    dispatcher = inline_dispatcher(EventConfig(retries=0))
    register(dispatcher, Summer())
    dispatcher.dispatch_nowait(create_event(TICK, payload={"n": 1}))
    dispatcher.run_inline()
    assert "register it on Lane.PROCESS" in dispatcher.dead_letter_queue[0].error
    assert StateError.__name__ in dispatcher.dead_letter_queue[0].error
