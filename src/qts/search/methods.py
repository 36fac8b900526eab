"""The ways to choose the parameters of trials; each depends on its seed and on answers in order of their number.

So the same search has the same trials for any number of workers, after any stop and any crash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from qts.errors import InputError, MissingExtraError
from qts.ids import seeded
from qts.search.condition import Condition
from qts.search.space import Space

BATCH: Final = 16
"""Trials that are chosen before the answers of the batch before are looked at."""
METHODS: Final = ("grid", "random", "qmc", "tpe")
_MOST_DRAWS: Final = 1_000
"""Draws for each trial that is wanted before a space counts as used up."""


class Told(msgspec.Struct, frozen=True):
    """A trial that was run: its parameters and the value of the objective; None: it has none."""

    params: dict[str, str]
    value: float | None


class Method(Protocol):
    """A way to choose parameters."""

    batch: int
    """Trials of one call of :meth:`ask`; 0: all at once, because no answer is looked at."""

    def ask(self) -> list[dict[str, str]]:
        """Return the parameters of the next trials, no combination twice; [] when there are no more."""
        ...

    def tell(self, told: Sequence[Told]) -> None:
        """Take the answers of the batch asked last, in its order."""
        ...


def method_of(name: str, space: Space, condition: Condition, *, trials: int | None, most: int, seed: int) -> Method:
    """Return the method ``name`` over ``space``.

    ``trials`` are how many are wanted; None: all of a grid. ``most`` is the largest number that may be run. Raises
    InputError when no combination meets the condition or there are more than ``most``, and MissingExtraError.
    """
    if name not in METHODS:
        raise InputError(f"--method {name}: allowed are {', '.join(METHODS)}")
    if trials is not None and trials > most:
        raise InputError(f"--trials {trials:,}: at most {most:,} are allowed; raise --max-trials")
    if name == "grid":
        return _Grid(space, condition, trials, most)
    if trials is None:
        raise InputError(f"--method {name} needs --trials N")
    if name == "random":
        return _Drawn(_random_places(space, seed), space, condition, trials)
    if name == "qmc":
        return _Drawn(_even_places(space, seed), space, condition, trials)
    return _Tpe(space, condition, trials, seed)


class _Grid:
    """Every combination that meets the condition, in order; the first ``trials`` of them."""

    batch = 0

    def __init__(self, space: Space, condition: Condition, trials: int | None, most: int) -> None:
        self._found: list[dict[str, str]] = []
        wanted = most + 1 if trials is None else trials
        for params in space.all():
            if condition.holds(params):
                self._found.append(params)
                if len(self._found) >= wanted:
                    break
        if trials is None and len(self._found) > most:
            raise InputError(
                f"the grid has more than {most:,} combinations; widen its steps, give --trials, choose --method "
                "random, qmc or tpe, or raise --max-trials"
            )
        _require_some(self._found, space, condition)

    def ask(self) -> list[dict[str, str]]:
        found, self._found = self._found, []
        return found

    def tell(self, told: Sequence[Told]) -> None:
        """Look at no answer."""


class _Drawn:
    """Combinations that a sequence of places gives, each once, that meet the condition."""

    batch = 0

    def __init__(self, places: Iterator[tuple[int, ...]], space: Space, condition: Condition, trials: int) -> None:
        self._found: list[dict[str, str]] = []
        seen: set[tuple[int, ...]] = set()
        for _ in range(trials * _MOST_DRAWS):
            if len(self._found) == trials or len(seen) == space.size:
                break
            drawn = next(places)
            if drawn not in seen:
                seen.add(drawn)
                if condition.holds(params := space.at(drawn)):
                    self._found.append(params)
        _require_some(self._found, space, condition)

    def ask(self) -> list[dict[str, str]]:
        found, self._found = self._found, []
        return found

    def tell(self, told: Sequence[Told]) -> None:
        """Look at no answer."""


def _require_some(found: Sequence[object], space: Space, condition: Condition) -> None:
    if not found:
        texts = " and ".join(repr(text) for text in condition.texts)
        raise InputError(f"none of the {space.size:,} combinations meets --where {texts}")


def _random_places(space: Space, seed: int) -> Iterator[tuple[int, ...]]:
    rng = seeded(seed, "search random")
    while True:
        yield tuple(rng.randrange(len(axis.values)) for axis in space.axes)


def _even_places(space: Space, seed: int) -> Iterator[tuple[int, ...]]:
    """Yield the points of a Halton sequence, each axis moved by a chance of its own: they fill the space."""
    rng = seeded(seed, "search qmc")
    primes = _primes(len(space.axes))
    moved = [rng.random() for _ in primes]
    number = 0
    while True:
        number += 1
        yield tuple(
            min(int((_inverse(number, prime) + by) % 1.0 * len(axis.values)), len(axis.values) - 1)
            for axis, prime, by in zip(space.axes, primes, moved, strict=True)
        )


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found if prime <= math.isqrt(number)):
            found.append(number)
        number += 1
    return found


def _inverse(number: int, base: int) -> float:
    """Return the digits of ``number`` in ``base`` behind the point, in reverse: 6 in base 2, 110, is 0.011."""
    value, part = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        part /= base
        value += digit * part
    return value


class _Tpe:
    """The sampler of Optuna that learns from answers, asked by batches and told in order of number."""

    batch = BATCH

    def __init__(self, space: Space, condition: Condition, trials: int, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtraError("--method tpe", "optimize") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna: Any = optuna
        self._space, self._condition = space, condition
        self._left = trials
        self._asked: list[tuple[Any, dict[str, str]]] = []
        self._seen: set[tuple[str, ...]] = set()
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=BATCH, constant_liar=False)
        self._study: Any = optuna.create_study(direction="maximize", sampler=sampler)

    def ask(self) -> list[dict[str, str]]:
        self._asked = []
        tries = 0
        while len(self._asked) < min(BATCH, self._left) and tries < BATCH * _MOST_DRAWS // 10:
            tries += 1
            trial = self._study.ask()
            params = {
                axis.name: self._suggested(trial, axis.name, axis.values, axis.is_ordered)
                for axis in self._space.axes
            }
            key = tuple(params.values())
            states = self._optuna.trial.TrialState
            if key in self._seen or not self._condition.holds(params):
                # What fails teaches nothing: the same again is not bad. What is pruned counts among the worst.
                self._study.tell(trial, state=states.FAIL if key in self._seen else states.PRUNED)
                continue
            self._seen.add(key)
            self._asked.append((trial, params))
        self._left -= len(self._asked)
        return [params for _, params in self._asked]

    def tell(self, told: Sequence[Told]) -> None:
        for (trial, _), answer in zip(self._asked, told, strict=True):
            if answer.value is None:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(trial, answer.value)

    @staticmethod
    def _suggested(trial: Any, name: str, values: Sequence[str], is_ordered: bool) -> str:
        if is_ordered:
            return values[int(trial.suggest_int(name, 0, len(values) - 1))]
        return str(trial.suggest_categorical(name, list(values)))
