"""Settings of the spreadsheet that follows the local book, file ``config/sheets.yaml``.

None of them changes a result, so none is part of the run id: a run may be resumed with other ones.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}
GOOGLE: Final = "https://sheets.googleapis.com/v4/spreadsheets"


class SheetsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the spreadsheet of Google Sheets; without ``--sheets`` none of them does anything."""

    base_url: Annotated[
        str,
        Meta(
            description="where the API of Google Sheets is, up to the id of the spreadsheet · https, or http on "
            "this machine",
            extra=_DISPLAY,
        ),
    ] = GOOGLE
    calls_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=300,
            description="most calls of the API in any minute; Google allows 60 reads and 60 writes for each user "
            "of a project, all programs together",
            extra=_DISPLAY,
        ),
    ] = 50
    timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=180,
            description="how long, in seconds, a call may take; Google ends one after 180",
            extra=_DISPLAY,
        ),
    ] = 30.0

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        if self.base_url == GOOGLE:
            return []
        from qts.access import is_safe  # it brings encryption along, which the default settings do not need

        if is_safe(self.base_url):
            return []
        return [("base_url", "has to be https://HOST/…, or http:// on this machine")]
