"""Every reason for which a row is refused, and every remedy, is told in both languages."""

from __future__ import annotations

from qts.market.files.refusals import ALLOWED, REASONS
from qts.market.files.remedies import SENTENCES
from qts.report.row_advice import ALLOWED_KOREAN, REMEDIES_KOREAN, row_advice


def test_the_tables_are_complete() -> None:
    assert ALLOWED.keys() == ALLOWED_KOREAN.keys() == REASONS.keys()
    assert SENTENCES.keys() == REMEDIES_KOREAN.keys()
    assert all(SENTENCES[code].count("{}") == REMEDIES_KOREAN[code].count("{}") for code in SENTENCES)


def test_a_remedy_s_parameter_stands_in_its_sentence() -> None:
    english, korean = row_advice("unknown_symbol", "zeros:005930")

    assert english == "a symbol that is known; its leading zeros are lost: 005930; keep the column as text"
    assert korean == "알려진 종목; 앞자리 0이 사라졌습니다: 005930. 열을 텍스트로 저장하세요"


def test_without_a_remedy_only_what_is_allowed_is_reported() -> None:
    assert row_advice("overlong", "") == ("at most 1 MiB a line", "한 줄에 최대 1 MiB")
