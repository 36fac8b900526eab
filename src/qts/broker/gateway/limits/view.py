"""The values that a session shows of its limits."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class LimitsView(msgspec.Struct, frozen=True):
    """The limits of orders: how many orders each has refused, and the last refusal in words, "" for none.

    ``exits_beyond``: exits that left although they were larger than an entry may be. ``without_volume``: entries
    that were judged without an average volume, which is not known of their symbol. ``session_info``: whether the
    broker tells what may be entered today.
    """

    refused: dict[str, int]
    last: str
    exits_beyond: int = 0
    without_volume: int = 0
    session_info: bool = False


class LimitCountView(msgspec.Struct, frozen=True):
    """A limit that counts: what stands, and the bound, in the unit of its setting; of losses in money.

    ``of``: the strategy or the pool; "" for the account. ``value`` None: not known, so no entry leaves.
    """

    limit: str
    of: str
    value: Decimal | None
    bound: Decimal
