"""Turns intents into signals: gives each a decision id and publishes it as P2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from qts.capital.contracts import Pool
from qts.event.contracts import EventType
from qts.execution.executions import Execution
from qts.ids import IdSource
from qts.risk.contracts import Refusal
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import AnyIntent, Intent, Signal, Strategy
from qts.strategy.targets import Cancel


class Signals:
    """The one place where signals are made; ``publish`` is the dispatcher's, False when it refuses the event.

    ``lets_ask`` counts what a strategy asks for, and returns False when it asks for too much.
    """

    def __init__(
        self,
        shared: SharedComponents,
        *,
        pools: Mapping[str, Pool],
        decision_ids: IdSource,
        counters: SessionCounters,
        publish: Callable[[EventType, Any, str], bool],
        news: StrategyNews,
        cancel: Callable[[str, Cancel], None],
        lets_ask: Callable[[str], bool],
    ) -> None:
        self._shared = shared
        self.pools = pools
        self._ids = decision_ids
        self._counters = counters
        self._publish = publish
        self._news = news
        self._cancel = cancel
        self._lets_ask = lets_ask

    def on_intent(self, strategy: Strategy, intent: AnyIntent) -> None:
        """Publish an intent as SIGNAL_GENERATED; count it as refused when decisions are paused.

        What a strategy asks for beyond its limit is dropped, and the strategy is halted. Raises HalfDoneError,
        which is no failure of the strategy.
        """
        with self._shared.record.whole(f"a signal of strategy {strategy.name}"):
            if not self._lets_ask(strategy.name):
                return
            if intent.symbol and intent.symbol not in self._shared.base_prices:
                self._set_first_price_as_base(intent.symbol)
            self.publish(self._signal(strategy.name, intent, forced=False))

    def publish(self, signal: Signal) -> None:
        """Publish ``signal``. While decisions are paused a cancel is carried out at once, all else is refused."""
        if self._publish(EventType.SIGNAL_GENERATED, signal, signal.strategy):
            return
        if isinstance(signal.intent, Cancel):
            self._cancel(signal.strategy, signal.intent)
            return
        self._counters.refused(Refusal.SIGNALS_PAUSED.value)
        self._news.on_paused(signal)

    def forced(self, strategy: str, intent: Intent, armed_ns: int | None = None) -> Signal:
        """Return the signal of a forced exit; it is decided at once, because P2 may be paused.

        ``armed_ns`` as in :class:`~qts.risk.contracts.OrderRequest`.
        """
        self._counters.forced_exits += 1
        return self._signal(strategy, intent, forced=True, armed_ns=armed_ns)

    def part(self, execution: Execution, intent: Intent) -> Signal:
        """Return the signal of a part of ``execution``."""
        signal = self._signal(execution.strategy, intent, forced=False)
        return msgspec.structs.replace(signal, parent_id=execution.execution_id)

    def _signal(self, strategy: str, intent: AnyIntent, *, forced: bool, armed_ns: int | None = None) -> Signal:
        return Signal(
            decision_id=self._ids.next_id(),
            strategy=strategy,
            pool=self.pools[strategy],
            intent=intent,
            ts_ns=self._shared.clock.time_ns(),
            forced=forced,
            armed_ns=armed_ns,
        )

    def _set_first_price_as_base(self, symbol: str) -> None:
        """Use the first price of a recording without a previous close as the base price, and report it."""
        price = self._shared.last.last_trade(symbol) or self._shared.last.mark(symbol)
        if price is not None:
            self._shared.base_prices[symbol] = price
            self._counters.stand_in_bases.append(symbol)
