"""Checks the account's limits, reports those that are reached to safety, and checks what a recovery requires."""

from __future__ import annotations

from collections.abc import Callable

from qts.runtime.metrics.extremes import WorstSinceCheck
from qts.runtime.shared_components import SharedComponents
from qts.safety.guards import AccountHealth, GuardLimits, account_guards, is_surely_well


class RiskMonitor:
    """A monitor of the account at its worst since the last check. Amounts in the account's currency.

    ``books_agree`` returns whether the books agree with the broker's since a moment (ns), None: not compared since.
    """

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
        self._flat_revision = -1

    def check_limits(self, now_ns: int) -> None:
        """Check the account's limits and report those that are reached to safety."""
        self._shared.safety.tick()
        book = self._shared.record.book_revision
        if book == self._flat_revision and not (self._shared.worth.has_positions()):
            return  # flat and checked since the last fill: no price can change anything
        self._flat_revision = book
        self._check()

    def check_limits_if_moved(self) -> None:
        """Check the limits before a period closes, if a value or fill has moved the account since the last time."""
        if self._shared.extremes.has_moved:
            self._check()

    def report_doubtful_holdings(self) -> None:
        """Report holdings in doubt to safety at the close: their last accepted price may not be their value."""
        p = self._shared
        if not p.price_bands.doubts:
            return
        for symbol, held in p.account.positions().items():
            if doubt := p.price_bands.doubt_reason(symbol):
                self._on_code("AN001", f"{doubt}; the day closes with {held} held, valued at {p.last.mark(symbol)}")

    def recovery_checks(self, compared_ns: int = 0) -> dict[str, bool | None]:
        """Return the conditions for safety to fall back to NORMAL, by name; None: not known.

        The comparison of the books counts only when made since safety rose and not before ``compared_ns``.
        """
        return {
            "equity above zero": self._shared.equity() > 0,
            "every holding has a price": not self._shared.account.unmarked(self._shared.last.mark),
            "the books agree with the broker's": self._books_agree(
                max(compared_ns, self._shared.safety.snapshot().since_ns)
            ),
        }

    def _check(self) -> None:
        p, limits, worst = self._shared, self._limits(), self._shared.extremes.take_worst()
        now = p.extremes.values.look  # the next period begins with this moment
        if is_surely_well(
            now.equity,
            now.exposure,
            lowest=worst.lowest_equity,
            worst=(worst.exposure, worst.equity),
            opening=p.day.open_equity,
            limits=limits,
        ):
            return
        for code, detail in account_guards(self._health(worst), limits, p.config.safety):
            self._on_code(code, detail)

    def _health(self, worst: WorstSinceCheck) -> AccountHealth:
        """Return the health of the account now, and at its worst since the last check."""
        p, mark = self._shared, self._shared.last.mark
        return AccountHealth(
            equity=p.equity(),
            lowest_equity=worst.lowest_equity,
            highest_exposure=(worst.exposure, worst.equity),
            day_open_equity=p.day.open_equity,
            exposure=p.worth.exposure(),
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
