"""Exact decimals for price, quantity and amount, and the arithmetic on them; binary floats are refused.

All three are :class:`decimal.Decimal`. Amounts of a currency are whole multiples of its quantum
(1 for KRW, 0.01 for USDT by default); shares of a split are whole quanta and the remainder goes to one
named part, so that sums never drift.

An operator on a Decimal rounds as the decimal context of the calling thread says, which a strategy or a library may
have changed. The functions here compute in contexts of their own instead, in every thread. :func:`plus`,
:func:`minus`, :func:`times`, :func:`negated`, :func:`magnitude` and :func:`sum_of` are exact: what would have to be
rounded raises :class:`decimal.Inexact`. Only :func:`ratio` and the functions that name a grid round. ``make lint``
refuses operators on Decimals elsewhere in the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import (
    ROUND_05UP,
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
    setcontext,
)
from functools import reduce
from operator import mul
from typing import Final, TypeVar

from qts.errors import ContractError

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
TWO: Final = Decimal(2)
K = TypeVar("K")

MAX_WHOLE_DIGITS: Final = 15
"""Digits before the point that a number of input (price, size, rate) may have."""
MAX_DECIMALS: Final = 30
"""Digits behind the point that a number of input may have: every binary float from 1e-12 on has fewer."""
_SUMMED_DIGITS: Final = 12
PRECISION: Final = 3 * (MAX_WHOLE_DIGITS + MAX_DECIMALS) + _SUMMED_DIGITS
"""Digits with which no result is rounded: price × size × size (what the rest of a holding has cost) or price ×
size × rate (a fee), added up 10¹² times."""
RATIO_DIGITS: Final = 28
_FINEST: Final = Decimal(f"1E-{MAX_DECIMALS}")


def own_context(
    precision: int, rounding: str = ROUND_HALF_EVEN, *, exact: bool = False, capitals: int = 1
) -> Context:
    """Return a context independent of :data:`decimal.DefaultContext`, which any library may change."""
    traps = [InvalidOperation, DivisionByZero, Overflow, *([Inexact] if exact else [])]
    return Context(
        prec=precision,
        rounding=rounding,
        Emin=-999_999,
        Emax=999_999,
        capitals=capitals,
        clamp=0,
        flags=[],
        traps=traps,
    )


@contextmanager
def standard_context() -> Iterator[None]:
    """Run the block in a context of our own, so that the caller's context changes no text and no comparison."""
    with localcontext(own_context(RATIO_DIGITS)):
        yield


def begin_thread() -> None:
    """Set our own context for the rest of the calling thread, which begins with :data:`decimal.DefaultContext`."""
    setcontext(own_context(RATIO_DIGITS))


_EXACT: Final = own_context(PRECISION, exact=True)
# A quotient that is cut the way its multiple will be cut, or so that a later rounding to the nearest still sees on
# which side of the middle it was (ROUND_05UP), is as good as one with all its digits.
_CUT: Final = {way: own_context(PRECISION, way) for way in (ROUND_FLOOR, ROUND_DOWN, ROUND_CEILING)}
_CUT[ROUND_HALF_EVEN] = own_context(PRECISION, ROUND_05UP)

plus: Final = _EXACT.add
minus: Final = _EXACT.subtract
times: Final = _EXACT.multiply
negated: Final = _EXACT.minus
magnitude: Final = _EXACT.abs
exact_quotient: Final = _EXACT.divide
"""A quotient that has an end, like the half of an amount; raises Inexact for one that has none."""
steps_in: Final = _EXACT.divide_int
"""The whole quotient of two Decimals, truncated toward zero."""
without_zeros: Final = _EXACT.normalize
remainder: Final = _EXACT.remainder
"""The remainder of two Decimals, with the sign of the first."""
ratio: Final = own_context(RATIO_DIGITS).divide
"""A quotient of 28 digits, for shares, averages and what is shown. It is no amount: nothing is booked with it."""


def sum_of(amounts: Iterable[Decimal], start: Decimal = ZERO) -> Decimal:
    """Return the exact sum of ``start`` and ``amounts``."""
    return reduce(plus, amounts, start)


def volume_and_value(sizes: Sequence[Decimal], prices: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """Return the exact sum of ``sizes`` and that of each times its price; many at once, for bars of trades."""
    with localcontext(_EXACT):
        return sum(sizes, ZERO), sum(map(mul, prices, sizes), ZERO)  # type: ignore[misc]  # in a context of our own


def decimal_of(value: str | int | Decimal, name: str = "value") -> Decimal:
    """Return a finite Decimal from text, an integer or a Decimal.

    Raises :class:`~qts.errors.ContractError` for a float, a bool, NaN, an infinity or text that is no number.
    """
    if isinstance(value, float | bool) or not isinstance(value, str | int | Decimal):
        raise ContractError(f"{name} must be text, an int or a Decimal, not {type(value).__name__} {value!r}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ContractError(f"{name} is not a number: {value!r}") from None
    if not number.is_finite():
        raise ContractError(f"{name} must be finite, got {value!r}")
    return number


def decimal_fraction(text: str) -> Decimal:
    """Return the ratio that ``text`` writes: for the text of a float the decimal, not its binary neighbour.

    More digits than exact arithmetic takes are rounded ("1e-300" is 0).
    """
    number = Decimal(text)
    return number if is_bounded(number) else multiple_of(number, power_of_ten(-MAX_DECIMALS), ROUND_HALF_EVEN)


def positive(value: str | int | Decimal, name: str = "value") -> Decimal:
    """Return :func:`decimal_of` of ``value``. Raises ContractError as it does, and unless the number is above 0."""
    number = decimal_of(value, name)
    if number <= 0:
        raise ContractError(f"{name} must be above 0, got {number}")
    return number


def is_bounded(number: Decimal) -> bool:
    """Return whether exact arithmetic takes ``number``: finite, below 10¹⁵ in size, at most 30 decimals."""
    if not number.is_finite():
        return False
    try:
        _EXACT.quantize(number, _FINEST)  # several times as fast as as_tuple(), and there are four for each fill
    except (Inexact, InvalidOperation):
        return False
    return number.adjusted() < MAX_WHOLE_DIGITS or not number


def power_of_ten(exponent: int) -> Decimal:
    """Return a step of a decimal grid: 0.01 for -2."""
    return Decimal((0, (1,), exponent))


def multiple_of(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """Round ``value`` to a multiple of ``step``: ROUND_FLOOR, ROUND_DOWN, ROUND_CEILING or ROUND_HALF_EVEN."""
    return times(whole_steps(value, step, rounding), step)


def whole_steps(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """Return ``value`` divided by ``step``, rounded to a whole number as :func:`multiple_of` rounds."""
    return _CUT[rounding].divide(value, step).to_integral_value(rounding, _EXACT)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of ``step`` that is not above ``value`` (lots, ticks)."""
    return multiple_of(value, step, ROUND_FLOOR)


def truncate_to(value: Decimal, quantum: Decimal) -> Decimal:
    """Truncate ``value`` toward zero to a multiple of ``quantum``, as the KRX does with fees and taxes."""
    return multiple_of(value, quantum, ROUND_DOWN)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Return whether ``value`` lies on the grid of ``step``."""
    return remainder(value, step) == 0


def split(total: Decimal, weights: Mapping[K, Decimal], quantum: Decimal, remainder_to: K) -> dict[K, Decimal]:
    """Split ``total`` by ``weights`` into whole quanta that sum exactly to it.

    Every part is floored to the quantum; what is left goes to ``remainder_to``. Weights need not sum to 1.
    Raises :class:`~qts.errors.ContractError` when the weights are negative or all zero, when
    ``remainder_to`` is not among them or when ``total`` is negative.
    """
    whole = sum_of(weights.values())
    if total < 0 or whole <= 0 or min(weights.values()) < 0 or remainder_to not in weights:
        raise ContractError(f"cannot split {total} by {dict(weights)!r} with the remainder to {remainder_to!r}")
    # One rounding only: a quotient that was rounded first could be floored to a quantum too much or too little.
    one = times(whole, quantum)
    parts = {key: times(whole_steps(times(total, w), one, ROUND_FLOOR), quantum) for key, w in weights.items()}
    parts[remainder_to] = plus(parts[remainder_to], minus(total, sum_of(parts.values())))
    return parts
