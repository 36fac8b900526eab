"""Samples the equity curve."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.db.contracts import EquityRow
from qts.runtime.shared_components import SharedComponents


class EquityCurve:
    """The equity curve: a stored row per sample, with equity, cash, pools and both states.

    Amounts are in the account's currency.
    """

    def __init__(self, shared: SharedComponents) -> None:
        self._shared = shared

    def sample(self, now_ns: int) -> None:
        """Store one sample at ``now_ns``."""
        p = self._shared
        totals = p.worth.pool_totals()
        p.record.write_later(
            EquityRow(
                ts_ns=now_ns,
                equity=p.equity(),
                cash=p.account.cash,
                scalp=totals[Pool.SCALP],
                swing=totals[Pool.SWING],
                portfolio=totals[Pool.PORTFOLIO],
                state=p.state.current_state.value,
                safety=p.safety.current_state.value,
            )
        )
