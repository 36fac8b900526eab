"""How much the tests try: a sample in every run of them, the whole where ``make soak`` asks for it."""

from __future__ import annotations

import os

EVERY_KILL = os.environ.get("QTS_EVERY_KILL") == "1"
"""Whether to kill at every place in place of a seeded choice of them."""
EVERY_CALL = os.environ.get("QTS_EVERY_CALL") == "1"
"""Whether to fail at every call, and to draw as many examples as :func:`examples` is given for the whole."""


def examples(some: int, *, whole: int) -> int:
    """Return how many examples of a slow property are drawn."""
    return whole if EVERY_CALL else some
