"""The configuration as a flat list of settings: for showing, comparing, hashing.

A *leaf* is what a person sets as one value; lists and tables of plain values are one leaf.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import msgspec

from qts.config.shape import Kind, Shape, key_text, plain

MASK: Final = "***"
_PLAIN_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Leaf(msgspec.Struct, frozen=True):
    """One setting: dotted path, its shape, its value as the files write it (a secret is masked)."""

    path: str
    shape: Shape
    value: Any
    text: str


def leaves(shape: Shape, value: Any, path: str = "") -> Iterator[Leaf]:
    """Yield every setting of ``value`` in the order of its declaration."""
    if value is None or shape.is_leaf:
        yield Leaf(path, shape, value, MASK if shape.secret and value is not None else written(shape, value))
    elif shape.kind is Kind.RECORD:
        for field in shape.fields:
            yield from leaves(
                field.shape, getattr(value, field.name), f"{path}.{field.name}" if path else field.name
            )
    else:
        yield from _table_leaves(shape, value, path)


def _table_leaves(shape: Shape, value: Mapping[Any, Any], path: str) -> Iterator[Leaf]:
    assert shape.item is not None
    if not value:
        yield Leaf(path, shape, value, "{}")
    for key, inner in value.items():
        yield from leaves(shape.item, inner, f"{path}.{key_text(key)}")


def written(shape: Shape, value: Any) -> str:
    """Return ``value`` as one line of YAML, the same text for equal values."""
    if value is None:
        return "null"
    if shape.kind is Kind.BOOL:
        return "true" if value else "false"
    if shape.kind.is_number:
        return plain(value)
    if shape.kind is Kind.CHOICE:
        text = key_text(value) if isinstance(value, Enum) else str(value)
        return text if _PLAIN_WORD.fullmatch(text) and text != "null" else quoted(text)
    if shape.kind is Kind.TEXT:
        return quoted(value)
    if shape.kind is Kind.LIST:
        return _written_list(shape, value)
    return _written_group(shape, value)


def quoted(text: str) -> str:
    """Return text in quotes; single ones when it can be read so."""
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(char) for char in text) + '"'


def config_hash(shape: Shape, value: Any) -> str:
    """Return the SHA-256 (hex) of all settings but secrets and those that only change how a result is shown.

    Equal values give equal hashes, however they were written.
    """
    digest = hashlib.sha256()
    # Sorted, because equal tables may have their entries in another order.
    for leaf in sorted(leaves(shape, value), key=lambda leaf: leaf.path):
        if leaf.shape.secret or leaf.shape.display:
            continue
        line = f"{leaf.path}={leaf.text}".encode("utf-8", "surrogatepass")
        digest.update(len(line).to_bytes(8, "little"))
        digest.update(line)
    return digest.hexdigest()


def _written_list(shape: Shape, value: Any) -> str:
    if shape.items:
        return f"[{', '.join(written(inner, item) for inner, item in zip(shape.items, value, strict=True))}]"
    assert shape.item is not None
    texts = [written(shape.item, item) for item in value]
    return f"[{', '.join(sorted(texts) if shape.type is frozenset else texts)}]"


def _written_group(shape: Shape, value: Any) -> str:
    if shape.kind is Kind.RECORD:
        pairs = [(field.name, written(field.shape, getattr(value, field.name))) for field in shape.fields]
    else:
        assert shape.item is not None
        pairs = [(table_key(shape, key), written(shape.item, inner)) for key, inner in value.items()]
        pairs.sort()
    return "{" + ", ".join(f"{key}: {text}" for key, text in pairs) + "}"


def table_key(shape: Shape, key: Any) -> str:
    """Return a key of a table as the files write it: the enum's word, or text in quotes."""
    return key_text(key) if shape.key is not None else quoted(key)


def _escaped(char: str) -> str:
    if char in ('"', "\\"):
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65_536 else f"\\U{code:08x}"
