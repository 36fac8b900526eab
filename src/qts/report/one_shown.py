"""Parts of a page of which one is shown at a time, without a script: the one that the address points to, or into.

The parts are chosen by links. Where none of them is pointed to the first is shown; on paper all are.
"""

from __future__ import annotations

from collections.abc import Sequence

from qts.report.markup import Html, el


def chooser(parts: Sequence[tuple[str, Html]]) -> Html | None:
    """Return links to ``parts`` of (id, name); None when there is nothing to choose."""
    if len(parts) < 2:
        return None
    return el("p", *(el("a", name, href=f"#{key}") for key, name in parts), cls="chooser")


def one_shown(parts: Sequence[tuple[str, Html, Html]]) -> Html:
    """Return ``parts`` of (id, name, content), of which the page shows one."""
    return el("div", *(el("div", content, id=key, cls="part") for key, _, content in parts), cls="parts")
