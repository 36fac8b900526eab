"""Two hosts with one database: the session that begins second is told who writes the run, and changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.command_line import own_directory, tape
from tests.db.server.following import until
from tests.servers.fixtures import Database

__all__ = ["own_directory", "tape"]


def started(tape: Path, directory: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "qts.cli.main", "run", "--feed", str(tape), "--speed", "1", "--db", url]
    command += ["--data-dir", str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def has_claim(database: Database) -> bool:
    """Return whether a session has the run."""
    return bool(database.value("SELECT count(*) FROM qts.run_progress WHERE holder <> ''"))


def test_the_second_of_two_hosts_is_refused(book_database: Database, tape: Path, tmp_path: Path) -> None:
    # Given a session on one host, in real time
    with started(tape, tmp_path / "one", book_database.url) as first:
        try:
            until(lambda: first.poll() is not None or has_claim(book_database), every_s=0.2)
            # When the same is begun on another host, with the same server
            with started(tape, tmp_path / "two", book_database.url) as second:
                out, err = second.communicate(timeout=120)
            # Then it ends at once, in one line that names who has the run, and has written nothing
            assert (second.returncode, out) == (2, ""), err
            assert f"it is written by process {first.pid} on " in err
            assert len(err.splitlines()) == 1
            assert not (tmp_path / "two").exists()
        finally:
            first.send_signal(signal.SIGINT)
            first.communicate(timeout=120)
    # and when the first one has ended, the run is free for the next
    assert book_database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted") == 0
