"""The keys of an event: under which events keep their order, replace each other, or must not be lost.

Payloads may be typed structs or plain mappings; both are read by field name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

from qts.event.contracts import Event, EventType, stored_id

_SIGNAL: Final = EventType.SIGNAL_GENERATED
_FORCING: Final = ("forced", "reduce_only")
_SUBJECT: Final[Mapping[EventType, tuple[str, ...]]] = {
    _SIGNAL: ("strategy", "symbol", "side"),
    EventType.INDICATOR_UPDATE: ("strategy", "symbol", "name"),
}
_PLAIN_SUBJECT: Final = ("strategy", "symbol")


def field_of(payload: Any, name: str) -> Any:
    """Return the field ``name`` of a struct or mapping; None when there is none."""
    if isinstance(payload, Mapping):
        return payload.get(name)
    return getattr(payload, name, None)


def order_key(event: Event) -> str | None:
    """Return the key inside which order is kept: order id, else symbol; None when the event has neither.

    EMERGENCY_STOP has none: nothing holds it up.
    """
    payload = event.body
    key = field_of(payload, "client_order_id") or field_of(payload, "order_id") or field_of(payload, "symbol")
    return str(key) if key and event.event_type is not EventType.EMERGENCY_STOP else None


def collapse_key(event: Event) -> Hashable:
    """Return the key under which a newer event replaces a queued one: type and subject.

    A forced signal has a key of its own, so that a later signal never takes its place. An event that may not
    collapse, or a signal without its subject, is equal only to itself.
    """
    payload, kind = event.body, event.event_type
    subject = tuple(_part(field_of(payload, name)) for name in _SUBJECT.get(kind, _PLAIN_SUBJECT))
    if not event.can_collapse or (kind is _SIGNAL and None in subject):
        return (kind, stored_id(event))
    return (kind, *subject, is_forced(payload)) if kind is _SIGNAL else (kind, *subject)


def _part(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else repr(value)  # a key must be hashable


def is_forced(payload: Any) -> bool:
    """Return whether the payload, or the intent it carries, is marked as forced or reduce-only."""
    return any(field_of(payload, name) for name in _FORCING)


def keeps_its_turn(event: Event) -> bool:
    """Return whether the effect of ``event`` depends on what was published before it: a target or a cancel."""
    if event.event_type is not _SIGNAL:
        return False
    return field_of(event.body, "side") not in (None, "BUY", "SELL")


def is_risk_reducing(event: Event) -> bool:
    """Return whether losing ``event`` could keep a risk open: a SELL, a forced or reduce-only signal.

    A signal without a side counts as one (`unknown-is-unsafe`).
    """
    if event.event_type is not _SIGNAL:
        return False
    payload = event.body
    return field_of(payload, "side") != "BUY" or is_forced(payload)
