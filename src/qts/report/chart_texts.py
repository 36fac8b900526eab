"""What stands in a drawing, in both languages.

A drawing is made with its English texts. On the way into the page each text that has a Korean becomes a pair, of
which the page shows the one that its reader chose, as everywhere else.
"""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from typing import Final

from qts.report.markup import en_ko
from qts.report.meanings import CURRENCIES_KOREAN, UNITS_KOREAN, Bilingual

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_DATES: Final = (
    re.compile(rf"(?:(?P<year>\d{{4}})-)?{_MONTH}(?:-(?P<day>\d\d?))?(?P<time> \d\d:\d\d)?"),
    re.compile(rf"(?P<day>\d\d?) {_MONTH}"),
)
_MILLIONS: Final = re.compile(r"([\d.]+) M")
_TEXT: Final = re.compile(r"(<text [^>]*>)([^<]+)(</text>)")


class Words:
    """The texts of one drawing: handed in as pairs, drawn in English, paired again in the finished SVG."""

    def __init__(self) -> None:
        self._korean: dict[str, str] = {}

    def __call__(self, said: Bilingual) -> str:
        """The English of ``said``, to draw; its Korean is kept for :meth:`in_both`."""
        english, korean = said
        self._korean[english] = korean
        return english

    def in_both(self, svg: str) -> str:
        """``svg`` with both languages in each text that has a Korean."""
        return _TEXT.sub(self._paired, svg)

    def _paired(self, found: re.Match[str]) -> str:
        english = unescape(found[2])
        korean = self._korean.get(english) or tick_in_korean(english)
        if korean is None or korean == english:
            return found[0]
        return f"{found[1]}{en_ko(english, korean, tag='tspan')}{found[3]}"


def amount_in(unit: str, currency: str) -> Bilingual:
    """What an axis of money counts: a ``unit`` of :func:`qts.report.time_charts.money_scale` and the currency."""
    return f"{unit}{currency}", f"{UNITS_KOREAN[unit]}{korean_currency(currency)}".strip()


def korean_currency(currency: str) -> str:
    """The currency as it follows an amount in Korean: "원" behind the number, or " USD"."""
    return CURRENCIES_KOREAN.get(currency, f" {currency}")


def tick_in_korean(text: str) -> str | None:
    """A date or a short number of an axis in Korean; None for one that needs none."""
    if (short := _MILLIONS.fullmatch(text)) is not None:
        amount = Decimal(short[1]) * 1_000_000
        scale, unit = (10**8, "억") if amount >= 10**8 else (10**4, "만")
        plain = f"{amount / scale:,f}"
        return (plain.rstrip("0").rstrip(".") if "." in plain else plain) + unit
    for form in _DATES:
        if (found := form.fullmatch(text)) is not None:
            part = found.groupdict()
            year = f"{part['year']}년 " if part.get("year") else ""
            day = f" {int(part['day'])}일" if part.get("day") else ""
            return f"{year}{_MONTHS.index(part['month']) + 1}월{day}{part.get('time') or ''}"
    return None


def name_of(said: Bilingual) -> str:
    """A name for screen readers: an attribute cannot follow the reader's choice, so it tells both."""
    return " · ".join(said)
