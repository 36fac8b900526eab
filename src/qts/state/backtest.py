"""Backtest of the operating state: replays a daily series through the real manager on a virtual clock.

The convention, so that results can be compared: UTC; each day is evaluated hourly 09:00…16:00 with that day's
closing metrics; BALANCED at the first evaluation; drawdown from the running peak; consecutive down days stand
for scalp losses, consecutive up days for profitable days; cagr over 252 days against a target of 10 %, growth
over 126 days, win rate over the last 30 moves; never a circuit breaker; safety NORMAL.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, TextIO

import msgspec

from qts.clock import ManualClock, from_ns
from qts.errors import ContractError, DataError
from qts.market.files.reading import DELIMITERS, ReadAs
from qts.market.files.remedies import encoding_remedy, sentence_of, time_remedy
from qts.safety.contracts import SafetyState
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState, TransitionMetrics, TransitionRecord
from qts.state.index_performance import IndexPerformance
from qts.state.operating_state import OperatingStateManager

HOURS: Final = range(9, 17)

_COLUMNS: Final = ("date", "close", "vix")
_ABSENT: Final = frozenset({"", ".", "-", "nan", "na", "n/a", "null", "none"})
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_COMPACT_DATE: Final = re.compile(r"\d{8}")
_MAX_SHOWN: Final = 60
_ALLOWED_DATES: Final = "2018-01-31, 2018/01/31 or 20180131"
AS_IT_IS: Final = ReadAs()
"""The default of ``read_as``: nothing is declared of the file."""


class SeriesRow(msgspec.Struct, frozen=True):
    """One day: the close of an index (> 0) and of the volatility index (> 0)."""

    day: date
    close: float
    vix: float


class SkippedRow(msgspec.Struct, frozen=True):
    """One row that could not be used: its line, the reason, and the column and value at fault."""

    line: int
    reason: str
    column: str
    value: str

    def text(self) -> str:
        """Return the sentence for a message: place, reason, value and what is allowed."""
        allowed = _ALLOWED_DATES if self.column == "date" else "a number above 0"
        remedy = sentence_of(time_remedy(self.value)) if self.reason == "date_unreadable" else ""
        return f"line {self.line}, column {self.column}: {self.reason} {self.value!r}; allowed: {allowed}" + (
            f"; {remedy}" if remedy else ""
        )


def read_series(
    path: str | os.PathLike[str],
    *,
    read_as: ReadAs = AS_IT_IS,
    examples: list[SkippedRow] | None = None,
) -> tuple[list[SeriesRow], dict[str, int]]:
    """Return the usable rows of a CSV file with columns date, close, vix (any case, others ignored), oldest first,
    and the counts of skipped rows by reason.

    ``read_as`` declares its encoding, its delimiter and the form of its dates. ``examples`` is given the first
    skipped row of each reason.

    Rows that cannot be used are skipped and counted by reason (``vix_missing``, ``close_not_positive``,
    ``date_unreadable``, ``date_out_of_order`` …). A file that is wholly newest-first is reversed. Raises
    :class:`~qts.errors.DataError` for a file that is missing, empty, of another format or without a usable row.
    """
    where = Path(path)
    skipped = _Skipped([] if examples is None else examples)
    rows: list[SeriesRow] = []
    for line, row in _newest_last(list(_usable(_table(where, read_as), skipped, read_as.date_format))):
        if rows and row.day <= rows[-1].day:
            reason = "date_out_of_order" if row.day < rows[-1].day else "date_repeated"
            skipped.add(SkippedRow(line, reason, "date", row.day.isoformat()))
        else:
            rows.append(row)
    if not rows:
        skipped_text = (
            ", ".join(f"{reason} {n}" for reason, n in sorted(skipped.counts.items())) or "it holds only a header"
        )
        first = f"; {skipped.examples[0].text()}" if skipped.examples else ""
        raise DataError(
            f"{where}: no usable row ({skipped_text}); every row needs a date, a close and a vix above 0{first}"
        )
    return rows, dict(sorted(skipped.counts.items()))


def backtest(rows: Sequence[SeriesRow], config: StateConfig | None = None) -> list[TransitionRecord]:
    """Return every transition of the governor over ``rows`` (ascending days), by the convention of this module.

    Raises :class:`~qts.errors.ContractError` when the days do not ascend.
    """
    if not rows:
        return []
    clock = ManualClock(_moment(rows[0].day, HOURS[0]))
    manager = OperatingStateManager(config, clock=clock, initial_state=OperatingState.BALANCED)
    transitions: list[TransitionRecord] = []
    manager.add_listener(transitions.append)
    previous: date | None = None
    for row, metrics in zip(rows, daily_metrics(rows), strict=True):
        if previous is not None and row.day <= previous:
            raise ContractError(f"the days of a backtest ascend: {row.day} comes after {previous}")
        previous = row.day
        for hour in HOURS:
            clock.set(_moment(row.day, hour))
            manager.evaluate_transition(metrics, SafetyState.NORMAL)
    return transitions


def daily_metrics(rows: Iterable[SeriesRow]) -> Iterator[TransitionMetrics]:
    """Yield the closing metrics of each day (see the module); what is not known yet is None."""
    performance = IndexPerformance()
    for row in rows:
        performance.add(row.close)
        yield performance.metrics(row.vix)


def state_by_day(rows: Sequence[SeriesRow], transitions: Sequence[TransitionRecord]) -> list[OperatingState]:
    """Return the state at the end of each day."""
    moves = {from_ns(record.ts_ns).date(): record.to_state for record in transitions}
    state, found = OperatingState.BALANCED, []
    for row in rows:
        state = moves.get(row.day, state)
        found.append(state)
    return found


def days_in_state(rows: Sequence[SeriesRow], transitions: Sequence[TransitionRecord]) -> dict[OperatingState, int]:
    """Return how many of the days ended in each state."""
    ended = state_by_day(rows, transitions)
    return {state: ended.count(state) for state in OperatingState}


def transition_rows(transitions: Iterable[TransitionRecord]) -> list[dict[str, str]]:
    """Return the transitions as ``--json`` prints them: {date, time, from, to, reason}, times in UTC."""
    return [
        {
            "date": from_ns(record.ts_ns).date().isoformat(),
            "time": from_ns(record.ts_ns).strftime("%H:%M"),
            "from": record.from_state.value,
            "to": record.to_state.value,
            "reason": record.reason,
        }
        for record in transitions
    ]


def _moment(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class _Skipped:
    """Counts of skipped rows by reason, and the first of each."""

    def __init__(self, examples: list[SkippedRow]) -> None:
        self.counts: dict[str, int] = {}
        self.examples = examples

    def add(self, row: SkippedRow) -> None:
        if row.reason not in self.counts:
            self.examples.append(row)
        self.counts[row.reason] = self.counts.get(row.reason, 0) + 1


def _newest_last(rows: list[tuple[int, SeriesRow]]) -> list[tuple[int, SeriesRow]]:
    descending = len(rows) > 1 and all(later.day < row.day for (_, row), (_, later) in itertools.pairwise(rows))
    return rows[::-1] if descending else rows


def _table(path: Path, read_as: ReadAs) -> Iterator[tuple[int, str, str, str]]:
    """Yield line number and the three columns, as text. Raises DataError with the place for any other file."""
    encoding = "utf-8-sig" if read_as.encoding in (None, "utf-8") else str(read_as.encoding)
    try:
        with open(path, encoding=encoding, newline="") as file:
            lines = csv.reader(file, strict=True, delimiter=read_as.delimiter or _delimiter(file))
            try:
                columns = _columns(path, next(lines, None))
                for line in lines:
                    if line:
                        day, close, vix = (line[at] if at < len(line) else "" for at in columns)
                        yield lines.line_num, day, close, vix
            except csv.Error as error:
                raise DataError(f"{path}, line {lines.line_num}: not a CSV line: {error}") from None
    except UnicodeDecodeError as error:
        remedy = encoding_remedy(error.object[error.start : error.start + _MAX_SHOWN].splitlines()[0])
        what = f"; {sentence_of(remedy)}" if remedy else "; give a CSV with date, close, vix in UTF-8"
        raise DataError(f"{path}: not {encoding.removesuffix('-sig')} (byte {error.start}){what}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _delimiter(file: TextIO) -> str:
    """Return the delimiter that the first line shows; the caller reads that line again."""
    header = file.readline().lower()
    file.seek(0)
    return next(
        (mark for mark in DELIMITERS if {*_COLUMNS} <= {name.strip(' "\r\n') for name in header.split(mark)}), ","
    )


def _columns(path: Path, header: list[str] | None) -> tuple[int, ...]:
    if header is None:
        raise DataError(f"{path}, line 1: the file is empty; give a CSV with the columns date, close, vix")
    names = [name.strip().lower() for name in header]
    for column in _COLUMNS:
        if names.count(column) != 1:
            problem = "is missing" if column not in names else "appears more than once"
            found = ", ".join(header)[:_MAX_SHOWN] or "nothing"
            raise DataError(
                f"{path}, line 1: the column {column!r} {problem}; needed: date, close, vix; found: {found!r}"
            )
    return tuple(names.index(column) for column in _COLUMNS)


def _usable(
    table: Iterable[tuple[int, str, str, str]], skipped: _Skipped, date_format: str | None
) -> Iterator[tuple[int, SeriesRow]]:
    for line, day_text, close_text, vix_text in table:
        day = _day(day_text.strip(), date_format)
        close, vix = _level("close", close_text.strip()), _level("vix", vix_text.strip())
        if day is None:
            skipped.add(SkippedRow(line, "date_unreadable", "date", day_text.strip()[:_MAX_SHOWN]))
        elif isinstance(close, str):
            skipped.add(SkippedRow(line, close, "close", close_text.strip()[:_MAX_SHOWN]))
        elif isinstance(vix, str):
            skipped.add(SkippedRow(line, vix, "vix", vix_text.strip()[:_MAX_SHOWN]))
        else:
            yield line, SeriesRow(day, close, vix)


def _day(text: str, date_format: str | None) -> date | None:
    try:
        if date_format is not None:
            return datetime.strptime(text, date_format).date()  # noqa: DTZ007 - a day has no zone
        if _COMPACT_DATE.fullmatch(text):
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        return datetime.fromisoformat(text.replace("/", "-")).date()
    except ValueError:
        return None


def _level(name: str, text: str) -> float | str:
    """Return a level above 0, or the reason why the text is none."""
    if text.lower() in _ABSENT:
        return f"{name}_missing"
    try:
        value = float(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    except ValueError:
        return f"{name}_not_a_number"
    if not math.isfinite(value):
        return f"{name}_not_finite"
    return value if value > 0 else f"{name}_not_positive"
