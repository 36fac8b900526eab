"""Raises at the k-th call of a function of the package on a path: what stands after it is half of an effect."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import qts

PACKAGE = str(Path(qts.__file__).parent)
NEVER = 1 << 30


class FailingPath:
    """A method whose calls are counted into the package, in its ``going``-th call alone; the ``k``-th one raises.

    Coming back to a generator or a coroutine counts like a call, so that it fails in the middle of one too.
    """

    def __init__(self, owner: type, method: str, *, going: int, k: int = NEVER, error: type[BaseException]) -> None:
        self.owner = owner
        self.method = method
        self.going = going
        self.k = k
        self.error = error
        self.goings = 0
        self.calls = 0
        self.failed_in = ""

    @contextmanager
    def laid(self) -> Iterator[FailingPath]:
        original = getattr(self.owner, self.method)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.owner, self.method, self._traced(original))
            yield self

    def _traced(self, original: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def asynchronous(*args: Any, **kwargs: Any) -> Any:
                with self._armed():
                    return await original(*args, **kwargs)

            return asynchronous

        @functools.wraps(original)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with self._armed():
                return original(*args, **kwargs)

        return plain

    @contextmanager
    def _armed(self) -> Iterator[None]:
        self.goings += 1
        if self.goings != self.going:
            yield
            return
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, arg: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self.calls += 1
        if self.calls == self.k:
            self.failed_in = f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_code.co_qualname}"
            raise self.error(f"call {self.k} of {self.owner.__name__}.{self.method}")
