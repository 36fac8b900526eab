"""A docstring begins with what is done, or with what the thing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint.docstrings import main, offences_in


def offences(text: str) -> list[str]:
    return [offence for _, offence in offences_in(text)]


@pytest.mark.parametrize("begins", ["Return the", "Carry the", "Pass it, and", "Return: a", "Wait for", "Pass on"])
def test_a_function_begins_with_a_verb(begins: str) -> None:
    assert offences(f'def f():\n    """{begins} price."""') == []


@pytest.mark.parametrize(
    "begins",
    [
        "The",
        "What is the",
        "Whether the",
        "How the",
        "return the",
        "Tell the",
        "Returns the",
        "``price`` is the",
        "Record of",
        "Number for the",
        "Report about",
        "Order number",
    ],
)
def test_anything_else_is_no_verb(begins: str) -> None:
    assert offences(f'def f():\n    """{begins} price."""') == [
        f"the docstring of f begins with {begins.split()[0]!r}, not with a verb"
    ]


def test_properties_methods_and_inner_functions_are_functions() -> None:
    text = 'class A:\n @property\n async def b(self):\n  """The b."""\n  def c():\n   """The c."""'
    assert [line for line, _ in offences_in(text)] == [3, 5]


def test_a_class_begins_with_what_it_is() -> None:
    assert offences('class A:\n    """A queue of values."""') == []
    assert offences('class A:\n    """Publishes values."""') == []
    assert offences('class A:\n    """Told on the thread."""') != []
    assert offences('class A:\n    """What is queued."""') == [
        "the docstring of A begins with 'What': name what it is"
    ]


def test_a_module_begins_with_what_it_is() -> None:
    assert offences('"""Queues of values."""') == []
    assert offences('"""How values are queued."""') == [
        "the docstring of the module begins with 'How': name what it is"
    ]


def test_a_function_without_docstring_is_none_of_its_business() -> None:
    assert offences("def f(): ...\nclass A:\n    def g(self): ...") == []


def test_a_public_method_of_a_protocol_has_a_docstring_with_a_period() -> None:
    port = "class A(Other, Protocol):\n    def b(self): ...\n    def _c(self): ...\n    def d(self):\n        "
    assert offences(port + '"""Return it."""') == ["A.b of a Protocol has no docstring"]
    assert offences(port + '"""Return it"""')[1:] == ["the first paragraph of A.d has no period"]


@pytest.mark.parametrize("base", ["P", "P[int]", "typing.Protocol", "typing.Protocol[int]"])
def test_a_protocol_is_one_under_any_name(base: str) -> None:
    text = f"import typing\nfrom typing import Protocol as P\nclass A({base}):\n    def b(self): ..."
    assert offences(text) == ["A.b of a Protocol has no docstring"]


def test_what_only_has_protocol_in_its_name_is_none() -> None:
    assert offences("class A(ProtocolError):\n    def b(self): ...") == []


def test_nothing_to_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for root in (tmp_path / "nosuch", tmp_path):
        assert main([str(root)]) == 2
        assert capsys.readouterr().err == f"{root}: no module to read\n"


def test_the_command_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "qts" / "a.py"
    module.parent.mkdir()
    module.write_text('def f():\n    """The price."""\n')
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{module}:1: the docstring of f begins with 'The', not with a verb\n"
    module.write_text('def f():\n    """Return the price."""\n')
    assert main([str(tmp_path)]) == 0
