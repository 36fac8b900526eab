"""Measures what each strategy has earned today: realised, and the change of its open result since the day began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from qts.capital.contracts import Pool
from qts.execution.contracts import Fill, Order
from qts.ledger.account import Account
from qts.ledger.contracts import ActionRow, BookingKind, BookingRow, FillEffect
from qts.ledger.holding import Holding
from qts.market.last_values import LastValues
from qts.money import ZERO, minus, plus, sum_of, times


class DayResults:
    """The results of the strategies of ``account`` since the day began, in its currency. On the session's thread.

    Realised results are net of fees and taxes. At the beginning of a day what has no price is valued at its base
    price in ``base_prices``, and without one at cost.
    """

    def __init__(self, account: Account, last: LastValues, base_prices: Mapping[str, Decimal]) -> None:
        self._account = account
        self._last = last
        self._base_prices = base_prices
        self._realized: dict[str, Decimal] = {}
        self._opened: dict[str, Decimal] = {}
        """The open result of each strategy when the day began; one that is not in it had none."""
        self._held: dict[str, set[str]] = {}
        """Symbols that each strategy may hold."""

    def start_day(self) -> None:
        """Measure from now on."""
        self.follow()
        self._realized.clear()
        self._opened = {strategy: self._open_result_then(strategy) for strategy in self._held}

    def follow(self) -> None:
        """Read from the account which strategy holds what."""
        self._held.clear()
        for row in self._account.position_rows():
            if row.qty:
                self._note_held(row.strategy, row.symbol)

    def of_strategy(self, strategy: str) -> Decimal | None:
        """Return what ``strategy`` has earned today; None while something that it holds has no price."""
        open_result = ZERO
        for symbol, held in self._holdings(strategy):
            mark = self._last.mark(symbol)
            if mark is None:
                return None
            open_result = plus(open_result, minus(times(held.qty, mark), held.cost))
        change = minus(open_result, self._opened.get(strategy, ZERO))
        return plus(self._realized.get(strategy, ZERO), change)

    def of_pool(self, pool: Pool) -> Decimal | None:
        """Return what the strategies of ``pool`` have earned today; None while that of one of them is not known."""
        total = ZERO
        for strategy in dict.fromkeys((*self._held, *self._realized, *self._opened)):
            if self._account.pool_of(strategy) is pool:
                result = self.of_strategy(strategy)
                if result is None:
                    return None
                total = plus(total, result)
        return total

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Add the realised result of a fill, and note what is held."""
        request = order.request
        self._earn(request.strategy, effect.realized)
        self._note_held(request.strategy, request.symbol)

    def on_booking(self, row: BookingRow) -> None:
        """Add the result of a booking; shares that were taken over begin at the price at which they came."""
        if not row.strategy:
            return
        if row.kind is BookingKind.DEPOSIT and row.qty:
            came = minus(times(row.qty, row.price), row.cost)
            self._opened[row.strategy] = plus(self._opened.get(row.strategy, ZERO), came)
        else:
            self._earn(row.strategy, row.realized_pnl)
        self._note_held(row.strategy, row.symbol)

    def on_action(self, row: ActionRow) -> None:
        """Add the result of a split or a dividend."""
        self._earn(row.strategy, row.realized_pnl)

    def export_state(self) -> dict[str, Any]:
        """Return the results of today as plain data, for a checkpoint."""
        return {
            "realized": {strategy: str(amount) for strategy, amount in self._realized.items()},
            "opened": {strategy: str(amount) for strategy, amount in self._opened.items()},
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`, when the account is restored."""
        self._realized = {strategy: Decimal(amount) for strategy, amount in saved["realized"].items()}
        self._opened = {strategy: Decimal(amount) for strategy, amount in saved["opened"].items()}
        self.follow()

    def _note_held(self, strategy: str, symbol: str) -> None:
        held = self._held.get(strategy)
        if held is None:
            held = self._held[strategy] = set()
        held.add(symbol)

    def _earn(self, strategy: str, amount: Decimal) -> None:
        if amount:
            self._realized[strategy] = plus(self._realized.get(strategy, ZERO), amount)

    def _open_result_then(self, strategy: str) -> Decimal:
        return sum_of(
            minus(times(held.qty, price), held.cost)
            for symbol, held in self._holdings(strategy)
            if (price := self._last.mark(symbol) or self._base_prices.get(symbol)) is not None
        )

    def _holdings(self, strategy: str) -> Sequence[tuple[str, Holding]]:
        """Return what ``strategy`` holds; symbols in which it is flat are not looked at again."""
        symbols = self._held.get(strategy)
        if not symbols:
            return ()
        found: list[tuple[str, Holding]] = []
        for symbol in tuple(symbols):
            held = self._account.held(strategy, symbol)
            if held is None or not held.qty:
                symbols.discard(symbol)
            else:
                found.append((symbol, held))
        return found
