"""Starts and closes the market's day: base prices, counts, metrics, capital."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from qts.clock import from_ns, to_ns
from qts.runtime.checks.risk_monitor import RiskMonitor
from qts.runtime.orders.strategy_watch import StrategyWatch
from qts.runtime.session.capital_transfers import CapitalTransfers
from qts.runtime.session.equity_curve import EquityCurve
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyState


class DayCycle:
    """The work at the start and close of a trading day. Called by the kernel, on the session's thread.

    ``watch`` is over the strategies; None: limits are off. ``collect`` is called after the close, when the garbage
    collector may run.
    """

    def __init__(
        self,
        shared: SharedComponents,
        *,
        monitor: RiskMonitor,
        capital: CapitalTransfers,
        curve: EquityCurve,
        watch: StrategyWatch | None,
        collect: Callable[[], object],
    ) -> None:
        self._shared = shared
        self._monitor = monitor
        self._capital = capital
        self._curve = curve
        self._watch = watch
        self._collect = collect

    def day_start(self, now_ns: int) -> None:
        """Start the day: yesterday's last prices become base prices where the broker has told no other, counts of
        the day are reset.
        """
        p = self._shared
        p.base_prices.update((symbol, price) for symbol, price, _ in p.last.last_prices())
        p.base_prices.update(p.session_infos.bases(p.calendar.local_date(from_ns(now_ns))))
        p.price_bands.start_day()
        p.day.start(p.equity())
        p.extremes.start_day(now_ns)
        p.rejects.new_day()
        if self._watch is not None:
            self._watch.start_day()
        if p.safety.current_state is SafetyState.FAIL:
            p.safety.request_recovery(checks=self._monitor.recovery_checks())

    def day_close(self, now_ns: int) -> None:
        """Close the day: metrics, transfers toward the targets, one sample of the curves.

        Raises HalfDoneError when it fails after half of that.
        """
        with self._shared.record.whole("the day's close"):  # a transfer is whole or not at all
            self._shared.volatility.on_day_close(self._closes(now_ns), now_ns)
            self._shared.metrics.on_day_end(self._shared.equity(), now_ns)
            self._capital.rebalance(now_ns)
            self._curve.sample(now_ns)
        self._monitor.report_doubtful_holdings()
        self._collect()

    def _closes(self, now_ns: int) -> dict[str, Decimal]:
        """Return the last prices of the symbols that had one on the local day of ``now_ns``."""
        calendar = self._shared.calendar
        day_start_ns = to_ns(calendar.at(calendar.local_date(from_ns(now_ns)), 0))
        return {
            symbol: price
            for symbol, price, ts_ns in self._shared.last.last_prices()
            if ts_ns >= day_start_ns and price > 0
        }
