"""The whole page: it shows the facts, trusts no text, loads nothing, and is the same every time."""

from __future__ import annotations

import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import InputError, MissingExtraError, StorageError
from qts.runtime.session.result import SessionFacts
from qts.strategy.contracts import Side

pytest.importorskip("matplotlib", reason="the report needs the extra 'report'")

from qts.report.page_css import stylesheet
from qts.report.session_report import require_report_extra, write_report

from .session import (
    DAY_NS,
    HOUR_NS,
    START_NS,
    empty_session,
    facts_of,
    fill,
    invariants,
    order_of,
    result,
    safety_row,
    sample,
    state_row,
    traded_session,
    transfer,
)

EVIL = "<script>alert('x')</script><img src=\"https://evil.example/x.png\" onerror=1>&"


def report_of(facts: SessionFacts, tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    write_report(facts, path)
    return path.read_text(encoding="utf-8")


class Reading(HTMLParser):
    """The page as a browser takes it: its tags with attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def traded_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of(traded_session(), tmp_path_factory.mktemp("traded"))


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of(_long_session(), tmp_path_factory.mktemp("long"))


@pytest.fixture(scope="module")
def text(traded_page: str) -> str:
    return Reading(traded_page).text


class TestContent:
    @pytest.mark.parametrize(
        "shown",
        [
            "Result on 100,000,000 KRW",
            "+21,275",
            "+0.02%",
            "100,021,275 at the end",
            "of 4 orders sent",
            "90,123 rows in 1.2 s",
            "BalancedToDefensive: vix 37.32 > 30",
            "daily loss 3.1 %",
            "daily loss warning (−3 %)",
            "the engine sleeps",
            "BELOW_STATE_THRESHOLD",
            "The market took no orders at that moment.",
            "crossed_book",
            "the bid is above the ask",
            "no closed days are known for 2014",
            "risk.symbol_weight_limit = 0.60",
            "fraction of equity in one symbol",
            "0123456789abcdef",
            "c0ffee",
            "csv:abc",
            "812.8",
            "89,000",
            "250,000",
            "세션 보고서",
        ],
    )
    def test_shows_the_facts(self, text: str, shown: str) -> None:
        assert shown in text

    def test_tells_times_on_the_clock_of_the_market(self, text: str) -> None:
        assert "2018-01-22 09:00 – 2018-02-01 08:00 KST" in text
        assert "When (KST) 체결시각(KST)" in text
        assert "2018-01-23 15:00 SELL 매도 by rule 자동 005930 10 52,000 1,575 +18,425 SCALP" in text

    def test_shows_every_invariant_with_its_sentence(self, text: str) -> None:
        for number in range(1, 26):
            assert f" {number:02d} " in text

    def test_a_curve_of_few_samples_claims_no_thinning(self, text: str) -> None:
        assert "points," not in text


class TestVerdict:
    def verdict(self, tmp_path: Path, **values: Any) -> tuple[str, str]:
        page = report_of(traded_session(values=values), tmp_path)
        found = re.search(r'<div class="verdict" style="--c: var\(--(\w+)\)">(.*?)</div>', page)
        assert found is not None
        return found[1], found[2]

    def test_held_says_how_much_was_not_looked_at(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path)
        assert look == "good"
        assert "2 invariants in 14 checks; 23 of 25 were not checked" in text

    def test_a_breach_comes_first(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path, invariants=invariants(held=(1,), broken=(4, 12)), finished=False)
        assert look == "bad"
        assert "Invariants broken: 04, 12." in text

    def test_a_sum_that_does_not_agree_is_an_alarm(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path, fees="226")
        assert look == "bad"
        assert "Fees = sum of the fills" in text

    def test_a_lost_critical_event_is_an_alarm(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path, lost_p0=1)
        assert look == "bad"
        assert "1 critical event was lost" in text

    def test_a_stopped_session_says_how_to_go_on(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path, finished=False)
        assert look == "warn"
        assert "--resume" in text

    def test_nothing_checked_is_never_green(self, tmp_path: Path) -> None:
        look, text = self.verdict(tmp_path, invariants=invariants(held=()))
        assert look == "faint"
        assert "Nothing was checked." in text

    def test_what_was_not_checked_has_its_own_look(self, traded_page: str) -> None:
        pattern = r'<span class="chip( unsaid)?" style="--c: var\(--(\w+)\)"><span[^>]*>([^<]*)'
        chips = re.findall(pattern, traded_page)
        looks = {(unsaid, look) for unsaid, look, text in chips if text == "not checked"}
        assert looks == {(" unsaid", "faint")}

    def test_an_unknown_safety_state_looks_like_fail(self, tmp_path: Path) -> None:
        page = report_of(traded_session(values={"safety_state": "SUNNY"}), tmp_path)
        assert '<span class="chip" style="--c: var(--bad)">SUNNY</span>' in page


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every text that someone outside could choose is hostile."""
    row = fill(1, symbol=EVIL, order_id=EVIL)
    names = ("run_id", "source", "config_hash", "command", "started_at", "currency", "operating_state")
    values = dict.fromkeys(names, EVIL)
    counts = {EVIL: 3}
    facts = facts_of(
        result(
            **values,
            refusals=counts,
            rows_refused=counts,
            notes=[EVIL],
            positions={EVIL: "10"},
            settings_of_the_command={EVIL: EVIL},
            risk_limits={EVIL: EVIL},
            invariants=invariants(held=(), broken=(3,)) | {"inv01": _detailed(EVIL)},
        ),
        ledger=[row],
        equity=[sample(START_NS, 1, EVIL, EVIL), sample(START_NS + DAY_NS, 2, EVIL, EVIL)],
        states=[state_row(1, EVIL, EVIL, EVIL)],
        safety=[safety_row(1, EVIL, EVIL, EVIL, EVIL)],
        orders=[order_of(row, reason=EVIL)],
    )
    return report_of(facts, tmp_path_factory.mktemp("hostile"))


class TestTrust:
    def test_no_text_becomes_a_tag(self, hostile_page: str) -> None:
        tags = {name for name, _ in Reading(hostile_page).tags}
        assert not tags & {"script", "img", "iframe", "link", "object", "embed", "form", "base"}
        assert "&lt;script&gt;" in hostile_page

    def test_no_text_becomes_an_attribute(self, hostile_page: str) -> None:
        names = {key for _, attributes in Reading(hostile_page).tags for key in attributes}
        assert not [key for key in names if key.startswith("on")]


class TestSelfContained:
    def test_nothing_is_loaded_and_nothing_runs(self, traded_page: str) -> None:
        for name, attributes in Reading(traded_page).tags:
            assert name not in ("script", "link", "img", "iframe")
            for key in ("href", "src", "xlink:href"):
                assert (attributes.get(key) or "#").startswith("#")
        assert not re.search(r"https?://|@import|url\((?!#)", traded_page)

    def test_the_browser_is_told_to_hold_the_page_to_it(self, traded_page: str) -> None:
        assert "Content-Security-Policy" in traded_page
        assert "default-src &#x27;none&#x27;" in traded_page

    def test_ids_of_two_drawings_never_meet(self, long_page: str) -> None:
        found = [attributes["id"] for _, attributes in Reading(long_page).tags if "id" in attributes]
        assert len(found) == len(set(found))

    def test_ten_thousand_samples_and_a_thousand_fills_stay_below_a_megabyte_and_a_half(
        self, long_page: str
    ) -> None:
        assert len(long_page.encode()) < 1_500_000
        assert re.search(r"10,000 points, [\d,]+ drawn", long_page)
        assert "A closer look" in long_page


HOLDING = {
    "symbol": "005930",
    "strategy": "swing",
    "pool": "SWING",
    "qty": "3",
    "average_cost": "50025.125",
    "price": "52000",
    "value": "156000",
    "unrealized_pnl": "5924.625",
}


class TestHoldings:
    def page(self, tmp_path: Path, *holdings: dict[str, Any], **values: Any) -> str:
        return Reading(report_of(facts_of(result(holdings=list(holdings), **values)), tmp_path)).text

    def test_what_a_screen_of_holdings_has(self, tmp_path: Path) -> None:
        """Bought for 150,075.375 and worth 156,000: 5,924.625 more, which is 3.95 % of what was paid."""
        text = self.page(tmp_path, HOLDING)
        assert "005930 swing SWING 3 50,025.12 52,000 156,000 +5,924.62 +3.95%" in text
        for korean in ("보유수량", "매입단가", "현재가", "평가금액", "평가손익", "수익률"):
            assert korean in text

    def test_without_a_price_nothing_is_said_of_value_and_result(self, tmp_path: Path) -> None:
        unknown = HOLDING | dict.fromkeys(("price", "value", "unrealized_pnl"))
        assert "SWING 3 50,025.12 – – – –" in self.page(tmp_path, unknown)

    def test_a_result_of_an_earlier_version_has_quantities_alone(self, tmp_path: Path) -> None:
        text = self.page(tmp_path, positions={"005930": "7", "000660": "0"})
        assert "005930 7 – – – – –" in text
        assert "000660" not in text

    def test_a_symbol_is_called_by_its_name_in_each_language(self, tmp_path: Path) -> None:
        names = {"005930": {"en": "Samsung Electronics", "ko": "삼성전자"}}
        text = self.page(tmp_path, HOLDING, symbol_names=names)
        assert "Samsung Electronics (005930) 삼성전자(005930)" in text

    def test_the_cash_and_what_of_it_an_order_may_spend(self, tmp_path: Path) -> None:
        text = self.page(tmp_path, cash="99843925", cash_available="90000000")
        assert "Cash 예수금 99,843,925 available for orders 90,000,000 주문가능금액 90,000,000" in text


class TestColours:
    """A gain is red in Korea, where green or blue is a loss."""

    GREEN, RED = "--up: #1d7f50", "--up: #c62f28"

    def test_by_default_they_follow_the_language(self) -> None:
        css = stylesheet()
        assert f":root:has(#ko:checked) {{ {self.RED}" in css
        assert css.index(self.GREEN) < css.index(self.RED)

    @pytest.mark.parametrize(("setting", "shown", "absent"), [("green", GREEN, RED), ("red", RED, GREEN)])
    def test_a_setting_decides_for_both_languages(self, setting: Any, shown: str, absent: str) -> None:
        css = stylesheet(setting)
        assert shown in css
        assert absent not in css

    def test_the_page_follows_the_setting(self, tmp_path: Path) -> None:
        facts = facts_of(result(), gain_color="red")
        assert self.GREEN not in report_of(facts, tmp_path)


class TestDeterminism:
    def test_the_same_facts_give_the_same_bytes(self, tmp_path: Path) -> None:
        assert report_of(traded_session(), tmp_path) == report_of(traded_session(), tmp_path)

    def test_times_of_the_machine_are_shown_in_the_market_s_zone_and_change_nothing_else(
        self, tmp_path: Path, traded_page: str
    ) -> None:
        later = report_of(traded_session(values={"started_at": "2027-05-05T05:05:05+00:00"}), tmp_path)
        assert later.replace("2027-05-05 14:05:05 KST", "2026-01-01 09:00:00 KST") == traded_page

    def test_the_file_does_not_depend_on_the_users_drawing_settings(self, tmp_path: Path, traded_page: str) -> None:
        import matplotlib as mpl

        with mpl.rc_context({"font.size": 33, "axes.grid": True, "svg.fonttype": "path", "lines.marker": "o"}):
            assert report_of(traded_session(), tmp_path) == traded_page
            assert mpl.rcParams["font.size"] == 33


class TestEmptySession:
    def test_is_a_whole_page_that_claims_nothing(self, tmp_path: Path) -> None:
        text = Reading(report_of(empty_session(), tmp_path)).text
        for told in (
            "Nothing was checked.",
            "Nothing to draw here.",
            "No fill.",
            "The operating state never moved.",
            "No safety cause was recorded.",
            "No signal was rejected.",
            "Every row of the input was usable.",
            "No capital moved between pools.",
            "Flat: nothing is held.",
        ):
            assert told in text

    def test_a_single_sample_is_enough_for_the_headline(self, tmp_path: Path) -> None:
        text = Reading(report_of(facts_of(result(), equity=[sample(START_NS, 90_000_000)]), tmp_path)).text
        assert "-10.00%" in text

    def test_an_old_result_without_zone_and_notes_is_told_in_utc(self, tmp_path: Path) -> None:
        values = result()
        del values["time_zone"], values["notes"]
        text = Reading(
            report_of(facts_of(values, equity=[sample(START_NS, 1), sample(START_NS + DAY_NS, 2)]), tmp_path)
        ).text
        assert "2018-01-22 00:00 – 2018-01-23 00:00 UTC" in text


class TestHistories:
    def test_a_long_one_shows_its_newest_rows_and_says_how_many_there_were(self, tmp_path: Path) -> None:
        moves = [transfer(number, amount=1_000 + number) for number in range(1, 72)]
        text = Reading(report_of(facts_of(result(), transfers=moves), tmp_path)).text
        assert "The newest 60 of 71, newest first." in text
        assert "1,071" in text
        assert "1,012" in text
        assert "1,011" not in text

    def test_an_override_names_its_operator(self, tmp_path: Path) -> None:
        row = state_row(1, "BALANCED", "BALANCED", "maintenance", actor="kim")
        assert "maintenance kim" in Reading(report_of(facts_of(result(), states=[row]), tmp_path)).text


class TestShortSession:
    @pytest.mark.parametrize(
        ("lasting_ns", "told"),
        [(DAY_NS - 1, "2018-01-22 09:00:00 BUY 매수 A"), (DAY_NS, "2018-01-22 09:00 BUY 매수 A")],
    )
    def test_tells_seconds_when_it_is_shorter_than_a_day(self, tmp_path: Path, lasting_ns: int, told: str) -> None:
        curve = [sample(START_NS, 1), sample(START_NS + lasting_ns, 2)]
        facts = facts_of(result(), equity=curve, ledger=[fill(1, symbol="A", ts_ns=START_NS)])
        assert told in Reading(report_of(facts, tmp_path)).text

    def test_says_which_of_several_symbols_is_drawn(self, tmp_path: Path) -> None:
        rows = [fill(1, symbol="A"), fill(2, symbol="B"), fill(3, symbol="B")]
        curve = [sample(START_NS, 1), sample(START_NS + DAY_NS, 2)]
        text = Reading(report_of(facts_of(result(), equity=curve, ledger=rows), tmp_path)).text
        assert "The line joins the prices of the fills of B, the most traded of 2 symbols." in text


class TestWriting:
    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        missing = tmp_path / "nowhere"
        with pytest.raises(InputError, match=re.escape(str(missing))):
            write_report(empty_session(), missing / "report.html")
        assert not missing.exists()

    def test_replaces_an_older_report_wholly_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")
        write_report(empty_session(), path)
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]

    def test_a_failure_keeps_the_older_report(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"report\.html: No space left on device"):
            write_report(empty_session(), path)
        assert path.read_text() == "old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]

    def test_a_directory_in_its_place_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="that is a directory"):
            write_report(empty_session(), tmp_path)

    def test_without_matplotlib_the_extra_is_named_before_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        require_report_extra()  # it is installed here
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtraError, match=r"of qts-runtime: .*'\.\[report\]'"):
            require_report_extra()

    def test_without_matplotlib_nothing_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtraError):
            write_report(empty_session(), tmp_path / "report.html")
        assert list(tmp_path.iterdir()) == []


def _detailed(text: str) -> dict[str, Any]:
    return {"ok": False, "checks": 1, "last": None, "detail": text}


def _long_session() -> SessionFacts:
    """Ten thousand samples over eight years and a thousand scattered fills, most of them in a busy fortnight."""
    states = ("AGGRESSIVE", "BALANCED", "DEFENSIVE")
    curve = [
        sample(START_NS + i * 8 * HOUR_NS, 100_000_000 + (i * 7_919) % 9_000_000, states[i // 400 % 3])
        for i in range(9_760)
    ]
    busy_ns = START_NS + 4_000 * DAY_NS
    curve += [sample(busy_ns + i * HOUR_NS, 105_000_000 + (i * 131) % 90_000) for i in range(240)]
    rows = [
        fill(
            i,
            side=Side.BUY if i % 2 else Side.SELL,
            price=40_000 + (i * 7_907) % 20_000,
            pool=list(Pool)[i % 3],
            ts_ns=busy_ns + i * HOUR_NS // 5 if i % 4 else START_NS + i * 3 * DAY_NS,
        )
        for i in range(1_000)
    ]
    orders = [order_of(row, forced=i % 50 == 0) for i, row in enumerate(rows)]
    return facts_of(result(fills=1_000), equity=curve, ledger=rows, orders=orders)
