"""Rules for markets that need none of their own: one step, one rate, never closed (crypto, foreign files)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from qts.errors import ContractError
from qts.market.contracts import Phase
from qts.money import ZERO, decimal_of, floor_to, is_multiple, negated, positive, times, truncate_to


class FixedTicks:
    """A grid of one step and no price limits. Raises :class:`~qts.errors.ContractError` unless step > 0."""

    __slots__ = ("step",)

    def __init__(self, step: Decimal | str) -> None:
        self.step = positive(step, "step")

    def tick(self, price: Decimal, day: date) -> Decimal:
        """Return the one step."""
        return self.step

    def is_valid(self, price: Decimal, day: date) -> bool:
        """Return whether ``price`` is on the grid and above 0."""
        return price.is_finite() and price > 0 and is_multiple(price, self.step)

    def round_down(self, price: Decimal, day: date) -> Decimal:
        """Return the highest grid price not above ``price``."""
        return floor_to(price, self.step)

    def round_up(self, price: Decimal, day: date) -> Decimal:
        """Return the lowest grid price not below ``price``."""
        return negated(floor_to(negated(price), self.step))

    def band(self, base: Decimal, day: date) -> tuple[Decimal, Decimal] | None:
        """Return None: there is no daily limit."""
        return None


class RateCosts:
    """A fee on every fill and a tax on sales as shares of the amount, cut to the quantum of the currency.

    Raises :class:`~qts.errors.ContractError` for a rate below 0 or from 1 up, or a quantum not above 0.
    """

    __slots__ = ("fee_rate", "quantum", "tax_rate")

    def __init__(self, fee_rate: Decimal | str, tax_rate: Decimal | str, quantum: Decimal | str) -> None:
        self.fee_rate = _share(fee_rate, "fee_rate")
        self.tax_rate = _share(tax_rate, "tax_rate")
        self.quantum = positive(quantum, "quantum")

    def fee(self, amount: Decimal, day: date) -> Decimal:
        """Return the fee by the rate."""
        return truncate_to(times(amount, self.fee_rate), self.quantum)

    def tax(self, amount: Decimal, *, is_sell: bool, day: date) -> Decimal:
        """Return the tax, by its rate on sales."""
        return truncate_to(times(amount, self.tax_rate), self.quantum) if is_sell else ZERO

    def dividend_tax(self, amount: Decimal, day: date) -> Decimal:
        """Return 0: what is kept back depends on who receives it; ``runtime.dividend_tax_rate`` says it."""
        return ZERO


class AlwaysOpen:
    """A market that never closes; its days are UTC days."""

    __slots__ = ("name",)

    def __init__(self, name: str = "24h") -> None:
        self.name = name

    def phase(self, moment: datetime) -> Phase:
        """Return CONTINUOUS."""
        return Phase.CONTINUOUS

    def phase_ns(self, ns: int) -> Phase:
        """Return CONTINUOUS."""
        return Phase.CONTINUOUS

    def local_date(self, moment: datetime) -> date:
        """Return the date in UTC."""
        return moment.astimezone(UTC).date()

    def local_time(self, moment: datetime) -> datetime:
        """Return ``moment`` in UTC."""
        return moment.astimezone(UTC)

    def is_trading_day(self, day: date) -> bool:
        """Return True."""
        return True

    def close(self, day: date) -> datetime | None:
        """Return None: it never closes."""
        return None

    def next_open(self, moment: datetime) -> datetime | None:
        """Return None: it never closes."""
        return None

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """Return the moment in UTC."""
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def _share(value: Decimal | str, name: str) -> Decimal:
    number = decimal_of(value, name)
    if not 0 <= number < 1:
        raise ContractError(f"{name} must be a share from 0 up to below 1, got {number}")
    return number
