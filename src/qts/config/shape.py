"""The shape of a setting, read once from the type annotations of the configuration structs.

The bounds live in the annotations (``Annotated[Decimal, msgspec.Meta(ge=0, le=1, description=...)]``) and
nowhere else: refusing, explaining, documenting and the tests all read them here. msgspec itself cannot bound a
Decimal, so the comparison is ours.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, Literal, Union

import msgspec

ENV_REFERENCE: Final = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")
"""How a secret names the environment variable that holds it."""


class Kind(Enum):
    """The form of a setting. The first three contain others."""

    RECORD = "RECORD"
    TABLE = "TABLE"
    LIST = "LIST"
    BOOL = "BOOL"
    INT = "INT"
    FLOAT = "FLOAT"
    DECIMAL = "DECIMAL"
    TEXT = "TEXT"
    CHOICE = "CHOICE"

    @property
    def is_number(self) -> bool:
        """Return whether values are numbers."""
        return self in (Kind.INT, Kind.FLOAT, Kind.DECIMAL)


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a value; of the length for text, lists and tables. ``pattern`` covers the whole text."""

    ge: int | float | Decimal | None = None
    gt: int | float | Decimal | None = None
    le: int | float | Decimal | None = None
    lt: int | float | Decimal | None = None
    multiple_of: int | float | Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


class Shape(msgspec.Struct, frozen=True):
    """One setting or group: its form, what it may be and what it means.

    ``looser``: for a limit, the direction in which more may pass, "higher" or "lower", of a list "fewer" entries;
    "" for what is no limit.
    ``type`` is the Python type of the value, ``item`` the shape inside a list or table, ``key`` the enum whose
    members are the keys of a closed table (None: any text), ``choices`` text → value of a CHOICE. ``display``: it
    only changes how a result is shown, so it is no part of the identity of a run.
    """

    kind: Kind
    type: Any
    limits: Limits = Limits()
    optional: bool = False
    secret: bool = False
    display: bool = False
    looser: str = ""
    description: str = ""
    item: Shape | None = None
    items: tuple[Shape, ...] = ()
    key: type[Enum] | None = None
    key_limits: Limits = Limits()
    fields: tuple[Field, ...] = ()
    choices: tuple[tuple[str, Any], ...] = ()

    def field(self, name: str) -> Field | None:
        """Return the field of a record by name; None when there is none."""
        return next((field for field in self.fields if field.name == name), None)

    def is_looser(self, old: Any, new: Any) -> bool:
        """Return whether ``new`` lets more pass than ``old``; False for what is no limit."""
        if not self.looser or old is None or new is None:
            return False
        if self.looser == "fewer":
            return not set(old) <= set(new)
        return bool(new > old if self.looser == "higher" else new < old)

    @property
    def is_leaf(self) -> bool:
        """Return whether it is set as one value: everything but records and tables of records."""
        if self.kind is Kind.TABLE:
            return self.item is not None and self.key is None and self.item.kind is not Kind.RECORD
        return self.kind is not Kind.RECORD

    def allowed(self) -> str:
        """Return the allowed values in words: "0 to 1", "AGGRESSIVE or DEFENSIVE", "true or false"."""
        text = _allowed_value(self)
        return f"{text} or null" if self.optional else text


class Field(msgspec.Struct, frozen=True):
    """A named field of a record; ``required`` when it has no default."""

    name: str
    shape: Shape
    required: bool


@cache
def shape_of(annotation: Any) -> Shape:
    """Return the shape of a type. Raises TypeError for a type that a configuration cannot hold."""
    inner, metas = _peel(annotation)
    optional = False
    if typing.get_origin(inner) in (Union, types.UnionType):
        members = [arg for arg in typing.get_args(inner) if arg is not type(None)]
        if len(members) != 1:
            raise TypeError(f"a setting has one type or None, not {inner!r}")
        inner, more = _peel(members[0])
        metas, optional = [*more, *metas], True
    base = _base_shape(inner)
    extra = {name: value for meta in metas for name, value in (meta.extra or {}).items()}
    return msgspec.structs.replace(
        base,
        limits=_limits(metas),
        optional=optional,
        secret=bool(extra.get("secret", False)),
        display=bool(extra.get("display", False)),
        looser=str(extra.get("looser", "")),
        description=next((meta.description for meta in metas if meta.description), ""),
    )


def key_text(key: object) -> str:
    """Return how a key of a table, or a member of an enum, is written in the files."""
    if isinstance(key, Enum):
        return key.value if isinstance(key.value, str) else key.name
    return str(key)


def number_of(bound: int | float | Decimal) -> Decimal:
    """Return a bound as the decimal a person reads (0.1, not its binary neighbour)."""
    return bound if isinstance(bound, Decimal) else Decimal(repr(bound))


def plain(number: int | float | Decimal) -> str:
    """Return a number written out: no exponent, no trailing zeros behind the point."""
    text = format(number_of(number), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _peel(annotation: Any) -> tuple[Any, list[msgspec.Meta]]:
    metas: list[msgspec.Meta] = []
    while typing.get_origin(annotation) is Annotated:
        annotation, *notes = typing.get_args(annotation)
        metas = [note for note in notes if isinstance(note, msgspec.Meta)] + metas
    return annotation, metas


def _bounds(meta: msgspec.Meta) -> dict[str, Any]:
    """Return the bounds of a Meta; ``extra`` may carry Decimal bounds, which Meta itself does not take."""
    found = {name: getattr(meta, name) for name in Limits.__struct_fields__ if getattr(meta, name) is not None}
    found.update({k: v for k, v in (meta.extra or {}).items() if k in Limits.__struct_fields__})
    return found


def _limits(metas: list[msgspec.Meta]) -> Limits:
    return Limits(**{name: value for meta in metas for name, value in _bounds(meta).items()})


_SIMPLE: Final = {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT, Decimal: Kind.DECIMAL, str: Kind.TEXT}


def _base_shape(tp: Any) -> Shape:
    if tp in _SIMPLE:
        return Shape(_SIMPLE[tp], tp)
    origin = typing.get_origin(tp)
    if origin is Literal:
        return Shape(Kind.CHOICE, tp, choices=tuple((str(value), value) for value in typing.get_args(tp)))
    if isinstance(tp, type) and issubclass(tp, Enum):
        return Shape(Kind.CHOICE, tp, choices=tuple((key_text(member), member) for member in tp))
    if isinstance(tp, type) and issubclass(tp, msgspec.Struct):
        return Shape(Kind.RECORD, tp, fields=_fields_of(tp))
    if origin in (dict, Mapping, types.MappingProxyType):
        return _table_shape(origin, *typing.get_args(tp))
    if origin in (list, tuple, frozenset, Sequence, Set):
        return _list_shape(origin, typing.get_args(tp))
    raise TypeError(f"a configuration cannot hold {tp!r}")


def _fields_of(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    return tuple(Field(info.name, shape_of(info.type), info.required) for info in msgspec.structs.fields(struct))


def _table_shape(origin: Any, key: Any, value: Any) -> Shape:
    kind, metas = _peel(key)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Shape(Kind.TABLE, origin, item=shape_of(value), key=kind)
    if kind is not str:
        raise TypeError(f"the keys of a table are text or an enum, not {kind!r}")
    return Shape(Kind.TABLE, origin, item=shape_of(value), key_limits=_limits(metas))


def _list_shape(origin: Any, arguments: tuple[Any, ...]) -> Shape:
    python_type = {Sequence: tuple, Set: frozenset}.get(origin, origin)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return Shape(Kind.LIST, tuple, items=tuple(shape_of(argument) for argument in arguments))
    return Shape(Kind.LIST, python_type, item=shape_of(arguments[0]))


def _allowed_value(shape: Shape) -> str:
    if shape.secret:
        return "${NAME} of an environment variable"
    if shape.kind is Kind.BOOL:
        return "true or false"
    if shape.kind is Kind.CHOICE:
        return _either([text for text, _ in shape.choices])
    if shape.kind.is_number:
        what = "whole number" if shape.kind is Kind.INT else "number"
        bounds = _range_text(shape.limits)
        return f"{what} {bounds}" if bounds else what
    if shape.kind is Kind.LIST and shape.items:
        return f"[{', '.join(item.allowed() for item in shape.items)}]"
    if shape.kind is Kind.LIST and shape.item is not None:
        return f"list of {shape.item.allowed()}{_length_text(shape.limits, 'entries')}"
    if shape.kind is Kind.TABLE and shape.item is not None:
        keys = _either([key_text(member) for member in shape.key]) if shape.key is not None else "text"
        return f"table from {keys} to {shape.item.allowed()}"
    if shape.kind is Kind.RECORD:
        return f"keys {', '.join(field.name for field in shape.fields)}"
    pattern = f" matching {shape.limits.pattern}" if shape.limits.pattern else ""
    return f"text{_length_text(shape.limits, 'characters')}{pattern}"


def _range_text(limits: Limits) -> str:
    low = next(
        (f"{word} {plain(v)}" for v, word in ((limits.ge, "from"), (limits.gt, "above")) if v is not None), ""
    )
    high = next(
        (f"{word} {plain(v)}" for v, word in ((limits.le, "to"), (limits.lt, "below")) if v is not None), ""
    )
    if not low:
        high = high.replace("to ", "up to ", 1)
    step = f"in steps of {plain(limits.multiple_of)}" if limits.multiple_of is not None else ""
    return " ".join(part for part in (low, high, step) if part)


def _length_text(limits: Limits, unit: str) -> str:
    low, high = limits.min_length, limits.max_length
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low} {unit}"
    return f" of {low or 0} to {high} {unit}"


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
