"""A strategy's memory as plain values, for checkpoints, and back.

Numbers, texts, ``None`` and booleans stand for themselves, lists for lists; everything else is a one-key mapping
``{tag: value}``. The result goes through msgpack (or JSON, except for infinities) unchanged and is the same for
the same memory in every process: sets are written in sorted order, dictionaries and deques in their own.
Sharing is not kept: two attributes holding one list come back with a list each.
"""

from __future__ import annotations

import dataclasses
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import msgspec

from qts.errors import ContractError
from qts.indicators import Indicator, settings_of
from qts.strategy.contracts import Strategy
from qts.strategy.tracked import Tracked
from qts.strategy.user_code import Run, call_directly

NOT_SAVED: Final = "not_saved"
"""A strategy may name attributes here that it rebuilds in ``on_start``; they are left out."""

_PLAIN: Final = frozenset({type(None), bool, float, str, bytes})
_MAX_INT: Final = 2**63
_MAX_DEPTH: Final = 32
_MAX_PLACE: Final = 200
"""Characters of the way to a value that cannot be kept."""
_OWN_PATHS: Final[dict[type, str]] = {}


def save(strategy: Strategy, run: Run = call_directly) -> dict[str, Any]:
    """Return the strategy's attributes (or what its own ``save_state()`` returns) as plain values.

    ``run`` calls what is the user's. Raises :class:`~qts.errors.ContractError` naming strategy, attribute, the way
    to it and type for a value that cannot be kept, and for a ``save_state()`` that raises. MemoryError is the
    machine's and passes.
    """
    own = getattr(strategy, "save_state", None)
    memory = _own_memory(strategy, own, run) if callable(own) else _attributes(strategy)
    if not isinstance(memory, dict):
        raise _misfit(strategy, f"save_state() must return a dict, it returned {type(memory).__name__}")
    module = type(strategy).__module__
    saved = {}
    for name, value in memory.items():
        if type(value) in _PLAIN:
            saved[name] = value
            continue
        try:
            saved[name] = _encode(value, module, 0)
        except _UnsupportedError as unsupported:
            place = f"self.{name}{_way_to_misfit(value, module, 0)}"
            raise _misfit(
                strategy,
                f"{place[:_MAX_PLACE]} holds a {unsupported.what}, which a checkpoint cannot keep; make it of "
                "numbers, texts, Decimals, enums, indicators and lists, dicts, sets or deques of them, or name it "
                f"in {NOT_SAVED} = ({name!r},) and rebuild it in on_start, or write save_state() "
                "and load_state(dict)",
            ) from None
    return {"class": _class_path(type(strategy)), "own": callable(own), "memory": saved}


def save_bytes(strategy: Strategy, run: Run = call_directly) -> bytes:
    """Return what :func:`save` gives in msgpack.

    Raises ContractError like it, and for texts that no file can hold.
    """
    saved = save(strategy, run)
    try:
        return msgspec.msgpack.encode(saved)
    except UnicodeEncodeError as error:
        for name, value in saved["memory"].items():
            try:
                msgspec.msgpack.encode({name: value})
            except UnicodeEncodeError:
                raise _misfit(
                    strategy,
                    f"self.{name} holds the text {error.object!r}, which a checkpoint cannot keep: "
                    "half a character (a lone surrogate) stands in it; keep whole characters",
                ) from None
        raise


def restore(strategy: Strategy, saved: Mapping[str, Any], run: Run = call_directly) -> None:
    """Restore into ``strategy`` (newly made, after its ``on_start``) the memory that :func:`save` wrote.

    Raises :class:`~qts.errors.ContractError` when it was written by another class or holds an unknown value.
    """
    written_by, own = saved["class"], getattr(strategy, "load_state", None)
    if written_by.rpartition(":")[2] != type(strategy).__qualname__:
        raise _misfit(strategy, f"the checkpoint was written by {written_by}; resume with that class")
    module = type(strategy).__module__
    memory = {name: _decode(value, module) for name, value in saved["memory"].items()}
    if saved["own"] and not callable(own):
        raise _misfit(strategy, "the checkpoint was written by save_state() but there is no load_state(dict)")
    if saved["own"]:
        assert callable(own)
        run(own, memory)
        return
    for name, value in memory.items():
        run(setattr, strategy, name, value)


def _own_memory(strategy: Strategy, own: Callable[[], Any], run: Run) -> Any:
    try:
        return run(own)
    except MemoryError:
        raise
    except Exception as error:  # edge: the user's own method may fail in any way
        raise _misfit(strategy, f"save_state() raised {type(error).__name__}: {error}") from error


def _way_to_misfit(value: Any, module: str, depth: int) -> str:
    """Return the path to the part of a value that cannot be kept, as Python would write it."""
    if depth > _MAX_DEPTH:
        return ""
    for step, part in _parts_of(value):
        try:
            _encode(part, module, depth + 1)
        except _UnsupportedError:
            return step + _way_to_misfit(part, module, depth + 1)
    return ""


def _parts_of(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f" key {_short(key)}", key
            yield f"[{_short(key)}]", item
    elif isinstance(value, list | tuple | deque):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in value:
            yield f" element {_short(item)}", item
    elif isinstance(value, msgspec.Struct) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        for name in _names_in(value):
            yield f".{name}", getattr(value, name)


def _names_in(value: Any) -> Iterable[str]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return [field.name for field in dataclasses.fields(value)]


def _short(value: Any) -> str:
    """Return a key as it is written; of what is no plain value only its type, whose text could be anything."""
    return repr(value)[:40] if type(value) in _PLAIN or type(value) is int else type(value).__name__


class _UnsupportedError(Exception):
    def __init__(self, what: str) -> None:
        self.what = what


def _misfit(strategy: Strategy, what: str) -> ContractError:
    return ContractError(f"strategy {strategy.name!r} ({type(strategy).__name__}): {what}")


def _attributes(strategy: Strategy) -> dict[str, Any]:
    memory = dict(getattr(strategy, "__dict__", {}))
    for name in _slots_of(type(strategy)):
        if hasattr(strategy, name):
            memory[name] = getattr(strategy, name)
    for name in getattr(strategy, NOT_SAVED, ()):
        memory.pop(name, None)
    return {name: value for name, value in memory.items() if type(value) is not Tracked}


@lru_cache(maxsize=256)
def _slots_of(cls: type) -> tuple[str, ...]:
    """Return the slots of a class, cached: it keeps those it was made with."""
    found: list[str] = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found += (slots,) if isinstance(slots, str) else slots
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


def _class_path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _encode(value: Any, module: str, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _MAX_DEPTH:
        raise _UnsupportedError(f"nesting of more than {_MAX_DEPTH} levels")
    encode = _ENCODERS.get(kind)
    if encode is not None:
        return encode(value, module, depth + 1)
    path = _OWN_PATHS.get(kind) or _found_path(kind, module)
    if isinstance(value, Enum):
        return {"enum": [path, value.name]}
    if isinstance(value, Indicator):
        settings = {name: _encode(getattr(value, name), module, depth + 1) for name in settings_of(kind)}
        return {"indicator": [path, settings, value.export_state()]}
    fields = {name: _encode(getattr(value, name), module, depth + 1) for name in _field_names(kind)}
    return {"object": [path, fields]}


def _found_path(kind: type, module: str) -> str:
    """Return where :func:`_find_class` will find ``kind`` again, cached for our own classes, which stay there."""
    path = _class_path(kind)
    if _find_class(path, module) is not kind:
        raise _UnsupportedError(f"{kind.__module__}.{kind.__qualname__}")
    if path.startswith("qts."):
        _OWN_PATHS[kind] = path
    return path


def _field_names(kind: Any) -> Iterable[str]:
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    if not all(field.init for field in dataclasses.fields(kind)):
        raise _UnsupportedError(f"{kind.__qualname__} with fields that its constructor does not take")
    return [field.name for field in dataclasses.fields(kind)]


def _encode_all(values: Iterable[Any], module: str, depth: int) -> list[Any]:
    return [value if type(value) in _PLAIN else _encode(value, module, depth) for value in values]


def _flat(value: dict[Any, Any], module: str, depth: int) -> list[Any]:
    # Keys and values in turn: one flat list is cheaper than a list of pairs.
    flat = []
    for key, item in value.items():
        flat.append(key if type(key) in _PLAIN else _encode(key, module, depth))
        flat.append(item if type(item) in _PLAIN else _encode(item, module, depth))
    return flat


def _encode_defaultdict(value: defaultdict[Any, Any], module: str, depth: int) -> Any:
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES.values():
        raise _UnsupportedError(f"defaultdict of {factory!r} (use one of {', '.join(_FACTORIES)})")
    name = None if factory is None else factory.__name__
    return {"defaultdict": [name, _flat(value, module, depth)]}


def _encode_datetime(value: datetime, _module: str, _depth: int) -> Any:
    # Only the offset of another zone would survive, not its rules: the next summer would be an hour off.
    if value.tzinfo not in (None, UTC):
        raise _UnsupportedError(f"datetime in {value.tzinfo} (keep times in UTC)")
    return {"datetime": value.replace(fold=0).isoformat()}


def _encode_set(tag: str) -> Callable[[Any, str, int], Any]:
    def encode(value: Any, module: str, depth: int) -> Any:
        return {tag: sorted(_encode_all(value, module, depth), key=msgspec.msgpack.encode)}

    return encode


_FACTORIES: Final[dict[str, Callable[[], Any]]] = {
    kind.__name__: kind for kind in (int, float, str, bool, list, dict, set, tuple, deque, Decimal)
}
_ENCODERS: Final[dict[type, Callable[[Any, str, int], Any]]] = {
    int: lambda value, _module, _depth: value if -_MAX_INT <= value < _MAX_INT else {"int": str(value)},
    Decimal: lambda value, _module, _depth: {"decimal": str(value)},
    list: _encode_all,
    tuple: lambda value, module, depth: {"tuple": _encode_all(value, module, depth)},
    dict: lambda value, module, depth: {"dict": _flat(value, module, depth)},
    OrderedDict: lambda value, module, depth: {"ordered": _flat(value, module, depth)},
    Counter: lambda value, module, depth: {"counter": _flat(value, module, depth)},
    defaultdict: _encode_defaultdict,
    set: _encode_set("set"),
    frozenset: _encode_set("frozenset"),
    deque: lambda value, module, depth: {"deque": [value.maxlen, _encode_all(value, module, depth)]},
    datetime: _encode_datetime,
    date: lambda value, _module, _depth: {"date": value.isoformat()},
    timedelta: lambda value, _module, _depth: {"timedelta": [value.days, value.seconds, value.microseconds]},
    random.Random: lambda value, module, depth: {"random": _encode(value.getstate(), module, depth)},
}


def _decode(value: Any, module: str) -> Any:
    if type(value) is list:
        return [_decode(item, module) for item in value]
    if type(value) is not dict:
        return value
    ((tag, body),) = value.items()
    decode = _DECODERS.get(tag)
    if decode is None:
        raise ContractError(
            f"the checkpoint holds a value of the unknown kind {tag!r}; it was written by a newer qts"
        )
    return decode(body, module)


def _decode_dict(flat: list[Any], module: str) -> dict[Any, Any]:
    items = iter(_decode(flat, module))
    return dict(zip(items, items, strict=True))


def _decode_defaultdict(body: list[Any], module: str) -> Any:
    factory = None if body[0] is None else _FACTORIES[body[0]]
    return defaultdict(factory, _decode_dict(body[1], module))


def _decode_enum(body: list[str], module: str) -> Any:
    return _class_at(body[0], module)[body[1]]


def _decode_object(body: list[Any], module: str) -> Any:
    return _class_at(body[0], module)(**{name: _decode(item, module) for name, item in body[1].items()})


def _decode_indicator(body: list[Any], module: str) -> Any:
    path, settings, state = body
    indicator = _class_at(path, module)(**{name: _decode(item, module) for name, item in settings.items()})
    indicator.import_state(state)
    return indicator


def _decode_random(body: Any, module: str) -> random.Random:
    source = random.Random()
    source.setstate(_decode(body, module))
    return source


def _class_at(path: str, own_module: str) -> Any:
    found = _find_class(path, own_module)
    if found is None:
        raise ContractError(f"the checkpoint names the class {path}, which does not exist here any more")
    return found


def _find_class(path: str, own_module: str) -> Any:
    """Find an enum, struct, dataclass or indicator of qts or of the strategy's own file, else None.

    Nothing is imported: a checkpoint names data, it never makes other code run.
    """
    module, _, name = path.partition(":")
    where: Any = sys.modules.get(module if module.startswith("qts.") else own_module)
    for part in name.split("."):
        where = getattr(where, part, None)
    is_data = isinstance(where, type) and (
        issubclass(where, Enum | msgspec.Struct | Indicator) or dataclasses.is_dataclass(where)
    )
    return where if is_data else None


_DECODERS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "int": lambda body, _: int(body),
    "decimal": lambda body, _: Decimal(body),
    "tuple": lambda body, module: tuple(_decode(body, module)),
    "dict": _decode_dict,
    "ordered": lambda body, module: OrderedDict(_decode_dict(body, module)),
    "counter": lambda body, module: Counter(_decode_dict(body, module)),
    "defaultdict": _decode_defaultdict,
    "set": lambda body, module: set(_decode(body, module)),
    "frozenset": lambda body, module: frozenset(_decode(body, module)),
    "deque": lambda body, module: deque(_decode(body[1], module), maxlen=body[0]),
    "datetime": lambda body, _: datetime.fromisoformat(body),
    "date": lambda body, _: date.fromisoformat(body),
    "timedelta": lambda body, _: timedelta(*body),
    "random": _decode_random,
    "enum": _decode_enum,
    "object": _decode_object,
    "indicator": _decode_indicator,
}
