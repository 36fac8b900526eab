"""The price that a shipped strategy reads of a quote, and the confidence that it gives to a signal."""

from __future__ import annotations

from qts.market.contracts import Quote
from qts.money import plus


def mid_of(quote: Quote) -> float | None:
    """Return the middle between the sides, else the last price; None when there is nothing usable.

    A crossed or locked book is not usable, even when a last price stands beside it.
    """
    bid, ask = quote.bid, quote.ask
    if bid is not None and ask is not None:
        return float(plus(bid, ask)) * 0.5 if 0 < bid < ask else None
    last = quote.last
    return float(last) if last is not None and last > 0 else None


def confidence_of(strength: float, half: float) -> float:
    """Return the confidence 0..1 of a signal: 0 for strength 0, 0.5 at ``half``, 0.75 at twice, 1 in the limit."""
    return 1.0 - 0.5 ** (strength / half) if strength > 0.0 else 0.0
