"""A count and its noun agree, and no text of another program reaches the terminal as it is."""

import pytest

from qts.wording import counted, printable


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders"), (12_345, "12,345 orders")]
)
def test_only_one_is_singular_and_thousands_are_grouped(count: int, text: str) -> None:
    assert counted(count, "order") == text


def test_an_irregular_plural_is_given() -> None:
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(3, "entry", "entries") == "3 entries"


def test_what_another_program_says_does_not_command_the_terminal() -> None:
    assert printable("비밀번호 wrong – 100 €") == "비밀번호 wrong – 100 €"
    assert printable("a\x1b[31mred\x07\n\u202eb\ud800") == r"a\x1b[31mred\x07\n\u202eb\ud800"
    assert printable("abcdef", 3) == "abc…"
