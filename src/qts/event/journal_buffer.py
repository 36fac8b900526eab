"""Records on their way to the disk: those that gather, and the group that is being written."""

from __future__ import annotations


class Buffer:
    """Records of successive events; the caller holds the journal's lock."""

    __slots__ = ("_writing", "_writing_first", "first", "records", "size")

    def __init__(self, first: int) -> None:
        self.records: list[bytes] = []
        """Those that gather; the number of the first of them is ``first``, their bytes are ``size``."""
        self.first = self._writing_first = first
        self.size = 0
        self._writing: list[bytes] = []

    def add(self, record: bytes) -> None:
        self.records.append(record)
        self.size += len(record)

    def take(self, most: int) -> tuple[list[bytes], int]:
        """At most so many to be written now, and the number of the first."""
        first = self.first
        if len(self.records) <= most:
            group, self.records = self.records, []
        else:
            group, self.records = self.records[:most], self.records[most:]
        self.first = first + len(group)
        self.size -= sum(map(len, group))
        self._writing, self._writing_first = group, first
        return group, first

    def written(self) -> None:
        """The group is on disk."""
        self._writing = []

    def find(self, sequence: int) -> bytes | None:
        """The record of an event that is not written yet; None when it is in a file."""
        if sequence >= self.first:
            return self.records[sequence - self.first]
        if sequence >= self._writing_first and self._writing:
            return self._writing[sequence - self._writing_first]
        return None
