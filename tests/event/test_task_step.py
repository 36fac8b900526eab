"""A function run as a step of a waiting task, on every event loop there is: it finds itself in that task."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from qts.event.task_step import run_as_step

LOOPS = ["asyncio"] + ["uvloop"] * (importlib.util.find_spec("uvloop") is not None)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Calls a function on a loop of each kind, outside of any task, with one waiting task beside it."""

    def run_on_loop(check: Callable[[], Awaitable[Any]]) -> Any:
        factory = None if request.param == "asyncio" else importlib.import_module(request.param).new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(check())

    return run_on_loop


async def outside_of_tasks(call: Callable[[], Any]) -> Any:
    """What ``call`` gives as a callback of the loop."""
    future = asyncio.get_running_loop().create_future()

    def come() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised again where it is awaited
            future.set_exception(error)

    asyncio.get_running_loop().call_soon(come)
    return await future


def waiting_task() -> asyncio.Task[Any]:
    return asyncio.ensure_future(asyncio.sleep(3600))


def test_the_function_runs_in_the_task_and_afterwards_no_task_is_current(run: Any) -> None:
    async def check() -> None:
        task = waiting_task()

        def look() -> tuple[Any, Any, Any]:
            before = asyncio.current_task()
            return (
                before,
                run_as_step(task, lambda value: (value, asyncio.current_task()), 7),
                asyncio.current_task(),
            )

        assert await outside_of_tasks(look) == (None, (7, task), None)
        assert not task.done()

    run(check)


def test_what_it_raises_goes_on_and_the_task_is_left(run: Any) -> None:
    async def check() -> None:
        task = waiting_task()

        def fail(value: object) -> None:
            raise ValueError(value)

        with pytest.raises(ValueError, match="this"):
            await outside_of_tasks(lambda: run_as_step(task, fail, "this"))
        assert await outside_of_tasks(asyncio.current_task) is None
        assert not task.done()

    run(check)


def test_a_task_it_cancels_is_the_one_it_runs_in(run: Any) -> None:
    async def check() -> None:
        task = waiting_task()
        await outside_of_tasks(lambda: run_as_step(task, lambda value: asyncio.current_task().cancel(), None))  # type: ignore[union-attr]
        assert task.cancelling() == 1
        with pytest.raises(asyncio.CancelledError):
            await task

    run(check)


def test_a_step_begun_here_and_gone_on_with_there_has_one_task_and_one_timeout(run: Any) -> None:
    """Given a timeout that begins in the first step, when the task goes on with the rest, then it is cut off."""

    async def check() -> None:
        seen = []
        limits: list[asyncio.Timeout] = []

        async def work() -> str:
            try:
                async with asyncio.timeout(3600) as limit:
                    limits.append(limit)
                    seen.append(asyncio.current_task())
                    await asyncio.sleep(3600)
            except TimeoutError:
                seen.append(asyncio.current_task())
                return "cut off"
            return "never"

        mail: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def go_on() -> str:
            coroutine, awaited = await mail
            return await Rest(coroutine, awaited)

        task = asyncio.ensure_future(go_on())
        await asyncio.sleep(0)
        coroutine = work()
        awaited = await outside_of_tasks(lambda: run_as_step(task, coroutine.send, None))
        mail.set_result((coroutine, awaited))
        await asyncio.sleep(0)
        limits[0].reschedule(asyncio.get_running_loop().time())

        assert await task == "cut off"
        assert seen == [task, task]

    run(check)


class Rest:
    """The rest of a coroutine of which one step has been run."""

    def __init__(self, coroutine: Any, awaited: Any) -> None:
        self.coroutine = coroutine
        self.awaited = awaited

    def __await__(self) -> Any:
        awaited = self.awaited
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - it belongs to the coroutine
                step, value = self.coroutine.throw, error
            else:
                step, value = self.coroutine.send, sent
            try:
                awaited = step(value)
            except StopIteration as finished:
                return finished.value


def test_within_a_task_it_is_refused(run: Any) -> None:
    async def check() -> None:
        task = waiting_task()
        with pytest.raises(RuntimeError, match="while another task"):
            run_as_step(task, lambda value: None, None)

    run(check)
