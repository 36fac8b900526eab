"""From files of bars to a feed: every vendor's form, one moment at which a bar is known, one series a symbol."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.clock import from_ns
from qts.market.bars.opener import open_bars
from qts.market.contracts import Bar
from qts.market.files.reading import read_as
from qts.notes import Note, in_english, in_korean

from .samples import HEADER, THREE_DAYS, bars, note_codes, opened, refusal, write


def known(bar: Bar) -> datetime:
    return from_ns(bar.ts_ns)


# Vendors


def test_a_file_of_yahoo_is_read_with_its_prices_as_they_stand(tmp_path: Path) -> None:
    # Given the columns of Yahoo, six decimals
    path = write(
        tmp_path / "AAPL.csv",
        "Date,Open,High,Low,Close,Adj Close,Volume\n"
        "2024-01-02,187.149994,188.440002,183.889999,185.639999,184.734985,82488700\n"
        "2024-01-03,184.220001,185.880005,183.429993,184.250000,183.351761,58414500\n",
    )
    # When it is read
    feed = opened(path)
    first, second = feed.values()
    # Then the symbol is the file's name, and a bar is known at the midnight that ends its day
    assert isinstance(first, Bar)
    assert isinstance(second, Bar)
    assert (first.symbol, first.day, first.interval) == ("AAPL", "2024-01-02", "1d")
    assert (first.open, first.high, first.low, first.close) == (
        D("187.149994"),
        D("188.440002"),
        D("183.889999"),
        D("185.639999"),
    )
    assert first.volume == 82_488_700
    assert known(first) == datetime(2024, 1, 3, tzinfo=UTC)
    assert second.close == D("184.25")
    assert feed.instruments["AAPL"].currency == "USD"


def test_a_file_of_stooq_has_numbers_of_any_length_and_a_symbol_of_its_market(tmp_path: Path) -> None:
    path = write(
        tmp_path / "aapl_us.us.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "AAPL.US,D,20240102,000000,187.15,188.4,183.89,186,82488700,0\n"
        "AAPL.US,D,20240103,000000,184.2,185.88,183.43,184.25,58414500,0\n",
    )
    first, second = bars(path)
    assert (first.symbol, first.day, first.close) == ("AAPL.US", "2024-01-02", D(186))
    assert (second.open, second.high) == (D("184.2"), D("185.88"))


def test_a_file_of_the_krx_in_cp949_newest_first_with_thousands_and_a_halt(tmp_path: Path) -> None:
    # Given a table as data.krx.co.kr exports it: the newest row first, a halted day in the middle
    path = write(
        tmp_path / "005930.csv",
        '"일자","종가","대비","등락률","시가","고가","저가","거래량","거래대금","시가총액","상장주식수"\n'
        '"2018/05/04","51,900","-1,100","-2.08","53,000","53,900","51,800","39,565,391","2,078,017,927,600","1","6"\n'
        '"2018/05/03","2,650,000","0","0.00","0","0","0","0","0","1","6"\n'
        '"2018/04/27","2,650,000","43,000","1.65","2,669,000","2,682,000","2,622,000","606,216","1","1","6"\n',
        "cp949",
    )
    # When it is read
    feed = opened(path)
    first, second = feed.values()
    # Then the order is that of time, the halt is counted and no bar, and a bar is known at the close in Seoul
    assert isinstance(first, Bar)
    assert isinstance(second, Bar)
    assert (first.symbol, first.open, first.volume) == ("005930", D(2_669_000), D(606_216))
    assert known(first) == datetime(2018, 4, 27, 6, 30, tzinfo=UTC)
    assert (second.close, second.day) == (D(51_900), "2018-05-04")
    assert dict(feed.rows_refused) == {"no_trade": 1}
    assert feed.refusal_examples["no_trade"][0].line == 3
    assert {"bars-encoding", "bars-newest-first", "bars-symbols-named"} <= note_codes(feed)


@pytest.mark.parametrize("unit", [10**3, 10**6])
def test_klines_of_binance_have_no_head_and_count_ms_or_us(tmp_path: Path, unit: int) -> None:
    # Given two hours of klines, the first at 2025-01-01T00:00Z
    start = 1_735_689_600
    rows = [
        f"{(start + hour * 3_600) * unit},93576.00000000,94509.42000000,93489.03000000,94401.14000000,755.99010000,"
        f"{(start + (hour + 1) * 3_600) * unit - 1},71000000.1,104000,400.1,3700000.1,0"
        for hour in range(2)
    ]
    path = write(tmp_path / "BTCUSDT-1h-2025-01.csv", "\n".join(rows) + "\n")
    # When they are read
    feed = opened(path)
    first, second = feed.values()
    # Then each is known when its hour is over, in USDT
    assert isinstance(first, Bar)
    assert (first.symbol, first.interval, first.open) == ("BTCUSDT", "1h", D("93576"))
    assert (first.volume, known(first)) == (D("755.9901"), datetime(2025, 1, 1, 1, tzinfo=UTC))
    assert from_ns(second.ts_ns) == datetime(2025, 1, 1, 2, tzinfo=UTC)
    assert feed.instruments["BTCUSDT"].currency == "USDT"


def test_the_last_head_of_pandas_columns_names_the_ticker(tmp_path: Path) -> None:
    # Given three lines of header and 32-bit floats in 64
    path = write(
        tmp_path / "download.csv",
        "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
        "2024-01-02,185.63999938964844,188.44000244140625,183.88999938964844,187.14999389648438,82488700\n"
        "2024-01-03,184.25,185.8800048828125,183.42999267578125,184.22000122070312,58414500\n",
    )
    feed = opened(path)
    first, _ = feed.values()
    assert isinstance(first, Bar)
    # Then the numbers are those that were meant, and it is said
    assert (first.symbol, first.open, first.close) == ("AAPL", D("187.15"), D("185.64"))
    (said,) = [in_english(note) for note in feed.notes if note.code == "bars-binary-noise"]
    assert said.endswith("e.g. download.csv, line 4: 187.14999389648438 as 187.15")


def test_currency_signs_and_a_column_named_last_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "AAPL.csv",
        "Date,Close/Last,Volume,Open,High,Low\n01/15/2024,$185.92,40477780,$186.06,$186.74,$185.19\n"
        "01/12/2024,$185.59,46792910,$186.09,$187.05,$183.62\n",
    )
    first, second = bars(path)
    assert (first.day, first.open) == ("2024-01-12", D("186.09"))
    assert (second.day, second.close) == ("2024-01-15", D("185.92"))


def test_semicolons_and_decimal_commas_are_read_and_said(tmp_path: Path) -> None:
    path = write(
        tmp_path / "SAP.csv",
        "Datum;date;Open;High;Low;Close;Volume\nx;02.01.2024;1.139,40;1.140,00;138,5;139,06;1.600.000\n"
        "x;03.01.2024;1;1;1;1;1\nx;31.01.2024;160,1;161;159,44;160,94;2.412.345\n",
    )
    feed = opened(path, currency="EUR")
    first, _, third = feed.values()
    assert isinstance(first, Bar)
    assert isinstance(third, Bar)
    assert (first.day, first.open, first.low, first.volume) == ("2024-01-02", D("1139.4"), D("138.5"), D(1_600_000))
    assert (third.day, third.close) == ("2024-01-31", D("160.94"))
    assert "input-delimiter" in note_codes(feed)


# When a bar is known


def test_a_korean_bar_is_known_at_the_close_which_came_at_three_before_august_2016(tmp_path: Path) -> None:
    path = write(
        tmp_path / "005930.csv",
        f"{HEADER}\n2016-07-29,1500000,1539000,1500000,1539000,200000\n2016-08-01,1540000,1570000,1540000,1568000,1\n",
    )
    early, late = bars(path)
    assert known(early) == datetime(2016, 7, 29, 6, 0, tzinfo=UTC)
    assert known(late) == datetime(2016, 8, 1, 6, 30, tzinfo=UTC)


def test_midnight_is_that_of_the_declared_zone_where_the_market_never_closes(tmp_path: Path) -> None:
    path = write(tmp_path / "AAPL.csv", THREE_DAYS)
    first, *_ = bars(path, timezone="America/New_York")
    assert known(first) == datetime(2024, 1, 3, 5, tzinfo=UTC)


def test_a_bar_of_a_week_is_known_when_the_week_is_over_whatever_day_it_carries(tmp_path: Path) -> None:
    rows = "".join(f"2024-01-{day:02},10,11,9,10,100\n" for day in (1, 8, 15, 22))
    first, *_ = bars(write(tmp_path / "ABC.csv", f"{HEADER}\n{rows}"))
    assert (first.interval, known(first)) == ("1w", datetime(2024, 1, 8, tzinfo=UTC))


def test_a_bar_of_a_month_of_a_korean_share_is_known_at_the_last_close_of_the_month(tmp_path: Path) -> None:
    # 31 March 2024 is a Sunday: the month closes on Friday the 29th
    rows = "".join(f"2024-{month:02}-01,70000,71000,69000,70000,100\n" for month in (1, 2, 3))
    *_, last = bars(write(tmp_path / "005930.csv", f"{HEADER}\n{rows}"))
    assert (last.interval, known(last)) == ("1mo", datetime(2024, 3, 29, 6, 30, tzinfo=UTC))


def test_bars_within_a_day_need_a_zone_and_are_known_at_their_end(tmp_path: Path) -> None:
    path = write(
        tmp_path / "005930.csv",
        "datetime,open,high,low,close,volume\n2024-01-02 09:00:00,70000,71000,69000,70000,100\n"
        "2024-01-02 09:05:00,70000,71000,69000,70000,100\n",
    )
    assert "--timezone Asia/Seoul" in refusal(path)
    first, _ = bars(path, timezone="Asia/Seoul")
    assert (first.interval, first.day, known(first)) == ("5m", "2024-01-02", datetime(2024, 1, 2, 0, 5, tzinfo=UTC))


def test_stamps_at_midnight_with_an_offset_are_dates_of_that_offset(tmp_path: Path) -> None:
    path = write(
        tmp_path / "005930.csv",
        f"{HEADER}\n2024-01-02 00:00:00+09:00,70000,71000,69000,70000,100\n"
        "2024-01-03 00:00:00+09:00,70000,71000,69000,70000,100\n",
    )
    first, _ = bars(path)
    assert (first.day, known(first)) == ("2024-01-02", datetime(2024, 1, 2, 6, 30, tzinfo=UTC))


# Several files


def test_a_folder_is_a_universe_in_the_order_of_time_and_at_one_time_of_symbols(tmp_path: Path) -> None:
    write(tmp_path / "B.csv", THREE_DAYS)
    write(tmp_path / "A.csv", THREE_DAYS.replace("2024-01-04", "2024-01-05"))
    write(tmp_path / "readme.md", "no data")
    feed = opened(tmp_path)
    assert [(value.symbol, getattr(value, "day", "")) for value in feed.values()] == [
        ("A", "2024-01-02"),
        ("B", "2024-01-02"),
        ("A", "2024-01-03"),
        ("B", "2024-01-03"),
        ("B", "2024-01-04"),
        ("A", "2024-01-05"),
    ]
    assert feed.total_values == 6


def test_files_of_one_symbol_are_joined_whatever_their_order(tmp_path: Path) -> None:
    late = write(tmp_path / "BTCUSDT-1d-2024-02.csv", f"{HEADER}\n2024-02-01,2,2.5,2,2,1\n2024-02-02,2,2,2,2,1\n")
    early = write(tmp_path / "BTCUSDT-1d-2024-01.csv", f"{HEADER}\n2024-01-30,1,1,1,1,1\n2024-01-31,1,1,1,1,1\n")
    found = bars(late, early)
    assert [bar.day for bar in found] == ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]
    assert [bar.high for bar in found] == [1, 1, D("2.5"), 2]


def test_one_file_may_hold_many_symbols(tmp_path: Path) -> None:
    path = write(
        tmp_path / "all.csv",
        "Symbol,Date,Open,High,Low,Close,Volume\nA,2024-01-02,1,1,1,1,5\nB,2024-01-02,20.5,21,20,20.5,5\n"
        "A,2024-01-03,1,1,1,1,5\nB,2024-01-03,20.25,21,20,20.5,5\n",
    )
    found = bars(path)
    assert [(bar.symbol, bar.day, bar.open) for bar in found] == [
        ("A", "2024-01-02", D(1)),
        ("B", "2024-01-02", D("20.5")),
        ("A", "2024-01-03", D(1)),
        ("B", "2024-01-03", D("20.25")),
    ]


def test_the_same_input_has_one_name_and_another_input_or_declaration_another(tmp_path: Path) -> None:
    one, other = write(tmp_path / "A.csv", THREE_DAYS), write(tmp_path / "B.csv", THREE_DAYS + "\n")
    name = opened(one, other).source_id
    assert name == opened(other, one).source_id == opened(tmp_path).source_id
    assert name != opened(one).source_id
    assert opened(one).source_id != opened(one, symbol="C").source_id
    assert opened(write(tmp_path / "C.csv", THREE_DAYS)).source_id != opened(one).source_id


@pytest.mark.parametrize("taken", range(7))
def test_a_feed_goes_on_where_it_was_left(tmp_path: Path, taken: int) -> None:
    write(tmp_path / "A.csv", THREE_DAYS)
    write(tmp_path / "B.csv", THREE_DAYS)
    whole = opened(tmp_path)
    every = list(whole.values())
    feed = opened(tmp_path)
    values = feed.values()
    before = [next(values) for _ in range(taken)]
    again = opened(tmp_path)
    again.resume(json.loads(json.dumps(feed.position())))
    assert before + list(again.values()) == every
    assert (again.progress(), again.max_age_ns) == (1.0, whole.max_age_ns)


def test_the_price_of_the_bar_before_is_fresh_and_one_before_that_is_not(tmp_path: Path) -> None:
    # Friday, Monday, Tuesday
    rows = "".join(f"2024-01-{day:02},10,11,9,10,100\n" for day in (5, 8, 9))
    feed = opened(write(tmp_path / "A.csv", f"{HEADER}\n{rows}"))
    day_ns = 86_400 * 10**9
    ages = [(getattr(value, "day", ""), feed.max_age_ns // day_ns) for value in feed.values()]
    assert ages == [("2024-01-05", 0), ("2024-01-08", 3), ("2024-01-09", 1)]


def test_a_gzipped_file_is_read_and_a_cut_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "AAPL.csv.gz"
    path.write_bytes(gzip.compress(THREE_DAYS.encode(), mtime=0))
    assert len(bars(path)) == 3
    path.write_bytes(path.read_bytes()[:-20])
    assert "gzip" in refusal(path)


def test_notes_are_said_in_both_languages(tmp_path: Path) -> None:
    feed = opened(write(tmp_path / "AAPL.csv", THREE_DAYS))
    texts = [in_english(note) for note in feed.notes]
    assert "input: 1 symbol, 3 bars of 1d, each known at the midnight that ends its day" in texts
    assert any("3개" in in_korean(note) for note in feed.notes)


def test_a_fixed_age_of_prices_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "AAPL.csv", THREE_DAYS)
    feed = open_bars([path], currency=None, read_as=read_as(), max_age_ns=7)
    list(feed.values())
    assert feed.max_age_ns == 7


def test_bars_without_volume_are_told_because_nothing_fills_in_them(tmp_path: Path) -> None:
    # Given bars of a market that never closes, two of three without volume
    path = write(
        tmp_path / "EURUSD.csv",
        "Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,0\n2024-01-03,1,1,1,1,0\n2024-01-04,1,1,1,1,5\n",
    )
    # When they are read, then the note says how many
    assert Note.of("bars-without-volume", bars=2) in opened(path).notes
