"""Notes as they are read: numbers, particles, phrases, enumerations, and every note that a session makes."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from qts.broker.sim.config import SimConfig
from qts.event.contracts import EventPriority
from qts.market.contracts import Bar
from qts.market.files import open_feed
from qts.market.files.line_source import LineSource
from qts.market.files.refusals import DAMAGED_GZIP, TRUNCATED_GZIP
from qts.market.krx import KST, KrxCalendar, KrxCosts, KrxTicks
from qts.market.last_values import LastValues
from qts.notes import Note, in_english, in_korean
from qts.notes.rendering import with_particle
from qts.runtime.checks.price_bands import PriceBands
from qts.runtime.session.view_builder import notes_of
from qts.safety.scoped_stops import Scope, ScopedStop, ScopeKind

LONG_AGO = date(1990, 1, 4)


def test_a_number_decides_the_english_word() -> None:
    one, many = (Note.of("input-trades-missing", symbol="XY", count=count) for count in (1, 1_500))
    assert in_english(one) == "input: XY: 1 trade is missing from the recording"
    assert in_english(many) == "input: XY: 1,500 trades are missing from the recording"
    assert in_korean(many) == "입력: 기록에서 XY의 체결 1,500건이 빠져 있습니다."


@pytest.mark.parametrize(
    ("text", "pair", "said"),
    [
        ("쉼표", "으로/로", "쉼표로"),
        ("세로줄", "으로/로", "세로줄로"),  # behind ㄹ as behind a vowel
        ("탭", "으로/로", "탭으로"),
        ("삼성전자", "은/는", "삼성전자는"),
        ("종목", "을/를", "종목을"),
        ("3000", "은/는", "3000은"),  # 영
        ("005932", "은/는", "005932는"),  # 이
        ("0.00000001", "으로/로", "0.00000001로"),  # 일
        ("13", "으로/로", "13으로"),  # 삼
        ("KRW", "을/를", "KRW를"),
        ("ABN", "이/가", "ABN이"),
        ("prices.csv", "을/를", "prices.csv을(를)"),
        ("(x)", "으로/로", "(x)(으)로"),
        ("", "은/는", "은(는)"),
    ],
)
def test_a_particle_follows_the_last_sound(text: str, pair: str, said: str) -> None:
    assert with_particle(text, pair) == said


def test_phrases_and_enumerations_are_of_the_same_language() -> None:
    named: list[str | Note] = [Note.of("symbol-read-as", spelled=f"A{code}", symbol=code) for code in ("1", "2")]
    note = Note.of("input-symbols-read", named=Note.of("some-of", named=named, count=3))
    assert in_english(note) == "input: symbols: read A1 as 1, A2 as 2 and 3 more"
    assert in_korean(note) == "입력: 종목 표기를 다음과 같이 읽었습니다: A1 → 1, A2 → 2 외 3종목."


def test_a_note_of_another_version_is_shown_as_it_is() -> None:
    assert in_english(Note("no-such-code", {"count": 3, "of": "x"})) == "no-such-code: count 3, of x"
    assert in_korean(Note("broker-fee", {"left": "over"})) == "위탁수수료"
    assert in_english(Note("scope-pool", {})) == "pool {name}"


def test_a_note_survives_json() -> None:
    note = Note.of("dead-letters", count=2, priority="P1", last=Note.of("last-error", error="no"))
    assert msgspec.json.decode(msgspec.json.encode(note), type=Note) == note


def test_a_parameter_is_never_read_as_a_placeholder() -> None:
    note = Note.of("last-error", error="{count} {0.__class__}")
    assert in_english(note) == "; the last: {count} {0.__class__}"


# Every note that a session makes.


def test_the_rules_of_the_market() -> None:
    found = [
        note
        for source in (KrxTicks("KOSPI"), KrxTicks("KOSDAQ"), KrxCosts("KOSPI"), KrxCalendar())
        for note in source.notes(LONG_AGO)
    ]
    subjects = {in_english(note).partition(":")[0] for note in found}
    assert {
        "tick table KOSPI",
        "price limit",
        "broker fee",
        "sell tax KOSPI",
        "session times",
        "calendar",
    } <= subjects


def test_numbers_and_dates_stay() -> None:
    note = Note.of("rule-before-first-row", subject=Note.of("broker-fee"), since="2026-01-01", day="2014-01-02")
    assert in_english(note) == "broker fee: no table before 2026-01-01; its first row was used for 2014-01-02"
    assert in_korean(note) == "위탁수수료: 2026-01-01 이전의 기준이 없어 2014-01-02에는 첫 기준을 적용했습니다."


def test_what_failed_what_stood_in_and_how_the_input_ended() -> None:
    failed = SimpleNamespace(error="ValueError: no", event=SimpleNamespace(priority=EventPriority.P2_MEDIUM))
    counts = {priority.name: {"dead_lettered": 0} for priority in EventPriority}
    counts |= {"P2_MEDIUM": {"dead_lettered": 1_500}, "P3_LOW": {"dead_lettered": 1}}
    cut_off = Note.of("input-ended-early", damage=Note.of("gzip-truncated"), line=1_200)
    last_values, price = LastValues(), Decimal(1)
    last_values.bars["005930"] = Bar("005930", 1, price, price, price, price, price)
    kernel = SimpleNamespace(
        dispatcher=SimpleNamespace(queue_stats=lambda: counts, dead_letter_queue=[failed]),
        execution_reports=SimpleNamespace(quarantine=SimpleNamespace(count=0, first=None)),
        moments=None,
        host=SimpleNamespace(contexts=()),
        shared=SimpleNamespace(
            feed=SimpleNamespace(
                notes=[cut_off],
                instruments={
                    symbol: SimpleNamespace(
                        calendar=None, ticks=SimpleNamespace(band=lambda base, day: (1, 2)), costs=None
                    )
                    for symbol in map(str, range(1_200))
                },
            ),
            calendar=SimpleNamespace(
                local_date=lambda moment: LONG_AGO, local_time=lambda moment: moment.astimezone(KST)
            ),
            clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
            account=SimpleNamespace(position_rows=lambda: ()),
            base_prices=dict.fromkeys(map(str, range(1_200)), 1),
            rejects=SimpleNamespace(stopped={"005930": "no"}, in_a_row=lambda symbol: 5),
            stops=[ScopedStop(Scope(ScopeKind.POOL, "SWING"), False, "kim", "calm: please", 0)],
            price_bands=PriceBands({}, {}),
            last=last_values,
            config=SimpleNamespace(broker=SimpleNamespace(sim=SimConfig(slippage_ticks=1))),
        ),
        venue=SimpleNamespace(is_simulated=True),
        limits=None,
        counters=SimpleNamespace(stand_in_bases=list(map(str, range(1_200))), first_day="2014-01-02"),
    )
    notes = notes_of(kernel)  # type: ignore[arg-type]
    assert [in_english(note) for note in notes] == [
        "dead letters: 1 event of P3 could not be handled",
        "dead letters: 1,500 events of P2 could not be handled; the last: ValueError: no",
        "fills on bars: from the next bar's open on, slippage 1 price step, within 10 % of a bar's volume",
        "input: the gzip file ends in the middle; its last line is dropped (after line 1,200)",
        "price band: no previous close in the data for 1,200 symbols; their first price was used as previous close",
        "stopped: 5 orders of 005930 in a row rejected (the last: no); it takes no entry until the next day",
        "stopped: pool SWING is stopped since 1970-01-01 09:00:00 KST by kim (calm: please); it takes no entry "
        "until it is released",
    ]
    assert [in_korean(note) for note in notes] == [
        "처리 실패 보관함(dead letter): P3 이벤트 1건을 처리하지 못했습니다.",
        "처리 실패 보관함(dead letter): P2 이벤트 1,500건을 처리하지 못했습니다(마지막 오류: ValueError: no).",
        "봉 체결: 주문은 다음 봉의 시가부터, 슬리피지 1호가로, 봉 거래량의 10%까지만 체결됩니다.",
        "입력: gzip 파일이 중간에 끝나 불완전한 마지막 행을 버렸습니다(1,200행 뒤).",
        "가격제한폭: 전일 종가 자료가 없는 1,200개 종목은 첫 가격을 기준가로 썼습니다.",
        "정지 중: 종목 005930 — 주문 5건이 연속으로 거부되었습니다(마지막 사유: no). "
        "다음 거래일까지 신규 진입하지 않습니다.",
        "정지 중: 자금 풀 SWING — 1970-01-01 09:00:00 KST부터, 운영자 kim(calm: please). "
        "해제할 때까지 신규 진입하지 않습니다.",
    ]


@pytest.mark.parametrize("damage", [DAMAGED_GZIP, TRUNCATED_GZIP])
def test_damage_of_a_file(damage: str, tmp_path: Path) -> None:
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
    assert "gzip" in in_korean(source.damage.note)


def test_damage_of_a_parquet_file() -> None:
    damage = Note.of("parquet-damaged", group=2, error="bad page (x)")
    note = Note.of("input-ended-early", damage=damage, line=1_500)
    assert in_korean(note) == "입력: parquet 행 그룹 2를 읽을 수 없습니다: bad page (x)(1,500행 뒤)."


def test_what_was_guessed_of_a_file_and_its_gaps(tmp_path: Path) -> None:
    """Given files with all there is to say: delimiter, spellings, boards, generic rules, gaps."""
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
        notes += feed.notes
    assert [note.code for note in notes] == [
        "input-delimiter",
        "input-symbols-read",
        "input-rules-kospi",
        "input-rules-guessed",
        "input-rules-guessed",
        "input-depth-gaps",
        "input-trades-missing",
    ]
    assert in_korean(notes[0]) == "입력: 첫 줄을 보고 열 구분 기호를 세미콜론으로 판단했습니다."
    assert in_english(notes[2]) == (
        "input: rules: taken for shares of KOSPI: 000660; for another board write its market (KRX-KOSDAQ, "
        "KRX-ETF) into instruments.yaml"
    )
    assert in_korean(notes[2]).startswith("거래 규칙: 000660은 코스피 종목으로 보았습니다.")


def test_a_holding_without_a_price_is_written_in_both_languages() -> None:
    note = Note.of("held-without-price", count=1_200, days=10, symbol="A", since="2020-01-05")
    assert in_english(note).startswith("1,200 holdings have had no price for 10 days or more, A since 2020-01-05")
    assert (
        in_korean(note)
        == "보유 1,200개 종목은 10일 이상 시세가 없어(A: 2020-01-05 이후) 마지막 가격으로 평가했습니다."
    )
