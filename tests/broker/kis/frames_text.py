"""Texts of frames of the KIS websocket for tests: records by the names of their fields, others empty."""

from __future__ import annotations

from collections.abc import Mapping

TRADE: Mapping[int, str] = {
    0: "005930",
    1: "100000",
    2: "70000",
    3: "2",
    4: "500",
    8: "70500",
    9: "69000",
    10: "70100",
    11: "70000",
    12: "7",
    13: "1000",
    21: "1",
    33: "20260122",
    36: "30",
    37: "40",
}
"""A trade of 7 shares at 70,000 by a buyer, 500 above the base price, at 10:00:00 of 22 January 2026."""


def trade_record(width: int = 47, **changes: str) -> str:
    """Return a record of a trade; ``f12="8"`` sets field 12."""
    return _record(TRADE, width, changes)


def book_record(width: int = 63, **changes: str) -> str:
    """Return a book: asks 70,100 … 71,000, bids 70,000 … 69,100, sizes 1 … 10 and 11 … 20."""
    fields = {0: "005930", 1: "100000", 2: "0"}
    for level in range(10):
        fields |= {
            3 + level: str(70_100 + 100 * level),
            13 + level: str(70_000 - 100 * level),
            23 + level: str(1 + level),
            33 + level: str(11 + level),
        }
    return _record(fields, width, changes)


def frame(name: str, *records: str) -> str:
    """Return the frame of records."""
    return f"0|{name}|{len(records):03}|{'^'.join(records)}"


def _record(fields: Mapping[int, str], width: int, changes: Mapping[str, str]) -> str:
    fields = {**fields, **{int(name[1:]): text for name, text in changes.items()}}
    return "^".join(fields.get(place, "") for place in range(width))
