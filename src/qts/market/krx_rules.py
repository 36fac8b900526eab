"""The dated rules of the Korea Exchange as values: read once from ``data/krx.yaml`` and checked.

Every row applies from its date until the next one. Before the first row the oldest applies, and
:func:`note_before_first` gives the note that a report has to show for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Final, Protocol, TypeVar

import msgspec
import yaml

from qts.errors import DataError
from qts.money import remainder
from qts.notes import Note

DATA_FILE: Final = "krx.yaml"


class _Dated(Protocol):
    """A row of a dated table."""

    @property
    def since(self) -> date:
        """Return the first day on which the row applies."""
        ...


Row = TypeVar("Row", bound=_Dated)


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """Common settings of the rows: unknown keys are refused, ``from`` is called ``since`` in code."""


class TickTable(_Struct, frozen=True):
    """Grid steps by price: pairs (price below which the step applies, step); the last bound is None."""

    since: date
    source: str
    steps: list[tuple[Decimal | None, Decimal]]


class PriceLimit(_Struct, frozen=True):
    """Largest move of a day from the base price, a share (0.30 = 30 %)."""

    since: date
    source: str
    limit: Decimal


class SessionTimes(_Struct, frozen=True):
    """Wall-clock times (HH:MM, Korean time) of the regular session."""

    since: date
    source: str
    order_entry: str
    open: str
    closing_auction: str
    close: str


class Rate(_Struct, frozen=True):
    """A share of the traded value."""

    since: date
    source: str
    rate: Decimal


class Settlement(_Struct, frozen=True):
    """Trading days from the trade date to the day on which it is paid."""

    since: date
    source: str
    days: Annotated[int, msgspec.Meta(ge=0, le=10)]


class FirstTradingDay(_Struct, frozen=True):
    """The rule for the first trading day of the year."""

    source: str
    order_entry: str
    open: str


class ShiftedDays(_Struct, frozen=True):
    """Days on which the session is shifted."""

    source: str
    minutes: int
    days: list[date]


class ClosedEveryYear(_Struct, frozen=True):
    """Days on which the market is closed in every year."""

    source: str
    days: list[str]


class ClosedYear(_Struct, frozen=True):
    """The closed days of one year."""

    source: str
    year: int
    days: list[date]


class KrxRules(_Struct, frozen=True):
    """The whole file; see the comments in ``data/krx.yaml`` for the meaning and source of each row.

    Every table goes by the trade date, but ``sell_tax`` by the settlement date and ``dividend_tax`` by the ex-date.
    """

    ticks: dict[str, list[TickTable]]
    price_limits: list[PriceLimit]
    sessions: list[SessionTimes]
    first_trading_day: FirstTradingDay
    shifted_days: ShiftedDays
    closed_every_year: ClosedEveryYear
    closed_days: list[ClosedYear]
    settlement: list[Settlement]
    sell_tax: dict[str, list[Rate]]
    broker_fee: list[Rate]
    dividend_tax: list[Rate]


@cache
def embedded_rules() -> KrxRules:
    """Return the rules that come with the package, read once per process."""
    text = resources.files("qts.market").joinpath("data", DATA_FILE).read_text(encoding="utf-8")
    return parse_rules(text, DATA_FILE)


def parse_rules(text: str, name: str) -> KrxRules:
    """Parse rules from YAML text. Raises :class:`~qts.errors.DataError` naming ``name`` and the wrong place."""
    try:
        rules = msgspec.convert(yaml.safe_load(text), KrxRules)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise DataError(f"{name}: {error}") from error
    for place, rows in _tables(rules).items():
        dates = [row.since for row in rows]
        if not dates or dates != sorted(set(dates)):
            raise DataError(f"{name}: {place} needs at least one row, oldest first, no date twice; got {dates}")
    for board, tables in rules.ticks.items():
        for table in tables:
            _check_steps(table, f"{name}: ticks.{board} from {table.since}")
    return rules


def row_at(rows: Sequence[Row], day: date) -> Row:
    """Return the row in force on ``day``; before the first one the oldest."""
    return rows[max(0, bisect_right(rows, day, key=_since) - 1)]


def note_before_first(rows: Sequence[Row], day: date, subject: Note, *, settled: bool = False) -> list[Note]:
    """Return a note when ``day`` lies before every row of ``subject``, else none.

    ``settled``: ``day`` is the date of settlement, not of the trade.
    """
    first = rows[0].since
    if day >= first:
        return []
    if settled:
        return [Note.of("rule-before-first-row-settled", subject=subject, since=f"{first}", day=f"{day}")]
    return [Note.of("rule-before-first-row", subject=subject, since=f"{first}", day=f"{day}")]


def _since(row: _Dated) -> date:
    return row.since


def _tables(rules: KrxRules) -> Mapping[str, Sequence[_Dated]]:
    named: dict[str, Sequence[_Dated]] = {
        "price_limits": rules.price_limits,
        "sessions": rules.sessions,
        "settlement": rules.settlement,
        "broker_fee": rules.broker_fee,
        "dividend_tax": rules.dividend_tax,
    }
    named.update({f"ticks.{board}": rows for board, rows in rules.ticks.items()})
    named.update({f"sell_tax.{board}": rows for board, rows in rules.sell_tax.items()})
    return named


def _check_steps(table: TickTable, place: str) -> None:
    """Check that bounds rise, only the last is open, and each bound is on the grids of both its sides."""
    bounds = [bound for bound, _ in table.steps]
    inner = [bound for bound in bounds[:-1] if bound is not None]
    if not bounds or bounds[-1] is not None or len(inner) != len(bounds) - 1 or inner != sorted(set(inner)):
        raise DataError(f"{place}: bounds must rise and only the last may be null, got {bounds}")
    steps = [step for _, step in table.steps]
    if min(steps) <= 0:
        raise DataError(f"{place}: steps must be above 0, got {steps}")
    for bound, below, above in zip(inner, steps, steps[1:], strict=False):
        if remainder(bound, below) or remainder(bound, above):
            raise DataError(f"{place}: bound {bound} must be a multiple of the steps {below} and {above}")
