"""Raises at the k-th call of a function of the package on a path: what should have followed is missing."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import qts
from qts.pipeline.act import Act

PACKAGE = str(Path(qts.__file__).parent)
NEVER = 1 << 30


class _Steps:
    """Awaits a coroutine; its steps run within ``around()``, and what the loop does between them does not."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], around: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._coroutine = coroutine
        self._around = around

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                with self._around():
                    waited = self._coroutine.send(value) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as ended:
                return ended.value
            value, thrown = None, None
            try:
                value = yield waited
            except BaseException as error:  # noqa: BLE001 - a cancel, too, is the affair of the coroutine
                thrown = error


class FailingPath:
    """A method whose calls are counted into the package, in its ``going``-th call alone; the ``k``-th one raises.

    Coming back to a generator or a coroutine counts like a call, so that it fails in the middle of one too. What
    ``Act._submit`` calls does not count: whatever is raised between sending an order and its answer is no failure
    but an order whose fate is unknown.
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
                self.goings += 1
                going = original(*args, **kwargs)
                return await (_Steps(going, self._tracing) if self.goings == self.going else going)

            return asynchronous

        @functools.wraps(original)
        def plain(*args: Any, **kwargs: Any) -> Any:
            self.goings += 1
            with self._tracing() if self.goings == self.going else nullcontext():
                return original(*args, **kwargs)

        return plain

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, arg: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        if any(outer.f_code is Act._submit.__code__ for outer in _outward(frame.f_back)):
            return
        self.calls += 1
        if self.calls == self.k:
            self.failed_in = f"{frame.f_code.co_filename[len(PACKAGE) + 1 :]}:{frame.f_code.co_qualname}"
            raise self.error(f"call {self.k} of {self.owner.__name__}.{self.method}")


def _outward(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
