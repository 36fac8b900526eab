"""Checks of the fields that a strategy fills in: each returns a plain value that a checkpoint can keep, or raises.

Plain: no numpy number and no text of a class of its own. ``where`` names the field in the error, as "Intent.qty".
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from typing import Final

from qts.errors import ContractError
from qts.money import MAX_DECIMALS, is_bounded
from qts.strategy.order_terms import TimeInForce

_LEAST: Final = Decimal("1E-12")
_TOO_MUCH: Final = Decimal(10**15)
"""Bounds of a quantity or a price, those of prices and sizes in files: beyond them arithmetic and store fail."""
MAX_TAG: Final = 64
"""Characters that the tag of an order may have."""


def checked_symbol(where: str, value: object) -> str:
    """Return the symbol. Raises ContractError for what is no text, and for an empty one."""
    if not (isinstance(value, str) and value and _is_writable(value)):
        raise ContractError(f"{where} must be a text like '005930', got {value!r}")
    return _plain_text(value)


def checked_text(where: str, value: object) -> str:
    """Return a text for people, "" for none. Raises ContractError for what is none, or for what no file keeps."""
    if not isinstance(value, str):
        raise ContractError(f"{where} must be a text, got {value!r}")
    if not _is_writable(value):
        raise ContractError(f"{where} holds half a character that no file can keep: {value!r}")
    return _plain_text(value)


def checked_tag(where: str, value: object) -> str:
    """Return the tag, "" for none. Raises ContractError for what is no text, and for more than 64 characters."""
    text = checked_text(where, value)
    if len(text) > MAX_TAG:
        raise ContractError(f"{where} may have {MAX_TAG} characters, got {len(text)}")
    return text


def checked_confidence(where: str, value: object) -> float:
    """Return a confidence of 0 to 1. Raises ContractError for anything else, NaN among it."""
    if not isinstance(value, Real | Decimal):
        raise ContractError(f"{where} must be a number between 0 and 1, got {value!r}")
    confidence = math.nan if isinstance(value, Decimal) and value.is_nan() else float(value)
    if not 0.0 <= confidence <= 1.0:  # NaN is not
        raise ContractError(f"{where} must be between 0 and 1, got {value!r}")
    return confidence


def checked_tif(where: str, value: object) -> TimeInForce:
    """Return the time in force. Raises ContractError for anything else."""
    if not isinstance(value, TimeInForce):
        allowed = ", ".join(one.value for one in TimeInForce)
        raise ContractError(f"{where} must be one of {allowed}, imported from qts.kit, got {value!r}")
    return value


def checked_amount(where: str, value: object, *, or_zero: bool = False) -> Decimal | int:
    """Return a quantity or a price: exact, above 0 (``or_zero``: or 0) and of bounded size.

    Raises ContractError for a float, which is no exact number, and for what is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise ContractError(f"{where} must be a Decimal or an int, got {value!r}")
    if or_zero and Decimal(value).is_zero():
        return 0
    if not Decimal(value).is_finite() or value <= 0:
        raise ContractError(
            f"{where} must be finite and {'at least' if or_zero else 'above'} 0, got {_shown(value)}"
        )
    _check_bounds(where, value)
    return value if type(value) in (int, Decimal) else Decimal(value)


def checked_distance(where: str, value: object) -> Decimal:
    """Return a distance above 0, given as a float too, exactly. Raises ContractError for anything else."""
    exact = _exact(where, value, "above 0")
    if exact <= 0:
        raise ContractError(f"{where} must be finite and above 0, got {_shown(value)}")
    _check_bounds(where, exact)
    return exact


def checked_share(where: str, value: object, *, whole: bool) -> Decimal:
    """Return a share, given as a float too, exactly; ``whole``: from 0 to 1, else above 0 and below 1.

    Raises ContractError for anything else.
    """
    allowed = "from 0 to 1" if whole else "above 0 and below 1"
    exact = _exact(where, value, allowed)
    if not (0 <= exact <= 1 if whole else 0 < exact < 1):
        raise ContractError(f"{where} must be {allowed}, got {_shown(value)}")
    if exact:
        _check_bounds(where, exact)
    return exact


def _exact(where: str, value: object, allowed: str) -> Decimal:
    """Return the number as it is written; a binary float as the shortest text that gives it again."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise ContractError(f"{where} must be a number {allowed}, got {value!r}")
    exact = Decimal(value if isinstance(value, Decimal | int) else repr(float(value)))
    if not exact.is_finite():
        why = "; an indicator is NaN until it is ready" if exact.is_nan() else ""
        raise ContractError(f"{where} must be finite and {allowed}, got {_shown(value)}{why}")
    return exact


def _check_bounds(where: str, value: Decimal | int) -> None:
    if not _LEAST <= value < _TOO_MUCH:
        raise ContractError(f"{where} must be from {_LEAST} to below {_TOO_MUCH:.0E}, got {_shown(value)}")
    if not is_bounded(Decimal(value)):
        raise ContractError(f"{where} may have {MAX_DECIMALS} digits behind the point, got {_shown(value)}")


def _plain_text(value: str) -> str:
    return value if type(value) is str else str.__str__(value)


def _shown(value: object) -> str:
    """Return the number as text; Python does not write out integers of thousands of digits."""
    return f"{Decimal(value):.3E}" if isinstance(value, int) and value.bit_length() >= 256 else repr(value)


def _is_writable(text: str) -> bool:
    """Return whether ``text`` is without lone surrogates."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
