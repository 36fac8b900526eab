"""Settings of how orders are executed, file ``config/execution.yaml``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from qts.capital.contracts import Pool
from qts.clock import NS_PER_MS

RELOADABLE: Final[frozenset[str]] = frozenset(
    {"limits", "scalp", "swing", "portfolio", "max_slices", "participation", "profile_minutes"}
)
_HIGHER: Final = {"looser": "higher"}


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time that each state of an execution may last."""

    precheck_ms: Annotated[
        int,
        Meta(ge=1, le=86_400_000, description="ms of the check before anything is sent; then the execution fails"),
    ] = 5_000
    split_ms: Annotated[
        int, Meta(ge=1, le=86_400_000, description="ms of the split into parts; then the execution fails")
    ] = 1_000
    send_ms: Annotated[
        int,
        Meta(
            ge=1, le=86_400_000, description="ms until a part that was sent is answered; then the execution escapes"
        ),
    ] = 10_000
    monitor_ms: Annotated[
        int,
        Meta(ge=1, le=86_400_000, description="ms that a part works without a fill; then it is adjusted (GR064)"),
    ] = 60_000
    adjust_ms: Annotated[
        int, Meta(ge=1, le=86_400_000, description="ms that one adjustment may take; then the execution escapes")
    ] = 30_000
    escape_ms: Annotated[
        int,
        Meta(ge=1, le=86_400_000, description="ms of an escape until it is told again (FS092) while it goes on"),
    ] = 30_000

    def ns(self, name: str) -> int:
        """Return the limit ``name`` in ns."""
        value: int = getattr(self, name)
        return value * NS_PER_MS


class PoolExecution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The adjustments of orders of one pool, and what follows when they do not help."""

    rounds: Annotated[
        int, Meta(ge=0, le=100, description="adjustments of a part that does not fill", extra=_HIGHER)
    ] = 3
    round_ms: Annotated[int, Meta(ge=0, le=3_600_000, description="ms between two adjustments")] = 1_000
    step: Annotated[
        Decimal, Meta(ge=0, le=0.1, description="share of the price by which one adjustment improves it at most")
    ] = Decimal("0.001")
    slippage_limit: Annotated[
        Decimal,
        Meta(
            ge=0,
            le=0.3,
            description="share of the decision price by which an adjusted price may be worse at most; beyond FS094",
            extra=_HIGHER,
        ),
    ] = Decimal("0.005")
    slippage_warning: Annotated[
        Decimal, Meta(ge=0, le=0.3, description="share of the decision price from which on GR063 warns")
    ] = Decimal("0.003")
    unfilled: Annotated[
        Literal["escape", "keep"],
        Meta(
            description="what follows when a part fills in no round: escape sells what was bought, keep gives up "
            "the rest and leaves what was bought"
        ),
    ] = "keep"


class ExecutionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of executions."""

    limits: Annotated[LimitsConfig, Meta(description="how long each state of an execution may last")] = (
        LimitsConfig()
    )
    scalp: Annotated[PoolExecution, Meta(description="adjustments of orders of the pool SCALP")] = PoolExecution(
        unfilled="escape"
    )
    swing: Annotated[PoolExecution, Meta(description="adjustments of orders of the pool SWING")] = PoolExecution()
    portfolio: Annotated[PoolExecution, Meta(description="adjustments of orders of the pool PORTFOLIO")] = (
        PoolExecution()
    )
    max_slices: Annotated[
        int, Meta(ge=1, le=1_000, description="parts of one execution; an algorithm that asks for more is GR060")
    ] = 100
    slices: Annotated[
        int, Meta(ge=1, le=1_000, description="parts of an algorithm that names no number of them")
    ] = 10
    participation: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share of the market's volume that an execution behind its schedule may take to catch up",
            extra=_HIGHER,
        ),
    ] = Decimal("0.10")
    profile_minutes: Annotated[
        int,
        Meta(
            ge=1,
            le=1_440,
            description="minutes before the start that make the profile of a VWAP where no earlier day is known",
        ),
    ] = 30
    liquidate_external: Annotated[
        bool, Meta(description="whether an escape also sells what the account holds beside ours")
    ] = False

    def of(self, pool: Pool) -> PoolExecution:
        """Return the settings of orders of ``pool``."""
        return {Pool.SCALP: self.scalp, Pool.SWING: self.swing, Pool.PORTFOLIO: self.portfolio}[pool]

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (dotted field, message)."""
        found = []
        for name, one in (("scalp", self.scalp), ("swing", self.swing), ("portfolio", self.portfolio)):
            if one.slippage_warning > one.slippage_limit:
                found.append(
                    (f"{name}.slippage_warning", "must not be above slippage_limit, which would come first")
                )
        if self.slices > self.max_slices:
            found.append(("slices", f"must not be above max_slices ({self.max_slices})"))
        return found
