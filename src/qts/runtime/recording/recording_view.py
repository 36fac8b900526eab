"""A view of the recording of market values, for status, metrics and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec


class RecordingView(msgspec.Struct, frozen=True, kw_only=True):
    """A count of what became of the values of a session that are recorded on a server.

    ``state``: "recording", "away" (the server does not answer, and values wait), "failed" (nothing more is
    recorded) or "ended". ``recorded``: values on the server; ``waiting``: values that are not there yet.
    ``dropped`` by symbol: values that were lost because too many waited. ``refused``: values that the server cannot
    hold; ``bars``: bars, which are not recorded because they are made of values. ``restarts``: new processes for
    one that died. ``why``: why it is not recording, or why the first value was refused; "" for neither.
    """

    state: Literal["recording", "away", "failed", "ended"]
    recorded: int
    waiting: int
    dropped: Mapping[str, int]
    refused: int
    bars: int
    restarts: int
    why: str
