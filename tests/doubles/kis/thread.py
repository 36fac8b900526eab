"""The double on a thread of its own, for tests whose session holds the thread that it runs on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from tests.doubles.kis.double import KisDouble

T = TypeVar("T")
START_S = 20.0


class KisThread:
    """A double that serves on a loop of its own thread; takes what :class:`KisDouble` takes.

    :meth:`do` runs a function with the double on that loop and returns its result; nothing else may touch it.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kis-double", daemon=True)
        self._ended = asyncio.Event()
        self._started = threading.Event()
        self._kis: KisDouble | None = None
        self.rest_url = ""
        self.ws_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_S), "the double did not start"
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def do(self, work: Callable[[KisDouble], T]) -> T:
        """Run a function on the loop of the double, and return what it returns."""

        async def on_the_loop() -> T:
            assert self._kis is not None
            return work(self._kis)

        return asyncio.run_coroutine_threadsafe(on_the_loop(), self._loop).result()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with KisDouble(**self._options) as kis:
            self._kis, self.rest_url, self.ws_url = kis, kis.rest_url, kis.ws_url
            self._started.set()
            await self._ended.wait()
