"""Write notes in a language: one catalogue of texts per language, and the rules of number and particle.

A placeholder is the name of a parameter. In English ``{count:trade is|trades are}`` writes the number and the word
that agrees with it. In Korean ``{name:을/를}`` writes the parameter and the particle that its last sound asks for:
the first behind a final consonant, the second behind a vowel.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any, Final

from qts.notes import english, korean
from qts.notes.note import Note

_HANGUL_FIRST: Final = ord("가")
_HANGUL_LAST: Final = ord("힣")
_FINALS: Final = 28
"""Syllables of Hangul between one and the next without a final consonant."""
_L: Final = 8
"""The final consonant ㄹ, behind which 로 stands and not 으로."""
_READ: Final = dict(zip("0123456789LMNR", "영일이삼사오육칠팔구엘엠엔알", strict=True))
"""Digits, and capital letters whose Korean names end in a consonant, by the syllable they end with."""


def in_english(note: Note) -> str:
    """Return the English text of ``note``; of a code without a text the code and its parameters."""
    return _Writer(english.TEXTS, ", ").write(note)


def in_korean(note: Note) -> str:
    """Return the Korean text of ``note``; of a code without a text the code and its parameters."""
    return _Writer(korean.TEXTS, ", ").write(note)


def with_particle(text: str, pair: str) -> str:
    """Return ``text`` with the particle of ``pair`` ("을/를", "은/는", "이/가", "으로/로") that it asks for.

    Behind a text whose last sound is not known (a word in small letters, a bracket) both stand: "을(를)", "(으)로".
    """
    closed, opened = pair.split("/")
    final = _final_of(text)
    if final is None:
        return f"{text}(으)로" if closed == "으로" else f"{text}{closed}({opened})"
    if final == _L and closed == "으로":
        return f"{text}{opened}"
    return f"{text}{closed if final else opened}"


def _final_of(text: str) -> int | None:
    """Return the number of the final consonant with which ``text`` is read, 0 for none, None when not known."""
    last = text[-1:]
    if not last:
        return None
    if last.isascii() and last.isupper():
        last = _READ.get(last, "에")
    last = _READ.get(last, last)
    if not _HANGUL_FIRST <= ord(last) <= _HANGUL_LAST:
        return None
    return (ord(last) - _HANGUL_FIRST) % _FINALS


class _Writer(Formatter):
    """Writes notes with the texts of one language."""

    def __init__(self, texts: Mapping[str, str], between: str) -> None:
        self._texts = texts
        self._between = between

    def write(self, note: Note) -> str:
        text = self._texts.get(note.code)
        if text is None:
            return ": ".join((note.code, ", ".join(f"{name} {value}" for name, value in note.parameters.items())))
        return self.vformat(text, (), note.parameters)

    def get_value(self, key: int | str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Return the parameter, or its name where the note has none (a note of another version)."""
        return kwargs.get(str(key), f"{{{key}}}")

    def format_field(self, value: Any, spec: str) -> str:
        text = self._text(value)
        if "|" in spec:
            one, many = spec.split("|")
            return f"{text} {one if value == 1 else many}"
        return with_particle(text, spec) if spec else text

    def _text(self, value: Any) -> str:
        if isinstance(value, Note):
            return self.write(value)
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, list):
            return self._between.join(map(self._text, value))
        return str(value)
