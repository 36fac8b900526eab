"""The report of a backtest: figures, months, price charts, round trips and holdings, without what did not rule."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.ledger.contracts import ActionKind, ActionRow, LedgerRow
from qts.money import ONE, TWO, ZERO, decimal_of
from qts.report import price_charts, trip_table
from qts.report.price_charts import MOST_CHARTS, lines_of, merged
from qts.report.session_report import write_report
from qts.runtime.persistence.charts_file import Line
from qts.runtime.session.result import SessionFacts
from qts.strategy.contracts import Side

from .session import (
    DAY_NS,
    START_NS,
    candles_of,
    fill,
    plain_session,
    refusal,
    round_trip,
    traded_session,
)

EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """The page as a browser takes it: elements by id, links, titles of marks, and the text of each section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.uses: list[str] = []
        self.titles: list[str] = []
        self.tags: list[str] = []
        self.paths: list[dict[str, str | None]] = []
        self.sections: dict[str, str] = {}
        self._section: str | None = None
        self._in_title = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        if key := named.get("id"):
            self.ids.append(key)
        if tag == "a":
            self.links.append(named["href"] or "")
        if tag == "use":
            self.uses.append(named.get("class") or "")
        if tag == "path":
            self.paths.append(named)
        if tag == "section":
            self._section = named.get("id", "sums")
        if tag == "title":
            self._in_title = True
            self.titles.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._section = None
        if tag == "title":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.titles[-1] += data
        elif self._section is not None:
            self.sections[self._section] = f"{self.sections.get(self._section, '')} {data}"


def page_of(facts: SessionFacts, tmp_path: Path) -> Page:
    path = tmp_path / "report.html"
    write_report(facts, path)
    return Page(path.read_text(encoding="utf-8"))


def text_of(page: Page, section: str) -> str:
    return " ".join(page.sections[section].split())


def test_money_that_came_in_and_what_is_not_ours_have_a_card(tmp_path: Path) -> None:
    booked = {
        "rows": 3,
        "deposits": "600000",
        "withdrawals": "100000",
        "adjustments": "0",
        "external_cash": "70",
        "external_positions": {"005930": "4"},
    }
    path = tmp_path / "report.html"
    write_report(traded_session(values={"bookings": booked}), path)
    told = path.read_text(encoding="utf-8")
    assert "Deposits, less withdrawals" in told
    assert "500,000" in told
    assert "EXTERNAL (not ours): cash 70; held: 005930 4" in told


def test_targets_and_cancels_that_changed_nothing_have_a_card_where_there_were_any(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(traded_session(), path)
    assert "Signals that needed no order" not in path.read_text(encoding="utf-8")

    write_report(traded_session(values={"targets_reached": 1_234, "cancels_of_nothing": 1}), path)

    told = path.read_text(encoding="utf-8")
    assert "1,235" in told
    assert "1,234 targets already reached, 1 cancel that met no order" in told
    assert "이미 달성된 목표 1,234건, 취소할 주문이 없던 취소 1건" in told


class TestPlainProfile:
    def test_shows_the_result_and_not_what_did_not_rule(self, tmp_path: Path) -> None:
        page = page_of(plain_session(), tmp_path)
        assert list(page.sections) == [
            *("figures", "equity", "months", "prices", "trips", "holdings", "refused", "checks"),
            *("sums", "run"),
        ]
        run = text_of(page, "run")
        assert "plain: all cash in one pool" in run
        assert "risk.symbol_weight_limit = 1" in run
        assert "Gate limits" not in run
        assert "SCALP" not in "".join(page.sections.values())

    def test_needs_no_drawing_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it was not installed
        assert "prices" in page_of(plain_session(), tmp_path).sections

    def test_a_session_under_rules_shows_both(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="these charts need the extra 'report'")
        plain = plain_session()
        facts = traded_session()
        values = msgspec.structs.replace(facts.result, performance=plain.result.performance)
        facts = msgspec.structs.replace(facts, result=values, charts=plain.charts)
        sections = page_of(facts, tmp_path).sections
        assert {"figures", "months", "prices", "trips", "pools", "states", "queues"} <= set(sections)

    def test_every_link_has_its_place_and_every_id_is_one(self, tmp_path: Path) -> None:
        page = page_of(plain_session(candles=[candles_of(), candles_of("000660")]), tmp_path)
        assert len(page.ids) == len(set(page.ids))
        assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


class TestFigures:
    def test_are_beside_the_benchmarks_and_say_why_one_is_missing(self, tmp_path: Path) -> None:
        text = text_of(page_of(plain_session(), tmp_path), "figures")
        assert "total return 총수익률 0.40% 0.00%" in text
        assert "expectancy 매매당 기대손익 18,350 KRW" in text
        assert "average loss 평균 손실 not enough to say" in text

    def test_say_what_else_decided_the_result(self, tmp_path: Path) -> None:
        facts = plain_session()
        values = msgspec.structs.replace(facts.result, refusals={"SYMBOL_WEIGHT_LIMIT": 7})
        text = text_of(page_of(msgspec.structs.replace(facts, result=values), tmp_path), "figures")
        assert "7 intents were refused beside 2 orders, most often SYMBOL_WEIGHT_LIMIT" in text

    def test_are_listed_by_symbol_when_there_are_several(self, tmp_path: Path) -> None:
        trips = [round_trip(result=-1_650, symbol="000660"), round_trip()]
        text = text_of(page_of(plain_session(trips=trips), tmp_path), "figures")
        assert "005930 1 100.0%" in text
        assert text.index("005930 1") < text.index("000660 1")  # the better result first

    def test_a_symbol_leads_to_its_chart(self, tmp_path: Path) -> None:
        trips = [round_trip(symbol="000660"), round_trip(), round_trip(symbol="undrawn")]
        candles = [candles_of(), candles_of("000660")]
        links = page_of(plain_session(trips=trips, candles=candles), tmp_path).links
        assert [link for link in links if link.startswith("#chart-")].count("#chart-2") == 2  # there and above

    def test_months_stand_in_their_year(self, tmp_path: Path) -> None:
        # Given forty days from 2018-01-22 on that gain 0.01 % each: 10 in January, 28 in February, 2 in March
        text = text_of(page_of(plain_session(), tmp_path), "months")
        assert "2018 +0.1 +0.3 0.0 +0.4" in text


class TestPrices:
    def test_candles_are_a_path_for_each_direction(self, tmp_path: Path) -> None:
        page = page_of(plain_session(), tmp_path)
        bodies = {path.get("class"): path["d"] or "" for path in page.paths if "body" in (path.get("class") or "")}
        assert {look: drawn.count("M") for look, drawn in bodies.items()} == {"body up": 5, "body down": 5}

    def test_entry_and_exit_are_marked_at_their_bar_and_linked_with_the_round_trip(self, tmp_path: Path) -> None:
        page = page_of(plain_session(), tmp_path)
        assert page.uses == ["buy", "sell up"]
        assert page.links.count("#t1") == 2
        assert page.links.count("#m1") == 1
        assert any("2018-01-23 09:00 BUY 매수 10 × 50,000" in " ".join(title.split()) for title in page.titles)

    def test_a_refused_intent_says_when_and_why(self, tmp_path: Path) -> None:
        page = page_of(plain_session(refusals=[refusal(5)]), tmp_path)
        assert page.uses.count("refused") == 1
        titles = [" ".join(title.split()) for title in page.titles]
        assert "2018-01-27 09:00 BUY 매수 refused 거부: SYMBOL_WEIGHT_LIMIT · 12% of 10%" in titles

    def test_too_many_marks_are_put_together_and_none_is_lost(self) -> None:
        rows = [(place, 0, refusal(place)) for place in range(1_000)]
        marks = merged(rows, 120)
        assert len(marks) == 63  # sixteen candles in a row are one mark
        assert [row for mark in marks for row in mark.rows] == [row for *_, row in rows]

    def test_plotted_series_stand_over_the_prices_or_in_their_pane(self, tmp_path: Path) -> None:
        times = [START_NS + day * DAY_NS for day in range(3)]
        over = Line(strategy="s", pane="", name="fast", times_ns=times, values=[50_000.0, 51_000.0, 52_000.0])
        below = Line(strategy="s", pane="spread", name="z", times_ns=times, values=[-1.0, 0.0, 1.0])
        page = page_of(plain_session(lines=[over, below]), tmp_path)
        text = text_of(page, "prices")
        assert text.index("fast") < text.index("spread") < text.index(" z ")

    def test_a_series_that_names_a_symbol_stands_in_its_chart(self) -> None:
        def line(name: str, *of: str) -> Line:
            return Line(strategy="s", pane="", name=name, times_ns=[], values=[], symbols=list(of))

        lines, symbols = [line("fast A"), line("fast B"), line("z")], ["A", "B"]
        assert [one.name for one in lines_of(lines, "A", symbols)] == ["fast A", "z"]
        assert [one.name for one in lines_of(lines, "B", symbols)] == ["fast B"]
        # one of a symbol that was not traded, and so has no chart, is in none
        assert lines_of([line("fast C", "C")], "A", symbols) == []

    def test_of_many_symbols_the_first_are_drawn_and_the_others_counted(self, tmp_path: Path) -> None:
        many = [candles_of(f"S{place}", count=2) for place in range(MOST_CHARTS + 5)]
        page = page_of(plain_session(candles=many, trips=[], ledger=[]), tmp_path)
        assert f"The {MOST_CHARTS} most often traded of {MOST_CHARTS + 5} symbols; 5 have no chart" in text_of(
            page, "prices"
        )
        assert sum(key.startswith("chart-") for key in page.ids) == MOST_CHARTS

    def test_candles_that_were_put_together_say_so(self, tmp_path: Path) -> None:
        page = page_of(plain_session(candles=[candles_of(span=4)]), tmp_path)
        assert "Every 4 candles in a row are drawn as one, so that there are at most 2,000." in text_of(
            page, "prices"
        )

    def test_no_name_becomes_markup(self, tmp_path: Path) -> None:
        line = Line(strategy=EVIL, pane=EVIL, name=EVIL, times_ns=[START_NS], values=[1.0])
        evil_fill = fill(1, symbol=EVIL)
        facts = plain_session(
            candles=[candles_of(EVIL)],
            lines=[line],
            trips=[round_trip(symbol=EVIL, strategy=EVIL)],
            ledger=[evil_fill],
            refusals=[refusal(2, reason=EVIL, symbol=EVIL)],
        )
        page = page_of(facts, tmp_path)
        assert "script" not in page.tags
        assert EVIL in " ".join(page.sections["prices"].split())

    def test_one_price_and_one_candle_are_drawn(self, tmp_path: Path) -> None:
        flat = candles_of(count=1)
        flat = msgspec.structs.replace(flat, open=[1.0], high=[1.0], low=[1.0], close=[1.0])
        assert "prices" in page_of(plain_session(candles=[flat]), tmp_path).sections


class TestRoundTrips:
    def test_a_row_has_prices_result_return_and_excursions(self, tmp_path: Path) -> None:
        # Given ten shares at 50,000, sold for 520,000, costs 1,650; the price was between 49,000 and 53,000
        text = text_of(page_of(plain_session(), tmp_path), "trips")
        assert (
            "1 005930 2018-01-23 09:00 2018-01-25 09:00 2 10 50,000 52,000 1,650 +18,350 +3.67% 2.00% 6.00%" in text
        )

    def test_the_level_that_ended_a_trip_is_named_where_one_did(self, tmp_path: Path) -> None:
        trips = [msgspec.structs.replace(round_trip(), ended_by=level) for level in ("stop", "take", "trail", "")]
        text = text_of(page_of(plain_session(trips=trips), tmp_path), "trips")
        for shown in ("stop 손절", "take 익절", "trail 트레일링 스톱", "–"):
            assert f"2018-01-25 09:00 {shown} 2 10 50,000" in text
        # And without one there is no column for it
        assert "청산 사유" in text
        (tmp_path / "without").mkdir()
        assert "청산 사유" not in text_of(page_of(plain_session(), tmp_path / "without"), "trips")

    def test_all_are_there_in_pages(self, tmp_path: Path) -> None:
        count = 2 * trip_table.PAGE_ROWS + 1
        trips = [round_trip(ended=place + 2) for place in range(count)]
        page = page_of(plain_session(trips=trips), tmp_path)
        assert [key for key in page.ids if key.startswith("t") and key[1:].isdigit()] == [
            f"t{place}" for place in range(1, count + 1)
        ]
        assert [link for link in page.links if link.startswith("#trips-")] == ["#trips-1", "#trips-2", "#trips-3"]

    def test_one_of_a_symbol_without_chart_has_no_link(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(price_charts, "MOST_CHARTS", 0)
        page = page_of(plain_session(), tmp_path)
        assert "#m1" not in page.links
        assert "t1" in page.ids

    def test_two_that_begin_at_once_have_a_mark_each(self, tmp_path: Path) -> None:
        trips = [round_trip(), round_trip(strategy="swing")]
        moment = START_NS + DAY_NS
        ledger: list[LedgerRow] = [
            fill(1, ts_ns=moment),
            msgspec.structs.replace(fill(2, ts_ns=moment), strategy="swing"),
            fill(3, side=Side.SELL, ts_ns=START_NS + 3 * DAY_NS),
        ]
        page = page_of(plain_session(trips=trips, ledger=ledger), tmp_path)
        assert [key for key in page.ids if key in {"m1", "m2"}] == ["m2", "m1"]


class TestHoldings:
    def test_show_cost_price_value_result_and_cash(self, tmp_path: Path) -> None:
        held = {
            "symbol": "005930",
            "strategy": "scalp",
            "pool": "SCALP",
            "qty": "10",
            "average_cost": "50000",
            "price": "52000",
            "value": "520000",
            "unrealized_pnl": "20000",
        }
        facts = plain_session(holdings=[held], cash="99500000")
        text = text_of(page_of(facts, tmp_path), "holdings")
        assert "005930 scalp 10 50,000 52,000 520,000 +20,000 +4.00%" in text
        assert "Cash 예수금 – – – 99,500,000" in text


def test_a_split_agrees_with_the_positions(tmp_path: Path) -> None:
    # Given ten shares that became twenty by a split
    split = ActionRow(
        kind=ActionKind.SPLIT,
        ts_ns=START_NS + 2 * NS_PER_S,
        symbol="005930",
        strategy="scalp",
        pool=Pool.SCALP,
        held=decimal_of(10),
        change=decimal_of(10),
        new=TWO,
        old=ONE,
        price=decimal_of(50_000),
        amount=ZERO,
        tax=ZERO,
        realized_pnl=ZERO,
        account="paper",
        ex_date="2018-01-24",
    )
    facts = plain_session(ledger=[fill(1)], positions={"005930": "20"})
    text = text_of(page_of(msgspec.structs.replace(facts, actions=[split]), tmp_path), "sums")
    assert "005930 20 005930 20" in text
