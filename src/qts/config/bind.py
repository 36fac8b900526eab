"""Written values become the values of the configuration, or problems that name their place.

Texts are converted here and only here. A number is read from its own digits: what YAML would make of ``0123``
(octal), ``1:30`` (sexagesimal), ``yes`` (true) or ``.inf`` never reaches a setting (`unfit-setting`).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import yaml

from qts.config.document import Entry, Listing, Node, Place, Problem, Scalar, Section, did_you_mean, shown
from qts.config.shape import ENV_REFERENCE, Field, Kind, Limits, Shape, key_text, number_of
from qts.errors import QtsError
from qts.money import MAX_DECIMALS, MAX_WHOLE_DIGITS, is_bounded, remainder

MAX_DIGITS: Final = 400
"""Longest number read, in characters."""

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*|[1-9][0-9]{0,2}(_[0-9]{3})+)(\.[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.?(inf|infinity|nan|snan)", re.IGNORECASE)
_HOW_NUMBERS: Final = (
    "is not a plain number; write its digits, such as 1500, 1_500_000, -3 or 0.05"
    " (no leading zero or +, no exponent, hex, octal or 1:30, no unit)"
)


class _Invalid(Enum):
    INVALID = "INVALID"


INVALID: Final = _Invalid.INVALID
"""Stands for a value that could not be made; the reason is among the problems."""


class Binder:
    """Collects, over any number of sections, where each value came from and what is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.places: dict[str, Place] = {}
        self.problems: list[Problem] = []
        self._env = env

    def bind(self, shape: Shape, node: Node, default: Any, path: str) -> Any:
        """Return the value of ``node``; what a record lacks comes from ``default``, or for INVALID its type."""
        if shape.optional and isinstance(node, Scalar) and not node.quoted and node.text == "null":
            self.places[path] = node.place
            return None
        if isinstance(node, Scalar) and not node.quoted and node.text in ("", "null", "~"):
            return self._refuse(node.place, path, f"has no value; allowed: {shape.allowed()}, or leave the key out")
        if shape.kind is Kind.RECORD:
            return self._record(shape, node, default, path)
        if shape.kind is Kind.TABLE:
            return self._table(shape, node, default, path)
        if shape.kind is Kind.LIST:
            return self._list(shape, node, path)
        return self._scalar(shape, node, path)

    def place_near(self, path: str) -> Place | None:
        """Return where ``path`` was written, else something inside it, else its nearest written neighbour."""
        while path:
            if path in self.places:
                return self.places[path]
            if inside := [place for name, place in self.places.items() if name.startswith(path + ".")]:
                return inside[0]
            path = path.rpartition(".")[0]
        return None

    def _refuse(self, place: Place, path: str, message: str) -> Any:
        self.problems.append(Problem(place.source, place.line, path, message))
        return INVALID

    def _record(self, shape: Shape, node: Node, default: Any, path: str) -> Any:
        if not isinstance(node, Section):
            return self._refuse(node.place, path, f"needs 'key: value' lines; {shape.allowed()}")
        self._unknown_keys([field.name for field in shape.fields], node, path)
        defaults = _defaults(shape, default)
        values = {field.name: self._field(field, node, defaults, _join(path, field.name)) for field in shape.fields}
        if any(value is INVALID for value in values.values()):
            return INVALID
        return self._construct(shape.type, values, node.place, path)

    def _field(self, field: Field, node: Section, defaults: Mapping[str, Any], path: str) -> Any:
        entry = node.get(field.name)
        default = defaults.get(field.name, INVALID)
        if entry is not None:
            return self.bind(field.shape, entry.value, default, path)
        if default is INVALID:
            return self._refuse(node.place, path, f"is missing; allowed: {field.shape.allowed()}")
        return default

    def _unknown_keys(self, known: list[str], node: Section, path: str) -> None:
        for entry in node.entries:
            if entry.key.text not in known:
                hint = did_you_mean(entry.key.text, known)
                allowed = f"allowed here: {', '.join(known)}"
                place = entry.key.place
                self._refuse(place, _join(path, entry.key.text), f"unknown key{hint}; {allowed}")

    def _construct(self, struct: type[msgspec.Struct], values: dict[str, Any], place: Place, path: str) -> Any:
        try:
            return struct(**values)
        except (ValueError, TypeError, QtsError) as error:  # what a struct's own __post_init__ may raise
            return self._refuse(place, path, str(error))

    def _table(self, shape: Shape, node: Node, default: Any, path: str) -> Any:
        assert shape.item is not None
        if not isinstance(node, Section):
            return self._refuse(node.place, path, f"needs 'key: value' lines; allowed: {shape.allowed()}")
        self.places[path] = node.place
        values: dict[Any, Any] = {}
        if shape.key is not None:
            self._unknown_keys([key_text(member) for member in shape.key], node, path)
            values.update(default if isinstance(default, Mapping) else {})
        for key, entry in self._keyed(shape, node, path):
            values[key] = self.bind(shape.item, entry.value, values.get(key, INVALID), _join(path, entry.key.text))
        if any(value is INVALID for value in values.values()):
            return INVALID
        if message := _length_problem(len(values), shape.limits, "entries"):
            return self._refuse(node.place, path, message)
        return types.MappingProxyType(values) if isinstance(default, types.MappingProxyType) else values

    def _keyed(self, shape: Shape, node: Section, path: str) -> list[tuple[Any, Entry]]:
        if shape.key is not None:
            members = {key_text(member): member for member in shape.key}
            return [(members[e.key.text], e) for e in node.entries if e.key.text in members]
        kept = []
        for entry in node.entries:
            if message := _ambiguity_of(entry.key) or _length_problem(
                len(entry.key.text), shape.key_limits, "characters"
            ):
                self._refuse(entry.key.place, _join(path, entry.key.text), f"as a key {message}")
            else:
                kept.append((entry.key.text, entry))
        return kept

    def _list(self, shape: Shape, node: Node, path: str) -> Any:
        if not isinstance(node, Listing):
            return self._refuse(node.place, path, f"needs a list, such as [a, b]; allowed: {shape.allowed()}")
        self.places[path] = node.place
        if shape.items and len(shape.items) != len(node.items):
            return self._refuse(node.place, path, f"has {len(node.items)} entries; allowed: {shape.allowed()}")
        if message := _length_problem(len(node.items), shape.limits, "entries"):
            return self._refuse(node.place, path, message)
        shapes = shape.items or (typing.cast(Shape, shape.item),) * len(node.items)
        values = [
            self.bind(inner, item, INVALID, f"{path}[{index}]")
            for index, (inner, item) in enumerate(zip(shapes, node.items, strict=True))
        ]
        return INVALID if any(value is INVALID for value in values) else shape.type(values)

    def _scalar(self, shape: Shape, node: Node, path: str) -> Any:
        if not isinstance(node, Scalar):
            return self._refuse(node.place, path, f"needs a single value; allowed: {shape.allowed()}")
        if shape.secret:
            return self._secret(shape, node, path)
        if "${" in node.text:
            message = f"${{...}} is for secrets only, and this is none; allowed: {shape.allowed()}"
            return self._refuse(node.place, path, message)
        value = _CONVERT[shape.kind](shape, node)
        if isinstance(value, _Refusal):
            return self._refuse(node.place, path, f"{value.message}; allowed: {shape.allowed()}")
        self.places[path] = node.place
        return value

    def _secret(self, shape: Shape, node: Scalar, path: str) -> Any:
        reference = ENV_REFERENCE.fullmatch(node.text)
        if reference is None:
            return self._refuse(
                node.place,
                path,
                "is a secret and must not be written here; put it into an environment variable and write ${NAME}",
            )
        name = reference.group(1)
        if not self._env.get(name):
            return self._refuse(node.place, path, f"the environment variable {name} is not set; export it first")
        if _length_problem(len(self._env[name]), shape.limits, "characters"):
            return self._refuse(node.place, path, f"the value of {name} does not have the length a secret here has")
        self.places[path] = Place(f"env {name}")
        return self._env[name]


def override(root: Section | None, shape: Shape, keys: list[str], value: Node) -> Section | str:
    """Return ``root`` with ``value`` at ``keys``; or, as text, why not (a table that no file gives)."""
    place = value.place
    root = root if root is not None else Section((), place)
    head, *rest = keys
    if rest:
        inner = _shape_below(shape, head)
        entry = root.get(head)
        below = entry.value if entry is not None and isinstance(entry.value, Section) else None
        if inner is not None and inner.kind is Kind.TABLE and inner.key is None and below is None:
            return "this table is written in its file as a whole; one entry cannot be added from outside"
        changed = override(below, inner if inner is not None else shape, rest, value)
        if isinstance(changed, str):
            return changed
        value = changed
    kept = tuple(entry for entry in root.entries if entry.key.text != head)
    return Section((*kept, Entry(Scalar(head, True, place), value)), root.place)


def _shape_below(shape: Shape, key: str) -> Shape | None:
    if shape.kind is Kind.RECORD:
        field = shape.field(key)
        return field.shape if field is not None else None
    return shape.item


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _defaults(shape: Shape, default: Any) -> dict[str, Any]:
    """Return the value of each field that is not written; fields without any are left out."""
    if isinstance(default, msgspec.Struct):
        return {field.name: getattr(default, field.name) for field in shape.fields}
    found: dict[str, Any] = {}
    for info in msgspec.structs.fields(shape.type):
        if info.default is not msgspec.NODEFAULT:
            found[info.name] = info.default
        elif info.default_factory is not msgspec.NODEFAULT:
            found[info.name] = info.default_factory()
    return found


class _Refusal(msgspec.Struct, frozen=True):
    message: str


def _number(shape: Shape, node: Scalar) -> Any:
    text = node.text
    if node.quoted:
        return _Refusal(f"{shown(text)} is text; write the number without quotes")
    if _NOT_FINITE.fullmatch(text):
        return _Refusal(f"{shown(text)} is not a finite number")
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        return _Refusal(f"{shown(text)} {_HOW_NUMBERS}")
    if shape.kind is Kind.INT and "." in text:
        return _Refusal(f"{shown(text)} is not a whole number")
    exact = Decimal(text.replace("_", ""))
    if message := _range_problem(exact, shape.limits):
        return _Refusal(f"{shown(text)} {message}")
    exact = exact.copy_abs() if exact == 0 else exact
    if shape.kind is Kind.DECIMAL:
        too_fine = f"may have {MAX_DECIMALS} digits behind the point and be 10^{MAX_WHOLE_DIGITS} at the most"
        allowed = is_bounded(exact) or exact.copy_abs() == 10**MAX_WHOLE_DIGITS
        return exact if allowed else _Refusal(f"{shown(text)} {too_fine}")
    value = int(exact) if shape.kind is Kind.INT else float(exact)
    return value if value not in (float("inf"), float("-inf")) else _Refusal(f"{shown(text)} is too large")


def _range_problem(value: Decimal, limits: Limits) -> str:
    outside = (
        (limits.ge is not None and value < number_of(limits.ge))
        or (limits.gt is not None and value <= number_of(limits.gt))
        or (limits.le is not None and value > number_of(limits.le))
        or (limits.lt is not None and value >= number_of(limits.lt))
    )
    if outside:
        return "is out of range"
    off_grid = limits.multiple_of is not None and remainder(value, number_of(limits.multiple_of)) != 0
    return "is not a multiple of the step" if off_grid else ""


def _bool(_shape: Shape, node: Scalar) -> Any:
    if node.quoted or node.text not in ("true", "false"):
        return _Refusal(f"{shown(node.text)} is not true or false")
    return node.text == "true"


def _choice(shape: Shape, node: Scalar) -> Any:
    choices = dict(shape.choices)
    if node.text in choices:
        return choices[node.text]
    return _Refusal(f"{shown(node.text)} is none of the values{did_you_mean(node.text, choices)}")


def _text(shape: Shape, node: Scalar) -> Any:
    if message := _ambiguity_of(node):
        return _Refusal(message)
    if message := _length_problem(len(node.text), shape.limits, "characters"):
        return _Refusal(message)
    if shape.limits.pattern is not None and not re.fullmatch(shape.limits.pattern, node.text):
        return _Refusal(f"{shown(node.text)} does not match")
    return node.text


_CONVERT: Final = {
    Kind.INT: _number,
    Kind.FLOAT: _number,
    Kind.DECIMAL: _number,
    Kind.BOOL: _bool,
    Kind.CHOICE: _choice,
    Kind.TEXT: _text,
}


def _ambiguity_of(node: Scalar) -> str:
    """Return why other readers of YAML would not read the unquoted text as text (005930, yes); else ""."""
    if node.quoted:
        return ""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    candidates = [*resolvers.get(node.text[:1], ()), *resolvers.get(None, ())]
    special = any(pattern.match(node.text) for _tag, pattern in candidates)
    if special or _NUMBER.fullmatch(node.text) or (node.text[:1].isdigit() and node.text.isalnum()):
        return f"{shown(node.text)} needs quotes to be text: write '{node.text}'"
    return ""


def _length_problem(length: int, limits: Limits, unit: str) -> str:
    if limits.min_length is not None and length < limits.min_length:
        return f"has {length} {unit}, at least {limits.min_length} are needed"
    if limits.max_length is not None and length > limits.max_length:
        return f"has {length} {unit}, at most {limits.max_length} are allowed"
    return ""
