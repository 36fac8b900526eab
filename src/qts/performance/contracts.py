"""The facts that performance is computed from, and figures that may be unknown.

Amounts are exact Decimals of one currency. Ratios are floats: no amount is made from them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from qts.money import ZERO
from qts.notes import Note


class Figure(msgspec.Struct, frozen=True):
    """A ratio, or why there is none: exactly one of the two is None."""

    value: float | None = None
    why: Note | None = None


class Amount(msgspec.Struct, frozen=True):
    """An amount of the currency, or why there is none: exactly one of the two is None.

    An average has 28 digits; nothing is booked with it.
    """

    value: Decimal | None = None
    why: Note | None = None


class Close(msgspec.Struct, frozen=True):
    """The account at the close of a session: equity, and the value ``held`` of its positions (0: none).

    ``day`` is the market's own date.
    """

    day: date
    equity: Decimal
    held: Decimal = ZERO


class Flow(msgspec.Struct, frozen=True):
    """Capital that came in (above 0) or was taken out (below 0): no result of trading."""

    day: date
    amount: Decimal


class DailyReturn(NamedTuple):
    """The return of one session: 0.01 is one per cent."""

    day: date
    value: float


class RoundTrip(msgspec.Struct, frozen=True):
    """A holding of one strategy in one symbol, from its first purchase until it was flat.

    ``bought`` and ``sold`` are amounts without costs; ``costs`` are fees and taxes of all its fills and dividends;
    ``paid`` is the cash of dividends and of fractions of shares. Times are ns since 1970 UTC.

    ``entry_price`` is the average of what was bought, for each share as it was counted at the end. ``low`` and
    ``high`` are the extreme prices while it was held; None: not seen, or not comparable because shares were split.
    ``risk`` is the amount that the stop of its entry put at stake; None: it had no stop. ``ended_by`` is the level
    of the position that its last sale had reached: stop, take or trail; "" when something else ended it.
    """

    strategy: str
    symbol: str
    begun_ns: int
    ended_ns: int
    bought: Decimal
    sold: Decimal
    costs: Decimal
    entry_price: Decimal
    result: Decimal
    paid: Decimal = ZERO
    low: Decimal | None = None
    high: Decimal | None = None
    risk: Decimal | None = None
    ended_by: str = ""
