"""The currency in which symbols are paid, as their names show it, where the user has set none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from qts.errors import DataError
from qts.market.contracts import Instrument
from qts.market.files.symbols import is_korean_code, is_won_pair

_WON: Final = "KRW"
_DOLLAR: Final = "USD"
_US: Final = ".US"
_SET: Final = "--set runtime.currency=... (and runtime.equity_start)"
_CLASSES: Final = frozenset("ABCK")
"""Letters behind a point that name a class of shares, such as BRK.B, and no exchange."""


def currency_of(symbols: Iterable[str], own: Mapping[str, Instrument]) -> str:
    """Return the one currency of ``symbols``. Raises DataError where they show several, or one shows none."""
    found: dict[str, str] = {}
    for symbol in symbols:
        found.setdefault(_currency_of(symbol, own), symbol)
    if len(found) > 1:
        named = ", ".join(f"{symbol} {currency}" for currency, symbol in found.items())
        raise DataError(
            f"the symbols are paid in several currencies ({named}); a run has one: leave some files out"
        )
    return next(iter(found), _WON)


def _currency_of(symbol: str, own: Mapping[str, Instrument]) -> str:
    if symbol in own:
        return own[symbol].currency
    if is_korean_code(symbol) or is_won_pair(symbol):
        return _WON
    for quoted in ("USDT", "USDC", "BUSD"):
        if symbol.endswith(quoted) and len(symbol) > len(quoted):
            return quoted
    _, point, suffix = symbol.rpartition(".")
    if point and suffix not in _CLASSES and not symbol.endswith(_US):
        raise DataError(f"{symbol}: in which currency it is paid is not known; set it: {_SET}")
    if symbol.isdigit():
        raise DataError(
            f"{symbol!r} is no symbol we know; if it is a Korean code, its leading zeros are lost: "
            f"{symbol.zfill(6)} (--symbol, or keep the column as text)"
        )
    return _DOLLAR
