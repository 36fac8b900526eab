"""Books and best prices from the answers of KIS to questions about them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from qts.errors import BrokerUnavailable
from qts.market.contracts import BookUpdate, MarketValue, Quote
from qts.market.files.numbers import number_of
from qts.market.files.refusals import NEGATIVE_SIZE, RowRefused
from qts.money import ZERO

_LEVELS: Final = 10


def values_of(symbol: str, fields: Mapping[str, str], ts_ns: int) -> list[MarketValue]:
    """Return a book and its best prices from the answer to a question. Raises BrokerUnavailable for no numbers."""
    try:
        sides = {side: _levels(fields, side) for side in ("bid", "ask")}
        last = positive_number(fields.get("stck_prpr", ""))
    except RowRefused as refused:
        raise BrokerUnavailable(f"KIS: the book of {symbol} has {refused.value!a} where a number stands") from None
    bid, ask = (sides[side][0] if sides[side] else (None, None) for side in ("bid", "ask"))
    if bid[0] is not None and ask[0] is not None and bid[0] > ask[0]:
        raise BrokerUnavailable(f"KIS: the book of {symbol} is crossed")
    return [
        BookUpdate(symbol, ts_ns, sides["bid"], sides["ask"], snapshot=True),
        Quote(symbol, ts_ns, bid[0], ask[0], bid[1], ask[1], last),
    ]


def _levels(fields: Mapping[str, str], side: str) -> tuple[tuple[Decimal, Decimal], ...]:
    found = []
    for number in range(1, _LEVELS + 1):
        price = positive_number(fields.get(f"{side}p{number}", ""))
        if price is not None:
            found.append((price, positive_number(fields.get(f"{side}p_rsqn{number}", "")) or ZERO))
    return tuple(found)


def positive_number(text: str) -> Decimal | None:
    """Return a number above 0; None for an empty text and for 0. Raises RowRefused."""
    number = number_of(text.strip()) if text.strip() else None
    if number is not None and number < 0:
        raise RowRefused(NEGATIVE_SIZE, text)
    return number or None
