"""Counts in sentences for people, where one place knows the plural, and texts of other programs in them."""

from __future__ import annotations

from typing import Final

_MOST_OF_OTHERS: Final = 500


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return ``count`` with its noun: "1 order", "2,000 orders"; ``plural`` where an s does not make it."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def printable(text: str, most: int = _MOST_OF_OTHERS) -> str:
    """Return at most ``most`` characters of a text of another program, in one line.

    A terminal would obey some characters, and some turn the direction of a line: they are shown as escapes.
    """
    cut = text if len(text) <= most else f"{text[:most]}…"
    return cut if cut.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in cut)
