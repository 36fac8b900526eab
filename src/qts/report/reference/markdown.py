"""The little Markdown that the reference pages are made of."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, Final

NOTICE: Final = "Made from the code by `qts docs`; do not edit. `qts docs --check` tells when it is out of date."


def page(title: str, *parts: str) -> str:
    """Return a whole page: the title, the notice, then the parts with an empty line between them."""
    return "\n\n".join([f"# {title}", NOTICE, *parts]) + "\n"


def section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *parts])


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; bars and line ends inside cells are made harmless."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Return ``text`` in the code face; an empty text stays empty."""
    return f"`{text}`" if text else ""


def yes(value: bool) -> str:
    return "yes" if value else ""


def diagram(edges: Iterable[tuple[str, str, str]], start: str) -> str:
    """Return a mermaid state diagram; causes with the same way share one arrow."""
    merged: dict[tuple[str, str], list[str]] = {}
    for source, target, cause in edges:
        merged.setdefault((source, target), []).append(cause)
    arrows = [f"    {source} --> {target}: {', '.join(causes)}" for (source, target), causes in merged.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {start}", *arrows, "```"])


def first_sentence(text: str | None) -> str:
    """Return the first paragraph of a docstring as one line, without reStructuredText marks."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    return paragraph.replace("``", "`")


def type_text(kind: Any) -> str:
    """Return a Python type as a reader wants it: ``Decimal or None``, ``list of str``."""
    if kind is type(None):
        return "None"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(argument) for argument in arguments)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin is Sequence or (origin is tuple and arguments[-1:] == (Ellipsis,)):
        return f"list of {type_text(arguments[0])}"
    if origin is tuple:
        return f"({', '.join(type_text(argument) for argument in arguments)})"
    if origin is dict:
        return f"table from {type_text(arguments[0])} to {type_text(arguments[1])}"
    return str(getattr(kind, "__name__", kind))


def _cell(text: str) -> str:
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    parts[::2] = [plain.replace("<", "&lt;") for plain in parts[::2]]  # inside code it is shown as it is
    return "`".join(parts)
