"""Nothing gets into a page unescaped unless it is markup by its type."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qts.report.markup import Html, el, en_ko, join, table, void


def test_text_is_escaped_and_markup_is_not() -> None:
    assert el("p", "<b>&", el("i", "x")) == "<p>&lt;b&gt;&amp;<i>x</i></p>"


def test_attributes_are_escaped_and_renamed() -> None:
    assert el("a", "x", cls='a" onload="y', for_="k") == '<a class="a&quot; onload=&quot;y" for="k">x</a>'
    assert void("input", checked=True, disabled=None, http_equiv="z") == '<input checked http-equiv="z">'


def test_none_is_left_out_and_zero_is_not() -> None:
    assert join((None, 0, "", "a")) == "0a"


def test_both_languages_are_in_the_page() -> None:
    assert en_ko("yes", "네") == '<span class="en" lang="en">yes</span><span class="ko" lang="ko">네</span>'


def test_a_table_without_rows_says_so() -> None:
    assert table(("a",), [], empty="nothing") == '<p class="none">nothing</p>'


def test_numeric_columns_stand_to_the_right() -> None:
    made = table(("a", "b"), [("x", 1)], numeric=(1,))
    assert '<td>x</td><td class="n">1</td>' in made


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_no_text_whatever_opens_a_tag(text: str) -> None:
    inside = el("p", text)[3:-4]
    assert "<" not in inside
    assert isinstance(el("p", text), Html)
