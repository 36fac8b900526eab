"""Reads a record of what KIS has sent as a feed: the same frames at the same times give the same values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.broker.kis.frame_record import (
    BOOK,
    FORMAT,
    FRAME,
    GAP,
    VERSION,
    RecordHead,
)
from qts.broker.kis.frames import FrameDecoder
from qts.broker.kis.quotation_values import values_of
from qts.clock import NS_PER_MS
from qts.errors import BrokerUnavailable, DataError
from qts.market.contracts import BookUpdate, Instrument, MarketValue
from qts.market.day_record import days_of, files_of, lines_in
from qts.market.krx import krx_instrument

MAX_AGE_NS: Final = 100 * NS_PER_MS


def is_record(path: Path) -> bool:
    """Return whether ``path`` is a directory with a record of what KIS has sent."""
    return path.is_dir() and bool(days_of(path))


class RecordedFeed:
    """The record of one day as a :class:`~qts.market.contracts.Feed`.

    ``directory`` is that of the record; ``day`` None: the only day there is. ``own`` are instruments that stand
    before those of KIS. Raises DataError where there is no such record, or it cannot be read.
    """

    declares_volatility = False
    max_age_ns = MAX_AGE_NS

    def __init__(self, directory: Path, day: date | None, own: Mapping[str, Instrument]) -> None:
        days = days_of(directory)
        if day is None and len(days) != 1:
            raise DataError(f"{directory} has records of {', '.join(days) or 'no day'}; name one by --day")
        chosen = days[0] if day is None else day.isoformat()
        self.day = date.fromisoformat(chosen)
        """The day, in Seoul."""
        self._files = files_of(directory, chosen)
        if not self._files:
            raise DataError(f"{directory} has no record of {chosen}; there is {', '.join(days) or 'none'}")
        self.name = f"{directory} {chosen}"
        self._heads, self._lines, digest = self._look_through()
        if not self._heads:
            raise DataError(f"{directory}: the record of {chosen} was cut off before its first line")
        self.source_id = f"{FORMAT}/{VERSION} sha256={digest}"
        symbols = dict.fromkeys(symbol for head in self._heads for symbol in head.symbols)
        self.instruments = {symbol: own.get(symbol) or krx_instrument(symbol) for symbol in symbols}
        self._decoder = self._new_decoder()
        self._line = self._value = 0
        self._skips = (0, 0)
        self._given: Iterator[MarketValue] | None = None

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many frames, or records of one, could not be used, by reason."""
        return self._decoder.refused

    def values(self) -> Iterator[MarketValue]:
        """Return the values after the present position."""
        if self._given is None:
            self._given = self._read()
        return self._given

    def position(self) -> dict[str, Any]:
        """Return the number of the line, and how many of its values were given."""
        return {"line": self._line, "value": self._value, "source": self.source_id}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``: the lines before it are decoded, since what they hold decides what is repeated."""
        line, value = position.get("line"), position.get("value")
        if not (isinstance(line, int) and isinstance(value, int)) or position.get("source") != self.source_id:
            raise DataError(f"position {dict(position)!r} does not fit {self.name}")
        if not (0 <= line <= self._lines and value >= 0):
            raise DataError(f"position {dict(position)!r}: {self.name} has {self._lines} lines")
        self._line, self._value = self._skips = (line, value)
        self._given = self._read()

    def progress(self) -> float:
        """Return the share of the lines already given, 0..1."""
        return self._line / self._lines if self._lines else 1.0

    def _read(self) -> Iterator[MarketValue]:
        skip_line, skip_value = self._skips
        newest_ns, with_depth = 0, dict[str, None]()
        for number, text in enumerate(self._texts(), 1):
            ts_text, _, rest = text.partition(" ")
            kind, _, body = rest.partition(" ")
            if not (ts_text.isascii() and ts_text.isdigit()) or len(ts_text) > 19:
                self._decoder.refuse("malformed")
                continue
            newest_ns = max(newest_ns, int(ts_text))
            values = self._values_of(kind, body, newest_ns, with_depth)
            if number < skip_line:
                continue
            done = skip_value if number == skip_line else 0
            for value in values[done:]:
                done += 1
                self._line, self._value = number, done
                yield value
        self._line, self._value = self._lines, self._value if self._line == self._lines else 0

    def _values_of(self, kind: str, body: str, ts_ns: int, with_depth: dict[str, None]) -> list[MarketValue]:
        if kind == FRAME:
            values = self._decoder.decode(body, ts_ns)
        elif kind == GAP:
            return [BookUpdate(symbol, ts_ns, (), (), after_gap=True) for symbol in with_depth]
        elif kind == BOOK:
            symbol, _, answer = body.partition(" ")
            try:
                values = values_of(symbol, msgspec.json.decode(answer, type=dict[str, str]), ts_ns)
            except (BrokerUnavailable, msgspec.DecodeError):
                self._decoder.refuse("malformed")
                return []
        else:
            return []
        with_depth.update((value.symbol, None) for value in values if value.__class__ is BookUpdate)
        return values

    def _new_decoder(self) -> FrameDecoder:
        late_ns = max(head.late_ns for head in self._heads)
        return FrameDecoder(self.instruments, late_ns=late_ns, tell=lambda text: None)

    def _look_through(self) -> tuple[list[RecordHead], int, str]:
        """Return the first lines of all files, how many lines follow them in all, and a digest of it all."""
        heads, count, digest = [], 0, hashlib.sha256()
        for path in self._files:
            for number, line in enumerate(lines_in(path)):
                digest.update(line)
                if number == 0:
                    heads.append(_head(path, line))
                else:
                    count += 1
        return heads, count, digest.hexdigest()

    def _texts(self) -> Iterator[str]:
        for path in self._files:
            lines = lines_in(path)
            next(lines, None)
            for line in lines:
                yield line[:-1].decode("utf-8", "surrogateescape")


def _head(path: Path, line: bytes) -> RecordHead:
    try:
        head = msgspec.json.decode(line, type=RecordHead)
    except msgspec.DecodeError:
        raise DataError(f"{path} is no record of what KIS has sent") from None
    if head.format != FORMAT or head.version != VERSION:
        raise DataError(f"{path} was written by another version of QTS")
    return head
