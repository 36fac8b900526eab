"""Runs a study: chooses trials, has them run, keeps their answers, and judges the best of each fold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec

from qts.errors import StateError
from qts.search.condition import Condition
from qts.search.contracts import Answer, Job, Pool, Window, decode, encode
from qts.search.methods import Told, method_of
from qts.search.objective import value_of
from qts.search.space import Space
from qts.search.study import Definition, Part, Row, Study, sealed_windows

MOST_FAILURES: Final = 20
"""Failures one after the other, in the order of trials, after which a study stops."""


class Stopped(Exception):
    """The user has stopped the search; what was run is kept."""


class Best(msgspec.Struct, frozen=True):
    """The best trial of a fold: its number and parameters, and the objective, the median over its seeds."""

    number: int
    params: dict[str, str]
    value: float


class Trial(msgspec.Struct, frozen=True):
    """A trial with all its seeds: ``value`` None: it has no objective, or fewer round trips than are asked for."""

    number: int
    params: dict[str, str]
    answers: tuple[Answer, ...]
    values: tuple[float | None, ...]
    value: float | None

    @property
    def failed(self) -> str:
        """Return why it failed; "" where it did not."""
        return next((one.failed for one in self.answers if one.failed), "")


class Progress(msgspec.Struct, frozen=True):
    """The progress of a study. ``total`` None: not known yet. ``best`` is the best objective so far."""

    fold: int
    folds: int
    done: int
    total: int | None
    failed: int
    best: float | None


class Search:
    """One study that is run to its end. ``on_progress`` is called after each answer."""

    def __init__(
        self,
        study: Study,
        pool: Pool,
        *,
        on_progress: Callable[[Progress], object],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._study, self._pool = study, pool
        self._definition = study.definition
        self._on_progress, self._is_stopped = on_progress, is_stopped
        self._done = self._failed = 0
        self._total: int | None = None
        self._best: float | None = None

    def run(self) -> None:
        """Run every trial that is not there yet. Raises Stopped, and StateError after 20 failures in a row."""
        definition = self._definition
        for number, fold in enumerate(definition.plan.folds):
            self._search(number, fold.train)
            if fold.test and (best := best_of(definition, trials_of(self._study, number))) is not None:
                self._run(number, Part.TEST, [(0, best.params)], fold.test)

    def run_sealed(self, number: int, params: Mapping[str, str]) -> None:
        """Run ``params`` on the sealed sessions, as their look ``number``; raises InputError without any."""
        self._run(0, Part.SEALED, [(number, params)], sealed_windows(self._definition.plan))

    def _search(self, fold: int, windows: tuple[Window, ...]) -> None:
        definition = self._definition
        method = method_of(
            definition.method,
            Space(definition.axes),
            Condition(definition.where, [axis.name for axis in definition.axes]),
            trials=definition.trials,
            most=definition.most,
            seed=definition.seed + fold,
        )
        self._check_failures(fold)  # of a study that is gone on with
        first = 0
        while asked := method.ask():
            numbered = list(enumerate(asked, first))
            folds = len(definition.plan.folds)
            each = definition.repeat * folds
            of_fold = len(asked) if definition.trials is None or not method.batch else definition.trials
            self._total = of_fold * each
            self._run(fold, Part.SEARCH, numbered, windows)
            self._check_failures(fold)
            found = {trial.number: trial for trial in trials_of(self._study, fold)}
            method.tell([Told(params, found[number].value) for number, params in numbered])
            first += len(asked)

    def _run(
        self, fold: int, part: Part, trials: Sequence[tuple[int, Mapping[str, str]]], windows: tuple[Window, ...]
    ) -> None:
        """Run those of the trials that are not there yet, with each seed."""
        definition = self._definition
        there = {(row.number, row.repeat): row for row in self._study.rows(fold, part)}
        waiting: list[tuple[int, int, Job]] = []
        for number, params in trials:
            for repeat in range(definition.repeat):
                if (row := there.get((number, repeat))) is not None:
                    self._count(fold, part, row)
                    continue
                seed = definition.seed + repeat
                key = key_of(definition, params, windows, seed)
                waiting.append(
                    (number, repeat, Job(number=number, key=key, params=dict(params), windows=windows, seed=seed))
                )
        failures = _Failures()

        def jobs() -> Iterator[tuple[int, bytes]]:
            for place, (_, _, job) in enumerate(waiting):
                if self._is_stopped() or failures.too_many:
                    return
                yield place, encode(job)

        for place, answer in self._pool.run(jobs()):
            number, repeat, job = waiting[place]
            given = Answer(key=job.key, failed=answer) if isinstance(answer, str) else decode(answer, Answer)
            row = Row(fold=fold, part=part, number=number, repeat=repeat, params=dict(job.params), answer=given)
            self._study.add(row)
            failures.add(place, failed=bool(given.failed))
            self._count(fold, part, row)
        if self._is_stopped():
            raise Stopped

    def _check_failures(self, fold: int) -> None:
        """Stop where 20 trials in a row failed.

        What was run behind them is dropped, so that it is no matter how many workers there are.
        """
        failed = 0
        for row in self._study.rows(fold, Part.SEARCH):
            failed = failed + 1 if row.answer.failed else 0
            if failed >= MOST_FAILURES:
                self._study.drop_after(row)
                raise StateError(
                    f"{failed} trials in a row failed, so the search has stopped; the last one: {row.answer.failed}"
                )

    def _count(self, fold: int, part: Part, row: Row) -> None:
        if part is Part.SEARCH:
            self._done += 1
            self._failed += bool(row.answer.failed)
            value = _value(self._definition, row.answer)
            if value is not None and (self._best is None or value > self._best):
                self._best = value
        folds = len(self._definition.plan.folds)
        self._on_progress(Progress(fold, folds, self._done, self._total, self._failed, self._best))


class _Failures:
    """A count of trials that failed one after the other, as far as answers have come in without a gap."""

    def __init__(self) -> None:
        self._early: dict[int, bool] = {}
        self._next = self._row = 0

    def add(self, place: int, *, failed: bool) -> None:
        self._early[place] = failed
        while self._next in self._early:
            self._row = self._row + 1 if self._early.pop(self._next) else 0
            self._next += 1

    @property
    def too_many(self) -> bool:
        return self._row >= MOST_FAILURES


def key_of(definition: Definition, params: Mapping[str, str], windows: Sequence[Window], seed: int) -> str:
    """Return the identity of a trial: the same key is the same answer."""
    digest = hashlib.sha256()
    parts = [
        definition.setup.source_id,
        *definition.prints,
        *(f"{name}={params[name]}" for name in sorted(params)),
        *(f"{one.first}..{one.last}" for one in windows),
        str(seed),
    ]
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:32]


def trials_of(study: Study, fold: int, part: Part = Part.SEARCH) -> list[Trial]:
    """Return the trials of a fold whose seeds have all been run, by number."""
    definition = study.definition
    found: dict[int, list[Row]] = {}
    for row in study.rows(fold, part):
        found.setdefault(row.number, []).append(row)
    made = []
    for number, rows in sorted(found.items()):
        if len(rows) < definition.repeat:
            continue
        values = tuple(_value(definition, row.answer) for row in rows)
        known = [value for value in values if value is not None]
        value = median(known) if len(known) == len(values) else None
        made.append(Trial(number, rows[0].params, tuple(row.answer for row in rows), values, value))
    return made


def best_of(definition: Definition, trials: Iterable[Trial]) -> Best | None:
    """Return the trial with the highest objective, of equals the first; None where none has one."""
    best: Best | None = None
    for trial in trials:
        if trial.value is not None and (best is None or trial.value > best.value):
            best = Best(trial.number, trial.params, trial.value)
    return best


def _value(definition: Definition, answer: Answer) -> float | None:
    if answer.failed or answer.trips < definition.min_trades:
        return None
    return value_of(definition.objective, answer, definition.risk_free)
