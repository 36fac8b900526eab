"""Settings of the KIS websocket, group ``kis.stream`` of ``config/broker.yaml``.

None of them changes the result of a replay, so none is part of the run id.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}
Venue: TypeAlias = Literal["KRX", "NXT", "unified"]
"""Whose prices are asked for; unified: those of KRX and NXT as one."""


class StreamConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the one websocket session of an application key."""

    venue: Annotated[
        Venue,
        Meta(description="whose prices come: KRX, NXT, or both as one (unified)", extra=_DISPLAY),
    ] = "KRX"
    registrations: Annotated[
        int,
        Meta(ge=1, le=41, description="registrations at once; KIS takes 41 of a session", extra=_DISPLAY),
    ] = 41
    command_ms: Annotated[
        int,
        Meta(ge=0, le=10_000, description="ms between two commands; KIS wants 100", extra=_DISPLAY),
    ] = 100
    silence_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=600_000,
            description="ms without any answer after which the connection counts as lost, and is made again",
            extra=_DISPLAY,
        ),
    ] = 3_000
    quiet_ms: Annotated[
        int,
        Meta(
            ge=1_000,
            le=600_000,
            description="the same, where KIS answers no pings: ms without data or its own PINGPONG",
            extra=_DISPLAY,
        ),
    ] = 30_000
    late_s: Annotated[
        int,
        Meta(
            ge=0,
            le=3_600,
            description="seconds after the exchange's time from which on a value is too old to use; 0: never",
            extra=_DISPLAY,
        ),
    ] = 5
    record: Annotated[
        bool,
        Meta(
            description="whether the session keeps in its directory what KIS sends, to replay it",
            extra=_DISPLAY,
        ),
    ] = True
    record_steps: Annotated[
        bool,
        Meta(
            description="whether a session that records also keeps what it took from outside, in its order and "
            "with its times, so that qts replay can do the same again",
            extra=_DISPLAY,
        ),
    ] = True

    @property
    def keeps_steps(self) -> bool:
        """Return whether steps are recorded."""
        return self.record and self.record_steps

    first_pause_ms: Annotated[
        int,
        Meta(ge=1, le=60_000, description="ms before the first new connection; doubled each time", extra=_DISPLAY),
    ] = 500
    longest_pause_s: Annotated[
        int,
        Meta(ge=1, le=3_600, description="seconds between two attempts to connect, at most", extra=_DISPLAY),
    ] = 30
    in_use_pause_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="seconds before the next attempt where another program uses the same application key",
            extra=_DISPLAY,
        ),
    ] = 60
