"""Settings of the safety manager (file ``config/safety.yaml``)."""

from __future__ import annotations

from typing import Annotated

import msgspec

RELOADABLE: frozenset[str] = frozenset(
    {"warning_clear_minutes", "broker_failure_limit", "broker_failure_window_minutes", "exposure_fail_safe_factor"}
)


class SafetyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of safety: the end of a warning, the limit of broker failures, the history in memory."""

    warning_clear_minutes: Annotated[
        float,
        msgspec.Meta(ge=1, le=1440, description="minutes without any cause after which WARNING ends"),
    ] = 10.0
    broker_failure_limit: Annotated[
        int,
        msgspec.Meta(ge=2, le=10, description="which broker failure (FS040, FS042) locks down (3: the third)"),
    ] = 3
    broker_failure_window_minutes: Annotated[
        float,
        msgspec.Meta(ge=0.5, le=60, description="minutes within which that many failures lock down"),
    ] = 5.0
    exposure_fail_safe_factor: Annotated[
        float,
        msgspec.Meta(gt=1, le=2, description="times the exposure limit; above it is a fail-safe"),
    ] = 1.2
    cycle_jump_factor: Annotated[
        float, msgspec.Meta(ge=1.5, le=100, description="times the expected cycle time that is AN040")
    ] = 3.0
    history_limit: Annotated[
        int, msgspec.Meta(ge=10, le=10_000, description="changes kept in memory; the store keeps all of them")
    ] = 500

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (field, message)."""
        if self.broker_failure_window_minutes > self.warning_clear_minutes:
            return [
                (
                    "broker_failure_window_minutes",
                    f"must not exceed warning_clear_minutes ({self.warning_clear_minutes}), "
                    f"got {self.broker_failure_window_minutes}: a warning would end while its failures still count",
                )
            ]
        return []
