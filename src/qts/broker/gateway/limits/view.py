"""The values that a session shows of its limits."""

from __future__ import annotations

import msgspec


class LimitsView(msgspec.Struct, frozen=True):
    """The limits of orders: how many orders each has refused, and the last refusal in words, "" for none."""

    refused: dict[str, int]
    last: str
