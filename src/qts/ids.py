"""The only source of identifiers and randomness, so that a session can be repeated.

Nothing else calls ``uuid4`` or the module functions of ``random``.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class IdSource(Protocol):
    """A source of texts that never repeat within a run."""

    def next_id(self) -> str:
        """Return the next text. Called on the thread that owns the source; never raises."""
        ...


class CounterIds:
    """Ids ``prefix-1``, ``prefix-2``, …: cheap, ordered and the same in every replay.

    The prefix makes them unique across runs: derive it from the run id or take :func:`random_prefix`.
    """

    __slots__ = ("_last", "prefix")

    def __init__(self, prefix: str, last: int = 0) -> None:
        self.prefix = prefix
        self._last = last

    def next_id(self) -> str:
        self._last += 1
        return f"{self.prefix}-{self._last}"

    def continue_after(self, last: int) -> None:
        """Continue with the number after ``last``."""
        self._last = last

    @property
    def last(self) -> int:
        """Return the newest number (0 before the first); store it to continue after a restart."""
        return self._last


def random_prefix() -> str:
    """Return twelve hex digits from the operating system, for processes that need no replay."""
    return os.urandom(6).hex()


def run_id_of(*parts: str) -> str:
    """Return the run id: 16 hex digits of the SHA-256 of ``parts`` (seed, input, configuration)."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()[:16]


def id_prefixes(run_id: str) -> tuple[str, str]:
    """Return how the ids begin that a run makes: with a simulated broker, and with a real one.

    What a simulated broker is told stays in the run, whose rows have its whole id in their keys. A real broker
    knows the orders of all runs on its account, so there the whole id is in each.
    """
    return run_id[:8], run_id


def seeded(seed: int, stream: str) -> random.Random:
    """Return an independent random stream for one purpose; the same seed and name give the same numbers."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "little"))


@contextmanager
def shared_randomness(seed: int) -> Iterator[None]:
    """Seed what the functions of ``random`` draw from, and those of numpy where it is loaded, until the block ends.

    Afterwards both continue as if nothing had been drawn. For the code of others, so that it repeats although it
    uses them.
    """
    numpy_random: Any = getattr(sys.modules.get("numpy"), "random", None)
    before = random.getstate()
    numpy_before = None if numpy_random is None else numpy_random.get_state()
    random.seed(seed)
    if numpy_random is not None:
        numpy_random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(before)
        if numpy_random is not None:
            numpy_random.set_state(numpy_before)
