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

_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)


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
    """Return the number of an option, above 0, such as 1,000,000. Raises ArgumentTypeError for anything else."""
    digits = text.replace(",", "").replace("_", "")
    if not _NUMBER.fullmatch(digits) or not Decimal(digits):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 such as 1000000")
    return Decimal(digits)


def terminal_width() -> int:
    """Return the width of the terminal in cells; 200 for a file or a pipe unless COLUMNS is set."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return 200
