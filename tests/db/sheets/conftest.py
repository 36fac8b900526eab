"""The desk that most tests of a spreadsheet work at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("google.auth", reason="needs the extra sheets: pip install 'qts-runtime[sheets]'")

from tests.db.sheets.desk import Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as made:
        yield made
