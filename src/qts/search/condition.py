"""A condition between parameters, such as ``fast < slow``: read once, never run as a program."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from qts.errors import InputError

_MOST_CHARACTERS: Final = 500
_FORM: Final = "write comparisons of parameters and numbers, such as 'fast < slow and slow - fast >= 5'"

_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_COMBINE: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


class Condition:
    """The texts of ``--where``, all of which have to hold.

    Raises InputError for what is no comparison of the ``names`` and numbers.
    """

    def __init__(self, texts: Sequence[str], names: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._names = frozenset(names)
        self._trees = [self._tree(text) for text in texts]

    def holds(self, params: Mapping[str, str]) -> bool:
        """Return whether the parameters meet it. Raises InputError when two values cannot be compared."""
        values = {name: _value(text) for name, text in params.items()}
        for text, tree in zip(self.texts, self._trees, strict=True):
            try:
                met = _evaluated(tree, values)
            except (TypeError, ZeroDivisionError):
                shown = ", ".join(f"{name}={value}" for name, value in params.items())
                raise InputError(f"--where {text!r} cannot be told for {shown}") from None
            if not met:
                return False
        return True

    def _tree(self, text: str) -> ast.expr:
        if len(text) > _MOST_CHARACTERS:
            raise InputError(f"--where has {len(text)} characters; at most {_MOST_CHARACTERS} are allowed")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise InputError(f"--where {text!r}: {_FORM}") from None
        self._check(tree, text)
        return tree

    def _check(self, tree: ast.expr, text: str) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if node.id not in self._names:
                    known = ", ".join(sorted(self._names))
                    raise InputError(
                        f"--where {text!r}: there is no parameter {node.id!r} in the search; it has {known}"
                    )
            elif isinstance(node, ast.Constant):
                if isinstance(node.value, bool) or not isinstance(node.value, int | float | str):
                    raise InputError(f"--where {text!r}: {_FORM}")
            elif not isinstance(node, _ALLOWED):
                raise InputError(f"--where {text!r}: {_FORM}")


_ALLOWED: Final = (
    ast.Compare,
    ast.BoolOp,
    ast.UnaryOp,
    ast.BinOp,
    ast.And,
    ast.Or,
    ast.Not,
    ast.USub,
    ast.Load,
    *_COMPARE,
    *_COMBINE,
)


def _value(text: str) -> Fraction | str:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text


def _evaluated(node: ast.expr, values: Mapping[str, Fraction | str]) -> Any:
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else Fraction(str(node.value))
    if isinstance(node, ast.BoolOp):
        every = all if isinstance(node.op, ast.And) else any
        return every(_evaluated(one, values) for one in node.values)
    if isinstance(node, ast.UnaryOp):
        value = _evaluated(node.operand, values)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.BinOp):
        return _COMBINE[type(node.op)](_evaluated(node.left, values), _evaluated(node.right, values))
    assert isinstance(node, ast.Compare)
    left = _evaluated(node.left, values)
    for sign, right_node in zip(node.ops, node.comparators, strict=True):
        right = _evaluated(right_node, values)
        if not _COMPARE[type(sign)](left, right):
            return False
        left = right
    return True
