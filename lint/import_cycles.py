"""Finds import cycles between the modules of the package, also those that exist for types alone.

``python lint/import_cycles.py [ROOT]`` reads every module below ROOT (``src``) and names each cycle it finds; its
exit status is 1 when there is one. Counted are imports anywhere in a module: at its top, under ``TYPE_CHECKING``
and inside functions, absolute and relative ones, of modules below ROOT. Not counted is that importing ``a.b`` runs
the package ``a`` first: a package that imports its own modules would else be a cycle with each of them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


def main(arguments: list[str]) -> int:
    """Name the cycles below the given folder; 1 when there are any."""
    graph = import_graph(Path(arguments[0] if arguments else "src"))
    cycles = cycles_of(graph)
    for cycle in cycles:
        sys.stdout.write(f"import cycle: {' -> '.join([*cycle, cycle[0]])}\n")
    return 1 if cycles else 0


def import_graph(root: Path) -> dict[str, set[str]]:
    """Return for every module below ``root`` the modules below ``root`` that it imports."""
    paths = {module_name(path.relative_to(root)): path for path in sorted(root.rglob("*.py"))}
    return {name: set(imported_by(name, path, paths)) - {name} for name, path in paths.items()}


def module_name(path: Path) -> str:
    """Return the dotted name of a module by its path relative to the folder that is imported from."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the ``known`` modules that the module ``name`` in ``path`` imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            module = source_of(node, name, is_package=path.name == "__init__.py")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                if inner in known:
                    yield inner
                elif module in known:
                    yield module


def source_of(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    """Return the absolute name of what ``from … import`` names in the module ``name``."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, node.module] if node.module else kept)


def cycles_of(graph: Graph) -> list[list[str]]:
    """Return one cycle of each group of modules that import each other, in the order of the imports."""
    return [shortest_cycle(graph, group) for group in tangled_groups(graph)]


def tangled_groups(graph: Graph) -> list[set[str]]:
    """Return the groups of modules each of which can be reached from every other one of its group."""
    groups, grouped = [], set[str]()
    for name in sorted(graph):
        if name in grouped:
            continue
        group = {other for other in reached_from(graph, name) if name in reached_from(graph, other)}
        grouped |= group
        if group:
            groups.append(group)
    return groups


def reached_from(graph: Graph, name: str) -> set[str]:
    """Return every module that is imported by ``name``, directly or by another one."""
    reached: set[str] = set()
    left = list(graph[name])
    while left:
        one = left.pop()
        if one not in reached:
            reached.add(one)
            left += graph[one]
    return reached


def shortest_cycle(graph: Graph, group: set[str]) -> list[str]:
    """Return a shortest way through ``group`` from its first module back to it."""
    start = min(group)
    ways = [[start]]
    for way in ways:
        for one in sorted(graph[way[-1]] & group):
            if one == start:
                return way
            if all(one not in earlier for earlier in ways):
                ways.append([*way, one])
    raise AssertionError(f"{start} is in no cycle")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
