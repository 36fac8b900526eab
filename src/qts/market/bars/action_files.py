"""Corporate actions of bars: from a file ``actions.csv``, or from the adjusted close of the files themselves.

The file has the columns date (the ex-date), symbol, action (split or dividend) and value: new:old for a split, such
as 50:1, and the amount of a share for a dividend. The ratio of adjusted close to close gives them otherwise; its
rounding bounds what can be told, and what cannot be told is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

from qts.errors import ContractError, DataError
from qts.market.actions import CorporateAction, Dividend, Split
from qts.market.bars import dates
from qts.market.bars.columns import BarColumns
from qts.market.bars.dates import DAY_NS, EPOCH_ORDINAL
from qts.market.bars.header import plain_name
from qts.market.bars.text import split as cells_of
from qts.market.files.content import hash_and_magic
from qts.market.files.line_source import GZIP_MAGIC, LineSource
from qts.market.files.numbers import number_of
from qts.market.files.reading import ReadAs
from qts.market.files.refusals import RowRefused, shorten
from qts.money import multiple_of, power_of_ten, times

FILE_NAME: Final = "actions.csv"
SPLIT: Final = "split"
DIVIDEND: Final = "dividend"

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("date", "exdate", "day", "일자", "날짜", "권리락일", "배당락일"),
    "symbol": ("symbol", "ticker", "code", "종목코드"),
    "action": ("action", "kind", "type", "splitordividend", "구분"),
    "value": ("value", "ratio", "amount", "ratioamount", "ratiooramount", "값"),
}
_MOST_DIGITS: Final = 8
"""Decimals of a dividend that is derived."""
_LARGEST_DIVIDEND: Final = Fraction(1, 2)
"""A dividend of more than half of the price is taken for an error in the file."""
_SPLITS: Final = tuple(
    Fraction(new, old)
    for new in (*range(1, 11), 15, 20, 25, 30, 40, 50, 100)
    for old in (1, 2, 3, 4, 5)
    if new > old
)


class ActionFile(NamedTuple):
    """The actions of a file by the symbols that it names, and the SHA-256 of its content."""

    actions: tuple[CorporateAction, ...]
    digest: str


def read_actions(path: Path, read_as: ReadAs, spelled: Callable[[str], str]) -> ActionFile:
    """Read a file of actions; ``spelled`` returns the symbol under which one of the file trades.

    Raises DataError naming file, line, column and value, and what is allowed there.
    """
    digest, magic = hash_and_magic(path)
    lines = list(_lines(LineSource(path, gzipped=magic.startswith(GZIP_MAGIC)), path, read_as.encoding or "utf-8"))
    if not lines:
        raise DataError(f"{path}: the file is empty; it needs the columns {', '.join(_COLUMNS)}")
    mark = read_as.delimiter or (";" if ";" in lines[0][1] else ",")
    names = [plain_name(name) for name in cells_of(lines[0][1], mark) or ()]
    places = {
        column: next((names.index(name) for name in known if name in names), -1)
        for column, known in _COLUMNS.items()
    }
    missing = [column for column, place in places.items() if place < 0]
    if missing:
        raise DataError(
            f"{path}, line {lines[0][0]}: missing column {', '.join(missing)}; a file of corporate actions has the "
            f"columns {', '.join(_COLUMNS)}"
        )
    found: dict[tuple[str, date, str], int] = {}
    actions = []
    for number, line in lines[1:]:
        cells = cells_of(line, mark) or []
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: {len(cells)} cells instead of {len(names)}: {shorten(line)!r}")
        row = {column: cells[place].strip() for column, place in places.items()}
        action = _action(f"{path}, line {number}", row, read_as, spelled)
        key = (action.symbol, action.day, row["action"].lower())
        if key in found:
            raise DataError(
                f"{path}, line {number}: a second {row['action']} of {action.symbol} on {action.day} (the first is "
                f"in line {found[key]}); write one that stands for both"
            )
        found[key] = number
        actions.append(action)
    return ActionFile(tuple(actions), digest)


def actions_from_adjusted(series: BarColumns) -> tuple[CorporateAction, ...]:
    """Return the splits and dividends that the adjusted close of daily bars shows; () where it is the close.

    A dividend is told as exactly as the decimals of the file allow. Raises DataError where the ratio of adjusted
    close to close moves by what is neither, and so the factor of the day is not known.
    """
    if series.adjusted is None:
        return ()
    return tuple(_changes(series, series.adjusted))


def _lines(source: LineSource, path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    for block in source.blocks(0, 1):
        for number, line in enumerate(block.rows, block.first):
            try:
                text = line.decode(encoding).rstrip("\r")
            except UnicodeDecodeError:
                raise DataError(
                    f"{path}, line {number}: bytes that are no {encoding}; declare it: --encoding"
                ) from None
            if text.strip():
                yield number, text


def _action(place: str, row: Mapping[str, str], read_as: ReadAs, spelled: Callable[[str], str]) -> CorporateAction:
    if not row["symbol"]:
        raise DataError(f"{place}, column symbol: the cell is empty; write the symbol of the share")
    day, symbol, kind = _day(place, row["date"], read_as), spelled(row["symbol"]), row["action"].lower()
    try:
        if kind == SPLIT:
            new, _, old = row["value"].replace("/", ":").partition(":")
            return Split(symbol, day, number_of(new.strip()), number_of(old.strip() or "1"))
        if kind == DIVIDEND:
            return Dividend(symbol, day, number_of(row["value"]))
    except (RowRefused, ContractError):
        allowed = "new:old, such as 50:1" if kind == SPLIT else "an amount above 0, such as 0.24"
        raise DataError(
            f"{place}, column value: {shorten(row['value'])!r} is no {kind}; allowed: {allowed}"
        ) from None
    raise DataError(f"{place}, column action: {shorten(row['action'])!r}; allowed: {SPLIT}, {DIVIDEND}")


def _day(place: str, text: str, read_as: ReadAs) -> date:
    parse = dates.stamp_of if read_as.date_format is None else dates.declared(read_as)
    try:
        stamp = parse(text)
    except (RowRefused, ValueError, OverflowError):
        raise DataError(f"{place}, column date: {shorten(text)!r} is no date; write it as 2018-05-04") from None
    return date.fromordinal(stamp.wall_ns // DAY_NS + EPOCH_ORDINAL)


def _changes(series: BarColumns, adjusted: Sequence[int]) -> Iterator[CorporateAction]:
    """Yield what happened between each bar and the one before it."""
    closes = series.prices[3]
    price_step = 10**series.price_decimals
    for at in range(1, len(series)):
        before, now = adjusted[at - 1], adjusted[at]
        # Factors are equal where adj[at-1] * close[at] = adj[at] * close[at-1]: the usual day costs two products.
        if before * closes[at] == now * closes[at - 1]:
            continue
        close = Fraction(closes[at - 1], price_step)
        ratio = Fraction(before * closes[at], now * closes[at - 1])
        # Both adjusted closes are rounded to half a step of the file.
        error = (Fraction(1, 2 * before) + Fraction(1, 2 * now)) * ratio
        if abs(1 - ratio) <= 2 * error:
            continue
        yield _change(series, at, close, ratio, error, Fraction(closes[at], closes[at - 1]))


def _change(
    series: BarColumns, at: int, close: Fraction, ratio: Fraction, error: Fraction, move: Fraction
) -> CorporateAction:
    day = date.fromordinal(series.days[at])
    for new_to_old in _SPLITS:
        for split in (new_to_old, 1 / new_to_old):
            after = 1 / split
            fits = abs(ratio - after) <= 4 * error or abs(ratio / after - 1) < Fraction(1, 10_000)
            if fits and abs(move / after - 1) < abs(move - 1):
                return Split(series.symbol, day, Decimal(split.numerator), Decimal(split.denominator))
    share = 1 - ratio
    if not 0 < share < _LARGEST_DIVIDEND:
        raise DataError(
            f"{series.files[0]}: the adjusted close of {series.symbol} changes by a factor of {float(ratio):.6g} "
            f"on {day}, which is no split we know and no dividend, so the factor is not known; name what happened "
            f"in a file {FILE_NAME} (date, symbol, action, value), or leave the column out"
        )
    return Dividend(series.symbol, day, _amount(series, day, share * close, 2 * error * close))


def _amount(series: BarColumns, day: date, amount: Fraction, doubt: Fraction) -> Decimal:
    """Return an amount with as many decimals as ``doubt`` leaves. Raises DataError where it leaves none."""
    digits = 0
    while Fraction(1, 10 ** (digits + 1)) > doubt and digits < _MOST_DIGITS:
        digits += 1
    exact = times(Decimal(amount.numerator * 10**_MOST_DIGITS // amount.denominator), power_of_ten(-_MOST_DIGITS))
    rounded = multiple_of(exact, power_of_ten(-digits), ROUND_HALF_EVEN)
    if rounded <= 0:
        raise DataError(
            f"{series.files[0]}: the adjusted close of {series.symbol} shows a dividend on {day} that its decimals "
            f"do not tell; name it in a file {FILE_NAME} (date, symbol, action, value), or leave the column out"
        )
    return rounded
