"""The plot of a state backtest: the close with bands of the operating state, the volatility with thresholds.

Needs matplotlib (extra ``report``). PNG and SVG are the figure; HTML is one self-contained page with the figure
as inline SVG, the transitions as a table, headings in English and Korean. Same input, same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qts.clock import from_ns
from qts.errors import DataError
from qts.report.chart_style import (
    BAND_ALPHA,
    FAINT,
    INK,
    STATE_COLOURS,
    rendered,
    require_matplotlib,
)
from qts.report.meanings import STATES_KOREAN
from qts.report.output_path import require_output_path, write_output
from qts.report.state_reasons import reason_said
from qts.state.backtest import SeriesRow, days_in_state, state_by_day, transition_rows
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState, TransitionRecord
from qts.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS: Final = {True: "^", False: "v"}


def write_state_plot(
    out: Path,
    rows: Sequence[SeriesRow],
    transitions: Sequence[TransitionRecord],
    *,
    title: str,
    skipped: Mapping[str, int] | None = None,
    config: StateConfig | None = None,
) -> None:
    """Write the plot to ``out``; its ending (.png, .svg, .html) says how.

    Raises :class:`~qts.errors.MissingExtraError` without matplotlib, :class:`~qts.errors.DataError` for another
    ending, :class:`~qts.errors.InputError` for a place where no file can be written and
    :class:`~qts.errors.StorageError` when the disk fails.
    """
    ending = out.suffix.lower()
    if ending not in (".png", ".svg", ".html"):
        raise DataError(f"a plot ends in .png, .svg or .html, got {out.name!r}")
    require_output_path("the plot", out)
    figure = state_figure(rows, transitions, title=title, config=config or StateConfig())
    if ending == ".html":
        page = _page(rendered(figure, "svg").decode(), rows, transitions, title, skipped or {})
        content = page.encode()
    else:
        content = rendered(figure, ending[1:])
    write_output("the plot", out, content)


def state_figure(
    rows: Sequence[SeriesRow], transitions: Sequence[TransitionRecord], *, title: str, config: StateConfig
) -> Figure:
    """Draw the close with state bands and transition markers above, the volatility index below."""
    require_matplotlib("the state plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.2), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    days = [row.day for row in rows]
    ended = state_by_day(rows, transitions)
    _draw_bands((upper, lower), days, ended)
    _draw_close(upper, rows, transitions)
    _draw_vix(lower, rows, config)
    _dress(figure, upper, lower, rows, days_in_state(rows, transitions), title, len(transitions))
    return figure


def _draw_bands(axes: Sequence[Axes], days: Sequence[date], ended: Sequence[OperatingState]) -> None:
    for state, first, last in _spans(days, ended):
        for axis in axes:
            axis.axvspan(
                _number(first), _number(last), color=STATE_COLOURS[state], alpha=BAND_ALPHA[state], linewidth=0
            )


def _spans(days: Sequence[date], ended: Sequence[OperatingState]) -> Iterator[tuple[OperatingState, date, date]]:
    """Yield the runs of one state as (state, first day, first day of the next run)."""
    groups = [
        (state, [day for _, day in run]) for state, run in itertools.groupby(zip(ended, days, strict=True), _state)
    ]
    for index, (state, run) in enumerate(groups):
        following = groups[index + 1][1][0] if index + 1 < len(groups) else run[-1] + timedelta(days=1)
        yield state, run[0], following


def _state(pair: tuple[OperatingState, date]) -> OperatingState:
    return pair[0]


def _draw_close(axis: Axes, rows: Sequence[SeriesRow], transitions: Sequence[TransitionRecord]) -> None:
    axis.plot([_number(row.day) for row in rows], [row.close for row in rows], color=INK, linewidth=1.1)
    closes = {row.day: row.close for row in rows}
    for bolder, label in ((True, "to a bolder state"), (False, "to a more careful state")):
        moves = [m for m in transitions if (m.to_state.boldness > m.from_state.boldness) is bolder]
        if moves:
            axis.scatter(
                [_number(from_ns(move.ts_ns).date()) for move in moves],
                [closes[from_ns(move.ts_ns).date()] for move in moves],
                marker=_MARKERS[bolder],
                s=52,
                color=[STATE_COLOURS[move.to_state] for move in moves],
                edgecolors="white",
                linewidths=0.8,
                zorder=5,
                label=label,
            )
    if min(closes.values()) * 4 < max(closes.values()):
        axis.set_yscale("log")
    axis.set_ylabel("close")


def _draw_vix(axis: Axes, rows: Sequence[SeriesRow], config: StateConfig) -> None:
    axis.plot([_number(row.day) for row in rows], [row.vix for row in rows], color=INK, linewidth=0.9)
    levels = (
        (config.balanced_to_aggressive.vix, "<", "AGGRESSIVE possible", OperatingState.AGGRESSIVE),
        (config.defensive_to_balanced.vix, "<", "DEFENSIVE may end", OperatingState.BALANCED),
        (config.aggressive_to_balanced.vix, ">", "AGGRESSIVE ends", OperatingState.BALANCED),
        (config.balanced_to_defensive.vix, ">", "to DEFENSIVE", OperatingState.DEFENSIVE),
    )
    axis.set_ylim(0, max(*(row.vix for row in rows), max(level for level, *_ in levels)) * 1.08)
    for level, sign, text, state in levels:
        axis.axhline(level, color=STATE_COLOURS[state], linewidth=0.9, linestyle=(0, (4, 3)))
        axis.annotate(
            f"{sign} {level:g}  {text}",
            (1.005, level),
            xycoords=("axes fraction", "data"),
            fontsize=7.5,
            color=STATE_COLOURS[state],
            va="center",
            annotation_clip=False,
        )
    axis.set_ylabel("VIX")


def _dress(
    figure: Figure,
    upper: Axes,
    lower: Axes,
    rows: Sequence[SeriesRow],
    shares: Mapping[OperatingState, int],
    title: str,
    moves: int,
) -> None:
    from matplotlib import dates as untyped_dates
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(FAINT)
        axis.tick_params(colors=INK, labelsize=9)
        axis.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        axis.margins(x=0.005)
    dates: Any = untyped_dates
    locator = dates.AutoDateLocator()
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    handles: list[Any] = [
        Patch(
            facecolor=STATE_COLOURS[state],
            alpha=BAND_ALPHA[state] * 1.4,
            label=f"{state.value} {count / len(rows):.0%}",
        )
        for state, count in shares.items()
    ]
    for bolder, label in ((True, "to a bolder state"), (False, "to a more careful state")):
        handles.append(Line2D([], [], marker=_MARKERS[bolder], color=FAINT, linestyle="", label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.suptitle(
        f"Operating state over {title}\n{rows[0].day} to {rows[-1].day}, {counted(len(rows), 'day')}, "
        f"{counted(moves, 'transition')}",
        fontsize=12,
        color=INK,
        x=0.01,
        ha="left",
    )


def _number(day: date) -> float:
    """Return days since 1970-01-01, matplotlib's unit of dates."""
    return (datetime.combine(day, time()) - datetime(1970, 1, 1)).total_seconds() / 86_400  # noqa: DTZ001 - dates


def _page(
    svg: str,
    rows: Sequence[SeriesRow],
    transitions: Sequence[TransitionRecord],
    title: str,
    skipped: Mapping[str, int],
) -> str:
    shares = days_in_state(rows, transitions)
    share_rows = "".join(
        f"<tr><td><i style='background:{STATE_COLOURS[state]}'></i>"
        f"{state.value} · {STATES_KOREAN[state.value]}</td>"
        f"<td class=n>{count}</td><td class=n>{count / len(rows):.1%}</td></tr>"
        for state, count in shares.items()
    )
    move_rows = "".join(
        f"<tr><td>{row['date']}</td><td>{row['time']}</td><td>{row['from']}</td><td>{row['to']}</td>"
        f"<td>{_reason(row['reason'])}</td></tr>"
        for row in transition_rows(transitions)
    )
    refused = ", ".join(f"{escape(reason)} {count}" for reason, count in skipped.items()) or "0"
    drawing = svg[svg.index("<svg") :]
    return _PAGE.format(
        title=escape(title),
        first=rows[0].day,
        last=rows[-1].day,
        counts=(
            f"{counted(len(rows), 'day')}, {counted(len(transitions), 'transition')} · "
            f"{len(rows):,}일, 전환 {len(transitions):,}회"
        ),
        skipped=refused,
        drawing=drawing,
        shares=share_rows,
        transitions=move_rows or "<tr><td colspan=5>none · 없음</td></tr>",
    )


def _reason(reason: str) -> str:
    said = reason_said(reason)
    return escape(reason if said is None else " · ".join(said))


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>QTS · operating state over {title}</title>
<style>
body {{ margin: 0 auto; max-width: 72rem; padding: 1.5rem; color: #22262b; background: #fff;
  font: 15px/1.5 system-ui, "Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", sans-serif; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .3rem; }}
h2 {{ font-size: 1.05rem; margin: 1.8rem 0 .5rem; }}
p {{ margin: .2rem 0; color: #555c63; }}
svg {{ width: 100%; height: auto; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #e3e6e9; }}
.n {{ text-align: right; }}
i {{ display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px; }}
</style>
<h1>Operating state · 운용 상태</h1>
<p>{title}: {first} – {last}, {counts}</p>
<p>Rows skipped · 제외된 행: {skipped}</p>
<div class="scroll">{drawing}</div>
<h2>Time in each state · 상태별 기간</h2>
<div class="scroll"><table>
<tr><th>State · 상태</th><th class=n>Days · 일</th><th class=n>Share · 비율</th></tr>{shares}</table></div>
<h2>Transitions · 상태 전환</h2>
<div class="scroll"><table>
<tr><th>Date · 날짜</th><th>UTC · 시각(UTC)</th><th>From · 이전</th><th>To · 이후</th><th>Reason · 사유</th></tr>
{transitions}</table></div>
</html>
"""
