"""One kernel per test, closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.rig import Rig


@pytest.fixture
def rig_of(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Return a maker of rigs from strategies and settings; they are closed at the end."""
    made: list[Rig] = []

    def make(*strategies: Any, **more: Any) -> Rig:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Rig(directory, *strategies, **more))
        return made[-1]

    yield make
    for rig in made:
        rig.close()
