"""Results that several tests compare with, made once for all of them, in whichever worker comes first."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Once:
    """Makes what a name stands for at most once in a run of the tests, and keeps it as JSON in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def __call__(self, name: str, make: Callable[[Path], Any]) -> Any:
        """Return what ``make`` returned for ``name``, through JSON; it is given a directory of its own."""
        kept = self._directory / f"{name}.json"
        with open(self._directory / f"{name}.lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                place = self._directory / name
                place.mkdir()
                kept.write_text(json.dumps(make(place)), "utf-8")
        return json.loads(kept.read_text("utf-8"))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Share what is made once with the other workers, whose directories lie beside that of this one."""
    base = tmp_path_factory.getbasetemp()
    return Once((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once")
