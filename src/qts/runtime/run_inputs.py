"""What a session is made of besides its own program: the recording, the settings, the files of its strategies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qts.config.loader import LoadedConfig
from qts.runtime.outputs import Input
from qts.runtime.plan import SessionPlan
from qts.strategy.loading import manifest_of_spec


def specs_of(plan: SessionPlan, config: LoadedConfig) -> Sequence[str]:
    """FILE.py:Class of every strategy the user has named; none: the command's own choice."""
    return plan.options.strategies or config.tree.runtime.strategies


def files_read(plan: SessionPlan, config: LoadedConfig) -> list[Input]:
    """Every file that the session reads. Raises InputError when one of a strategy is missing."""
    recording = [Input("the recording", plan.recording)] if plan.recording is not None else []
    folder = config.directory or Path()
    settings = [Input("a configuration file", folder / f"{name}.yaml") for name in config.documents]
    programs = [
        Input(f"part of the strategy {spec}", path)
        for spec in specs_of(plan, config)
        for path in manifest_of_spec(spec).digests
    ]
    return [*recording, *settings, *programs]
