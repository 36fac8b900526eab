"""The texts of drawings: drawn as keys, written in both languages when the drawing becomes part of the page."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from qts.report.meanings import CURRENCIES_KOREAN, UNITS_KOREAN, Bilingual

_MILLION: Final = 1_000_000
_KOREAN_UNITS: Final = ((10**8, "억"), (10**4, "만"))


class ChartTexts:
    """The texts of one drawing by key. What reads alike in both languages is drawn as it is, without a key."""

    def __init__(self) -> None:
        self._texts: dict[str, Bilingual] = {}
        self._keys: dict[Bilingual, str] = {}

    def __call__(self, text: Bilingual) -> str:
        """Return what to draw for ``text``: its key, or the text itself where both languages say the same."""
        english, korean = text
        if english == korean:
            return english
        if text not in self._keys:
            self._keys[text] = self.later()
            self._texts[self._keys[text]] = text
        return self._keys[text]

    def later(self) -> str:
        """Return a key whose text :meth:`put` gives while the figure is drawn; until then it reads as nothing."""
        key = f"text:{len(self._texts)}"
        self._texts[key] = ("", "")
        return key

    def put(self, key: str, text: Bilingual) -> None:
        """Let ``key``, made by :meth:`later`, read ``text``."""
        self._texts[key] = text

    def get(self, drawn: str) -> Bilingual | None:
        """Return the text behind ``drawn``; None for one that was drawn as it is."""
        return self._texts.get(drawn)


def amount_in(unit: str, currency: str) -> Bilingual:
    """Return the unit of an axis of money: of :func:`qts.report.time_charts.money_scale`, and the currency."""
    return f"{unit}{currency}", f"{UNITS_KOREAN[unit]}{korean_currency(currency)}".strip()


def korean_currency(currency: str) -> str:
    """Return the currency as it follows an amount in Korean: "원" behind the number, or " USD"."""
    return CURRENCIES_KOREAN.get(currency, f" {currency}")


def short_number(value: float) -> Bilingual:
    """Return a tick as a person writes it: thousands grouped; from a million on "2.5 M" and "250만"."""
    if value < _MILLION:
        plain = f"{value:,.0f}" if value >= 1 else f"{value:g}"
        return plain, plain
    short = f"{value / _MILLION:g}"
    amount = Decimal(short) * _MILLION
    scale, unit = next(one for one in _KOREAN_UNITS if amount >= one[0])
    korean = f"{amount / scale:,f}"
    return f"{short} M", (korean.rstrip("0").rstrip(".") if "." in korean else korean) + unit


def label_of(text: Bilingual) -> str:
    """Return a name for screen readers, in both languages: an attribute cannot follow the reader's choice."""
    return " · ".join(text)
