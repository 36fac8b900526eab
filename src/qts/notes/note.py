"""A note as a value: a code and its parameters, without a word of any language."""

from __future__ import annotations

import msgspec


class Note(msgspec.Struct, frozen=True):
    """A fact that a reader must know to judge a result.

    ``code`` names a text of :mod:`qts.notes.english` and :mod:`qts.notes.korean`; ``parameters`` are what the text
    names. A whole number is written with thousands separated, so a year or a code is text; a parameter that is a
    note itself is a phrase of the same language; a list is an enumeration; "" leaves an optional phrase out.
    """

    code: str
    parameters: dict[str, str | int | Note | list[str | Note]] = {}

    @classmethod
    def of(cls, code: str, /, **parameters: str | int | Note | list[str | Note]) -> Note:
        """Make the note ``code``. Call it with a literal: a test compares code and parameters with the texts."""
        return cls(code, parameters)
