"""Texts and numbers that a server holds in another form than the local book."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.db.batch import body_of, rows_of, without_nul
from qts.db.tables import LEDGER, TRANSFERS
from qts.db.timescale.bodies import forms_of, sendable, written
from tests.effort import examples


def test_nul_is_sent_as_its_symbol_and_an_escaped_backslash_is_none() -> None:
    # Given a text with U+0000, and one with a backslash before "u0000"
    body = body_of({"refusals": [[1, "a\x00b", "\\u0000", None, 5]]})
    # Then the first is mapped and the second is not
    assert rows_of(sendable(body).encode()) == {"refusals": [[1, "a\u2400b", "\\u0000", None, 5]]}
    assert without_nul("a\x00b") == "a\u2400b"


@settings(max_examples=examples(40, whole=1_000))
@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_any_text_arrives_but_for_nul(texts: list[str]) -> None:
    sent = sendable(body_of({"t": [[*texts]]}))
    assert "\\u0000" not in sent.replace("\\\\", "")
    assert rows_of(sent.encode()) == {"t": [[text.replace("\x00", "\u2400") for text in texts]]}


@pytest.mark.parametrize("text", ["1E+3", "-1.5E+10", "0E+2", "-0", "-0.00", "-0E-8", "-0E+2"])
def test_a_form_that_a_number_does_not_keep_is_kept_beside_it(text: str) -> None:
    assert forms_of([body_of({"t_ledger": [[7, 1, "A", "BUY", text]]})]) == f'[["t_ledger",7,4,"{text}"]]'


@pytest.mark.parametrize("text", ["1000", "0.00", "-0.5", "1E-8", "-1E-8", "0E-8", "", "-", "E+", "1E+", "a-0"])
def test_a_form_that_a_number_keeps_is_not(text: str) -> None:
    assert forms_of([body_of({"t_ledger": [[7, 1, "A", "BUY", text]]})]) is None


def test_forms_matter_only_where_a_digest_seals_the_row() -> None:
    assert forms_of([body_of({"equity_curve": [[7, 1, "1E+3"]], "positions": [["a", "b", "c", "-0"]]})]) is None


@settings(max_examples=examples(60, whole=2_000))
@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_every_number_is_written_as_it_was_or_kept_beside(number: D) -> None:
    # Given what a server gives back: the same value with digits and no sign of nothing
    text = str(number)
    back = D(f"{number:f}") if number else abs(D(f"{number:f}"))
    # Then it is written as it was, unless its form is kept beside it
    kept = forms_of([body_of({"t_ledger": [[1, text]]})]) is not None
    assert kept or written(LEDGER, [back]) == [text]


def test_transfers_are_written_without_an_exponent() -> None:
    assert written(TRANSFERS, ["t", D("0.00000001")]) == ["t", "0.00000001"]
    assert written(LEDGER, ["t", D("0.00000001")]) == ["t", "1E-8"]
