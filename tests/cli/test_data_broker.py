"""``qts data fetch`` and ``qts data holidays``: bars and days of a broker, against its double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.cli.main import main
from qts.runtime.wiring import kis_data
from tests.broker.kis.rig import environ_of
from tests.doubles.kis import DoubleClock
from tests.doubles.kis.charts import Bar
from tests.doubles.kis.thread import KisThread

SYMBOL, OTHER = "005930", "000660"
SMA = "examples/sma_cross.py:SmaCross"


@pytest.fixture
def kis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KisThread]:
    """A live host on a Tuesday at 10:00, whose customer is the user of this process."""
    clock = DoubleClock(speed=0)
    with KisThread(seed=1, clock=clock) as served:
        for name, text in served.do(lambda one: environ_of(one, tmp_path / "cache")).items():
            monkeypatch.setenv(name, text)
        monkeypatch.setattr(kis_data, "SystemClock", lambda: clock)
        yield served


def settings(kis: KisThread, account: str = "live") -> list[str]:
    return ["--set", f"broker.kis.account={account}", "--set", f"broker.kis.live_rest={kis.rest_url}"]


def fetch(kis: KisThread, *arguments: str) -> int:
    return main(["data", "fetch", "--feed", "kis", *arguments, *settings(kis)])


def test_days_are_written_as_files_that_a_backtest_reads(
    kis: KisThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given the bars of two symbols, written to a folder
    assert fetch(kis, SYMBOL, OTHER, "--from", "2026-03-03", "--to", "2026-10-19", "--dir", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{tmp_path / SYMBOL}.csv: 155 daily bars, 2026-03-03 to 2026-10-19",
        f"{tmp_path / OTHER}.csv: 155 daily bars, 2026-03-03 to 2026-10-19",
    ]
    # When they are tested
    files = [f"{tmp_path / SYMBOL}.csv", f"{tmp_path / OTHER}.csv"]
    done = main(["backtest", *files, "--strategy", SMA, "--data-dir", str(tmp_path / "run")])
    # Then the run is whole
    assert done == 0
    assert "names of the files: 005930, 000660" in capsys.readouterr().out.replace("\n", " ")


def test_days_that_are_missing_are_named(
    kis: KisThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kis.do(lambda one: one.charts.past(SYMBOL).pop("20261014"))
    assert fetch(kis, SYMBOL, "--from", "2026-10-12", "--dir", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[1] == "  1 trading day without a bar: 2026-10-14"


def test_the_minutes_of_today_are_written_too(
    kis: KisThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = [Bar(f"09{minute:02}00", 70_000, 70_100, 69_900, 70_000, 5, 350_000) for minute in range(60)]
    kis.do(lambda one: one.charts.put_minutes(SYMBOL, "20261020", *bars))
    assert fetch(kis, SYMBOL, "--minutes", "--dir", str(tmp_path)) == 0
    assert "60 minute bars" in capsys.readouterr().out
    text = (tmp_path / f"{SYMBOL}.csv").read_text().splitlines()
    assert text[1] == "2026-10-20 09:00:00+09:00,70000,70100,69900,70000,5"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([SYMBOL], "which days? give the first one"),
        ([SYMBOL, "--minutes", "--raw"], "--minutes are those of today"),
        ([SYMBOL, "--from", "2026-10-20", "--to", "2026-10-19"], "is after --to"),
        (["5930", "--from", "2026-10-19"], "six digits"),
        ([SYMBOL, "--from", "2026-10-17", "--to", "2026-10-18"], "KIS has no daily bar of 005930"),
        ([SYMBOL, "--from", "2026-10-19", "--dir", "nowhere"], "there is no directory"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_a_line_and_nothing_is_written(
    kis: KisThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch(kis, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line
    assert list(tmp_path.glob("*.csv")) == []


def test_a_file_that_is_there_is_kept_and_nothing_is_asked(kis: KisThread, tmp_path: Path) -> None:
    file = tmp_path / f"{SYMBOL}.csv"
    file.write_text("mine")
    assert fetch(kis, SYMBOL, "--from", "2026-10-12", "--dir", str(tmp_path)) == 2
    assert file.read_text() == "mine"
    assert kis.do(lambda one: list(one.requests)) == []


def test_a_broker_that_does_not_answer_is_exit_code_3(
    kis: KisThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kis.do(lambda one: one.fault("http_502", on="inquire-daily-itemchartprice"))
    assert fetch(kis, SYMBOL, "--from", "2026-10-12", "--dir", str(tmp_path)) == 3
    assert (
        capsys.readouterr().err
        == "qts: KIS: cannot list the days of 005930: HTTP 502 with a body that is none of KIS\n"
    )
    assert not (tmp_path / f"{SYMBOL}.csv").exists()


# -- holidays


def holidays(kis: KisThread, *arguments: str) -> int:
    return main(["data", "holidays", *arguments, *settings(kis)])


def test_the_calendar_is_compared_with_the_broker_and_agrees(
    kis: KisThread, capsys: pytest.CaptureFixture[str]
) -> None:
    assert holidays(kis, "--to", "2026-12-04") == 0
    assert capsys.readouterr().out == "46 days compared, to 2026-12-04: 0 differences\n"


def test_days_that_differ_are_named_and_the_exit_code_is_1(
    kis: KisThread, capsys: pytest.CaptureFixture[str]
) -> None:
    kis.do(lambda one: one.days.closed.add("20261102"))
    kis.do(lambda one: one.days.closed.add("20261130"))
    assert holidays(kis, "--to", "2026-12-04") == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "2026-11-02: the exchange is closed by the broker, and opens by the calendar of QTS",
        "2026-11-30: the exchange is closed by the broker, and opens by the calendar of QTS",
    ]


def test_a_day_on_which_only_the_broker_opens_is_named(kis: KisThread, capsys: pytest.CaptureFixture[str]) -> None:
    kis.do(lambda one: one.clock.jump_to(one.clock.at("10:00", days=60)))  # 19 December
    kis.do(lambda one: one.days.closed.discard("20261225"))
    assert holidays(kis, "--to", "2026-12-31") == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "2026-12-25: the exchange opens by the broker, and is closed by the calendar of QTS",
    ]


def test_what_the_broker_does_not_tell_is_counted(kis: KisThread, capsys: pytest.CaptureFixture[str]) -> None:
    assert holidays(kis, "--to", "2026-12-31") == 0
    assert capsys.readouterr().out.splitlines() == [
        "48 days compared, to 2026-12-31: 0 differences",
        "the broker has not told 25 days of that time",
    ]


def test_the_broker_is_asked_once_a_day(kis: KisThread, capsys: pytest.CaptureFixture[str]) -> None:
    holidays(kis, "--to", "2026-12-31")
    asked = kis.do(lambda one: len(one.made("chk-holiday")))
    assert holidays(kis, "--to", "2026-11-30") == 0
    assert "the answer of earlier today" in capsys.readouterr().out.splitlines()[-1]
    assert kis.do(lambda one: len(one.made("chk-holiday"))) == asked


def test_a_paper_account_is_not_told(
    kis: KisThread, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("APP_KEY", "APP_SECRET", "ACCOUNT"):
        monkeypatch.setenv(f"QTS_KIS_PAPER_{name}", "12345678-01")
    done = main(["data", "holidays", "--to", "2026-12-04", *settings(kis, "paper")])
    assert done == 2
    assert "give --set broker.kis.account=live" in capsys.readouterr().err


@pytest.mark.parametrize("last", ["2026-10-19", "2028-01-01"])
def test_a_day_that_is_past_or_too_far_is_refused(
    kis: KisThread, capsys: pytest.CaptureFixture[str], last: str
) -> None:
    assert holidays(kis, "--to", last) == 2
    assert "is not within 370 days from today, 2026-10-20" in capsys.readouterr().err
