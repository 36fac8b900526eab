"""Small files of bars for the tests, written by hand in the forms of their vendors, and how to read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.bars.feed import BarFeed
from qts.market.bars.opener import open_bars
from qts.market.contracts import Bar
from qts.market.files.reading import read_as

HEADER = "date,open,high,low,close,volume"
THREE_DAYS = f"""{HEADER}
2024-01-02,187.15,188.44,183.89,185.64,82488700
2024-01-03,184.22,185.88,183.43,184.25,58414500
2024-01-04,182.15,183.09,180.88,181.91,71983600
"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def opened(*paths: Path, currency: str | None = None, **declared: str) -> BarFeed:
    """The feed of files, with nothing set by the user but what is ``declared``."""
    return open_bars(paths, currency=currency, read_as=read_as(**declared))


def bars(*paths: Path, currency: str | None = None, **declared: str) -> list[Bar]:
    feed = opened(*paths, currency=currency, **declared)
    return [value for value in feed.values() if isinstance(value, Bar)]


def refusal(*paths: Path, currency: str | None = None, **declared: str) -> str:
    """The one line that says why files cannot be used."""
    with pytest.raises(DataError) as error:
        opened(*paths, currency=currency, **declared)
    assert error.value.exit_code == 2
    text = str(error.value)
    assert text.isprintable()
    return text


def note_codes(feed: BarFeed) -> set[str]:
    return {note.code for note in feed.notes}
