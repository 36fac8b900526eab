"""The sample table: five real years of S&P 500, VIX and 005930 that come with the package.

Where the figures are from and how they were rounded is written in ``data/SOURCES.md``.
"""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import date
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from qts.errors import DataError

SAMPLE_FILE: Final = "sample_2014_2018.csv"
SAMPLE_SYMBOL: Final = "005930"
_COLUMNS: Final = ("date", "sp500_close", "vix_close", "open", "high", "low", "close", "volume")


class DayBar(msgspec.Struct, frozen=True):
    """One day of a share: prices in won on the tick grid, volume in shares. ``volume`` 0 is a halt."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def is_halt(self) -> bool:
        """Return whether nothing traded on the day."""
        return self.volume == 0


class SampleRow(msgspec.Struct, frozen=True):
    """One calendar day; None where that market was closed. Index levels in points (indicators, floats)."""

    day: date
    sp500: float | None
    vix: float | None
    bar: DayBar | None

    @property
    def traded(self) -> bool:
        """Return whether 005930 had volume: the trading days of the sample."""
        return self.bar is not None and not self.bar.is_halt


@cache
def load_sample() -> tuple[SampleRow, ...]:
    """Return all rows, oldest first; read once per process."""
    return parse_sample(_content().decode(), SAMPLE_FILE)


@cache
def sample_sha256() -> str:
    """Return the SHA-256 of the table's bytes, for the run id."""
    return hashlib.sha256(_content()).hexdigest()


def sample_csv() -> str:
    """Return the bars of 005930 as the text of a file of bars; days without trading are left out."""
    lines = ["Date,Open,High,Low,Close,Volume"]
    lines += (
        f"{row.day},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}"
        for row in load_sample()
        if (bar := row.bar) is not None and not bar.is_halt
    )
    return "".join(f"{line}\n" for line in lines)


def parse_sample(text: str, name: str) -> tuple[SampleRow, ...]:
    """Parse a table in the sample's format. Raises :class:`~qts.errors.DataError` naming file and line."""
    lines = csv.reader(io.StringIO(text))
    if tuple(next(lines, ())) != _COLUMNS:
        raise DataError(f"{name}: the first line must be {','.join(_COLUMNS)}")
    rows = []
    for number, cells in enumerate(lines, 2):
        try:
            rows.append(_row(cells))
        except (ArithmeticError, ValueError) as error:
            raise DataError(f"{name}, line {number}: {cells!r} is no row of the table ({error!r})") from error
        if len(rows) > 1 and rows[-1].day <= rows[-2].day:
            raise DataError(f"{name}, line {number}: {rows[-1].day} must come after {rows[-2].day}")
    return tuple(rows)


def _row(cells: list[str]) -> SampleRow:
    day, sp500, vix, *prices = cells
    if len(prices) != 5:
        raise ValueError(f"{len(cells)} columns instead of {len(_COLUMNS)}")
    return SampleRow(
        day=date.fromisoformat(day),
        sp500=float(sp500) if sp500 else None,
        vix=float(vix) if vix else None,
        bar=DayBar(*(Decimal(cell) for cell in prices)) if any(prices) else None,
    )


def _content() -> bytes:
    return resources.files("qts.market").joinpath("data", SAMPLE_FILE).read_bytes()
