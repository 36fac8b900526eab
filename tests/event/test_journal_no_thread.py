"""A machine without room for another thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys, threading
from pathlib import Path
from qts.errors import StorageError
from qts.event.journal import Journal

threading.stack_size(1 << 30)  # more than the memory that is left
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, limits[1]))
try:
    Journal(Path(sys.argv[1]), "0123456789abcdef")
except StorageError as error:
    print(error.exit_code, error)
threading.stack_size(0)
resource.setrlimit(resource.RLIMIT_AS, limits)
Journal(Path(sys.argv[1]), "0123456789abcdef").close()  # the lock of the failed one is free
print("opened")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space that the system keeps to")
def test_a_journal_whose_thread_does_not_start_says_so_and_lets_go(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "journal")], capture_output=True, text=True, timeout=60
    )

    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first.startswith("3 the thread qts-journal cannot be started")
    assert second == "opened"
