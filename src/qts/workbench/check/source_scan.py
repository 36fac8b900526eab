"""Reads the source of a strategy for what it asks of clock, chance, network and files; nothing is run.

Only code that the class can reach counts: its own, the statements at the top of its files, and every function or
class whose name these mention. A block under ``if __name__ == "__main__"`` does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from qts.workbench.check.outside import METHODS, SEEDED, Outside, kind_of

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Written(msgspec.Struct, frozen=True):
    """A call, or another mention, of something from outside: what, by which name, from which line to which."""

    kind: Outside
    name: str
    path: str
    line: int
    last_line: int


def written_in(paths: Iterable[Path], class_name: str) -> list[Written]:
    """Return what the code of ``class_name`` in ``paths`` mentions, in the order of the files and lines.

    A file that cannot be read or parsed is left out: running it has told.
    """
    trees = {path: tree for path in paths if path.suffix == ".py" and (tree := _tree_of(path)) is not None}
    reached = _reached(trees, class_name)
    found: dict[tuple[str, int, str], Written] = {}
    for path, tree in trees.items():
        names = _imported(tree)
        for node in _nodes_of(tree, reached):
            for one in _mentions(node, names, str(path)):
                found.setdefault((one.path, one.line, one.name), one)
    return list(found.values())


def _tree_of(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return None


def _reached(trees: Mapping[Path, ast.Module], class_name: str) -> set[_Definition]:
    """Return the functions and classes that the class can reach, judged by their names alone."""
    by_name: dict[str, list[_Definition]] = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, _Definition):
                by_name.setdefault(node.name, []).append(node)
    reached: set[_Definition] = set()
    todo = list(by_name.get(class_name, []))
    mentioned = [node for tree in trees.values() for node in tree.body if not isinstance(node, _Definition)]
    todo += [
        one for node in mentioned if not _is_main(node) for name in _words(node) for one in by_name.get(name, [])
    ]
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            todo += [one for name in _words(node) for one in by_name.get(name, [])]
    return reached


def _words(node: ast.AST) -> set[str]:
    return {
        word
        for inner in ast.walk(node)
        for word in (getattr(inner, "id", None), getattr(inner, "attr", None))
        if isinstance(word, str)
    }


def _nodes_of(tree: ast.Module, reached: set[_Definition]) -> Iterator[ast.AST]:
    for node in tree.body:
        if (isinstance(node, _Definition) and node in reached) or not (
            isinstance(node, _Definition) or _is_main(node)
        ):
            yield from ast.walk(node)


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(getattr(one, "id", "") == "__name__" for one in ast.walk(node.test))


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return what the names that the file imports stand for, wherever in it the import is."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                names[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _mentions(node: ast.AST, names: Mapping[str, str], path: str) -> Iterator[Written]:
    if isinstance(node, ast.Call):
        full = _full_name(node.func, names)
        last = node.end_lineno or node.lineno
        if full in SEEDED and not node.args and not node.keywords:
            yield Written(Outside.RANDOM, f"{full} without a seed", path, node.lineno, last)
        elif full == "open":
            yield Written(Outside.FILE, full, path, node.lineno, last)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            yield Written(METHODS[node.func.attr], node.func.attr, path, node.lineno, last)
    elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        full = _full_name(node, names)
        kind = None if full in SEEDED or full == "open" else kind_of(full)
        if kind is not None:
            yield Written(kind, full, path, node.lineno, node.end_lineno or node.lineno)


def _full_name(node: ast.AST, names: Mapping[str, str]) -> str:
    """Return the dotted name that an expression stands for; "": it is none, or of what was not imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "open" if node.id == "open" else "")
    if isinstance(node, ast.Attribute):
        head = _full_name(node.value, names)
        return f"{head}.{node.attr}" if head and head != "open" else ""
    return ""
