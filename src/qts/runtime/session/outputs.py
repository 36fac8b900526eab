"""Checks that the outputs of a command do not overwrite its inputs, its configuration or the files of a run.

The check comes before anything runs. A file is the same through any symbolic or hard link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from qts.db.datadir import DATABASE_NAME, LOCK_NAME, RECORD_NAME, SENT_NAME
from qts.errors import InputError
from qts.event.config import JournalConfig
from qts.files import PART, same_file
from qts.runtime.control.command_files import DIRECTORY as OPERATOR_DIRECTORY
from qts.runtime.drivers.hang_file import FILE_NAME as HANG_NAME
from qts.runtime.persistence.charts_file import FILE_NAME as CHARTS_NAME

VIEW_NAME: Final = "view.json"
_FILES_OF_A_RUN: Final = re.compile(
    rf"{re.escape(DATABASE_NAME)}(-wal|-shm|-journal)?|{LOCK_NAME}|session\.log(\.\w+)?\.jsonl"
    rf"|{re.escape(SENT_NAME)}({re.escape(PART)})?|{re.escape(VIEW_NAME)}|{re.escape(HANG_NAME)}|{re.escape(CHARTS_NAME)}"
)
_SETTINGS: Final = (".yaml", ".yml")


class Input(NamedTuple):
    """A file that a command reads, with its name in messages ("the recording")."""

    what: str
    path: Path


def require_distinct_files(
    outputs: Mapping[str, Path],
    inputs: Iterable[Input],
    *,
    data_dir: Path | None = None,
    config_dir: Path | None = None,
    journal: str = JournalConfig().directory,
) -> None:
    """Raise InputError when one of ``outputs`` (a name such as "the report", and its path) would overwrite a file.

    These are protected: ``inputs``, the settings files of ``config_dir``, the files of the run in ``data_dir``
    (whose journal is in its directory ``journal``) and those of any other run. It is also an error when the run in
    ``data_dir`` itself would overwrite one of ``inputs``.
    """
    known = list(inputs)
    for what, path in outputs.items():
        for name, taken in known:
            if same_file(path, taken):
                raise InputError(f"{what} cannot go to {path}: that is {name}; name another file")
        _refuse_settings(what, path, config_dir)
        if data_dir is not None:
            _refuse_directory(what, path, data_dir)
        for directory in _runs_around(path, data_dir):
            _refuse_part_of_run(what, path, directory, journal)
    if data_dir is not None:
        _refuse_inputs_as_files_of_run(known, data_dir)


def is_file_of_run(directory: Path, path: Path, journal: str = JournalConfig().directory) -> bool:
    """Return whether ``path`` is the name of a file that the run in ``directory`` writes."""
    inside = _inside(directory, path)
    if inside is None or not inside.parts:
        return False
    if len(inside.parts) == 1 and _FILES_OF_A_RUN.fullmatch(inside.name):
        return True
    return inside.parts[0] in (OPERATOR_DIRECTORY, RECORD_NAME, journal)


def _refuse_settings(what: str, path: Path, config_dir: Path | None) -> None:
    if config_dir is not None and path.suffix.lower() in _SETTINGS and _inside(config_dir, path) is not None:
        raise InputError(f"{what} cannot go to {path}: {config_dir} holds the configuration; name another file")


def _refuse_directory(what: str, path: Path, data_dir: Path) -> None:
    if _inside(path, data_dir) is not None:
        raise InputError(f"{what} cannot go to {path}: the run's directory {data_dir} is to be there")


def _refuse_part_of_run(what: str, path: Path, directory: Path, journal: str) -> None:
    taken = is_file_of_run(directory, path, journal) or any(same_file(path, one) for one in _present(directory))
    if taken:
        raise InputError(
            f"{what} cannot go to {path}: that belongs to the run in {directory}; give it another name, for "
            f"example {directory / 'report.html'}"
        )


def _refuse_inputs_as_files_of_run(inputs: Sequence[Input], data_dir: Path) -> None:
    present = _present(data_dir)
    for name, path in inputs:
        if is_file_of_run(data_dir, path) or any(same_file(path, one) for one in present):
            raise InputError(
                f"{path} is {name}, and a run in {data_dir} would write over it; give another --data-dir"
            )


def _present(directory: Path) -> list[Path]:
    """Return the files of a run that exist in ``directory``."""
    try:
        return [path for path in directory.iterdir() if _FILES_OF_A_RUN.fullmatch(path.name)]
    except OSError:
        return []


def _runs_around(path: Path, data_dir: Path | None) -> list[Path]:
    """Return ``data_dir``, and the three nearest directories above ``path`` that hold a run."""
    real = Path(os.path.realpath(path))
    above = [one for one in list(real.parents)[:3] if (one / DATABASE_NAME).exists()]
    return above if data_dir is None else [data_dir, *above]


def _inside(directory: Path, path: Path) -> Path | None:
    """Return ``path`` relative to ``directory``, with links of both directories resolved; None: not inside."""
    # The last component is not resolved: a link counts by its name here, and by its file in same_file.
    place = Path(os.path.realpath(path.parent)) / path.name
    try:
        return place.relative_to(os.path.realpath(directory))
    except ValueError:
        return None
