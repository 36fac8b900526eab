"""The tables of the session report: what happened, why, and whether everything that was checked held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar, get_type_hints

import msgspec

from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.db.contracts import StateRow
from qts.ledger.contracts import ActionKind, LedgerRow
from qts.market.files.refusals import REASONS
from qts.money import ZERO
from qts.report.chart_style import SAFETY_NAMES
from qts.report.markup import Html, el, en_ko, join, table
from qts.report.meanings import (
    CODES_KOREAN,
    INVARIANTS,
    LIMITS_KOREAN,
    PRICE_AGE,
    PRIORITIES,
    REFUSALS,
    ROWS_KOREAN,
)
from qts.report.report_data import FLAT, ReportData, Status, number
from qts.report.row_advice import ending, row_advice
from qts.report.state_reasons import reason_said
from qts.risk.config import RiskConfig
from qts.runtime.session.result import QUEUE_COUNTS, latency_cells
from qts.safety.codes import CATALOGUE
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side

SHOWN_ROWS: Final = 60
"""Rows of a history that a table shows, newest first; how many there were is said beside it."""
T = TypeVar("T")

_STATUS_LOOK: Final = {Status.HELD: "good", Status.BROKEN: "bad", Status.NOT_CHECKED: "faint"}
_STATUS_SAID: Final = {
    Status.HELD: ("held", "통과"),
    Status.BROKEN: ("BROKEN", "위반"),
    Status.NOT_CHECKED: ("not checked", "미점검"),
}


SIDES: Final = {Side.BUY: ("BUY", "매수"), Side.SELL: ("SELL", "매도")}


def colour(name: str) -> str:
    """Return the value of a style attribute that hands a palette colour to the element."""
    return f"--c: var(--{name})"


def state_chip(name: str) -> Html:
    """Return an operating state by name; one that is not known stays without its own colour."""
    known = name in OperatingState.__members__
    return el("span", name, cls="chip", style=colour(name.lower() if known else "faint"))


def safety_chip(name: str) -> Html:
    """Return a safety state by name; one that is not known looks like FAIL: unknown never means fine."""
    return el("span", name, cls="chip", style=colour(SAFETY_NAMES[SafetyState.of(name)]))


def status_chip(status: Status) -> Html:
    unsaid = " unsaid" if status is Status.NOT_CHECKED else ""
    return el("span", en_ko(*_STATUS_SAID[status]), cls=f"chip{unsaid}", style=colour(_STATUS_LOOK[status]))


def pool_chip(pool: Pool) -> Html:
    return el("span", pool.value, cls="chip", style=colour(pool.value.lower()))


def moment(text: str) -> Html:
    return el("span", text, cls="t")


def signed(amount: Decimal, as_text: Callable[[Decimal], str] = number) -> Html:
    """Return an amount as ``as_text`` writes it, with its sign in the colour of gain or loss; zero in neither."""
    look = "up" if amount > 0 else "down" if amount < 0 else None
    return el("span", f"{'+' if amount > 0 else ''}{as_text(amount)}", cls=look)


def symbol_named(data: ReportData, symbol: str) -> Html:
    """Return a symbol by the name that people call it by."""
    english, korean = data.name_of(symbol)
    return el("span", english if english == korean else en_ko(english, korean), cls="t")


def when(data: ReportData, korean: str = "시각") -> Html:
    """Return the heading of a column of times: they are the market's, and its zone is written."""
    return en_ko(f"When ({data.zone_name})", f"{korean}({data.zone_name})")


def newest(rows: Sequence[T], shown: int = SHOWN_ROWS) -> list[T]:
    """Return the last ``shown`` rows, the newest first."""
    return list(reversed(rows[-shown:]))


def how_many(rows: Sequence[object], shown: int = SHOWN_ROWS) -> Html | None:
    """Return a line that says that not all rows are shown; None when they are."""
    if len(rows) <= shown:
        return None
    english = f"The newest {shown} of {len(rows):,}, newest first."
    return el("p", en_ko(english, f"전체 {len(rows):,}건 중 최근 {shown}건, 최신순."), cls="note")


def transitions(data: ReportData) -> Html:
    """Return the changes and overrides of the operating state with their reasons, newest first."""
    rows = data.facts.states
    body = (
        (
            moment(data.time_text(row.ts_ns)),
            _from_to(state_chip(row.from_state), state_chip(row.to_state)),
            _reason(row.reason),
            _said_actor(_actor(row)),
        )
        for row in newest(rows)
    )
    headers = (
        when(data),
        en_ko("From → to", "이전 → 이후"),
        en_ko("Why", "사유"),
        en_ko("By", "주체"),
    )
    nothing = en_ko("The operating state never moved.", "운용 상태가 바뀌지 않았습니다.")
    return join((how_many(rows), table(headers, body, prose=2, empty=nothing)))


def safety_history(data: ReportData) -> Html:
    """Return every recorded safety cause, what it did and what its code means, newest first."""
    rows = data.facts.safety
    body = (
        (
            moment(data.time_text(row.ts_ns)),
            _from_to(safety_chip(row.from_state), safety_chip(row.to_state)),
            el("span", row.code, cls="mono"),
            join((_meaning(row.code), el("div", row.reason, cls="muted"))),
            _said_actor(row.actor),
        )
        for row in newest(rows)
    )
    headers = (
        when(data),
        en_ko("From → to", "이전 → 이후"),
        en_ko("Code", "코드"),
        en_ko("Why", "사유"),
        en_ko("By", "주체"),
    )
    nothing = en_ko("No safety cause was recorded.", "기록된 안전 사유가 없습니다.")
    return join((how_many(rows), table(headers, body, prose=3, empty=nothing)))


def refusals(data: ReportData) -> Html:
    """Return the rejected signals by reason, the most frequent first, each reason explained."""
    explained = {reason: en_ko(*text) for reason, text in REFUSALS.items()}
    nothing = en_ko("No signal was rejected.", "거부된 매매 신호가 없습니다.")
    return _counts(data.values.refusals, explained, nothing, "accent")


def orders_unfilled(data: ReportData) -> Html:
    """Return the orders that were sent and ended without a fill, by how and why."""
    headers = (en_ko("How it ended", "종료 사유"), en_ko("Orders", "주문 수"))
    counts: Mapping[str, int] = data.values.orders_unfilled
    rows = [
        (en_ko(*ending(reason)), f"{count:,}") for reason, count in sorted(counts.items(), key=lambda row: -row[1])
    ]
    return table(headers, rows, numeric=(1,), empty=en_ko("Every order was filled.", "모든 주문이 체결되었습니다."))


def rows_refused(data: ReportData) -> Html:
    """Return the rows of the input that could not be used, by reason."""
    explained = {reason: en_ko(text, ROWS_KOREAN.get(reason, text)) for reason, text in REASONS.items()}
    nothing = en_ko("Every row of the input was usable.", "입력의 모든 행을 사용했습니다.")
    counted = _counts(data.values.rows_refused, explained, nothing, "warn")
    examples = [
        (
            f"{one['line']:,}",
            el("span", reason, cls="mono"),
            el("span", one["column"] or "–", cls="mono"),
            el("span", one["value"], cls="mono"),
            en_ko(*row_advice(reason, one["remedy_code"])),
        )
        for reason, shown in data.values.rows_refused_examples.items()
        for one in shown
    ]
    if not examples:
        return counted
    headers = (
        en_ko("Line", "행"),
        en_ko("Reason", "사유"),
        en_ko("Column", "열"),
        en_ko("Value", "값"),
        en_ko("What is allowed, and what to do", "허용되는 값과 해결 방법"),
    )
    return join((counted, table(headers, examples, numeric=(0,), prose=4)))


def last_trades(data: ReportData, shown: int = 30) -> Html:
    """Return the newest fills with what they cost, what they realised and why they were ordered."""
    rows = sorted(data.facts.ledger, key=lambda row: row.ts_ns)
    headers: tuple[Html, ...] = (
        when(data, "체결시각"),
        en_ko("Side", "구분"),
        en_ko("Symbol", "종목"),
        en_ko("Quantity", "체결수량"),
        en_ko("Price", "체결가"),
        en_ko("Fee + tax", "제비용(수수료+세금)"),
        en_ko("Realised", "실현손익"),
        en_ko("Pool", "자금 풀"),
        en_ko("Why", "사유"),
    )
    nothing = en_ko("No fill.", "체결이 없습니다.")
    body = [_trade(data, row) for row in newest(rows, shown)]
    if data.is_plain:  # all cash is in one pool
        headers, body = _without(headers, 7), [_without(row, 7) for row in body]
    prose = len(headers) - 1
    return join((how_many(rows, shown), table(headers, body, numeric=(3, 4, 5, 6), prose=prose, empty=nothing)))


def _without(cells: Sequence[T], place: int) -> tuple[T, ...]:
    return (*cells[:place], *cells[place + 1 :])


def corporate_actions(data: ReportData) -> Html:
    """Return the splits and dividends of what was held, newest first."""
    rows = sorted(data.facts.actions, key=lambda row: row.ts_ns)
    body = []
    for row in newest(rows):
        is_split = row.kind is ActionKind.SPLIT
        what = (
            en_ko(f"split {row.new:f}:{row.old:f}", f"분할·병합 {row.new:f}:{row.old:f}")
            if is_split
            else en_ko(f"dividend {number(row.price)} a share", f"주당 배당금 {number(row.price)}")
        )
        held = f"{number(row.held)} → {number(row.held + row.change)}" if is_split else number(row.held)
        amounts = (number(row.amount), number(row.tax), signed(row.realized_pnl))
        body.append((row.ex_date, row.symbol, what, held, *amounts, row.strategy))
    headers = (
        en_ko("Ex-date", "권리락일·배당락일"),
        en_ko("Symbol", "종목"),
        en_ko("What", "내용"),
        en_ko("Shares", "수량"),
        en_ko("Cash", "지급액"),
        en_ko("Tax", "세금"),
        en_ko("Realised", "실현손익"),
        en_ko("Strategy", "전략"),
    )
    return join((how_many(rows), table(headers, body, numeric=(3, 4, 5, 6))))


def transfers(data: ReportData) -> Html:
    """Return the capital moved between the pools, newest first."""
    rows = sorted(data.facts.transfers, key=lambda row: row.ts_ns)
    body = (
        (
            moment(data.time_text(row.ts_ns)),
            _from_to(pool_chip(row.source), pool_chip(row.target)),
            number(row.amount),
            row.reason,
            el("span", row.rule, cls="mono t"),
        )
        for row in newest(rows)
    )
    headers = (
        when(data),
        en_ko("From → to", "보내는 풀 → 받는 풀"),
        en_ko("Amount", "금액"),
        en_ko("Why", "사유"),
        en_ko("Rule", "규칙"),
    )
    nothing = en_ko("No capital moved between pools.", "자금 풀 사이에 이동한 자금이 없습니다.")
    return join((how_many(rows), table(headers, body, numeric=(2,), prose=3, empty=nothing)))


def pools(data: ReportData) -> Html:
    """Return each pool at the end: value, share, results."""
    rows = data.values.pools
    body = []
    for pool in Pool:
        row = {key: Decimal(value) for key, value in rows[pool.value].items()}
        share = f"{row['total'] / data.end:.1%}" if data.end else "–"
        results = (signed(row["realized_pnl"]), signed(row["unrealized_pnl"]))
        body.append((pool_chip(pool), number(row["total"]), share, *results))
    headers = (
        en_ko("Pool", "자금 풀"),
        en_ko("Value", "자산"),
        en_ko("Share", "비중"),
        en_ko("Realised", "실현손익"),
        en_ko("Unrealised", "평가손익"),
    )
    return table(headers, body, numeric=(1, 2, 3, 4))


def queues(data: ReportData) -> Html:
    """Return what each priority accepted, handled and lost, and how long it waited."""
    values = data.values
    body = []
    for name, counts in values.queues.items():
        waited = values.latency_us_by_priority[name]
        label = join((el("strong", name), " ", el("span", en_ko(*PRIORITIES.get(name, ("", ""))), cls="muted")))
        numbers = [f"{counts[key]:,}" for key in QUEUE_COUNTS]
        body.append((label, *numbers, *latency_cells(waited, counts["handled"])))
    headers = (
        en_ko("Priority", "우선순위"),
        en_ko("Accepted", "수신"),
        en_ko("Handled", "처리"),
        en_ko("Dropped", "폐기"),
        en_ko("Collapsed", "병합"),
        en_ko("Sampled", "표본화"),
        en_ko("Rejected", "거부"),
        en_ko("Latency samples", "지연 측정 수"),
        en_ko("p50 µs", "p50(µs)"),
        en_ko("p99 µs", "p99(µs)"),
        en_ko("max µs", "최대(µs)"),
    )
    return table(headers, body, numeric=range(1, 11))


def invariants(data: ReportData) -> Html:
    """Return the invariants with what each means; one without a check is shown as not checked."""
    body = [
        (
            f"{row.number:02d}",
            join((en_ko(*INVARIANTS.get(row.number, ("", ""))), _detail(row.detail))),
            status_chip(row.status),
            f"{row.checks:,}",
            moment(data.time_text(to_ns(datetime.fromisoformat(row.last)))) if row.last else "–",
        )
        for row in data.invariants
    ]
    headers = (
        en_ko("#", "번호"),
        en_ko("What must always hold", "항상 성립해야 하는 조건"),
        en_ko("Outcome", "결과"),
        en_ko("Checks", "점검 횟수"),
        en_ko(f"Last ({data.zone_name})", f"최종 점검({data.zone_name})"),
    )
    return table(headers, body, numeric=(3,))


def own_checks(data: ReportData) -> Html:
    """Return what this report added up again from the stored rows."""
    body = [
        (
            en_ko(check.name, check.name_ko),
            status_chip(check.status),
            _sum(check.reported),
            _sum(check.recomputed),
        )
        for check in data.checks
    ]
    headers = (
        en_ko("Sum", "합계"),
        en_ko("Outcome", "결과"),
        en_ko("Reported", "보고값"),
        en_ko("Added up again", "재계산값"),
    )
    return table(headers, body, numeric=(2, 3))


def limits(data: ReportData) -> Html:
    """Return the gate's base values, each with its meaning."""
    meaning = {name: en_ko(text, LIMITS_KOREAN.get(name, text)) for name, text in limit_meanings().items()}
    values: Mapping[str, str] = data.values.risk_limits
    body = [
        (el("span", name, cls="mono"), _grouped(value), meaning.get(name, "")) for name, value in values.items()
    ]
    body.append(
        (
            el("span", "max_price_age_s", cls="mono"),
            number(data.values.max_price_age_s),
            en_ko(*PRICE_AGE),
        )
    )
    headers = (en_ko("Limit", "한도"), en_ko("Value", "값"), en_ko("Meaning", "의미"))
    return table(headers, body, numeric=(1,))


def limit_meanings() -> dict[str, str]:
    """Return the description of every field of the gate's configuration."""
    hints = get_type_hints(RiskConfig, include_extras=True)
    return {
        name: meta.description or ""
        for name, hint in hints.items()
        for meta in getattr(hint, "__metadata__", ())
        if isinstance(meta, msgspec.Meta)
    }


def _trade(data: ReportData, row: LedgerRow) -> tuple[object, ...]:
    forced = el("span", en_ko("by rule", "자동"), cls="chip", style=colour("bad")) if data.is_forced(row) else None
    return (
        moment(data.time_text(row.ts_ns)),
        join((en_ko(*SIDES[row.side]), " ", forced)),
        symbol_named(data, row.symbol),
        number(row.qty),
        number(row.price),
        number(row.fee + row.tax),
        signed(row.realized_pnl) if row.realized_pnl != ZERO else "0",
        pool_chip(row.pool),
        join((data.order_reasons.get(row.order_id, ""), el("div", row.strategy, cls="muted"))),
    )


def _counts(counts: Mapping[str, int], explained: Mapping[str, Html], empty: Html, bar: str) -> Html:
    most = max(counts.values(), default=0)
    body: Iterable[Sequence[object]] = (
        (
            join((el("span", reason, cls="mono"), _gauge(count, most, bar))),
            f"{count:,}",
            explained.get(reason, ""),
        )
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    headers = (en_ko("Reason", "사유"), en_ko("Count", "건수"), en_ko("What it means", "의미"))
    return table(headers, body, numeric=(1,), empty=empty)


def _gauge(count: int, most: int, bar: str) -> Html:
    return el("i", cls="gauge", style=f"{colour(bar)}; width: {100 * count / most:.1f}%")


def _from_to(before: Html, after: Html) -> Html:
    return el("span", before, " → ", after, cls="t")


def _reason(reason: str) -> object:
    said = reason_said(reason)
    return reason if said is None else en_ko(*said)


def _said_actor(actor: str) -> object:
    return en_ko("rule", "규칙") if actor == "rule" else actor


def _actor(row: StateRow) -> str:
    """Return who changed the state: the rule, safety, or an operator's id."""
    try:
        meta = msgspec.json.decode(row.meta)
    except msgspec.DecodeError:
        return ""
    return str(meta.get("actor", "")) if isinstance(meta, dict) else ""


def _meaning(code: str) -> Html | None:
    entry = CATALOGUE.get(code)
    return en_ko(entry.meaning, CODES_KOREAN.get(code, entry.meaning)) if entry is not None else None


def _sum(amount: str) -> object:
    return en_ko(FLAT, "보유 없음") if amount == FLAT else amount


def _grouped(value: str) -> str:
    """Return a limit with its thousands separated; a text that is no number stays as it is."""
    try:
        return number(value)
    except InvalidOperation:
        return value


def _detail(detail: str) -> Html | None:
    return el("div", detail, cls="bad") if detail else None
