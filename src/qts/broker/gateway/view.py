"""The values that a session shows of its gateway."""

from __future__ import annotations

import msgspec


class LaneView(msgspec.Struct, frozen=True):
    """A lane: requests that wait, that have left, and how long, in s, one that came now would wait for its turn."""

    lane: str
    waiting: int
    sent: int
    delay_s: float


class GatewayView(msgspec.Struct, frozen=True):
    """The gateway: its lanes, requests that wait for an answer, and orders that never left.

    ``too_old``: entries among them that waited too long. ``file_bytes``: the size of its file.
    """

    lanes: tuple[LaneView, ...]
    in_flight: int
    not_sent: int
    too_old: int
    file_bytes: int
