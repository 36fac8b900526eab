"""Parameters of a strategy: declared as class attributes, set by keyword, read as plain attributes.

``fast = param(20, 5, 60)`` makes ``self.fast`` 20 unless another value was set, by ``--param fast=10`` or
``SmaCross(fast=10)``. The bounds say what may be set, and where a search over parameters looks.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar, cast

from qts.errors import ContractError, InputError
from qts.money import is_bounded

T = TypeVar("T", int, float, Decimal, str, bool)
Value = int | float | Decimal | str | bool

_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})
MAX_TEXT: Final = 200
"""Characters of a parameter that is a text."""


def param(
    default: T,
    low: T | None = None,
    high: T | None = None,
    *,
    step: T | None = None,
    log: bool = False,
    choices: Sequence[T] = (),
) -> T:
    """Declare a parameter of a strategy as a class attribute.

    ``default`` gives its type: int, float, Decimal, str or bool. ``low`` and ``high`` bound what may be set, both
    included; None: unbounded. ``choices`` lists the values that may be set instead. ``step`` and ``log`` are for a
    search: the distance between two values tried, and whether they are spread evenly in the logarithm. The returned
    object is a :class:`Param`; the declared type is that of the values, as a type checker sees the attribute.

    Raises :class:`~qts.errors.ContractError` for bounds that contradict each other or the default.
    """
    return cast(T, Param(default, low, high, step, choices, log=log))


class Param:
    """A declared parameter; read on an object it gives the value set there, on the class its default."""

    __slots__ = ("choices", "default", "high", "log", "low", "name", "step")

    def __init__(
        self,
        default: Value,
        low: Value | None,
        high: Value | None,
        step: Value | None,
        choices: Sequence[Value],
        *,
        log: bool,
    ) -> None:
        self.name = ""
        self.default, self.low, self.high = default, low, high
        self.step, self.log, self.choices = step, log, tuple(choices)
        if type(default) not in (int, float, Decimal, str, bool):
            raise ContractError(f"param: the default must be an int, float, Decimal, str or bool, got {default!r}")
        if self._is_number:
            self._check_bounds()
        elif low is not None or high is not None or step is not None or log:
            raise ContractError(f"param: bounds, step and log are for numbers, the default is {default!r}")
        for choice in self.choices:
            if type(choice) is not type(default):
                raise ContractError(f"param: choices must be of the default's type, got {choice!r}")
        self.check(default)

    @property
    def _is_number(self) -> bool:
        return type(self.default) in (int, float, Decimal)

    def _check_bounds(self) -> None:
        kind = type(self.default)
        for what, bound in (("low", self.low), ("high", self.high), ("step", self.step)):
            if bound is None:
                continue
            if type(bound) is not kind and not (kind is float and type(bound) is int):
                raise ContractError(f"param: {what} must be of the default's type {kind.__name__}, got {bound!r}")
            if not _is_finite(bound):
                raise ContractError(f"param: {what} must be finite, got {bound!r}")
        if self.low is not None and self.high is not None and self.low > self.high:  # type: ignore[operator]
            raise ContractError(f"param: low {self.low!r} is above high {self.high!r}")
        if self.step is not None and self.step <= 0:  # type: ignore[operator]
            raise ContractError(f"param: step must be above 0, got {self.step!r}")
        if self.log and (self.low is None or self.high is None or self.low <= 0):  # type: ignore[operator]
            raise ContractError("param: log needs low and high, both above 0")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type | None = None) -> Value:
        return self.default

    def __repr__(self) -> str:
        return f"param({self.allowed()}, default {self.default!r})"

    def allowed(self) -> str:
        """Return what may be set, for messages: "a whole number from 5 to 60"."""
        if self.choices:
            return f"one of {', '.join(map(_shown, self.choices))}"
        noun = {int: "a whole number", float: "a number", Decimal: "a number", bool: "true or false", str: "a text"}
        text = noun[type(self.default)]
        if self.low is not None and self.high is not None:
            return f"{text} from {self.low} to {self.high}"
        if self.low is not None:
            return f"{text} from {self.low} up"
        return text if self.high is None else f"{text} up to {self.high}"

    def parse(self, text: str) -> Value:
        """Return the value that ``text`` gives, checked. Raises InputError with what is allowed."""
        value = self._read(text.strip())
        if value is None:
            raise InputError(f"must be {self.allowed()}, got {text!r}")
        self.check(value)
        return value

    def _read(self, text: str) -> Value | None:
        kind = type(self.default)
        if kind is str:
            return text
        if kind is bool:
            return True if text.lower() in _YES else False if text.lower() in _NO else None
        try:
            if kind is int:
                return int(text)
            return float(text) if kind is float else Decimal(text)
        except (ValueError, InvalidOperation):
            return None

    def check(self, value: object) -> Value:
        """Return ``value`` as one of the declared type. Raises InputError when it may not be set."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or not _is_finite(value):
            raise InputError(f"must be {self.allowed()}, got {value!r}")
        if kind is str and len(cast(str, value)) > MAX_TEXT:
            raise InputError(f"must have at most {MAX_TEXT} characters, got {len(cast(str, value))}")
        outside = (self.low is not None and value < self.low) or (  # type: ignore[operator]
            self.high is not None and value > self.high  # type: ignore[operator]
        )
        if outside or (self.choices and value not in self.choices):
            raise InputError(f"must be {self.allowed()}, got {_shown(value)}")
        return value


def params_of(cls: type) -> dict[str, Param]:
    """Return the parameters that ``cls`` declares or inherits, by name, in the order of declaration."""
    found: dict[str, Param] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Param):
                found[name] = value
            else:
                found.pop(name, None)  # a subclass has put a plain attribute in its place
    return found


def settable_of(cls: type) -> dict[str, Param]:
    """Return the parameters of :func:`params_of`, and the other keywords of the constructor with a simple default.

    A keyword whose default is an int, float, Decimal, str or bool takes values of that type without bounds.
    """
    found = params_of(cls)
    try:
        arguments = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):  # a class without a readable signature
        return found
    for one in arguments:
        named = one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
        if named and one.name not in found and type(one.default) in (int, float, Decimal, str, bool):
            found[one.name] = Param(one.default, None, None, None, (), log=False)
    return found


def set_params(strategy: object, values: Mapping[str, object]) -> None:
    """Set parameters of ``strategy``, checked. Raises InputError for an unknown name or a value not allowed."""
    declared = params_of(type(strategy))
    for name, value in values.items():
        if name not in declared:
            raise InputError(unknown_param(type(strategy).__name__, name, declared))
        try:
            vars(strategy)[name] = declared[name].check(value)
        except InputError as error:
            raise InputError(f"{type(strategy).__name__}.{name} {error}") from None


def values_of(strategy: object) -> dict[str, Value]:
    """Return the value in force of every parameter of ``strategy``, by name."""
    return {name: getattr(strategy, name) for name in params_of(type(strategy))}


def unknown_param(owner: str, name: str, declared: Mapping[str, Param]) -> str:
    """Return the message for a parameter that ``owner`` does not declare."""
    if not declared:
        return f"{owner} has no parameter {name!r}; it declares none (write {name} = param(default, low, high))"
    return f"{owner} has no parameter {name!r}; it has {', '.join(declared)}"


def signature_with_params(cls: type, own: inspect.Signature | None) -> inspect.Signature:
    """Return the constructor's signature: ``own`` (None: no arguments), and every parameter by keyword."""
    mine = [] if own is None else [one for name, one in own.parameters.items() if name != "self"]
    named = {one.name for one in mine}
    fixed = [one for one in mine if one.kind is not one.VAR_KEYWORD]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default)
        for name, one in params_of(cls).items()
        if name not in named
    ]
    return inspect.Signature([*fixed, *added, *(one for one in mine if one.kind is one.VAR_KEYWORD)])


def _is_finite(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite() and is_bounded(value)
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Decimal | str) else repr(value)
