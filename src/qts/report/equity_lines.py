"""Equity over time beside the benchmark, and its drawdown below: hand-written, for every width of screen."""

from __future__ import annotations

from datetime import date
from typing import Final

from qts.report.chart_texts import amount_in
from qts.report.markup import Html, el, en_ko, join
from qts.report.meanings import Bilingual
from qts.report.plot_frame import Scale, curve, legend, line_path, percent, plot, scale_of, time_ticks
from qts.report.report_data import ReportData
from qts.report.time_charts import CURVE_STEPS, money_scale, thinned

_WIDTH: Final = 10_000
"""Units of the time axis."""


def equity_lines(data: ReportData) -> Html | None:
    """Return equity, the benchmark if there is one, and the drawdown; None with fewer than two samples."""
    rows = data.facts.equity
    if len(rows) < 2:
        return None
    equity = [float(row.equity) for row in rows]
    kept = thinned(range(len(rows)), equity, CURVE_STEPS)
    first_ns, length_ns = rows[0].ts_ns, rows[-1].ts_ns - rows[0].ts_ns or 1

    def share(ts_ns: int) -> float:
        return (ts_ns - first_ns) / length_ns

    held = benchmark_points(data)
    scale = scale_of([*(equity[place] for place in kept), *(value for _, value in held)])
    divisor, unit = money_scale((scale.low, scale.high))
    english, korean = amount_in(unit, data.currency)
    ours = curve((round(_WIDTH * share(rows[place].ts_ns)), scale.unit(equity[place])) for place in kept)
    theirs = curve((round(_WIDTH * share(ts_ns)), scale.unit(value)) for ts_ns, value in held)
    falls = [-100 * float(data.drawdowns[place]) for place in kept]
    depth = Scale(min(*falls, -0.1) * 1.08, 0.0)
    fallen = curve(
        (round(_WIDTH * share(rows[place].ts_ns)), depth.unit(fall))
        for place, fall in zip(kept, falls, strict=True)
    )
    moments = [data.local(rows[place].ts_ns) for place in kept]
    times = [(percent(share(rows[kept[tick.at]].ts_ns)), tick.text) for tick in time_ticks(moments)]

    def money(value: float) -> Bilingual:
        text = f"{value / divisor:,.10g}"
        return text, text

    upper = plot(
        [*([line_path(theirs, "aggressive")] if theirs else []), line_path(ours, "ink")],
        width=_WIDTH,
        height=260,
        label=("Equity over time", "총자산 추이"),
        scale=scale,
        write=money,
    )
    lower = plot(
        [
            el("path", d=f"{fallen}L{_WIDTH} 0L0 0z", cls="area", style="--c: var(--down)"),
            line_path(fallen, "down"),
        ],
        width=_WIDTH,
        height=96,
        label=("Drawdown over time", "낙폭 추이"),
        scale=depth,
        lines=3,
        write=lambda value: (f"{value:g}%", f"{value:g}%"),
        times=times,
    )
    names: list[tuple[str, object]] = [("ink", en_ko(f"equity, {english}", f"총자산({korean})"))]
    if theirs:
        names.append(
            ("aggressive", en_ko("benchmark: buy and hold, equal shares", "벤치마크: 동일 비중 매수 후 보유"))
        )
    names.append(("down", en_ko("drawdown of equity, %", "총자산 낙폭(%)")))
    return el("figure", join((upper, lower)), legend(names))


def benchmark_points(data: ReportData) -> list[tuple[int, float]]:
    """Return the benchmark's equity at the time (ns) of our last sample of each of its days, thinned."""
    benchmark = data.facts.charts.benchmark
    if benchmark is None:
        return []
    closes: dict[date, int] = {}
    for row in data.facts.equity:
        closes[data.local_day(row.ts_ns)] = row.ts_ns
    days = [date.fromisoformat(day) for day in benchmark.days]
    kept = thinned(range(len(days)), benchmark.equity, CURVE_STEPS)
    return [(closes[days[place]], benchmark.equity[place]) for place in kept if days[place] in closes]
