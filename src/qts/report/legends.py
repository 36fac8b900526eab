"""The legends of the charts: lists under them, because a list wraps on a phone."""

from __future__ import annotations

from qts.capital.contracts import Pool
from qts.report.chart_style import SAFETY_NAMES
from qts.report.markup import Html, el, en_ko, heading, join
from qts.report.meanings import POOL_HORIZONS, STATES_KOREAN
from qts.report.report_data import ReportData
from qts.report.tables import colour
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState


def time_in_states(data: ReportData) -> Html | None:
    shares = data.shares_of_time()
    if not shares:
        return None
    names = [state.value for state in OperatingState if state.value in shares]
    bar = [el("i", style=f"{colour(name.lower())}; width: {shares[name]:.2%}") for name in names]
    entries = [_entry(name.lower(), f"{name} {shares[name]:.1%}") for name in names]
    label = el("h3", *heading("Time in each state", "상태별 기간 비중"))
    return join((label, el("div", *bar, cls="bar"), el("ul", *entries, cls="key")))


def state_legend(data: ReportData) -> Html:
    states = [
        _entry(state.value.lower(), en_ko(state.value, f"{state.value}({STATES_KOREAN[state.value]})"))
        for state in OperatingState
    ]
    alarms = sorted({SafetyState.of(span.name) for span in data.safety} - {SafetyState.NORMAL}, key=_severity)
    ribbon = [
        _entry(SAFETY_NAMES[state], en_ko(f"safety {state.value} (ribbon)", f"안전 상태 {state.value}(상단 띠)"))
        for state in alarms
    ]
    return el("ul", *states, *ribbon, cls="key")


def _severity(state: SafetyState) -> int:
    return state.severity


def fill_legend() -> Html:
    pools = [_entry(pool.value.lower(), pool.value) for pool in Pool]
    signs = (
        el("li", el("b", "▲", cls="up", style=colour("ink")), en_ko("buy", "매수")),
        el("li", el("b", "▼", cls="down", style=colour("ink")), en_ko("sell", "매도")),
        el("li", el("b", cls="ring", style=colour("bad")), en_ko("forced exit", "규칙에 의한 자동 청산")),
    )
    return el("ul", *pools, *signs, cls="key")


def pool_legend() -> Html:
    entries = [
        _entry(pool.value.lower(), join((f"{pool.value} ", en_ko(*POOL_HORIZONS[pool.value])))) for pool in Pool
    ]
    return el("ul", *entries, cls="key")


def result_legend() -> Html:
    return el(
        "ul",
        _entry("ink", en_ko("realised, fees and taxes in", "실현손익(수수료·세금 차감 후)")),
        el("li", el("b", cls="pale", style=colour("ink")), en_ko("unrealised", "평가손익(미실현)")),
        cls="key",
    )


def latency_legend() -> Html:
    return el(
        "ul",
        el("li", "● ", en_ko("median", "중앙값")),
        el("li", "○ p99"),
        el("li", "| ", en_ko("longest", "최댓값")),
        el("li", "n ", en_ko("events measured", "측정한 이벤트 수")),
        cls="key",
    )


def _entry(name: str, text: object) -> Html:
    return el("li", el("b", style=colour(name)), text)
