"""The look that every drawing shares: one palette for light and dark, and figures that become inline SVG.

Drawings are made with the light colours. On the way into a page each of them turns into a CSS variable, so that
one drawing follows the theme of its reader; text stays text and takes the font of the page.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from qts.capital.contracts import Pool
from qts.errors import MissingExtraError
from qts.report.chart_texts import ChartTexts, label_of
from qts.report.markup import Html, el, en_ko
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
    "up": ("#1d7f50", "#4fce8e"),
    "down": ("#b5483f", "#f08a80"),
}
"""Colours by name as (light, dark). "up" and "down" are a gain and a loss; a page may show them in others."""

RED_GAINS: Final[Mapping[str, tuple[str, str]]] = {"up": ("#c62f28", "#ff7f75"), "down": ("#2563c4", "#79aaff")}
"""A gain and a loss as Korean brokers show them: red and blue."""


def light(name: str) -> str:
    """Return the colour to draw ``name`` with."""
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
    """Raise :class:`~qts.errors.MissingExtraError` naming ``feature`` when nothing can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError(feature, "report") from None


@contextmanager
def drawing(salt: str) -> Iterator[ChartTexts]:
    """Set what every figure is made and written under, whatever the user's own matplotlib file says.

    Yields the :class:`~qts.report.chart_texts.ChartTexts` that every text with two languages passes through.
    ``salt`` keeps the ids inside two drawings of one page apart and the same in every run. Text is never read
    as mathematics: a symbol may contain a dollar sign. The reader's fonts draw it, so ours need not know it.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": salt, "svg.fonttype": "none", "text.parse_math": False})
        yield ChartTexts()


def rendered(figure: Figure, kind: str) -> bytes:
    """Return ``figure`` as a file of ``kind`` (png, svg): the same figure gives the same bytes, no dates inside."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "qts", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def inline_svg(figure: Figure, texts: ChartTexts, label: Bilingual) -> Html:
    """Return ``figure`` as an element for an HTML page; call inside :func:`drawing`.

    ``label`` is for screen readers. The element has no fonts and no colours of its own: it takes the font and
    the variables of the page.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - what matplotlib has just written
    ids = _own_ids(root, str(mpl.rcParams["svg.hashsalt"]))
    parts = [_written(child, texts, ids) for child in root]
    return el("svg", *parts, cls="q", viewBox=root.attrib["viewBox"], role="img", aria_label=label_of(label))


def dress(axis: Any, *, size: float = 10.5, grid: str | None = "y") -> None:
    """Draw the frame of every chart: no box, a faint grid, no tick marks."""
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


def _own_ids(root: ElementTree.Element, salt: str) -> dict[str, str]:
    """Return ids that no other drawing of the page has, by matplotlib's, which names equal markers alike.

    Groups need none.
    """
    found = dict.fromkeys(node.attrib["id"] for node in root.iter() if "id" in node.attrib and _name(node) != "g")
    return {old: f"{salt}-{number}" for number, old in enumerate(found)}


def _written(node: ElementTree.Element, texts: ChartTexts, ids: Mapping[str, str]) -> Html | None:
    """Return one element of a drawing as markup; None for what a page does not need."""
    name = _name(node)
    if name in _LEFT_OUT:
        return None
    attributes = {
        key.rpartition("}")[2]: value for key, value in node.attrib.items() if not _says_nothing(name, key, value)
    }
    if "id" in attributes:
        attributes["id"] = ids[attributes["id"]]
    for key in _REFERENCES & attributes.keys():
        before, mark, target = attributes[key].partition("#")
        attributes[key] = f"{before}{mark}{ids[target.rstrip(')')]}{')' if target.endswith(')') else ''}"
    if "style" in attributes:
        attributes["style"] = _style(attributes["style"])
    return el(name, _text(node, texts), *(_written(child, texts, ids) for child in node), **attributes)


def _text(node: ElementTree.Element, texts: ChartTexts) -> object:
    drawn = (node.text or "").strip()
    found = texts.get(drawn)
    if found is None:
        return drawn
    english, korean = found
    return english if english == korean else en_ko(english, korean, tag="tspan")


def _style(text: str) -> str:
    """Return a style without its font, with its colours as variables of the page."""
    declared = []
    for name, _, value in (one.strip().partition(": ") for one in text.split(";")):
        if name == "font":
            declared.append(f"font-size: {value.partition(' ')[0]}")
        elif name and name != "font-family":
            declared.append(f"{name}: {_VARIABLE.get(value, value)}")
    return "; ".join(declared)


def _says_nothing(name: str, key: str, value: str) -> bool:
    return (key == "id" and name == "g") or value.startswith("rotate(-0 ")


def _name(node: ElementTree.Element) -> str:
    return str(node.tag).rpartition("}")[2]


_LEFT_OUT: Final = frozenset({"metadata", "style"})
_REFERENCES: Final = frozenset({"href", "clip-path"})
_VARIABLE: Final = {pair[0]: f"var(--{name})" for name, pair in PALETTE.items()}
