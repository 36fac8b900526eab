"""A spreadsheet of Google Sheets that follows the local books, over google-auth and four calls of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qts.db.sheets.adapter import GoogleSheetsAdapter

__all__ = ["GoogleSheetsAdapter"]


def __getattr__(name: str) -> Any:
    # Not imported before it is asked for: the URL is read without it.
    if name == "GoogleSheetsAdapter":
        from qts.db.sheets.adapter import GoogleSheetsAdapter

        return GoogleSheetsAdapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
