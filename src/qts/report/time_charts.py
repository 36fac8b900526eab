"""The charts of the session report over time: each is one inline SVG, or None with nothing to draw.

Curves with many points are thinned for drawing only: each step keeps its first, last, lowest and highest value,
so no spike is lost. Markers that would cover each other are drawn once. :class:`Drawn` says how much was left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.ledger.contracts import LedgerRow
from qts.report.chart_style import (
    FAINT,
    INK,
    POOL_COLOURS,
    SAFETY_NAMES,
    STATE_COLOURS,
    WASH,
    drawing,
    dress,
    inline_svg,
    light,
)
from qts.report.chart_texts import ChartTexts, amount_in, short_number
from qts.report.markup import Html
from qts.report.meanings import Bilingual
from qts.report.report_data import ReportData, Window
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE: Final = (1040, 400)
NARROW: Final = (372, 330)
HALF: Final = (500, 300)
"""Sizes of drawings in CSS pixels: a wide screen, a phone, half a wide screen."""
CURVE_STEPS: Final = 300
"""Steps of a thinned curve; each keeps up to four points."""
MARKER_GRID: Final = (260, 80)
"""Cells of a chart, across and up; equal markers in one cell are drawn once."""
_DAY_S: Final = 86_400
_THOUSANDS: Final = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")
_KOREAN_DATES: Final = {
    "formats": ["%Y년", "%-m월", "%-d일", "%H:%M", "%H:%M", "%S.%f"],
    "zero_formats": ["", "%Y년", "%-m월", "%-m월 %-d일", "%H:%M", "%H:%M"],
    "offset_formats": ["", "%Y년", "%Y년 %-m월", "%Y년 %-m월 %-d일", "%Y년 %-m월 %-d일", "%Y년 %-m월 %-d일 %H:%M"],
}
"""What matplotlib's ConciseDateFormatter writes for years, months, days, hours, minutes and seconds."""


class Drawn(msgspec.Struct, frozen=True):
    """A drawing for each width of screen, and how many of how many points it shows."""

    wide: Html
    narrow: Html
    shown: int
    of: int


class TimeAxis(Protocol):
    """The place of a moment from left to right, and the labels under the axis."""

    def at(self, ts_ns: int) -> float:
        """Return where ``ts_ns`` (ns since 1970 UTC) lies, in units of the axis."""
        ...

    def mark(self, axis: Any, ticks: int, texts: ChartTexts, remark: str) -> None:
        """Write about ``ticks`` labels under ``axis`` (matplotlib).

        ``remark`` is the key of what all of them have in common: the market's time zone, and the day of hours.
        """
        ...


class CalendarAxis:
    """Elapsed time on the market's own clock."""

    def __init__(self, data: ReportData) -> None:
        self._offset_s = (data.zone.utcoffset(None)).total_seconds()
        self._zone = data.zone_name

    def at(self, ts_ns: int) -> float:
        return (ts_ns / NS_PER_S + self._offset_s) / _DAY_S

    def mark(self, axis: Any, ticks: int, texts: ChartTexts, remark: str) -> None:
        from matplotlib import dates as untyped
        from matplotlib.ticker import Formatter

        dates: Any = untyped
        locator = dates.AutoDateLocator(maxticks=ticks, minticks=2)
        english = dates.ConciseDateFormatter(locator)
        korean = dates.ConciseDateFormatter(locator, **_KOREAN_DATES)
        zone = self._zone

        class BothLanguages(Formatter):
            def __call__(self, value: float, position: int | None = None) -> str:
                return texts((english(value, position), korean(value, position)))

            def format_ticks(self, values: Sequence[float]) -> list[str]:
                pairs = zip(english.format_ticks(values), korean.format_ticks(values), strict=True)
                return [texts(pair) for pair in pairs]

            def get_offset(self) -> str:
                days = (english.get_offset(), korean.get_offset())
                texts.put(remark, (f"{days[0]} {zone}".strip(), f"{days[1]} {zone}".strip()))
                return ""

        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(BothLanguages())


class TradingAxis:
    """Only the time in which something was sampled: nights and weekends take no room."""

    def __init__(self, data: ReportData, samples: Sequence[int]) -> None:
        self._times = [data.facts.equity[i].ts_ns for i in samples]
        self._local = data.local
        self._zone = data.zone_name

    def at(self, ts_ns: int) -> float:
        right = bisect_left(self._times, ts_ns)
        if right <= 0:
            return 0.0
        if right >= len(self._times):
            return float(len(self._times) - 1)
        before, after = self._times[right - 1], self._times[right]
        return right - 1 + (ts_ns - before) / (after - before)

    def mark(self, axis: Any, ticks: int, texts: ChartTexts, remark: str) -> None:
        texts.put(remark, (self._zone, self._zone))
        days: dict[Any, int] = {}
        for index, ts_ns in enumerate(self._times):
            days.setdefault(self._local(ts_ns).date(), index)
        room = len(self._times) / ticks  # by place, not by count: days have unlike numbers of samples
        chosen: list[tuple[Any, int]] = []
        for day, index in days.items():
            if not chosen or index - chosen[-1][1] >= room:
                chosen.append((day, index))
        labels = [texts((f"{day.day} {day:%b}", f"{day.month}월 {day.day}일")) for day, _ in chosen]
        axis.set_xticks([index for _, index in chosen], labels)


def equity_chart(data: ReportData, window: Window | None = None) -> Drawn | None:
    """Draw equity above, drawdown below, the operating state behind both, safety as a ribbon on top."""
    samples = data.equity_in(window)
    if len(samples) < 2:
        return None
    equity = [float(row.equity) for row in data.facts.equity]
    kept = thinned(samples, equity, CURVE_STEPS)
    axis = _time_axis(data, samples, window)

    def draw(size: tuple[int, int]) -> Html:
        with drawing(f"equity{window is not None}{size[0]}") as texts:
            figure = blank(size)
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.5, 1])
            xs = [axis.at(data.facts.equity[i].ts_ns) for i in kept]
            _bands(data, axis, samples, (upper, lower))
            _safety_ribbon(data, axis, samples, upper)
            scale, unit = money_scale(equity[i] for i in kept)
            upper.plot(xs, [equity[i] / scale for i in kept], color=INK, linewidth=1.3, solid_joinstyle="round")
            start = float(data.start)
            if min(equity[i] for i in kept) <= start <= max(equity[i] for i in kept):
                upper.axhline(start / scale, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
            falls = [-100 * float(data.drawdowns[i]) for i in kept]
            lower.fill_between(xs, falls, 0, color=light("down"), alpha=0.35, linewidth=0)
            lower.plot(xs, falls, color=light("down"), linewidth=1.0)
            lower.set_ylim(min(*falls, -0.1) * 1.12, 0)
            english, korean = amount_in(unit, data.currency)
            titled(upper, texts, (f"equity, {english}", f"총자산({korean})"))
            money_ticks(upper.yaxis)
            titled(lower, texts, ("drawdown, %", "낙폭(%)"))
            _finish(figure, size, (upper, lower), axis, xs, texts)
            return inline_svg(
                figure,
                texts,
                ("Equity, drawdown and operating state over time", "총자산, 낙폭, 운용 상태 추이"),
            )

    return Drawn(wide=draw(WIDE), narrow=draw(NARROW), shown=len(kept), of=len(samples))


def trades_chart(data: ReportData, window: Window | None = None) -> Drawn | None:
    """Draw the most traded symbol: the prices of its fills, each fill by pool and side, forced exits ringed."""
    if data.symbol is None:
        return None
    fills = data.fills_of(data.symbol, window)
    samples = data.equity_in(window)
    if not fills or len(samples) < 2:
        return None
    axis = _time_axis(data, samples, window)
    name, name_ko = data.name_of(data.symbol)
    shown = 0

    def draw(size: tuple[int, int]) -> Html:
        nonlocal shown
        with drawing(f"trades{window is not None}{size[0]}") as texts:
            figure = blank(size)
            chart = figure.subplots()
            xs = [axis.at(row.ts_ns) for row in fills]
            ys = [float(row.price) for row in fills]
            _bands(data, axis, samples, (chart,))
            chart.plot(xs, ys, color=FAINT, linewidth=0.9, alpha=0.8)
            shown = _markers(chart, data, fills, xs, ys, small=size is NARROW)
            unit, unit_ko = amount_in("", data.currency)
            titled(chart, texts, (f"{name}, {unit}", f"{name_ko} 체결가({unit_ko})"))
            chart.yaxis.set_major_formatter(short_ticks(texts))
            edges = [axis.at(data.facts.equity[i].ts_ns) for i in (samples[0], samples[-1])]
            _finish(figure, size, (chart,), axis, [*edges, *xs], texts)
            return inline_svg(figure, texts, ("Fills by pool and side over time", "자금 풀·매매 방향별 체결 추이"))

    narrow, wide = draw(NARROW), draw(WIDE)
    return Drawn(wide=wide, narrow=narrow, shown=shown, of=len(fills))


def pools_chart(data: ReportData) -> Drawn | None:
    """Draw the value of each pool, one upon the other: the upper edge is equity."""
    rows = data.facts.equity
    if len(rows) < 2:
        return None
    kept = thinned(range(len(rows)), [float(row.equity) for row in rows], CURVE_STEPS // 2)
    axis = _time_axis(data, range(len(rows)), None)
    scale, unit = money_scale(float(row.equity) for row in rows)
    xs = [axis.at(rows[i].ts_ns) for i in kept]
    stacks = {
        Pool.PORTFOLIO: [float(rows[i].portfolio) / scale for i in kept],
        Pool.SWING: [float(rows[i].swing) / scale for i in kept],
        Pool.SCALP: [float(rows[i].scalp) / scale for i in kept],
    }
    colours = [POOL_COLOURS[pool] for pool in stacks]

    def draw(size: tuple[int, int]) -> Html:
        with drawing(f"pools{size[0]}") as texts:
            figure = blank(size)
            chart = figure.subplots()
            chart.stackplot(xs, list(stacks.values()), colors=colours, alpha=0.82, linewidth=0)
            chart.set_ylim(bottom=0)
            titled(chart, texts, amount_in(unit, data.currency))
            money_ticks(chart.yaxis)
            _finish(figure, size, (chart,), axis, xs, texts)
            return inline_svg(figure, texts, ("Pools over time, stacked", "자금 풀별 자산 추이(누적)"))

    return Drawn(wide=draw(HALF), narrow=draw(NARROW), shown=len(kept), of=len(rows))


def thinned(indices: Sequence[int], values: Sequence[float], steps: int) -> list[int]:
    """Cut ``indices`` into ``steps`` runs and keep of each the first, last, lowest and highest of ``values``."""
    if len(indices) <= steps * 4:
        return list(indices)
    kept: set[int] = set()
    for step in range(steps):
        run = indices[len(indices) * step // steps : len(indices) * (step + 1) // steps]
        kept |= {run[0], run[-1], min(run, key=values.__getitem__), max(run, key=values.__getitem__)}
    return sorted(kept)


def money_scale(amounts: Iterable[float]) -> tuple[float, str]:
    """Return a divisor and its word that keep the numbers of an axis short."""
    top = max((abs(amount) for amount in amounts), default=0.0)
    for scale, word in ((1e12, "trillion "), (1e9, "billion "), (1e6, "million "), (1e3, "thousand ")):
        if top >= scale * 2:
            return scale, word
    return 1.0, ""


def blank(size: tuple[int, int]) -> Figure:
    """Return an empty figure of ``size`` CSS pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)


def titled(axis: Any, texts: ChartTexts, said: Bilingual) -> None:
    """Write above an axis, on the left, what it measures."""
    axis.set_title(texts(said), loc="left", fontsize=10.5, color=light("muted"), pad=6)


def short_ticks(texts: ChartTexts) -> Callable[[float, object], str]:
    """Return a formatter for matplotlib: ticks as :func:`~qts.report.chart_texts.short_number` writes them."""
    return lambda value, position: texts(short_number(value))


def money_ticks(axis: Any) -> None:
    """Write the ticks of ``axis`` with thousands grouped, and never an offset that has to be added to them."""
    from matplotlib.ticker import ScalarFormatter

    class Grouped(ScalarFormatter):
        def __call__(self, value: float, position: int | None = None) -> str:
            whole, point, rest = super().__call__(value, position).partition(".")
            return f"{_THOUSANDS.sub(',', whole)}{point}{rest}"

    axis.set_major_formatter(Grouped(useOffset=False))


def _time_axis(data: ReportData, samples: Sequence[int], window: Window | None) -> TimeAxis:
    """Return the axis: a closer look, and a session that is all traded within the day, leave the nights out."""
    equity = data.facts.equity
    days = {data.local(equity[i].ts_ns).date() for i in samples}
    all_day = len(days) > 1 and len(samples) >= 6 * len(days)
    return TradingAxis(data, samples) if window is not None or all_day else CalendarAxis(data)


def _bands(data: ReportData, axis: TimeAxis, samples: Sequence[int], charts: Sequence[Any]) -> None:
    for state, left, right in _clipped(data.states, data, axis, samples):
        try:
            known = OperatingState(state)
        except ValueError:
            continue  # a state of another version: no colour is better than a wrong one
        for chart in charts:
            chart.axvspan(left, right, color=STATE_COLOURS[known], alpha=WASH[known], linewidth=0)


def _safety_ribbon(data: ReportData, axis: TimeAxis, samples: Sequence[int], chart: Any) -> None:
    for state, left, right in _clipped(data.safety, data, axis, samples):
        if state != SafetyState.NORMAL.value:
            colour = light(SAFETY_NAMES[SafetyState.of(state)])
            chart.axvspan(left, right, ymin=0.975, ymax=1, color=colour, linewidth=0)


def _clipped(
    runs: Iterable[Any], data: ReportData, axis: TimeAxis, samples: Sequence[int]
) -> Iterator[tuple[str, float, float]]:
    first, last = (data.facts.equity[i].ts_ns for i in (samples[0], samples[-1]))
    for run in runs:
        left, right = max(run.first_ns, first), min(run.last_ns, last)
        if left < right:
            yield run.name, axis.at(left), axis.at(right)


def _markers(
    chart: Any,
    data: ReportData,
    fills: Sequence[LedgerRow],
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    small: bool,
) -> int:
    cells = _cells(xs, ys)
    groups: dict[tuple[Pool, Side, bool], dict[tuple[int, int], int]] = {}
    for index, row in enumerate(fills):
        group = groups.setdefault((row.pool, row.side, data.is_forced(row)), {})
        group.setdefault(cells[index], index)
    size = 24 if small else 46
    for (pool, side, forced), members in sorted(
        groups.items(), key=lambda item: (item[0][2], item[0][0], item[0][1])
    ):
        chosen = list(members.values())
        points = [xs[i] for i in chosen], [ys[i] for i in chosen]
        if forced:
            chart.scatter(
                *points,
                marker="o",
                s=size * 4,
                facecolors="none",
                edgecolors=light("bad"),
                linewidths=1.6,
                zorder=6,
            )
        chart.scatter(
            *points,
            marker="^" if side is Side.BUY else "v",
            s=size,
            color=POOL_COLOURS[pool],
            edgecolors=light("card"),
            linewidths=0.5,
            zorder=7 if forced else 5,
        )
    return sum(len(members) for members in groups.values())


def _cells(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[int, int]]:
    across, up = _cell_of(xs, MARKER_GRID[0]), _cell_of(ys, MARKER_GRID[1])
    return [(across(x), up(y)) for x, y in zip(xs, ys, strict=True)]


def _cell_of(values: Sequence[float], cells: int) -> Callable[[float], int]:
    low, width = min(values), (max(values) - min(values)) or 1.0
    return lambda value: int((value - low) / width * cells)


def _finish(
    figure: Figure,
    size: tuple[int, int],
    charts: Sequence[Any],
    axis: TimeAxis,
    xs: Sequence[float],
    texts: ChartTexts,
) -> None:
    for chart in charts:
        dress(chart)
    low, high = min(xs), max(xs)
    margin = (high - low) * 0.006 or 0.02
    charts[-1].set_xlim(low - margin, high + margin)
    remark = texts.later()
    charts[0].set_title(remark, loc="right", fontsize=9.5, color=light("muted"), pad=6)
    axis.mark(charts[-1], 9 if size is WIDE else 5, texts, remark)
    left = {WIDE: 62, NARROW: 46, HALF: 46}[size] / size[0]
    figure.subplots_adjust(
        left=left, right=1 - 10 / size[0], top=1 - 26 / size[1], bottom=26 / size[1], hspace=0.22
    )
