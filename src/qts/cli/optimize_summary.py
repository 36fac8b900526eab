"""Prints a study: what was run, the best, and how much of it is luck."""

from __future__ import annotations

from rich.table import Table

from qts.cli.console import Screen
from qts.search.outcome import FoldOutcome, Outcome
from qts.search.search import Trial, trials_of
from qts.search.study import Study

_SHOWN = 10


def print_status(screen: Screen, study: Study, outcome: Outcome) -> None:
    """Print how far the study is, and its best so far."""
    definition = study.definition
    state = "finished" if outcome.is_finished else f"not finished: qts optimize resume {study.directory}"
    screen.print(f"{study.directory}: {state}", markup=False, highlight=False)
    lines = [
        ("strategy", definition.setup.strategy),
        ("trials", f"{outcome.trials:,} run, {outcome.failed:,} failed, in {len(definition.plan.folds)} folds"),
        (f"best {outcome.objective}", _number(outcome.value)),
        ("with", _params(outcome.params)),
        ("looks at the sealed sessions", _openings(study, outcome)),
    ]
    for name, text in lines:
        screen.print(f"  {name:<30}{text}", markup=False, highlight=False)


def print_best(screen: Screen, study: Study, outcome: Outcome) -> None:
    """Print the best parameters as options of a backtest, and the verdict."""
    screen.print(" ".join(f"--param {name}={text}" for name, text in outcome.params.items()), markup=False)
    screen.print(outcome.verdict, markup=False, highlight=False)


def print_outcome(screen: Screen, study: Study, outcome: Outcome) -> None:
    """Print the best trials, the folds, the figures of luck and the verdict."""
    trials = [trial for number in range(len(study.definition.plan.folds)) for trial in trials_of(study, number)]
    last = trials_of(study, len(outcome.folds) - 1) if outcome.folds else []
    ranked = sorted((one for one in last if one.value is not None), key=_rank)
    where = "" if len(outcome.folds) < 2 else " of the newest fold"
    if ranked:
        screen.print(_best_table(ranked[:_SHOWN], study, f"the best {min(_SHOWN, len(ranked))}{where}"))
    if any(one.test for one in outcome.folds):
        screen.print(_fold_table(outcome))
    for reason, count in _reasons(trials):
        screen.print(f"{count:,} failed: {reason}", markup=False, highlight=False)
    left_out = sum(one.value is None and not one.failed for one in trials)
    if left_out:
        screen.print(
            f"{left_out:,} of {len(trials):,} trials are not ranked: fewer than {study.definition.min_trades} "
            "round trips (--min-trades), or no figure",
            highlight=False,
        )
    screen.print(_luck_table(outcome))
    screen.print(_openings(study, outcome), markup=False, highlight=False)
    screen.print(outcome.verdict, style="bold", markup=False, highlight=False)
    state = "" if outcome.is_finished else f"; not finished: qts optimize resume {study.directory}"
    screen.print(f"{study.directory}{state}", markup=False, highlight=False)


def _rank(trial: Trial) -> tuple[float, int]:
    assert trial.value is not None  # only ranked ones are sorted
    return -trial.value, trial.number


def _best_table(trials: list[Trial], study: Study, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for axis in study.definition.axes:
        table.add_column(axis.name, justify="right")
    for name in (study.definition.objective, "net return", "round trips"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in trials:
        net = 1.0
        for value in one.answers[0].returns:
            net *= 1.0 + value
        cells = [one.params[axis.name] for axis in study.definition.axes]
        table.add_row(*cells, _number(one.value), f"{(net - 1.0) * 100:+.2f} %", f"{one.answers[0].trips:,}")
    return table


def _fold_table(outcome: Outcome) -> Table:
    table = Table(title="each best, in the sessions that chose it and in those that judge it", title_justify="left")
    for name in ("judged on", "parameters", f"{outcome.objective} in", "out", "efficiency"):
        table.add_column(name, justify="left" if name in ("judged on", "parameters") else "right")
    for one in outcome.folds:
        cells = ", ".join(one.test), _params(one.params)
        table.add_row(*cells, _number(one.value), _number(one.tested), _share(one.efficiency))
    return table


def _luck_table(outcome: Outcome) -> Table:
    table = Table(title="how much of it is luck", title_justify="left", show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    folds: list[FoldOutcome] = outcome.folds
    rows = [
        ("trials", f"{outcome.trials:,}"),
        ("independent trials they amount to", f"{outcome.effective_trials:,.1f}"),
        ("Sharpe ratio of the best, a year", _number(outcome.sharpe)),
        ("of the best of as many by luck", _number(outcome.lucky_sharpe)),
        ("probability that it is better than luck", _share(outcome.deflated_sharpe)),
        ("the same, by the independent trials", _share(outcome.by_effective_trials)),
        ("probability of overfitting (PBO)", _share(outcome.overfitting)),
        ("median neighbour ÷ best", _number(folds[-1].neighbours if folds else None)),
        ("spread over seeds", _number(folds[-1].spread if folds else None)),
        ("return out ÷ in (walk-forward efficiency)", _share(outcome.efficiency)),
    ]
    for name, text in rows:
        if text != _UNKNOWN or name.startswith("probability"):
            table.add_row(name, text)
    return table


_UNKNOWN = "not enough to say"


def _openings(study: Study, outcome: Outcome) -> str:
    plan = study.definition.plan
    if plan.sealed is None:
        return "no sessions are sealed (--holdout)"
    span = f"{plan.sealed.first} to {plan.sealed.last}"
    if not outcome.openings:
        return f"sealed: {span}, never opened (qts optimize open-holdout {study.directory})"
    times = "once" if outcome.openings == 1 else f"{outcome.openings} times"
    return f"sealed: {span}, opened {times}; {outcome.objective} there {_number(outcome.sealed)}"


def _reasons(trials: list[Trial]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for one in trials:
        if one.failed:
            found[one.failed] = found.get(one.failed, 0) + 1
    return sorted(found.items(), key=lambda item: -item[1])[:5]


def _params(params: dict[str, str]) -> str:
    return " ".join(f"{name}={text}" for name, text in params.items()) or "none"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value * 100:.0f} %"
