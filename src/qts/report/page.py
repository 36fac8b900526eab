"""The page of the session report: headline, verdict, drawings, tables. All of it comes from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from qts.notes import in_korean
from qts.report import bar_charts, legends, tables, time_charts
from qts.report.chart_texts import korean_currency
from qts.report.document import document, switches
from qts.report.holdings import holdings
from qts.report.markup import Html, el, en_ko, heading, join, section
from qts.report.report_data import ReportData, rounded
from qts.report.result_sections import (
    equity_section,
    figures_section,
    holdings_section,
    months_section,
    prices_section,
    safety_section,
    trips_section,
)
from qts.report.state_basis import basis_lines
from qts.report.strategy_errors import strategy_errors
from qts.report.tables import colour, safety_chip, state_chip
from qts.report.verdict import verdict_of
from qts.runtime.session.result import ResultValues
from qts.runtime.session.session_plan import PLAIN_TEXT
from qts.runtime.session.session_view import LIVE, MONEY, PAPER_ACCOUNT, SIMULATED
from qts.wording import counted

_SECTIONS: Final = (
    ("figures", "Figures", "성과 지표"),
    ("equity", "Equity", "총자산"),
    ("months", "Months", "월별 수익률"),
    ("prices", "Prices", "가격"),
    ("trips", "Round trips", "완결 매매"),
    ("trades", "Trades", "매매 내역"),
    ("pools", "Pools", "자금 풀"),
    ("holdings", "Holdings", "보유 잔고"),
    ("states", "States", "상태"),
    ("refused", "Rejected", "거부"),
    ("queues", "Queues", "대기열"),
    ("checks", "Checks", "점검"),
    ("run", "This run", "실행 정보"),
)
"""Every section by id, with its name in the navigation; a page has those of its profile."""


def page(data: ReportData) -> str:
    """Return the whole document."""
    main = el("main", *(_plain(data) if data.is_plain else _with_rules(data)))
    return document(
        f"QTS · {data.values.command} · session report · 세션 보고서",
        (_header(data), _navigation(main), main, _footer(data)),
        data.facts.gain_color,
    )


def _header(data: ReportData) -> Html:
    values, period = data.values, data.period
    strategies = sorted({order.strategy for order in data.facts.orders})
    parts = []
    if period is not None:
        first, last = period
        parts.append(f"{first:%Y-%m-%d %H:%M} – {last:%Y-%m-%d %H:%M} {first.tzname()}")
    if strategies:
        parts.append(", ".join(strategies))
    taken = en_ko(
        f"{counted(values.rows, 'row')} in {values.wall_s:.1f} s",
        f"입력 {values.rows:,}행, 실행 시간 {values.wall_s:.1f}초",
    )
    line = join((*(f"{part} · " for part in parts), taken))
    title = el("h1", *heading(f"qts {values.command}: session report", "세션 보고서"))
    mode = values.mode or values.command
    money = [el("p", el("strong", en_ko(*_MONEY[mode])))] if mode in _MONEY else []
    return el("header", el("div", el("div", title, *money, el("p", line, cls="muted")), switches(), cls="top"))


_MONEY: Final = {
    LIVE: (MONEY[LIVE], "실전(LIVE): 실제 돈으로 거래한 세션입니다"),
    PAPER_ACCOUNT: (MONEY[PAPER_ACCOUNT], "모의투자 계좌: 실제 돈으로 거래하지 않은 세션입니다"),
    "run": (SIMULATED, "모의 체결: 증권사에 주문을 보내지 않은 세션입니다"),
}
"""What a session in real time has traded with: by its mode at a real broker, else by its command."""


def _navigation(main: Html) -> Html:
    """Return links to the sections that are in ``main``."""
    links = [
        el("a", en_ko(english, korean), href=f"#{key}")
        for key, english, korean in _SECTIONS
        if f'<section id="{key}">' in main
    ]
    return el("nav", el("div", *links))


def _with_rules(data: ReportData) -> list[Html | None]:
    """Return the sections of a session under pools, operating state and limits."""
    return [
        _verdict(data),
        _cards(data),
        figures_section(data),
        _equity(data),
        months_section(data),
        prices_section(data),
        trips_section(data),
        _trades(data),
        *_pools(data),
        *_states(data),
        _refused(data),
        _queues(data),
        *_checks(data),
        _run(data),
    ]


def _plain(data: ReportData) -> list[Html | None]:
    """Return the sections of a session in the plain profile, without what did not rule there."""
    return [
        _verdict(data),
        _cards(data),
        figures_section(data),
        equity_section(data),
        months_section(data),
        prices_section(data),
        trips_section(data),
        holdings_section(data),
        safety_section(data),
        _refused(data),
        *_checks(data),
        _run(data),
    ]


def _verdict(data: ReportData) -> Html:
    verdict = verdict_of(data)
    return el(
        "div",
        el("strong", en_ko(*verdict.title)),
        " ",
        en_ko(*verdict.text),
        cls="verdict",
        style=colour(verdict.look),
    )


def _cards(data: ReportData) -> Html:
    values, deepest = data.values, data.deepest
    share = data.gain_share
    end = rounded(data.end)
    fees, taxes = Decimal(values.fees), Decimal(values.taxes)
    fell = "–" if deepest is None else f"{-deepest.share:.2%}" if deepest.share else "0.00%"
    when = _when_fell(data)
    duplicates, kinds = values.duplicate_fills, len(values.refusals)
    of_rules = () if data.is_plain else _cards_of_rules(data)
    cards = (
        _card(
            (
                f"Result on {rounded(data.paid_in)} {data.currency}",
                f"손익({_of_capital(data)} {rounded(data.paid_in)}{korean_currency(data.currency)})",
            ),
            tables.signed(data.gain, rounded),
            join(
                (
                    f"{share:+.2%} · " if share is not None else "",
                    en_ko(f"{end} at the end", f"종료 총자산(추정예탁자산) {end}"),
                )
            ),
        ),
        _card(
            ("Cash", "예수금"),
            "–" if values.cash is None else rounded(Decimal(values.cash)),
            _available(values.cash_available),
        ),
        _card(("Max drawdown", "최대 낙폭(MDD)"), fell, when),
        _card(
            ("Fills", "체결"),
            f"{values.fills:,}",
            en_ko(f"of {counted(values.orders, 'order')} sent", f"주문 {values.orders:,}건 중"),
        ),
        *of_rules,
        _card(
            ("Fees and taxes", "제비용(수수료+세금)"),
            rounded(fees + taxes),
            en_ko(
                f"fees {rounded(fees)}, taxes {rounded(taxes)}",
                f"수수료 {rounded(fees)}, 세금 {rounded(taxes)}",
            ),
        ),
        *_actions_card(data),
        *_bookings_card(data),
        _card(
            ("Rejected signals", "거부된 매매 신호"),
            f"{sum(values.refusals.values()):,}",
            en_ko(
                f"{counted(kinds, 'reason')}; {counted(duplicates, 'repeated fill')} ignored",
                f"사유 {kinds}종, 중복 체결 {duplicates:,}건 무시",
            ),
        ),
        *_nothing_needed_card(data),
    )
    return el("div", *cards, cls="cards")


def _actions_card(data: ReportData) -> Iterator[Html]:
    """Yield the card of splits and dividends, where there were any."""
    actions = data.values.corporate_actions
    if actions is None:
        return
    received, tax = Decimal(actions["dividends"]), Decimal(actions["dividend_tax"])
    fractions = Decimal(actions["paid_for_fractions"])
    yield _card(
        ("Dividends, less tax", "배당금(세후)"),
        rounded(received - tax),
        en_ko(
            f"before tax {rounded(received)}, tax {rounded(tax)}; for fractions at splits {rounded(fractions)}",
            f"세전 {rounded(received)}, 배당세 {rounded(tax)}; 단주 대금 {rounded(fractions)}",
        ),
    )


def _of_capital(data: ReportData) -> str:
    """Return the Korean name of what the result is measured against."""
    return "시작 총자산" if data.paid_in == data.start else "투입 원금"


def _bookings_card(data: ReportData) -> Iterator[Html]:
    """Yield the card of money that came in and went out, and of what is at the broker and not ours, if any."""
    booked = data.values.bookings
    if booked is None:
        return
    paid_in, paid_out = Decimal(booked["deposits"]), Decimal(booked["withdrawals"])
    held = ", ".join(f"{symbol} {qty}" for symbol, qty in booked["external_positions"].items())
    cash = rounded(Decimal(booked["external_cash"]))
    taken = Decimal(booked.get("contributions", 0))
    if taken:
        yield _card(
            ("Shares taken over", "편입한 보유 주식"),
            rounded(taken),
            en_ko(
                "from EXTERNAL, at the market price of that moment; no result",
                "EXTERNAL에서 편입, 편입 시점의 시가 기준이며 손익에 포함하지 않음",
            ),
        )
    yield _card(
        ("Deposits, less withdrawals", "순입금"),
        rounded(paid_in - paid_out),
        en_ko(
            f"EXTERNAL (not ours): cash {cash}; held: {held or 'nothing'}",
            f"EXTERNAL(우리 것이 아닌 자산): 현금 {cash}, 보유 {held or '없음'}",
        ),
    )


def _nothing_needed_card(data: ReportData) -> Iterator[Html]:
    """Yield the card of targets and cancels for which nothing had to be done, where there were any."""
    reached, empty = data.values.targets_reached, data.values.cancels_of_nothing
    if reached or empty:
        yield _card(
            ("Signals that needed no order", "주문이 필요 없던 신호"),
            f"{reached + empty:,}",
            en_ko(
                f"{counted(reached, 'target')} already reached, {counted(empty, 'cancel')} that met no order",
                f"이미 달성된 목표 {reached:,}건, 취소할 주문이 없던 취소 {empty:,}건",
            ),
        )


def _cards_of_rules(data: ReportData) -> tuple[Html, ...]:
    values = data.values
    return (
        _card(
            ("Forced exits", "규칙에 의한 자동 청산"),
            f"{values.forced_exits:,}",
            en_ko("ordered by rule, not by a strategy", "전략이 아닌 규칙이 낸 주문"),
        ),
        _card(
            ("Operating state", "운용 상태"),
            state_chip(values.operating_state),
            en_ko(f"at the end, after {counted(_moves(data), 'change')}", f"종료 시점, 전환 {_moves(data):,}회"),
        ),
        _card(
            ("Safety", "안전 상태"),
            safety_chip(values.safety_state),
            en_ko(
                f"at the end, {counted(len(data.facts.safety), 'cause')}",
                f"종료 시점, 사유 {len(data.facts.safety):,}건",
            ),
        ),
    )


def _card(name: tuple[str, str], big: object, sub: object) -> Html:
    return el(
        "div",
        el("div", en_ko(*name), cls="name"),
        el("div", big, cls="big"),
        el("div", sub, cls="sub"),
        cls="card",
    )


def _available(amount: str | None) -> Html | None:
    if amount is None:  # a result of a version that did not store it
        return None
    text = rounded(Decimal(amount))
    return en_ko(f"available for orders {text}", f"주문가능금액 {text}")


def _moves(data: ReportData) -> int:
    return sum(row.from_state != row.to_state for row in data.facts.states)


def _when_fell(data: ReportData) -> Html:
    deepest = data.deepest
    if deepest is None or not deepest.share:
        return en_ko("never below its peak", "고점 아래로 내려간 적 없음")
    first, last = data.local(deepest.peak_ns), data.local(deepest.trough_ns)
    form = "%H:%M:%S" if first.date() == last.date() else "%Y-%m-%d"
    since, until = (el("span", f"{moment:{form}}", cls="t") for moment in (first, last))
    return join((el("div", f"-{rounded(deepest.amount)}"), since, " → ", until, f" {data.zone_name}"))


def _equity(data: ReportData) -> Html:
    parts: list[Html | None] = [
        _drawing(time_charts.equity_chart(data), "equity"),
        legends.state_legend(data),
        legends.time_in_states(data),
    ]
    if data.zoom is not None:
        parts += [
            el("h3", *heading("A closer look: the days traded within the day", "장중 매매 구간 확대")),
            _drawing(time_charts.equity_chart(data, data.zoom), "zoom", _nights()),
        ]
    return section("equity", ("Equity and drawdown", "총자산과 낙폭"), parts)


def _trades(data: ReportData) -> Html:
    parts: list[Html | None] = [_drawing(time_charts.trades_chart(data), "trades", _joined(data))]
    if data.symbol is not None:
        parts.append(legends.fill_legend())
    if data.zoom is not None:
        zoom = time_charts.trades_chart(data, data.zoom)
        if zoom is not None:
            parts += [
                el("h3", *heading("A closer look: the days traded within the day", "장중 매매 구간 확대")),
                _drawing(zoom, "zoom", _nights()),
            ]
    parts += [el("h3", *heading("Last trades", "최근 체결")), tables.last_trades(data)]
    if data.facts.actions:
        parts += [
            el("h3", *heading("Splits and dividends", "액면분할·병합과 배당")),
            tables.corporate_actions(data),
        ]
    return section("trades", ("Trades", "매매 내역"), parts)


def _pools(data: ReportData) -> list[Html]:
    over_time = section(
        "pools",
        ("Pools over time", "자금 풀별 자산 추이"),
        [_drawing(time_charts.pools_chart(data), "pools"), legends.pool_legend()],
    )
    results = section(
        None,
        ("Result by pool", "자금 풀별 손익"),
        [_drawing(bar_charts.result_chart(data), "result"), legends.result_legend()],
    )
    book = section(
        None,
        ("Pools at the end", "종료 시점의 자금 풀별 현황"),
        [
            tables.pools(data),
            el("h3", *heading("Open positions", "보유 잔고")),
            holdings(data),
            el("h3", *heading("Transfers between pools", "자금 풀 간 이동")),
            tables.transfers(data),
        ],
    )
    return [el("div", over_time, results, cls="pair"), book]


def _states(data: ReportData) -> list[Html]:
    basis = [el("li", en_ko(*line)) for line in basis_lines(data.values.state_basis)]
    moved = section(
        "states",
        ("Operating state: what moved it", "운용 상태 전환"),
        [
            tables.transitions(data),
            el("h3", *heading("What it was judged on", "판단 근거")),
            el("ul", *basis, cls="notes"),
        ],
    )
    safety = section(None, ("Safety history", "안전 상태 이력"), [tables.safety_history(data)])
    return [moved, safety]


def _refused(data: ReportData) -> Html:
    return section(
        "refused",
        ("Rejected signals, by reason", "주문으로 이어지지 않은 매매 신호(사유별)"),
        [
            tables.refusals(data),
            el("h3", *heading("Orders that ended without a fill", "체결 없이 끝난 주문")),
            tables.orders_unfilled(data),
            el("h3", *heading("Errors of strategies", "전략 오류")),
            strategy_errors(data),
            el("h3", *heading("Rows of the input that could not be used", "사용하지 못한 입력 행")),
            tables.rows_refused(data),
        ],
    )


def _queues(data: ReportData) -> Html:
    speed = en_ko(
        f"{data.values.events_per_s:,} events per second over {data.values.wall_s:.1f} s. "
        "Waiting time is real time from acceptance to the start of the handler. Of the rows of a replay only one "
        "in event.latency_sample_rows is measured.",
        f"{data.values.wall_s:.1f}초 동안 초당 {data.values.events_per_s:,}개 이벤트. "
        "지연시간은 수신부터 처리 시작까지의 실제 시간입니다. 재생에서는 event.latency_sample_rows개 행마다 "
        "한 행만 측정합니다.",
    )
    latency = join((_drawing(bar_charts.latency_chart(data), "latency"), legends.latency_legend()))
    drawings = el(
        "div", el("div", _drawing(bar_charts.counts_chart(data), "counts")), el("div", latency), cls="pair"
    )
    return section(
        "queues",
        ("Queues and latency", "대기열과 지연시간"),
        [el("p", speed, cls="note"), drawings, tables.queues(data)],
    )


def _checks(data: ReportData) -> list[Html]:
    explained = en_ko(
        "Not checked is not fine: an invariant without a check is shown as such.",
        "미점검은 정상이라는 뜻이 아닙니다. 점검하지 않은 항목은 미점검으로 표시합니다.",
    )
    invariants = section(
        "checks",
        ("Invariants", "무결성 점검(불변식)"),
        [el("p", explained, cls="note"), el("div", tables.invariants(data), cls="tall")],
    )
    again = en_ko(
        "Added up again by this report from the stored rows.", "저장된 행을 이 보고서가 다시 합산했습니다."
    )
    sums = section(None, ("Sums", "합계 검산"), [el("p", again, cls="note"), tables.own_checks(data)])
    return [invariants, sums]


def _run(data: ReportData) -> Html:
    values = data.values
    made: Mapping[str, str] = values.settings_of_the_command
    rows = (
        (en_ko("Run", "실행"), _mono(values.run_id)),
        (en_ko("Command", "명령"), _mono(f"qts {values.command}")),
        (en_ko("Seed", "시드"), _mono(values.seed)),
        (en_ko("Configuration", "설정(해시)"), _mono(values.config_hash)),
        (en_ko("Source", "입력"), _mono(values.source)),
        (en_ko("Started", "시작"), data.machine_time(values.started_at)),
        (en_ko("Finished", "종료"), data.machine_time(values.finished_at)),
        *_rules_of(data),
        *_parameters(data),
        (en_ko("Settings the command made", "명령이 정한 설정"), _settings(made, folded=data.is_plain)),
    )
    notes = [el("li", note) for note in notes_said(values)]
    return section(
        "run",
        ("This run", "실행 정보"),
        [
            el("dl", *(join((el("dt", name), el("dd", value))) for name, value in rows)),
            join((el("h3", *heading("Worth knowing", "참고")), el("ul", *notes, cls="notes"))) if notes else None,
            None if data.is_plain else _limits(data),
        ],
    )


def _limits(data: ReportData) -> Html:
    scaled = en_ko(
        "Base values; the operating state's risk multiplier scales position size, symbol weight and losses.",
        "기준값입니다. 운용 상태의 위험 배수가 포지션 크기·종목 비중·손실 한도에 곱해집니다.",
    )
    return join(
        (
            el("h3", *heading("Gate limits in force", "적용된 위험 한도")),
            el("p", scaled, cls="note"),
            el("div", tables.limits(data), cls="tall"),
        )
    )


def _rules_of(data: ReportData) -> list[tuple[Html, Html]]:
    if not data.is_plain:
        return []
    korean = "단순(plain): 자금 풀 하나에 전체 현금, 운용 상태 없음, 현금 외 한도 없음"
    return [(en_ko("Profile", "프로필"), en_ko(PLAIN_TEXT, korean))]


def _parameters(data: ReportData) -> list[tuple[Html, Html]]:
    return [
        (
            en_ko(f"Parameters of {one['name']}", f"{one['name']} 파라미터"),
            _mono(", ".join(f"{name} = {value}" for name, value in params.items())),
        )
        for one in data.values.strategies
        if (params := one.get("params"))
    ]


def _settings(made: Mapping[str, str], *, folded: bool) -> object:
    if not made:
        return "–"
    lines = join(el("div", _mono(f"{name} = {value}")) for name, value in made.items())
    said = en_ko(counted(len(made), "setting"), f"설정 {len(made):,}개")
    return el("details", el("summary", said), lines) if folded else lines


def _footer(data: ReportData) -> Html:
    same = en_ko(
        "Same input, seed and configuration give the same report, but for times and latencies. "
        "This file loads nothing and runs nothing.",
        "입력·시드·설정이 같으면 시각과 지연시간을 제외하고 같은 보고서가 만들어집니다. "
        "이 파일은 외부 자원을 불러오지 않고 스크립트를 실행하지 않습니다.",
    )
    return el("footer", same)


def _drawing(drawn: time_charts.Drawn | None, name: str, remark: Html | None = None) -> Html:
    if drawn is None:
        return el("p", en_ko("Nothing to draw here.", "표시할 데이터가 없습니다."), cls="note", id=f"no-{name}")
    sizes = (el("div", drawn.wide, cls="wide"), el("div", drawn.narrow, cls="narrow"))
    caption = join((_thinned(drawn), remark))
    return el("figure", *sizes, el("figcaption", caption) if caption else None, cls="two")


def _thinned(drawn: time_charts.Drawn) -> Html | None:
    if drawn.shown == drawn.of:
        return None
    return en_ko(
        f"{drawn.of:,} points, {drawn.shown:,} drawn: extremes are kept, what would cover another is left out. ",
        f"{drawn.of:,}개 중 {drawn.shown:,}개 표시: 극값은 모두 유지하고 겹치는 점은 생략했습니다. ",
    )


def _joined(data: ReportData) -> Html:
    """Name what the line joins, and what is not drawn."""
    name, name_ko = ("", "") if data.symbol is None else data.name_of(data.symbol)
    of = f", the most traded of {data.symbols:,} symbols" if data.symbols > 1 else ""
    of_ko = f"({data.symbols:,}개 종목 중 체결 최다)" if data.symbols > 1 else ""
    return en_ko(
        f"The line joins the prices of the fills of {name}{of}.",
        f"선은 {name_ko}{of_ko}의 체결가를 이은 것입니다.",
    )


def _nights() -> Html:
    return en_ko("Nights and weekends are left out of the axis.", "야간과 주말은 축에서 생략했습니다.")


def notes_said(values: ResultValues) -> list[object]:
    """Return the notes in both languages; as they stand in a result of a version that stored texts alone."""
    if len(values.note_values) != len(values.notes):
        return list(values.notes)
    return [en_ko(english, in_korean(note)) for english, note in zip(values.notes, values.note_values, strict=True)]


def _mono(text: object) -> Html:
    return el("span", text, cls="mono")
