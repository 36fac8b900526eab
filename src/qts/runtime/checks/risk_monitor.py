"""Watches the account's limits and tells safety of those that are touched; says what a recovery needs."""

from __future__ import annotations

from collections.abc import Callable

from qts.runtime.shared_components import SharedComponents
from qts.safety.guards import AccountHealth, GuardLimits, account_guards


class RiskMonitor:
    """Judges the account at its worst since the last look. Amounts in the account's currency."""

    def __init__(
        self,
        shared: SharedComponents,
        *,
        on_code: Callable[[str, str], None],
        books_agree: Callable[[int], bool | None],
    ) -> None:
        self._shared = shared
        self._on_code = on_code
        self._books_agree = books_agree
        self._calm_since = -1

    def guard(self, now_ns: int) -> None:
        """Look at the account's limits; a touched one is told to safety."""
        self._shared.safety.tick()
        book = self._shared.record.book_revision
        if book == self._calm_since and not self._shared.account.positions():
            return  # flat, looked at since the last fill: no price can change anything
        self._calm_since = book
        self._judge()

    def judge_what_moved(self) -> None:
        """Judge what values and fills did since the last look, before a period closes over it; else do nothing."""
        if self._shared.extremes.moved:
            self._judge()

    def remind_of_doubts(self) -> None:
        """Tell safety of holdings in doubt: no day closes as if they were worth what was last believed of them."""
        p = self._shared
        for symbol, held in p.account.positions().items():
            if doubt := p.price_bands.in_doubt(symbol):
                self._on_code("AN001", f"{doubt}; the day closes with {held} held, valued at {p.last.mark(symbol)}")

    def recovery_checks(self, compared_ns: int = 0) -> dict[str, bool | None]:
        """Return what has to be true before safety may fall back to NORMAL; None: not known.

        The books count as compared when that was done since safety rose, and not before ``compared_ns``.
        """
        return {
            "equity above zero": self._shared.equity() > 0,
            "every holding has a price": not self._shared.account.unmarked(self._shared.last.mark),
            "the books agree with the broker's": self._books_agree(
                max(compared_ns, self._shared.safety.snapshot().since_ns)
            ),
        }

    def _judge(self) -> None:
        for code, detail in account_guards(self._health(), self._limits(), self._shared.config.safety):
            self._on_code(code, detail)

    def _health(self) -> AccountHealth:
        """Return the account now, and at its worst since the last look."""
        p, mark, worst = self._shared, self._shared.last.mark, self._shared.extremes.take_worst()
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

    def _limits(self) -> GuardLimits:
        limits = self._shared.gate.limits(self._shared.state.current_state)
        return GuardLimits(
            exposure=limits.exposure_limit,
            symbol_weight=limits.symbol_weight_limit,
            daily_loss_warning=limits.daily_loss_warning,
            daily_loss=limits.daily_loss_limit,
        )
