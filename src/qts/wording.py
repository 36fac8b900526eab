"""Counts in sentences for people: one place knows the plural."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return ``count`` with its noun: "1 order", "2,000 orders"; ``plural`` where an s does not make it."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
