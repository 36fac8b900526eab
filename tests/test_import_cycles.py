"""No module of the package imports one that imports it, however far around, not even for types."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint.import_cycles import cycles_of, import_graph

SRC = Path(__file__).parents[1] / "src"


def cycles(root: Path, **modules: str) -> list[list[str]]:
    """The cycles of a package ``p`` of the given modules."""
    folder = root / "p"
    folder.mkdir()
    for name, text in {"__init__": "", **modules}.items():
        (folder / f"{name}.py").write_text(text)
    return cycles_of(import_graph(root))


def test_imports_in_one_direction_are_no_cycle(tmp_path: Path) -> None:
    assert cycles(tmp_path, a="import p.b\nfrom p import c", b="from p.c import d\nimport os", c="d = 1") == []


@pytest.mark.parametrize(
    "back",
    [
        "from p.a import x",
        "from p import a",
        "from . import a",
        "from .a import x",
        "import p.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import X",
        "def late():\n    from p.a import x",
    ],
)
def test_a_way_back_of_any_kind_is_a_cycle(tmp_path: Path, back: str) -> None:
    assert cycles(tmp_path, a="import p.b", b="import p.c", c=back) == [["p.a", "p.b", "p.c"]]


def test_a_package_that_takes_names_from_its_modules_is_no_cycle_with_them(tmp_path: Path) -> None:
    assert cycles(tmp_path, __init__="from p.a import x", a="from p.b import x", b="x = 1") == []


def test_a_package_is_a_module_when_a_name_of_its_own_is_imported(tmp_path: Path) -> None:
    assert cycles(tmp_path, __init__="from p.a import x", a="from p import version") == [["p", "p.a"]]


def test_the_shortest_way_round_of_each_tangle_is_named(tmp_path: Path) -> None:
    found = cycles(
        tmp_path,
        a="import p.b",
        b="import p.a, p.c",
        c="import p.b",
        d="import p.e",
        e="import p.f",
        f="import p.d",
    )

    assert found == [["p.a", "p.b"], ["p.d", "p.e", "p.f"]]


def test_the_package_has_no_import_cycle() -> None:
    graph = import_graph(SRC)

    assert len(graph) > 200
    assert cycles_of(graph) == []
