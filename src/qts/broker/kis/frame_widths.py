"""Counts the fields of the first frames that come for a symbol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from qts.broker.kis.control import Registration
from qts.broker.kis.opening import KisParts
from qts.broker.kis.rest import KisRest
from qts.broker.kis.websocket import KisWebsocket
from qts.ids import seeded


class WidthListener:
    """A listener that takes the number of fields of the first record of each of ``names``, ids of frames.

    ``has_all`` is set once each of them has come.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.widths: dict[str, int] = {}
        self.has_all = asyncio.Event()
        self.names = frozenset(names)

    def on_frame(self, text: str, ts_ns: int) -> None:
        """Count the fields of a record of the frame."""
        parts = text.split("|", 3)
        if len(parts) != 4 or parts[1] not in self.names or not parts[2].isdecimal() or not int(parts[2]):
            return
        width, rest = divmod(parts[3].count("^") + 1, int(parts[2]))
        if not rest:
            self.widths.setdefault(parts[1], width)
        if self.widths.keys() >= self.names:
            self.has_all.set()

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        """Do nothing: no notices are registered for."""

    def on_connected(self) -> None:
        """Do nothing."""

    def on_lost(self, reason: str) -> None:
        """Do nothing: the session connects again."""


async def widths_of(
    parts: KisParts, rest: KisRest, symbol: str, listener: WidthListener, tell: Callable[[str], object]
) -> None:
    """Register for the frames that ``listener`` counts, of ``symbol``, and wait until each has come.

    ``tell`` is called with what keeps the websocket from being connected, such as another session of the key.
    """
    websocket = KisWebsocket(
        parts.access.websocket,
        rest.approval_key,
        listener,
        config=parts.config.stream,
        clock=parts.clock,
        pause=parts.pause,
        chance=seeded(0, "kis-probes"),
        tell=tell,
    )
    websocket.want([Registration(name, symbol) for name in sorted(listener.names)])
    running = asyncio.create_task(websocket.run(), name="qts-kis-probes")
    arrived = asyncio.create_task(listener.has_all.wait())
    try:
        done, _ = await asyncio.wait((running, arrived), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises the error that ended it
    finally:
        running.cancel()
        arrived.cancel()
        await asyncio.gather(running, arrived, return_exceptions=True)
