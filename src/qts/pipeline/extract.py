"""Extract: what is true at this moment about the signal's symbol, and in which states we are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from qts.clock import Clock, from_ns
from qts.errors import ContractError
from qts.market.contracts import MarketSource, Phase
from qts.market.last_values import LastValues
from qts.pipeline.contracts import Facts
from qts.safety.state import SafetyStateManager
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Intent, Side, Signal


class Extract:
    """Reads the last-value table, the calendar and both states; decides nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        feed: MarketSource,
        last_values: LastValues,
        base_prices: Mapping[str, Decimal],
        safety: SafetyStateManager,
        state: OperatingStateManager,
        max_age_ns: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._feed = feed
        self._last = last_values
        self._base = base_prices
        self._safety = safety
        self._state = state
        self._max_age_ns = max_age_ns

    def __call__(self, signal: Signal) -> Facts:
        """Return what is true at this moment about the signal's symbol and about both states.

        Raises ContractError for a signal that is no intent: a target is resolved into one before.
        """
        symbol, intent = signal.symbol, signal.intent
        if not isinstance(intent, Intent):
            raise ContractError(f"only intents are decided, got {intent!r}")
        instrument = self._feed.instruments.get(symbol)
        price = self._last.entry_price(symbol) if intent.side is Side.BUY else self._last.mark(symbol)
        now_ns = self._clock.time_ns()
        now = from_ns(now_ns)
        return Facts(
            signal=signal,
            intent=intent,
            now_ns=now_ns,
            instrument=instrument,
            phase=Phase.CLOSED if instrument is None else instrument.calendar.phase(now),
            local_day=now.date() if instrument is None else instrument.calendar.local_date(now),
            price=price,
            base_price=self._base.get(symbol),
            price_ts_ns=self._last.feed_ts_ns,
            max_age_ns=self._max_age_ns(),
            safety=self._safety.current_state,
            state=self._state.current_state,
        )
