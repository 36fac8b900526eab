"""The differences of two configurations of one shape."""

from __future__ import annotations

import msgspec

from qts.config.leaves import Leaf, leaves
from qts.config.shape import Shape


class Change(msgspec.Struct, frozen=True):
    """A setting with its old and new value, as the files write them; secrets are masked."""

    path: str
    old: str
    new: str


def changes_between(shape: Shape, old: object, new: object) -> tuple[Change, ...]:
    """Return every setting that differs, in the order of declaration."""
    before = {leaf.path: leaf for leaf in leaves(shape, old)}
    after = {leaf.path: leaf for leaf in leaves(shape, new)}
    found = []
    for path in dict.fromkeys([*before, *after]):
        a, b = before.get(path), after.get(path)
        # A secret is compared by its value and shown by its mask.
        if a is None or b is None or a.text != b.text or (a.shape.secret and a.value != b.value):
            found.append(_change(path, a, b))
    return tuple(found)


def loosened(shape: Shape, old: object, new: object) -> tuple[Change, ...]:
    """Return the limits that let more pass in ``new`` than in ``old``, in the order of declaration."""
    before = {leaf.path: leaf for leaf in leaves(shape, old)}
    pairs = ((before.get(leaf.path), leaf) for leaf in leaves(shape, new))
    return tuple(_change(b.path, a, b) for a, b in pairs if a and a.shape.is_looser(a.value, b.value))


def _change(path: str, old: Leaf | None, new: Leaf | None) -> Change:
    return Change(path, old.text if old is not None else "absent", new.text if new is not None else "absent")
