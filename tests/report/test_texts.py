"""Whatever can be refused, skipped or checked has its sentence, in both languages."""

from __future__ import annotations

from qts.market.files.refusals import REASONS
from qts.report.tables import limit_meanings
from qts.report.texts import INVARIANTS, REFUSALS, ROWS_KOREAN
from qts.risk.config import RiskConfig
from qts.risk.contracts import Refusal
from qts.runtime.invariants import NUMBERS


def test_every_refusal_is_explained() -> None:
    assert set(REFUSALS) == {reason.value for reason in Refusal}


def test_every_invariant_is_explained() -> None:
    assert set(INVARIANTS) == set(NUMBERS)


def test_every_reason_to_skip_a_row_is_explained() -> None:
    assert set(ROWS_KOREAN) == set(REASONS)


def test_each_sentence_exists_in_both_languages_and_they_differ() -> None:
    for english, korean in (*REFUSALS.values(), *INVARIANTS.values()):
        assert english.isascii()
        assert any("가" <= char <= "힣" for char in korean)


def test_every_limit_of_the_gate_says_what_it_means() -> None:
    meanings = limit_meanings()
    assert set(meanings) == set(RiskConfig.__struct_fields__)
    assert all(meanings.values())
    assert not any("spec" in text or "own choice" in text for text in meanings.values())
