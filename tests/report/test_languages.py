"""Whatever the report itself says, it says in English and in Korean."""

from __future__ import annotations

import gzip
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qts.event.contracts import EventPriority
from qts.market.files import open_feed
from qts.market.files.line_source import LineSource
from qts.market.files.refusals import DAMAGED_GZIP, TRUNCATED_GZIP
from qts.market.krx import KrxCalendar, KrxCosts, KrxTicks
from qts.report.lettering import Words, amount_in, korean_currency, tick_in_korean
from qts.report.markup import both, el, join, say
from qts.report.notes import note_in_korean
from qts.runtime.checks.price_bands import PriceBands
from qts.runtime.session.result import SessionFacts
from qts.runtime.session.view_builder import notes_of
from qts.safety.scoped_stops import Scope, ScopedStop, ScopeKind

pytest.importorskip("matplotlib", reason="the report needs the extra 'report'")

from qts.report.session_report import write_report

from .session import (
    DAY_NS,
    HOUR_NS,
    START_NS,
    empty_session,
    facts_of,
    fill,
    invariants,
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
        "notes": ["broker fee: no row before 2026-01-01; on 2014-01-02 the oldest applies"],
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


SESSIONS = (traded_session, empty_session, alarming_session, stopped_session, zoomed_session)


@pytest.mark.parametrize("session", SESSIONS)
def test_nothing_that_the_report_says_is_only_in_english(session: Any, tmp_path: Path) -> None:
    facts = session()
    # traded_session's note is of no shape that the core writes, so it stands as it is
    recorded = recorded_in(facts) | {note for note in facts.result.notes if note_in_korean(note) is None}
    assert english_only(page_of(facts, tmp_path), recorded) == []


@pytest.mark.parametrize(
    "forgotten",
    [
        el("h2", "Equity"),
        el("th", "Price"),
        el("p", say("Nothing.", "Nothing.")),
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
    assert english_only(el("h2", *both("Equity", "평가금액")), set()) == []


class TestDrawings:
    def svg(self, text: str) -> str:
        return f'<text x="1">{text}</text>'

    def test_a_text_becomes_a_pair_that_follows_the_choice(self) -> None:
        words = Words()
        assert words(("fees & taxes", "수수료·세금")) == "fees & taxes"
        assert words.in_both(self.svg("fees &amp; taxes")) == (
            '<text x="1"><tspan class="en" lang="en">fees &amp; taxes</tspan>'
            '<tspan class="ko" lang="ko">수수료·세금</tspan></text>'
        )

    @pytest.mark.parametrize("text", ["100", "−2.5", "P0", "2018", "09:00", "A&lt;b", "May Inc"])
    def test_any_other_text_stays(self, text: str) -> None:
        assert Words().in_both(self.svg(text)) == self.svg(text)

    @pytest.mark.parametrize(
        ("english", "korean"),
        [
            ("22 Jan", "1월 22일"),
            ("Feb", "2월"),
            ("Feb-02", "2월 2일"),
            ("2018-Dec", "2018년 12월"),
            ("2018-Jan-22", "2018년 1월 22일"),
            ("2018-Jan-22 09:00", "2018년 1월 22일 09:00"),
            ("1 M", "100만"),
            ("2.5 M", "250만"),
            ("99 M", "9,900만"),
            ("100 M", "1억"),
            ("150 M", "1.5억"),
            ("2014", None),
            ("45,000", None),
        ],
    )
    def test_ticks(self, english: str, korean: str | None) -> None:
        assert tick_in_korean(english) == korean

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


REJECTED = "5 orders of {} in a row were rejected, the last: no"


class TestNotes:
    """The shapes are the core's own, so a note that changes there is missed here."""

    LONG_AGO = date(1990, 1, 4)

    def test_every_note_of_the_rules_of_the_market(self) -> None:
        found = [
            note
            for source in (KrxTicks("KOSPI"), KrxTicks("KOSDAQ"), KrxCosts("KOSPI"), KrxCalendar())
            for note in source.notes(self.LONG_AGO)
        ]
        told = {note.partition(":")[0]: note_in_korean(note) for note in found}
        assert {
            "tick table KOSPI",
            "price limit",
            "broker fee",
            "sell tax KOSPI",
            "session times",
            "calendar",
        } <= set(told)
        assert all(told.values()), told

    def test_numbers_and_dates_stay(self) -> None:
        note = "broker fee: no row before 2026-01-01; on 2014-01-02 the oldest applies"
        assert note_in_korean(note) == (
            "위탁수수료: 2026-01-01 이전의 기준이 없어 2014-01-02에는 가장 오래된 기준을 적용했습니다."
        )

    def test_what_failed_what_stood_in_and_how_the_input_ended(self) -> None:
        failed = SimpleNamespace(error="ValueError: no", event=SimpleNamespace(priority=EventPriority.P2_MEDIUM))
        counts = {priority.name: {"dead_lettered": 0} for priority in EventPriority}
        counts |= {"P2_MEDIUM": {"dead_lettered": 1_500}, "P3_LOW": {"dead_lettered": 1}}
        kernel = SimpleNamespace(
            dispatcher=SimpleNamespace(queue_stats=lambda: counts, dead_letter_queue=[failed]),
            execution_reports=SimpleNamespace(quarantine=SimpleNamespace(count=0, first=None)),
            parts=SimpleNamespace(
                feed=SimpleNamespace(
                    notes=["the gzip file ends in the middle; its last line is dropped (after line 1200)"],
                    instruments={
                        symbol: SimpleNamespace(
                            calendar=None, ticks=SimpleNamespace(band=lambda base, day: (1, 2)), costs=None
                        )
                        for symbol in map(str, range(1_200))
                    },
                ),
                calendar=SimpleNamespace(local_date=lambda moment: self.LONG_AGO),
                clock=SimpleNamespace(now=lambda: None),
                base_prices=dict.fromkeys(map(str, range(1_200)), 1),
                rejects=SimpleNamespace(stopped=["005930"], stop_of=lambda symbol: REJECTED.format(symbol)),
                stops=[ScopedStop(Scope(ScopeKind.POOL, "SWING"), False, "kim", "calm: please", 0)],
                price_bands=PriceBands({}, {}),
            ),
            counters=SimpleNamespace(stand_in_bases=list(map(str, range(1_200))), first_day="2014-01-02"),
        )
        assert [note_in_korean(note) for note in notes_of(kernel)] == [  # type: ignore[arg-type]
            "처리 실패 보관함(dead letter): P3 이벤트 1건을 처리하지 못했습니다.",
            "처리 실패 보관함(dead letter): P2 이벤트 1,500건을 처리하지 못했습니다(마지막 오류: ValueError: no).",
            "입력: gzip 파일이 중간에 끝나 불완전한 마지막 행을 버렸습니다(1,200행 뒤).",
            "가격제한폭: 전일 종가 자료가 없는 1,200개 종목은 첫 가격을 기준가로 썼습니다.",
            "정지 중: 종목 005930 — 주문 5건이 연속으로 거부되었습니다(마지막 사유: no). "
            "다음 거래일까지 신규 진입하지 않습니다.",
            "정지 중: 풀 SWING — 1970-01-01 00:00:00 UTC부터, 운용자 kim: calm: please. "
            "해제할 때까지 신규 진입하지 않습니다.",
        ]

    @pytest.mark.parametrize("damage", [DAMAGED_GZIP, TRUNCATED_GZIP])
    def test_damage_of_a_file(self, damage: str, tmp_path: Path) -> None:
        lines = "".join(f"line {number}\n" for number in range(90_000)).encode()
        packed = bytearray(gzip.compress(lines, mtime=0))
        if damage == DAMAGED_GZIP:
            packed[-8] ^= 0xFF  # the checksum
        path = tmp_path / "prices.csv.gz"
        path.write_bytes(packed if damage == DAMAGED_GZIP else packed[:-40])
        source = LineSource(path, gzipped=True)
        assert list(source.blocks(0, 1))
        assert source.damage is not None
        assert source.damage.reason == damage
        assert note_in_korean(f"input: {source.damage.note} (after line 12)") is not None

    def test_damage_of_a_parquet_file(self) -> None:
        note = "input: row group 2 cannot be read: bad page (x) (after line 1500)"
        assert note_in_korean(note) == "입력: parquet 행 그룹 2을(를) 읽을 수 없습니다(1,500행 뒤, bad page (x))."

    def test_what_was_guessed_of_a_file_and_its_gaps(self, tmp_path: Path) -> None:
        """Files whose notes are all there are: delimiter, spellings, boards, generic rules, gaps."""
        spelled, generic, depth = (tmp_path / name for name in ("spelled.csv", "generic.csv", "depth"))
        rows = [
            "ts;symbol;last",
            *(f"2026-01-23T00:01:0{n}Z;{name};7" for n, name in enumerate(("A005930", "000660"))),
        ]
        spelled.write_text("\n".join([*rows, ""]), "utf-8")
        generic.write_text("ts,symbol,last\n2026-01-23T00:01:00Z,ABC,7\n", "utf-8")
        message = '1770000000{at}00000000 {{"stream":"x@{kind}","data":{{"s":"XY","E":1770000000000,{rest}}}}}'
        captured = [
            message.format(at=1, kind="depth", rest='"u":5,"pu":4,"b":[["1","1"]],"a":[]'),
            message.format(at=2, kind="depth", rest='"u":9,"pu":8,"b":[["1","1"]],"a":[]'),
            message.format(at=3, kind="trade", rest='"t":1,"p":"1","q":"1"'),
            message.format(at=4, kind="trade", rest='"t":4,"p":"1","q":"1"'),
        ]
        depth.write_text("\n".join([*captured, ""]), "utf-8")
        notes = []
        for path, currency in ((spelled, "KRW"), (generic, "USD"), (depth, "KRW")):
            feed = open_feed(path, currency=currency)
            assert list(feed.values())
            notes += [f"input: {note}" for note in feed.notes]
        assert len(notes) == 7
        assert all(map(note_in_korean, notes)), notes

    def test_a_note_of_no_known_shape_stays_as_it_is(self) -> None:
        assert note_in_korean("no closed days are known for 2014") is None
        assert note_in_korean("calendar: {what} no closed days") is None
