"""What mutants a module has: operators of mutmut, and statements left out, on the bodies of its functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as fields_of
from itertools import accumulate

import libcst as cst
from libcst.metadata import (
    CodeRange,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    WhitespaceInclusivePositionProvider,
)
from mutmut.mutation import mutators

LEFT_OUT = {mutators.operator_arg_removal, mutators.operator_assignment}
"""Put None in the place of an argument or of a value, or drop an argument: the type checker refuses nearly all."""
SWAPPED = {
    "plus": "minus",
    "minus": "plus",
    "times": "ratio",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
}
"""Functions in the place of each other: amounts are computed with those of ``qts.money``, not with operators."""
WITHOUT = {"negated", "magnitude", "sorted"}
"""Functions whose argument takes their place."""
WORDING = {"debug", "info", "warning", "error", "exception", "critical"}
"""Calls whose strings are for readers, as those of a ``raise`` are: how a message is worded is no behaviour."""


@dataclass(frozen=True)
class Mutant:
    """A function with one place changed.

    ``line`` is the first line that differs and ``mutated`` what it became, both without their indentation;
    ``first`` and ``last`` are the numbers of the lines of its statement up to the place, from 1. ``source`` is that
    of the whole module, where the characters from ``start`` to ``end`` become ``text``.
    """

    module: str
    function: str
    line: str
    mutated: str
    first: int
    last: int
    source: str
    start: int
    end: int
    text: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what stays the same when lines are added elsewhere in the module."""
        return self.module, self.function, self.line, self.mutated

    @property
    def mutated_source(self) -> str:
        """Return the module with the place changed; it may be no Python."""
        return self.source[: self.start] + self.text + self.source[self.end :]


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines.

    Left out are annotations, decorators, defaults of parameters, documentation, the wording of errors and of the
    log, and code outside functions.
    """
    tree = cst.parse_module(source)
    finder = _Finder(module, tree)
    MetadataWrapper(tree, unsafe_skip_copy=True).visit(finder)
    return sorted(finder.found, key=lambda one: one.first)


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (ParentNodeProvider, PositionProvider, WhitespaceInclusivePositionProvider)

    def __init__(self, module: str, tree: cst.Module) -> None:
        super().__init__()
        self.found: list[Mutant] = []
        self._module = module
        self._tree = tree
        self._source = tree.code
        self._lines = self._source.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, self._lines))]
        self._names: list[str] = []
        self._functions = 0

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._names.append(node.name.value)

    def leave_ClassDef(self, node: cst.ClassDef) -> None:
        self._names.pop()

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        if not self._functions:
            self._names.append(node.name.value)
        self._functions += 1
        node.body.visit(self)
        self._functions -= 1
        if not self._functions:
            self._names.pop()
        return False

    def visit_Annotation(self, node: cst.Annotation) -> bool:
        return False

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString):
            return False  # documentation
        if self._functions:
            for changed in self._changes(node):
                self._add(*_smallest(node, changed))
        return super().on_visit(node)

    def _changes(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        if _does_something(node) and not self._is_wording(node):
            yield cst.Pass()
        if isinstance(node, cst.Name) and node.value in SWAPPED:
            yield node.with_changes(value=SWAPPED[node.value])
        if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in WITHOUT:
            yield node.args[0].value
        for kind, operator in mutators.mutation_operators:
            if isinstance(node, kind) and operator not in LEFT_OUT:
                if operator is not mutators.operator_string:
                    yield from operator(node)
                elif not self._is_wording(node):
                    yield from list(operator(node))[:1]  # XXtextXX; those of the case of letters add nothing

    def _is_wording(self, node: cst.CSTNode) -> bool:
        at: cst.CSTNode | None = node
        while at is not None and not isinstance(at, cst.FunctionDef):
            if isinstance(at, cst.Raise | cst.Assert | cst.FormattedString):
                return True
            call = at.value if isinstance(at, cst.Expr) else at
            if (
                isinstance(call, cst.Call)
                and isinstance(call.func, cst.Attribute)
                and call.func.attr.value in WORDING
            ):
                return True
            at = self.get_metadata(ParentNodeProvider, at, None)
        return False

    def _statement_of(self, node: cst.CSTNode, first: int) -> int:
        """Return the first line of the statement around ``node``: of one over several lines not each is traced."""
        at: cst.CSTNode | None = node
        while at is not None and not isinstance(at, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            at = self.get_metadata(ParentNodeProvider, at, None)
        if at is None or isinstance(at, cst.FunctionDef):
            return first
        lines: CodeRange = self.get_metadata(PositionProvider, at)
        return lines.start.line

    def _add(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        where = self.get_metadata(WhitespaceInclusivePositionProvider, node)
        first, last = where.start.line, where.end.line
        start = self._starts[first - 1] + where.start.column
        end = self._starts[last - 1] + where.end.column
        text = self._tree.code_for_node(changed)
        at = first - 1
        before = self._lines[at]
        after = (before[: where.start.column] + text + self._source[end : self._starts[last]]).splitlines()[0]
        self.found.append(
            Mutant(
                self._module,
                ".".join(self._names),
                before.strip(),
                after.strip(),
                self._statement_of(node, first),
                last,
                self._source,
                start,
                end,
                text,
            )
        )


def _does_something(node: cst.CSTNode) -> bool:
    """Return whether the statement is a call, or gives a value to an attribute or an item."""
    if isinstance(node, cst.Expr):
        return isinstance(node.value, cst.Call | cst.Await)
    if isinstance(node, cst.Assign):
        return isinstance(node.targets[0].target, cst.Attribute | cst.Subscript)
    return isinstance(node, cst.AnnAssign) and node.value is not None and isinstance(node.target, cst.Attribute)


def _smallest(old: cst.CSTNode, new: cst.CSTNode) -> tuple[cst.CSTNode, cst.CSTNode]:
    """Return the innermost part that differs, and what it became: of a long expression its operator."""
    if type(old) is type(new):
        parts = [
            (getattr(old, f.name), getattr(new, f.name))
            for f in fields_of(old)
            if getattr(old, f.name) is not getattr(new, f.name)
        ]
        if len(parts) == 1 and isinstance(parts[0][0], cst.CSTNode) and isinstance(parts[0][1], cst.CSTNode):
            return _smallest(*parts[0])
    return old, new
