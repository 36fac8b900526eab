"""The index of a journal's files: where events lie in them, and which file can be removed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from qts.event.journal_recovery import Place, Recovered
from qts.event.journal_segments import Mark, Run, segment_path


class Segment:
    """One file: the counts of its events and bytes, and of the events with which all handlers are done."""

    __slots__ = ("done", "events", "first", "path", "size")

    def __init__(self, directory: Path, first: int) -> None:
        self.first = first
        self.path = segment_path(directory, first)
        self.events = self.done = self.size = 0


class JournalIndex:
    """The files of a journal, the newest of which is written; begins with what recovery ``found``.

    The caller holds the journal's lock. Only the writer changes the files, and may read them without it.
    """

    def __init__(self, directory: Path, found: Recovered) -> None:
        self.segments = [Segment(directory, first) for first in sorted(found.events)]
        for segment in self.segments:
            segment.events, segment.size = found.events[segment.first], found.sizes[segment.first]
            segment.done = segment.events
        self._places: dict[int, Place] = {}
        self._wanted: list[int] = []
        for one in found.unfinished:
            self._places[one.sequence] = one.place
            self.segment_of(one.sequence).done -= 1
        for sequence in found.parked:
            self.segment_of(sequence).done -= 1
        self._parked = set(found.parked)

    @property
    def newest(self) -> Segment:
        """Return the file that is written."""
        return self.segments[-1]

    def segment_of(self, sequence: int) -> Segment:
        """Return the file in which the event lies or will lie."""
        firsts = [segment.first for segment in self.segments]
        return self.segments[max(bisect_right(firsts, sequence) - 1, 0)]

    def request_place(self, sequence: int) -> None:
        """Record where the group of this event will lie when it is written; numbers ascend."""
        self._wanted.append(sequence)

    def locate(self, sequence: int, *, forget: bool) -> tuple[Path, Place]:
        """Return a file and a place in it at or before the event's record."""
        segment = self.segment_of(sequence)
        place = self._places.pop(sequence, None) if forget else self._places.get(sequence)
        if place is None or place.first != segment.first:
            place = Place(segment.first, 0)
        return segment.path, place

    def written(self, segment: Segment, last: int, count: int, size: int) -> None:
        """Note that ``count`` events up to ``last``, with marks ``size`` bytes, are in ``segment``."""
        while self._wanted and self._wanted[0] <= last:
            self._places[self._wanted.pop(0)] = Place(segment.first, segment.size)
        segment.events += count
        segment.size += size

    def marked(self, runs: Iterable[Run]) -> None:
        """Note the marks in the files: a dead-lettered event is not done, its file stays for the operator."""
        for run in runs:
            if run.mark is Mark.PARKED:
                self._parked.update(range(run.first, run.first + run.length))
            elif run.mark is not Mark.REOPENED:
                self._count_done(run, 1)
            elif run.first in self._parked:
                self._parked.discard(run.first)
            else:
                self._count_done(run, -1)

    def removable(self) -> Segment | None:
        """Return the oldest file when all of its events are done, else None; the newest file always stays."""
        oldest = self.segments[0]
        return oldest if len(self.segments) > 1 and oldest.done >= oldest.events else None

    def _count_done(self, run: Run, step: int) -> None:
        """Add ``step`` for every event of ``run`` to the file it is in, if that is there."""
        firsts = [segment.first for segment in self.segments]
        sequence, end = max(run.first, firsts[0]), run.first + run.length
        while sequence < end:
            index = bisect_right(firsts, sequence)
            upto = min(end, firsts[index]) if index < len(firsts) else end
            self.segments[index - 1].done += step * (upto - sequence)
            sequence = upto
