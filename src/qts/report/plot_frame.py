"""Hand-written drawings: one SVG for every width of screen, in which curves are stretched, texts and marks are not.

A drawing has an inner part with coordinates of its own, :data:`UNITS` high and as wide as its maker wants; it is
stretched to the room there is. Grid, labels and marks stand around and above it at percentages of that room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from qts.report.chart_texts import label_of, short_number
from qts.report.markup import Html, el, en_ko, join
from qts.report.meanings import Bilingual

UNITS: Final = 1000
"""Height of the inner part of a drawing; its coordinates are whole numbers from the top."""
_LARGEST: Final = 1e300
"""Largest value of a scale, so that its height is a float; a strategy may plot any number."""
MOST_TIMES: Final = 8
"""Labels under a drawing, on a wide screen; a phone shows every other one."""
LINE_COLOURS: Final = ("accent", "aggressive", "defensive", "portfolio", "scalp", "swing")
"""Palette names of curves, in the order of use."""


class Scale(msgspec.Struct, frozen=True):
    """A scale from ``low``, at the bottom, to ``high``, at the top; both are finite and differ."""

    low: float
    high: float

    def unit(self, value: float) -> int:
        """Return how far from the top ``value`` lies in units.

        One beyond the ends lies outside of 0 to UNITS, but never further than the height of the scale.
        """
        height = self.high - self.low
        near = min(max(value, self.low - height), self.high + height)
        return round(UNITS * ((self.high - near) / height))

    def share(self, value: float) -> str:
        """Return how far from the top ``value`` lies, as CSS writes a percentage."""
        return percent((self.high - value) / (self.high - self.low))

    def ticks(self, about: int) -> list[float]:
        """Return round values of the scale, about so many: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(place * step, 12) for place in range(first, last + 1)]


def scale_of(values: Iterable[float], *, room: float = 0.04) -> Scale:
    """Return a scale that holds ``values``, of which there is at least one, with ``room`` (a share) beyond them."""
    known = list(values)
    low, high = (min(max(end, -_LARGEST), _LARGEST) for end in (min(known), max(known)))
    margin = (high - low) * room or abs(high) * 0.05 or 1.0
    return Scale(low - margin, high + margin)


def percent(share: float) -> str:
    """Return a share of a drawing's width or height as CSS and SVG write it, to a hundredth of a percent."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def curve(points: Iterable[tuple[int, int]]) -> str:
    """Return the path through ``points``, in units; what repeats the point before it is left out."""
    path: list[str] = []
    before: tuple[int, int] | None = None
    for point in points:
        if point != before:
            path.append(f"{'L' if path else 'M'}{point[0]} {point[1]}")
        before = point
    return "".join(path)


class TimeTick(msgspec.Struct, frozen=True):
    """A label under a drawing: the position in the row of moments, and the text."""

    at: int
    text: Bilingual


def time_ticks(moments: Sequence[datetime], most: int = MOST_TIMES) -> list[TimeTick]:
    """Return at most ``most`` labels at the first moments of years, months, days or hours, the finest that fit."""
    best = [TimeTick(0, _minute(moments[0]))] if moments else []
    for key_of, write in _STEPS:
        found: list[TimeTick] = []
        before = key_of(moments[0]) if moments else None
        for place, moment in enumerate(moments):
            key = key_of(moment)
            if key != before:
                found.append(TimeTick(place, write(moment)))
                before = key
                if len(found) > most:
                    return best
        if found:
            best = found
    return best


def plot(
    inner: Iterable[Html],
    *,
    width: int,
    height: int,
    label: Bilingual,
    scale: Scale,
    lines: int = 5,
    write: Callable[[float], Bilingual] = short_number,
    times: Sequence[tuple[str, Bilingual]] = (),
    marks: Iterable[Html] = (),
) -> Html:
    """Return one drawing.

    ``inner`` are paths in units, ``width`` units wide; ``height`` is the drawing's in CSS pixels; ``label`` is for
    screen readers; ``scale`` has about ``lines`` grid lines, labelled by ``write``; ``times`` are the labels under
    it with their places in percent; ``marks`` stand above the curves.
    """
    grid = []
    for value in scale.ticks(lines):
        at = scale.share(value)
        grid.append(el("line", x2="100%", y1=at, y2=at, cls="grid"))
        grid.append(el("text", _text(write(value)), x="100%", y=at, dx=6, dy=4))
    for number, (at, text) in enumerate(times):
        grid.append(el("line", x1=at, x2=at, y2="100%", cls="grid"))
        grid.append(el("text", _text(text), x=at, y="100%", dy=16, cls="when odd" if number % 2 else "when"))
    stretched = el(
        "svg",
        *inner,
        viewBox=f"0 0 {width} {UNITS}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )
    under = " timed" if times else ""
    return el(
        "svg", *grid, stretched, *marks, cls=f"c{under}", height=height, role="img", aria_label=label_of(label)
    )


def legend(entries: Iterable[tuple[str, object]]) -> Html:
    """Return the list of curves under a drawing: palette names of their colours, and texts."""
    return el("ul", *(el("li", el("b", style=f"--c: var(--{name})"), text) for name, text in entries), cls="key")


def line_path(path: str, colour: str, *, dashed: bool = False) -> Html:
    """Return the element of a curve in a palette colour."""
    return el("path", d=path, cls="line dashed" if dashed else "line", style=f"--c: var(--{colour})")


def _text(text: Bilingual) -> object:
    english, korean = text
    return english if english == korean else join((en_ko(english, korean, tag="tspan"),))


def _year(moment: datetime) -> Bilingual:
    return f"{moment.year}", f"{moment.year}년"


def _month(moment: datetime) -> Bilingual:
    return f"{moment:%b} {moment.year}", f"{moment.year}년 {moment.month}월"


def _day(moment: datetime) -> Bilingual:
    return f"{moment.day} {moment:%b}", f"{moment.month}월 {moment.day}일"


def _minute(moment: datetime) -> Bilingual:
    return f"{moment:%H:%M}", f"{moment:%H:%M}"


def _every_minutes(step: int) -> Callable[[datetime], object]:
    return lambda moment: (moment.date(), (60 * moment.hour + moment.minute) // step)


_STEPS: Final[tuple[tuple[Callable[[datetime], object], Callable[[datetime], Bilingual]], ...]] = (
    (lambda moment: moment.year // 20, _year),
    (lambda moment: moment.year // 5, _year),
    (lambda moment: moment.year // 2, _year),
    (lambda moment: moment.year, _year),
    (lambda moment: (moment.year, (moment.month - 1) // 3), _month),
    (lambda moment: (moment.year, moment.month), _month),
    (lambda moment: moment.isocalendar()[:2], _day),
    (lambda moment: moment.date(), _day),
    *((_every_minutes(step), _minute) for step in (360, 180, 60, 30, 10, 5, 1)),
)
"""Spans of time from the longest to the shortest: the key that all moments of one have, and how to write it."""
