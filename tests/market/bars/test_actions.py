"""Corporate actions of files of bars: from actions.csv, or from the adjusted close as exactly as it tells them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.actions import Dividend, Split, actions_of
from qts.market.bars.action_files import read_actions
from qts.market.files.reading import read_as
from qts.notes import in_english, in_korean

from .samples import HEADER, note_codes, opened, refusal, write

ADJUSTED = "Date,Open,High,Low,Close,Adj Close,Volume"
KOREAN = f"""{HEADER}
2018-04-26,2600000,2610000,2590000,2607000,100
2018-04-27,2650000,2660000,2640000,2650000,100
2018-05-04,53000,53900,51800,51900,100
"""


def adjusted(*rows: tuple[str, str, str]) -> str:
    """Bars of one price each: date, close, adjusted close."""
    return "\n".join([ADJUSTED, *(f"{day},{c},{c},{c},{c},{a},100" for day, c, a in rows)]) + "\n"


def test_a_file_of_actions_in_the_folder_is_read_and_names_the_input(tmp_path: Path) -> None:
    # Given a share with a split and a dividend, in two spellings, and an action of another share
    bars = write(tmp_path / "005930.csv", KOREAN)
    write(
        tmp_path / "actions.csv",
        "date,symbol,action,value\n2018-05-04,005930.KS,split,50:1\n2018-04-27,005930,Dividend,17700\n"
        "2018-05-04,000660,split,2\n",
    )
    # When the folder is opened
    feed = opened(tmp_path)
    # Then the feed knows what concerns its shares, in the order of time, and says what it left out
    assert actions_of(feed) == (
        Dividend("005930", date(2018, 4, 27), D(17_700)),
        Split("005930", date(2018, 5, 4), D(50), D(1)),
    )
    (said,) = [in_english(note) for note in feed.notes if note.code == "bars-actions"]
    assert said == "input: 2 corporate actions read, 1 of other symbols left out"
    # And the file is part of the name of the input
    assert feed.source_id != opened(bars).source_id
    assert actions_of(opened(bars)) == ()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2018-05-04,005930,merger,1", "line 2, column action: 'merger'; allowed: split, dividend"),
        (
            "2018-05-04,005930,split,fifty",
            "line 2, column value: 'fifty' is no split; allowed: new:old, such as 50:1",
        ),
        ("2018-05-04,005930,split,1:1", "line 2, column value: '1:1' is no split"),
        ("2018-05-04,005930,dividend,-1", "line 2, column value: '-1' is no dividend; allowed: an amount above 0"),
        ("04/05/2018,005930,split,50", "line 2, column date: '04/05/2018' is no date; write it as 2018-05-04"),
        ("2018-05-04,,split,50", "line 2, column symbol: the cell is empty"),
        ("2018-05-04,005930,split", "line 2: 3 cells instead of 4: '2018-05-04,005930,split'"),
        (
            "2018-05-04,005930,split,50\n2018-05-04,005930,split,2",
            "line 3: a second split of 005930 on 2018-05-04 (the first is in line 2); write one",
        ),
    ],
)
def test_a_row_that_is_no_action_is_named_with_what_is_allowed(tmp_path: Path, row: str, said: str) -> None:
    path = write(tmp_path / "actions.csv", f"date,symbol,action,value\n{row}\n")
    with pytest.raises(DataError) as error:
        read_actions(path, read_as(), str)
    assert said in str(error.value)
    assert str(error.value).isprintable()


def test_a_missing_column_of_actions_and_a_folder_of_actions_alone_are_named(tmp_path: Path) -> None:
    write(tmp_path / "actions.csv", "date,symbol,ratio\n")
    assert "only actions.csv is named" in refusal(tmp_path)
    write(tmp_path / "005930.csv", KOREAN)
    assert (
        "line 1: missing column action; a file of corporate actions has the columns date, symbol, action, value"
        in (refusal(tmp_path))
    )


def test_a_ratio_may_be_one_number_or_a_reverse_split(tmp_path: Path) -> None:
    path = write(
        tmp_path / "actions.csv", "ex-date,ticker,type,ratio\n2018-05-04,A,split,50\n2018-05-04,B,split,1/10\n"
    )
    assert read_actions(path, read_as(), str).actions == (
        Split("A", date(2018, 5, 4), D(50), D(1)),
        Split("B", date(2018, 5, 4), D(1), D(10)),
    )


def test_a_dividend_is_derived_as_exactly_as_the_adjusted_close_tells(tmp_path: Path) -> None:
    # Given a dividend of 0.24 on a close of 188.320007: the factor before it is 1 - 0.24 / 188.320007 = 0.99872557…
    path = write(
        tmp_path / "AAPL.csv",
        adjusted(
            ("2024-02-07", "189.410004", "189.168614"),
            ("2024-02-08", "188.320007", "188.080007"),
            ("2024-02-09", "188.850006", "188.850006"),
        ),
    )
    feed = opened(path)
    # Then the rounding of the first two rows is no action
    (dividend,) = actions_of(feed)
    assert dividend == Dividend("AAPL", date(2024, 2, 9), D("0.24"))
    (note,) = [note for note in feed.notes if note.code == "bars-actions-derived"]
    assert "1 corporate action derived" in in_english(note)
    assert "AAPL on 2024-02-09: dividend of 0.24000" in in_english(note)
    assert "배당 0.24000" in in_korean(note)


def test_a_split_is_derived_where_the_close_is_as_traded(tmp_path: Path) -> None:
    path = write(
        tmp_path / "005930.csv",
        adjusted(
            ("2018-04-26", "2607000", "52140"), ("2018-04-27", "2650000", "53000"), ("2018-05-04", "51900", "51900")
        ),
    )
    assert actions_of(opened(path)) == (Split("005930", date(2018, 5, 4), D(50), D(1)),)


def test_a_reverse_split_is_derived(tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", adjusted(("2024-01-02", "1.5", "15"), ("2024-01-03", "15.2", "15.2")))
    assert actions_of(opened(path)) == (Split("A", date(2024, 1, 3), D(1), D(10)),)


def test_a_file_of_actions_stands_above_the_adjusted_close(tmp_path: Path) -> None:
    write(tmp_path / "A.csv", adjusted(("2024-01-02", "10", "9.9"), ("2024-01-03", "10", "10")))
    write(tmp_path / "actions.csv", "date,symbol,action,value\n2024-01-03,A,dividend,0.1\n")
    assert actions_of(opened(tmp_path)) == (Dividend("A", date(2024, 1, 3), D("0.1")),)


def test_an_adjusted_close_that_is_the_close_shows_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "A.csv", adjusted(("2024-01-02", "10.5", "10.5"), ("2024-01-03", "11", "11")))
    assert actions_of(opened(path)) == ()


def test_weekly_bars_do_not_tell_the_day_of_an_action_and_it_is_said(tmp_path: Path) -> None:
    rows = [(f"2024-01-{day:02}", "10", "9.9" if day < 15 else "10") for day in (1, 8, 15, 22)]
    feed = opened(write(tmp_path / "A.csv", adjusted(*rows)))
    assert actions_of(feed) == ()
    assert "bars-adjusted-unused" in note_codes(feed)


def test_what_rounding_explains_is_no_action_and_what_its_decimals_do_not_tell_is_refused(tmp_path: Path) -> None:
    # Given one decimal: 9.9 may be 9.95 or 9.85, so a factor of 0.99 may be none
    path = write(tmp_path / "A.csv", adjusted(("2024-01-02", "10.0", "9.9"), ("2024-01-03", "10.0", "10.0")))
    assert actions_of(opened(path)) == ()
    # When the step is surely a dividend, but 0.3 may as well be 0.2 or 0.4
    path = write(tmp_path / "A.csv", adjusted(("2024-01-02", "10.0", "9.7"), ("2024-01-03", "10.0", "10.0")))
    # Then it is refused
    assert "shows a dividend on 2024-01-03 that its decimals do not tell; name it in a file actions.csv" in refusal(
        path
    )
