"""Runs a function as a step of a task that waits: the one place that uses asyncio's private functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def run_as_step(task: asyncio.Task[Any], function: Callable[[T], Any], value: T) -> Any:
    """Return ``function(value)``, called now as if ``task`` did: ``asyncio.current_task()`` is ``task`` meanwhile.

    So the first step of an async handler costs no switch of tasks, and what it does with its task (a timeout, a
    task group) holds for the task that goes on with it. ``task`` must be pending and belong to the running loop.
    Raises what the function raises, and RuntimeError when a task is being run already. Python has no public way:
    an eager task, from 3.12 on, is a new task for every call.
    """
    loop = task.get_loop()
    asyncio.tasks._enter_task(loop, task)
    try:
        return function(value)
    finally:
        asyncio.tasks._leave_task(loop, task)
