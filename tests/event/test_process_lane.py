"""Handlers in worker processes: results, failures, death, limits, and the move of slow ones."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.event import process_lane
from qts.event.config import EventConfig, LaneLimits
from qts.event.contracts import EventPriority, EventType, Lane
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler
from qts.event.process_lane import ProcessRunner, start_worker_process
from qts.event.worker import PARENTS_SIGNALS, lower_cpu_priority, read_frame, write_frame
from tests.event import work
from tests.event.support import P1, P2, P3, Recorder, balanced, is_gone, running, until

LOG = EventType.LOG_WRITE
PATIENT = EventConfig(retry_backoff_ms=1, lane_limits=LaneLimits(p1_ms=60_000, p2_ms=60_000, p3_ms=60_000))


def runner_of(dispatcher: EventDispatcher, priority: EventPriority = P3) -> ProcessRunner:
    runner = dispatcher.stats.handlers(priority)[0].runner
    assert isinstance(runner, ProcessRunner)
    return runner


async def test_a_process_handler_runs_elsewhere_and_its_results_come_back_in_order() -> None:
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.noisy, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: seen.numbers == [0, 1, 2, 3, 4])
        pids = {event.payload["pid"] for event in seen.seen}
        assert len(pids) == 1
        assert pids == {runner_of(dispatcher).pid}
        assert os.getpid() not in pids
        assert balanced(dispatcher)
    assert runner_of_is_gone(dispatcher)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has a scheduling class for such work")
@pytest.mark.parametrize(("priority", "kind"), [(P1, EventType.PRICE_TICK), (P3, LOG)])
async def test_background_workers_may_be_given_only_idle_time(priority: EventPriority, kind: EventType) -> None:
    async with running(msgspec.structs.replace(PATIENT, worker_nice=7, background_nice=20)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(priority, work.place_in_line, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(kind, {"n": 1})
        await until(lambda: seen.numbers == [1])
        place = (seen.seen[0].payload["policy"], seen.seen[0].payload["nice"])
        nicer = min(os.nice(0) + 7, 19)  # the tests themselves may run with less than the usual share
        assert place == ((os.SCHED_OTHER, nicer) if priority is P1 else (os.SCHED_IDLE, 19))


@pytest.mark.parametrize("error", [PermissionError(), OSError(38, "not implemented")])
def test_where_that_is_not_allowed_the_worker_is_merely_nice(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    steps = list[int]()

    def refuse(*args: object) -> None:
        raise error

    monkeypatch.setattr(os, "nice", steps.append)
    monkeypatch.setattr(os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(os, "sched_param", lambda priority: priority, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    lower_cpu_priority(20)
    assert steps == [19]


async def test_an_event_that_cannot_be_sent_is_its_own_fault_and_leaves_the_worker_alive() -> None:
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.noisy, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.numbers == [1])
        worker = runner_of(dispatcher).pid
        dispatcher.publish(LOG, {"n": object()})
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["dead_lettered"] == 1)
        dispatcher.publish(LOG, {"n": 2})
        await until(lambda: seen.numbers == [1, 2])
        assert runner_of(dispatcher).pid == worker
        assert runner_of(dispatcher).restarts == 0


def runner_of_is_gone(dispatcher: EventDispatcher) -> bool:
    return all(one.runner is None for priority in EventPriority for one in dispatcher.stats.handlers(priority))


async def test_a_handler_class_lives_in_its_process_and_batches_reach_its_batch_method() -> None:
    async with running(PATIENT) as dispatcher:
        counts, sizes = Recorder(), Recorder()
        dispatcher.register_handler(P3, work.Counting, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, counts)
        for n in range(3):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: counts.numbers == [1, 2, 3])
    async with running(PATIENT) as dispatcher:
        dispatcher.register_handler(P3, work.Batching, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, sizes)
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: sum(sizes.numbers) == 5)
        assert sizes.numbers == [1, 4]


async def test_a_handler_that_raises_in_its_process_is_retried_and_dead_lettered_with_its_error() -> None:
    async with running(PATIENT) as dispatcher:
        dispatcher.register_handler(P3, work.failing, lane=Lane.PROCESS)
        dispatcher.publish(LOG, {"n": 8})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        assert dispatcher.dead_letter_queue[0].error == "HandlerFailed: ValueError: no 8"
        assert dispatcher.dead_letter_queue[0].attempts == 4


async def test_a_worker_that_dies_is_restarted_and_the_event_that_kills_it_is_dead_lettered() -> None:
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.dying_on_two, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        for n in range(4):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1, seconds=60)
        await until(lambda: seen.numbers == [0, 1, 3], seconds=60)
        assert "ended while it held an event" in dispatcher.dead_letter_queue[0].error
        assert runner_of(dispatcher).restarts == 4
        assert balanced(dispatcher)


async def test_the_death_of_a_worker_is_noticed_though_something_it_forked_holds_its_connection(
    tmp_path: Path,
) -> None:
    once = tmp_path / "once"
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.dying_beside_a_fork, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(LOG, {"n": 1, "file": str(once)})
        try:
            await until(lambda: seen.numbers == [1])
        finally:
            once.unlink()
        assert runner_of(dispatcher).restarts == 1
        assert len(dispatcher.dead_letter_queue) == 0


async def test_a_fork_of_a_worker_does_not_answer_for_it() -> None:
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.forking, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: len(seen.numbers) >= 5)
        assert seen.numbers == [0, 1, 2, 3, 4]
        assert {event.payload["pid"] for event in seen.seen} == {runner_of(dispatcher).pid}


async def test_a_worker_that_dies_between_two_events_costs_none_of_them_an_attempt() -> None:
    async with running(msgspec.structs.replace(PATIENT, retries=0)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.numbers == [1])
        worker = runner_of(dispatcher)._worker
        assert worker is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        await until(worker.ended.done)
        dispatcher.publish(LOG, {"n": 2})
        await until(lambda: seen.numbers == [1, 2])


PARENT = """
import asyncio, sys
from qts.event.contracts import EventPriority, EventType, Lane
from qts.event.dispatcher import EventDispatcher
from tests.event import work

async def main():
    dispatcher = EventDispatcher()
    dispatcher.register_handler(EventPriority.P3_LOW, work.keeping_the_interpreter, lane=Lane.PROCESS)
    await dispatcher.start()
    dispatcher.publish(EventType.LOG_WRITE, {"file": sys.argv[1]})
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a worker that never releases the interpreter cannot be ended"
)
async def test_a_worker_that_keeps_the_interpreter_does_not_outlive_its_killed_parent(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(told)])
    try:
        await until(told.exists)
    finally:
        parent.kill()
        parent.wait()
    await until(lambda: is_gone(int(told.read_text())))


def test_a_worker_whose_parent_is_gone_already_ends_at_once() -> None:
    ours, child = socket.socketpair()
    with ours, child:
        command = [sys.executable, "-m", "qts.event.worker", str(child.fileno()), str(os.getppid())]
        assert subprocess.run(command, pass_fds=[child.fileno()], check=False).returncode == 1


def test_a_signal_that_comes_while_a_worker_starts_does_not_end_it() -> None:
    # Given a worker that was just started, when every signal comes that its process group may get
    ours, child = socket.socketpair()
    with ours, start_worker_process(child) as process:
        for number in PARENTS_SIGNALS:
            process.send_signal(number)
        # then it greets as if nothing had happened, and ends with the connection
        stream = ours.makefile("rwb")
        write_frame(stream, [f"{work.__name__}:pid_of_worker", 0])
        assert read_frame(stream) == [True, []]
        stream.close()
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(timeout=60) == 0


async def test_what_a_worker_has_started_can_be_ended_by_it() -> None:
    # Given a handler that starts a program and forks, and ends both by SIGTERM
    async with running(PATIENT) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.ending_what_it_started, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.seen)
    # then both have ended by it
    assert seen.seen[0].payload["ended"] == [-signal.SIGTERM, -signal.SIGTERM]


async def test_a_hanging_worker_is_killed_at_its_limit() -> None:
    limits = LaneLimits(p3_ms=700)
    async with running(EventConfig(lane_limits=limits)) as dispatcher:
        dispatcher.register_handler(P3, work.hanging, lane=Lane.PROCESS)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        assert dispatcher.dead_letter_queue[0].error == "LaneTimeout: cut off after 700 ms"
        assert runner_of(dispatcher).pid is None


async def test_the_start_of_a_worker_does_not_count_for_the_limit_of_its_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a process that needs longer to come up than its handler may take: the event is handled all the same."""

    def slow_launch(child: socket.socket) -> subprocess.Popen[bytes]:
        time.sleep(0.75)
        return start_worker_process(child)

    monkeypatch.setattr(process_lane, "start_worker_process", slow_launch)
    async with running(EventConfig(lane_limits=LaneLimits(p3_ms=700))) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
        dispatcher.register_handler(P2, seen)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.numbers == [1])
        assert len(dispatcher.dead_letter_queue) == 0
        assert runner_of(dispatcher).restarts == 0


async def test_a_worker_that_is_never_ready_is_tried_again_and_then_given_up() -> None:
    never = msgspec.structs.replace(PATIENT, worker_start_ms=1)
    async with running(never) as dispatcher:
        dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        (letter,) = dispatcher.dead_letter_queue
        assert (letter.error, letter.attempts) == ("WorkerLate: no worker was ready after 1 ms", 4)


async def test_a_target_that_cannot_be_imported_there_ends_in_a_dead_letter() -> None:
    async with running(PATIENT) as dispatcher:
        dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
        runner_of(dispatcher).target = "no.such.module:x"
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1, seconds=60)
        assert "No module named" in dispatcher.dead_letter_queue[0].error


async def test_stopping_in_the_middle_of_an_exchange_keeps_the_event() -> None:
    dispatcher = EventDispatcher(PATIENT)
    dispatcher.register_handler(P3, work.hanging, lane=Lane.PROCESS)
    await dispatcher.start()
    dispatcher.publish(LOG, {"n": 1})
    await until(lambda: dispatcher.queue_stats()["P3_LOW"]["in_flight"] == 1)
    assert (await dispatcher.stop(timeout_ms=1))["P3_LOW"] == 1
    assert balanced(dispatcher)


async def test_stopping_while_a_process_is_being_started_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    let_go, asked = threading.Event(), threading.Event()

    def slow_launch(child: socket.socket) -> subprocess.Popen[bytes]:
        asked.set()
        let_go.wait()
        started.append(start_worker_process(child))
        return started[0]

    monkeypatch.setattr(process_lane, "start_worker_process", slow_launch)
    dispatcher = EventDispatcher(PATIENT)
    dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
    await dispatcher.start()
    dispatcher.publish(LOG, {"n": 1})
    await until(asked.is_set)
    stopping = asyncio.ensure_future(dispatcher.stop(timeout_ms=1))
    await asyncio.sleep(0.02)
    let_go.set()
    assert (await stopping)["P3_LOW"] == 1
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("what", ["start_worker_process", "connection"])
async def test_a_worker_that_cannot_be_started_ends_in_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def no_connection(sock: socket.socket) -> None:
        raise OSError("no more files")

    def no_process(child: socket.socket) -> None:
        child.close()
        raise OSError("no more processes")

    if what == "start_worker_process":
        monkeypatch.setattr(process_lane, "start_worker_process", no_process)
    else:
        monkeypatch.setattr(process_lane.asyncio, "open_connection", no_connection)
    async with running(PATIENT) as dispatcher:
        dispatcher.register_handler(P3, work.pid_of_worker, lane=Lane.PROCESS)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        assert dispatcher.dead_letter_queue[0].error.startswith("OSError: no more")


@pytest.mark.parametrize("wrap", [lambda f: f, CallbackHandler])
async def test_a_handler_that_takes_too_long_three_times_is_moved_to_a_process(wrap: Any) -> None:
    config = EventConfig(loop_handler_limit_us=10, overruns_before_move=3, lane_limits=LaneLimits(p3_ms=60_000))
    async with running(config) as dispatcher:
        dispatcher.register_handler(P3, wrap(work.slow_on_the_loop))
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["handled"] == 5)
        (moved,) = dispatcher.stats.handlers(P3)
        assert (moved.lane, moved.overruns) == (Lane.PROCESS, 3)
        assert dispatcher.reports.counts == {"overrun": 3, "moved": 1}
        assert runner_of(dispatcher).target == "tests.event.work:slow_on_the_loop"


@pytest.mark.parametrize("priority", [P1, P3])
async def test_a_handler_that_cannot_move_or_serves_p1_stays_and_is_reported(priority: Any) -> None:
    def slow(event: Any) -> None:
        sum(range(30_000))

    kind = {P1: EventType.PRICE_TICK, P3: LOG}[priority]
    async with running(EventConfig(loop_handler_limit_us=10)) as dispatcher:
        dispatcher.register_handler(priority, slow)
        for n in range(4):
            dispatcher.publish(kind, {"n": n})
        await until(lambda: not any(row["size"] for row in dispatcher.queue_stats().values()))
        assert dispatcher.stats.handlers(priority)[0].lane is Lane.LOOP
        assert dispatcher.reports.counts["overrun"] >= 4
        assert dispatcher.reports.counts.get("stays", 0) == (1 if priority is P3 else 0)


async def test_an_async_handler_is_moved_after_the_event_in_work_and_with_those_behind_it() -> None:
    config = EventConfig(loop_handler_limit_us=10, overruns_before_move=1)
    async with running(msgspec.structs.replace(config, lane_limits=PATIENT.lane_limits)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, work.slow_after_waiting)
        dispatcher.register_handler(P2, seen)
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: len(seen.numbers) == 5)
        assert seen.numbers == [0, 1, 2, 3, 4]
        assert [event.payload["pid"] == os.getpid() for event in seen.seen] == [True, False, False, False, False]
        assert balanced(dispatcher)
    assert runner_of_is_gone(dispatcher)


async def test_no_more_handlers_are_moved_than_there_may_be_processes() -> None:
    config = EventConfig(loop_handler_limit_us=10, overruns_before_move=1, max_worker_processes=2)
    async with running(msgspec.structs.replace(config, lane_limits=PATIENT.lane_limits)) as dispatcher:
        dispatcher.register_handler(P2, work.pid_of_worker, lane=Lane.PROCESS)
        for _ in range(3):
            dispatcher.register_handler(P3, work.slow_on_the_loop)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["handled"] == 1)
        assert [one.lane for one in dispatcher.stats.handlers(P3)] == [Lane.PROCESS, Lane.LOOP, Lane.LOOP]
        stays = [report.detail for report in dispatcher.reports if report.kind == "stays"]
        assert stays == ["there are 2 worker processes already (max_worker_processes)"] * 2


async def test_an_object_with_state_is_never_moved() -> None:
    class SlowObject:
        def __call__(self, event: Any) -> None:
            work.slow_on_the_loop(event)

    async with running(EventConfig(loop_handler_limit_us=10, overruns_before_move=1)) as dispatcher:
        dispatcher.register_handler(P3, CallbackHandler(SlowObject(), "object"))
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: "stays" in dispatcher.reports.counts)
        (stays,) = (report for report in dispatcher.reports if report.kind == "stays")
        assert "its state lives here" in stays.detail
        assert dispatcher.stats.handlers(P3)[0].lane is Lane.LOOP


def test_only_what_another_process_can_find_may_be_registered() -> None:
    with pytest.raises(ContractError, match="give a function or class at the top"):
        EventDispatcher().register_handler(P3, work.Counting(), lane=Lane.PROCESS)
