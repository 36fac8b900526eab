"""The market data that a user names: one recording of quotes and trades, or files and folders of bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from qts.errors import DataError
from qts.market.bars.opener import files_in, is_file_of_bars, open_bars
from qts.market.contracts import Feed, Instrument
from qts.market.files import open_feed
from qts.market.files.detect import CSV, PARQUET
from qts.market.files.detect import FORMATS as RECORDED
from qts.market.files.reading import ReadAs
from qts.market.prepared.directory import CaptureDirectory

BARS: Final = "bars"
FORMATS: Final = (*RECORDED, BARS)
_DEFAULT_CURRENCY: Final = "KRW"


def open_recording(
    paths: Sequence[Path],
    format: str | None = None,
    *,
    currency: str | None,
    own: Mapping[str, Instrument] | None = None,
    read_as: ReadAs,
    captures: CaptureDirectory | None = None,
) -> Feed:
    """Open ``paths`` as one feed: several files or a folder are bars, one file is what its content shows.

    ``format`` is one of :data:`FORMATS`, None to judge by the content. ``currency`` is that of the account, None
    where the user has set none. ``own`` are instruments that stand before those of the files, ``read_as`` declares
    how texts are to be read, ``captures`` has prepared captures of recordings. Raises DataError (exit code 2) for
    what cannot be used, and MissingExtraError without pyarrow.
    """
    if not paths:
        raise DataError("no file is named; name a recording, or files of bars")
    files = files_in(paths)
    is_open = format is None or format in (CSV, PARQUET)
    if format == BARS or (is_open and (len(files) > 1 or is_file_of_bars(files[0], read_as))):
        return open_bars(paths, currency=currency, own=own, read_as=read_as)
    if len(files) > 1:
        raise DataError(f"{files[1]}: a run reads one recording in {format}; only files of bars can be several")
    if read_as.symbol is not None:
        raise DataError(
            f"{files[0]}: --symbol {read_as.symbol} is for files of bars; this one names its symbols itself"
        )
    return open_feed(
        files[0], format, currency=currency or _DEFAULT_CURRENCY, own=own, read_as=read_as, captures=captures
    )
