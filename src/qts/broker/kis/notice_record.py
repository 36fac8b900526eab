"""One notice of the KIS websocket as a value: which order it is about, and what has happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Final

import msgspec

from qts.broker.kis.answers import order_number
from qts.broker.kis.config import Exchange
from qts.broker.kis.moments import clock_ns
from qts.clock import NS_PER_S
from qts.market.files.numbers import number_of
from qts.market.files.refusals import RowRefused
from qts.market.krx import KST_NS
from qts.strategy.contracts import Side

WIDTHS: Final = frozenset({23, 26})
"""The numbers of fields of a notice that are known; the first 17 are the same in both."""
LEAST: Final = 17
_VENUE_WIDTH: Final = 26
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_NS: Final = 86_400 * NS_PER_S
_SIDES: Final = {"01": Side.SELL, "02": Side.BUY}
_EXCHANGES: Final[dict[str, Exchange]] = {"1": "KRX", "2": "NXT", "3": "KRX", "4": "NXT"}


class Action(Enum):
    """The kinds of messages that a notice is about."""

    NEW = "0"
    REVISE = "1"
    CANCEL = "2"


class NoticeRecord(msgspec.Struct, frozen=True):
    """A notice. Quantities in shares; None where a field is empty.

    ``number``: of the message; ``original``: of the order that it changes, "" of a new one. ``qty`` and ``price``:
    what was executed, or what the message is about. ``acceptance``: "1" taken, "2" done, "3" ended by IOC or FOK.
    ``ordered``: the quantity of the message. ``exchange``: where it is; None where that is not told. ``ts_ns``:
    when it happened, by KIS, ns since 1970 (UTC).
    """

    account: str
    number: str
    original: str
    side: Side
    action: Action
    symbol: str
    qty: Decimal | None
    price: Decimal | None
    ts_ns: int
    is_rejected: bool
    is_fill: bool
    acceptance: str
    ordered: Decimal | None
    exchange: Exchange | None

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells it from others, as far as KIS does."""
        return (
            self.number,
            self.action,
            self.ts_ns,
            self.qty,
            self.price,
            self.is_fill,
            self.is_rejected,
            self.acceptance,
        )


def read_notice(fields: Sequence[str], day: date, ts_ns: int) -> NoticeRecord:
    """Return the notice in ``fields``, which was received on ``day`` at ``ts_ns``. Raises ValueError."""
    if len(fields) < LEAST:
        raise ValueError(f"it has {len(fields)} fields")
    side = _SIDES.get(fields[4])
    if side is None:
        raise ValueError(f"its side is {fields[4]!a}")
    try:
        action = Action(fields[5])
    except ValueError:
        raise ValueError(f"its kind is {fields[5]!a}") from None
    number = order_number(fields[2])
    if not number or not number.isdigit():
        raise ValueError("it names no order")
    if fields[13] not in ("1", "2") or fields[12] not in ("0", "1"):
        raise ValueError(f"it is neither a fill nor an answer: {fields[12]!a}, {fields[13]!a}")
    symbol = fields[8].strip()
    return NoticeRecord(
        account=fields[1].strip(),
        number=number,
        original=order_number(fields[3]),
        side=side,
        action=action,
        symbol=symbol[1:] if len(symbol) == 7 and symbol[0] == "A" else symbol,
        qty=_number(fields[9]),
        price=_number(fields[10]),
        ts_ns=_moment(fields[11], day, ts_ns),
        is_rejected=fields[12] == "1",
        is_fill=fields[13] == "2",
        acceptance=fields[14].strip(),
        ordered=_number(fields[16]),
        exchange=_EXCHANGES.get(fields[19]) if len(fields) >= _VENUE_WIDTH else None,
    )


def _number(text: str) -> Decimal | None:
    text = text.strip()
    if not text:
        return None
    try:
        return number_of(text)
    except RowRefused:
        raise ValueError(f"{text[:40]!a} is no number") from None


def _moment(time: str, day: date, received_ns: int) -> int:
    """Return the moment of a clock of Seoul on ``day``; that of the arrival where it shows none."""
    try:
        return (day.toordinal() - _EPOCH) * _DAY_NS - KST_NS + clock_ns(time.strip())
    except RowRefused:
        return received_ns
