"""The symbol of a file of bars: from its column, from ``--symbol``, or from the name of the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from qts.errors import DataError
from qts.market.files.symbols import MAX_SYMBOL_LENGTH

SUFFIXES: Final = (".gz", ".csv", ".txt", ".tsv", ".json", ".feather", ".parquet")
"""What is cut from the end of a file's name, again and again."""
_KOREAN: Final = re.compile(r"(?:^|[^0-9A-Za-z])A?([0-9][0-9A-Z]{5})(?:\.(KS|KQ))?(?![0-9A-Za-z])", re.ASCII)
_DECORATION: Final = re.compile(
    r"(?:[-_ ]+|^)(?:\(?[0-9]{1,3}\)?|[0-9]{4}-?[0-9]{2}(?:-?[0-9]{2})?|[0-9]{4}|[0-9]{1,2}(?:s|m|min|h|d|w|mo)"
    r"|d|w|m|daily|weekly|monthly|hourly|futures|max|full|historical|history|data|prices?|ohlcv?)$",
    re.ASCII | re.IGNORECASE,
)
"""Ends of a name that are no part of a symbol: (1), 2024-01, 20240131, 1d, daily."""
_YEAR_AND_MONTH: Final = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])", re.ASCII)
_SYMBOL: Final = re.compile(rf"[A-Za-z0-9^][A-Za-z0-9.^=&/_-]{{0,{MAX_SYMBOL_LENGTH - 1}}}", re.ASCII)
_GENERIC: Final = frozenset(
    {"data", "table", "prices", "price", "history", "download", "export", "bars", "ohlcv", "sheet"}
)


def is_korean_name(path: Path) -> bool:
    """Return whether the name of the file holds a Korean code."""
    return _korean_in(_stem(path)) is not None


def symbol_of_name(path: Path) -> str:
    """Return the symbol that the name of a file shows. Raises DataError for a name that shows none."""
    stem = _stem(path)
    korean = _korean_in(stem)
    if korean is not None:
        return f"{korean[1]}.{korean[2]}" if korean[2] else korean[1]
    before = None
    while stem != before:
        before, stem = stem, _DECORATION.sub("", stem)
    if not _SYMBOL.fullmatch(stem) or stem.lower() in _GENERIC or not any(char.isalpha() for char in stem):
        raise DataError(
            f"{path}: the file has no column of symbols and its name shows none; name it with --symbol, such as "
            "--symbol AAPL, or call the file by its symbol"
        )
    return stem.upper()


def _korean_in(stem: str) -> re.Match[str] | None:
    """Return the Korean code in a name; a month such as 202401 beside a name in ASCII letters is none."""
    found = _KOREAN.search(stem)
    if found is not None and _YEAR_AND_MONTH.fullmatch(found[1]) and re.search("[A-Za-z]{2}", stem, re.ASCII):
        return None
    return found


def _stem(path: Path) -> str:
    name = path.name
    while (cut := next((end for end in SUFFIXES if name.lower().endswith(end)), None)) is not None:
        name = name[: -len(cut)]
    return name
