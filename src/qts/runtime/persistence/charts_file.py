"""The file of a finished run that holds what its report draws beside the books: plotted series and price history.

Everything in it follows from books and input, nothing is booked: prices and equity are floats, to be drawn only. It
is written once, after the session, and can be made again; a run without it has a report without these charts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from qts.errors import StorageError
from qts.files import write_atomically
from qts.performance import RoundTrip

FILE_NAME: Final = "charts.json"
_MAX_BYTES: Final = 1 << 30


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A series that a strategy has plotted: ``times_ns`` (since 1970, UTC) and ``values`` of the same length.

    ``pane`` "": over the prices. ``symbols`` are those of the session that its name or pane has as a word, also
    those that were not traded and have no candles.
    """

    strategy: str
    pane: str
    name: str
    times_ns: list[int]
    values: list[float]
    symbols: list[str] = []


class Candles(msgspec.Struct, frozen=True, kw_only=True):
    """The candles of one symbol, in order of time, as traded: lists of the same length.

    ``times_ns`` is the end of each (since 1970, UTC). ``span`` bars of the input are one candle, where there were
    too many; a candle made of quotes or trades covers a fixed time.
    """

    symbol: str
    span: int
    times_ns: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """The equity of buying and holding at each session's close; ``days`` are the market's own (ISO)."""

    days: list[str]
    equity: list[float]


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file; a field that an earlier version has not written has its default.

    ``trips`` are the completed round trips in the order of their ends, their amounts exact.
    """

    lines: list[Line] = []
    candles: list[Candles] = []
    benchmark: Benchmark | None = None
    trips: list[RoundTrip] = []


def write_charts(directory: Path, charts: Charts) -> None:
    """Write ``charts`` into the run's ``directory``, whole or not at all; no file when there is nothing to draw.

    Raises StorageError.
    """
    path = directory / FILE_NAME
    try:
        if charts == Charts():
            path.unlink(missing_ok=True)  # that of an earlier run of the same input
        else:
            write_atomically(path, msgspec.json.encode(charts))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error


def read_charts(directory: Path) -> Charts:
    """Return the charts of the run in ``directory``; empty when there are none.

    Raises StorageError for a file that cannot be read or is not what was written.
    """
    path = directory / FILE_NAME
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=Charts)
    except FileNotFoundError:
        return Charts()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise StorageError(f"{path} is not what was written ({error}); remove it, run the session again") from None
