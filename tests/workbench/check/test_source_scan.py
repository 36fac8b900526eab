"""What the text of a strategy's files asks of clock, chance, network and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.workbench.check.outside import Outside
from qts.workbench.check.source_scan import written_in


def found(folder: Path, text: str) -> list[tuple[Outside, str, int]]:
    path = folder / "mine.py"
    path.write_text(text)
    return [(one.kind, one.name, one.line) for one in written_in([path], "Mine")]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("import time as t\nclass Mine:\n def f(self): return t.time()", (Outside.CLOCK, "time.time", 3)),
        (
            "from datetime import datetime as dt\nclass Mine:\n def f(self): return dt.now()",
            (Outside.CLOCK, "datetime.datetime.now", 3),
        ),
        (
            "import numpy as np\nclass Mine:\n def f(self): return np.random.rand(2)",
            (Outside.RANDOM, "numpy.random.rand", 3),
        ),
        (
            "import random\nclass Mine:\n r = random.Random()",
            (Outside.RANDOM, "random.Random without a seed", 3),
        ),
        (
            "from uuid import uuid4\nclass Mine:\n def f(self): return sorted([1], key=uuid4)",
            (Outside.RANDOM, "uuid.uuid4", 3),
        ),
        ("import requests\nclass Mine:\n def f(self): requests.get('x')", (Outside.NETWORK, "requests.get", 3)),
        ("class Mine:\n def f(self): return open('x')", (Outside.FILE, "open", 2)),
        (
            "from pathlib import Path\nclass Mine:\n def f(self): return Path('x').read_text()",
            (Outside.FILE, "read_text", 3),
        ),
        ("import time\nSTART = time.time()\nclass Mine: pass", (Outside.CLOCK, "time.time", 2)),
        (
            "import time\ndef now(): return time.time()\nclass Mine:\n def f(self): return now()",
            (Outside.CLOCK, "time.time", 2),
        ),
    ],
    ids=["alias", "from", "numpy", "unseeded", "passed", "network", "open", "path", "module", "function"],
)
def test_a_mention_is_found_with_its_line(tmp_path: Path, lines: str, expected: tuple[Outside, str, int]) -> None:
    assert found(tmp_path, lines) == [expected]


@pytest.mark.parametrize(
    "lines",
    [
        "import random\nclass Mine:\n r = random.Random(7)",
        "import numpy as np\nclass Mine:\n r = np.random.default_rng(7)",
        "import time\nclass Mine: pass\nif __name__ == '__main__': print(time.time())",
        "import time\nclass Mine: pass\nclass Other:\n def f(self): return time.time()",
        "class Mine:\n def f(self, time): return time.time()",
        "class Mine:\n def f(self, ctx): return ctx.now",
        "class Mine(:",
    ],
    ids=["seeded", "numpy seeded", "main", "another class", "no import", "ctx", "no Python"],
)
def test_what_repeats_or_is_not_reached_is_not_found(tmp_path: Path, lines: str) -> None:
    assert found(tmp_path, lines) == []
