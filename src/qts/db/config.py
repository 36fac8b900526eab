"""Settings of the servers that follow the local book, file ``config/store.yaml``.

None of them changes a result of a replay, so none is part of the run id: a run may be resumed with other ones.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}
DATABASE: Final = "database"
"""The name of the follower on the database of ``--db``, the one that ``store.durability`` may wait for."""
SHEETS: Final = "sheets"
"""The name of the follower on the spreadsheet of ``--sheets``, for which nothing ever waits."""
AUTO: Final = "auto"


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the servers that follow the local book; without ``--db`` and ``--sheets`` none does anything."""

    data_source_mode: Annotated[
        Literal["auto", "SHEETS_ONLY", "HYBRID", "DB_ONLY"],
        Meta(
            description="which servers follow, the spreadsheet of --sheets, the database of --db, or both, and "
            "which one is read: SHEETS_ONLY the spreadsheet, HYBRID and DB_ONLY the database; auto: what the "
            "environment variable DATA_SOURCE_MODE says, else all that are named",
            extra=_DISPLAY,
        ),
    ] = "auto"

    durability: Annotated[
        Literal["local", "server"],
        Meta(
            description="local: an order leaves once its intent is in the local book; server: in real time it "
            "waits until the server has the intent too, and while the server is away or behind entries are refused "
            "(STORE_BEHIND); exits always leave on the local book",
            extra=_DISPLAY,
        ),
    ] = "local"
    wait_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=5_000,
            description="longest wait, in ms, of an intent for the server; then an entry is refused",
            extra=_DISPLAY,
        ),
    ] = 250
    lag_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3_600,
            description="age, in seconds, of the oldest batch the server lacks, above which it counts as behind",
            extra=_DISPLAY,
        ),
    ] = 5.0
    lag_batches: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="batches that the server lacks above which it counts as behind",
            extra=_DISPLAY,
        ),
    ] = 1_000
    sheets_lag_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86_400,
            description="age, in seconds, of the oldest batch that the spreadsheet lacks above which a warning is "
            "raised; nothing waits for it",
            extra=_DISPLAY,
        ),
    ] = 300.0
    sheets_check_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="time, in seconds, between two comparisons of the spreadsheet with the local book, which "
            "find rows that someone changed there; 0: never",
            extra=_DISPLAY,
        ),
    ] = 300.0
    outbox_alarm_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="MB of batches waiting in the local book for the server above which an alarm is raised; "
            "nothing is dropped",
            extra=_DISPLAY,
        ),
    ] = 512
    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="longest time, in seconds, that the end of a session waits until the server has everything",
            extra=_DISPLAY,
        ),
    ] = 60.0

    tick_retention_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="days for which recorded market values are kept on the server after their day, or after "
            "they were recorded; their bars of a day stay; 0: for all time",
            extra=_DISPLAY,
        ),
    ] = 30
    minute_retention_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="days for which bars of a minute are kept on the server; 0: for all time",
            extra=_DISPLAY,
        ),
    ] = 30

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message): none."""
        return []
