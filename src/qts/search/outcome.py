"""The result of a study, with what luck alone would have given: computed from its trials, stored nowhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from statistics import fmean

import msgspec

from qts.notes import Note, in_english, in_korean
from qts.performance import DailyReturn, cagr
from qts.search.contracts import Answer, Window
from qts.search.luck import (
    Shape,
    best_by_luck,
    deflated_sharpe,
    effective_trials,
    neighbourhood,
    overfitting,
    shape_of,
    variance_of,
)
from qts.search.objective import value_of
from qts.search.search import Best, Trial, best_of, trials_of
from qts.search.space import Space
from qts.search.study import Part, Study


class FoldOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One search and what judged its best; None where a figure cannot be told.

    ``value`` is the objective of the best in its own sessions, ``tested`` that in the sessions that judge it.
    ``overfitting`` is the probability that the best here is below the median elsewhere. ``neighbours`` is the
    median objective of the trials one step away ÷ that of the best. ``spread`` is the difference between the seeds.
    ``efficiency`` is the return a year in the judging sessions ÷ that in the search.
    """

    train: list[str]
    test: list[str]
    params: dict[str, str]
    trials: int
    failed: int
    value: float | None
    tested: float | None
    overfitting: float | None
    neighbours: float | None
    spread: float | None
    efficiency: float | None


class Curve(msgspec.Struct, frozen=True):
    """The growth of 1 over the judging windows, one after the other, at the end of each session."""

    days: list[str]
    growth: list[float]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a study, as ``--json`` prints it; None where a figure cannot be told.

    ``params`` are those to go on with: the best of the newest search. ``trials`` counts all combinations that were
    run in all folds; ``effective_trials`` how many independent ones they amount to. ``lucky_sharpe`` is the Sharpe
    ratio of a year that the best of as many without any edge would have, ``deflated_sharpe`` the probability that
    the best is better than that, ``by_effective_trials`` the same for the effective number.
    ``openings`` counts the looks at the sealed sessions, ``sealed`` is the objective there at the newest one.
    """

    study: str
    objective: str
    is_finished: bool
    trials: int
    failed: int
    params: dict[str, str]
    value: float | None
    folds: list[FoldOutcome]
    sharpe: float | None
    lucky_sharpe: float | None
    deflated_sharpe: float | None
    by_effective_trials: float | None
    effective_trials: float
    overfitting: float | None
    efficiency: float | None
    stitched: Curve
    openings: int
    sealed: float | None
    verdict: str
    verdict_ko: str


def outcome_of(study: Study, *, is_finished: bool) -> Outcome:
    """Return what the trials of ``study`` say so far."""
    definition = study.definition
    searches = [trials_of(study, number) for number in range(len(definition.plan.folds))]
    tests = [trials_of(study, number, Part.TEST) for number in range(len(searches))]
    folds = [
        _fold(study, number, found, tested)
        for number, (found, tested) in enumerate(zip(searches, tests, strict=True))
        if found
    ]
    every = [trial for found in searches for trial in found]
    last = next((found for found in reversed(searches) if found), [])
    best = best_of(definition, last)
    chosen = None if best is None else next(one for one in last if one.number == best.number)
    luck = _Luck(every, last, chosen)
    sealed = trials_of(study, 0, Part.SEALED)
    note = _verdict(len(every), best, luck, folds)
    return Outcome(
        study=str(study.directory),
        objective=definition.objective,
        is_finished=is_finished,
        trials=len(every),
        failed=sum(bool(one.failed) for one in every),
        params={} if best is None else best.params,
        value=None if best is None else best.value,
        folds=folds,
        sharpe=luck.sharpe_a_year,
        lucky_sharpe=luck.lucky_a_year,
        deflated_sharpe=luck.deflated,
        by_effective_trials=luck.deflated_effective,
        effective_trials=luck.effective,
        overfitting=_mean([one.overfitting for one in folds]),
        efficiency=_mean([one.efficiency for one in folds]),
        stitched=_stitched(tests),
        openings=len(study.openings()),
        sealed=sealed[-1].value if sealed else None,
        verdict=in_english(note),
        verdict_ko=in_korean(note),
    )


class _Luck:
    """The figures of the ``chosen`` trial against all that were tried; None: there is none to judge."""

    def __init__(self, every: Sequence[Trial], beside: Sequence[Trial], chosen: Trial | None) -> None:
        self.sharpe_a_year: float | None = None
        self.lucky_a_year: float | None = None
        self.deflated: float | None = None
        self.deflated_effective: float | None = None
        shapes = [shape for one in every if (shape := _shape(one)) is not None]
        variance = variance_of([one.sharpe for one in shapes])
        amount_to = effective_trials(_series(beside))
        self.effective = amount_to * (len(every) / len(beside)) if beside else 0.0
        shape = None if chosen is None else _shape(chosen)
        if chosen is None or shape is None:
            return
        a_year = math.sqrt(chosen.answers[0].days_a_year)
        self.sharpe_a_year = shape.sharpe * a_year
        self.lucky_a_year = best_by_luck(variance, len(every)) * a_year
        self.deflated = deflated_sharpe(shape, variance=variance, trials=len(every))
        self.deflated_effective = deflated_sharpe(shape, variance=variance, trials=self.effective)


def _shape(trial: Trial) -> Shape | None:
    return None if trial.failed else shape_of(trial.answers[0].returns)


def _series(trials: Sequence[Trial]) -> list[tuple[float, ...]]:
    """Return the daily returns of the trials that have the sessions of the first one."""
    found = [one.answers[0] for one in trials if not one.failed]
    return [one.returns for one in found if one.days == found[0].days]


def _fold(study: Study, number: int, found: Sequence[Trial], tested: Sequence[Trial]) -> FoldOutcome:
    definition = study.definition
    fold = definition.plan.folds[number]
    best = best_of(definition, found)
    at_best = None if best is None else next(one for one in found if one.number == best.number)
    judged = tested[0] if tested else None
    return FoldOutcome(
        train=[_told(one) for one in fold.train],
        test=[_told(one) for one in fold.test],
        params={} if best is None else best.params,
        trials=len(found),
        failed=sum(bool(one.failed) for one in found),
        value=None if best is None else best.value,
        tested=None if judged is None else _objective(study, judged),
        overfitting=overfitting(_series(found)),
        neighbours=None if best is None else _neighbours(Space(definition.axes), best, found),
        spread=None if at_best is None else _spread(at_best),
        efficiency=None if at_best is None or judged is None else _efficiency(at_best, judged),
    )


def _objective(study: Study, judged: Trial) -> float | None:
    """Return the objective of what judges the best, whatever the number of its round trips."""
    definition = study.definition
    values = [value_of(definition.objective, one, definition.risk_free) for one in judged.answers]
    return _mean(values) if all(one is not None for one in values) else None


def _neighbours(space: Space, best: Best, found: Sequence[Trial]) -> float | None:
    values = {tuple(one.params.values()): one.value for one in found}
    beside = [values.get(tuple(params.values())) for params in space.neighbours(best.params)]
    return neighbourhood(best.value, [one for one in beside if one is not None])


def _spread(trial: Trial) -> float | None:
    values = [one for one in trial.values if one is not None]
    return max(values) - min(values) if len(values) > 1 else None


def _efficiency(searched: Trial, judged: Trial) -> float | None:
    inside, outside = _a_year(searched.answers[0]), _a_year(judged.answers[0])
    return outside / inside if inside is not None and outside is not None and inside > 0.0 else None


def _a_year(answer: Answer) -> float | None:
    return None if answer.failed else cagr(_returns(answer), days_a_year=answer.days_a_year).value


def _returns(answer: Answer) -> list[DailyReturn]:
    return [DailyReturn(date.fromordinal(day), one) for day, one in zip(answer.days, answer.returns, strict=True)]


def _stitched(tests: Sequence[Sequence[Trial]]) -> Curve:
    days, growth, reached = list[str](), list[float](), 1.0
    for fold in tests:
        if fold and not fold[0].failed:
            for day, value in _returns(fold[0].answers[0]):
                reached *= 1.0 + value
                days.append(day.isoformat())
                growth.append(reached)
    return Curve(days, growth)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if known else None


def _told(window: Window) -> str:
    return f"{window.first} to {window.last}"


def _verdict(trials: int, best: Best | None, luck: _Luck, folds: Sequence[FoldOutcome]) -> Note:
    if best is None:
        return Note.of("search-no-best", trials=trials)
    if luck.deflated is None:
        return Note.of("search-luck-unknown", trials=trials)
    chance = f"{(1.0 - luck.deflated) * 100.0:.0f}"
    judged = [one for one in folds if one.tested is not None and one.value is not None]
    if not judged:
        return Note.of("search-verdict", trials=trials, chance=chance)
    held = sum(one.tested is not None and one.tested > 0.0 for one in judged)
    return Note.of("search-verdict-judged", trials=trials, chance=chance, held=held, folds=len(judged))
