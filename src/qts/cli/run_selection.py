"""The run that a reading command shows: the named directory, else the newest running run, else the newest.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun

STATE_FILE = "state.json"
SAFETY_FILE = "safety.json"
"""Files of a program that uses the governor or safety alone."""


def add_run_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a run's directory."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help="the run's directory (default: the newest running run in ./qts-data, else the newest)",
    )


def selected_run(named: Path | None) -> FoundRun:
    """Return the run in ``named``, else the default; a directory may also hold only a state that a program stored.

    Raises InputError, saying what to give, when there is none.
    """
    from qts.db.datadir import DATABASE_NAME, LOCK_NAME
    from qts.db.find_run import DEFAULT_ROOT, FoundRun, find_run, runs_under

    if named is None and not runs_under():
        stored = [path for name in (STATE_FILE, SAFETY_FILE) for path in DEFAULT_ROOT.glob(f"*/{name}")]
        if stored:
            named = max(stored, key=lambda path: path.stat().st_mtime).parent
    if named is None or (named / DATABASE_NAME).exists() or (named / LOCK_NAME).exists():
        return find_run(named)
    return FoundRun(named, live=False, pid=None, begun_ns=0)


def run_line(run: FoundRun) -> str:
    """Return the line that names the run that is shown."""
    return f"run    {run.directory} ({'running' if run.live else 'as it was stored last'})"
