"""The figures of performance on the page: what decided the result, ours beside the benchmark's, months, symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from qts.performance import Figure, Performance
from qts.performance.trips import TripFigures
from qts.report.markup import Html, el, en_ko, heading, join, table
from qts.report.performance_rows import FigureRow, decided_by, performance_rows
from qts.report.report_data import ReportData, rounded
from qts.report.tables import how_many, signed
from qts.runtime.session.result import failures_of

MOST_SYMBOLS: Final = 1_000
"""Symbols listed with figures of their own."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def figures(data: ReportData, found: Performance) -> Html:
    """Return what decided the result, and the figures in two tables side by side."""
    rows = performance_rows(found, data.currency)
    half = (len(rows) + 1) // 2
    values = data.values
    has_failed = any(failures_of(values.strategies))
    said = [
        el("li", en_ko(*text)) for text in decided_by(found, values.refusals, values.orders, has_failed=has_failed)
    ]
    notes = el("ul", *said, cls="notes") if said else None
    return join((notes, el("div", _figure_table(rows[:half]), _figure_table(rows[half:]), cls="halves tall")))


def _figure_table(rows: Sequence[FigureRow]) -> Html:
    is_compared = any(row.benchmark for row in rows)
    headers = [en_ko("Figure", "지표"), en_ko("Account", "계좌")]
    if is_compared:
        headers.append(en_ko("Benchmark", "벤치마크"))
    body = []
    for row in rows:
        ours = row.ours.en if row.ours.en == row.ours.ko else en_ko(*row.ours)
        body.append((en_ko(*row.label), el("span", ours), *([row.benchmark] if is_compared else [])))
    return table(headers, body, numeric=range(1, len(headers)))


def months(found: Performance) -> Html | None:
    """Return the return of each month in a table of years whose colours show its size; None without a month."""
    if not found.months:
        return None
    by_year: dict[int, dict[int, float]] = {}
    for one in found.months:
        by_year.setdefault(one.year, {})[one.month] = one.value
    largest = max(abs(one.value) for one in found.months)
    headers = [
        en_ko("Year", "연도"),
        *(en_ko(name, f"{place}월") for place, name in enumerate(_MONTHS, 1)),
        en_ko("Whole year", "연간"),
    ]
    head = el("tr", *(el("th", text, scope="col") for text in headers))
    rows = [
        el(
            "tr",
            el("th", str(year), scope="row"),
            *(_month(of_year.get(month), largest) for month in range(1, 13)),
            el("td", _percent(found.years[year]), cls="total") if year in found.years else el("td"),
        )
        for year, of_year in by_year.items()
    ]
    return el("div", el("table", el("thead", head), el("tbody", *rows), cls="heat"), cls="scroll", tabindex=0)


def _month(value: float | None, largest: float) -> Html:
    if value is None:
        return el("td")
    strength = round(70 * abs(value) / largest) if largest else 0
    look = "up" if value > 0 else "down"
    return el("td", _percent(value), style=f"--c: var(--{look}); --a: {strength}%")


def _percent(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text


def by_part(found: Performance, charts: Mapping[str, str]) -> Html | None:
    """Return the round trips of each symbol and of each strategy, the best result first; None for one of each.

    A symbol leads to its chart, whose id ``charts`` gives where there is one.
    """
    parts = []
    for title, groups, name, linked in (
        (heading("By symbol", "종목별"), found.by_symbol, en_ko("Symbol", "종목"), charts),
        (heading("By strategy", "전략별"), found.by_strategy, en_ko("Strategy", "전략"), {}),
    ):
        if len(groups) > 1:
            parts.append(join((el("h3", *title), _groups(groups, name, linked))))
    return join(parts) if parts else None


def _groups(groups: Mapping[str, TripFigures], name: Html, linked: Mapping[str, str]) -> Html:
    names = sorted(groups, key=lambda one: (-groups[one].result, one))
    headers = (
        name,
        en_ko("Round trips", "완결 매매"),
        en_ko("Win rate", "승률"),
        en_ko("Profit factor", "손익비"),
        en_ko("Expectancy", "매매당 기대손익"),
        en_ko("Costs", "비용"),
        en_ko("Result", "손익"),
    )
    body = [
        (
            el("a", one, href=f"#{linked[one]}") if one in linked else one,
            f"{groups[one].count:,}",
            _or_dash(groups[one].win_rate, "{:.1%}".format),
            _or_dash(groups[one].profit_factor, "{:.2f}".format),
            _amount(groups[one].expectancy.value),
            _amount(groups[one].costs),
            signed(groups[one].result, rounded),
        )
        for one in names[:MOST_SYMBOLS]
    ]
    return join((how_many(names, MOST_SYMBOLS), table(headers, body, numeric=range(1, 7))))


def _or_dash(figure: Figure, write: Callable[[float], str]) -> str:
    return "–" if figure.value is None else write(figure.value)


def _amount(value: Decimal | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}"
