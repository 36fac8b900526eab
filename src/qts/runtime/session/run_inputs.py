"""Lists the files of a session: the recording, the settings, and the files of its strategies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qts.config.loader import LoadedConfig
from qts.db.contracts import StrategyFile
from qts.errors import InputError
from qts.market.bars.opener import named_files
from qts.market.contracts import MarketSource
from qts.runtime.session.outputs import Input
from qts.runtime.session.session_plan import SessionPlan
from qts.strategy.loading import StrategySpec, manifest_of_spec


def specs_of(plan: SessionPlan, config: LoadedConfig) -> list[StrategySpec]:
    """Return every strategy that the user has named, with its parameters; empty: the command's own choice.

    Raises InputError for a parameter that belongs to none of them.
    """
    return with_params(plan.options.strategies or config.tree.runtime.strategies, plan.options.params)


def with_params(places: Sequence[str], given: Sequence[str]) -> list[StrategySpec]:
    """Return the strategies at ``places`` with the parameters ``given`` as NAME=VALUE or CLASS.NAME=VALUE.

    Raises InputError for a text of another form, a class that is not among them or stands there twice, and a
    parameter that is given twice or without a class where there are several.
    """
    params: list[dict[str, str]] = [{} for _ in places]
    classes = [place.rpartition(":")[2] for place in places]
    for text in given:
        full_name, equals, value = text.partition("=")
        owner, _, name = full_name.strip().rpartition(".")
        if not equals or not name.isidentifier():
            raise InputError(f"--param wants NAME=VALUE, for example --param fast=10, got {text!r}")
        mine = params[_strategy_for(text, owner, name, classes)]
        if name in mine:
            raise InputError(f"--param {name} is given twice: {mine[name]!r} and {value!r}")
        mine[name] = value
    return [StrategySpec(place, mine) for place, mine in zip(places, params, strict=True)]


def _strategy_for(text: str, owner: str, name: str, classes: Sequence[str]) -> int:
    """Return the place of the strategy that a parameter is for; ``owner`` "": the only one."""
    if not classes:
        raise InputError(f"--param {text} needs a strategy: name it by --strategy FILE.py:Class")
    if not owner and len(classes) > 1:
        raise InputError(f"--param {text}: several strategies trade, so write {classes[0]}.{name}=VALUE")
    if owner and classes.count(owner) != 1:
        how = "several strategies are" if owner in classes else "no strategy is"
        raise InputError(f"--param {text}: {how} of the class {owner}; there are {', '.join(classes)}")
    return classes.index(owner) if owner else 0


def files_read(plan: SessionPlan, config: LoadedConfig) -> list[Input]:
    """Return every file that the session reads. Raises InputError when a file of a strategy is missing."""
    recordings = [Input("the recording", path) for path in named_files(plan.recordings)]
    folder = config.directory or Path()
    settings = [Input("a configuration file", folder / f"{name}.yaml") for name in config.documents]
    programs = [
        Input(f"part of the strategy {spec.place}", path)
        for spec in specs_of(plan, config)
        for path in manifest_of_spec(spec.place).digests
    ]
    return [*recordings, *settings, *programs]


def check_currency(feed: MarketSource, config: LoadedConfig) -> None:
    """Raise InputError when an instrument is in another currency than the account.

    Amounts are added without conversion, so an account has one currency.
    """
    account = config.tree.runtime.currency
    for instrument in feed.instruments.values():
        if instrument.currency != account:
            raise InputError(
                f"{instrument.symbol} is paid in {instrument.currency}, the account is in {account}: set "
                f"runtime.currency to {instrument.currency} (and runtime.equity_start), or correct the symbol's "
                "currency in instruments.yaml"
            )


def strategy_files(plan: SessionPlan, config: LoadedConfig) -> list[StrategyFile]:
    """Return every file of the strategies for the store. Raises InputError when one is missing."""
    return [
        StrategyFile(number, made_of.class_name, b"" if path == made_of.main else _name(path, made_of.main), digest)
        for number, made_of in enumerate(manifest_of_spec(spec.place) for spec in specs_of(plan, config))
        for path, digest in made_of.digests.items()
    ]


def files_that_differ(before: Sequence[StrategyFile], plan: SessionPlan, config: LoadedConfig) -> str:
    """Describe how the files of the strategies differ from those ``before``: gone, new or changed."""
    old, new = _by_name(before), _by_name(strategy_files(plan, config))
    specs = [os.fsencode(spec.place).decode(errors="replace") for spec in specs_of(plan, config)]
    texts = []
    for key in dict.fromkeys([*old, *new]):
        number, class_name, name = key
        strategy = specs[number] if number < len(specs) else class_name
        shown = f"{name.decode(errors='replace')} of {strategy}" if name else strategy
        if key not in new:
            texts.append(f"{shown} is gone")
        elif key not in old:
            texts.append(f"{shown} is new")
        elif old[key] != new[key]:
            texts.append(f"{shown} has changed")
    return "; ".join(["the strategies differ", *texts])


def _by_name(files: Sequence[StrategyFile]) -> dict[tuple[int, str, bytes], str]:
    return {(one.strategy, one.class_name, one.name): one.digest for one in files}


def _name(path: Path, main: Path) -> bytes:
    return os.fsencode(os.path.relpath(path, main.parent))
