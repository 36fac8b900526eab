"""The average volume that an order is measured by."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from qts.broker.gateway.limits.contracts import VOLUME_DAYS
from qts.clock import NS_PER_S
from qts.market.contracts import Bar
from qts.money import exact_quotient, sum_of

_OLD_NS: Final = 14 * 24 * 3_600 * NS_PER_S
"""An average whose last day is older is not one of today; the longest holidays are shorter."""


def average_volume(bars: Sequence[Bar], now_ns: int) -> Decimal | None:
    """Return the average volume of the last :data:`VOLUME_DAYS` daily bars, oldest first.

    None where there are fewer, or the last is old at ``now_ns`` (since 1970, UTC).
    """
    if len(bars) < VOLUME_DAYS or now_ns - bars[-1].ts_ns > _OLD_NS:
        return None
    return exact_quotient(sum_of(bar.volume for bar in bars), Decimal(VOLUME_DAYS))
