"""The sections about the result of a session: figures, equity, months, prices, round trips, holdings."""

from __future__ import annotations

from qts.report import tables
from qts.report.equity_lines import equity_lines
from qts.report.figures import by_part, figures, months
from qts.report.holdings import holdings
from qts.report.markup import Html, el, en_ko, heading, join, section
from qts.report.price_charts import chart_ids, price_charts
from qts.report.report_data import ReportData
from qts.report.trip_marks import TripMarks
from qts.report.trip_table import trip_table


def figures_section(data: ReportData) -> Html | None:
    """Return the figures of performance; None for a result of a version that had none."""
    found = data.values.performance
    if found is None:
        return None
    drawn = equity_lines(data) if found.versus is not None and not data.is_plain else None
    return section(
        "figures",
        ("Figures of performance", "성과 지표"),
        [figures(data, found), drawn, by_part(found, chart_ids(data))],
    )


def equity_section(data: ReportData) -> Html:
    """Return equity beside the benchmark, and the drawdown."""
    drawn = equity_lines(data)
    if drawn is None:
        drawn = el("p", en_ko("Nothing to draw here.", "표시할 데이터가 없습니다."), cls="note")
    return section("equity", ("Equity and drawdown", "총자산과 낙폭"), [drawn])


def months_section(data: ReportData) -> Html | None:
    """Return the return of every month; None where no session has ended."""
    found = data.values.performance
    drawn = None if found is None else months(found)
    if drawn is None:
        return None
    said = en_ko(
        "Return of each month, %; a month at either end counts its sessions in the run alone.",
        "월별 수익률(%)입니다. 처음과 마지막 달은 실행에 포함된 거래일만 반영합니다.",
    )
    return section("months", ("Return by month", "월별 수익률"), [el("p", said, cls="note"), drawn])


def prices_section(data: ReportData) -> Html | None:
    """Return the charts of prices; None where no prices are stored."""
    drawn = price_charts(data, TripMarks(data.facts.charts.trips))
    return None if drawn is None else section("prices", ("Prices and trades", "가격과 매매"), [drawn])


def trips_section(data: ReportData) -> Html | None:
    """Return the round trips and the newest fills; None for a result of a version that had no round trips."""
    if data.values.performance is None:
        return None
    fills = (
        join((el("h3", *heading("Last fills", "최근 체결")), tables.last_trades(data))) if data.is_plain else None
    )
    return section("trips", ("Round trips", "완결 매매"), [trip_table(data), fills])


def holdings_section(data: ReportData) -> Html:
    """Return what is held at the end."""
    return section("holdings", ("Holdings at the end", "종료 시점의 보유 잔고"), [holdings(data)])


def safety_section(data: ReportData) -> Html | None:
    """Return the causes that safety knew; None when there were none."""
    if not data.facts.safety:
        return None
    return section("states", ("Safety history", "안전 상태 이력"), [tables.safety_history(data)])
