"""The session that an operator's command is meant for, and the runs that take none.

Everything that does work is imported when a command runs, so that ``qts --help`` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qts.db.find_run import FoundRun

SESSION = "run"
"""The command whose runs take commands; those of the others replay a recording."""


def session_for(named: Path | None) -> FoundRun:
    """Return the run that takes a command: the ``named`` one, else the only session that is running.

    Raises InputError, with what to give, where no session is running or several are, and where the named directory
    holds no run or one that takes no commands.
    """
    from qts.db.find_run import DEFAULT_ROOT, run_in
    from qts.errors import InputError

    if named is not None:
        run = run_in(named)
        why = why_none_is_taken(run)
        if why:
            raise InputError(why)
        return run
    live = running_sessions()
    if not live:
        raise InputError(f"no session runs in {DEFAULT_ROOT.absolute()}; name its directory with --data-dir DIR")
    if len(live) > 1:
        directories = ", ".join(str(run.directory) for run in live)
        raise InputError(f"several sessions are running: {directories}; say which one is meant with --data-dir DIR")
    return live[0]


def running_sessions() -> list[FoundRun]:
    """Return the sessions in ./qts-data that are running, the one last begun first; replays are none."""
    from qts.db.find_run import runs_under

    return [run for run in runs_under() if run.live and not replaying_command(run.directory)]


def why_none_is_taken(run: FoundRun) -> str:
    """Return the sentence that says why ``run`` takes no commands; "" where it does."""
    from qts.runtime.persistence.run_reader import is_finished

    if not run.live and is_finished(run.directory):
        return f"the run in {run.directory} is finished: nothing trades there, and the command was not given"
    command = replaying_command(run.directory)
    if not command:
        return ""
    return (
        f"the run in {run.directory} is a qts {command}, which takes no commands: the command was not given. "
        "End it by SIGTERM or Ctrl-C; --resume continues it"
    )


def replaying_command(directory: Path) -> str:
    """Return the command of a run that only replays a recording; "" for a session and an unreadable store."""
    from qts.db.datadir import DATABASE_NAME
    from qts.db.reading import StoreReader
    from qts.errors import QtsError

    try:
        with StoreReader(directory / DATABASE_NAME) as store:
            row = store.run()
    except QtsError:
        return ""  # a store that cannot be read must not prevent a stop
    return row.command if row is not None and row.command != SESSION else ""
