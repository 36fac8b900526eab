"""The values that wait to be written to a cache: the newest of each key, at most so many, the oldest dropped."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from qts.cache.contracts import CacheValue, Kind

Named: TypeAlias = tuple[Kind, str]
"""Kind and name of a value; together its key."""


class WaitingValues:
    """Values by key, in the order in which their keys began to wait; for one thread.

    Of more than ``most`` the oldest is dropped. A value that is as old as ``lifetimes`` (ns, by kind) is dropped
    when it is taken: its readers would refuse it. Both are counted by kind in ``dropped``; a value that a newer one
    of its key replaces is not.
    """

    def __init__(self, most: int, lifetimes: Mapping[Kind, int]) -> None:
        self._most, self._lifetimes = most, lifetimes
        self._values: OrderedDict[Named, CacheValue] = OrderedDict()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._values)

    def put(self, kind: Kind, name: str, value: CacheValue) -> None:
        """Let ``value`` wait, in the place of an older one of its key."""
        self._values[kind, name] = value
        if len(self._values) > self._most:
            (dropped, _), _ = self._values.popitem(last=False)
            self.dropped[dropped.value] += 1

    def take(self, most: int, now_ns: int) -> list[tuple[Named, CacheValue]]:
        """Take out up to ``most`` values that are young enough at ``now_ns``, those first that wait longest."""
        taken: list[tuple[Named, CacheValue]] = []
        while self._values and len(taken) < most:
            key, value = self._values.popitem(last=False)
            if now_ns - value.at_ns < self._lifetimes[key[0]]:
                taken.append((key, value))
            else:
                self.dropped[key[0].value] += 1
        return taken

    def put_back(self, taken: Sequence[tuple[Named, CacheValue]]) -> None:
        """Let values wait again that were taken and not written, at the front, but for keys with a newer one."""
        for key, value in reversed(taken):
            if key not in self._values:
                self._values[key] = value
                self._values.move_to_end(key, last=False)
        while len(self._values) > self._most:
            (dropped, _), _ = self._values.popitem(last=False)
            self.dropped[dropped.value] += 1

    def drop(self, taken: Sequence[tuple[Named, CacheValue]]) -> None:
        """Count values that were taken and cannot be written."""
        for (kind, _), _ in taken:
            self.dropped[kind.value] += 1

    def drop_all(self) -> None:
        """Drop what waits, and count it."""
        for kind, _ in self._values:
            self.dropped[kind.value] += 1
        self._values.clear()
