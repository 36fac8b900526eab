"""What a strategy is made of, and that no other strategy sees it."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qts.errors import InputError
from qts.strategy.loading import RAISED, fingerprint_of, load_strategy
from qts.strategy.modules import load_file, manifest_of
from tests.strategy.test_loading import GOOD


def put(folder: Path, **files: str) -> Path:
    """Write modules (``pkg__sub`` is pkg/sub.py, ``pkg____init__`` pkg/__init__.py); gives the folder."""
    for name, text in files.items():
        stem, init, _ = name.partition("____init__")
        path = folder.joinpath(*stem.split("__"), *(["__init__"] if init else [])).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def loaded(folder: Path) -> Any:
    return load_file(manifest_of(folder / "mine.py", "Mine"))


def names(folder: Path, class_name: str = "Mine") -> list[str]:
    return sorted(os.fsdecode(name) for name in manifest_of(folder / "mine.py", class_name).by_name)


# -- what belongs to it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import helper",
        "import helper as other",
        "from helper import x",
        "from . import helper",
        "from .helper import x",
        "def late():\n    import helper",
        "class A:\n    def late(self):\n        from helper import x",
        "try:\n    import helper\nexcept ImportError:\n    pass",
        "if False:\n    import helper",
        "import importlib\nimportlib.import_module('helper')",
        "from importlib import import_module\nimport_module('helper')",
        "import importlib\nimportlib.import_module('.helper', __package__)",
        "__import__('helper')",
        "import first",
        "import pkg.inner",
        "from pkg import inner",
        "from pkg.inner import y",
        "import importlib\nimportlib.import_module('hel' + 'per')",
    ],
)
def test_a_module_belongs_to_it_however_it_is_imported(statement: str, tmp_path: Path) -> None:
    put(
        tmp_path,
        mine=statement,
        helper="x = 1",
        first="import second",
        second="def f():\n    from helper import x",
        pkg____init__="",
        pkg__inner="from ..helper import x as y",
    )
    before = manifest_of(tmp_path / "mine.py", "Mine").fingerprint
    assert loaded(tmp_path) is not None

    put(tmp_path, helper="x = 2")

    assert "helper.py" in names(tmp_path)
    assert manifest_of(tmp_path / "mine.py", "Mine").fingerprint != before


def test_what_it_does_not_import_does_not_belong_to_it(tmp_path: Path) -> None:
    put(tmp_path, mine="import json, helper, numpy_of_none", helper="", json="", other="", pkg____init__="")

    assert names(tmp_path) == ["helper.py", "mine.py"], "modules of Python are Python's"


def test_every_package_on_the_way_belongs_to_it(tmp_path: Path) -> None:
    put(tmp_path, mine="import a.b.c", a____init__="", a__b____init__="from . import d", a__b__c="", a__b__d="")

    assert names(tmp_path) == ["a/__init__.py", "a/b/__init__.py", "a/b/c.py", "a/b/d.py", "mine.py"]


def test_a_star_brings_all_of_a_package(tmp_path: Path) -> None:
    put(tmp_path, mine="from a import *", a____init__="__all__ = ['b']", a__b="x = 3")

    assert "a/b.py" in names(tmp_path)
    assert loaded(tmp_path).b.x == 3


def test_a_strategy_of_one_file_is_known_by_its_file_alone(tmp_path: Path) -> None:
    import hashlib

    put(tmp_path, mine=GOOD)

    assert fingerprint_of(f"{tmp_path}/mine.py:Mine") == f"Mine:{hashlib.sha256(GOOD.encode()).hexdigest()}"


def test_the_place_of_the_folder_does_not_matter_and_the_names_in_it_do(tmp_path: Path) -> None:
    prints = []
    for number, helper in enumerate(("a", "a", "a____init__")):
        folder = put(tmp_path / str(number), mine="from a import *")
        put(folder, **{helper: "x = 1"})
        prints.append(manifest_of(folder / "mine.py", "Mine").fingerprint)

    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_a_data_file_that_it_declares_belongs_to_it(tmp_path: Path) -> None:
    put(tmp_path, mine=GOOD.replace("    name =", '    files = ("weights.json", "more/table.csv")\n    name ='))
    (tmp_path / "more").mkdir()
    (tmp_path / "weights.json").write_text("[1]")
    (tmp_path / "more/table.csv").write_text("1")
    spec = f"{tmp_path}/mine.py:Mine"
    before = fingerprint_of(spec)
    assert load_strategy(spec).name == "mine"

    (tmp_path / "more/table.csv").write_text("2")

    assert names(tmp_path) == ["mine.py", "more/table.csv", "weights.json"]
    assert names(tmp_path, "Other") == ["mine.py"]
    assert fingerprint_of(spec) != before


def test_a_declared_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path, mine=GOOD.replace("    name =", '    files = ["weights.json"]\n    name ='))

    with pytest.raises(InputError, match=r"Mine\.files names 'weights\.json', and there is no such file"):
        fingerprint_of(f"{tmp_path}/mine.py:Mine")


def test_declared_files_have_to_be_written_in_the_class(tmp_path: Path) -> None:
    put(tmp_path, mine="NAME = 'mine.py'\n" + GOOD.replace("    name =", "    files = (NAME,)\n    name ="))

    with pytest.raises(InputError, match=r"write Mine\.files as plain texts in the class itself"):
        load_strategy(f"{tmp_path}/mine.py:Mine")


def test_another_use_of_the_name_files_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, mine=GOOD.replace("    name =", "    files = {}\n    name ="))

    assert load_strategy(f"{tmp_path}/mine.py:Mine").name == "mine"


# -- only its own --------------------------------------------------------------------------------------------------


def test_two_folders_may_each_have_a_helper(tmp_path: Path) -> None:
    text = "import helper\ndef early(): return helper.x\ndef late():\n    from pkg import y\n    return y"
    modules = [
        loaded(put(tmp_path / name, mine=text, helper=f"x = {name!r}", pkg____init__=f"y = {name!r}"))
        for name in ("a", "b")
    ]

    assert [module.early() for module in modules] == ["a", "b"]
    assert [module.late() for module in modules] == ["a", "b"]
    assert [module.late() for module in reversed(modules)] == ["b", "a"]


def test_two_classes_of_one_folder_share_no_module(tmp_path: Path) -> None:
    put(tmp_path, mine="import helper\ndef count():\n    helper.n += 1\n    return helper.n", helper="n = 0")
    one, other = (load_file(manifest_of(tmp_path / "mine.py", name)) for name in ("One", "Other"))

    assert [one.count(), one.count(), other.count()] == [1, 2, 1]


def test_nothing_of_a_strategy_is_found_under_its_plain_name(tmp_path: Path) -> None:
    before = (list(sys.path), "helper" in sys.modules)
    loaded(put(tmp_path, mine="import helper", helper=""))

    assert (list(sys.path), "helper" in sys.modules) == before
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("helper")


def test_its_dynamic_imports_are_its_own_too(tmp_path: Path) -> None:
    text = "import importlib, importlib.util\ndef late(name): return importlib.import_module(name).x"
    one, other = (loaded(put(tmp_path / name, mine=text, helper=f"x = {name!r}")) for name in ("a", "b"))

    assert (one.late("helper"), other.late("helper")) == ("a", "b")
    assert one.importlib.util is importlib.util
    assert one.importlib.import_module("json") is sys.modules["json"]


def test_modules_of_python_and_of_qts_are_the_same_for_all(tmp_path: Path) -> None:
    put(tmp_path, mine="import json, qts.money\nfrom qts.capital.contracts import Pool", qts____init__="", json="")
    module = loaded(tmp_path)

    from qts.capital.contracts import Pool

    assert module.json is sys.modules["json"]
    assert module.Pool is Pool


def test_a_variable_of_the_name_of_a_neighbour_stays_a_variable(tmp_path: Path) -> None:
    module = loaded(put(tmp_path, mine="config = 7\nimport other", other="import config", config=""))

    assert module.config == 7


def test_dataclasses_of_a_neighbour_find_their_module(tmp_path: Path) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    helper = head + "@dataclass\nclass D:\n    x: int = 1"
    module = loaded(put(tmp_path, mine="from helper import D", helper=helper))

    assert module.D().x == 1
    assert isinstance(sys.modules[module.D.__module__], ModuleType)


def test_it_may_import_itself_and_round_in_circles(tmp_path: Path) -> None:
    module = loaded(put(tmp_path, mine="x = 1\nimport helper", helper="import mine\ny = mine.x"))

    assert module.helper.y == 1
    assert module.helper.mine is module


# -- what changes under it ---------------------------------------------------------------------------------------


def test_a_module_that_has_changed_is_not_taken_late(tmp_path: Path) -> None:
    module = loaded(put(tmp_path, mine="def late():\n    import helper\n    return helper.x", helper="x = 1"))
    put(tmp_path, helper="x = 2")

    with pytest.raises(ImportError, match=r"helper\.py is not what it was when the strategy was read"):
        module.late()


def test_a_module_that_was_not_there_is_not_taken_late(tmp_path: Path) -> None:
    text = "def late():\n    try:\n        import helper\n    except ModuleNotFoundError:\n        return 'none'"
    module = loaded(put(tmp_path, mine=text))
    put(tmp_path, helper="x = 2")

    with pytest.raises(ImportError, match="it is not in its fingerprint"):
        module.late()


def test_a_compiled_file_of_an_older_text_is_not_run(tmp_path: Path) -> None:
    """Given two texts of one size and one second, as an editor on a fast machine leaves them."""
    put(tmp_path, mine="import helper", helper="x = 1")
    import py_compile

    py_compile.compile(str(tmp_path / "helper.py"))
    times = os.stat(tmp_path / "helper.py")
    put(tmp_path, helper="x = 2")
    os.utime(tmp_path / "helper.py", ns=(times.st_atime_ns, times.st_mtime_ns))

    assert loaded(tmp_path).helper.x == 2


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    put(tmp_path, mine="import helper\nraise SystemExit(1)", helper="")
    before = set(sys.modules)

    with pytest.raises(RAISED):
        loaded(tmp_path)

    assert set(sys.modules) == before


# -- names --------------------------------------------------------------------------------------------------------


def test_names_need_not_be_text(tmp_path: Path) -> None:
    """Given names in EUC-KR on a system of UTF-8 names."""
    folder = tmp_path / os.fsdecode(b"\xc0\xfc\xb7\xab")
    folder.mkdir()
    weights = os.fsdecode(b"\xb0\xa1.json")
    (folder / weights).write_text("1")
    text = GOOD.replace("    name =", f"    files = ({weights!a},)\n    name =")
    file = folder / os.fsdecode(b"\xb3\xaa.py")
    put(folder, helper="x = 1")
    file.write_text("import helper\n" + text)

    before = fingerprint_of(f"{file}:Mine")
    assert load_strategy(f"{file}:Mine").name == "mine"
    (folder / weights).write_text("2")
    assert fingerprint_of(f"{file}:Mine") != before
