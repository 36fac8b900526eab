"""Settings of the gateway, group ``gateway`` of ``config/broker.yaml``.

None of them changes the result of a replay, whose venue answers at once, so none is part of the run id.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()
_DISPLAY: Final = {"display": True}


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the gateway; they apply at brokers that are not simulated."""

    answer_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="ms that a broker has for the answer to an order or a cancel; then it is unknown, and the "
            "broker's books are asked",
            extra=_DISPLAY,
        ),
    ] = 5_000
    entry_wait_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=600_000,
            description="ms that an entry may wait for its turn; an older one is not sent, since its price is past",
            extra=_DISPLAY,
        ),
    ] = 1_000
    in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="orders and queries that may wait for the broker's answer at once; cancels are not "
            "counted, and from 4 up half are kept for exits and for questions about orders of unknown fate",
            extra=_DISPLAY,
        ),
    ] = 64
    clock_warning_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=60_000,
            description="ms that our clock may differ from the broker's as far as its answers prove; more is AN040",
            extra=_DISPLAY,
        ),
    ] = 500
    clock_fail_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=60_000,
            description="ms from which on such a difference is FS060: no new orders",
            extra=_DISPLAY,
        ),
    ] = 2_000
    file_kb: Annotated[
        int,
        Meta(
            ge=16,
            le=1_048_576,
            description="KiB of the gateway's file from which on it is rewritten without what the store has",
            extra=_DISPLAY,
        ),
    ] = 256
