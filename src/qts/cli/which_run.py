"""Which run the commands show that only look: the named directory, else the newest live run, else the newest."""

from __future__ import annotations

import argparse
from pathlib import Path

from qts.db.find_run import DEFAULT_ROOT, FoundRun, find_run


def add_run(parser: argparse.ArgumentParser) -> None:
    """Let a run's directory be named."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help=f"the run's directory (default: the newest live run in ./{DEFAULT_ROOT}, else the newest)",
    )


def run_meant(named: Path | None) -> FoundRun:
    """Return the run that is meant; a named directory may also hold only the state that a program has stored.

    Raises InputError, saying what to give, when there is none.
    """
    if named is None:
        return find_run()
    return FoundRun(named, live=False, pid=None, begun_ns=0) if not _is_run(named) else find_run(named)


def run_line(run: FoundRun) -> str:
    """Return the line that says which run is shown."""
    return f"run    {run.directory} ({'goes on' if run.live else 'as it was stored last'})"


def _is_run(directory: Path) -> bool:
    from qts.db.datadir import DATABASE_NAME, LOCK_NAME

    return (directory / DATABASE_NAME).exists() or (directory / LOCK_NAME).exists()
