"""Every note that the code makes has its text in both languages, with the same parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import qts
from qts.notes import english, korean

SOURCE = Path(qts.__file__).parent
PAIRS = ("을/를", "은/는", "이/가", "으로/로", "과/와")


def parameters_of(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def made() -> Iterator[tuple[str, ast.Call]]:
    """Every call of Note.of in the package, with its place."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Note.of":
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_both_languages_have_the_same_codes() -> None:
    assert list(english.TEXTS) == list(korean.TEXTS)


@pytest.mark.parametrize("code", english.TEXTS)
def test_a_text_names_the_same_parameters_in_both_languages(code: str) -> None:
    assert parameters_of(english.TEXTS[code]) == parameters_of(korean.TEXTS[code])


@pytest.mark.parametrize("code", english.TEXTS)
def test_the_english_agrees_in_number_and_the_korean_in_its_particles(code: str) -> None:
    specs = {spec for _, _, spec, _ in Formatter().parse(english.TEXTS[code]) if spec}
    assert all(spec.count("|") == 1 for spec in specs)
    assert {spec for _, _, spec, _ in Formatter().parse(korean.TEXTS[code]) if spec} <= set(PAIRS)


def test_every_note_that_is_made_is_in_the_catalogues_and_gives_what_its_text_names() -> None:
    wrong = []
    for place, call in made():
        code = call.args[0]
        if not isinstance(code, ast.Constant) or code.value not in english.TEXTS:
            wrong.append(f"{place}: {ast.unparse(code)}")
        elif {str(keyword.arg) for keyword in call.keywords} != parameters_of(english.TEXTS[code.value]):
            wrong.append(f"{place}: {ast.unparse(call)}")
    assert wrong == []


def test_every_text_belongs_to_a_note_that_is_made() -> None:
    used = {call.args[0].value for _, call in made() if isinstance(call.args[0], ast.Constant)}
    assert set(english.TEXTS) - used == set()


def test_notes_are_made_by_their_code_alone() -> None:
    """Note(...) itself would take parameters that no test compares with the text."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "Note"), f"{path}:{node.lineno}"
