"""Lists the files of a session: the recording, the settings, and the files of its strategies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qts.config.loader import LoadedConfig
from qts.db.contracts import StrategyFile
from qts.errors import InputError
from qts.market.contracts import Feed
from qts.runtime.session.outputs import Input
from qts.runtime.session.session_plan import SessionPlan
from qts.strategy.loading import manifest_of_spec


def specs_of(plan: SessionPlan, config: LoadedConfig) -> Sequence[str]:
    """Return FILE.py:Class of every strategy that the user has named; empty: the command's own choice."""
    return plan.options.strategies or config.tree.runtime.strategies


def files_read(plan: SessionPlan, config: LoadedConfig) -> list[Input]:
    """Return every file that the session reads. Raises InputError when a file of a strategy is missing."""
    recording = [Input("the recording", plan.recording)] if plan.recording is not None else []
    folder = config.directory or Path()
    settings = [Input("a configuration file", folder / f"{name}.yaml") for name in config.documents]
    programs = [
        Input(f"part of the strategy {spec}", path)
        for spec in specs_of(plan, config)
        for path in manifest_of_spec(spec).digests
    ]
    return [*recording, *settings, *programs]


def check_currency(feed: Feed, config: LoadedConfig) -> None:
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
        for number, made_of in enumerate(map(manifest_of_spec, specs_of(plan, config)))
        for path, digest in made_of.digests.items()
    ]


def files_that_differ(before: Sequence[StrategyFile], plan: SessionPlan, config: LoadedConfig) -> str:
    """Describe how the files of the strategies differ from those ``before``: gone, new or changed."""
    old, new = _by_name(before), _by_name(strategy_files(plan, config))
    specs = [os.fsencode(spec).decode(errors="replace") for spec in specs_of(plan, config)]
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
