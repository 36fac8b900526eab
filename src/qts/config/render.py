"""The YAML files of a configuration: every value, with its meaning and what is allowed.

The files in ``config/`` are made here, so that they agree with the code. ``python -m qts.config.render DIR`` writes
them; with ``--replace`` behind it also over files that were edited.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.config.leaves import config_hash, table_key, written
from qts.config.loader import LoadedConfig, examine
from qts.config.shape import Field, Kind, Shape
from qts.config.tree import QTS, Layout
from qts.errors import ConfigError
from qts.files import PUBLIC, write_atomically

WIDTH: Final = 110
_HEADER: Final = (
    "What is left out keeps its default. A key, a type or a range that does not fit is refused with file and line:"
    " see qts config check. A setting marked 'reloadable' may change while a session runs."
)


def render_section(name: str, value: Any, layout: Layout = QTS) -> str:
    """Return the text of ``<name>.yaml`` for ``value``; secrets are written as references to variables."""
    field = layout.shape.field(name)
    assert field is not None
    header = [f"# {line}" for line in textwrap.wrap(f"{field.shape.description} {_HEADER}".strip(), WIDTH - 2)]
    return "\n".join([*header, "", *_record(field.shape, value, name, 0, layout)]) + "\n"


def write_defaults(directory: Path, layout: Layout = QTS, *, replace: bool = False) -> list[Path]:
    """Write the file of every section into ``directory``; return the paths.

    Raises ConfigError, and writes nothing, when files there set something else than the defaults, unless
    ``replace``; OSError when a file cannot be written.
    """
    root = layout.root()
    texts = {
        directory / f"{name}.yaml": render_section(name, getattr(root, name), layout) for name in layout.sections
    }
    if not replace and any(map(os.path.lexists, texts)):
        found = examine(directory, {}, {}, layout)
        if not isinstance(found, LoadedConfig) or found.hash != config_hash(layout.shape, root):
            raise ConfigError(f"{directory} holds settings that were edited; move them away, or give --replace")
    for path, text in texts.items():
        write_atomically(path, text.encode(), mode=PUBLIC)
    return list(texts)


def _record(shape: Shape, value: Any, path: str, depth: int, layout: Layout) -> Iterator[str]:
    was_nested = False
    for number, field in enumerate(_worth_writing(shape, value)):
        inner = getattr(value, field.name)
        nested = _is_nested(field.shape, inner)
        if depth == 0 and number and (nested or was_nested):
            yield ""
        was_nested = nested
        yield from _setting(field, field.name, inner, f"{path}.{field.name}", depth, layout)


def _worth_writing(shape: Shape, value: Any) -> list[Field]:
    """Return the fields to write: all, but in an entry of a table not those that are left open."""
    if not any(field.required for field in shape.fields):
        return list(shape.fields)
    default = {info.name: info.default for info in msgspec.structs.fields(shape.type)}
    return [f for f in shape.fields if getattr(value, f.name) is not None or default[f.name] is not None]


def _setting(field: Field, key: str, value: Any, path: str, depth: int, layout: Layout) -> Iterator[str]:
    shape, pad = field.shape, "  " * depth
    yield from _comment(shape, path, pad, layout)
    if not _is_nested(shape, value):
        yield f"{pad}{key}: {_value(shape, value, path)}"
        return
    yield f"{pad}{key}:"
    if shape.kind is Kind.RECORD:
        yield from _record(shape, value, path, depth + 1, layout)
        return
    assert shape.item is not None
    for name, inner in value.items():
        below = f"{path}.{table_key(shape, name)}"
        yield from _setting(Field("", shape.item, False), table_key(shape, name), inner, below, depth + 1, layout)


def _is_nested(shape: Shape, value: Any) -> bool:
    if value is None or shape.is_leaf:
        return False
    return shape.kind is Kind.RECORD or bool(value)


def _value(shape: Shape, value: Any, path: str) -> str:
    if shape.secret and value is not None:
        return "${" + path.replace(".", "_").upper() + "}"
    return written(shape, value)


def _comment(shape: Shape, path: str, pad: str, layout: Layout) -> Iterator[str]:
    parts = [shape.description]
    if shape.kind not in (Kind.RECORD, Kind.TABLE):
        parts += [shape.allowed(), _reload_text(shape) if layout.may_change(path) else ""]
    text = " · ".join(part for part in parts if part)
    for line in textwrap.wrap(text, WIDTH - len(pad) - 2):
        yield f"{pad}# {line}"


def _reload_text(shape: Shape) -> str:
    return f"reloadable, {shape.looser} once confirmed" if shape.looser else "reloadable"


if __name__ == "__main__":
    write_defaults(Path(sys.argv[1]), replace="--replace" in sys.argv[2:])
