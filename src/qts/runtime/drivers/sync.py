"""Runs a coroutine to completion where no event loop runs: on the virtual clock nothing waits."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from qts.errors import StateError

T = TypeVar("T")


def run_to_completion(step: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result; the virtual clock has no loop to wait on.

    Raises StateError when it suspends, and what it raises itself.
    """
    try:
        step.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    step.close()
    raise StateError(f"{step!r} waited for something on the virtual clock")
