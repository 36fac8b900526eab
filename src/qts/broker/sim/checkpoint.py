"""Pieces of the exported state that are neither orders nor books: the random stream, and unpublished reports."""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from qts.execution.contracts import ExecutionReport

_WORDS = struct.Struct("<625I")
_COUNTED_DRAWS = 1_000
"""After so many the state is unpacked again, so that restoring stays quick (0.1 ms)."""


class CountedRandom:
    """A random stream whose state costs nothing at a fill: unpacked now and then, the draws since then counted.

    Nothing else may draw from ``rng``. What is exported depends on the place in the stream alone.
    """

    __slots__ = ("_drawn", "_packed", "_rng")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._unpack()

    def random(self) -> float:
        """Return the next number of the stream, 0 <= x < 1."""
        if self._drawn == _COUNTED_DRAWS:
            self._unpack()
        self._drawn += 1
        return self._rng.random()

    def export_state(self) -> list[Any]:
        """Return the place in the stream as plain data."""
        return [*self._packed, self._drawn]

    def import_state(self, state: Sequence[Any]) -> None:
        """Continue at the place that :meth:`export_state` returned."""
        version, words, gauss, drawn = state
        self._rng.setstate((version, _WORDS.unpack(words), gauss))
        self._unpack()
        for _ in range(drawn):
            self.random()

    def _unpack(self) -> None:
        version, words, gauss = self._rng.getstate()
        self._packed = (version, _WORDS.pack(*words), gauss)
        self._drawn = 0


def pack_reports(reports: Iterable[ExecutionReport]) -> list[Any]:
    """Return reports as plain data."""
    return [msgspec.to_builtins(item) for item in reports]


def unpack_reports(state: Iterable[Any]) -> deque[ExecutionReport]:
    """Return the reports of :func:`pack_reports`, in their order."""
    return deque(msgspec.convert(item, ExecutionReport) for item in state)
