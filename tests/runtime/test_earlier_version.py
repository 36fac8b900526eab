"""A run of an earlier version: what only that version can finish is not changed by a look at it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from qts.db.migrate import migrate, migrations
from qts.errors import StorageError
from qts.runtime.persistence.checkpoint import VERSION
from qts.runtime.wiring.stores import stored_run

BEFORE = [step for step in migrations() if step.version < 6]


def store_of_before(path: Path, *, finished: bool, checkpoint: int | None) -> Path:
    """A run that an earlier version has begun; ``checkpoint`` is the version of its newest, None for none yet."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, BEFORE, str(path))
        connection.execute(
            "INSERT INTO runs VALUES ('r', 'run', 7, 'feed', 'cfg', 'then', ?, '{}')", (int(finished),)
        )
        if checkpoint is not None:
            data = msgspec.msgpack.encode({"version": checkpoint, "parts": {}})
            marks = f"2 {len(data)} 0 0 0 0 0 0 0 0"
            connection.execute("INSERT INTO checkpoint VALUES (1, ?, ?)", (marks, data))
    return path


def schema_of(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [version for (version,) in connection.execute("SELECT version FROM schema_migrations")]


def test_an_unfinished_run_is_left_to_the_version_that_began_it(tmp_path: Path) -> None:
    path = store_of_before(tmp_path / "qts.sqlite", finished=False, checkpoint=VERSION - 1)

    with (
        pytest.raises(StorageError, match="finish that run with the version of QTS that began it"),
        stored_run(path),
    ):
        pass

    assert schema_of(path) == [step.version for step in BEFORE]


@pytest.mark.parametrize(("finished", "checkpoint"), [(True, VERSION - 1), (False, None)])
def test_a_finished_run_is_read(tmp_path: Path, finished: bool, checkpoint: int | None) -> None:
    path = store_of_before(tmp_path / "qts.sqlite", finished=finished, checkpoint=checkpoint)

    with stored_run(path) as store:
        run = store.run()

    assert run is not None
    assert run.finished is finished
    assert schema_of(path) == [step.version for step in migrations()]
