"""Makes the rows of market values as PostgreSQL's binary COPY reads them.

Prices and sizes repeat, so the bytes of a number are made once and then looked up. The columns are those of
:data:`COLUMNS`; a row's meaning is told in ``schema/postgres/0003_ticks.sql``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from qts.clock import NS_PER_US
from qts.db.adapter import TickBlock
from qts.db.market_values import MOST_DECIMALS, MOST_DIGITS
from qts.errors import BatchRefused
from qts.market.contracts import BookUpdate, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel
from qts.market.depth import Lookup, pairs_of
from qts.market.series.intervals import DAY_NS

COLUMNS: Final = (
    *("symbol", "kind", "flags", "time", "ns", "seq"),
    *("price", "size", "bid", "ask", "bid_size", "ask_size", "volume", "level", "day", "bids", "asks"),
)
"""The columns of ``tick_data`` in the order in which the rows have them."""
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
SNAPSHOT, AFTER_GAP, BUYER_IS_MAKER, SELLER_IS_MAKER = 1, 2, 4, 8
"""The bits of ``flags``."""
EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in µs since 1970."""

_FIRST_US: Final = -EPOCH_US
_EPOCH_NS: Final = EPOCH_US * NS_PER_US
_EPOCH_DAY: Final = date(1970, 1, 1)
_NULL: Final = b"\xff\xff\xff\xff"
_NULLS: Final = [_NULL * n for n in range(12)]
_KEPT: Final = 65_536
"""Numbers and beginnings of rows whose bytes are kept; then they are made afresh."""
_BASE: Final = 10_000
_OF_QUOTE: Final = ("last", "last_size", "bid", "ask", "bid_size", "ask_size", "volume")
_place = struct.Struct(">iqihiq").pack
_number_head = struct.Struct(">ihhHH").pack
_array_head = struct.Struct(">iiiiii").pack
_NUMERIC_OID: Final = 1700
_NO_LEVELS: Final = struct.pack(">iiii", 12, 0, 0, _NUMERIC_OID)
_double = struct.Struct(">id").pack


class CopyRows:
    """An encoder of market values; it keeps the bytes of numbers from block to block. For one thread."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {"None": _NULL}
        self._quote_heads: dict[str, bytes] = {}
        self._heads: dict[tuple[str, bytes, int], bytes] = {}

    def encode(self, block: TickBlock, on_refused: Callable[[str], object] | None = None) -> list[bytes]:
        """Return the rows of a block in pieces, without :data:`HEADER` and :data:`TRAILER`.

        A number that is not finite or has more than 8 decimals, or a value that cannot be stored, raises
        BatchRefused, which names symbol, seq, field and value; with ``on_refused`` that gets the sentence instead,
        and the row is left out.
        """
        if len(self._texts) > _KEPT:
            self._texts = {"None": _NULL}
        if len(self._heads) > _KEPT:
            self._heads.clear()
            self._quote_heads.clear()
        parts: list[bytes] = []
        add = self._add_quote
        for seq, value in block.numbered():
            try:
                if value.__class__ is Quote:
                    add(parts, value, seq)
                else:
                    self._add(parts, value, seq)
            except _Unfit as unfit:
                text = f"tick_data: {_shown(value.symbol)}, seq {seq}, {unfit.field} {unfit.shown}: {unfit.why}"
                if on_refused is None:
                    raise BatchRefused(text) from None
                on_refused(text)
        return parts

    def _add_quote(self, parts: list[bytes], value: Quote, seq: int) -> None:
        """Add a quote; its numbers are looked up here, because most values are quotes and a call costs as much."""
        since = value.ts_ns - _EPOCH_NS
        us = since // NS_PER_US
        if us < _FIRST_US:
            raise _Unfit("ts_ns", value.ts_ns, "a time is after 1970")
        coded, last, volume = self._texts, value.last, value.volume
        try:
            parts += (
                self._quote_heads[value.symbol],
                _place(8, us, 2, since - us * NS_PER_US, 8, seq),
                _NULLS[2] if last is None is value.last_size else coded[str(last)] + coded[str(value.last_size)],
                coded[str(value.bid)],
                coded[str(value.ask)],
                coded[str(value.bid_size)],
                coded[str(value.ask_size)],
                _NULLS[5] if volume is None else coded[str(volume)] + _NULLS[4],
            )
        except KeyError:  # a symbol or a number that is new
            self._quote_heads[value.symbol] = self._head(value.symbol, b"Q", 0)
            for name in _OF_QUOTE:
                self._number(getattr(value, name), name)
            self._add_quote(parts, value, seq)

    def _add(self, parts: list[bytes], value: MarketValue, seq: int) -> None:
        us, ns = divmod(value.ts_ns - _EPOCH_NS, NS_PER_US)
        if us < _FIRST_US:
            raise _Unfit("ts_ns", value.ts_ns, "a time is after 1970")
        if isinstance(value, Tick):
            maker = value.buyer_is_maker
            flags = 0 if maker is None else BUYER_IS_MAKER if maker else SELLER_IS_MAKER
            parts += (
                self._head(value.symbol, b"T", flags),
                _place(8, us, 2, ns, 8, seq),
                self._number(value.price, "price"),
                self._number(value.size, "size"),
                _NULLS[9],
            )
        elif isinstance(value, BookUpdate):
            parts += (
                self._head(value.symbol, b"B", value.snapshot * SNAPSHOT | value.after_gap * AFTER_GAP),
                _place(8, us, 2, ns, 8, seq),
                _NULLS[9],
                self._levels(value.bids, "bids"),
                self._levels(value.asks, "asks"),
            )
        elif isinstance(value, IndexLevel | VolatilityLevel):
            if not math.isfinite(value.level):
                raise _Unfit("level", value.level, "a level is finite")
            parts += (
                self._head(value.symbol, b"I" if isinstance(value, IndexLevel) else b"V", 0),
                _place(8, us, 2, ns, 8, seq),
                _NULLS[7],
                _double(8, value.level),
                _text(value.day, "day"),
                _NULLS[2],
            )
        else:
            raise _Unfit("value", type(value).__name__, "bars are made of market values and not stored as such")

    def _levels(self, levels: Sequence[tuple[Decimal, Decimal]], field: str) -> bytes:
        """Return the levels as an array of numerics with its length."""
        if not levels:
            return _NO_LEVELS
        pairs, prices, sizes = pairs_of(levels)
        parts = []
        for price, size in pairs:
            parts.append(self._coded(price, prices, field))
            parts.append(self._coded(size, sizes, field))
        return b"".join((_array_head(20 + sum(map(len, parts)), 1, 0, _NUMERIC_OID, len(parts), 1), *parts))

    def _coded(self, key: Any, meaning: Lookup, field: str) -> bytes:
        """Return a number of a level that may still be a text: its bytes are looked up by it."""
        if key.__class__ is not str:
            return self._number(meaning[key], field)
        return self._texts.get(key) or self._number(Decimal(key), field)

    def _head(self, symbol: str, kind: bytes, flags: int) -> bytes:
        key = (symbol, kind, flags)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = b"".join(
                (struct.pack(">h", len(COLUMNS)), _text(symbol, "symbol"), struct.pack(">icih", 1, kind, 2, flags))
            )
        return head

    def _number(self, value: Decimal | None, field: str) -> bytes:
        text = str(value)  # 1.10 and 1.1 are equal and have other digits
        coded = self._texts.get(text)
        if coded is None:
            assert value is not None, "None is among the texts from the start"
            coded = self._texts[text] = _numeric(value, field)
        return coded


def days_of(block: TickBlock) -> list[date]:
    """Return the days (UTC) of the values of a block, in order."""
    found = {value.ts_ns // DAY_NS for value in block.values}
    return [_EPOCH_DAY + timedelta(days=day) for day in sorted(found)]


class _Unfit(Exception):
    """A value that is not stored: which field, what it holds, and what is allowed."""

    def __init__(self, field: str, value: object, why: str) -> None:
        self.field, self.why = field, why
        self.shown = _shown(value)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _text(text: str, field: str) -> bytes:
    try:
        coded = text.encode()
    except UnicodeEncodeError:
        raise _Unfit(field, ascii(text), "a text is Unicode") from None
    if b"\0" in coded:
        raise _Unfit(field, ascii(text), "a text has no U+0000")
    return struct.pack(">i", len(coded)) + coded


def _numeric(value: Decimal, field: str) -> bytes:
    """Return a number with its length as PostgreSQL's type numeric has it, with the same digits."""
    if not value.is_finite():
        raise _Unfit(field, value, "a number is finite")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    if scale > MOST_DECIMALS:
        raise _Unfit(field, value, f"at most {MOST_DECIMALS} decimals are stored")
    if value.adjusted() >= MOST_DIGITS:
        raise _Unfit(field, value, f"at most {MOST_DIGITS} digits are stored")
    number = int("".join(map(str, digits))) * 10 ** (exponent if exponent > 0 else -scale % 4)
    groups: list[int] = []
    weight = -1 - (scale + 3) // 4
    while number:
        number, group = divmod(number, _BASE)
        weight += 1
        if group or groups:
            groups.append(group)
    groups.reverse()
    if not groups:
        weight = 0
    head = _number_head(8 + 2 * len(groups), len(groups), weight, 0x4000 if sign and groups else 0, scale)
    return head + struct.pack(f">{len(groups)}H", *groups)
