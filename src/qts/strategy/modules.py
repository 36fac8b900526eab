"""The files a strategy is made of: found without running it, loaded apart from those of every other strategy.

A strategy is its file, the modules of its folder that this one imports, directly or through each other, wherever in
the code the import stands, and the data files that its class names in ``files``. All of them are read once before
anything runs; a module that is loaded later must still be what it was then.

Each strategy has its own copy of the modules of its folder, under a package name of its own, so two folders may
each have a ``helper.py``. Modules of Python, of QTS and installed ones are shared as usual.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from qts.errors import InputError

MAX_FILES: Final = 2_000
"""Number of files that a strategy may be made of."""
_SHARED: Final = sys.stdlib_module_names | {"qts", "__main__"}
"""Modules that a file of the same name in the folder does not hide."""
_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_AT_RUN_TIME: Final = frozenset({"exec", "eval", "run_path", "run_module", "spec_from_file_location"})
_IDENTIFIER: Final = re.compile(r"\W")


class Manifest(NamedTuple):
    """Everything a strategy is made of: class, file, and the SHA-256 (hex) of every file by its path.

    ``names`` are the paths as shown to people, relative to the folder, the strategy's own file first.
    """

    class_name: str
    main: Path
    digests: Mapping[Path, str]

    @property
    def fingerprint(self) -> str:
        """Return what identifies the strategy: class and content of its files, not where its folder lies."""
        own = self.digests[self.main]
        if len(self.digests) == 1:
            return f"{self.class_name}:{own}"
        whole = hashlib.sha256(own.encode())
        for name, digest in sorted(self.by_name.items()):
            if name != os.fsencode(self.main.name):
                whole.update(len(name).to_bytes(4, "little") + name + digest.encode())
        return f"{self.class_name}:{whole.hexdigest()}"

    @property
    def by_name(self) -> dict[bytes, str]:
        """Return the digests by the paths relative to the folder; bytes, because a name need not be text."""
        folder = self.main.parent
        return {os.fsencode(os.path.relpath(path, folder)): digest for path, digest in self.digests.items()}


def manifest_of(main: Path, class_name: str) -> Manifest:
    """Read every file that ``class_name`` in ``main`` is made of. Nothing is run.

    Raises InputError for a file that cannot be read, and for more than 2,000.
    """
    importlib.invalidate_caches()
    found = _Search(main)
    for path in _declared(main, class_name):
        found.add(path)
    return Manifest(class_name, main, found.digests)


def load_file(manifest: Manifest) -> ModuleType:
    """Run the strategy's file with the modules of its folder for itself; whatever that raises comes out of it.

    Raises ImportError, also later out of an import inside a function, for a module whose content is not that of
    ``manifest``, or that is not in it.
    """
    main = manifest.main
    place = hashlib.sha256(os.fsencode(main) + b":" + manifest.class_name.encode()).hexdigest()[:8]
    stem = _IDENTIFIER.sub("_", main.stem)
    root = f"qts_strategy_{stem}_{place}"
    _forget(root)
    unit = _UNITS[root] = _Unit(root, manifest)
    package = ModuleType(root)
    package.__path__ = [str(main.parent)]
    package.__spec__ = ModuleSpec(root, None, is_package=True)
    sys.modules[root] = package
    name = f"{root}.{stem}"
    spec = ModuleSpec(name, _Loader(unit, name, str(main)), origin=str(main))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and enums look their own module up
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        _forget(root)
        raise
    return module


def _forget(root: str) -> None:
    for name in [name for name in sys.modules if name == root or name.startswith(f"{root}.")]:
        del sys.modules[name]
    _UNITS.pop(root, None)


# -- finding -------------------------------------------------------------------------------------------------------


class _Search:
    """Goes from file to file as the imports do."""

    def __init__(self, main: Path) -> None:
        self.digests: dict[Path, str] = {}
        self._folder = main.parent
        self._is_whole = False
        self._todo: list[Path] = []
        self.add(main)
        while self._todo:
            self._read_imports(self._todo.pop())

    def add(self, path: Path) -> None:
        if path in self.digests:
            return
        if len(self.digests) == MAX_FILES:
            raise InputError(
                f"the strategy in {self._folder} is made of more than {MAX_FILES:,} files; give it a folder of "
                "its own"
            )
        try:
            self.digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(
                f"cannot read {path}, of which a strategy is made: {error.strerror or error}"
            ) from None
        if path.suffix == ".py":
            self._todo.append(path)

    def _read_imports(self, path: Path) -> None:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            return  # reported with its line when it is run
        package = list(path.parent.relative_to(self._folder).parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._follow(alias.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                self._follow_from(node, package)
            elif isinstance(node, ast.Call):
                self._follow_call(node, package)

    def _follow_from(self, node: ast.ImportFrom, package: Sequence[str]) -> None:
        parts = node.module.split(".") if node.module else []
        if node.level:
            kept = len(package) - (node.level - 1)
            if kept < 0:
                return
            parts = [*package[:kept], *parts]
        for alias in node.names:
            if alias.name == "*":
                self._add_all(self._folder.joinpath(*parts), deep=False)
            self._follow([*parts, alias.name], relative=node.level > 0)

    def _follow_call(self, node: ast.Call, package: Sequence[str]) -> None:
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in _IMPORTERS:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                inside = name.value.startswith(".")
                self._follow([*(package if inside else ()), *name.value.strip(".").split(".")], relative=inside)
                return
        if called in _IMPORTERS or called in _AT_RUN_TIME:
            self._add_whole_folder()  # which module it will be shows only when it runs

    def _follow(self, parts: Sequence[str], *, relative: bool = False) -> None:
        """Add what importing ``parts`` would run: the packages on the way and the module."""
        if not parts or not (relative or is_local(parts[0], self._folder)):
            return
        place = self._folder
        for part in parts:
            spec = PathFinder.find_spec(part, [str(place)])
            if spec is None:
                return
            if spec.origin is not None and spec.has_location:
                self.add(Path(spec.origin))
            if not spec.submodule_search_locations:
                return
            place = place / part

    def _add_whole_folder(self) -> None:
        if not self._is_whole:
            self._is_whole = True
            self._add_all(self._folder, deep=True)

    def _add_all(self, folder: Path, *, deep: bool) -> None:
        for directory, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if deep and name.isidentifier() and name != "__pycache__")
            for name in sorted(names):
                if name.endswith(".py"):
                    self.add(Path(directory, name))


def is_local(head: str, folder: Path) -> bool:
    """Return whether ``import head`` in a strategy of ``folder`` means a module there."""
    if head in _SHARED:
        return False
    spec = PathFinder.find_spec(head, [str(folder)])
    if spec is None:
        return False
    if spec.loader is not None and spec.origin is not None:
        return True
    try:
        elsewhere = find_spec(head)  # a directory without __init__.py comes after every real module
    except (ImportError, ValueError):
        return True
    return elsewhere is None or elsewhere.origin is None


def declared_files(main: Path, class_name: str) -> tuple[str, ...]:
    """Return the texts in the attribute ``files`` of the class, as they are written in the file; nothing is run."""
    try:
        tree = ast.parse(main.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return tuple(_texts_of("files", node))
    return ()


def _texts_of(name: str, node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            for one in getattr(getattr(line, "value", None), "elts", ()):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield one.value


def _declared(main: Path, class_name: str) -> Iterator[Path]:
    for name in declared_files(main, class_name):
        path = main.parent / name
        if not path.is_file():
            raise InputError(f"{main}: {class_name}.files names {name!r}, and there is no such file at {path}")
        yield path


# -- loading -------------------------------------------------------------------------------------------------------


class _Unit:
    """One strategy's modules: where they come from, and what ``import`` means in them."""

    def __init__(self, root: str, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._folder = manifest.main.parent
        self._local: dict[str, bool] = {}
        self._importlib = _Importlib(self)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module as ``importlib.import_module`` does, for the strategy's modules."""
        own = not name.startswith(".") and self._is_own(name)
        return importlib.import_module(f"{self.root}.{name}" if own else name, package)

    def check(self, path: str, content: bytes) -> None:
        """Raise ImportError for a file that the strategy was not made of when it was read."""
        known = self.manifest.digests.get(Path(path))
        if known is None:
            raise ImportError(
                f"{path} was not found among what the strategy imports, so it is not in its fingerprint: import it "
                "by a plain statement anywhere in the strategy's modules, or name it in files"
            )
        if hashlib.sha256(content).hexdigest() != known:
            raise ImportError(f"{path} is not what it was when the strategy was read; begin a new run to trade it")

    def _is_own(self, name: str) -> bool:
        head = name.partition(".")[0]
        if head not in self._local:
            self._local[head] = is_local(head, self._folder)
        return self._local[head]

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and self._is_own(name):
            found = importlib.__import__(f"{self.root}.{name}", globals, locals, fromlist or ("__name__",), 0)
            return found if fromlist else sys.modules[f"{self.root}.{name.partition('.')[0]}"]
        found = builtins.__import__(name, globals, locals, fromlist or (), level)
        return self._importlib if found is importlib else found


class _Importlib(ModuleType):
    """``importlib`` as a strategy sees it: modules of its folder are its own here, too."""

    def __init__(self, unit: _Unit) -> None:
        super().__init__("importlib")
        self.import_module = unit.import_module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)


class _Loader(SourceFileLoader):
    """Runs a source file as it was when the strategy was read; compiled files of earlier ones are not looked at."""

    def __init__(self, unit: _Unit, name: str, path: str) -> None:
        super().__init__(name, path)
        self._unit = unit

    def path_stats(self, path: Any) -> Any:
        raise OSError("a compiled file identifies its source by size and second alone")

    def get_data(self, path: Any) -> bytes:
        content = super().get_data(path)
        self._unit.check(path, content)
        return content

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._unit.builtins
        super().exec_module(module)


class _Finder:
    """Finds the modules below the packages of strategies, and no others."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        unit = _UNITS.get(name.partition(".")[0])
        spec = None if unit is None else PathFinder.find_spec(name, path)
        if unit is None or spec is None or spec.origin is None:
            return spec
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(unit, name, spec.origin)
            spec.cached = None
        else:
            unit.check(spec.origin, Path(spec.origin).read_bytes())
        return spec


_UNITS: Final[dict[str, _Unit]] = {}
sys.meta_path.insert(0, _Finder)
