"""Settings of the cache, file ``config/cache.yaml``.

None of them changes a result, so none is part of the run id: a run may be resumed with other ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}


def _ms(of: str, least: int = 1) -> Any:
    return Meta(
        ge=least,
        le=3_600_000,
        description=f"lifetime, in ms, of {of}; an older one is refused by its readers",
        extra=_DISPLAY,
    )


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the cache; without ``--cache`` none of them does anything."""

    prefix: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_.-]{1,40}$",
            description="what all keys begin with, so that several installations can share a server · letters, "
            "digits and _.-",
            extra=_DISPLAY,
        ),
    ] = "qts"
    price_ms: Annotated[int, _ms("a price")] = 100
    position_ms: Annotated[int, _ms("a position")] = 1_000
    book_ms: Annotated[int, _ms("an order book")] = 50
    risk_ms: Annotated[int, _ms("the account's risk")] = 5_000
    order_ms: Annotated[int, _ms("an order")] = 60_000
    strategy_ms: Annotated[int, _ms("the parameters of a strategy")] = 60_000
    view_ms: Annotated[int, _ms("the view of a session")] = 5_000
    book_levels: Annotated[
        int, Meta(ge=1, le=100, description="levels of each side of an order book that are written", extra=_DISPLAY)
    ] = 10
    clock_skew_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="how far, in ms, the clocks of two machines may be apart: a value from further in the "
            "future is refused, and one that is so much too old is not",
            extra=_DISPLAY,
        ),
    ] = 100
    queue: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="values that wait to be written, the newest of each key; above it the oldest is dropped "
            "and counted",
            extra=_DISPLAY,
        ),
    ] = 10_000
    breaker_failures: Annotated[
        int,
        Meta(ge=1, le=1_000, description="failures in a row behind which the cache is left alone", extra=_DISPLAY),
    ] = 5
    breaker_pause_s: Annotated[
        float,
        Meta(gt=0, le=3_600, description="how long, in seconds, it is left alone then", extra=_DISPLAY),
    ] = 60.0

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message): none."""
        return []
