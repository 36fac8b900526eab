"""An event loop that can end while a name is looked up: the system's look-up takes long, and cannot be ended."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from qts.threads import start_thread


class ResolvingLoop(asyncio.SelectorEventLoop):
    """A loop that looks names up on threads that nothing waits for; the same name once at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._looked_up: dict[tuple[Any, ...], asyncio.Future[Any]] = {}

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """Return the addresses of a host, of a look-up that goes on already too. Raises OSError."""
        asked = host, port, family, type, proto, flags
        answer = self._looked_up.get(asked)
        if answer is None:
            answer = self.create_future()
            start_thread(lambda: self._look(asked), "qts-resolve")
            self._looked_up[asked] = answer
        return await asyncio.shield(answer)

    def _look(self, asked: tuple[Any, ...]) -> None:
        """Ask the system, and give its answer to those who wait; on a thread of its own."""
        found: Any = None
        failed: OSError | None = None
        try:
            found = socket.getaddrinfo(*asked)
        except OSError as error:
            failed = error
        except UnicodeError as error:
            failed = OSError(f"{asked[0]!r} is no name of a host ({error})")

        def give() -> None:
            """Set the answer, on the loop."""
            answer = self._looked_up.pop(asked)
            if failed is None:
                answer.set_result(found)
            else:
                answer.set_exception(failed)
                answer.exception()  # no complaint where all have given up

        try:
            self.call_soon_threadsafe(give)
        except RuntimeError:  # the loop has ended
            return
