"""A count and its noun agree."""

import pytest

from qts.wording import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (12_345, "12,345 orders")]
)
def test_only_one_is_singular_and_thousands_are_grouped(count: int, text: str) -> None:
    assert counted(count, "order") == text


def test_an_irregular_plural_is_given() -> None:
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(3, "entry", "entries") == "3 entries"
