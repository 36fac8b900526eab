"""Pieces of the exported state that are neither orders nor books: the random stream and news not yet told."""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from qts.execution.contracts import OrderNews

_WORDS = struct.Struct("<625I")


class RngState:
    """The state of a random stream, packed once per use of it: taking it at every fill would cost more.

    :meth:`touch` must be called before numbers are drawn.
    """

    __slots__ = ("_packed", "_rng")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._packed: list[Any] | None = None

    def touch(self) -> None:
        self._packed = None

    def export_state(self) -> list[Any]:
        if self._packed is None:
            version, words, gauss = self._rng.getstate()
            self._packed = [version, _WORDS.pack(*words), gauss]
        return self._packed

    def import_state(self, state: Sequence[Any]) -> None:
        version, words, gauss = state
        self._rng.setstate((version, _WORDS.unpack(words), gauss))
        self._packed = None


def pack_news(news: Iterable[OrderNews]) -> list[Any]:
    return [msgspec.to_builtins(item) for item in news]


def unpack_news(state: Iterable[Any]) -> deque[OrderNews]:
    return deque(msgspec.convert(item, OrderNews) for item in state)
