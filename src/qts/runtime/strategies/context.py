"""The context of one strategy: its view of the account, its failures, and whether it is halted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec

from qts.capital.contracts import Pool
from qts.clock import Clock
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.runtime.strategies.abstract_context import MAX_LINES, AbstractContext, no_on_timer
from qts.runtime.strategies.plots import MAX_SERIES, PlotPoint, Plots
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.process_protocol import ERRORS_BEFORE_HALT, BatchContext
from qts.runtime.strategies.strategy_bars import TRACK, StrategyBars, timer_calls
from qts.runtime.strategies.timers import StrategyTimers
from qts.state.contracts import OperatingState
from qts.state.operating_state import OperatingStateManager
from qts.strategy.base_class import has_hook
from qts.strategy.contracts import AnyIntent, FillView, Strategy
from qts.strategy.declared import declared_bars, wants_trades
from qts.strategy.moment import Moment
from qts.strategy.order_news import OrderNews
from qts.strategy.timer import Timer
from qts.strategy.user_code import Run, runner_for

OnIntent = Callable[[Strategy, AnyIntent], None]
Callback = Callable[[object, Any], Iterable[AnyIntent] | None]
OnLine = Callable[[str, str], None]
"""Called with the strategy's name and a line for the session's log."""
OnFault = Callable[[str, str, str, bool, str], None]
"""Called with the strategy's name, the callback, the text of the failure, whether it halted it, and the traceback.

The traceback is that of a callback's first failure; "" for later ones, and where there is none."""

ON_START: Final = "on_start"
SAVE: Final = "save"
"""Not a callback: the strategy's memory could not be saved."""
PLOT: Final = "plot"
"""Not a callback: a point that a strategy in a process has plotted could not be taken."""
TIMER: Final = "timer"
"""Not a callback: a timer that a strategy in a process has set could not be set."""
WORKER: Final = "worker"
"""Not a callback: the strategy's process died, was cut off or could not be started."""
LIMIT: Final = "limit"
"""Not a callback: the strategy asked for more than a limit allows."""
LOADING: Final = "loading"
"""Not a callback: the strategy's file or constructor raised when a run was resumed."""


class ErrorCount(msgspec.Struct):
    """The number of failures of one callback, and the text of the first (its first 300 characters)."""

    count: int
    first: str


class StrategyContext(AbstractContext):
    """One strategy's view of the account (its :class:`~qts.strategy.contracts.Context`). ``pool`` pays for it."""

    __slots__ = (
        "_account",
        "_clock",
        "_lines",
        "_log",
        "_orders",
        "_prices",
        "_state",
        "_timers",
        "dropped",
        "errors",
        "faults",
        "halted",
        "hears_of_orders",
        "is_resuming",
        "most_intents",
        "on_bar",
        "on_bars",
        "on_built_bar",
        "on_quote",
        "on_timer",
        "on_trade",
        "plots",
        "pool",
        "run",
        "strategy",
        "unsaved",
        "wants_trades",
        "why",
    )

    def __init__(
        self,
        strategy: Strategy,
        pool: Pool,
        *,
        clock: Clock,
        account: Account,
        orders: WorkingOrders,
        state: OperatingStateManager,
        prices: PriceView | None = None,
        most_intents: int = 1_000,
        run: Run | None = None,
        timers: StrategyTimers | None = None,
        log: OnLine | None = None,
    ) -> None:
        self.strategy = strategy
        self.wants_trades = wants_trades(strategy) and has_hook(strategy, "on_trade")
        wanted = declared_bars(strategy)
        super().__init__(StrategyBars(strategy.name, wanted, self.add_point) if wanted else None)
        self.dropped = 0
        """How much it wanted while it was shown bars from before the session."""
        self.pool = pool
        self.hears_of_orders = has_hook(strategy, "on_order")
        self.plots = Plots()
        self.run = runner_for(strategy) if run is None else run
        self.most_intents = most_intents
        self.errors = 0
        self.faults: dict[str, ErrorCount] = {}
        self.is_resuming = False
        """Whether ``on_start`` runs again: the timers that are known stay as they are."""
        self.unsaved = False
        """Whether it was halted because its memory cannot be saved; no further attempt is made."""
        self.why = ""
        self.set_halted(False)
        self._clock = clock
        self._account = account
        self._orders = orders
        self._state = state
        self._prices = prices
        self._timers = timers
        self._log = log
        self._lines = 0

    def fail(self, callback: str, text: str, in_row: int, *, final: bool = False) -> None:
        """Count the ``in_row``-th failure in a row; the third halts the strategy, a ``final`` one does at once."""
        self.errors = in_row
        count = self.faults.get(callback)
        if count is None:
            self.faults[callback] = ErrorCount(1, text[:_MAX_TEXT])
        else:
            count.count += 1
        halts = final or in_row >= ERRORS_BEFORE_HALT
        if halts and not self.halted:
            self.why = f"{_WHY.get(callback, 'repeated errors, the last')}: {text}"[:_MAX_TEXT]
        self.set_halted(halts or self.halted)

    def export_faults(self) -> dict[str, Any]:
        """Return the failures and the halt as plain data, for a checkpoint."""
        return {
            "errors": self.errors,
            "halted": self.halted,
            "why": self.why,
            "unsaved": self.unsaved,
            "faults": {callback: [one.count, one.first] for callback, one in self.faults.items()},
        }

    def import_faults(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_faults` returned."""
        self.errors = saved["errors"]
        self.why = saved["why"]
        self.unsaved = saved["unsaved"]
        self.faults = {callback: ErrorCount(*one) for callback, one in saved["faults"].items()}
        self.set_halted(saved["halted"])

    def set_halted(self, halted: bool) -> None:
        """Stop calling the strategy, or call it again."""
        self.halted = halted
        self.on_quote = self._callback("on_quote")
        on_bar = self._callback("on_bar")
        self.on_bar: Callback = on_bar if self.bars is None else not_called
        self.on_built_bar: Callback = not_called if self.bars is None else on_bar
        self.on_bars = self._callback("on_bars")
        self.on_trade = self._callback("on_trade") if self.wants_trades else not_called
        self.on_timer = self._callback("on_timer")

    def _callback(self, hook: str) -> Callable[[object, Any], Iterable[AnyIntent] | None]:
        if self.halted or not has_hook(self.strategy, hook):
            return not_called
        return partial(self.run, getattr(self.strategy, hook))

    def calls_of(self, moment: Moment) -> Iterator[tuple[str, Any]]:
        """Yield the calls of a moment with their arguments, in their order; each is to be made before the next."""
        return timer_calls(moment, self.strategy.name) if self.bars is None else self.bars.calls_of(moment)

    def has(self, hook: str) -> bool:
        """Return whether the strategy has ``hook`` and is not halted."""
        return self._hook(hook) is not not_called

    def _hook(self, hook: str) -> Callback:
        return {"on_timer": self.on_timer, "on_bar": self.on_built_bar, "on_bars": self.on_bars}[hook]

    def call(self, hook: str, argument: Any) -> Iterable[AnyIntent] | None:
        """Make one of :meth:`calls_of`. Raises what the strategy raises."""
        if hook == TRACK:
            assert self.bars is not None  # it alone yields this call
            self.bars.feed(argument)
            return ()
        return self._hook(hook)(self, argument)

    @property
    def state(self) -> OperatingState:
        return self._state.current_state

    @property
    def budget(self) -> Decimal:
        return self._account.available(self.pool)

    def holding(self, symbol: str) -> Decimal:
        return self._account.holding(self.strategy.name, symbol)

    def average_cost(self, symbol: str) -> Decimal | None:
        cost = self._account.average_cost(self.strategy.name, symbol)
        return cost if cost is None or self._prices is None else self._prices.price(symbol, cost)

    def working(self, symbol: str) -> bool:
        name, orders = self.strategy.name, self._orders
        return bool(orders.of(name, symbol)) or (name, symbol) in orders.executing

    def add_point(self, point: PlotPoint) -> None:
        """Add a point to what is plotted; that a tracked indicator is left out is logged at the first.

        Raises ContractError for one series too many of the strategy's own.
        """
        before = len(self.plots.left_out)
        self.plots.add(point)
        if not before and self.plots.left_out:
            self.add_line(
                f"the report draws {MAX_SERIES} series: {point.name} and further tracked ones are left out"
            )

    @property
    def holdings(self) -> Mapping[str, Decimal]:
        return {symbol: self.holding(symbol) for symbol in self._account.held_by(self.strategy.name)}

    def set_timer(self, timer: Timer) -> None:
        """Set a checked timer. Raises ContractError for one too many, and in a strategy without ``on_timer``."""
        if self._timers is None or not has_hook(self.strategy, "on_timer"):
            raise no_on_timer(timer)
        self._timers.set(self.strategy.name, timer, self._clock.time_ns(), keeps_known=self.is_resuming)

    def add_line(self, text: str) -> None:
        """Write a checked line into the session's log, or nothing from the 10,001st on."""
        self._lines += 1
        if self._log is None or self._lines > MAX_LINES:
            return
        self._log(self.strategy.name, text)
        if self._lines == MAX_LINES:
            self._log(self.strategy.name, f"has written {MAX_LINES:,} lines; further ones are left out")

    def _present_ns(self) -> int:
        return self._clock.time_ns()

    def _working_symbols(self) -> tuple[str, ...]:
        name, orders = self.strategy.name, self._orders
        symbols = {order.symbol: None for order in orders if order.strategy == name}
        symbols.update((symbol, None) for strategy, symbol in orders.executing if strategy == name)
        return tuple(symbols)

    def batch_context(self, fills: Sequence[FillView | OrderNews]) -> BatchContext:
        """Return this view as it is now, with ``fills`` and news it has not seen, for another process."""
        name = self.strategy.name
        return BatchContext(
            now_ns=self._clock.time_ns(),
            state=self.state,
            budget=self.budget,
            holdings={
                symbol: (self.holding(symbol), self.average_cost(symbol)) for symbol in self._account.held_by(name)
            },
            working=self._working_symbols(),
            errors=self.errors,
            fills=tuple(fills),
        )


_MAX_TEXT: Final = 300
_WHY: Final = {
    ON_START: "its start failed",
    LIMIT: "a limit has ended it",
    SAVE: "what it remembers cannot be kept",
    LOADING: "it could not be made again when the run was resumed",
}


def not_called(context: object, value: object) -> tuple[AnyIntent, ...]:
    """Return no intents: stands in for a callback that a strategy lacks, and for those of a halted one.

    As nothing of the strategy ran, such a call does not end a row of failures.
    """
    return ()
