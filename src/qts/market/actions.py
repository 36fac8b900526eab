"""Corporate actions: splits and cash dividends by ex-date, and the port of a source that knows them.

The ex-date is the first date, in the market's own time zone, on which a share trades without what the action gives:
a split counts from then on, and a dividend is paid for the shares held at the close before. Everything here
is pure; what an action does to an account is in :mod:`qts.ledger.account`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from qts.errors import ContractError
from qts.money import ONE, is_bounded, power_of_ten, times, whole_steps, without_zeros

_FINEST_PRICE: Final = power_of_ten(-16)
"""Step of a converted price that has no end, such as a third of another one."""


class Split(msgspec.Struct, frozen=True, tag=True):
    """A split of the shares of ``symbol``: ``new`` shares take the place of ``old`` ones on the ex-date ``day``.

    50 and 1 for a split of 50:1, 1 and 10 for ten old shares that become one, 3 and 2 for 3:2. Both are kept,
    because the ratio of 1:3 has no end as a Decimal. Raises ContractError for numbers that are not finite, not
    above 0, out of the range of exact arithmetic, or the same.
    """

    symbol: str
    day: date
    new: Decimal
    old: Decimal = ONE

    def __post_init__(self) -> None:
        for name in ("new", "old"):
            _check(getattr(self, name), f"split of {self.symbol} on {self.day}: {name}")
        if self.new == self.old:
            raise ContractError(f"split of {self.symbol} on {self.day}: {self.new}:{self.old} changes nothing")

    def __str__(self) -> str:
        return f"{self.new:f}:{self.old:f}"

    def price(self, price: Decimal) -> Decimal:
        """Return what ``price`` of a share before the split is after it: exact, or to 16 decimals without end."""
        steps = whole_steps(times(price, self.old), times(self.new, _FINEST_PRICE), ROUND_HALF_EVEN)
        return Decimal(f"{without_zeros(times(steps, _FINEST_PRICE)):f}")

    def shares(self, qty: Decimal, lot: Decimal) -> Decimal:
        """Return the whole lots that ``qty`` shares become, cut toward zero; the rest is a fraction."""
        return times(whole_steps(times(qty, self.new), times(self.old, lot), ROUND_DOWN), lot)


class Dividend(msgspec.Struct, frozen=True, tag=True):
    """A cash dividend of ``amount`` for each share of ``symbol`` held at the close before the ex-date ``day``.

    In the instrument's currency, before tax. Raises ContractError for an amount that is not finite, not above 0, or
    out of the range of exact arithmetic.
    """

    symbol: str
    day: date
    amount: Decimal

    def __post_init__(self) -> None:
        _check(self.amount, f"dividend of {self.symbol} on {self.day}: amount")


CorporateAction: TypeAlias = Split | Dividend


@runtime_checkable
class ActionSource(Protocol):
    """The part of a feed that knows corporate actions; a feed without it has none.

    Read on the loop's thread before the first value; reading never raises and never waits.
    """

    @property
    def actions(self) -> Sequence[CorporateAction]:
        """Return the actions of the source's instruments, in any order; constant for the life of the source.

        They decide about money, so a feed that can be read again names them in its ``source_id``.
        """
        ...


def actions_of(feed: object) -> tuple[CorporateAction, ...]:
    """Return the actions that ``feed`` knows in the order in which they are applied; () when it knows none.

    By ex-date, then by symbol, a dividend before a split of the same day: it is of the shares held before. Raises
    ContractError for two of the same kind, symbol and day.
    """
    return in_order(feed.actions) if isinstance(feed, ActionSource) else ()


def in_order(actions: Iterable[CorporateAction]) -> tuple[CorporateAction, ...]:
    """Return ``actions`` in the order in which they are applied. Raises as :func:`actions_of` does."""
    ordered = tuple(sorted(actions, key=_place))
    for one, other in pairwise(ordered):
        if _place(one) == _place(other):
            kind = "splits" if isinstance(one, Split) else "dividends"
            raise ContractError(f"two {kind} of {one.symbol} on {one.day}; give one that stands for both")
    return ordered


def _place(action: CorporateAction) -> tuple[date, str, bool]:
    return action.day, action.symbol, isinstance(action, Split)


def _check(number: Decimal, name: str) -> None:
    if not (number.is_finite() and number > 0 and is_bounded(number)):
        raise ContractError(f"{name} must be a number above 0, got {number}")
