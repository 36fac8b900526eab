"""Checks whether the run of a data directory may be resumed, shown again or started again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qts.config.loader import LoadedConfig
from qts.db.contracts import ConfigRow, RunRow
from qts.db.datadir import DATABASE_NAME, DataDir
from qts.db.find_run import DEFAULT_ROOT, FoundRun, runs_under
from qts.db.reading import StoreReader
from qts.errors import InputError, StateError, StorageError, UnfinishedRunError
from qts.runtime.persistence.config_history import ABSENT, change_text, changes_since, was_accepted
from qts.runtime.session.run_inputs import files_that_differ
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.wiring.stores import stored_run


def previous_run(
    place: DataDir,
    run: RunRow,
    plan: SessionPlan,
    config: LoadedConfig,
    begun_under: Callable[[str], RunRow],
    *,
    resume: bool,
) -> RunRow | None:
    """Return the unfinished run to resume or the finished one to show again; None for a new start.

    ``run`` is the run that a new start would create. A run that accepted ``config`` by a reload is the same run: it
    is compared with the run that ``begun_under`` makes for the configuration it began with.

    Raises StateError when the directory holds another run, UnfinishedRunError when it holds an unfinished one and
    resuming was not asked for.
    """
    if not place.database.exists():
        return None
    with stored_run(place.database) as store:
        previous, configs = store.run(), store.configs()
        files = store.strategy_files()
        if resume and previous is not None and previous.finished:
            store.verify_history()
    if previous is None:
        return None
    starts_again = previous.finished and not resume  # then it runs under this configuration
    if not starts_again and was_accepted(previous, configs, config.hash):
        run = begun_under(previous.config_hash)
    if previous.run_id != run.run_id:
        raise StateError(
            f"{place.path} holds another run ({_describe(previous)}), this would be qts {run.command}, "
            f"run {run.run_id}: "
            f"{_difference(previous, run) or files_that_differ(files, plan, config)}. "
            f"{_advice(previous, run, configs, config)}"
        )
    if starts_again:
        place.clear(config.tree.event.journal.directory)  # the same run again gives the same result byte for byte
        return None
    if not previous.finished and not resume:
        raise UnfinishedRunError(
            f"{place.path} holds an unfinished run (qts {previous.command}, run {previous.run_id}): "
            "continue it with --resume, or choose another --data-dir"
        )
    return previous


def check_resumes_something(directory: Path, command: str, root: Path = DEFAULT_ROOT) -> None:
    """Refuse to begin a new account in ``directory`` under --resume while unfinished runs of ``command`` wait.

    ``directory`` was derived from configuration, seed, input and strategies, so it changes with each of them.
    Raises InputError, which names the unfinished runs in ``root``.
    """
    if (directory / DATABASE_NAME).exists():
        return
    waiting = [str(found.directory) for found in runs_under(root) if _is_unfinished(found, command)]
    if waiting:
        raise InputError(
            f"there is no run to resume in {directory}. Unfinished: {', '.join(waiting[:5])} (begun with another "
            "configuration, seed, input or strategy). Name one with --data-dir, or begin a new run without --resume"
        )


def _is_unfinished(found: FoundRun, command: str) -> bool:
    path = found.directory / DATABASE_NAME
    if found.live or not path.exists():
        return False
    try:
        with StoreReader(path) as store:
            run = store.run()
    except StorageError:
        return False  # resuming it by name says what is wrong with it
    return run is not None and not run.finished and run.command == command


def _describe(run: RunRow) -> str:
    return f"qts {run.command}, run {run.run_id}, {'finished' if run.finished else 'unfinished'}"


def _differing(previous: RunRow, run: RunRow) -> list[str]:
    names = ("command", "seed", "source_id", "config_hash")
    return [name for name in names if getattr(previous, name) != getattr(run, name)]


def _difference(previous: RunRow, run: RunRow) -> str:
    def shown(run: RunRow, name: str) -> str:
        text = str(getattr(run, name))
        return text[:12] if name == "config_hash" else text

    names = _differing(previous, run)
    return "; ".join(f"{name} was {shown(previous, name)}, now {shown(run, name)}" for name in names)


def _advice(previous: RunRow, run: RunRow, configs: Sequence[ConfigRow], config: LoadedConfig) -> str:
    """Return advice for the user; a configuration that the run never accepted is described by its settings."""
    elsewhere = "Choose another --data-dir, or delete that one"
    changes = changes_since(configs, config)
    if not changes or _differing(previous, run) != ["config_hash"]:
        return elsewhere
    if previous.finished:
        return f"It was run under other settings: {'; '.join(map(change_text, changes))}. {elsewhere}"
    unknown = [change for change in changes if ABSENT in (change.old, change.new)]
    if unknown:
        return (
            f"It was begun by a version of QTS with other settings: {'; '.join(map(change_text, unknown))}. Finish "
            f"it with that version. Or c{elsewhere[1:]}"
        )
    later = " and reload the new one when it runs" if previous.command == "run" else ""
    return (
        f"It has never had this configuration in force: {'; '.join(map(change_text, changes))}. To --resume it, "
        f"put the old value back{later}. Or c{elsewhere[1:]}"
    )
