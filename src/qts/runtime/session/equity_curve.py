"""Takes points of the equity curve."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.db.contracts import EquityRow
from qts.runtime.shared_components import SharedComponents


class EquityCurve:
    """Writes one row for each sample: equity, cash, pools and both states, in the account's currency."""

    def __init__(self, shared: SharedComponents) -> None:
        self._shared = shared

    def sample(self, now_ns: int) -> None:
        """Take one point of the curves."""
        p = self._shared
        pools = p.account.pools(p.last.mark, {})
        p.record.write_later(
            EquityRow(
                ts_ns=now_ns,
                equity=p.equity(),
                cash=p.account.cash,
                scalp=pools[Pool.SCALP].total,
                swing=pools[Pool.SWING].total,
                portfolio=pools[Pool.PORTFOLIO].total,
                state=p.state.current_state.value,
                safety=p.safety.current_state.value,
            )
        )
