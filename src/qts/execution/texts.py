"""Makes the texts of a broker fit for every file, so that none of them keeps a report from being applied."""

from __future__ import annotations

import unicodedata
from typing import Final, TypeVar

from msgspec.structs import replace

from qts.execution.contracts import (
    BrokerDisconnect,
    FillReversed,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    VenueRef,
)
from qts.execution.fit import MAX_NAME_LENGTH, is_moment, is_name, no_order

MAX_REASON_LENGTH: Final = 500
"""Characters of a reason that are kept."""

_End = TypeVar("_End", bound=OrderCancelled | OrderRejected | BrokerDisconnect | FillReversed)


def unreadable_end(report: OrderCancelled | OrderRejected | BrokerDisconnect) -> str:
    """Return what in the notice is no name or no moment, so that it can be assigned to no order; "": nothing."""
    for name in ("broker",) if isinstance(report, BrokerDisconnect) else ("broker", "symbol"):
        if not is_name(getattr(report, name)):
            return f"{name} is no text of 1 to {MAX_NAME_LENGTH} characters that can be stored"
    if not isinstance(report, BrokerDisconnect) and (why := no_order(report)):
        return why
    return "" if is_moment(report.ts_ns) else "its time is no moment"


def with_kept_reason(report: _End) -> _End:
    """Return ``report`` with its reason as :func:`kept_text` has it; the same object when nothing has to change."""
    reason = kept_text(report.reason)
    return report if reason == report.reason else replace(report, reason=reason)


def kept_ack(ack: OrderAck) -> OrderAck:
    """Return an answer whose texts can be kept; the same object when nothing has to change."""
    reason, ref = kept_text(ack.reason), None if ack.ref is None else kept_ref(ack.ref)
    return ack if reason is ack.reason and ref is ack.ref else replace(ack, reason=reason, ref=ref)


def kept_ref(ref: VenueRef) -> VenueRef:
    """Return a number whose texts can be kept; the same object when nothing has to change."""
    number, venue = kept_text(ref.number, MAX_NAME_LENGTH), kept_text(ref.venue, MAX_NAME_LENGTH)
    branch = kept_text(ref.branch, MAX_NAME_LENGTH)
    if number is ref.number and venue is ref.venue and branch is ref.branch:
        return ref
    return VenueRef(ref.day, number, venue, branch)


def kept_text(text: object, most: int = MAX_REASON_LENGTH) -> str:
    """Return ``text`` cut to ``most`` characters, control characters and half characters as escapes."""
    raw = text if isinstance(text, str) else ascii(text)
    if len(raw) <= most and raw.isprintable():  # mostly; what is shown beside that are spaces of other kinds
        return raw
    kept = "".join(char if _is_shown(char) else char.encode("unicode_escape").decode() for char in raw[:most])
    return kept if len(raw) <= most and len(kept) <= most else f"{kept[: most - 1]}…"


def _is_shown(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] != "C" and kind not in ("Zl", "Zp")
