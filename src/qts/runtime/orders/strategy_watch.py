"""Stops a strategy that does the same again and again, or that its stops have closed out too often today.

One that asks for more orders in a second than any strategy can mean is halted, and safety goes into LOCKDOWN. The
others are stopped as an operator stops them: entries end, exits go on, holdings are kept, and a person releases
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.gateway.limits.counted import CountedLimits
from qts.broker.gateway.limits.view import LimitCountView
from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.execution.contracts import Fill, Order
from qts.execution.triggers import TriggerKind, level_of
from qts.ledger.contracts import ActionRow, BookingRow, FillEffect
from qts.money import negated, times
from qts.risk.contracts import OrderRequest
from qts.risk.strategy_counts import Asked, Executions, StopOuts
from qts.runtime.control.commands import Stop
from qts.runtime.metrics.day_results import DayResults
from qts.runtime.shared_components import SharedComponents
from qts.safety.scoped_stops import Scope, ScopedStop, ScopeKind
from qts.strategy.contracts import Side

REPEATED: Final = "limit repeated_executions"
STOPPED_OUT: Final = "limit stop_outs_per_day"
"""Who has stopped a strategy, in place of an operator's name. The second ends with the next session day."""

_BUY: Final = Side.BUY.value
_SELL: Final = Side.SELL.value


class StrategyWatch:
    """Counts what strategies ask for and what is filled, and stops them. For the session's thread.

    ``counted`` are the limits at the gateway that it tells of fills. ``pools`` is the pool of each strategy.
    ``stop`` takes a stop of one strategy as an operator gives it, ``halt`` a strategy and why it is not called any
    more, ``on_code`` a code and its particulars, ``log`` a level and a text.
    """

    def __init__(
        self,
        shared: SharedComponents,
        results: DayResults,
        counted: CountedLimits,
        pools: Mapping[str, Pool],
        *,
        stop: Callable[[Stop], object],
        halt: Callable[[str, str], None],
        on_code: Callable[[str, str], None],
        log: Callable[[str, str], None],
    ) -> None:
        self._shared = shared
        self._results = results
        self.counted = counted
        self._pools = pools
        self._stop = stop
        self._halt = halt
        self._on_code = on_code
        self._log = log
        self._asked = Asked()
        self._executions = Executions()
        self._stop_outs = StopOuts()
        self._halted: set[str] = set()

    @property
    def _limits(self) -> CountLimits:
        return self._shared.config.broker.limits

    def lets_ask(self, strategy: str) -> bool:
        """Count what a strategy asks for; return False when it asks for too much, and when it has before."""
        if strategy in self._halted:
            return False
        p = self._shared
        now_ns, most = p.clock.time_ns(), p.config.broker.limits.asked_per_second
        if not self._asked.is_over(strategy, most, now_ns):
            return True
        self._halted.add(strategy)
        why = f"it has asked for more than {most:,} orders within a second"
        self._halt(strategy, why)
        self._on_code("FS104", f"limit asked_per_second: strategy {strategy}: {why}")
        return False

    # -- fills -------------------------------------------------------------------------------------------------

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Count an order that begins to be filled as an execution, and a position that its stop has closed."""
        request = order.request
        self._results.on_fill(fill, order, effect)
        self.counted.note(request)
        if request.strategy not in self._pools:
            return
        if request.forced:
            if effect.position.qty == 0 and level_of(request) is TriggerKind.STOP:
                self._on_stop_out(order)
        elif order.filled == fill.qty and not self._shared.orders.is_later_part(request):
            self._on_execution(request)  # parts of an execution count once

    def _on_execution(self, request: OrderRequest) -> None:
        p, strategy = self._shared, request.strategy
        limits = p.config.broker.limits
        kind = strategy, request.symbol, _BUY if request.side is Side.BUY else _SELL
        window_ns = limits.repeated_executions_s * NS_PER_S
        if self._executions.reaches(kind, limits.repeated_executions, window_ns, p.clock.time_ns()):
            why = (
                f"{limits.repeated_executions:,} orders {kind[2]} {request.symbol} were filled within "
                f"{limits.repeated_executions_s:,} s"
            )
            self._stop_strategy(strategy, REPEATED, why)

    def _on_stop_out(self, order: Order) -> None:
        limits, strategy = self._limits, order.strategy
        day = self._shared.trade_date(self._shared.clock.time_ns())
        if self._stop_outs.reaches(strategy, limits.stop_outs_per_day, day):
            count = self._stop_outs.count(strategy, day)
            why = f"its stops have closed {count:,} positions today, the last in {order.symbol}"
            self._stop_strategy(strategy, STOPPED_OUT, why)

    def _stop_strategy(self, strategy: str, by: str, why: str) -> None:
        before = self._stop_of(strategy)
        if before is not None and (by == STOPPED_OUT or before.operator != STOPPED_OUT):
            return  # what is in force lasts as long or longer
        self._on_code("AN061", f"{by}: strategy {strategy}: {why}")
        self._stop(Stop(operator=by, reason=why, strategy=strategy, liquidate=False))

    def _stop_of(self, strategy: str) -> ScopedStop | None:
        scope = Scope(ScopeKind.STRATEGY, strategy)
        return next((one for one in self._shared.stops if one.scope == scope), None)

    def on_booking(self, row: BookingRow) -> None:
        """Measure the day's results with what was booked beside fills."""
        self._results.on_booking(row)

    def on_action(self, row: ActionRow) -> None:
        """Measure the day's results with a split or a dividend."""
        self._results.on_action(row)

    # -- the day, and releases ---------------------------------------------------------------------------------

    def start_day(self) -> None:
        """Measure results from now on, and let strategies enter again that had too many stop-outs before."""
        self._results.start_day()
        today = self._shared.trade_date(self._shared.clock.time_ns())
        for stop in self._shared.stops:
            if stop.operator == STOPPED_OUT and self._shared.trade_date(stop.ts_ns) < today:
                self._shared.stops.release(stop.scope)
                self._log("WARNING", f"{stop.scope} may enter again: a new session day has begun")

    def on_released(self, scope: Scope) -> None:
        """Forget what a strategy has done that a person has released: it has its whole limits again."""
        if scope.kind is ScopeKind.STRATEGY:
            self._executions.forget(scope.name)
            self._stop_outs.forget(scope.name)

    # -- what is shown and stored --------------------------------------------------------------------------------

    def rows(self) -> Iterator[LimitCountView]:
        """Yield what stands at present, and the bounds."""
        yield from self.counted.rows()
        limits, now_ns = self._limits, self._shared.clock.time_ns()
        day, opening = self._shared.trade_date(now_ns), self._shared.day.open_equity
        for strategy in self._pools:
            for limit, count in (
                ("asked_per_second", self._asked.count(strategy, now_ns)),
                ("repeated_executions", self._executions.highest(strategy, now_ns)),
                ("stop_outs_per_day", self._stop_outs.count(strategy, day)),
            ):
                yield LimitCountView(limit, strategy, Decimal(count), Decimal(getattr(limits, limit)))
            result, most = self._results.of_strategy(strategy), times(limits.strategy_day_loss, opening)
            yield LimitCountView("strategy_day_loss", strategy, None if result is None else negated(result), most)
        for pool in dict.fromkeys(self._pools.values()):
            result, most = self._results.of_pool(pool), times(limits.pool_day_loss, opening)
            yield LimitCountView("pool_day_loss", pool.value, None if result is None else negated(result), most)

    def export_state(self) -> dict[str, Any]:
        """Return the counts as plain data, for a checkpoint."""
        now_ns = self._shared.clock.time_ns()
        return {
            "asked": self._asked.export_state(now_ns),
            "halted": sorted(self._halted),
            "executions": self._executions.export_state(now_ns),
            "stop_outs": self._stop_outs.export_state(),
            "results": self._results.export_state(),
            "entries": self.counted.export_state(),
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`, when the account is restored."""
        now_ns = self._shared.clock.time_ns()
        self._asked.import_state(saved["asked"], now_ns)
        self._halted = set(saved["halted"])
        self._executions.import_state(saved["executions"], now_ns)
        self._stop_outs.import_state(saved["stop_outs"])
        self._results.import_state(saved["results"])
        self.counted.import_state(saved["entries"])
