"""HTML by construction: whatever is not markup is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Html(str):
    """Text that is markup already. Only this module and drawings make it."""

    __slots__ = ()


def el(name: str, /, *children: object, **attributes: object) -> Html:
    """Return one element. Children that are not :class:`Html` are escaped; None is left out.

    ``cls`` and names with a trailing underscore stand for reserved words; an attribute of None is left out and
    one of True is written bare.
    """
    return Html(f"<{name}{_attributes(attributes)}>{join(children)}</{name}>")


def void(name: str, /, **attributes: object) -> Html:
    """Return an element without content (``input``, ``meta``)."""
    return Html(f"<{name}{_attributes(attributes)}>")


def join(children: Iterable[object]) -> Html:
    """Join the children one after the other, escaped where they are not markup."""
    return Html("".join(_child(child) for child in children))


def en_ko(english: object, korean: object, *, tag: str = "span") -> Html:
    """Return a text in both languages, of which the page shows one. ``tag`` is "tspan" inside a drawing."""
    return join((el(tag, english, cls="en", lang="en"), el(tag, korean, cls="ko", lang="ko")))


def heading(english: str, korean: str) -> tuple[Html, str, Html]:
    """Return a heading in both languages, side by side whatever the choice."""
    return el("span", english, cls="en", lang="en"), " ", el("span", korean, cls="ko", lang="ko")


def section(key: str | None, title: tuple[str, str], parts: Sequence[object]) -> Html:
    """Return a section of the page with its heading in both languages; ``key`` is what links call it by."""
    return el("section", el("h2", *heading(*title)), *parts, id=key)


def table(
    headers: Sequence[Html],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    prose: int | None = None,
    empty: object = "–",
) -> Html:
    """Return a table in a box that scrolls by itself; ``empty`` when there is no row.

    Columns in ``numeric`` stand to the right; the one of ``prose`` keeps room for sentences also on a phone.
    """
    kinds = dict.fromkeys(numeric, "n") | ({} if prose is None else {prose: "prose"})
    head = el("tr", *(el("th", text, cls=kinds.get(i), scope="col") for i, text in enumerate(headers)))
    body = [el("tr", *(el("td", cell, cls=kinds.get(i)) for i, cell in enumerate(row))) for row in rows]
    if not body:
        return el("p", empty, cls="none")
    return el("div", el("table", el("thead", head), el("tbody", *body)), cls="scroll", tabindex=0)


def _child(child: object) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else escape(str(child))


def _attributes(attributes: dict[str, Any]) -> str:
    parts = []
    for name, value in attributes.items():
        written = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {written}")
        elif value is not None and value is not False:
            parts.append(f' {written}="{escape(str(value))}"')
    return "".join(parts)
