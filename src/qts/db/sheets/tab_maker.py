"""Makes tabs and gives them more rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from qts.db.sheets.client import SheetsClient
from qts.db.sheets.tabs import Layout

ROWS: Final = 1_000
"""Rows that a tab is made with, and that it is given at least when it has too few."""


async def make_tabs(client: SheetsClient, tabs: Mapping[str, Layout]) -> None:
    """Make tabs, by title, with their headers: all of them or none. Raises TabExists.

    The number of a tab follows from its title, and all of its cells are plain text: what a person types into one
    again, or opens and leaves, stays the text that it is.
    """
    requests = [request for title, layout in tabs.items() for request in _making(title, layout)]
    await client.change(requests, f"make the tab {' and '.join(tabs)}")


def _making(title: str, layout: Layout) -> list[dict[str, Any]]:
    number = _number(title)
    grid = {"rowCount": ROWS, "columnCount": layout.width, "frozenRowCount": 1}
    return [
        {"addSheet": {"properties": {"sheetId": number, "title": title, "gridProperties": grid}}},
        {
            "repeatCell": {
                "range": {"sheetId": number},
                "cell": {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}},
                "fields": "userEnteredFormat.numberFormat",
            }
        },
        {
            "updateCells": {
                "start": {"sheetId": number, "rowIndex": 0, "columnIndex": 0},
                "rows": [{"values": [{"userEnteredValue": {"stringValue": name}} for name in layout.header]}],
                "fields": "userEnteredValue",
            }
        },
    ]


async def give_rows(client: SheetsClient, title: str, count: int) -> None:
    """Add so many empty rows at the end of a tab of ours; a repeat adds them again."""
    request = {"appendDimension": {"sheetId": _number(title), "dimension": "ROWS", "length": max(count, ROWS)}}
    await client.change([request], f"give the tab {title} more rows")


def _number(title: str) -> int:
    """Return the number that our tab of a title has: 31 bits, not 0, which is that of the first tab."""
    return int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big") % ((1 << 31) - 1) + 1
