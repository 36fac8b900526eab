"""Rules for what is written to a cache, and the order of levels: the same for every client."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from qts.cache.contracts import CacheWrite, LevelsWrite
from qts.errors import InputError

MOST_TTL_MS: Final = 10 * 366 * 86_400_000
"""Ten years; a server adds it to its clock, and refuses what does not fit."""
MOST_FIELDS: Final = 1_000
MOST_LEVELS: Final = 1_000
"""Fields of a value and levels of a side; a script of the server cannot take more than some thousand words."""
BID, ASK = ":bid", ":ask"
"""What follows the key of levels in the keys of their two sides."""
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def check_write(write: CacheWrite) -> None:
    """Raise InputError for a write that no cache can hold."""
    check_ttl(write.key, write.ttl_ms)
    if not 1 <= len(write.fields) <= MOST_FIELDS:
        raise InputError(f"{write.key!r} has {len(write.fields):,} fields; allowed are 1 to {MOST_FIELDS:,}")
    check_texts(write.key, write.key, *write.fields, *write.fields.values())
    if isinstance(write, LevelsWrite):
        for side in (write.bids, write.asks):
            _check_side(write.key, side)


def check_ttl(key: str, ttl_ms: int) -> None:
    """Raise InputError for a lifetime that is none."""
    if not 1 <= ttl_ms <= MOST_TTL_MS:
        raise InputError(f"{key!r} cannot expire after {ttl_ms} ms; allowed are 1 to {MOST_TTL_MS:,} ms")


def check_texts(key: str, *texts: str) -> None:
    """Raise InputError for a text that has no form in UTF-8."""
    try:
        for text in texts:
            if not text.isascii():
                text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{key!a} has a text that cannot be written in UTF-8; take its lone surrogates out"
        ) from None


def check_prefix(prefix: str) -> None:
    """Raise InputError for a prefix with which all keys begin."""
    if not prefix:
        raise InputError("a prefix of keys to remove is empty, so that it would be all of them; give one")


def best_first(levels: Iterable[tuple[str, str]], *, are_bids: bool) -> list[tuple[str, str]]:
    """Return levels in the exact order of their prices, the highest bid or the lowest ask first; each one once."""
    return sorted(set(levels), key=_place, reverse=are_bids)


def _place(level: tuple[str, str]) -> tuple[Decimal, tuple[str, str]]:
    return Decimal(level[0]), level


def _check_side(key: str, side: Sequence[tuple[str, str]]) -> None:
    if len(side) > MOST_LEVELS:
        raise InputError(f"{key!r} has {len(side):,} levels on a side; allowed are {MOST_LEVELS:,} at most")
    for price, volume in side:
        # A server orders by binary floats, of which the largest is about 1.8e308.
        if not _NUMBER.fullmatch(price) or not math.isfinite(float(price)):
            raise InputError(f"{key!r} has a level at {price!a}, which is no price; allowed are numbers as 71200.5")
        check_texts(key, volume)
