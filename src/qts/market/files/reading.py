"""Declarations of how to read the texts of a CSV file where the file leaves a doubt: encoding, delimiter, time zone
and form of its times, and the symbol of a file of bars. What is not declared is seen from the file only where it
cannot be mistaken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from qts.clock import to_ns
from qts.errors import DataError
from qts.market.files.refusals import BAD_TIME, RowRefused
from qts.market.files.times import IsoTimes

ENCODINGS: Final = ("utf-8", "cp949", "euc-kr", "cp1252", "latin-1", "shift_jis")
"""Encodings in which a line feed and the ASCII characters are single bytes, so that lines can be cut as bytes."""
DELIMITERS: Final = (",", ";", "\t", "|")
EPOCHS: Final = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}
"""Names of times counted since 1970 UTC, with the nanoseconds of one count."""
EXCEL: Final = "excel"
"""Days since 1899-12-30 with a fraction, the serial numbers of spreadsheets."""

_EXCEL_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - the zone is that of --timezone
_COUNT: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?", re.ASCII)
_SERIAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,15})?", re.ASCII)
_NAMES: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class ReadAs(msgspec.Struct, frozen=True, kw_only=True):
    """The declarations of the user about a CSV file; None: not declared.

    ``encoding`` is one of :data:`ENCODINGS`, ``delimiter`` one of :data:`DELIMITERS`, ``timezone`` an IANA name
    such as Asia/Seoul for times without an offset, ``date_format`` a key of :data:`EPOCHS`, :data:`EXCEL` or a
    format of ``datetime.strptime``. ``symbol`` is that of a file of bars without a column of symbols;
    ``symbols`` are those of several such files, by path.
    """

    encoding: str | None = None
    delimiter: str | None = None
    timezone: str | None = None
    date_format: str | None = None
    symbol: str | None = None
    symbols: Mapping[str, str] | None = None

    @property
    def declared(self) -> str:
        """Return what was declared, as it stands in the run's name of its input; "" for nothing."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return "&".join(f"{name}={value}" for name, value in given.items() if isinstance(value, str))


def read_as(
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    timezone: str | None = None,
    date_format: str | None = None,
    symbol: str | None = None,
    symbols: Mapping[str, str] | None = None,
) -> ReadAs:
    """Return the checked declaration. Raises DataError naming the option, its value and what is allowed."""
    if encoding is not None and encoding.lower() not in ENCODINGS:
        raise DataError(
            f"--encoding {encoding}: allowed are {', '.join(ENCODINGS)}; convert any other first, for example with "
            f"iconv -f {encoding} -t UTF-8 FILE > NEW.csv"
        )
    mark = None if delimiter is None else _NAMES.get(delimiter.lower(), delimiter)
    if mark is not None and mark not in DELIMITERS:
        raise DataError(f"--delimiter {delimiter!r}: allowed are comma, semicolon, tab and pipe")
    if timezone is not None:
        _zone(timezone)
    if date_format is not None and date_format not in (*EPOCHS, EXCEL) and "%" not in date_format:
        raise DataError(
            f"--date-format {date_format!r}: allowed are {', '.join(EPOCHS)}, {EXCEL} or a format such as "
            "%d/%m/%Y %H:%M:%S"
        )
    return ReadAs(
        encoding=None if encoding is None else encoding.lower(),
        delimiter=mark,
        timezone=timezone,
        date_format=date_format,
        symbol=symbol,
        symbols=symbols,
    )


class DeclaredTimes(IsoTimes):
    """Times as ``wanted`` declares them; an offset in the text itself stands above the declared zone."""

    __slots__ = ("_format", "_zone")

    def __init__(self, wanted: ReadAs) -> None:
        super().__init__()
        self._format = wanted.date_format
        self._zone: tzinfo | None = None if wanted.timezone is None else _zone(wanted.timezone)

    def parse(self, text: str) -> int:
        """Return nanoseconds since 1970. Raises :class:`RowRefused` or ValueError for what is no such time."""
        if self._format in EPOCHS:
            if not _COUNT.fullmatch(text):
                raise RowRefused(BAD_TIME, text)
            whole, _, fraction = text.partition(".")
            unit = EPOCHS[self._format]
            return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        moment = self._serial(text) if self._format == EXCEL else self._moment(text)
        if moment.tzinfo is None:
            if self._zone is None:
                raise RowRefused(BAD_TIME, text)
            moment = moment.replace(tzinfo=self._zone)
        return to_ns(moment.astimezone(UTC))

    def _moment(self, text: str) -> datetime:
        return datetime.fromisoformat(text) if self._format is None else datetime.strptime(text, self._format)  # noqa: DTZ007

    @staticmethod
    def _serial(text: str) -> datetime:
        """Return the time of a serial number to the millisecond; a spreadsheet keeps a time to about 1 µs."""
        if not _SERIAL.fullmatch(text):
            raise RowRefused(BAD_TIME, text)
        days, _, fraction = text.partition(".")
        ms = round(int(fraction or 0) * 86_400_000 / 10 ** len(fraction or "0"))
        return _EXCEL_ZERO + timedelta(days=int(days), milliseconds=ms)


def times_of(wanted: ReadAs) -> IsoTimes:
    """Return the reader of times for ``wanted``."""
    if wanted.timezone is None and wanted.date_format is None:
        return IsoTimes()
    return DeclaredTimes(wanted)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(
            f"--timezone {name!r}: no such time zone; allowed are the names of the IANA database, such as "
            "Asia/Seoul, UTC or America/New_York"
        ) from None
