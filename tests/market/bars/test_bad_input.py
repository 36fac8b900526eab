"""Files of bars that cannot be used: one line that names the place, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from .samples import HEADER, THREE_DAYS, bars, note_codes, opened, refusal, write

ADJUSTED = "Date,Open,High,Low,Close,Adj Close,Volume"


def daily(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def days(*dates: str) -> str:
    return daily(*(f"{day},10,11,9,10,100" for day in dates))


CASES = {
    "out of order": (
        days("2024-01-02", "2024-01-04", "2024-01-03", "2024-01-05"),
        "line 4: out of order; sort the rows by date",
    ),
    "doubled": (
        days("2024-01-02", "2024-01-03", "2024-01-03"),
        "line 4: a second bar of A at the time of line 3; leave one of the two out",
    ),
    "high below low": (
        daily("2024-01-02,10,9,11,10,100"),
        "line 2: the high 9 is below the low 11 ('2024-01-02,10,9,11,10,100'); correct the row or leave it out",
    ),
    "ambiguous dates": (
        days("03/04/2024", "04/04/2024"),
        "line 2: '03/04/2024' may begin with the day or with the month, and no date of the file settles it; name "
        "the order: --date-format %d/%m/%Y or --date-format %m/%d/%Y",
    ),
    "a date of another form than the others": (
        days("25/12/2023", "12/25/2023"),
        "line 3, column date: '12/25/2023' is no date in the form of this file; the month is first: --date-format",
    ),
    "a word for a date": (days("2024-01-02", "soon"), "line 3, column date: 'soon' is no date in the form"),
    "a day that does not exist": (days("2024-02-30"), "line 2, column date: '2024-02-30' is no date"),
    "week among days": (
        days(*(f"2024-01-{day:02}" for day in range(1, 6)), "2024-01-12", "2024-01-19", "2024-01-26", "2024-02-02"),
        "line 7: bars of two intervals, 1w and 1d; a file (and a run) has one: split the file by interval",
    ),
    "minutes after days": (
        daily(
            *(f"2024-01-0{day}T00:00:00Z,10,11,9,10,100" for day in range(1, 7)),
            "2024-01-06T00:01:00Z,10,11,9,10,100",
        ),
        "line 8: bars of two intervals, 1m and a day or more",
    ),
    "five minutes after one": (
        daily(
            *(f"2024-01-01T00:{minute:02}:00Z,10,11,9,10,100" for minute in [*range(5), *range(5, 60, 5)]),
            "2024-01-01T01:00:00Z,10,11,9,10,100",
        ),
        "bars of two intervals, 5m and 1m",
    ),
    "no volume": (
        daily("2024-01-02,10,11,9,10", header="date,open,high,low,close"),
        "line 1: no column volume (found: date, open, high, low, close); orders fill at most a share of the volume",
    ),
    "no high": (
        daily("2024-01-02,10,9,10,1", header="date,open,low,close,volume"),
        "line 1: a file of bars needs date, open, high, low, close and volume; missing here: high (found: date, ",
    ),
    "only an adjusted close": (
        daily("2024-01-02,10,11,9,10,1", header="date,open,high,low,adj close,volume"),
        "line 1: the only close is the adjusted one",
    ),
    "an adjusted close with a hole": (
        daily(
            "2024-01-02,10,11,9,10,10,1",
            "2024-01-03,10,11,9,10,,1",
            header=ADJUSTED,
        ),
        "line 3: the adjusted close is '' where the close is known, so the factor of the day is not",
    ),
    "an adjusted close that is no factor": (
        daily(
            "2024-01-02,10,11,9,10,3,1",
            "2024-01-03,10,11,9,10,10,1",
            header=ADJUSTED,
        ),
        "the adjusted close of A changes by a factor of 0.3 on 2024-01-03, which is no split we know",
    ),
    "a column twice": (
        daily("2024-01-02,10,11,9,10,10,1", header="date,open,high,low,close,Close,volume"),
        "line 1: the column 'close' appears twice; keep one of them",
    ),
    "an unsettled comma": (
        daily('2024-01-02,"10,000","11,000","9,000","10,000",100'),
        "line 2, column open: '10,000' may have a thousands separator or a decimal comma, and no number of the "
        "file settles it; write it without separators, with a decimal point",
    ),
    "an offset in some times only": (
        daily("2024-01-01T00:00:00Z,1,1,1,1,1", "2024-01-01T01:00:00,1,1,1,1,1"),
        "some times have an offset from UTC, others have none; give all in one form",
    ),
    "one bar with a time": (
        daily("2024-01-01T01:00:00Z,1,1,1,1,1"),
        "line 2: one bar with a time shows no interval; give at least two bars",
    ),
    "only unknown values": (
        daily("2024-01-02,null,null,null,null,null", "2024-01-03,-,-,-,-,-"),
        "no usable row; refused: no_price 2; line 2: ",
    ),
    "a year beyond counting": (days("2199-12-31", "2300-01-02"), "line 3, column date: '2300-01-02' is no date"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_line_with_its_place_and_what_to_do(tmp_path: Path, case: str) -> None:
    text, said = CASES[case]
    path = write(tmp_path / "A.csv", text)
    found = refusal(path)
    assert found.startswith(str(path))
    assert said in found


def test_another_row_of_the_file_settles_the_order_of_day_and_month(tmp_path: Path) -> None:
    day_first = write(tmp_path / "A.csv", days("03/04/2024", "04/04/2024", "13/04/2024"))
    month_first = write(tmp_path / "B.csv", days("03/04/2024", "03/05/2024", "03/13/2024"))
    assert [bar.day for bar in bars(day_first)] == ["2024-04-03", "2024-04-04", "2024-04-13"]
    assert [bar.day for bar in bars(month_first)] == ["2024-03-04", "2024-03-05", "2024-03-13"]


def test_a_declared_form_of_dates_is_taken_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", days("03/04/2024", "04/04/2024"))
    assert bars(path, date_format="%m/%d/%Y")[0].day == "2024-03-04"
    assert "line 2, column date: '03/04/2024' is no date" in refusal(path, date_format="%Y-%m-%d")


def test_excel_serials_are_dates_where_they_are_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", days("45293", "45294"))
    assert "--date-format excel" in refusal(path)
    assert [bar.day for bar in bars(path, date_format="excel")] == ["2024-01-02", "2024-01-03"]


def test_rows_that_say_nothing_are_counted_and_shown_and_the_others_are_used(tmp_path: Path) -> None:
    # Given a row without prices, one without a volume, one whose close is outside its range, one of a price of 0
    path = write(
        tmp_path / "A.csv",
        daily(
            "2024-01-02,10,11,9,10,100",
            "2024-01-03,null,null,null,null,null",
            "2024-01-04,10,11,9,10,",
            "2024-01-05,10,11,9,12,100",
            "2024-01-08,0,11,9,10,100",
            "2024-01-09,NaN,11,9,10,100",
            "2024-01-10,10,11,9,10,-5",
            "2024-01-11,10,11,9,10,0",
            "2024-01-12,10,11,9,x,100",
            "",
            "Total,1",
        ),
    )
    feed = opened(path)
    # Then only the first and the one without trades of a market that never closes are bars
    assert [getattr(bar, "day", "") for bar in feed.values()] == ["2024-01-02", "2024-01-11"]
    assert dict(feed.rows_refused) == {
        "malformed": 1,
        "no_price": 2,
        "no_volume": 1,
        "outside_range": 1,
        "nonpositive_price": 1,
        "negative_size": 1,
        "not_a_number": 1,
    }
    (malformed,) = feed.refusal_examples["malformed"]
    assert (malformed.line, malformed.value) == (12, "2 cells instead of 6: Total,1")
    (number,) = feed.refusal_examples["not_a_number"]
    assert (number.line, number.column, number.value, Path(number.file).name) == (10, "close", "x", "A.csv")


def test_a_korean_day_without_volume_is_no_bar_but_a_minute_without_is(tmp_path: Path) -> None:
    path = write(
        tmp_path / "005930.csv",
        daily("2024-01-02,70000,71000,69000,70000,100", "2024-01-03,70000,70000,70000,70000,0"),
    )
    feed = opened(path)
    assert [getattr(bar, "day", "") for bar in feed.values()] == ["2024-01-02"]
    (left,) = feed.refusal_examples["no_trade"]
    assert (left.line, left.value) == (3, "005930 2024-01-03: volume 0")
    minutes = write(
        tmp_path / "000660.csv",
        daily("2024-01-02T09:00:00+09:00,7,7,7,7,0", "2024-01-02T09:01:00+09:00,7,7,7,7,5"),
    )
    assert [bar.volume for bar in bars(minutes)] == [0, 5]


def test_a_byte_order_mark_belongs_to_no_name(tmp_path: Path) -> None:
    assert len(bars(write(tmp_path / "A.csv", THREE_DAYS, "utf-8-sig"))) == 3


def test_another_encoding_behind_the_head_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", daily("2024-01-02,1,1,1,1,1,삼성", header=HEADER + ",name"), "cp949")
    assert "line 2: bytes that are no UTF-8; it seems to be cp949: --encoding cp949" in refusal(path)
    assert len(bars(path, encoding="cp949")) == 1


def test_files_that_have_no_day_in_common_are_no_universe(tmp_path: Path) -> None:
    write(tmp_path / "A.csv", days("2020-01-02", "2020-01-03"))
    write(tmp_path / "B.csv", days("2021-01-04", "2021-01-05"))
    assert refusal(tmp_path).startswith(
        "the files do not overlap: A ends on 2020-01-03 and B begins on 2021-01-04; give files of one period"
    )
    # Given a third one that spans both, they are one
    write(tmp_path / "C.csv", days("2020-01-03", "2021-01-04"))
    assert len(bars(tmp_path)) == 6


def test_files_of_one_symbol_that_overlap_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "A.csv", days("2024-01-02", "2024-01-03"))
    other = write(tmp_path / "A (1).csv", days("2024-01-03", "2024-01-04"))
    assert f"{one} and {other} are both of A and overlap in time; leave one out" in refusal(one, other)


def test_files_of_two_intervals_are_no_universe(tmp_path: Path) -> None:
    one = write(tmp_path / "A.csv", days("2024-01-02", "2024-01-03"))
    other = write(tmp_path / "B.csv", daily("2024-01-02T00:00:00Z,1,1,1,1,1", "2024-01-02T01:00:00Z,1,1,1,1,1"))
    assert f"{one} has bars of 1d, {other} of 1h; a run has one interval" in refusal(one, other)


@pytest.mark.parametrize(
    ("name", "currency", "said"),
    [
        ("data_1234.csv", None, "its name shows none; name it with --symbol, such as --symbol AAPL"),
        ("7203.T.csv", None, "7203.T: in which currency it is paid is not known; set it: --set runtime.currency="),
        ("AAPL.csv", "KRW", "the symbol 'AAPL' cannot be traded in this account; an account in won trades Korean"),
        ("5930.csv", None, "its name shows none"),
    ],
)
def test_a_symbol_that_cannot_be_told_or_traded_is_named(
    tmp_path: Path, name: str, currency: str | None, said: str
) -> None:
    assert said in refusal(write(tmp_path / name, THREE_DAYS), currency=currency)


def test_a_lost_zero_of_a_korean_code_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", daily("5930,2024-01-02,1,1,1,1,1", header="code," + HEADER))
    assert "its leading zeros are lost: 005930" in refusal(path)


def test_symbols_of_several_currencies_are_no_account(tmp_path: Path) -> None:
    write(tmp_path / "005930.csv", THREE_DAYS)
    write(tmp_path / "AAPL.csv", THREE_DAYS)
    assert "paid in several currencies (005930 KRW, AAPL USD); a run has one" in refusal(tmp_path)


def test_a_declared_symbol_is_for_one_file_without_a_column_of_symbols(tmp_path: Path) -> None:
    one, other = write(tmp_path / "data.csv", THREE_DAYS), write(tmp_path / "B.csv", THREE_DAYS)
    assert bars(one, symbol="XYZ")[0].symbol == "XYZ"
    assert "--symbol XYZ names one symbol, and there are 2 files" in refusal(one, other, symbol="XYZ")
    named = write(tmp_path / "n.csv", daily("A,2024-01-02,1,1,1,1,1", header="symbol," + HEADER))
    assert "it has a column of symbols; leave --symbol XYZ out" in refusal(named, symbol="XYZ")


def test_an_empty_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    folder.mkdir()
    assert "no file of bars in this folder" in refusal(folder)
    assert "the file is empty" in refusal(write(tmp_path / "A.csv", ""))
    assert "no usable row; no line holds a value" in refusal(write(tmp_path / "B.csv", HEADER + "\n"))
    assert "no file of bars; its first line must name date" in refusal(write(tmp_path / "C.csv", "hello\n"))


def test_an_ordinary_file_has_nothing_to_say_of_noise_or_order(tmp_path: Path) -> None:
    feed = opened(write(tmp_path / "A.csv", THREE_DAYS))
    assert note_codes(feed) == {"bars-read", "bars-symbols-named", "input-rules-guessed"}
    assert not feed.rows_refused
