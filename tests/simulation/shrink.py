"""Finds the shortest story that goes wrong in the same way, by leaving out steps."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.simulation.story import Story

MOST_TRIES = 300


def shortest(story: Story, wrong: str, play: Callable[[Story], str]) -> Story:
    """Return a story without a step that is not needed: without it, ``play`` would not say ``wrong`` any more.

    Ever smaller runs of steps are left out, as delta debugging does it. What goes wrong may differ in its numbers.
    """
    kind, tries = kind_of(wrong), 0
    size = max(len(story.steps) // 2, 1)
    while True:
        start, has_shrunk = 0, False
        while start < len(story.steps):
            shorter = story.without(range(start, start + size))
            tries += 1
            if tries > MOST_TRIES:
                return story
            if kind_of(play(shorter)) == kind:
                story, has_shrunk = shorter, True
            else:
                start += size
        if size == 1 and not has_shrunk:
            return story
        size = max(size // 2, 1)


def kind_of(wrong: str) -> str:
    """Return what went wrong without the numbers and names in it."""
    return re.sub(r"\{.*?\}|\[.*?\]|[\w/.-]*\d[\w/.,-]*|[A-Z_]+", "#", wrong)[:80]
