"""Settings of recorded data, file ``config/data.yaml``: prepared captures.

None of them changes a result, so none is part of the run id: a run may be resumed with other ones.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of recorded data."""

    prepared: Annotated[
        Literal["auto", "off"],
        Meta(
            description="auto: a replay keeps a recorded file in a prepared form in the user's cache directory and "
            "replays that the next time; off: it reads the recorded file every time; the result is the same",
            extra={"display": True},
        ),
    ] = "auto"
    prepared_mb: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="MB of prepared captures that are kept; those not used for the longest time go first",
            extra={"display": True},
        ),
    ] = 4_096

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message): none."""
        return []
