"""The bars with which a session on KIS has warmed its strategies up, kept beside its record for a replay of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import DataError
from qts.files import write_atomically
from qts.market.contracts import Bar
from qts.market.series.history import Rows

SOURCE: Final = "KIS"
"""The name of these bars for people."""
_ENDING: Final = ".bars.json"
_RANK: Final = 1
_DIRECTORY_MODE: Final = 0o700


def file_of(directory: Path, day: date) -> Path:
    """Return where the bars of a session of ``day`` are in the ``directory`` of its record."""
    return directory / f"{day.isoformat()}{_ENDING}"


def keep(file: Path, bars: Sequence[Bar]) -> None:
    """Write the bars. Raises OSError."""
    file.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    write_atomically(file, msgspec.json.encode(bars))


class RecordedBars:
    """The bars of ``file``, a :class:`~qts.market.with_history.StoredRows`. Raises DataError for a damaged file."""

    def __init__(self, file: Path) -> None:
        try:
            content = file.read_bytes()
            self._bars = msgspec.json.decode(content, type=list[Bar])
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{file}: the bars from before the session cannot be read: {error}") from None
        self._digest = hashlib.sha256(content).hexdigest()

    @property
    def source_id(self) -> str:
        """Name the content."""
        return f"kis-bars sha256={self._digest}"

    @property
    def bars(self) -> Sequence[Bar]:
        """Return the bars."""
        return self._bars

    def sources(self) -> Sequence[Rows]:
        """Return the bars."""
        return [Rows(SOURCE, _RANK, self._bars)]
