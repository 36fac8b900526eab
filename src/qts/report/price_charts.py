"""The price chart of each symbol: candles, fills, refused intents, and what the strategies have plotted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from qts.db.contracts import RefusalRow
from qts.ledger.contracts import LedgerRow
from qts.report.markup import Html, el, en_ko, join
from qts.report.meanings import Bilingual
from qts.report.one_shown import chooser, one_shown
from qts.report.plot_frame import (
    LINE_COLOURS,
    Scale,
    curve,
    legend,
    line_path,
    percent,
    plot,
    scale_of,
    time_ticks,
)
from qts.report.report_data import ReportData, number, price_text
from qts.report.trip_marks import TripMarks
from qts.runtime.persistence.charts_file import Candles, Line
from qts.runtime.session.price_history import MAX_CANDLES
from qts.strategy.contracts import Side

MOST_CHARTS: Final = 40
"""Symbols with a chart, the most often traded ones."""
MOST_FILL_MARKS: Final = 400
MOST_REFUSAL_MARKS: Final = 120
"""Marks in one chart; beyond, marks of neighbouring candles become one that says how many it stands for."""
_CANDLE: Final = 8
"""Units from candle to candle; a body is 6 wide."""
_THINNEST: Final = 3
"""Height in units of the body of a candle that closed where it opened."""
_LISTED: Final = 5
"""Fills or refusals that a mark of several lists."""
_Row = TypeVar("_Row", LedgerRow, RefusalRow)


class Mark(msgspec.Struct, Generic[_Row], frozen=True):
    """Rows drawn as one mark, at the candle of the first of them."""

    candle: int
    rows: list[_Row]


def price_charts(data: ReportData, marks: TripMarks) -> Html | None:
    """Return a chart for each symbol, one of them shown at a time; None when no prices are stored."""
    every = data.facts.charts.candles
    drawn = every[:MOST_CHARTS]
    if not drawn:
        return None
    parts = [
        (chart_id(place), _named(data, candles.symbol), _SymbolChart(data, candles, marks).html())
        for place, candles in enumerate(drawn)
    ]
    left_out = len(every) - len(drawn)
    said = None
    if left_out:
        said = el(
            "p",
            en_ko(
                f"The {len(drawn)} most often traded of {len(every):,} symbols; {left_out:,} have no chart here.",
                f"거래가 잦은 {len(drawn)}개 종목만 표시합니다(전체 {len(every):,}개, 생략 {left_out:,}개).",
            ),
            cls="note",
        )
    return join((_SHAPES, chooser([(key, name) for key, name, _ in parts]), said, one_shown(parts)))


def chart_id(place: int) -> str:
    """Return the id of the chart of the symbol at ``place`` (from 0)."""
    return f"chart-{place + 1}"


def chart_ids(data: ReportData) -> dict[str, str]:
    """Return the id of the chart of each symbol that has one."""
    drawn = data.facts.charts.candles[:MOST_CHARTS]
    return {candles.symbol: chart_id(place) for place, candles in enumerate(drawn)}


def lines_of(lines: Sequence[Line], symbol: str, symbols: Sequence[str]) -> list[Line]:
    """Return the plotted series that belong to the chart of ``symbol``.

    Those whose name or pane has the symbol as a word, and in the first symbol's chart those that name no symbol of
    the session. One that names only symbols without a chart is not drawn.
    """

    def named(line: Line) -> set[str]:
        words = {*line.name.split(), *line.pane.split()}
        return {*line.symbols, *words.intersection(symbols)}

    return [line for line in lines if symbol in named(line) or (symbol == symbols[0] and not named(line))]


class _SymbolChart:
    """The drawings of one symbol over one axis, on which every candle has the same room."""

    def __init__(self, data: ReportData, candles: Candles, marks: TripMarks) -> None:
        self._data, self._candles, self._marks = data, candles, marks
        self._count = len(candles.times_ns)
        self._moments = [data.local(ts_ns) for ts_ns in candles.times_ns]
        symbols = [one.symbol for one in data.facts.charts.candles]
        self._lines = lines_of(data.facts.charts.lines, candles.symbol, symbols)

    def html(self) -> Html:
        over = [line for line in self._lines if not line.pane]
        panes: dict[str, list[Line]] = {}
        for line in self._lines:
            if line.pane:
                panes.setdefault(line.pane, []).append(line)
        parts = [el("h3", _named(self._data, self._candles.symbol), cls="t"), self._prices(over)]
        for name, lines in panes.items():
            parts.append(self._pane(name, lines))
        parts.append(self._caption())
        return el("figure", *parts)

    def _prices(self, over: Sequence[Line]) -> Html:
        candles = self._candles
        scale = _with_lines(scale_of([*candles.low, *candles.high]), over)
        curves = [*_candle_paths(candles, scale), *self._trips(scale), *self._curves(over, scale)]
        name, name_ko = self._data.name_of(candles.symbol)
        drawn = plot(
            curves,
            width=self._count * _CANDLE,
            height=340,
            label=(f"Prices and trades of {name}", f"{name_ko} 가격과 매매"),
            scale=scale,
            times=[(percent((tick.at + 0.5) / self._count), tick.text) for tick in time_ticks(self._moments)],
            marks=[*self._refusals(scale), *self._fills(scale)],
        )
        return join((drawn, _line_legend(over)))

    def _pane(self, name: str, lines: Sequence[Line]) -> Html:
        scale = scale_of(value for line in lines for value in line.values)
        drawn = plot(
            self._curves(lines, scale),
            width=self._count * _CANDLE,
            height=110,
            label=(f"Plotted by the strategy: {name}", f"전략이 그린 값: {name}"),
            scale=scale,
            lines=3,
            write=_plain_number,
        )
        return join((el("h4", name), drawn, _line_legend(lines)))

    def _curves(self, lines: Sequence[Line], scale: Scale) -> list[Html]:
        paths = []
        for place, line in enumerate(lines):
            points = (
                (self._x(ts_ns), scale.unit(value)) for ts_ns, value in zip(line.times_ns, line.values, strict=True)
            )
            paths.append(line_path(curve(points), LINE_COLOURS[place % len(LINE_COLOURS)]))
        return paths

    def _trips(self, scale: Scale) -> list[Html]:
        """Return the lines from the entry to the exit of each round trip, gains and losses apart."""
        paths: dict[str, list[str]] = {"up": [], "down": []}
        for _, trip in self._marks.of(self._candles.symbol):
            left = self._marks.exit_price(trip)
            begin = (self._x(trip.begun_ns), scale.unit(float(trip.entry_price)))
            end = (self._x(trip.ended_ns), scale.unit(float(left)))
            paths["up" if trip.result > 0 else "down"].append(f"M{begin[0]} {begin[1]}L{end[0]} {end[1]}")
        return [line_path("".join(parts), name, dashed=True) for name, parts in paths.items() if parts]

    def _fills(self, scale: Scale) -> list[Html]:
        fills = self._data.fills_of(self._candles.symbol)
        return [
            self._fill(mark, scale)
            for mark in merged([(self._index(row.ts_ns), row.side, row) for row in fills], MOST_FILL_MARKS)
        ]

    def _fill(self, mark: Mark[LedgerRow], scale: Scale) -> Html:
        first = mark.rows[0]
        result = sum((row.realized_pnl for row in mark.rows), Decimal(0))
        look = "buy" if first.side is Side.BUY else "sell up" if result > 0 else "sell down"
        drawn: Html = el(
            "use",
            href=f"#{'buy' if first.side is Side.BUY else 'sell'}-shape",
            x=percent((mark.candle + 0.5) / self._count),
            y=scale.share(float(first.price)),
            cls=look,
        )
        entered = list(dict.fromkeys(trip for row in mark.rows for trip in self._marks.entered_at(row)))
        for trip in entered:  # each is a place that its row points to
            drawn = el("g", drawn, id=TripMarks.mark_id(trip))
        trips = entered or [trip for row in mark.rows for trip in self._marks.left_at(row)]
        drawn = join((drawn, el("title", self._fill_text(mark.rows))))
        return el("a", drawn, href=f"#{TripMarks.row_id(trips[0])}") if trips else el("g", drawn)

    def _fill_text(self, rows: Sequence[LedgerRow]) -> str:
        texts = []
        for row in rows[:_LISTED]:
            side = "BUY 매수" if row.side is Side.BUY else "SELL 매도"
            why = self._data.order_reasons.get(row.order_id, "")
            when = self._data.time_text(row.ts_ns)
            texts.append(f"{when}  {side} {number(row.qty)} × {number(row.price)}{f' · {why}' if why else ''}")
        return "\n".join([*texts, *_more(rows)])

    def _refusals(self, scale: Scale) -> list[Html]:
        rows = [row for row in self._data.facts.refusals if row.symbol == self._candles.symbol]
        found = merged([(self._index(row.ts_ns), 0, row) for row in rows], MOST_REFUSAL_MARKS)
        return [self._refusal(mark, scale) for mark in found]

    def _refusal(self, mark: Mark[RefusalRow], scale: Scale) -> Html:
        drawn = el(
            "use",
            href="#refused-shape",
            x=percent((mark.candle + 0.5) / self._count),
            y=scale.share(self._candles.high[mark.candle]),
            cls="refused",
        )
        texts = []
        for row in mark.rows[:_LISTED]:
            side = "BUY 매수" if row.side is Side.BUY else "SELL 매도"
            when = self._data.time_text(row.ts_ns)
            texts.append(f"{when}  {side} refused 거부: {row.reason}{f' · {row.detail}' if row.detail else ''}")
        return el("g", drawn, el("title", "\n".join([*texts, *_more(mark.rows)])))

    def _caption(self) -> Html:
        candles, shapes = self._candles, _SHAPE_LEGEND
        if candles.span == 1:
            return shapes
        said = en_ko(
            f"Every {candles.span:,} candles in a row are drawn as one, so that there are at most {MAX_CANDLES:,}.",
            f"봉이 {MAX_CANDLES:,}개를 넘지 않도록 연속한 {candles.span:,}개를 하나로 합쳐 표시합니다.",
        )
        return join((shapes, el("figcaption", said)))

    def _index(self, ts_ns: int) -> int:
        """Return the candle that holds ``ts_ns``: the first one that ends at it or later."""
        return min(bisect_left(self._candles.times_ns, ts_ns), self._count - 1)

    def _x(self, ts_ns: int) -> int:
        return self._index(ts_ns) * _CANDLE + _CANDLE // 2


def merged(rows: Sequence[tuple[int, Hashable, _Row]], most: int) -> list[Mark[_Row]]:
    """Return marks for rows of (candle, kind, row): rows of one kind at one candle are one mark.

    Where that makes more than ``most``, the fewest candles in a row are put together that suffice, by doubling.
    """
    width = 1
    while True:
        groups: dict[tuple[int, Hashable], Mark[_Row]] = {}
        for candle, kind, row in rows:
            group = groups.setdefault((candle // width, kind), Mark(candle, []))
            group.rows.append(row)
        if len(groups) <= most:
            return list(groups.values())
        width *= 2


def _candle_paths(candles: Candles, scale: Scale) -> list[Html]:
    """Return wicks and bodies of the candles that rose and of those that fell; four paths at most."""
    bodies: dict[str, list[str]] = {"up": [], "down": []}
    wicks: dict[str, list[str]] = {"up": [], "down": []}
    columns = zip(candles.open, candles.high, candles.low, candles.close, strict=True)
    for place, (opened, high, low, close) in enumerate(columns):
        look = "up" if close >= opened else "down"
        left, top, bottom = place * _CANDLE, scale.unit(high), scale.unit(low)
        upper, lower = scale.unit(max(opened, close)), scale.unit(min(opened, close))
        wicks[look].append(f"M{left + _CANDLE // 2} {top}V{bottom}")
        bodies[look].append(f"M{left + 1} {upper}h{_CANDLE - 2}v{max(lower - upper, _THINNEST)}h{2 - _CANDLE}z")
    return [
        el("path", d="".join(parts), cls=f"{kind} {look}")
        for kind, paths in (("wick", wicks), ("body", bodies))
        for look, parts in paths.items()
        if parts
    ]


def _with_lines(scale: Scale, lines: Sequence[Line]) -> Scale:
    """Return ``scale`` with room for ``lines``, at most half its height on either side: beyond they are cut."""
    values = [value for line in lines for value in line.values]
    if not values:
        return scale
    room = (scale.high - scale.low) / 2
    return Scale(
        max(min(scale.low, min(values)), scale.low - room), min(max(scale.high, max(values)), scale.high + room)
    )


def _line_legend(lines: Sequence[Line]) -> Html | None:
    if not lines:
        return None
    return legend((LINE_COLOURS[place % len(LINE_COLOURS)], line.name) for place, line in enumerate(lines))


def _named(data: ReportData, symbol: str) -> Html:
    english, korean = data.name_of(symbol)
    return el("span", english) if english == korean else en_ko(english, korean)


def _more(rows: Sequence[object]) -> list[str]:
    return [f"… +{len(rows) - _LISTED:,}"] if len(rows) > _LISTED else []


def _plain_number(value: float) -> Bilingual:
    text = price_text(Decimal(repr(value))) if 1e-6 < abs(value) < 1e9 or not value else f"{value:.4g}"
    return text, text


def _shape(name: str, path: str) -> Html:
    return el("path", id=f"{name}-shape", d=path)


_SHAPES: Final = el(
    "svg",
    el(
        "defs",
        _shape("buy", "M0 1l-5.5 9.5h11z"),
        _shape("sell", "M0-1l-5.5-9.5h11z"),
        _shape("refused", "M-3-9l6 6M3-9l-6 6"),
    ),
    cls="shapes",
    width=0,
    height=0,
    aria_hidden="true",
)
"""The shapes of marks, once for all charts; the tips of fills are at their price."""
_SHAPE_LEGEND: Final = el(
    "ul",
    el("li", el("b", "▲", cls="up", style="--c: var(--ink)"), en_ko("bought", "매수")),
    el("li", el("b", "▼", cls="up", style="--c: var(--up)"), en_ko("sold with a gain", "이익 매도")),
    el("li", el("b", "▼", cls="up", style="--c: var(--down)"), en_ko("sold with a loss", "손실 매도")),
    el("li", el("b", "×", cls="up", style="--c: var(--warn)"), en_ko("refused intent", "거부된 매매 신호")),
    el("li", el("b", "┄", cls="up", style="--c: var(--muted)"), en_ko("round trip", "완결 매매")),
    cls="key",
)
