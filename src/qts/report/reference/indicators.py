"""The page of the indicators: formula, settings, when there is a value, fields, the name in TA-Lib."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from qts.indicators import FIELDS, INDICATORS, MAX_LENGTH, Candle, Indicator, settings_of
from qts.report.reference.markdown import code, first_sentence, page, section, table

_EXAMPLE: Final[dict[str, Any]] = {"length": 20}
"""The settings shown for those that an indicator has no default for."""
_MOST_BARS: Final = 1_000

INTRODUCTION: Final = (
    "Imported from `qts.kit`. An indicator takes one number or one finished bar with each `update(x)` and returns "
    "its value, a float. It keeps no more than its window, and is saved with a strategy's memory."
)
MEMBERS: Final = (
    (
        "update(x)",
        "takes a bar or a number and returns the value; what is no finite number within ±1e100, or no bar where "
        "one is needed, is refused with a `ContractError` and changes nothing",
    ),
    (
        "value",
        "the newest value; NaN before it is ready. Comparing a `Decimal` with NaN raises an error: ask `ready` "
        "first",
    ),
    ("ready", "whether there is a value"),
    ("previous", "the value before the last update"),
    (
        "crossed_above(other)",
        "whether the last update led from at or below `other` to above it; `other` is a number, another indicator "
        "or a line of one",
    ),
    ("crossed_below(other)", "the same from above"),
    ("name", "its name in plots, such as `Sma(20)`"),
    ("clone()", "a fresh one with the same settings"),
)
RULES: Final = (
    f"`of` names what it reads of a bar: {', '.join(map(code, FIELDS))}. hl2, hlc3 and ohlc4 are means of the "
    f"prices that they name. A length is a whole number up to {MAX_LENGTH:,}. A field that is a line has `value`, "
    "`previous`, `crossed_above` and `crossed_below` itself.",
    "An average of equal prices is that price, and an oscillator is in its middle then, so flat prices give no "
    "signal. Where TA-Lib has the function the values are the same within 1e-9 and ready at the same bar; only the "
    "value of flat prices differs, and is named below.",
    "An indicator of your own derives from `NumberIndicator` or `BarIndicator`, keeps each argument of its "
    "constructor as an attribute of that name, and computes the next value in `compute(x)`: NaN while there is "
    "none.",
)


def indicators_page() -> str:
    """Return every indicator of ``qts.indicators``."""
    rows = [
        (f"[{kind.__name__}](#{kind.__name__.lower()})", first_sentence(kind.__doc__), _ta_lib(kind))
        for kind in INDICATORS
    ]
    members = [(code(name), text) for name, text in MEMBERS]
    return page(
        "Indicators",
        INTRODUCTION,
        section("Members", table(("member", "meaning"), members), *RULES),
        section("All of them", table(("indicator", "what it is", "TA-Lib"), rows)),
        *(section(kind.__name__, *_about(kind)) for kind in INDICATORS),
    )


def _ta_lib(kind: type[Indicator]) -> str:
    assert kind.about is not None
    return kind.about.ta_lib


def _about(kind: type[Indicator]) -> Iterator[str]:
    about = kind.about
    assert about is not None
    shown = _example(kind)
    yield f"{first_sentence(kind.__doc__)} {code(_signature(kind))}"
    yield f"Value: {about.formula}."
    yield f"Ready after {about.ready} updates; {shown.name} after {_count(shown)}."
    yield f"TA-Lib: {about.ta_lib}." if about.ta_lib else f"TA-Lib has none. Formula: {about.source}."
    if about.settings:
        yield table(("setting", "meaning"), [(code(name), text) for name, text in about.settings.items()])
    if about.fields:
        yield table(("field", "meaning"), [(code(name), text) for name, text in about.fields.items()])


def _example(kind: type[Indicator]) -> Indicator:
    """Return one with its defaults, and the settings of the example where it has none."""
    settings = settings_of(kind)
    return kind(**{name: value for name, value in _EXAMPLE.items() if isinstance(settings.get(name), type)})


def _signature(kind: type[Indicator]) -> str:
    given = [
        name if isinstance(default, type) else f"{name}={default!r}" for name, default in settings_of(kind).items()
    ]
    return f"{kind.__name__}({', '.join(given)})"


def _count(indicator: Indicator) -> int:
    """Return the updates that ``indicator`` takes to be ready, by making them."""
    for count in range(1, _MOST_BARS):
        indicator.update(Candle(count, count + 1, count - 1, count, 1))
        if indicator.ready:
            return count
    raise AssertionError(f"{indicator.name} is not ready after {_MOST_BARS} bars")
