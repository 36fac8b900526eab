"""Reads a run in a data directory as of its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qts.config.loader import tree_of
from qts.config.tree import QtsConfig
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.session import SessionStore
from qts.errors import DataError
from qts.runtime.metrics.state_basis import StateBasis
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.wiring.stores import stored_run

T = TypeVar("T")


def checkpoint_part(directory: Path, part: str) -> Any | None:
    """Return the share of one component (``state``, ``safety`` …); None when the directory holds no checkpoint.

    May be called while the run is live: it only reads. Raises DataError for a path that is no directory,
    StorageError for a damaged file, and for an altered history of a run that is not live.
    """
    data = _read(directory, lambda store: store.checkpoint())
    return None if data is None else decode(data)["parts"].get(part)


def stored_basis(directory: Path) -> dict[str, Any] | None:
    """Return the inputs of the operating state, as in the result's ``state_basis``; None without a checkpoint.

    Raises like :func:`checkpoint_part`.
    """
    saved = checkpoint_part(directory, "state_basis")
    if saved is None:
        return None
    basis = StateBasis(judged_by=saved["judged_by"])
    basis.import_state(saved)
    evaluation: dict[str, Any] = checkpoint_part(directory, "state_evaluation") or {}
    return basis.values() | {
        "enabled": states_config(directory).state.enabled,
        "waits": evaluation.get("waits", ""),
    }


def is_finished(directory: Path) -> bool:
    """Return whether the run in a directory has finished. Raises like :func:`checkpoint_part`."""
    run = _read(directory, lambda store: store.run())
    return run is not None and run.finished


def states_config(directory: Path) -> QtsConfig:
    """Return the state and safety settings last in force; the defaults where no run is stored.

    Raises like :func:`checkpoint_part`, and ConfigError for settings that this version does not know.
    """
    rows = _read(directory, lambda store: store.configs())
    settings = msgspec.json.decode(rows[-1].settings, type=dict[str, str]) if rows else {}
    return tree_of({path: text for path, text in settings.items() if path.startswith(("state.", "safety."))})


def _read(directory: Path, what: Callable[[SessionStore], T]) -> T | None:
    """Return ``what`` of the store of a run; None where there is none."""
    if directory.exists() and not directory.is_dir():
        raise DataError(f"{directory} is no directory; give the one of a run")
    path = directory / DATABASE_NAME
    if not path.exists():
        return None
    with stored_run(path) as store:
        if not run_in(directory).live:
            store.verify_history()  # a live session verifies its own
        return what(store)
