"""The charts of the session report without a time axis: results by pool, events and waiting times by priority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from qts.capital.contracts import Pool
from qts.report.chart_style import FAINT, INK, POOL_COLOURS, drawing, dress, inline_svg, light
from qts.report.chart_texts import ChartTexts, amount_in
from qts.report.markup import Html
from qts.report.meanings import Bilingual
from qts.report.report_data import ReportData
from qts.report.time_charts import HALF, NARROW, Drawn, blank, money_scale, money_ticks, short_ticks, titled
from qts.runtime.session.result import latency_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRIORITIES: Final = ("P0", "P1", "P2", "P3")
_PRIORITY_ALPHA: Final = {"P0": 1.0, "P1": 0.8, "P2": 0.65, "P3": 0.5}


def result_chart(data: ReportData) -> Drawn | None:
    """Draw the realised and the unrealised result of each pool; None while there is none."""
    pools = data.values.pools
    realised = [float(pools[pool.value]["realized_pnl"]) for pool in Pool]
    paper = [float(pools[pool.value]["unrealized_pnl"]) for pool in Pool]
    if not any((*realised, *paper)):
        return None
    scale, unit = money_scale([*realised, *paper])

    def draw(size: tuple[int, int]) -> Html:
        with drawing(f"result{size[0]}") as texts:
            figure = blank(size)
            chart = figure.subplots()
            for offset, amounts, alpha in ((-0.19, realised, 0.95), (0.19, paper, 0.42)):
                scaled = [amount / scale for amount in amounts]
                chart.barh(
                    [index + offset for index in range(len(Pool))],
                    scaled,
                    height=0.34,
                    color=[POOL_COLOURS[pool] for pool in Pool],
                    alpha=alpha,
                )
                _bar_labels(chart, scaled, offset)
            chart.axvline(0, color=FAINT, linewidth=0.9)
            chart.set_yticks(range(len(Pool)), [pool.value for pool in Pool])
            chart.invert_yaxis()
            low, high = min(0.0, *realised, *paper) / scale, max(0.0, *realised, *paper) / scale
            room = (high - low or 1.0) * 0.22
            chart.set_xlim(low - (room if low < 0 else room * 0.1), high + room)
            dress(chart, grid="x")
            titled(chart, texts, amount_in(unit, data.currency))
            money_ticks(chart.xaxis)
            figure.subplots_adjust(left=95 / size[0], right=0.985, top=0.90, bottom=0.10)
            return inline_svg(
                figure, texts, ("Result by pool, realised and unrealised", "자금 풀별 실현손익과 평가손익")
            )

    return Drawn(wide=draw(HALF), narrow=draw(NARROW), shown=len(Pool), of=len(Pool))


def latency_chart(data: ReportData) -> Drawn | None:
    """Draw the time from acceptance to the start of the handler by priority: median, p99, longest, and of how many
    events."""
    latency = data.values.latency_us_by_priority
    handled = data.values.events_by_priority
    names = [name for name in PRIORITIES if handled[name] > 0 and latency[name]["max"] > 0]
    if not names:
        return None

    def draw(size: tuple[int, int]) -> Html:
        with drawing(f"latency{size[0]}") as texts:
            figure = blank(size)
            chart = figure.subplots()
            for name in names:
                y, colour = PRIORITIES.index(name), light("accent")
                p50, p99, top = (max(float(latency[name][key]), 0.1) for key in ("p50", "p99", "max"))
                chart.plot([p50, top], [y, y], color=colour, linewidth=1.4, alpha=0.45)
                chart.plot([p50, p99], [y, y], color=colour, linewidth=5, alpha=0.55, solid_capstyle="round")
                chart.scatter([p50], [y], s=52, color=colour, zorder=4)
                chart.scatter([p99], [y], s=44, color=light("card"), edgecolors=colour, linewidths=1.6, zorder=4)
                chart.scatter([top], [y], s=42, marker="|", color=colour, linewidths=2, zorder=4)
                samples = latency_samples(latency[name], handled[name])
                chart.annotate(
                    f"n = {samples:,}", (p50, y), xytext=(0, 9), textcoords="offset points", fontsize=10, color=INK
                )
            chart.set_xscale("log")
            chart.set_ylim(len(PRIORITIES) - 0.4, -0.6)
            chart.set_yticks(range(len(PRIORITIES)), PRIORITIES)
            _finish_log(
                figure, chart, texts, ("µs, accept to start (log)", "수신부터 처리 시작까지, µs(로그 눈금)")
            )
            return inline_svg(figure, texts, ("Latency by priority", "우선순위별 지연시간"))

    return Drawn(wide=draw(HALF), narrow=draw(NARROW), shown=len(names), of=len(names))


def counts_chart(data: ReportData) -> Drawn | None:
    """Draw how many events each priority handled, and how many of them were collapsed or lost."""
    queues = data.values.queues
    if not any(queues[name]["accepted"] for name in PRIORITIES):
        return None

    def draw(size: tuple[int, int]) -> Html:
        with drawing(f"counts{size[0]}") as texts:
            figure = blank(size)
            chart = figure.subplots()
            for y, name in enumerate(PRIORITIES):
                _count_bar(chart, texts, y, name, queues[name], in_words=size is HALF)
            chart.set_xscale("log")
            top = max(queues[name]["handled"] for name in PRIORITIES)
            chart.set_xlim(0.8, max(top, 10) * 1.6)
            chart.set_ylim(len(PRIORITIES) - 0.4, -0.6)
            chart.set_yticks(range(len(PRIORITIES)), PRIORITIES)
            _finish_log(figure, chart, texts, ("events handled (log)", "처리한 이벤트 수(로그 눈금)"))
            return inline_svg(figure, texts, ("Events by priority", "우선순위별 이벤트 수"))

    return Drawn(wide=draw(HALF), narrow=draw(NARROW), shown=4, of=4)


def _count_bar(
    chart: Any, texts: ChartTexts, y: int, name: str, counts: Mapping[str, int], *, in_words: bool
) -> None:
    """Draw one priority; ``in_words``: with what was lost, for which a narrow drawing has no room."""
    handled = counts["handled"]
    lost = sum(counts[key] for key in ("dropped", "collapsed", "sampled", "rejected"))
    chart.barh(
        [y - 0.12],
        [max(handled - 0.8, 0)],
        left=0.8,
        height=0.42,
        color=light("accent"),
        alpha=_PRIORITY_ALPHA[name],
    )
    if lost:
        chart.barh([y + 0.22], [lost], left=0.8, height=0.16, color=light("warn"))
    inside = handled > 30_000
    label = f"{handled:,}"
    if lost and in_words:
        label = texts((f"{label}  ({lost:,} collapsed or lost)", f"{label}  (병합·유실 {lost:,})"))
    chart.annotate(
        label,
        (max(handled, 0.8), y - 0.12),
        xytext=(-7 if inside else 7, 0),
        textcoords="offset points",
        ha="right" if inside else "left",
        va="center",
        fontsize=10.5,
        color=light("card") if inside else INK,
    )


def _bar_labels(chart: Any, amounts: Sequence[float], offset: float) -> None:
    for index, amount in enumerate(amounts):
        right = amount >= 0
        chart.annotate(
            f"{amount:+,.2f}" if amount else "0",
            (amount, index + offset),
            xytext=(5 if right else -5, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=10,
            color=INK,
        )


def _finish_log(figure: Figure, chart: Any, texts: ChartTexts, title: Bilingual) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    dress(chart, grid="x")
    chart.xaxis.set_major_locator(LogLocator(base=10, numticks=8))
    chart.xaxis.set_minor_locator(NullLocator())
    chart.xaxis.set_major_formatter(short_ticks(texts))
    titled(chart, texts, title)
    figure.subplots_adjust(left=0.085, right=0.965, top=0.90, bottom=0.10)
