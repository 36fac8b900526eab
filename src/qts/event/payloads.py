"""The payloads of the 23 event types (the schema registry), and the check of plain mappings.

Payloads that belong to a domain are in its contracts; here are those that only the event flow knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec

from qts.errors import ContractError
from qts.event.contracts import EventType
from qts.execution.contracts import (
    BrokerDisconnect,
    EmergencyStop,
    Fill,
    FillReversed,
    OrderCancelled,
    OrderRejected,
    PositionUpdate,
)
from qts.market.contracts import Bar, BookUpdate, IndexLevel, Quote, Tick, VolatilityLevel
from qts.strategy.contracts import Signal
from qts.strategy.moment import Moment


class CycleStart(msgspec.Struct, frozen=True, tag=True):
    """ETEDA_CYCLE_START: begin decision cycle ``cycle`` (counts from 1)."""

    cycle: int
    ts_ns: int
    reason: str = ""


class StrategyEvaluate(msgspec.Struct, frozen=True, tag=True):
    """STRATEGY_EVALUATE: let ``strategy`` evaluate ``symbol``."""

    strategy: str
    symbol: str
    ts_ns: int


class RiskEvaluate(msgspec.Struct, frozen=True, tag=True):
    """RISK_EVALUATE: evaluate the exposure in ``symbol`` ("" = the whole account)."""

    symbol: str
    ts_ns: int
    reason: str = ""


class PortfolioEvaluate(msgspec.Struct, frozen=True, tag=True):
    """PORTFOLIO_EVALUATE: compare the pools with their targets."""

    ts_ns: int
    reason: str = ""


class IndicatorUpdate(msgspec.Struct, frozen=True, tag=True):
    """INDICATOR_UPDATE: the newest value of indicator ``name``; None when it is not known."""

    symbol: str
    name: str
    value: float | None
    ts_ns: int


class DashboardUpdate(msgspec.Struct, frozen=True, tag=True):
    """DASHBOARD_UPDATE: values of one section of the page, as text and numbers."""

    section: str
    values: dict[str, str | int | float | bool | None]
    ts_ns: int


class LogWrite(msgspec.Struct, frozen=True, tag=True):
    """LOG_WRITE: one line for the log; ``level`` is DEBUG, INFO, WARNING or ERROR."""

    level: str
    message: str
    ts_ns: int
    fields: dict[str, str] = {}


class ReportGenerate(msgspec.Struct, frozen=True, tag=True):
    """REPORT_GENERATE: make the report ``kind`` at ``path``."""

    kind: str
    path: str
    ts_ns: int


class NotificationSend(msgspec.Struct, frozen=True, tag=True):
    """NOTIFICATION_SEND: notify people; never used for safety alerts, which do not travel as P3."""

    level: str
    title: str
    text: str
    ts_ns: int


class MetricRecord(msgspec.Struct, frozen=True, tag=True):
    """METRIC_RECORD: one measurement."""

    name: str
    value: float
    ts_ns: int
    labels: dict[str, str] = {}


PAYLOAD_TYPES: Final[Mapping[EventType, tuple[type[msgspec.Struct], ...]]] = MappingProxyType(
    {
        EventType.FILL_CONFIRMED: (Fill,),
        EventType.FILL_PARTIAL: (Fill,),
        EventType.ORDER_REJECTED: (OrderRejected,),
        EventType.ORDER_CANCELLED: (OrderCancelled,),
        EventType.POSITION_UPDATE: (PositionUpdate, FillReversed),
        EventType.EMERGENCY_STOP: (EmergencyStop,),
        EventType.BROKER_DISCONNECT: (BrokerDisconnect,),
        EventType.PRICE_TICK: (Tick,),
        EventType.ORDERBOOK_UPDATE: (Quote, BookUpdate),
        EventType.VOLUME_UPDATE: (Bar, Moment),
        EventType.INDEX_UPDATE: (IndexLevel,),
        EventType.VIX_UPDATE: (VolatilityLevel,),
        EventType.ETEDA_CYCLE_START: (CycleStart,),
        EventType.STRATEGY_EVALUATE: (StrategyEvaluate,),
        EventType.RISK_EVALUATE: (RiskEvaluate,),
        EventType.PORTFOLIO_EVALUATE: (PortfolioEvaluate,),
        EventType.INDICATOR_UPDATE: (IndicatorUpdate,),
        EventType.SIGNAL_GENERATED: (Signal,),
        EventType.DASHBOARD_UPDATE: (DashboardUpdate,),
        EventType.LOG_WRITE: (LogWrite,),
        EventType.REPORT_GENERATE: (ReportGenerate,),
        EventType.NOTIFICATION_SEND: (NotificationSend,),
        EventType.METRIC_RECORD: (MetricRecord,),
    }
)
"""Type → the payload structs it may carry."""


def typed_payload(event_type: EventType, payload: Any) -> msgspec.Struct:
    """Return ``payload`` as the typed value the registry requires; a struct of the right type is returned as it is.

    Raises ContractError naming the field when a mapping does not fit: missing, unknown, of another type, or a
    binary float where money is meant.
    """
    allowed = PAYLOAD_TYPES[event_type]
    if isinstance(payload, allowed):
        return payload
    names = " or ".join(kind.__name__ for kind in allowed)
    if not isinstance(payload, Mapping):
        raise ContractError(f"{event_type.value} carries a {names}, got {type(payload).__name__}")
    kind = _meant(allowed, payload)
    unknown = payload.keys() - set(kind.__struct_fields__) - {"type"}
    if unknown:
        raise ContractError(
            f"{event_type.value}: field {sorted(map(str, unknown))[0]!r} is not one of {kind.__name__}"
        )
    try:
        value = msgspec.convert(dict(payload), type=kind)
    except (msgspec.ValidationError, ContractError) as error:
        raise ContractError(f"{event_type.value}: the payload is no {kind.__name__}: {error}") from error
    _refuse_floats(event_type.value, payload, value)
    return value


def _meant(allowed: tuple[type[msgspec.Struct], ...], payload: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Return the struct a mapping means: named in ``type``, else the one that shares most fields with it."""
    for kind in allowed:
        if payload.get("type") == kind.__name__:
            return kind
    return max(allowed, key=lambda kind: len(payload.keys() & set(kind.__struct_fields__)))


def _refuse_floats(path: str, given: Any, value: Any) -> None:
    """Raise where a Decimal was made from a binary float or is not finite."""
    if isinstance(value, Decimal):
        if isinstance(given, float) or not value.is_finite():
            raise ContractError(f"{path}: money must be a finite Decimal, text or an int, got {given!r}")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if name in given:
                _refuse_floats(f"{path}: field {name!r}", given[name], getattr(value, name))
    elif isinstance(value, list | tuple):
        for one, part in zip(given, value, strict=True):
            _refuse_floats(path, one, part)
