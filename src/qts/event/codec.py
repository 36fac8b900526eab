"""Events as plain values and back: for checkpoints, worker processes and dead letters. No pickle anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec

from qts.errors import ContractError
from qts.event.contracts import Event, EventPriority, EventType, event_time_ns, stored_flags, stored_id
from qts.event.payloads import PAYLOAD_TYPES

_DECIMAL: Final = "$decimal"
_DATETIME: Final = "$datetime"
_TUPLE: Final = "$tuple"
_decoders: Final[dict[EventType, Any]] = {
    kind: msgspec.msgpack.Decoder(reduce(or_, types)) for kind, types in PAYLOAD_TYPES.items()
}
_decoders_or_none: Final[dict[EventType, Any]] = {
    kind: msgspec.msgpack.Decoder(reduce(or_, (*types, None))) for kind, types in PAYLOAD_TYPES.items()
}
_to_msgpack: Final = msgspec.msgpack.Encoder(decimal_format="string").encode


def encode_event(event: Event) -> list[Any]:
    """Return the event as a list of plain values that msgpack and JSON can carry; :func:`decode_event` undoes it
    exactly.

    Raises ContractError for a payload outside the registry, naming the field of a mapping.
    """
    return [
        event.event_type.value,
        int(event.priority),
        event.source,
        _encode_payload(event.event_type, event.body),
        stored_id(event),
        event_time_ns(event),
        event.run,
        stored_flags(event),
    ]


def decode_event(stored: list[Any]) -> Event:
    """Return the event of :func:`encode_event`.

    ``accepted_ns`` is 0: a stopwatch reading means nothing in another process.
    """
    kind, priority, source, payload, number, time_ns, run, flags = stored
    event_type = EventType(kind)
    return Event(
        event_type,
        EventPriority(priority),
        source,
        _decode_payload(event_type, payload),
        number,
        time_ns,
        run,
        0,
        *flags,
    )


def pack_event(event: Event) -> bytes:
    """Return the event as msgpack with its acceptance stamp, for the journal: :func:`unpack_event` undoes it
    exactly.

    Raises ContractError for an event that cannot be stored.
    """
    event_type, payload = event.event_type, event.body
    try:
        if payload is None or isinstance(payload, PAYLOAD_TYPES[event_type]):
            form, stored = "typed", payload
        else:
            form, stored = _encode_payload(event_type, payload)
        values = (
            event_type.value,
            int(event.priority),
            event.source,
            form,
            stored,
            stored_id(event),
            event_time_ns(event),
            event.run,
            event.accepted_ns,
            stored_flags(event),
        )
        return _pack(values)
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ContractError(f"{event_type.value} from {event.source!r} cannot be stored: {error}") from error


def unpack_event(data: bytes) -> Event:
    """Return the event of :func:`pack_event`. Raises ContractError for bytes that are none."""
    try:
        kind, priority, source, form, payload, number, time_ns, run, accepted_ns, flags = _unpack(data)
        event_type = EventType(kind)
        value = (
            _decoders_or_none[event_type].decode(payload)
            if form == "typed"
            else from_plain(msgspec.msgpack.decode(payload))
        )
        return _make(event_type, EventPriority(priority), source, value, number, time_ns, run, accepted_ns, *flags)
    except (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ContractError(f"not a stored event: {error}") from error


def same_content(one: bytes, other: bytes) -> bool:
    """Return whether two stored events (:func:`pack_event`) have the same type and payload, at any time."""
    try:
        kind, _, _, form, payload, *_ = _unpack(one)
        other_kind, _, _, other_form, other_payload, *_ = _unpack(other)
    except msgspec.MsgspecError:
        return False  # bytes that are no event
    return (kind, form, bytes(payload)) == (other_kind, other_form, bytes(other_payload))


def _encode_payload(event_type: EventType, payload: Any) -> Any:
    if payload is None:
        return None
    if isinstance(payload, PAYLOAD_TYPES[event_type]):
        return ["typed", msgspec.to_builtins(payload, enc_hook=_sequence)]
    if isinstance(payload, Mapping):
        return ["mapping", plain(payload, event_type.value)]
    names = " or ".join(kind.__name__ for kind in PAYLOAD_TYPES[event_type])
    raise ContractError(f"{event_type.value} carries a {names} or a mapping, got {type(payload).__name__}")


def _decode_payload(event_type: EventType, stored: Any) -> Any:
    if stored is None:
        return None
    form, value = stored
    if form == "typed":
        return _decoders[event_type].decode(_to_msgpack(value))
    return from_plain(value)


def _sequence(value: Any) -> list[Any]:
    """Return a lazy sequence (the levels of a book) as a list. Raises ContractError for anything else."""
    if isinstance(value, Sequence):
        return list(value)
    raise ContractError(f"a {type(value).__name__} cannot be stored in a payload")


_pack: Final = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=_sequence).encode
_make: Final[Callable[..., Event]] = Event  # with id, time and flags in their stored form
_unpack: Final = msgspec.msgpack.Decoder(
    tuple[str, int, str, str, msgspec.Raw, int | str, int, str, int, list[bool | int | None]]
).decode


def plain(value: Any, path: str = "value") -> Any:
    """Return numbers, texts, Decimals, datetimes, enums and containers of them as plain values.

    Raises ContractError naming the place of anything else.
    """
    if isinstance(value, Enum):
        return plain(value.value, path)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, datetime):
        return {_DATETIME: value.isoformat()}
    if isinstance(value, tuple):
        return {_TUPLE: [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]}
    if isinstance(value, list):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_text_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    raise ContractError(
        f"{path}: a {type(value).__name__} cannot be stored; use numbers, text, Decimal or datetime"
    )


def from_plain(value: Any) -> Any:
    """Undo :func:`plain` (enums stay their values)."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, inner), *_ = value.items()
        if tag == _DECIMAL:
            return Decimal(inner)
        if tag == _DATETIME:
            return datetime.fromisoformat(inner)
        if tag == _TUPLE:
            return tuple(from_plain(item) for item in inner)
    return {key: from_plain(item) for key, item in value.items()}


def _text_key(key: Any, path: str) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise ContractError(f"{path}: keys must be text that does not start with '$', got {key!r}")
    return key
