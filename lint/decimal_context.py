"""mypy plugin: refuses Decimal arithmetic in the ambient decimal context.

Every operator on a Decimal rounds as the context of the calling thread says, and a strategy or a library may have
changed that one. Amounts are therefore computed with the functions of :mod:`qts.money`, whose contexts nothing else
holds. Comparisons, min and max are exact and stay allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy.nodes import Context
from mypy.plugin import FunctionContext, MethodContext, Plugin
from mypy.types import Instance, Type, UnionType, get_proper_type

DECIMAL: Final = "decimal.Decimal"
OPERATORS: Final = frozenset(
    f"__{prefix}{name}__"
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow")
    for prefix in ("", "r")
) | {"__neg__", "__pos__", "__abs__"}
ROUNDING_METHODS: Final = frozenset(
    {"quantize", "normalize", "fma", "sqrt", "exp", "ln", "log10", "remainder_near", "scaleb"}
    | {"next_plus", "next_minus", "next_toward"}
)
FUNCTIONS: Final = frozenset({"builtins.sum", "builtins.abs", "builtins.round", "builtins.divmod", "builtins.pow"})
OUTSIDE: Final = ("qts.report", "qts.cli")
"""They show numbers and book none."""
MESSAGE: Final = "Decimal arithmetic in the ambient context; use the functions of qts.money"


class DecimalContext(Plugin):
    """Looks at every operator, method and function call whose types mypy has worked out."""

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        owner, _, name = fullname.rpartition(".")
        if owner == DECIMAL and name in OPERATORS | ROUNDING_METHODS:
            return self._refuse_method
        if owner == "builtins.int" and name in OPERATORS:
            return self._refuse_decimal_argument
        return None

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return self._refuse_decimal_argument if fullname in FUNCTIONS else None

    def _refuse_method(self, call: MethodContext) -> Type:
        if not _names_its_context(call.context):
            self._say(call)
        return call.default_return_type

    def _refuse_decimal_argument(self, call: MethodContext | FunctionContext) -> Type:
        if _has_decimal(call.default_return_type):
            self._say(call)
        return call.default_return_type

    def _say(self, call: MethodContext | FunctionContext) -> None:
        module = _module_of(call.api.path)
        if not module.startswith(OUTSIDE):
            call.api.fail(MESSAGE, call.context)


def _names_its_context(node: Context) -> bool:
    return "context" in getattr(node, "arg_names", ())


def _has_decimal(kind: Type) -> bool:
    proper = get_proper_type(kind)
    if isinstance(proper, UnionType):
        return any(_has_decimal(item) for item in proper.items)
    return isinstance(proper, Instance) and proper.type.fullname == DECIMAL


def _module_of(path: str) -> str:
    _, _, inside = path.replace("\\", "/").removesuffix(".py").rpartition("src/")
    return inside.replace("/", ".")


def plugin(version: str) -> type[Plugin]:
    """Give mypy the class; called by it."""
    return DecimalContext
