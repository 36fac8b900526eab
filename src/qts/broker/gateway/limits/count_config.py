"""Settings of the limits that count: messages, repeated orders, executions, losses and stop-outs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta

from qts.broker.gateway.limits.config import LimitsConfig

_HIGHER: Final = {"looser": "higher"}
_LOWER: Final = {"looser": "lower"}
SOFT: Final[frozenset[str]] = frozenset(
    {
        "duplicate_window_ms",
        "repeated_executions",
        "repeated_executions_s",
        "strategy_day_loss",
        "pool_day_loss",
        "stop_outs_per_day",
    }
)
"""Limits that may change while a session runs; the others are hard."""


class CountLimits(LimitsConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of orders, and those that count what was before."""

    messages_per_second: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="orders, replaces and cancels that leave for the broker within any second; exits and "
            "cancels count and always leave",
            extra=_HIGHER,
        ),
    ] = 15
    messages_per_second_kept: Annotated[
        int,
        Meta(
            ge=0,
            le=99_999,
            description="messages of a second that entries leave to exits and cancels (at least half is advised)",
            extra=_LOWER,
        ),
    ] = 8
    messages_per_day: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="orders, replaces and cancels of one market day; exits and cancels count and always leave",
            extra=_HIGHER,
        ),
    ] = 15_000
    messages_per_day_kept: Annotated[
        int,
        Meta(
            ge=0,
            le=99_999_999,
            description="messages of a day that entries leave to exits and cancels",
            extra=_LOWER,
        ),
    ] = 3_000
    asked_per_second: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="orders, targets and cancels that one strategy asks for within any second; with more it is "
            "halted, and safety goes into LOCKDOWN (FS104)",
            extra=_HIGHER,
        ),
    ] = 5_000
    duplicate_window_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=3_600_000,
            description="ms after an order was sent or filled in which its strategy may not enter the same symbol "
            "with the same quantity and price again; 0: it may",
            extra=_LOWER,
        ),
    ] = 500
    repeated_executions: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="filled orders of one strategy, symbol and side within the time below at which the "
            "strategy is stopped until a person releases it",
            extra=_HIGHER,
        ),
    ] = 30
    repeated_executions_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="seconds within which that many filled orders stop a strategy",
            extra=_LOWER,
        ),
    ] = 60
    strategy_day_loss: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share of the day's opening equity that one strategy may lose on a day, realised and open; "
            "then it takes no entry",
            extra=_HIGHER,
        ),
    ] = Decimal("0.05")
    pool_day_loss: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share of the day's opening equity that the strategies of one pool may lose on a day; then "
            "they take no entry",
            extra=_HIGHER,
        ),
    ] = Decimal("0.05")
    stop_outs_per_day: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="positions of one strategy that its stops may close on a day; with the last of them it is "
            "stopped until the next session day or until a person releases it",
            extra=_HIGHER,
        ),
    ] = 5

    @property
    def entries_per_second(self) -> int:
        """Return how many messages of a second let an entry leave."""
        return self.messages_per_second - self.messages_per_second_kept

    @property
    def entries_per_day(self) -> int:
        """Return how many messages of a day let an entry leave."""
        return self.messages_per_day - self.messages_per_day_kept

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (field, message)."""
        return [
            (
                f"{name}_kept",
                f"{name}_kept {kept} must be below {name} {most}, or no entry ever leaves",
            )
            for name in ("messages_per_second", "messages_per_day")
            if (kept := getattr(self, f"{name}_kept")) >= (most := getattr(self, name))
        ]
