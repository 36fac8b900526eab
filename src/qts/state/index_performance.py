"""The performance of an index, day by day, as the metrics that the governor is judged on.

The convention: consecutive down days stand for scalp losses and consecutive up days for profitable days; drawdown
is measured from the running peak; growth over 252 and 126 days; the win rate is the share of up moves in the last
30. What is not known yet is None.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from qts.state.contracts import TransitionMetrics

TARGET_CAGR: Final = 0.10
"""Growth a year, as a fraction, that the governor compares with."""
CAGR_DAYS: Final = 252
GROWTH_DAYS: Final = 126
WIN_RATE_MOVES: Final = 30


class IndexPerformance:
    """A series of daily closes that yields metrics. ``target_cagr`` is a fraction a year."""

    def __init__(self, target_cagr: float = TARGET_CAGR) -> None:
        self._target = target_cagr
        self._closes: deque[float] = deque(maxlen=CAGR_DAYS + 1)
        self._ups: deque[bool] = deque(maxlen=WIN_RATE_MOVES)
        self._peak = 0.0
        self._ups_in_row = self._downs_in_row = 0
        self._change: float | None = None

    def add(self, close: float) -> None:
        """Add the close of the next day; it must be above 0."""
        change = close / self._closes[-1] - 1 if self._closes else None
        if change is not None:
            self._ups.append(change > 0)
            self._ups_in_row = self._ups_in_row + 1 if change > 0 else 0
            self._downs_in_row = self._downs_in_row + 1 if change < 0 else 0
        self._change = change
        self._closes.append(close)
        self._peak = max(self._peak, close)

    def metrics(self, vix: float | None) -> TransitionMetrics:
        """Return the metrics after the newest close. Call :meth:`add` at least once before.

        ``vix`` is in index points, None when unknown. A metric that needs more closes is None.
        """
        return TransitionMetrics(
            drawdown_pct=1 - self._closes[-1] / self._peak,
            vix=vix,
            consecutive_scalp_losses=self._downs_in_row,
            daily_loss_pct=None if self._change is None else max(0.0, -self._change),
            market_circuit_breaker=False,
            consecutive_profitable_days=self._ups_in_row,
            cagr=self._growth(CAGR_DAYS),
            target_cagr=self._target,
            capital_growth_pct=self._growth(GROWTH_DAYS),
            win_rate_30d=sum(self._ups) / WIN_RATE_MOVES if len(self._ups) == WIN_RATE_MOVES else None,
        )

    def export_state(self) -> dict[str, Any]:
        """Return everything that must survive a restart, as plain values."""
        return {
            "closes": list(self._closes),
            "ups": list(self._ups),
            "peak": self._peak,
            "in_row": [self._ups_in_row, self._downs_in_row],
            "change": self._change,
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._closes = deque(saved["closes"], maxlen=CAGR_DAYS + 1)
        self._ups = deque(saved["ups"], maxlen=WIN_RATE_MOVES)
        self._peak = saved["peak"]
        self._ups_in_row, self._downs_in_row = saved["in_row"]
        self._change = saved["change"]

    def _growth(self, days: int) -> float | None:
        return self._closes[-1] / self._closes[-1 - days] - 1 if len(self._closes) > days else None
