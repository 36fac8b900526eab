"""The undisturbed session, run once per process."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from qts.runtime.persistence.session_log import FILE_NAME
from tests.sim.sessions import book_of, comparable, run, spike_plan


class Whole(NamedTuple):
    """What the undisturbed session came to."""

    values: dict[str, Any]
    book: dict[str, list[tuple[Any, ...]]]
    log: str


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    directory = tmp_path_factory.mktemp("whole")
    values = comparable(run(spike_plan(directory)).values)
    return Whole(values, book_of(directory), (directory / FILE_NAME).read_text("utf-8"))
