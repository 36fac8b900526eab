"""Whatever can be refused, skipped or checked has its sentence, in both languages."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from qts.market.files.refusals import REASONS
from qts.report.meanings import (
    CODES_KOREAN,
    CURRENCIES_KOREAN,
    INVARIANTS,
    LIMITS_KOREAN,
    REFUSALS,
    ROWS_KOREAN,
    STATES_KOREAN,
    UNITS_KOREAN,
)
from qts.report.tables import limit_meanings
from qts.report.time_charts import money_scale
from qts.risk.config import RiskConfig
from qts.risk.contracts import Refusal
from qts.runtime.checks.invariants import NUMBERS
from qts.safety.codes import CATALOGUE
from qts.state.contracts import OperatingState


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


def test_every_limit_every_code_and_every_unit_has_its_korean() -> None:
    assert set(LIMITS_KOREAN) == set(RiskConfig.__struct_fields__)
    assert set(CODES_KOREAN) == set(CATALOGUE)
    assert set(STATES_KOREAN) == {state.value for state in OperatingState}
    assert set(UNITS_KOREAN) == {money_scale([amount])[1] for amount in (1.0, 2e3, 2e6, 2e9, 2e12)}


@pytest.mark.parametrize("told", [ROWS_KOREAN, LIMITS_KOREAN, CODES_KOREAN, STATES_KOREAN, CURRENCIES_KOREAN])
def test_what_is_called_korean_is_korean(told: Mapping[str, str]) -> None:
    assert all(any("가" <= char <= "힣" for char in text) for text in told.values())


def test_the_korean_of_a_code_names_the_numbers_that_the_english_names() -> None:
    for code, entry in CATALOGUE.items():
        english = entry.meaning.replace("zero", "0")
        assert re.findall(r"\d+(?:\.\d+)?", CODES_KOREAN[code]) == re.findall(r"\d+(?:\.\d+)?", english), code
