"""Settings of the limits at the entry of the gateway, group ``limits`` of ``config/broker.yaml``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from qts.market.session_info import Designation, TradingStatus, VenuePhase

RELOADABLE: Final[frozenset[str]] = frozenset(
    {
        "max_order_qty",
        "max_order_value",
        "max_volume_share",
        "price_collar",
        "exit_collar",
        "exit_collar_step",
        "restricted_symbols",
        "no_entry_status",
        "no_entry_phases",
        "no_entry_designations",
    }
)
"""Limits that may change while a session runs; the others are hard."""
_HIGHER: Final = {"looser": "higher"}
_LOWER: Final = {"looser": "lower"}
_FEWER: Final = {"looser": "fewer"}
_MOST: Final = 1_000_000_000_000_000


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
        Decimal, Meta(gt=0, le=_MOST, description="shares or contracts of one entry at most", extra=_HIGHER)
    ] = Decimal(1_000_000)
    max_order_value: Annotated[
        Decimal,
        Meta(gt=0, le=_MOST, description="value of one entry at most, in the account's currency", extra=_HIGHER),
    ] = Decimal(1_000_000_000)
    max_volume_share: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share of the average volume of the last 20 days that one entry may have; the average is "
            "known where a strategy declares 20 bars 1d, elsewhere max_order_qty alone holds",
            extra=_HIGHER,
        ),
    ] = Decimal("0.1")
    max_open_notional: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=_MOST,
            description="value of all holdings and open entries together at most, in the account's currency",
            extra=_HIGHER,
        ),
    ] = Decimal(10_000_000_000)
    price_collar: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share of the last price by which the worst price of an entry may lie beyond it",
            extra=_HIGHER,
        ),
    ] = Decimal("0.05")
    exit_collar: Annotated[
        Decimal,
        Meta(gt=0, le=1, description="the same for an exit, when it is asked for the first time", extra=_HIGHER),
    ] = Decimal("0.05")
    exit_collar_step: Annotated[
        Decimal,
        Meta(
            gt=0,
            le=1,
            description="share by which the collar of an exit that it refuses grows with each step",
            extra=_HIGHER,
        ),
    ] = Decimal("0.05")
    exit_collar_step_s: Annotated[
        int, Meta(ge=1, le=600, description="seconds of one step, from the first refusal on", extra=_LOWER)
    ] = 10
    self_trade_in_simulation: Annotated[
        bool,
        Meta(
            description="whether orders of ours are kept apart at the simulated exchange too, where they never "
            "trade with each other; at a broker that is not simulated they always are"
        ),
    ] = False
    restricted_symbols: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=40)], ...],
        Meta(max_length=10_000, description="symbols that take no entry", extra=_FEWER),
    ] = ()
    no_entry_status: Annotated[
        tuple[TradingStatus, ...],
        Meta(
            max_length=20,
            description="no entry while an instrument trades so, where the broker tells it",
            extra=_FEWER,
        ),
    ] = (
        TradingStatus.HALTED,
        TradingStatus.SINGLE_PRICE,
        TradingStatus.VI_STATIC,
        TradingStatus.VI_DYNAMIC,
        TradingStatus.VI_STATIC_AND_DYNAMIC,
    )
    no_entry_phases: Annotated[
        tuple[VenuePhase, ...],
        Meta(
            max_length=20,
            description="no entry while its venue is in one of these phases, where the broker tells them",
            extra=_FEWER,
        ),
    ] = (
        VenuePhase.CLOSED,
        VenuePhase.BEFORE_OPEN,
        VenuePhase.BREAK,
        VenuePhase.AFTER_CLOSE,
        VenuePhase.AFTER_SINGLE_PRICE,
    )
    no_entry_designations: Annotated[
        tuple[Designation, ...],
        Meta(
            max_length=20,
            description="no entry in an instrument with one of these marks, where the broker tells them",
            extra=_FEWER,
        ),
    ] = (
        Designation.ADMINISTRATIVE,
        Designation.WARNING,
        Designation.DANGER,
        Designation.OVERHEATED,
        Designation.LIQUIDATION,
        Designation.NEW_LISTING,
    )
