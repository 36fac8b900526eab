"""The failures of the strategies, as a table of the report."""

from __future__ import annotations

from typing import Final

from qts.report.markup import Html, el, en_ko, join, table
from qts.report.report_data import ReportData

_PLACES: Final = {
    "on_start": ("its start", "시작"),
    "on_quote": ("a quote", "호가 처리"),
    "on_bar": ("a bar", "봉 처리"),
    "on_fill": ("a fill", "체결 처리"),
    "intent": ("a signal of its", "매매 신호"),
    "save": ("keeping what it remembers", "상태 저장"),
    "load_state": ("giving back what it remembered", "상태 복원"),
    "loading": ("making it again", "전략 불러오기"),
    "worker": ("its process", "작업 프로세스"),
}


def strategy_errors(data: ReportData) -> Html:
    """Return each strategy's failures by callback with their first messages, and why one was halted."""
    body = []
    halted = []
    for one in data.values.strategies:
        for error in one["errors"]:
            where = en_ko(*_PLACES.get(error["callback"], (error["callback"], error["callback"])))
            first = el("span", error["first"], cls="mono")
            body.append((el("strong", one["name"]), where, f"{error['count']:,}", first))
        if one["halted"]:
            why = el("span", one["why"], cls="mono")
            halted.append(
                el(
                    "p",
                    el("strong", one["name"]),
                    " ",
                    en_ko(
                        "was halted: it is not asked any more, and the rules sell what it holds. ",
                        "전략이 정지되었습니다. 더 이상 호출하지 않으며 보유분은 규칙에 따라 매도합니다. ",
                    ),
                    why,
                    cls="note",
                )
            )
    headers = (
        en_ko("Strategy", "전략"),
        en_ko("Failed in", "오류 위치"),
        en_ko("Times", "횟수"),
        en_ko("First message", "첫 오류"),
    )
    nothing = en_ko("No strategy has failed.", "전략 오류가 없습니다.")
    return join((*halted, table(headers, body, numeric=(2,), prose=3, empty=nothing)))
