"""Notes on where the bars came from with which a session was warmed up, and how many were missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Final

from qts.market.series.history import SeriesOrigin
from qts.notes import Note

_NAMED: Final = 5


def notes_on_origins(origins: Iterable[SeriesOrigin]) -> list[Note]:
    """Return for each interval from where its bars came, and of which symbols some are missing."""
    notes = []
    for interval, group in groupby(origins, key=lambda one: one.interval):
        series = list(group)
        counts: Counter[str | Note] = Counter()
        names: dict[str, str | Note] = {}
        for one in series:
            for name, count in one.sources:
                names[repr(name)] = name
                counts[repr(name)] += count
        named: list[str | Note] = [
            Note.of("warm-up-source", named=name, bars=counts[key]) for key, name in names.items()
        ]
        if named:
            with_bars = sum(bool(one.found) for one in series)
            notes.append(Note.of("warm-up-read", interval=interval, symbols=with_bars, named=named))
        short = [one for one in series if one.missing]
        if short:
            some: list[str | Note] = [
                Note.of("warm-up-found", symbol=one.symbol, found=one.found, wanted=one.wanted)
                for one in short[:_NAMED]
            ]
            all_of_them = len(short) <= _NAMED
            told = some if all_of_them else Note.of("some-of", named=some, count=len(short) - _NAMED)
            notes.append(Note.of("warm-up-missing", interval=interval, symbols=len(short), named=told))
    return notes
