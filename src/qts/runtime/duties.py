"""What the runtime does by the clock and by rule, beside trading: judge the states, watch the limits, keep the
day, move capital between the pools. Each duty is one handler call, so it sees one moment."""

from __future__ import annotations

import gc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from qts.capital.config import CapitalConfig
from qts.capital.contracts import Pool, Transfer
from qts.capital.rebalance import moves_to_targets
from qts.capital.targets import drift, targets_for_state
from qts.clock import from_ns, to_ns
from qts.db.contracts import EquityRow
from qts.ids import IdSource
from qts.ledger.contracts import TransferOutcome
from qts.money import plus
from qts.risk.rules import engine_active
from qts.runtime.exits import ForcedExits
from qts.runtime.parts import Parts
from qts.runtime.state_basis import waiting_for_prices
from qts.runtime.strategy_host import StrategyHost
from qts.safety.contracts import SafetyState
from qts.safety.guards import AccountHealth, GuardLimits, account_guards
from qts.state.contracts import OperatingState, StateProperties

Log = Callable[[str, str], None]


class Duties:
    """The runtime's own chores. Amounts in the account's currency."""

    def __init__(
        self,
        parts: Parts,
        *,
        exits: ForcedExits,
        host: StrategyHost,
        transfer_ids: IdSource,
        on_code: Callable[[str, str], None],
        books_agree: Callable[[int], bool | None],
        log: Log,
    ) -> None:
        self._p = parts
        self._exits = exits
        self._host = host
        self._transfer_ids = transfer_ids
        self._on_code = on_code
        self._books_agree = books_agree
        self._log = log
        self._calm_since = -1
        self._rebalancing = False
        self._month = ""
        self._waits = ""

    @property
    def rules(self) -> StateProperties:
        """What the present operating state allows."""
        return self._p.config.state.table[self._p.state.current_state]

    @property
    def targets(self) -> dict[Pool, Decimal]:
        """The pools' target shares in the present operating state."""
        return pool_targets(self.rules)

    @property
    def _capital(self) -> CapitalConfig:
        """Minimum amounts of the pools are won; an account in another currency goes by shares alone."""
        config = self._p.config
        return config.capital if config.runtime.currency == "KRW" else config.capital.without_amounts()

    def evaluate_state(self, now_ns: int) -> None:
        """The hourly look at the operating state."""
        p = self._p
        p.safety.tick()
        metrics = p.metrics.metrics(now_ns)
        if p.config.state.enabled:
            p.state.evaluate_transition(metrics, p.safety.current_state)
        day, volatility = p.calendar.local_date(from_ns(now_ns)), p.volatility.reading(now_ns)
        may_enter = self.rules.new_entry_enabled and p.safety.is_trading_allowed
        p.basis.on_evaluation(day, metrics, volatility, may_enter=may_enter)
        waits = self.waits_for()
        if waits and not self._waits:  # once for as long as it is so
            self._log("WARNING", f"DEFENSIVE goes on: {waits}")
        self._waits = waits

    @property
    def waited_for(self) -> str:
        """Return why DEFENSIVE waited for prices at the last evaluation; "" when it did not. Moves nothing."""
        return self._waits

    def waits_for(self) -> str:
        """Return why DEFENSIVE waits for the prices of what is held; "" when it does not."""
        p = self._p
        if not p.config.state.enabled or p.state.current_state is not OperatingState.DEFENSIVE:
            return ""
        metrics = p.metrics.metrics(p.clock.time_ns())
        return waiting_for_prices(metrics, p.account.positions(), p.config.state.defensive_to_balanced.drawdown_pct)

    def on_state_changed(self, now_ns: int) -> None:
        """Exits first: whoever's engine sleeps now may not keep a position (spec 02, order of work)."""
        self._rebalancing = True
        for seat in self._host.seats:
            strategy = seat.strategy
            if not engine_active(strategy.pool, self.rules):
                reason = f"the {strategy.pool.value} engine sleeps in {self._p.state.current_state.value}"
                self.want_out(strategy.name, reason, now_ns)

    def want_out(self, strategy: str, reason: str, now_ns: int, *, ordered: bool = False) -> None:
        """Ask for everything a strategy holds or is buying to go; ``ordered``: an operator wants it, not a rule."""
        held = {row.symbol for row in self._p.account.position_rows() if row.strategy == strategy and row.qty > 0}
        bought = {order.symbol for order in self._p.orders if order.strategy == strategy}
        for symbol in sorted(held | bought):
            self._exits.want(strategy, symbol, reason, now_ns, ordered=ordered)

    def want_all_out(self, reason: str, now_ns: int, *, ordered: bool = False) -> None:
        """Ask for the whole account to go flat."""
        for seat in self._host.seats:
            self.want_out(seat.strategy.name, reason, now_ns, ordered=ordered)

    def guard(self, now_ns: int) -> None:
        """Look at the account's limits; a touched one is told to safety (spec 02)."""
        self._p.safety.tick()
        book = self._p.record.book_revision
        if book == self._calm_since and not self._p.account.positions():
            return  # flat, looked at since the last fill: no price can change anything
        self._calm_since = book
        self._judge()

    def judge_what_moved(self) -> None:
        """Judge what values and fills did since the last look, before a period closes over it; else do nothing."""
        if self._p.extremes.moved:
            self._judge()

    def sample(self, now_ns: int) -> None:
        """One point of the curves."""
        p = self._p
        pools = p.account.pools(p.last.mark, self.targets)
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

    def day_start(self, now_ns: int) -> None:
        """Yesterday's last prices become the base of today's bands; counts begin again."""
        p = self._p
        for symbol in p.last.symbols():
            price = p.last.last_trade(symbol) or p.last.mark(symbol)
            if price is not None:
                p.base_prices[symbol] = price
        p.price_bands.start_day()
        p.day.roll(p.equity())
        p.extremes.start_day(now_ns)
        p.rejects.new_day()
        if p.safety.current_state is SafetyState.FAIL:
            p.safety.request_recovery(checks=self.recovery_checks())

    def day_close(self, now_ns: int) -> None:
        """Close the day: metrics, capital toward its targets, one sample, garbage in this quiet moment."""
        with self._p.record.whole("the day's close"):  # a transfer is whole or not at all
            self._p.volatility.on_day_close(self._closes(now_ns), now_ns)
            self._p.metrics.on_day_end(self._p.equity(), now_ns)
            self._rebalance(now_ns)
            self.sample(now_ns)
        self._remind_of_doubts()
        gc.collect(1)

    def export_state(self) -> dict[str, Any]:
        return {"rebalancing": self._rebalancing, "month": self._month, "waits": self._waits}

    def import_state(self, saved: dict[str, Any]) -> None:
        self._rebalancing, self._month, self._waits = saved["rebalancing"], saved["month"], saved["waits"]

    def _closes(self, now_ns: int) -> dict[str, Decimal]:
        """The last prices of the symbols that had one on the local day of ``now_ns``."""
        last, calendar = self._p.last, self._p.calendar
        day_start_ns = to_ns(calendar.at(calendar.local_date(from_ns(now_ns)), 0))
        closes = {}
        for symbol in last.symbols():
            price = last.last_trade(symbol) or last.mark(symbol)
            if price is not None and price > 0 and last.told_ns(symbol) >= day_start_ns:
                closes[symbol] = price
        return closes

    def _rebalance(self, now_ns: int) -> None:
        """Move cash toward the targets: on a changed state, monthly, or on drift; at most 5 % of equity a day."""
        p = self._p
        pools = p.account.pools(p.last.mark, self.targets)
        month = p.calendar.local_date(from_ns(now_ns)).strftime("%Y-%m")
        self._rebalancing |= month != self._month or drift(pools) > self._capital.drift_limit
        self._month = month
        if not self._rebalancing or not self.rules.rebalancing_enabled or not p.safety.is_trading_allowed:
            return
        plan = moves_to_targets(
            pools, self.targets, p.equity(), p.day.moved, self._capital, quantum=p.account.quantum
        )
        for move in plan.moves:
            reason = f"{move.code} {move.reason}" if move.code else move.reason
            self._transfer(move.source, move.target, move.amount, reason, now_ns)
        for waiting in plan.waiting:
            self._log("INFO", f"{waiting.code} {waiting.reason}")
        self._rebalancing = bool(plan.moves)  # goes on tomorrow until nothing is left to move

    def _transfer(self, source: Pool, target: Pool, amount: Decimal, reason: str, now_ns: int) -> None:
        p = self._p
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

    def _remind_of_doubts(self) -> None:
        """No day closes as if what is held were worth what was last believed of it."""
        p = self._p
        for symbol, held in p.account.positions().items():
            if doubt := p.price_bands.in_doubt(symbol):
                self._on_code("AN001", f"{doubt}; the day closes with {held} held, valued at {p.last.mark(symbol)}")

    def _judge(self) -> None:
        for code, detail in account_guards(self._health(), self._guard_limits(), self._p.config.safety):
            self._on_code(code, detail)

    def _health(self) -> AccountHealth:
        """The account now, and at its worst since the last look."""
        p, mark, worst = self._p, self._p.last.mark, self._p.extremes.take_look()
        return AccountHealth(
            equity=p.equity(),
            lowest_equity=worst.lowest_equity,
            highest_exposure=(worst.exposure, worst.equity),
            day_open_equity=p.day.open_equity,
            exposure=p.account.exposure(mark),
            symbol_values=tuple(
                (symbol, p.account.symbol_exposure(symbol, mark)) for symbol in p.account.positions()
            ),
        )

    def _guard_limits(self) -> GuardLimits:
        limits = self._p.gate.limits(self._p.state.current_state)
        return GuardLimits(
            exposure=limits.exposure_limit,
            symbol_weight=limits.symbol_weight_limit,
            daily_loss_warning=limits.daily_loss_warning,
            daily_loss=limits.daily_loss_limit,
        )

    def recovery_checks(self, compared_ns: int = 0) -> dict[str, bool | None]:
        """What has to be true before safety may fall back to NORMAL.

        The books count as compared when that was done since safety rose, and not before ``compared_ns``.
        """
        return {
            "equity above zero": self._p.equity() > 0,
            "every holding has a price": not self._p.account.unmarked(self._p.last.mark),
            "the books agree with the broker's": self._books_agree(
                max(compared_ns, self._p.safety.snapshot().since_ns)
            ),
        }


def pool_targets(rules: StateProperties) -> dict[Pool, Decimal]:
    """Midpoints of the state's ranges, normalised to 1 (spec 02)."""
    ranges = rules.allocation_ranges()
    return targets_for_state(*(ranges[pool.value] for pool in (Pool.SCALP, Pool.SWING, Pool.PORTFOLIO)))
