"""The look that every drawing shares: one palette for light and dark, and figures that become inline SVG.

Drawings are made with the light colours. On the way into a page each of them turns into a CSS variable, so that
one drawing follows the theme of its reader; text stays text and takes the font of the page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Final

from qts.capital.contracts import Pool
from qts.errors import MissingExtraError
from qts.report.chart_texts import Words, name_of
from qts.report.markup import Html
from qts.report.meanings import Bilingual
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE: Final[Mapping[str, tuple[str, str]]] = {
    # name: (light, dark); every light colour is unique, because it is replaced by its name
    "page": ("#f5f6f8", "#101318"),
    "card": ("#fdfdfe", "#181c23"),
    "ink": ("#22262b", "#e8eaed"),
    "muted": ("#5b636c", "#a4acb5"),
    "faint": ("#8a9199", "#6d757e"),
    "line": ("#e1e4e8", "#2b313a"),
    "accent": ("#3a5bc7", "#8da7ff"),
    "aggressive": ("#c2701c", "#f0a04b"),
    "balanced": ("#2f6f8f", "#5fb0d6"),
    "defensive": ("#6b4f9e", "#a98be6"),
    "scalp": ("#d0346f", "#ff7aa8"),
    "swing": ("#1f77c9", "#63b0f5"),
    "portfolio": ("#4f8a2b", "#8fcf63"),
    "good": ("#1d7f4e", "#4fce8d"),
    "warn": ("#a86f00", "#f0b93a"),
    "bad": ("#c0322b", "#ff7b72"),
    "locked": ("#8c1d3f", "#ff6f9c"),
    "loss": ("#b5483f", "#f08a80"),
}
"""Colours by name as (light, dark)."""


def light(name: str) -> str:
    """The colour to draw with."""
    return PALETTE[name][0]


STATE_COLOURS: Final = {state: light(state.value.lower()) for state in OperatingState}
WASH: Final = {
    OperatingState.AGGRESSIVE: 0.15,
    OperatingState.BALANCED: 0.055,
    OperatingState.DEFENSIVE: 0.19,
}
"""How strongly a state colours the ground of a page's drawings."""
BAND_ALPHA: Final = {
    OperatingState.AGGRESSIVE: 0.20,
    OperatingState.BALANCED: 0.07,
    OperatingState.DEFENSIVE: 0.30,
}
POOL_COLOURS: Final = {pool: light(pool.value.lower()) for pool in Pool}
SAFETY_NAMES: Final = {
    SafetyState.NORMAL: "good",
    SafetyState.WARNING: "warn",
    SafetyState.FAIL: "bad",
    SafetyState.LOCKDOWN: "locked",
}
INK: Final = light("ink")
FAINT: Final = light("faint")


def require_matplotlib(feature: str) -> None:
    """Raises :class:`~qts.errors.MissingExtraError` naming ``feature`` when nothing can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(feature, "report") from None


@contextmanager
def drawing(salt: str) -> Iterator[Words]:
    """The settings every figure is made and written under, whatever the user's own matplotlib file says.

    Gives the :class:`~qts.report.chart_texts.Words` that everything written in the figure passes through.
    ``salt`` keeps the ids inside two drawings of one page apart and the same in every run. Text is never read
    as mathematics: a symbol may contain a dollar sign. The reader's fonts draw it, so ours need not know it.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": salt, "svg.fonttype": "none", "text.parse_math": False})
        yield Words()


def rendered(figure: Figure, kind: str) -> bytes:
    """``figure`` as a file of ``kind`` (png, svg): the same figure gives the same bytes, no dates inside."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "qts", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def inline_svg(figure: Figure, words: Words, label: Bilingual) -> Html:
    """``figure`` as an element for an HTML page; call inside :func:`drawing`. ``label`` is for screen readers."""
    import matplotlib as mpl

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r" font-family: [^;\"]*;| transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = _COLOUR.sub(lambda found: _VARIABLE.get(found[0], found[0]), text)
    text = re.sub(r"\n\s*", "\n", text)
    text = words.in_both(text)
    text = _own_ids(text, str(mpl.rcParams["svg.hashsalt"]))
    size = re.search(r'viewBox="([^"]*)"', text)
    assert size is not None  # matplotlib always writes it
    body = text[text.index(">") + 1 :]
    return Html(f'<svg class="q" viewBox="{size[1]}" role="img" aria-label="{escape(name_of(label))}">{body}')


def dress(axis: Any, *, size: float = 10.5, grid: str | None = "y") -> None:
    """The frame of every chart: no box, a faint grid, no tick marks."""
    axis.set_facecolor("none")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.spines["bottom"].set_linewidth(0.7)
    axis.tick_params(colors=light("muted"), labelsize=size, length=0, pad=5)
    axis.tick_params(axis="x", pad=8)  # clear of a 0 that stands at the corner
    if grid is not None:
        axis.grid(axis=grid, color=FAINT, alpha=0.28, linewidth=0.6)
    axis.set_axisbelow(True)


def _own_ids(text: str, salt: str) -> str:
    """Ids that no other drawing of the page has; matplotlib names equal markers alike everywhere."""
    names: dict[str, str] = {}
    for found in re.findall(r' id="([^"]+)"', text):
        names.setdefault(found, f"{salt}-{len(names)}")
    return re.sub(r'( id="|href="#|url\(#)([^")]+)', lambda found: found[1] + names.get(found[2], found[2]), text)


_COLOUR: Final = re.compile(r"#[0-9a-f]{6}\b")
_VARIABLE: Final = {pair[0]: f"var(--{name})" for name, pair in PALETTE.items()}
