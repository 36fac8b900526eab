"""The configurations that a run has had in force, under which it may be resumed, and what another one changes.

A run is begun under one configuration, which is part of its id. A configuration that an operator reloads later
belongs to the run too, so it is stored before it takes effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from qts.config.changes import Change
from qts.config.loader import LoadedConfig
from qts.db.contracts import ConfigRow, RunRow

ABSENT = "absent"
"""The value of a setting that one of two configurations does not have."""


def next_row(rows: Sequence[ConfigRow], config: LoadedConfig, ts_ns: int, actor: str, reason: str) -> ConfigRow:
    """Return the row of ``config`` that follows ``rows``; ``ts_ns`` is the session's time."""
    settings = {row.path: row.value for row in config.as_rows()}
    return ConfigRow(
        version=len(rows) + 1,
        config_hash=config.hash,
        ts_ns=ts_ns,
        actor=actor,
        reason=reason,
        settings=msgspec.json.encode(settings).decode(),
    )


def was_accepted(run: RunRow, rows: Sequence[ConfigRow], config_hash: str) -> bool:
    """Return whether ``run`` was begun under this configuration or has loaded it since."""
    return config_hash == run.config_hash or any(row.config_hash == config_hash for row in rows)


def changes_since(rows: Sequence[ConfigRow], config: LoadedConfig) -> list[Change]:
    """Return the settings in which ``config`` differs from the one last in force; [] when that one is unknown.

    Settings that only change how a result is shown are left out.
    """
    if not rows:
        return []
    old = msgspec.json.decode(rows[-1].settings, type=dict[str, str])
    now = config.as_rows()
    new = {row.path: row.value for row in now}
    shown = {row.path for row in now if row.display}
    return [
        Change(path, old.get(path, ABSENT), new.get(path, ABSENT))
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path) and path not in shown
    ]


def change_text(change: Change) -> str:
    """Return a setting with its old and its new value as text."""
    return f"{change.path}: {change.old} -> {change.new}"
