"""The view of the line of a live feed: whether it is up, what it is registered for, what it has lost."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec


class LiveView(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a live feed at one moment. Times are ns since 1970, UTC.

    ``since_ns``: since when it is up or down; 0 before it was up first. ``registered`` and ``left_out`` name what
    comes by itself and what has no place, such as "H0STCNT0 005930"; ``asked``: symbols whose prices are asked for
    in place of that. ``lag_ms``: how long after the exchange's time the newest value came, in ms; None before one.
    ``unknown_layouts``: messages with another number of fields than any that is known, and how many there were.
    """

    name: str
    connected: bool
    since_ns: int
    connections: int
    gaps: int
    registered: tuple[str, ...]
    left_out: tuple[str, ...]
    asked: tuple[str, ...]
    lag_ms: int | None
    unknown_layouts: dict[str, int]


@runtime_checkable
class ShowsLine(Protocol):
    """The part of a live feed that shows its line."""

    def live_view(self) -> LiveView:
        """Return the line as it is. On the loop's thread; never raises."""
        ...
