"""Rows of bars as columns of whole numbers, by symbol: what can be used is kept, the rest is counted or an error.

A row that says nothing (no price, no trade) is refused and counted, as in every other file. A row that contradicts
itself or cannot be told ends the reading: a backtest over wrong bars is worse than none.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, compress
from operator import gt, itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from qts.errors import DataError
from qts.market.bars.dates import DateTable, Stamp, Stamps
from qts.market.bars.figures import DECIMAL, NOISY, Scaled, Signs, is_bounded, plain_column, scaled
from qts.market.bars.header import PRICES
from qts.market.files.refusals import (
    MALFORMED,
    NEGATIVE_SIZE,
    NO_PRICE,
    NO_TRADE,
    NO_VOLUME,
    NONPOSITIVE_PRICE,
    OUTSIDE_RANGE,
    Refusals,
    RowRefused,
    shorten,
)
from qts.market.files.remedies import remedy_for, sentence_of, time_remedy
from qts.notes import Note

_OPEN, _HIGH, _LOW, _CLOSE = range(4)
Pick: TypeAlias = Callable[[Sequence[Any]], list[Any]]
"""Takes the rows of one symbol out of a column."""


class Batch(NamedTuple):
    """Some rows of a file as columns of texts; ``lines`` are their numbers from 1.

    ``symbols`` and ``adjusted`` are None where the file has no such column.
    """

    lines: Sequence[int]
    dates: Sequence[str]
    symbols: Sequence[str] | None
    prices: tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[str]]
    volume: Sequence[str]
    adjusted: Sequence[str] | None

    def row(self, at: int) -> str:
        """Return a row as a person should see it."""
        cells = [self.dates[at], *(column[at] for column in self.prices), self.volume[at]]
        return shorten(",".join(cells if self.symbols is None else [self.symbols[at], *cells]))


class Numbers:
    """Columns of whole numbers in one decimal step, which becomes finer when a row needs it."""

    __slots__ = ("columns", "decimals")

    def __init__(self, count: int) -> None:
        self.columns: list[array[int] | list[int]] = [array("q") for _ in range(count)]
        self.decimals = 0

    def extend(self, added: Sequence[Scaled]) -> None:
        """Add rows, a column each."""
        decimals = max(self.decimals, *(column.decimals for column in added))
        self.refine(decimals)
        for at, column in enumerate(added):
            numbers = column.at(decimals)
            kept = self.columns[at]
            if isinstance(kept, array):
                try:
                    kept.fromlist(numbers)
                    continue
                except OverflowError:  # more digits than 64 bits hold
                    kept = self.columns[at] = list(kept)
            kept.extend(numbers)

    def refine(self, decimals: int) -> None:
        """Write every number in a step of at least as many ``decimals``."""
        if decimals > self.decimals:
            factor = 10 ** (decimals - self.decimals)
            self.columns = [_packed([number * factor for number in column]) for column in self.columns]
            self.decimals = decimals

    def append(self, later: Numbers) -> None:
        """Add the rows of ``later``."""
        self.extend([Scaled(list(column), later.decimals) for column in later.columns])

    def keep(self, flags: Sequence[bool]) -> None:
        """Keep the rows whose flag is true."""
        self.columns = [_packed(list(compress(column, flags))) for column in self.columns]

    def reverse(self) -> None:
        """Turn the order round."""
        for column in self.columns:
            column.reverse()


class RawBars:
    """The bars of one symbol in one file, as the file has them: no session, no interval yet."""

    __slots__ = ("_starts", "adjusted", "file", "lines", "prices", "stamps", "symbol", "volume")

    def __init__(self, file: str, symbol: str, *, has_adjusted: bool) -> None:
        self.file = file
        self.symbol = symbol
        self._starts: list[tuple[int, str]] = [(0, file)]  # where the rows of each file begin
        self.stamps = Stamps()
        self.lines: array[int] = array("L")
        self.prices = Numbers(4)
        self.volume = Numbers(1)
        self.adjusted = Numbers(1) if has_adjusted else None

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of the files of these rows."""
        return tuple(file for _, file in self._starts)

    def place(self, at: int) -> str:
        """Return the file and line of the row number ``at`` (from 0)."""
        return f"{next(file for start, file in reversed(self._starts) if start <= at)}, line {self.lines[at]}"

    def reverse(self) -> None:
        """Turn the order round. Only for the rows of one file."""
        self.stamps.reverse()
        self.lines.reverse()
        for numbers in (self.prices, self.volume, self.adjusted):
            if numbers is not None:
                numbers.reverse()

    def append(self, later: RawBars) -> None:
        """Add the rows of a later file, which has an adjusted close if this one has."""
        self._starts.append((len(self), later.file))
        self.stamps.wall.extend(later.stamps.wall)
        self.stamps.utc.extend(later.stamps.utc)
        self.lines.extend(later.lines)
        self.prices.append(later.prices)
        self.volume.append(later.volume)
        if self.adjusted is not None and later.adjusted is not None:
            self.adjusted.append(later.adjusted)

    def keep(self, flags: Sequence[bool]) -> None:
        """Keep the rows whose flag is true."""
        kept = [sum(flags[:start]) for start, _ in self._starts]
        self._starts = [(start, file) for start, (_, file) in zip(kept, self._starts, strict=True)]
        self.stamps.keep(flags)
        self.lines = array("L", compress(self.lines, flags))
        for numbers in (self.prices, self.volume, self.adjusted):
            if numbers is not None:
                numbers.keep(flags)


class BarTable:
    """The rows of one file, read batch after batch. ``signs`` tells how its numbers are written, once asked.

    ``symbol`` is the symbol where the file has no such column. Raises DataError naming file, line and value for a
    row that contradicts itself, and for a date or a number that cannot be told.
    """

    def __init__(
        self, file: str, symbol: str, stamps: DateTable, signs: Callable[[], Signs], refusals: Refusals
    ) -> None:
        self.file = file
        self.bars: dict[str, RawBars] = {}
        self._symbol = symbol
        self._stamps = stamps
        self._signs = signs
        self._refusals = refusals
        self._noisy = 0
        self._noise: tuple[str, str, str] | None = None

    def notes(self) -> list[Note]:
        """Return what a reader must know of the numbers."""
        if self._noise is None:
            return []
        place, was, now = self._noise
        return [Note.of("bars-binary-noise", noisy=self._noisy, place=place, was=was, now=now)]

    def add(self, batch: Batch) -> None:
        """Add rows."""
        if batch.lines and not self._add_plain(batch):
            self._add_one_by_one(batch)

    # -- whole columns ----------------------------------------------------------------------------------------

    def _add_plain(self, batch: Batch) -> bool:
        """Add a batch of plain numbers in which every row can be used; return False when there is anything else."""
        if self._signs().comma == DECIMAL:
            return False  # a point separates thousands then
        prices = [plain_column(texts) for texts in batch.prices]
        volume = plain_column(batch.volume)
        adjusted = None if batch.adjusted is None else plain_column(batch.adjusted)
        if volume is None or (adjusted is None) is not (batch.adjusted is None):
            return False
        plain = [column for column in prices if column is not None]
        columns = [*plain, volume, *([] if adjusted is None else [adjusted])]
        if len(plain) < len(PRICES) or not all(map(is_bounded, columns)) or not _all_fit(plain):
            return False
        if adjusted is not None and min(adjusted.numbers) <= 0:
            return False
        try:
            stamps = list(map(self._stamps.__getitem__, batch.dates))
        except (RowRefused, ValueError, OverflowError):
            return False
        self._keep(batch.lines, batch.symbols, stamps, plain, volume, adjusted)
        return True

    def _keep(
        self,
        lines: Sequence[int],
        symbols: Sequence[str] | None,
        stamps: Sequence[Stamp],
        prices: Sequence[Scaled],
        volume: Scaled,
        adjusted: Scaled | None,
    ) -> None:
        for symbol, at in _by_symbol(symbols):
            bars = self._bars_of(symbol or self._symbol, has_adjusted=adjusted is not None)
            pick = None if at is None else _picker(at)
            try:
                bars.stamps.extend(stamps if pick is None else pick(stamps))
            except ValueError as error:
                raise DataError(f"{self.file}, line {lines[0]} and after: {error}; give all in one form") from None
            bars.lines.extend(lines if pick is None else pick(lines))
            bars.prices.extend([_picked(column, pick) for column in prices])
            bars.volume.extend([_picked(volume, pick)])
            if adjusted is not None and bars.adjusted is not None:
                bars.adjusted.extend([_picked(adjusted, pick)])

    def _bars_of(self, symbol: str, *, has_adjusted: bool) -> RawBars:
        bars = self.bars.get(symbol)
        if bars is None:
            bars = self.bars[symbol] = RawBars(self.file, symbol, has_adjusted=has_adjusted)
        return bars

    # -- row by row -------------------------------------------------------------------------------------------

    def _add_one_by_one(self, batch: Batch) -> None:
        rows = [row for row in (self._row(batch, at) for at in range(len(batch.lines))) if row is not None]
        if not rows:
            return
        adjusted = [row.adjusted for row in rows if row.adjusted is not None]
        self._keep(
            [batch.lines[row.at] for row in rows],
            None if batch.symbols is None else [batch.symbols[row.at] for row in rows],
            [row.stamp for row in rows],
            [scaled([row.prices[column] for row in rows]) for column in range(len(PRICES))],
            scaled([row.volume for row in rows]),
            None if batch.adjusted is None else scaled(adjusted),
        )

    def _row(self, batch: Batch, at: int) -> _Row | None:
        """Return a row that can be used; None when it is refused, which is counted."""
        line = batch.lines[at]
        try:
            return self._read(batch, at)
        except RowRefused as refused:
            self._refusals.add(
                refused.reason,
                line,
                refused.value or batch.row(at),
                column=refused.column,
                remedy=refused.remedy or remedy_for(refused.reason, refused.value),
                file=self.file,
            )
            return None

    def _read(self, batch: Batch, at: int) -> _Row:
        signs = self._signs()
        prices = [
            self._number(signs, texts[at], batch.lines[at], name)
            for name, texts in zip(PRICES, batch.prices, strict=True)
        ]
        if all(price is None for price in prices) or (batch.symbols is not None and not batch.symbols[at]):
            raise RowRefused(NO_PRICE if batch.symbols is None or batch.symbols[at] else MALFORMED)
        stamp = self._stamp(batch, at)
        known = [price for price in prices if price is not None]
        if len(known) < len(PRICES):
            raise RowRefused(NO_PRICE)
        if not any(known[:_CLOSE]):
            raise RowRefused(NO_TRADE)
        if min(known) <= 0:
            raise RowRefused(NONPOSITIVE_PRICE)
        self._check_range(batch, at, known)
        volume = self._number(signs, batch.volume[at], batch.lines[at], "volume")
        if volume is None:
            raise RowRefused(NO_VOLUME)
        if volume < 0:
            raise RowRefused(NEGATIVE_SIZE, batch.volume[at], column="volume")
        return _Row(at, stamp, known, volume, self._adjusted(batch, at, signs))

    def _stamp(self, batch: Batch, at: int) -> Stamp:
        text = batch.dates[at]
        try:
            return self._stamps[text]
        except (RowRefused, ValueError, OverflowError):
            remedy = sentence_of(time_remedy(text)) or "declare the form, such as --date-format %d.%m.%Y"
            raise DataError(
                f"{self.file}, line {batch.lines[at]}, column date: {shorten(text)!r} is no date in the form "
                f"of this file; {remedy}"
            ) from None

    def _check_range(self, batch: Batch, at: int, prices: Sequence[Decimal]) -> None:
        high, low = prices[_HIGH], prices[_LOW]
        if high < low:
            raise DataError(
                f"{self.file}, line {batch.lines[at]}: the high {high} is below the low {low} ({batch.row(at)!r}); "
                "correct the row or leave it out"
            )
        if not (low <= prices[_OPEN] <= high and low <= prices[_CLOSE] <= high):
            raise RowRefused(OUTSIDE_RANGE)

    def _adjusted(self, batch: Batch, at: int, signs: Signs) -> Decimal | None:
        if batch.adjusted is None:
            return None
        number = self._number(signs, batch.adjusted[at], batch.lines[at], "adj close")
        if number is None or number <= 0:
            raise DataError(
                f"{self.file}, line {batch.lines[at]}: the adjusted close is {batch.adjusted[at]!r} where the "
                "close is known, so the factor of the day is not; write it, or leave the column out"
            )
        return number

    def _number(self, signs: Signs, text: str, line: int, column: str) -> Decimal | None:
        try:
            number = signs.number(text, volume=column == "volume")
        except RowRefused as refused:
            if "," in text and not signs.comma:
                raise DataError(
                    f"{self.file}, line {line}, column {column}: {shorten(text)!r} may have a thousands separator "
                    "or a decimal comma, and no number of the file settles it; write it without separators, with a "
                    "decimal point"
                ) from None
            raise RowRefused(refused.reason, text, column=column, remedy=refused.remedy) from None
        if number is not None and len(text) >= NOISY and text[-1].isdigit() and number != Decimal(text):
            self._noisy += 1
            self._noise = self._noise or (f"{Path(self.file).name}, line {line}", text, f"{number:f}")
        return number


class _Row(NamedTuple):
    at: int
    stamp: Stamp
    prices: Sequence[Decimal]
    volume: Decimal
    adjusted: Decimal | None


def _all_fit(prices: Sequence[Scaled]) -> bool:
    """Return whether in every row 0 < low ≤ open, close ≤ high."""
    decimals = max(column.decimals for column in prices)
    opens, highs, lows, closes = (column.at(decimals) for column in prices)
    if min(lows) <= 0:
        return False
    pairs = ((lows, opens), (lows, closes), (opens, highs), (closes, highs))
    return not any(chain.from_iterable(map(gt, low, high) for low, high in pairs))


def _by_symbol(symbols: Sequence[str] | None) -> Iterator[tuple[str, list[int] | None]]:
    """Yield each symbol with the places of its rows; None for all of them."""
    if symbols is None:
        yield "", None
        return
    if len(set(symbols)) == 1:
        yield symbols[0], None
        return
    places: dict[str, list[int]] = {}
    for at, symbol in enumerate(symbols):
        places.setdefault(symbol, []).append(at)
    yield from places.items()


def _picker(at: list[int]) -> Pick:
    if len(at) == 1:
        return lambda column: [column[at[0]]]
    getter = itemgetter(*at)
    return lambda column: list(getter(column))


def _picked(column: Scaled, pick: Pick | None) -> Scaled:
    return column if pick is None else Scaled(pick(column.numbers), column.decimals)


def _packed(numbers: list[int]) -> array[int] | list[int]:
    try:
        return array("q", numbers)
    except OverflowError:
        return numbers
