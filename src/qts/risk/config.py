"""The numbers of the pre-trade gate, file ``config/risk.yaml``.

Fractions are written as floats in the file and become Decimals before any money is compared with them.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

_HIGHER: Final = {"looser": "higher"}
_LOWER: Final = {"looser": "lower"}
"""The direction in which a limit lets more pass: such a change of a running session has to be confirmed."""
RELOADABLE: Final[frozenset[str]] = frozenset(
    {
        "exposure_limit",
        "symbol_weight_limit",
        "daily_loss_warning",
        "daily_loss_limit",
        "position_size_limit",
        "order_rate_per_second",
        "order_rate_kept_for_exits",
        "max_open_orders",
        "max_price_deviation",
        "market_order_allowance",
        "reject_wait_s",
        "reject_wait_max_s",
        "rejects_before_stop",
        "rejects_before_fail",
        "reject_storm_window_s",
    }
)


class RiskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base limits, before the operating state's risk multiplier."""

    exposure_limit: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=1,
            description="fraction of equity; holdings plus working entries above it: GR001",
            extra=_HIGHER,
        ),
    ] = 0.95
    symbol_weight_limit: Annotated[
        float,
        msgspec.Meta(gt=0, le=1, description="fraction of equity in one symbol, above it: GR010", extra=_HIGHER),
    ] = 0.15
    daily_loss_warning: Annotated[
        float,
        msgspec.Meta(gt=0, le=1, description="fraction of the day's opening equity lost: GR020", extra=_HIGHER),
    ] = 0.03
    daily_loss_limit: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=1,
            description="fraction of the day's opening equity lost: no entries from here on",
            extra=_HIGHER,
        ),
    ] = 0.05
    position_size_limit: Annotated[
        float,
        msgspec.Meta(
            gt=0, le=1, description="fraction of the pool's free budget that one sized entry takes", extra=_HIGHER
        ),
    ] = 0.20
    order_rate_per_second: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="orders within one second, all together", extra=_HIGHER)
    ] = 15
    order_rate_kept_for_exits: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=999_999,
            description="orders per second that entries leave free for exits (at least half is advised)",
            extra=_LOWER,
        ),
    ] = 8
    max_open_orders: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=100_000, description="working orders of the account at which entries stop", extra=_HIGHER
        ),
    ] = 50
    approval_ttl_ms: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=60_000, description="milliseconds an approval may be used; the limit of the pre-trade check"
        ),
    ] = 5_000
    max_price_deviation: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=0.30,
            description="fraction of the price by which a limit may be above it for a buy, below it for a sell",
            extra=_HIGHER,
        ),
    ] = 0.03
    market_order_allowance: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=0.30,
            description="fraction added to the cost of an entry without a limit, for slippage",
            extra=_LOWER,
        ),
    ] = 0.005
    reject_wait_s: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=600,
            description="seconds an entry waits in a symbol after a rejected order; doubled with each more in a "
            "row",
            extra=_LOWER,
        ),
    ] = 1.0
    reject_wait_max_s: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=3600, description="longest of these waits, in seconds", extra=_LOWER),
    ] = 60.0
    rejects_before_stop: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=100,
            description="rejected orders in a row after which a symbol takes no entries that day",
            extra=_HIGHER,
        ),
    ] = 5
    rejects_before_fail: Annotated[
        int,
        msgspec.Meta(
            ge=2,
            le=1000,
            description="rejected orders of the account within the window that are FS043",
            extra=_HIGHER,
        ),
    ] = 20
    reject_storm_window_s: Annotated[
        int,
        msgspec.Meta(ge=1, le=3600, description="seconds within which that many rejects are FS043", extra=_LOWER),
    ] = 60

    def problems(self) -> list[tuple[str, str]]:
        """Find values that are not finite and pairs that contradict each other, as (field, message)."""
        found = [
            (name, f"{name} must be a finite number, got {value}")
            for name in self.__struct_fields__
            if not math.isfinite(value := getattr(self, name))
        ]
        if self.daily_loss_warning >= self.daily_loss_limit:
            found.append(
                (
                    "daily_loss_warning",
                    f"daily_loss_warning {self.daily_loss_warning} must be below daily_loss_limit "
                    f"{self.daily_loss_limit}, or the warning comes too late",
                )
            )
        if self.symbol_weight_limit > self.exposure_limit:
            found.append(
                (
                    "symbol_weight_limit",
                    f"symbol_weight_limit {self.symbol_weight_limit} must not be above exposure_limit "
                    f"{self.exposure_limit}, it would never apply",
                )
            )
        if self.order_rate_kept_for_exits >= self.order_rate_per_second:
            found.append(
                (
                    "order_rate_kept_for_exits",
                    f"order_rate_kept_for_exits {self.order_rate_kept_for_exits} must be below "
                    f"order_rate_per_second {self.order_rate_per_second}, or no entry ever leaves",
                )
            )
        if self.reject_wait_s > self.reject_wait_max_s:
            found.append(
                (
                    "reject_wait_s",
                    f"reject_wait_s {self.reject_wait_s} must not be above reject_wait_max_s "
                    f"{self.reject_wait_max_s}, its longest",
                )
            )
        return found
