"""The space of a search: which values each parameter of a strategy may take.

Written as ``fast=3..20``, ``slow=10..60:5``, ``mode=a,b`` or ``fast=10``; checked against what the strategy
declares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from qts.errors import InputError
from qts.strategy.params import Param, Value, unknown_param

MOST_VALUES: Final = 100_000
"""Values of one parameter."""
_STEPS_WITHOUT_STEP: Final = 10
"""Steps between the ends of a range of numbers with decimals that names no step."""
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_MOST_DECIMALS: Final = 80
_FORM: Final = "write NAME=LOW..HIGH, NAME=LOW..HIGH:STEP, NAME=A,B,C or NAME=VALUE"


class Axis(msgspec.Struct, frozen=True):
    """One parameter of a search and the texts of its values, in rising order for a range.

    ``is_ordered``: neighbours in the list are neighbours in value.
    """

    name: str
    values: tuple[str, ...]
    is_ordered: bool


class Space(msgspec.Struct, frozen=True):
    """The axes of a search, in the order in which they were given."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """Return the number of combinations, before any condition."""
        return math.prod(len(axis.values) for axis in self.axes)

    def at(self, places: Sequence[int]) -> dict[str, str]:
        """Return the parameters at one place on each axis."""
        return {axis.name: axis.values[place] for axis, place in zip(self.axes, places, strict=True)}

    def places_of(self, params: Mapping[str, str]) -> tuple[int, ...]:
        """Return the place of ``params`` on each axis."""
        return tuple(axis.values.index(params[axis.name]) for axis in self.axes)

    def all(self) -> Iterator[dict[str, str]]:
        """Yield every combination, the last axis changing fastest."""
        places = [0] * len(self.axes)
        for _ in range(self.size):
            yield self.at(places)
            for axis in reversed(range(len(places))):
                places[axis] += 1
                if places[axis] < len(self.axes[axis].values):
                    break
                places[axis] = 0

    def neighbours(self, params: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """Yield the combinations that are one step away on one ordered axis."""
        places = self.places_of(params)
        for number, axis in enumerate(self.axes):
            if axis.is_ordered:
                for place in (places[number] - 1, places[number] + 1):
                    if 0 <= place < len(axis.values):
                        yield self.at((*places[:number], place, *places[number + 1 :]))


def space_of(given: Sequence[str], owner: str, declared: Mapping[str, Param]) -> Space:
    """Return the space that the texts of ``--param`` describe, for the parameters of the class ``owner``.

    Raises InputError, which names the text and what is allowed, for another form, a parameter that is not declared
    or given twice, a value that is not allowed, and a range without values.
    """
    axes: list[Axis] = []
    for text in given:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or not values.strip():
            raise InputError(f"--param {text}: {_FORM}")
        if name not in declared:
            raise InputError(f"--param {text}: {unknown_param(owner, name, declared)}")
        if any(axis.name == name for axis in axes):
            raise InputError(f"--param {text}: {name} is given twice")
        axes.append(_axis(name, values.strip(), declared[name], text))
    return Space(tuple(axes))


def _axis(name: str, text: str, declared: Param, given: str) -> Axis:
    low, dots, rest = text.partition("..")
    is_number = type(declared.default) in (int, float, Decimal)
    if dots and is_number:
        high, colon, step = rest.partition(":")
        values = _range(declared, low, high, step if colon else None, given)
    else:
        values = [part.strip() for part in text.split(",")]
    if len(values) > MOST_VALUES:
        raise InputError(f"--param {given}: {len(values):,} values; at most {MOST_VALUES:,} are allowed")
    parsed: list[Value] = []
    for value in values:
        try:
            parsed.append(declared.parse(value))
        except InputError as error:
            raise InputError(f"--param {given}: {name} {error}") from None
    texts = [str(one) for one in parsed]
    twice = [one for number, one in enumerate(texts) if one in texts[:number]] if not dots else []
    if twice:
        raise InputError(f"--param {given}: {twice[0]} is given twice")
    ordered = is_number and (bool(dots) or parsed == sorted(parsed))
    return Axis(name, tuple(dict.fromkeys(texts)), ordered and len(texts) > 1)


def _range(declared: Param, low_text: str, high_text: str, step_text: str | None, given: str) -> list[str]:
    low, high = _number(low_text, given), _number(high_text, given)
    if low > high:
        raise InputError(f"--param {given}: {low_text.strip()} is above {high_text.strip()}, so there is no value")
    is_whole = type(declared.default) is int
    if step_text is not None:
        step = _number(step_text, given)
    elif declared.log and declared.step is None and not is_whole:
        return _spread_in_logarithm(low, high, given)
    elif declared.step is not None:
        step = Fraction(str(declared.step))
    else:
        step = Fraction(1) if is_whole else (high - low) / _STEPS_WITHOUT_STEP
    if low == high:
        return [_plain(low)]
    if step <= 0:
        raise InputError(f"--param {given}: the step must be above 0")
    count = (high - low) // step + 1
    if count > MOST_VALUES:
        raise InputError(f"--param {given}: {count:,} values; at most {MOST_VALUES:,} are allowed")
    return [_plain(low + step * place) for place in range(count)]


def _spread_in_logarithm(low: Fraction, high: Fraction, given: str) -> list[str]:
    if low <= 0:
        raise InputError(f"--param {given}: it is spread in the logarithm, so the lower end must be above 0")
    first, last = math.log(low), math.log(high)
    steps = _STEPS_WITHOUT_STEP
    inner = [f"{math.exp(first + (last - first) * place / steps):.6g}" for place in range(1, steps)]
    return [_plain(low), *(_plain(Fraction(one)) for one in inner), _plain(high)]


def _plain(number: Fraction) -> str:
    """Return ``number``, which has few decimals, in plain digits."""
    decimals = next(places for places in range(_MOST_DECIMALS) if 10**places % number.denominator == 0)
    digits = f"{abs(number.numerator) * 10**decimals // number.denominator:0{decimals + 1}d}"
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def _number(text: str, given: str) -> Fraction:
    if not _NUMBER.fullmatch(text.strip()):
        raise InputError(f"--param {given}: {text.strip()!r} is not a number such as 10 or 0.5; {_FORM}")
    return Fraction(text.strip())
