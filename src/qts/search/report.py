"""The report of a study, one HTML file: verdict, table, heat maps, in- against out-of-sample, stitched curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Final

from qts.report.document import document, switches
from qts.report.markup import Html, el, en_ko, heading, join, section, table
from qts.report.meanings import Bilingual
from qts.report.output_path import require_output_path, write_output
from qts.report.plot_frame import Scale, curve, line_path, percent, plot, scale_of, time_ticks
from qts.search.outcome import FoldOutcome, Outcome
from qts.search.search import Trial, trials_of
from qts.search.space import Axis
from qts.search.study import Study

MOST_ROWS: Final = 200
"""Trials in the table, the best ones."""
MOST_MAPS: Final = 15
MOST_CELLS: Final = 60
"""Values of one axis of a heat map; more are left out evenly."""
_WIDTH: Final = 10_000


def write_study_report(study: Study, outcome: Outcome, path: Path) -> None:
    """Write the report of ``study`` to ``path``, wholly or not at all.

    Raises InputError for a place where no file can be written, and StorageError when it cannot be.
    """
    require_output_path("the report", path)
    write_output("the report", path, study_page(study, outcome).encode())


def study_page(study: Study, outcome: Outcome) -> str:
    """Return the whole page: it loads nothing and runs nothing."""
    folds = range(len(study.definition.plan.folds))
    trials = next((found for number in reversed(folds) if (found := trials_of(study, number))), [])
    main = el(
        "main",
        _verdict(outcome),
        _luck(outcome),
        _trials(study, trials),
        *_maps(study, trials),
        _scatter(outcome),
        _folds(outcome),
        _stitched(outcome),
    )
    title = el("h1", *heading("qts optimize: parameter search", "파라미터 탐색 보고서"))
    line = el("p", f"{study.definition.setup.strategy} · {study.directory.name}", cls="muted")
    header = el("header", el("div", el("div", title, line), switches(), cls="top"))
    footer = en_ko(
        "The same study gives the same report. This file loads nothing and runs nothing.",
        "같은 탐색은 같은 보고서를 만듭니다. 이 파일은 외부 자원을 불러오지 않고 스크립트를 실행하지 않습니다.",
    )
    return document("QTS · optimize · 파라미터 탐색", (header, main, el("footer", footer)), "auto")


def _verdict(outcome: Outcome) -> Html:
    sure = outcome.deflated_sharpe
    look = "accent" if sure is not None and sure >= 0.95 else "warn"
    params = " ".join(f"{name}={text}" for name, text in outcome.params.items())
    said = en_ko(outcome.verdict, outcome.verdict_ko)
    return el("div", el("strong", said), el("p", params or "–"), cls="verdict", style=f"--c: var(--{look})")


def _luck(outcome: Outcome) -> Html:
    folds = outcome.folds
    neighbours = folds[-1].neighbours if folds else None
    cards = (
        _card(
            ("Better than luck", "운보다 나을 확률"),
            _share(outcome.deflated_sharpe),
            en_ko(
                f"deflated Sharpe ratio, {outcome.trials:,} trials",
                f"디플레이티드 샤프 지수, 시도 {outcome.trials:,}건",
            ),
        ),
        _card(
            ("Sharpe ratio a year", "연환산 샤프 지수"),
            _number(outcome.sharpe),
            en_ko(
                f"the best of as many by luck: {_number(outcome.lucky_sharpe)}",
                f"운만으로 얻는 최고값: {_number(outcome.lucky_sharpe)}",
            ),
        ),
        _card(
            ("Overfitting", "과최적화 확률(PBO)"),
            _share(outcome.overfitting),
            en_ko(
                "the best here is below the median elsewhere", "여기서 최고인 값이 다른 기간에서 중앙값 미만일 확률"
            ),
        ),
        _card(
            ("Independent trials", "독립적인 시도 수"),
            f"{outcome.effective_trials:,.1f}",
            en_ko("what the trials amount to, by their correlation", "시도 간 상관관계를 반영한 실질 시도 수"),
        ),
        _card(
            ("Neighbours", "이웃 값"),
            _share(neighbours),
            en_ko(
                "their median ÷ the best; near 100 % is a plateau",
                "이웃 중앙값 ÷ 최고값, 100 %에 가까울수록 안정적",
            ),
        ),
        _card(
            ("Out ÷ in", "검증 ÷ 탐색 수익률"),
            _share(outcome.efficiency),
            en_ko("walk-forward efficiency", "워크포워드 효율"),
        ),
    )
    return el("div", *cards, cls="cards")


def _card(name: Bilingual, big: str, sub: Html) -> Html:
    return el(
        "div", el("div", en_ko(*name), cls="name"), el("div", big, cls="big"), el("div", sub, cls="sub"), cls="card"
    )


def _trials(study: Study, trials: Sequence[Trial]) -> Html:
    axes = study.definition.axes
    ranked = sorted(trials, key=lambda one: (one.value is None, -(one.value or 0.0), one.number))
    names = [en_ko(axis.name, axis.name) for axis in axes]
    head = [*names, en_ko(study.definition.objective, study.definition.objective), en_ko("trips", "매매"), Html("")]
    rows = [
        [
            *(one.params[axis.name] for axis in axes),
            "–" if one.value is None else f"{one.value:.3f}",
            "–" if one.failed else f"{one.answers[0].trips:,}",
            one.failed or None,
        ]
        for one in ranked[:MOST_ROWS]
    ]
    left = len(ranked) - len(rows)
    said = None
    if left > 0:
        said = el(
            "p", en_ko(f"{left:,} more are in the study.", f"나머지 {left:,}건은 탐색 파일에 있습니다."), cls="note"
        )
    drawn = table(head, rows, numeric=range(len(axes) + 2), prose=len(axes) + 2)
    return section("trials", ("Trials, the best first", "시도 목록(성과순)"), [drawn, said])


def _maps(study: Study, trials: Sequence[Trial]) -> Iterator[Html]:
    """Yield a heat map for each pair of parameters that have several values."""
    axes = [axis for axis in study.definition.axes if len(axis.values) > 1]
    pairs = list(combinations(axes, 2))[:MOST_MAPS]
    values = [one.value for one in trials if one.value is not None]
    if not pairs or not values:
        return
    scale = (min(values), max(values))
    for across, down in pairs:
        yield section(
            None,
            (f"{down.name} and {across.name}", f"{down.name} × {across.name}"),
            [
                el(
                    "p",
                    en_ko(
                        f"Median {study.definition.objective} of the trials of each cell; darker is better.",
                        f"각 칸은 {study.definition.objective}의 중앙값이며, 진할수록 좋습니다.",
                    ),
                    cls="note",
                ),
                _map(across, down, trials, scale),
            ],
        )


def _map(across: Axis, down: Axis, trials: Sequence[Trial], scale: tuple[float, float]) -> Html:
    found: dict[tuple[str, str], list[float]] = {}
    for one in trials:
        if one.value is not None:
            found.setdefault((one.params[down.name], one.params[across.name]), []).append(one.value)
    columns, lines = _thinned(across.values), _thinned(down.values)
    head = el("tr", el("th", f"{down.name} \\ {across.name}"), *(el("th", text, scope="col") for text in columns))
    body = [
        el("tr", el("th", text, scope="row"), *(_cell(found.get((text, column)), scale) for column in columns))
        for text in lines
    ]
    return el("div", el("table", el("thead", head), el("tbody", *body), cls="heat"), cls="scroll", tabindex=0)


def _cell(values: Sequence[float] | None, scale: tuple[float, float]) -> Html:
    if not values:
        return el("td", "–")
    value, (low, high) = median(values), scale
    depth = 55 * (value - low) / (high - low) if high > low else 0.0
    return el("td", f"{value:.2f}", style=f"--c: var(--accent); --a: {depth:.0f}%")


def _thinned(values: Sequence[str]) -> Sequence[str]:
    step = -(-len(values) // MOST_CELLS)
    return values[::step]


def _scatter(outcome: Outcome) -> Html | None:
    """Return each fold's best, in the sessions that chose it against those that judge it."""
    points = [(one.value, one.tested) for one in outcome.folds if one.value is not None and one.tested is not None]
    if not points:
        return None
    across = scale_of([value for value, _ in points], room=0.1)
    up = scale_of([0.0, *(tested for _, tested in points)], room=0.1)
    marks = [
        el(
            "circle",
            el("title", f"{value:.3f} → {tested:.3f}"),
            cx=percent((value - across.low) / (across.high - across.low)),
            cy=up.share(tested),
            r=5,
            style="fill: var(--accent); opacity: .75",
        )
        for value, tested in points
    ]
    ticks = [
        (percent((value - across.low) / (across.high - across.low)), (f"{value:g}", f"{value:g}"))
        for value in across.ticks(6)
    ]
    drawn = plot(
        (),
        width=_WIDTH,
        height=280,
        label=("Objective in the search against outside of it", "탐색 기간과 검증 기간의 목적값"),
        scale=up,
        write=lambda value: (f"{value:g}", f"{value:g}"),
        times=ticks,
        marks=marks,
    )
    said = en_ko(
        f"Each dot is one fold: {outcome.objective} in the sessions that chose the parameters (across) and in "
        "those that judge them (up).",
        f"점 하나가 한 구간입니다. 가로는 탐색 기간, 세로는 검증 기간의 {outcome.objective}입니다.",
    )
    return section(
        "scatter", ("In the search and outside of it", "탐색 기간 대 검증 기간"), [drawn, el("p", said, cls="note")]
    )


def _folds(outcome: Outcome) -> Html | None:
    if not any(one.test for one in outcome.folds):
        return None
    head = [
        en_ko(*pair)
        for pair in (
            ("searched on", "탐색 기간"),
            ("judged on", "검증 기간"),
            ("parameters", "파라미터"),
            ("in", "탐색"),
            ("out", "검증"),
            ("out ÷ in", "효율"),
        )
    ]
    return section(
        "folds", ("Folds", "구간별 결과"), [table(head, map(_fold_row, outcome.folds), numeric=(3, 4, 5))]
    )


def _fold_row(one: FoldOutcome) -> list[object]:
    params = " ".join(f"{name}={text}" for name, text in one.params.items())
    return [
        ", ".join(one.train),
        ", ".join(one.test),
        params or "–",
        _number(one.value),
        _number(one.tested),
        _share(one.efficiency),
    ]


def _stitched(outcome: Outcome) -> Html | None:
    """Return the growth over all judging sessions, one after the other."""
    growth = outcome.stitched.growth
    if len(growth) < 2:
        return None
    scale: Scale = scale_of([1.0, *growth])
    last = len(growth) - 1
    path = curve((round(_WIDTH * place / last), scale.unit(value)) for place, value in enumerate(growth))
    moments = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in outcome.stitched.days]
    ticks = [(percent(tick.at / last), tick.text) for tick in time_ticks(moments)]
    drawn = plot(
        [line_path(path, "ink")],
        width=_WIDTH,
        height=260,
        label=("Growth in the judging sessions", "검증 기간의 자산 성장"),
        scale=scale,
        write=lambda value: (f"{value:g}", f"{value:g}"),
        times=ticks,
    )
    said = en_ko(
        "What 1 became in the sessions that chose nothing, fold after fold.",
        "선택에 쓰지 않은 기간만 이어 붙였을 때 1이 얼마가 되었는지 보여 줍니다.",
    )
    return section("stitched", ("Out of sample", "검증 기간 누적 성과"), [join((drawn, el("p", said, cls="note")))])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.0f} %"
