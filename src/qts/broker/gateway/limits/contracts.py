"""The question to the limits, its facts and its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from qts.broker.gateway.limits.config import LimitsConfig
from qts.risk.contracts import OrderRequest


class LimitFacts(Protocol):
    """Facts of the session that the limits ask for. Asked on the session's thread; never waits, never raises."""


class LimitCase(msgspec.Struct, frozen=True, gc=False):
    """One question to the limits: what is to leave, what is known, what is allowed. ``now_ns``: since 1970, UTC."""

    request: OrderRequest
    facts: LimitFacts
    config: LimitsConfig
    now_ns: int


class LimitRefusal(msgspec.Struct, frozen=True):
    """A limit's answer that an order may not leave. ``detail`` names the value and the bound, with their units."""

    limit: str
    detail: str

    @property
    def text(self) -> str:
        """Return it in words, for people."""
        return f"limit {self.limit}: {self.detail}"


LimitRule: TypeAlias = Callable[[LimitCase], LimitRefusal | None]
"""A rule: pure, and None for an order that may leave."""
