"""From what a user asks for to the definition of a study, checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from qts.clock import from_ns
from qts.config.loader import load_config
from qts.db.find_run import DEFAULT_ROOT
from qts.errors import InputError
from qts.ids import run_id_of
from qts.market.contracts import Feed
from qts.runtime.session.run_inputs import with_params
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import search_plan
from qts.search.condition import Condition
from qts.search.contracts import Setup, encode
from qts.search.methods import method_of
from qts.search.objective import check_objective
from qts.search.space import space_of
from qts.search.splits import Split, plan_of, sessions_between
from qts.search.study import Definition
from qts.strategy.loading import StrategySpec, load_strategy
from qts.strategy.params import settable_of

MOST_TRIALS: Final = 10_000
MOST_REPEATS: Final = 100


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A wanted study. ``options`` are those of a backtest; ``version`` is that of QTS.

    ``trials`` None: all of a grid; ``most`` is the largest number of trials of one fold. ``memory_bytes`` 0: no
    limit.
    """

    files: tuple[Path, ...]
    format: str | None
    strategy: str
    params: tuple[str, ...]
    where: tuple[str, ...]
    options: Options
    version: str
    objective: str = "sharpe"
    min_trades: int = 30
    method: str = "grid"
    trials: int | None = None
    most: int = MOST_TRIALS
    repeat: int = 1
    split: Split = Split()
    memory_bytes: int = 0


def definition_of(request: Request) -> Definition:
    """Return the study that is asked for.

    Raises InputError naming the option, its value and what is allowed, and what opening the input raises.
    """
    check_objective(request.objective)
    if not 1 <= request.repeat <= MOST_REPEATS:
        raise InputError(f"--repeat {request.repeat}: must be from 1 to {MOST_REPEATS}")
    if not request.params:
        raise InputError("there is nothing to search: give --param NAME=LOW..HIGH, for example --param fast=3..20")
    with_params((request.strategy,), ())  # the place is read before the input, which may be large
    spec = StrategySpec(request.strategy)
    made = load_strategy(spec.place)
    space = space_of(request.params, type(made).__name__, settable_of(type(made)))
    condition = Condition(request.where, [axis.name for axis in space.axes])
    limits = {"trials": request.trials, "most": request.most, "seed": request.options.seed}
    method_of(request.method, space, condition, **limits)  # type: ignore[arg-type]
    load_strategy(spec.place, space.at([0] * len(space.axes)))
    options = msgspec.structs.replace(request.options, data_dir=None, resume=False, strategies=(), params=())
    files = tuple(path.absolute() for path in request.files)
    plan = search_plan(options, files, request.format)
    feed = plan.open_feed()
    config = load_config(options.config_dir, {**plan.overrides_for(feed), **options.overrides}, os.environ)
    days = _sessions(feed, options)
    return Definition(
        setup=Setup(
            files=files,
            format=request.format,
            strategy=_absolute(request.strategy),
            options=options,
            source_id=feed.source_id,
            memory_bytes=request.memory_bytes,
        ),
        prints=(*spec.identity, config.hash, request.version),
        axes=space.axes,
        where=request.where,
        objective=request.objective,
        min_trades=request.min_trades,
        method=request.method,
        trials=request.trials,
        most=request.most,
        seed=options.seed,
        repeat=request.repeat,
        split=request.split,
        plan=plan_of(request.split, days),
        currency=config.tree.runtime.currency,
        risk_free=float(config.tree.runtime.risk_free),
    )


def directory_of(definition: Definition) -> Path:
    """Return the directory of a study where none is named: the same study has the same one."""
    return DEFAULT_ROOT / f"study-{run_id_of('study', encode(definition).hex())}"


def _sessions(feed: Feed, options: Options) -> Sequence[date]:
    """Return the sessions of the market from the first to the last value within the days that are asked for.

    Raises InputError when there is none.
    """
    calendar = next(iter(feed.instruments.values())).calendar
    first_ns = last_ns = None
    for value in feed.values():
        first_ns = value.ts_ns if first_ns is None else first_ns
        last_ns = value.ts_ns
    if first_ns is None or last_ns is None:
        raise InputError(f"{feed.name} has no values")
    first, last = (calendar.local_date(from_ns(ns)) for ns in (first_ns, last_ns))
    found = sessions_between(calendar, max(first, options.first_day or first), min(last, options.last_day or last))
    if not found:
        raise InputError(f"{feed.name} has no session within --from and --to; it has those from {first} to {last}")
    return found


def _absolute(place: str) -> str:
    file, colon, name = place.rpartition(":")
    return f"{Path(file).expanduser().absolute()}{colon}{name}"
