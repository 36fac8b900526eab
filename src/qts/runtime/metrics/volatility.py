"""Sources of the volatility on which the operating state is judged: a volatility index that the feed declares, or
the volatility of the prices themselves, or none.

When a feed declares an index and sends nothing, the volatility is unknown: no rule treats that as calm. Without an
index the volatility of the symbols' own closes is measured (``realised_20d``). Until enough closes are known the
rules get :data:`NOT_MEASURED`, with which DEFENSIVE can end and AGGRESSIVE is not reached.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from statistics import fmean, median
from typing import Any, Final, Literal, Protocol

import msgspec

from qts.clock import NS_PER_S
from qts.market.actions import Split
from qts.market.contracts import VolatilityLevel
from qts.runtime.metrics.deviation import sample_deviation
from qts.runtime.metrics.freshness import freshness_ends_ns, is_fresh

VIX_MAX_AGE_NS: Final = 30 * 3600 * NS_PER_S
"""A volatility older than this is unknown."""
NOT_MEASURED: Final = 17.5
"""The value used while nothing is measured: below the 20 that DEFENSIVE waits for, above the 15 of AGGRESSIVE."""
MEDIAN_LEVEL: Final = 17.0
"""The scale of ``realised_20d``: its value when the volatility equals its own median."""
RETURN_DAYS: Final = 20
MEDIAN_DAYS: Final = 250
MIN_MEDIAN_DAYS: Final = 60
CLOSES_NEEDED: Final = 1 + RETURN_DAYS + MIN_MEDIAN_DAYS
"""Number of closes that ``realised_20d`` needs: a first price, 20 returns, 60 further days."""

SourceName = Literal["feed", "realised_20d", "none"]


class VolatilityReading(msgspec.Struct, frozen=True):
    """The volatility that the rules get at one moment.

    ``value``: points on the scale of the VIX; None when the source has sent nothing recent. ``source`` "none":
    ``value`` is :data:`NOT_MEASURED` and nothing was measured. ``realised_20d`` is scaled to the usual level of the
    VIX; it is not the VIX.
    """

    value: float | None
    source: SourceName

    @property
    def measured(self) -> bool:
        """Return whether the value is known and was measured."""
        return self.source != "none" and self.value is not None


class VolatilitySource(Protocol):
    """A source of the present volatility.

    Every method is called by the session on its thread, must not wait, and ends the session when it raises. Times
    are ns of the session's clock.
    """

    def on_level(self, value: VolatilityLevel) -> None:
        """Accept the newest level of a volatility index, in points. Called by the handler of market values."""
        ...

    def on_day_close(self, closes: Mapping[str, Decimal], now_ns: int) -> None:
        """Accept the closes of the symbols that had a price today, in their currencies, known at ``now_ns``.

        Called once for each trading day, at its close.
        """
        ...

    def on_split(self, split: Split) -> None:
        """Convert the closes of a symbol whose shares are split today, before its first price."""
        ...

    def reading(self, now_ns: int) -> VolatilityReading:
        """Return the volatility that the rules get at ``now_ns``."""
        ...

    def steady_until_ns(self, now_ns: int) -> int:
        """Return the moment before which time alone does not change the reading of ``now_ns``."""
        ...

    def export_state(self) -> dict[str, Any]:
        """Return the state as plain values for a checkpoint."""
        ...

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`, before any other call."""
        ...


class DeclaredVolatility:
    """The volatility index that the feed declares: its newest level, None when none came within 30 hours."""

    def __init__(self) -> None:
        self._level: float | None = None
        self._ts_ns = 0

    def on_level(self, value: VolatilityLevel) -> None:
        self._level, self._ts_ns = value.level, value.ts_ns

    def on_day_close(self, closes: Mapping[str, Decimal], now_ns: int) -> None:
        """Ignore the closes: the index alone counts."""

    def on_split(self, split: Split) -> None:
        """Ignore the split: the index alone counts."""

    def reading(self, now_ns: int) -> VolatilityReading:
        return VolatilityReading(self._level if is_fresh(self._ts_ns, now_ns, VIX_MAX_AGE_NS) else None, "feed")

    def steady_until_ns(self, now_ns: int) -> int:
        return freshness_ends_ns(self._ts_ns, now_ns, VIX_MAX_AGE_NS)

    def export_state(self) -> dict[str, Any]:
        return {"level": self._level, "ts_ns": self._ts_ns}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        self._level, self._ts_ns = saved["level"], saved["ts_ns"]


class RealisedVolatility:
    """The measured volatility: 17 × the 20-day volatility of the equal-weight universe ÷ its median over 250 days.

    The median is of the 250 days before. A day's return is the mean over the symbols with a close on that day and
    on the day before. With fewer than 60 days, or a median of 0, it is not measured. Once measured, it is unknown
    when the newest close is over 30 hours old.
    """

    def __init__(self) -> None:
        self._closes: dict[str, Decimal] = {}
        self._floats: dict[str, float] = {}
        self._returns: deque[float] = deque(maxlen=RETURN_DAYS)
        self._volatilities: deque[float] = deque(maxlen=MEDIAN_DAYS)
        self._value: float | None = None
        self._ts_ns = 0

    def on_level(self, value: VolatilityLevel) -> None:
        """Ignore the level: the feed has not declared that it sends one."""

    def on_day_close(self, closes: Mapping[str, Decimal], now_ns: int) -> None:
        if not closes:
            return
        before, self._closes = self._floats, dict(closes)
        self._floats = {symbol: float(close) for symbol, close in closes.items()}
        self._ts_ns = now_ns
        moves = [close / before[symbol] - 1 for symbol, close in self._floats.items() if symbol in before]
        if not moves:
            return
        self._returns.append(fmean(moves))
        if len(self._returns) == RETURN_DAYS:
            self._measure(sample_deviation(self._returns))

    def on_split(self, split: Split) -> None:
        close = self._closes.get(split.symbol)
        if close is not None:
            self._closes[split.symbol] = close = split.price(close)
            self._floats[split.symbol] = float(close)

    def _measure(self, volatility: float) -> None:
        usual = median(self._volatilities) if len(self._volatilities) >= MIN_MEDIAN_DAYS else 0.0
        value = MEDIAN_LEVEL * volatility / usual if usual > 0 else math.nan
        self._value = value if math.isfinite(value) else None
        self._volatilities.append(volatility)

    def reading(self, now_ns: int) -> VolatilityReading:
        if self._value is None:
            return VolatilityReading(NOT_MEASURED, "none")
        fresh = is_fresh(self._ts_ns, now_ns, VIX_MAX_AGE_NS)
        return VolatilityReading(self._value if fresh else None, "realised_20d")

    def steady_until_ns(self, now_ns: int) -> int:
        return freshness_ends_ns(self._ts_ns, now_ns, VIX_MAX_AGE_NS)

    def export_state(self) -> dict[str, Any]:
        return {
            "closes": {symbol: str(close) for symbol, close in self._closes.items()},
            "returns": list(self._returns),
            "volatilities": list(self._volatilities),
            "value": self._value,
            "ts_ns": self._ts_ns,
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        self._closes = {symbol: Decimal(close) for symbol, close in saved["closes"].items()}
        self._floats = {symbol: float(close) for symbol, close in self._closes.items()}
        self._returns = deque(saved["returns"], maxlen=RETURN_DAYS)
        self._volatilities = deque(saved["volatilities"], maxlen=MEDIAN_DAYS)
        self._value, self._ts_ns = saved["value"], saved["ts_ns"]


def volatility_source(*, declared: bool) -> VolatilitySource:
    """Return the source of a session whose feed declares a volatility index, or does not."""
    return DeclaredVolatility() if declared else RealisedVolatility()
