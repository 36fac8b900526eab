"""Rows on a terminal of any width: names and amounts are never cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qts.cli.columns import Column, csv_text, facts_lines, table_lines

COLUMNS = (Column("name", "name"), Column("amount", "amount", right=True), Column("why", "why", extra=True))


def test_a_table_that_fits_is_one_with_amounts_below_each_other() -> None:
    assert table_lines(COLUMNS, [["a", "1,000", "x"], ["삼성", "5", "y"]], 80) == [
        "name  amount  why",
        "a      1,000  x",
        "삼성       5  y",
    ]


def test_a_narrow_table_loses_what_matters_less() -> None:
    assert table_lines(COLUMNS, [["a", "1,000", "because it rose"]], 20) == ["name  amount", "a      1,000"]


SENTENCES = (*COLUMNS[:2], Column("pool", "pool", extra=True), Column("note", "note", extra=True, sentence=True))


def test_a_sentence_is_cut_and_an_empty_column_is_left_out_before_it_is() -> None:
    # Given 1 + 2 + 6 + 2 + 24 cells of name, amount and a sentence cut to its least
    long = "the approval had expired 60 seconds ago"
    assert table_lines(SENTENCES, [["a", "1,000", "", long]], 38) == [
        "name  amount  note",
        "a      1,000  the approval had expire…",
    ]
    # And a sentence that fits is whole, beside a column that says something
    assert table_lines(SENTENCES, [["a", "1,000", "SWING", long]], 60) == [
        "name  amount  pool   note",
        f"a      1,000  SWING  {long}",
    ]
    # And where not even its least fits, it is left out after the others
    assert table_lines(SENTENCES, [["a", "1,000", "SWING", long]], 20) == ["name  amount", "a      1,000"]


def test_a_table_that_does_not_fit_at_all_becomes_blocks_with_everything() -> None:
    assert table_lines(COLUMNS, [["momentum", "100,000,000", "up"], ["b", "1", ""]], 15) == [
        "name momentum",
        "amount 100,000,000",
        "why up",
        "",
        "name b",
        "amount 1",
    ]


def test_a_long_fact_goes_on_below_its_beginning() -> None:
    assert facts_lines([("why", "one two three"), ("n", "")], 14) == ["why  one two", "     three", "n"]


def test_what_would_move_the_cursor_is_not_printed() -> None:
    assert table_lines(COLUMNS, [["a\x1b[2J", "1\n2", ""]], 80)[1] == "a?[2J     1?2"


def test_csv_is_as_rfc_4180_has_it() -> None:
    text = csv_text(COLUMNS, [["a,b", '1"2', "x\ny"], ["", "2", "삼성"]])
    assert text == 'name,amount,why\r\n"a,b","1""2","x\ny"\r\n,2,삼성\r\n'


WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=30)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), st.integers(1, 120))
def test_no_name_and_no_amount_is_ever_cut(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = table_lines(COLUMNS, rows, width)
    text = "\n".join(lines)
    for name, amount, _ in rows:
        assert name in text
        assert amount in text
    if (lines and not lines[0].startswith("name ")) or len(rows) == 0:
        return
    if lines[0].startswith("name  "):  # a table
        assert all(cell_len(line) <= width for line in lines)
