"""The contract of an indicator: a number or a bar in, a number out, as floats.

Indicators may be floats, money may not: a value becomes a price only through ``qts.kit.Away``, which puts it on the
price grid. An indicator keeps no more than its window, reads no clock and does no I/O.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec

from qts.errors import ContractError
from qts.indicators.candle import FIELDS, LIMIT, Candle, candle_of
from qts.indicators.settings import check_field
from qts.market.contracts import Bar

NAN: Final = float("nan")
"""The value of an indicator that is not ready; any comparison with it is False, and one with a Decimal raises."""

_PLAIN: Final = frozenset({float, int, bool, str, type(None)})

Number: TypeAlias = float | Decimal


class Saved:
    """A part of an indicator's memory: numbers, texts, lists of them, and other parts."""

    __slots__ = ()

    def export_state(self) -> list[Any]:
        """Return what :meth:`import_state` takes: numbers, texts and None, and lists of these.

        Settings are not in it. Raises :class:`~qts.errors.ContractError` naming an attribute of another kind, which
        only an indicator of a user's own can have.
        """
        return [_exported(self, name, getattr(self, name)) for name in self._memory()]

    def import_state(self, state: Sequence[Any]) -> None:
        """Take the memory that one with the same settings exported.

        Raises :class:`~qts.errors.ContractError` when it does not fit; then the indicator is not to be used.
        """
        names = self._memory()
        if not isinstance(state, list | tuple) or len(state) != len(names):
            raise ContractError(
                f"the saved state of {self!r} does not fit: it must be a list of {len(names)} values; "
                "it was written by another version"
            )
        for name, value in zip(names, state, strict=True):
            present = getattr(self, name, None)
            if isinstance(present, Saved):
                present.import_state(value)
            else:
                setattr(self, name, list(value) if isinstance(value, list | tuple) else value)

    def _memory(self) -> list[str]:
        """Return the names of the attributes to be saved, in an order that only the class decides."""
        kind: type = type(self)
        settings = settings_of(kind)
        return [name for name in (*_slots_of(kind), *getattr(self, "__dict__", ())) if name not in settings]


class Line(Saved):
    """A series of numbers of which the last two are kept.

    ``value`` is the newest one and ``previous`` the one before it; NaN: there is none yet.
    """

    __slots__ = ("previous", "value")

    def __init__(self) -> None:
        self.value = NAN
        self.previous = NAN

    @property
    def ready(self) -> bool:
        """Return whether there is a value."""
        return self.value == self.value  # NaN is not equal to itself

    def move(self, value: float) -> None:
        """Make ``value`` the newest; the one before becomes ``previous``."""
        self.previous = self.value
        self.value = value

    def crossed_above(self, other: Line | Number) -> bool:
        """Return whether the last step led from at or below ``other`` to above it.

        ``other`` is a number, or a line that was moved in the same step. False while one of the four values is
        missing.
        """
        if isinstance(other, Line):
            return self.previous <= other.previous and self.value > other.value
        level = float(other)
        return self.previous <= level < self.value

    def crossed_below(self, other: Line | Number) -> bool:
        """Return whether the last step led from at or above ``other`` to below it; as :meth:`crossed_above`."""
        if isinstance(other, Line):
            return self.previous >= other.previous and self.value < other.value
        level = float(other)
        return self.previous >= level > self.value


class About(msgspec.Struct, frozen=True):
    """The entry of a class of indicators in the reference: how its value is computed, and when there is one."""

    formula: str
    ready: str
    """The number of updates after which there is a value, in terms of the settings."""
    settings: Mapping[str, str]
    """The meaning of each argument of the constructor."""
    fields: Mapping[str, str] = {}
    """The meaning of each attribute that holds more than ``value``."""
    ta_lib: str = ""
    """The functions of TA-Lib that give the same numbers; "": it has none."""
    source: str = ""
    """The publication of a formula that TA-Lib does not have."""


class Indicator(Line, ABC):
    """The base of all indicators.

    A subclass takes its settings as arguments of its constructor and keeps each as an attribute of the same name.
    What it keeps between two updates are attributes made of numbers, texts, lists of these, and other indicators,
    all of them made by the constructor. After an update that raises an error of its own it is as it was.
    """

    __slots__ = ()
    about: ClassVar[About | None] = None
    over_prices: ClassVar[bool] = True
    """Whether its values are prices, so that a plot draws them over the prices."""
    lines: ClassVar[tuple[str, ...]] = ()
    """The names of the lines that a plot draws beside the value, each an attribute that is a :class:`Line`."""

    @abstractmethod
    def update(self, x: Bar | Candle | Number) -> float:
        """Take the next number or finished bar and return the value after it; NaN: not ready yet.

        Raises :class:`~qts.errors.ContractError` for what is no finite number within ±1e100, and for a number where
        a bar is needed; it takes nothing then.
        """

    @property
    def name(self) -> str:
        """Return what it is called in a plot: its class and its settings, like "Sma(20)" or "Sma(20, of=high)"."""
        return _name_of(self)

    @property
    def pane(self) -> str:
        """Return the pane of a plot that it belongs into: "" over the prices, else one of its own below them."""
        return "" if self.over_prices and getattr(self, "of", "") != "volume" else self.name

    def clone(self) -> Self:
        """Return a fresh one of the same class and settings, which has seen nothing."""
        return type(self)(**{name: getattr(self, name) for name in settings_of(type(self))})

    def values(self) -> Iterator[tuple[str, float]]:
        """Yield name and value of each line that a plot draws, the value first; NaN while not ready."""
        name = self.name
        yield name, self.value
        for line in self.lines:
            yield f"{name} {line}", getattr(self, line).value

    def __repr__(self) -> str:
        return f"<{self.name}: {self.value!r}>"


class NumberIndicator(Indicator):
    """The base of indicators of one number after the other; of a bar they read the field that ``of`` names."""

    __slots__ = ("of",)

    def __init__(self, of: str = "close") -> None:
        super().__init__()
        self.of = check_field(type(self).__name__, of)

    @abstractmethod
    def compute(self, x: float) -> float:
        """Return the value after ``x`` (finite, within ±1e100); NaN: not ready yet."""

    def update(self, x: Bar | Candle | Number) -> float:
        """Take the next number, or that field of a finished bar which ``of`` names; return the value after it.

        Raises :class:`~qts.errors.ContractError` for what is no finite number within ±1e100; it takes nothing then.
        """
        if type(x) is not float:
            x = self._read(x)
        if not -LIMIT < x < LIMIT:
            raise ContractError(f"{self.name} takes finite numbers within ±1e100, got {x!r}")
        self.previous = self.value
        self.value = value = self.compute(x)
        return value

    def _read(self, x: Bar | Candle | Number) -> float:
        if isinstance(x, Bar):
            x = candle_of(x)
        if isinstance(x, Candle):
            return FIELDS[self.of](x)
        if isinstance(x, bool) or not isinstance(x, int | float | Decimal):
            raise ContractError(f"{self.name} takes a bar or a number, got {x!r}")
        if (isinstance(x, Decimal) and x.is_nan()) or not -LIMIT < x < LIMIT:
            return NAN
        return float(x)


class BarIndicator(Indicator):
    """The base of indicators that need more of a bar than one number."""

    __slots__ = ()

    @abstractmethod
    def compute(self, candle: Candle) -> float:
        """Return the value after ``candle``; NaN: not ready yet."""

    def update(self, x: Bar | Candle | Number) -> float:
        """Take the next finished bar and return the value after it.

        Raises :class:`~qts.errors.ContractError` for what is no bar, or a bar of impossible numbers; it takes
        nothing then.
        """
        if type(x) is not Candle:
            x = self._read(x)
        self.previous = self.value
        self.value = value = self.compute(x)
        return value

    def _read(self, x: Bar | Candle | Number) -> Candle:
        if isinstance(x, Candle):
            return x
        if not isinstance(x, Bar):
            raise ContractError(f"{self.name} takes bars, got {x!r}")
        return candle_of(x)


def settings_of(kind: type) -> dict[str, Any]:
    """Return the settings of a class with their defaults: the arguments of its constructor, kept as attributes.

    Raises :class:`~qts.errors.ContractError` for a constructor that takes any number of arguments.
    """
    return _settings_of(kind)


@lru_cache(maxsize=256)
def _settings_of(kind: type) -> dict[str, Any]:
    arguments = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    for one in arguments:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise ContractError(f"{kind.__name__}: an indicator's constructor takes named arguments, not {one}")
    return {one.name: one.default for one in arguments}


@lru_cache(maxsize=256)
def _slots_of(kind: type) -> tuple[str, ...]:
    found: list[str] = []
    for base in reversed(kind.__mro__):
        slots = base.__dict__.get("__slots__", ())
        found += (slots,) if isinstance(slots, str) else slots
    return tuple(name for name in found if not name.startswith("__"))


def _name_of(indicator: Indicator) -> str:
    shown = []
    for name, default in settings_of(type(indicator)).items():
        value = getattr(indicator, name)
        if name != "of":
            shown.append(_shown(value) if isinstance(value, float) else str(value))
        elif value != default:
            shown.append(f"of={value}")
    return f"{type(indicator).__name__}({', '.join(shown)})"


def _shown(value: float) -> str:
    """Return a setting with as few digits as tell it from every other: a name stands for one indicator alone."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _exported(owner: object, name: str, value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Saved):
        return value.export_state()
    if type(value) is list and all(type(item) in _PLAIN for item in value):
        return list(value)
    raise ContractError(
        f"{owner!r}: the attribute {name} holds a {type(value).__name__}, which a checkpoint cannot keep; an "
        "indicator's memory is made of numbers, texts, lists of them and other indicators"
    )
