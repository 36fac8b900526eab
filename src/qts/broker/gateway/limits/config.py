"""Settings of the limits at the entry of the gateway, group ``limits`` of ``config/broker.yaml``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

RELOADABLE: Final[frozenset[str]] = frozenset()


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of orders. They hold for each order as it is, of every strategy and of the rules."""

    enabled: Annotated[
        bool,
        Meta(
            description="whether the limits hold at the simulated exchange; at a broker that is not simulated they "
            "always do"
        ),
    ] = True
    max_order_qty: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1_000_000_000_000_000,
            description="shares or contracts of one entry at most; an exit may be larger, it never sells more than "
            "is held",
        ),
    ] = Decimal(1_000_000)

    def problems(self) -> list[tuple[str, str]]:
        """Return combinations that contradict each other, as (field, message)."""
        return []
