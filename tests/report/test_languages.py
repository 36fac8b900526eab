"""Whatever the report itself says, it says in English and in Korean."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qts import notes, report
from qts.notes import Note, in_english
from qts.report.chart_texts import ChartTexts, amount_in, korean_currency, short_number
from qts.report.markup import el, en_ko, heading, join
from qts.runtime.session.result import SessionFacts

pytest.importorskip("matplotlib", reason="the report needs the extra 'report'")

from qts.report.chart_style import drawing, inline_svg
from qts.report.report_data import ReportData
from qts.report.session_report import write_report
from qts.report.time_charts import blank, equity_chart

from .session import (
    DAY_NS,
    HOUR_NS,
    START_NS,
    empty_session,
    facts_of,
    fill,
    invariants,
    plain_session,
    result,
    safety_row,
    sample,
    traded_session,
    transfer,
)

HANGUL = re.compile("[가-힣]")
WORD = re.compile(r"[A-Za-z]{2,}")
CODES = re.compile(
    r"\b(?:[A-Z]+(?:_[A-Z]+)+|(?:FS|GR|AN)\d{3}|P[0-3]|p99|AGGRESSIVE|BALANCED|DEFENSIVE|NORMAL|WARNING|FAIL|LOCKDOWN"
    r"|SCALP|SWING|PORTFOLIO|BUY|SELL|KRW|USD|KST|UTC)\b"
)
"""What is a name in every language."""
NAMED = {"mono"}
"""Classes of what stands as it was recorded: ids, settings, names of limits and rules."""
VOID = {"meta", "input", "use", "path"}


class Pages(HTMLParser):
    """A page as its reader meets it: texts in each language, and those that every reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pairs: list[tuple[str, str]] = []
        self.bare: list[str] = []
        self._open: list[tuple[str, str | None, bool]] = []
        self._english: str | None = None
        self._parts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.bare += [text for key in ("aria-label", "title", "alt", "placeholder") if (text := named.get(key))]
        if tag in VOID:
            return
        classes = set((named.get("class") or "").split())
        language = next((name for name in ("en", "ko") if name in classes), None)
        assert language is None or named.get("lang") == language
        if language:
            self._parts = []
        own_name = tag == "span" and named.get("lang") == "en"  # a language is called by its own name
        self._open.append((tag, language, bool(classes & NAMED) or tag == "style" or own_name))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        opened, language, _ = self._open.pop()
        assert opened == tag
        text = "".join(self._parts)
        if language == "en":
            assert self._english is None, f"no Korean behind {self._english!r}"
            self._english = text
        elif language == "ko":
            assert self._english is not None, f"no English before {text!r}"
            self.pairs.append((self._english, text))
            self._english = None

    def handle_data(self, data: str) -> None:
        if any(language for _, language, _ in self._open):
            self._parts.append(data)
        elif not any(recorded for *_, recorded in self._open):
            self.bare.append(data)


def english_only(page: str, recorded: set[str]) -> list[str]:
    """Texts with words that a reader of Korean meets in English, but for ``recorded`` ones and names."""
    read = Pages(page)
    untold = [english for english, korean in read.pairs if _words(english) and not HANGUL.search(korean)]
    return untold + [text for text in read.bare if not HANGUL.search(text) and _words(text, recorded)]


def _words(text: str, recorded: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    for known in sorted(recorded, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", " ", text)
    return WORD.search(CODES.sub(" ", text)) is not None


def recorded_in(facts: SessionFacts) -> set[str]:
    """What the core or the user wrote and the report only repeats."""
    values = facts.result
    found = {row.reason for row in (*facts.states, *facts.safety, *facts.orders, *facts.transfers)}
    found |= {row.strategy for row in (*facts.ledger, *facts.orders)} | {row.symbol for row in facts.ledger}
    found |= {str(row.get("detail", "")) for row in values.invariants.values()}
    found |= {values.started_at, values.finished_at, "rule"}
    return {text for text in found if text}


NOTES = [
    Note.of("rule-before-first-row", subject=Note.of("broker-fee"), since="2026-01-01", day="2014-01-02"),
    Note.of("input-symbols-read", named=[Note.of("symbol-read-as", spelled="A005930", symbol="005930")]),
]


def alarming_session() -> SessionFacts:
    """Everything that goes wrong, lacks, or is told only now and then."""
    queue = {
        "accepted": 90_000,
        "handled": 9_000_000,
        "dropped": 7,
        "collapsed": 1_000,
        "sampled": 2,
        "rejected": 3,
    }
    values: dict[str, Any] = {
        "queues": traded_session().result.queues | {"P1": queue},
        "lost_p0": 2,
        "fees": "226",
        "invariants": invariants(held=(1,), broken=(4, 12)),
        "rows_refused_examples": {
            "crossed_book": [{"line": 5_000, "value": "1", "column": "bid", "remedy_code": ""}],
            "bad_time": [{"line": 7, "value": "1", "column": "", "remedy_code": "naive"}],
        },
        "notes": [in_english(note) for note in NOTES],
        "note_values": NOTES,
        "safety_state": "LOCKDOWN",
        "currency": "USD",
        "risk_limits": dict.fromkeys(LIMITS, "5000"),
    }
    curve = [sample(START_NS + hour * HOUR_NS, 100 + hour, safety="FAIL") for hour in range(300)]
    codes = [
        safety_row(number, "NORMAL", "FAIL", code, "as told") for number, code in enumerate(("FS030", "GR082"))
    ]
    rows = [fill(number, symbol="AB", price=1_500_000 * (1 + number % 2)) for number in range(4)]
    rows += [fill(9, symbol="CD")]
    moves = [transfer(number) for number in range(70)]
    return traded_session(values=values, equity=curve, safety=codes, ledger=rows, transfers=moves)


LIMITS = ("exposure_limit", "approval_ttl_ms")


def stopped_session() -> SessionFacts:
    return facts_of(result(finished=False), equity=[sample(START_NS, 90_000_000)])


def zoomed_session() -> SessionFacts:
    """Years with one busy week, so that both looks at it are drawn."""
    times = [START_NS + day * DAY_NS for day in range(2_000)]
    times += [times[-1] + hour * HOUR_NS for hour in range(1, 120)]
    rows = [fill(number, ts_ns=times[-number - 1]) for number in range(40)]
    return facts_of(
        result(fills=40), equity=[sample(ts_ns, 100_000_000 + ts_ns % 9_999) for ts_ns in times], ledger=rows
    )


def page_of(facts: SessionFacts, tmp_path: Path) -> str:
    write_report(facts, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


SESSIONS = (traded_session, empty_session, alarming_session, stopped_session, zoomed_session, plain_session)


@pytest.mark.parametrize("session", SESSIONS)
def test_nothing_that_the_report_says_is_only_in_english(session: Any, tmp_path: Path) -> None:
    facts = session()
    # a result of an earlier version has the texts of its notes alone, so they stand as they are
    recorded = recorded_in(facts) | (set() if facts.result.note_values else set(facts.result.notes))
    assert english_only(page_of(facts, tmp_path), recorded) == []


@pytest.mark.parametrize(
    "forgotten",
    [
        el("h2", "Equity"),
        el("th", "Price"),
        el("p", en_ko("Nothing.", "Nothing.")),
        el("svg", aria_label="Equity over time"),
        el("svg", el("text", "equity, million KRW")),
        el("svg", el("text", "22 Jan")),
        el("label", "Dark"),
        el("title", "QTS session"),
    ],
)
def test_a_text_without_its_korean_is_found(forgotten: str) -> None:
    assert len(english_only(el("html", forgotten, lang="en"), {"an order's reason"})) == 1


def test_names_and_recorded_texts_need_no_korean() -> None:
    page = join((el("td", "BUY 005930 "), el("td", "fell three times"), el("span", "qts demo", cls="mono")))
    assert english_only(page, {"fell three times"}) == []
    assert english_only(el("h2", *heading("Equity", "평가금액")), set()) == []


class TestDrawings:
    def test_a_text_is_drawn_as_a_key_and_becomes_a_pair_that_follows_the_choice(self) -> None:
        with drawing("x") as texts:
            figure = blank((200, 100))
            figure.text(0.5, 0.5, texts(("fees & taxes", "수수료·세금")))
            svg = inline_svg(figure, texts, ("Fees", "수수료"))
        korean = '<tspan class="ko" lang="ko">수수료·세금</tspan></text>'
        assert f'<tspan class="en" lang="en">fees &amp; taxes</tspan>{korean}' in svg
        assert 'aria-label="Fees · 수수료"' in svg

    @pytest.mark.parametrize("text", ["100", "−2.5", "P0", "2018", "09:00", "A<b", "text", "&", "22 Jan"])
    def test_any_other_text_stays(self, text: str) -> None:
        with drawing("x") as texts:
            figure = blank((200, 100))
            figure.text(0.5, 0.5, text)
            svg = inline_svg(figure, texts, ("A", "가"))
        assert f">{escape(text)}</text>" in svg

    def test_the_same_text_has_one_key_and_one_that_both_languages_share_has_none(self) -> None:
        texts = ChartTexts()
        assert texts(("buy", "매수")) == texts(("buy", "매수")) != texts(("sell", "매도"))
        assert texts(("P0", "P0")) == "P0"
        assert texts.get("P0") is None

    def test_a_text_that_is_known_only_while_the_figure_is_drawn_comes_later(self) -> None:
        texts = ChartTexts()
        key = texts.later()
        assert texts.get(key) == ("", "")
        texts.put(key, ("Jan", "1월"))
        assert texts.get(key) == ("Jan", "1월")
        assert texts(("Feb", "2월")) != key

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (0.1, ("0.1", "0.1")),
            (1, ("1", "1")),
            (45_000, ("45,000", "45,000")),
            (1_000_000, ("1 M", "100만")),
            (2_500_000, ("2.5 M", "250만")),
            (99_000_000, ("99 M", "9,900만")),
            (100_000_000, ("100 M", "1억")),
            (150_000_000, ("150 M", "1.5억")),
        ],
    )
    def test_ticks(self, value: float, said: tuple[str, str]) -> None:
        assert short_number(value) == said

    @pytest.mark.parametrize(
        ("days", "hours", "said"),
        [
            (900, 24, {("2019", "2019년"), ("2020", "2020년")}),
            (100, 24, {("Feb", "2월"), ("2018 KST", "2018년 KST")}),
            (2, 24, {("24", "24일"), ("2018-Jan KST", "2018년 1월 KST")}),
        ],
    )
    def test_dates(self, days: int, hours: int, said: set[tuple[str, str]]) -> None:
        curve = [sample(START_NS + number * hours * HOUR_NS, 100 + number) for number in range(days + 1)]
        drawn = equity_chart(ReportData(facts_of(result(), equity=curve)))
        assert drawn is not None
        read = Pages(drawn.wide)
        assert said <= set(read.pairs), read.pairs

    @pytest.mark.parametrize(
        ("unit", "currency", "told"),
        [
            ("million ", "KRW", ("million KRW", "백만원")),
            ("thousand ", "USD", ("thousand USD", "천 USD")),
            ("", "USD", ("USD", "USD")),
        ],
    )
    def test_what_an_axis_of_money_counts(self, unit: str, currency: str, told: tuple[str, str]) -> None:
        assert amount_in(unit, currency) == told

    def test_the_currency_behind_an_amount(self) -> None:
        assert (korean_currency("KRW"), korean_currency("USD")) == ("원", " USD")


SAID_OTHERWISE = {
    "브로커": "증권사",
    "운용자": "운영자",
    "강제 청산": "규칙에 의한 자동 청산",
    "의도": "매매 신호",
    "충족": "통과",
    "추적 손절": "트레일링 스톱",
    "미시 위험 루프": "실시간 손절 감시",
    "그림자 포지션": "내부 추정 잔고",
    "비상 탈출": "긴급 전량 청산",
    "노출|투자 비중": "익스포저(보유 평가금액)",
    r"\d %": "5%, without a space",
}
"""Patterns of what a Korean trader does not say, each with what to write."""


def test_the_korean_is_that_of_brokers_and_traders() -> None:
    written = [path for package in (report, notes) for path in Path(package.__file__ or "").parent.glob("*.py")]
    offences = [
        f"{path.name}: {line.strip()}"
        for path in written
        for line in path.read_text("utf-8").splitlines()
        if HANGUL.search(line) and any(re.search(word, line) for word in SAID_OTHERWISE)
    ]
    assert offences == []
