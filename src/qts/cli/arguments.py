"""Values of options that several commands take, and the width of what they print on."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from datetime import date
from decimal import Decimal
from typing import Final

_NUMBER: Final = re.compile(r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+|[0-9]{1,3}(_[0-9]{3})+)(\.[0-9]+)?", re.ASCII)
_MOST_DIGITS, _MOST_DECIMALS = 15, 12


def day_of(text: str) -> date:
    """Return the date of an option. Raises ArgumentTypeError that says how one is written."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2014-01-31") from None


def count_of(text: str) -> int:
    """Return the whole number of an option, 0 or above. Raises ArgumentTypeError for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return int(text)


def amount_of(text: str) -> Decimal:
    """Return the number of an option, above 0, such as 1,000,000. Raises ArgumentTypeError for anything else.

    A comma or an underscore stands between groups of three digits; in any other place its meaning would be a guess.
    """
    if not _NUMBER.fullmatch(text) or not Decimal(digits := text.replace(",", "").replace("_", "")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number above 0 in plain digits such as 1000000, 1,000,000 or 250.5"
        )
    whole, _, decimals = digits.partition(".")
    if len(whole) > _MOST_DIGITS or len(decimals) > _MOST_DECIMALS:
        raise argparse.ArgumentTypeError(
            f"{text!r} has too many digits: at most {_MOST_DIGITS} and {_MOST_DECIMALS} decimals are allowed"
        )
    return Decimal(digits)


def name_of(text: str) -> str:
    """Return the name that an option gives. Raises ArgumentTypeError for an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def terminal_width() -> int:
    """Return the width of the terminal in cells; 200 for a file or a pipe unless COLUMNS is set."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return 200
