"""Settings of the decision path."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec

Share = Annotated[Decimal, msgspec.Meta(gt=0, le=1)]

RELOADABLE: frozenset[str] = frozenset({"market_buy_collar", "bar_buy_reserve"})


class PipelineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the way from an intent to an order."""

    market_buy_collar: Annotated[
        Decimal,
        msgspec.Meta(
            ge=0, le=0.3, description="share of the price; a market buy leaves as a limit this far above it"
        ),
    ] = Decimal("0.01")
    bar_buy_reserve: Annotated[
        Decimal,
        msgspec.Meta(
            ge=0,
            le=1,
            description="share of the pool's free money that a market buy on bars sets aside at most, "
            "beyond its cost at the last price, in case the next bar opens higher",
        ),
    ] = Decimal("0.02")
    forced_exit_retry_s: Annotated[
        int, msgspec.Meta(ge=1, le=3600, description="seconds between attempts of a forced exit that was refused")
    ] = 60

    def problems(self) -> list[tuple[str, str]]:
        """Find impossible combinations: none, the settings are independent."""
        return []
