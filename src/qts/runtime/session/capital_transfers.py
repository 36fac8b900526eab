"""Moves cash between the pools toward their targets, once a day."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from qts.capital.config import CapitalConfig
from qts.capital.contracts import Pool, Transfer
from qts.capital.rebalance import moves_to_targets
from qts.capital.targets import drift, targets_for_state
from qts.clock import from_ns
from qts.ids import IdSource
from qts.ledger.contracts import TransferOutcome
from qts.money import plus
from qts.runtime.shared_components import SharedComponents
from qts.state.contracts import OperatingState, StateProperties


class CapitalTransfers:
    """The transfers of cash between the pools toward their targets. Amounts in the account's currency."""

    def __init__(
        self, shared: SharedComponents, *, transfer_ids: IdSource, log: Callable[[str, str], None]
    ) -> None:
        self._shared = shared
        self._transfer_ids = transfer_ids
        self._log = log
        self._rebalancing = False
        self._month = ""
        self._config = shared.config
        self._settings: CapitalConfig | None = None
        self._targets: dict[OperatingState, dict[Pool, Decimal]] = {}

    @property
    def targets(self) -> dict[Pool, Decimal]:
        """Return the target share of each pool in the present operating state, 0..1."""
        self._forget_old_settings()
        state = self._shared.state.current_state
        targets = self._targets.get(state)
        if targets is None:
            targets = self._targets[state] = pool_targets(self._config.capital, self._rules)
        return dict(targets)

    def on_state_changed(self) -> None:
        """Start moving cash toward the targets of the new state, from the next close on."""
        self._rebalancing = True

    def rebalance(self, now_ns: int) -> None:
        """Move cash toward the targets after a state change, monthly, or on drift; at most 5 % of equity a day.

        Never where the operating state rules nothing; then the pools are not valued for it either.
        """
        p = self._shared
        if not p.config.state.enabled:
            return
        targets = self.targets
        pools = p.account.pools(p.last.mark, targets)
        day = p.calendar.local_date(from_ns(now_ns))
        month = f"{day.year:04}-{day.month:02}"
        self._rebalancing |= month != self._month or drift(pools) > self._capital.drift_limit
        self._month = month
        if not self._rebalancing or not self._rules.rebalancing_enabled or not p.safety.is_trading_allowed:
            return
        plan = moves_to_targets(pools, targets, p.equity(), p.day.moved, self._capital, quantum=p.account.quantum)
        for move in plan.moves:
            reason = f"{move.code} {move.reason}" if move.code else move.reason
            self._transfer(move.source, move.target, move.amount, reason, now_ns)
        for waiting in plan.waiting:
            self._log("INFO", f"{waiting.code} {waiting.reason}")
        self._rebalancing = bool(plan.moves)  # continues tomorrow until nothing is left to move

    def export_state(self) -> dict[str, Any]:
        """Return whether cash still has to move, and the month of the last check."""
        return {"rebalancing": self._rebalancing, "month": self._month}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._rebalancing, self._month = saved["rebalancing"], saved["month"]

    @property
    def _rules(self) -> StateProperties:
        return self._shared.config.state.table[self._shared.state.current_state]

    @property
    def _capital(self) -> CapitalConfig:
        """Return the settings; minimum amounts are in won, so an account in another currency uses shares alone."""
        self._forget_old_settings()
        if self._settings is None:
            capital, currency = self._config.capital, self._config.runtime.currency
            self._settings = capital if currency == "KRW" else capital.without_amounts()
        return self._settings

    def _forget_old_settings(self) -> None:
        """Forget what was made of a configuration that another has replaced."""
        if self._config is not self._shared.config:
            self._config, self._settings = self._shared.config, None
            self._targets.clear()

    def _transfer(self, source: Pool, target: Pool, amount: Decimal, reason: str, now_ns: int) -> None:
        p = self._shared
        transfer = Transfer(
            transfer_id=self._transfer_ids.next_id(),
            ts_ns=now_ns,
            source=source,
            target=target,
            amount=amount,
            rule="to_targets",
            reason=reason,
        )
        if p.account.transfer(transfer) is not TransferOutcome.APPLIED:
            return
        p.day.moved = plus(p.day.moved, amount)
        p.record.write_later(transfer)
        for row in p.account.pool_rows():
            p.record.write_later(row)
        self._log("INFO", f"{amount} moved from {source.value} to {target.value}: {reason}")


def pool_targets(config: CapitalConfig, rules: StateProperties) -> dict[Pool, Decimal]:
    """Return the midpoints of the state's ranges, normalised to 1; where there is one pool it has everything."""
    if config.pools == "one":
        return {pool: Decimal(int(pool is config.paying_pool(pool))) for pool in Pool}
    ranges = rules.allocation_ranges()
    return targets_for_state(*(ranges[pool.value] for pool in (Pool.SCALP, Pool.SWING, Pool.PORTFOLIO)))
