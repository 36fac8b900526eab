"""The completed round trips, all of them, in pages of which one is shown, each linked with its mark in a chart."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from qts.money import multiple_of, ratio
from qts.performance import RoundTrip
from qts.performance.trips import adverse_excursion, favourable_excursion
from qts.report.markup import Html, el, en_ko, join
from qts.report.one_shown import chooser, one_shown
from qts.report.price_charts import chart_ids
from qts.report.report_data import ReportData, number, price_text, rounded
from qts.report.tables import signed
from qts.report.trip_marks import TripMarks

PAGE_ROWS: Final = 100
"""Round trips on one page."""
_ENDED_BY: Final = {
    "stop": en_ko("stop", "손절"),
    "take": en_ko("take", "익절"),
    "trail": en_ko("trail", "트레일링 스톱"),
}
"""The level that ended a round trip, by name."""
_FINEST: Final = Decimal("0.00000001")
"""Step to which a quantity is shown: it follows from an amount and an average."""


def trip_table(data: ReportData) -> Html:
    """Return every completed round trip in the order of their ends."""
    trips = data.facts.charts.trips
    if not trips:
        return el("p", en_ko("No round trip was completed.", "완결된 매매가 없습니다."), cls="none")
    linked = chart_ids(data)
    has_levels = any(trip.ended_by for trip in trips)  # without them the column would say nothing
    headers = (
        en_ko("No.", "번호"),
        en_ko("Symbol", "종목"),
        when_entered(data),
        en_ko("Left", "청산시각"),
        *((en_ko("By", "청산 사유"),) if has_levels else ()),
        en_ko("Days", "보유일"),
        en_ko("Quantity", "수량"),
        en_ko("Entry price", "매수 평균가"),
        en_ko("Exit price", "매도 평균가"),
        en_ko("Costs", "제비용"),
        en_ko("Result", "손익"),
        en_ko("Return", "수익률"),
        en_ko("MAE", "최대 역행(MAE)"),
        en_ko("MFE", "최대 순행(MFE)"),
    )
    texts = 4 + has_levels
    cells = (el("th", text, scope="col", cls="n" if i >= texts else None) for i, text in enumerate(headers))
    head = el("thead", el("tr", *cells))
    pages = []
    for first in range(0, len(trips), PAGE_ROWS):
        rows = [
            _row(data, place, trip, is_linked=trip.symbol in linked, has_levels=has_levels)
            for place, trip in enumerate(trips[first : first + PAGE_ROWS], first + 1)
        ]
        body = el("div", el("table", head, el("tbody", *rows), cls="trips"), cls="scroll", tabindex=0)
        last = min(first + PAGE_ROWS, len(trips))
        pages.append((f"trips-{first // PAGE_ROWS + 1}", el("span", f"{first + 1:,}–{last:,}"), body))
    said = en_ko(
        f"{len(trips):,} completed round trips. A number leads to the entry in the chart; a mark there leads back.",
        f"완결 매매 {len(trips):,}건. 번호를 누르면 차트의 진입 지점으로, 차트의 표시를 누르면 이 표로 이동합니다.",
    )
    return join((el("p", said, cls="note"), chooser([(key, name) for key, name, _ in pages]), one_shown(pages)))


def when_entered(data: ReportData) -> Html:
    """Return the heading of the times of entry, with the market's zone."""
    return en_ko(f"Entered ({data.zone_name})", f"진입시각({data.zone_name})")


def _row(data: ReportData, place: int, trip: RoundTrip, *, is_linked: bool, has_levels: bool) -> Html:
    qty = ratio(trip.bought, trip.entry_price)
    days = (data.local(trip.ended_ns).date() - data.local(trip.begun_ns).date()).days
    numbers = (
        f"{days:,}",
        number(multiple_of(qty, _FINEST, ROUND_HALF_EVEN)),
        price_text(trip.entry_price),
        price_text(TripMarks.exit_price(trip)),
        rounded(trip.costs),
        signed(trip.result, rounded),
        signed(ratio(trip.result, trip.bought), _percent),
        _share(adverse_excursion(trip)),
        _share(favourable_excursion(trip)),
    )
    shown = el("a", place, href=f"#{TripMarks.mark_id(place)}") if is_linked else place
    times = (data.time_text(trip.begun_ns), data.time_text(trip.ended_ns))
    return el(
        "tr",
        el("td", shown),
        el("td", trip.symbol),
        *(el("td", text) for text in times),
        *((el("td", _ENDED_BY.get(trip.ended_by, "–")),) if has_levels else ()),
        *(el("td", cell) for cell in numbers),
        id=TripMarks.row_id(place),
    )


def _percent(share: Decimal) -> str:
    return f"{share:.2%}"


def _share(share: Decimal | None) -> str:
    return "–" if share is None else f"{share:.2%}"
