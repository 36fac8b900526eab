"""Compares the intents of two runs: the first that differs, and how."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from qts.workbench.check.recorder import Filled, Said


class Difference(msgspec.Struct, frozen=True):
    """The first place where two runs differ: what each said there; None: nothing."""

    whole: Said | None
    other: Said | None

    @property
    def at(self) -> Said:
        """Return the earlier of the two."""
        found = [one for one in (self.whole, self.other) if one is not None]
        return min(found, key=lambda one: (one.ts_ns, one.row))


def first_difference(
    whole: Sequence[Said], other: Sequence[Said], until_ns: int | None = None, *, near: float = 0.0
) -> Difference | None:
    """Return the first intent in which ``other`` differs from ``whole`` up to the moment ``until_ns``; None: none.

    ``until_ns`` is where ``other`` was cut: what it said after its last row counts only where ``whole`` said it
    too, because the session's end may tell it what no row has told. None: all is compared.
    Numbers that differ by at most the share ``near`` of the larger one are the same.
    """
    mine = whole if until_ns is None else [one for one in whole if one.ts_ns <= until_ns]
    for place in range(max(len(mine), len(other))):
        ours = mine[place] if place < len(mine) else None
        theirs = other[place] if place < len(other) else None
        if theirs is not None and ours is None and until_ns is not None and _is_behind(theirs, until_ns):
            return None
        if ours is None or theirs is None or not _is_same(ours, theirs, near):
            return Difference(ours, theirs)
    return None


def _is_behind(said: Said, until_ns: int) -> bool:
    return said.ts_ns > until_ns or said.after_end


def _is_same(ours: Said, theirs: Said, near: float) -> bool:
    if key_of(ours) == key_of(theirs):
        return True
    is_one_place = (ours.ts_ns, ours.strategy) == (theirs.ts_ns, theirs.strategy)
    return near > 0 and is_one_place and _is_near(ours.intent, theirs.intent, near)


def _is_near(one: object, other: object, near: float) -> bool:
    """Return whether two values are equal, or are numbers, or structs of numbers, that hardly differ."""
    if one == other:
        return True
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        a, b = float(one), float(other)
        return abs(a - b) <= near * max(abs(a), abs(b))
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        return all(_is_near(getattr(one, name), getattr(other, name), near) for name in one.__struct_fields__)
    return False


def key_of(said: Said) -> tuple[object, ...]:
    """Return what two runs must share of an intent."""
    return said.ts_ns, said.strategy, said.intent


def first_fill_difference(whole: Sequence[Filled], other: Sequence[Filled]) -> int | None:
    """Return the moment (ns) of the first fill that differs; None: the fills are the same."""
    for place in range(max(len(whole), len(other))):
        found = [runs[place] for runs in (whole, other) if place < len(runs)]
        if len(found) < 2 or found[0].key != found[1].key:
            return min(one.fill.ts_ns for one in found)
    return None


def intent_text(intent: Any) -> str:
    """Return an intent in words: what differs from its defaults, the symbol and the side first."""
    fields = {name: getattr(intent, name) for name in intent.__struct_fields__}
    defaults = dict(zip(reversed(intent.__struct_fields__), reversed(intent.__struct_defaults__), strict=False))
    side = fields.pop("side", None)
    head = [getattr(side, "value", type(intent).__name__), str(fields.pop("symbol", ""))]
    rest = [f"{name} {_value_text(value)}" for name, value in fields.items() if value != defaults.get(name)]
    return ", ".join([" ".join(part for part in head if part), *rest])


def changed_fields(difference: Difference) -> list[str]:
    """Return the fields in which two intents of one moment and one kind differ; empty for others."""
    ours, theirs = difference.whole, difference.other
    if ours is None or theirs is None or ours.ts_ns != theirs.ts_ns or type(ours.intent) is not type(theirs.intent):
        return []
    return [
        f"{name} {_value_text(getattr(ours.intent, name))} / {_value_text(getattr(theirs.intent, name))}"
        for name in ours.intent.__struct_fields__
        if getattr(ours.intent, name) != getattr(theirs.intent, name)
    ]


def _value_text(value: object) -> str:
    if isinstance(value, str) and not hasattr(value, "value"):
        return repr(value)
    return str(getattr(value, "value", value))
