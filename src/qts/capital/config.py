"""Settings of capital flow, file ``config/capital.yaml``; amounts in won."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from qts.capital.contracts import Pool
from qts.money import sum_of

Share = Annotated[
    Decimal,
    msgspec.Meta(description="share of equity", extra={"ge": Decimal(0), "le": Decimal(1)}),
]
Amount = Annotated[
    Decimal,
    msgspec.Meta(description="won", extra={"ge": Decimal(0), "le": Decimal(1_000_000_000_000)}),
]

RELOADABLE: Final = frozenset({"daily_transfer_limit", "min_transfer", "drift_limit"})
"""Fields that may change while running; the rest would move what pools were opened with."""


class PoolLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The size a pool may have."""

    min_share: Share
    max_share: Share
    min_amount: Amount


class CapitalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of capital: its division at the start and the transfers afterwards."""

    pools: Annotated[
        Literal["three", "one"],
        msgspec.Meta(
            description="three: SCALP, SWING and PORTFOLIO; one: all capital is in PORTFOLIO, from which every "
            "strategy pays, and none moves"
        ),
    ] = "three"
    initial_split: Annotated[
        Literal["targets", "scalp"],
        msgspec.Meta(description="targets: by the operating state at the start; scalp: all of it"),
    ] = "targets"
    remainder: Annotated[
        Pool, msgspec.Meta(description="the pool that gets what does not divide into whole won")
    ] = Pool.PORTFOLIO
    daily_transfer_limit: Annotated[
        Decimal,
        msgspec.Meta(
            description="share of equity that may move per day",
            extra={"gt": Decimal(0), "le": Decimal(1)},
        ),
    ] = Decimal("0.05")
    min_transfer: Annotated[
        Decimal,
        msgspec.Meta(
            description="won; a smaller move waits",
            extra={"ge": Decimal(0), "le": Decimal(1_000_000_000_000)},
        ),
    ] = Decimal(100_000)
    drift_limit: Annotated[
        Decimal,
        msgspec.Meta(
            description="distance from the target share that asks for moves, 0.10 = 10 points",
            extra={"gt": Decimal(0), "le": Decimal(1)},
        ),
    ] = Decimal("0.10")
    scalp: Annotated[PoolLimits, msgspec.Meta(description="limits of the SCALP pool")] = PoolLimits(
        min_share=Decimal("0.05"), max_share=Decimal("0.80"), min_amount=Decimal(1_000_000)
    )
    swing: Annotated[PoolLimits, msgspec.Meta(description="limits of the SWING pool")] = PoolLimits(
        min_share=Decimal("0.10"), max_share=Decimal("0.50"), min_amount=Decimal(2_000_000)
    )
    portfolio: Annotated[PoolLimits, msgspec.Meta(description="limits of the PORTFOLIO pool")] = PoolLimits(
        min_share=Decimal("0.05"), max_share=Decimal("0.80"), min_amount=Decimal(3_000_000)
    )

    def paying_pool(self, pool: Pool) -> Pool:
        """Return the pool that pays for a strategy of ``pool``."""
        return Pool.PORTFOLIO if self.pools == "one" else pool

    def limits(self, pool: Pool) -> PoolLimits:
        """Return the limits of ``pool``."""
        return {Pool.SCALP: self.scalp, Pool.SWING: self.swing, Pool.PORTFOLIO: self.portfolio}[pool]

    def without_amounts(self) -> CapitalConfig:
        """Return the same shares without the minimum amounts in won, for an account in another currency."""
        zero = Decimal(0)
        limits = {pool.value.lower(): msgspec.structs.replace(self.limits(pool), min_amount=zero) for pool in Pool}
        return msgspec.structs.replace(self, min_transfer=zero, **limits)

    def problems(self) -> list[tuple[str, str]]:
        """Return (field, what is allowed) for every combination that cannot be used."""
        found = [
            (
                f"{pool.value.lower()}.min_share",
                f"must not be above max_share {self.limits(pool).max_share}, got {self.limits(pool).min_share}",
            )
            for pool in Pool
            if self.limits(pool).min_share > self.limits(pool).max_share
        ]
        lowest = sum_of(self.limits(pool).min_share for pool in Pool)
        highest = sum_of(self.limits(pool).max_share for pool in Pool)
        if lowest > 1:
            found.append(("scalp.min_share", f"the three min_share may sum to at most 1, they sum to {lowest}"))
        if highest < 1:
            found.append(("scalp.max_share", f"the three max_share must sum to at least 1, they sum to {highest}"))
        return found
