"""A strategy's seat: what it may ask, how often it has failed, whether it is still asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial

from qts.clock import Clock
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.runtime.strategy_talk import ERRORS_BEFORE_HALT, Brief
from qts.state.contracts import OperatingState
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import FillView, Intent, Strategy
from qts.strategy.user_code import runner_for

OnIntent = Callable[[Strategy, Intent], None]
OnFault = Callable[[str, str, bool], None]


class Seat:
    """One strategy's view of the account (its :class:`~qts.strategy.contracts.Context`)."""

    __slots__ = (
        "_account",
        "_clock",
        "_orders",
        "_state",
        "errors",
        "halted",
        "most_intents",
        "on_bar",
        "on_quote",
        "run",
        "strategy",
    )

    def __init__(
        self,
        strategy: Strategy,
        *,
        clock: Clock,
        account: Account,
        orders: WorkingOrders,
        state: OperatingStateManager,
        most_intents: int = 1_000,
    ) -> None:
        self.strategy = strategy
        self.run = runner_for(strategy)
        self.most_intents = most_intents
        self.errors = 0
        self.set_halted(False)
        self._clock = clock
        self._account = account
        self._orders = orders
        self._state = state

    def fail(self, in_row: int) -> None:
        """Note the ``in_row``-th failure in a row; the third halts the strategy."""
        self.errors = in_row
        self.set_halted(in_row >= ERRORS_BEFORE_HALT)

    def set_halted(self, halted: bool) -> None:
        """Stop asking the strategy, or ask it again."""
        self.halted = halted
        self.on_quote = _nothing if halted else partial(self.run, self.strategy.on_quote)
        self.on_bar = _nothing if halted else partial(self.run, self.strategy.on_bar)

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def state(self) -> OperatingState:
        return self._state.current_state

    @property
    def budget(self) -> Decimal:
        return self._account.available(self.strategy.pool)

    def holding(self, symbol: str) -> Decimal:
        return self._account.holding(self.strategy.name, symbol)

    def average_cost(self, symbol: str) -> Decimal | None:
        return self._account.average_cost(self.strategy.name, symbol)

    def working(self, symbol: str) -> bool:
        return bool(self._orders.of(self.strategy.name, symbol))

    def brief(self, fills: Sequence[FillView]) -> Brief:
        """All of it at this moment, for a strategy elsewhere."""
        name = self.strategy.name
        return Brief(
            now_ns=self._clock.time_ns(),
            state=self.state,
            budget=self.budget,
            holdings={
                symbol: (self.holding(symbol), self.average_cost(symbol)) for symbol in self._account.held_by(name)
            },
            working=tuple({order.symbol: None for order in self._orders if order.strategy == name}),
            errors=self.errors,
            fills=tuple(fills),
        )


def _nothing(seat: object, value: object) -> tuple[Intent, ...]:
    """What a halted strategy says."""
    return ()
