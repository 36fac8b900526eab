"""The frame of every page that QTS writes: its head, its policy, and the choice of language and theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.report.markup import Html, el, en_ko, join, void
from qts.report.page_css import stylesheet
from qts.runtime.session.result import GainColor

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The browser itself refuses to load or run anything, whatever a symbol or a reason may contain."""


def document(title: str, parts: Sequence[Html], gain_color: GainColor) -> str:
    """Return a whole page with ``parts`` as its body."""
    head = join(
        (
            void("meta", charset="utf-8"),
            void("meta", http_equiv="Content-Security-Policy", content=POLICY),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            void("meta", name="referrer", content="no-referrer"),
            el("title", title),
            el("style", Html("\n" + stylesheet(gain_color))),
        )
    )
    return f"<!doctype html>\n{el('html', el('head', head), el('body', *parts), lang='en')}\n"


def switches() -> Html:
    """Return the choice of language and theme, which needs no script."""
    language = (
        ("en", el("span", "English", lang="en"), True),
        ("ko", el("span", "한국어", lang="ko"), None),
    )
    theme = (
        ("auto", en_ko("Auto", "자동"), True),
        ("light", en_ko("Light", "밝게"), None),
        ("dark", en_ko("Dark", "어둡게"), None),
    )
    return el(
        "div",
        _choice("language", en_ko("Language", "언어"), language),
        _choice("theme", en_ko("Theme", "화면 테마"), theme),
        cls="switches",
    )


def _choice(name: str, legend: Html, options: Sequence[tuple[str, Html, bool | None]]) -> Html:
    members = [
        join((void("input", type="radio", name=name, id=key, checked=checked), el("label", text, for_=key)))
        for key, text, checked in options
    ]
    return el("fieldset", el("legend", legend), *members)
