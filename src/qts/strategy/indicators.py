"""Indicators of the shipped strategies, as floats: indicators may be, money may not."""

from __future__ import annotations

from collections.abc import Sequence

from qts.clock import NS_PER_S
from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
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


def ema_weight(samples: int) -> float:
    """Return the weight of the newest sample in an exponential mean over ``samples`` samples: 2 / (n + 1)."""
    return 2.0 / (samples + 1)


def confidence_of(strength: float, half: float) -> float:
    """Return the confidence 0..1 of a signal: 0 for strength 0, 0.5 at ``half``, 0.75 at twice, 1 in the limit."""
    return 1.0 - 0.5 ** (strength / half) if strength > 0.0 else 0.0


def true_range(bar: Bar, previous_close: float) -> float:
    """Return the bar's range including the gap from the close before it."""
    return max(float(bar.high), previous_close) - min(float(bar.low), previous_close)


def nanoseconds(seconds: float, name: str) -> int:
    """Convert ``seconds`` (finite, ≥ 0) to whole nanoseconds. Raises ContractError naming the parameter."""
    if not 0.0 <= seconds < float("inf"):
        raise ContractError(f"{name} must be a finite number of seconds, 0 or more, got {seconds!r}")
    return round(seconds * NS_PER_S)


def check_above(name: str, value: float, floor: float) -> None:
    """Raise ContractError unless ``value`` > ``floor`` and finite (NaN fails)."""
    if not floor < value < float("inf"):
        raise ContractError(f"{name} must be a finite number above {floor}, got {value!r}")


def symbols_of(symbols: Sequence[str]) -> tuple[str, ...]:
    """Return the symbols as a tuple. Raises ContractError for a single text, read letter by letter."""
    if isinstance(symbols, str):
        raise ContractError(f"symbols must be a list of symbols, got the text {symbols!r}; write ({symbols!r},)")
    return tuple(symbols)
