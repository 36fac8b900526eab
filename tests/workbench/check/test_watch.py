"""What a strategy is seen reading while it runs: by the line of its own file."""

from __future__ import annotations

import random
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qts.workbench.check.outside import Outside
from qts.workbench.check.watch import CallWatch


def program(folder: Path, body: str) -> tuple[Path, Callable[[], Any]]:
    path = folder / "mine.py"
    path.write_text(body)
    return path, runpy.run_path(str(path))["f"]


def seen(folder: Path, body: str, *, data: tuple[Path, ...] = (), allowed: tuple[Path, ...] = ()) -> list[Any]:
    path, call = program(folder, body)
    watch = CallWatch([path], [path, *allowed], data)
    with watch.during(5):
        call()
    return [(one.kind, one.line, one.ts_ns) for one in watch.seen.values()]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("from time import time\ndef f():\n return time()", Outside.CLOCK),
        ("import datetime\ndef f():\n return datetime.date.today()", Outside.CLOCK),
        ("import time\ndef f():\n return time.perf_counter()", Outside.STOPWATCH),
        ("import random\ndef f():\n return random.choice([1, 2])", Outside.RANDOM),
        ("import random\ndef f():\n return random.Random()", Outside.RANDOM),
        ("import uuid\ndef f():\n return uuid.uuid4()", Outside.RANDOM),
        ("import secrets\ndef f():\n return secrets.token_hex()", Outside.RANDOM),
        ("import subprocess\ndef f():\n subprocess.run(['true'])", Outside.NETWORK),
    ],
    ids=["time", "today", "stopwatch", "choice", "unseeded", "uuid4", "secrets", "program"],
)
def test_a_read_from_outside_is_seen_by_its_line(tmp_path: Path, body: str, kind: Outside) -> None:
    assert (kind, 3, 5) in seen(tmp_path, body)


def test_a_seeded_generator_and_an_import_are_not_seen(tmp_path: Path) -> None:
    body = "import random\nr = random.Random(7)\ndef f():\n import colorsys\n return r.random()"
    sys.modules.pop("colorsys", None)
    assert seen(tmp_path, body) == []


def test_files_are_told_apart_by_whose_they_are(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("x")
    body = f"def f():\n with open({str(other)!r}) as file:\n  return file.read()"
    assert seen(tmp_path, body) == [(Outside.FILE, 2, 5)]
    assert seen(tmp_path, body, data=(other,)) == [(Outside.DATA, 2, 5)]
    assert seen(tmp_path, body, allowed=(other,)) == []


def test_a_file_that_is_only_written_is_not_seen(tmp_path: Path) -> None:
    body = f"def f():\n with open({str(tmp_path / 'log')!r}, 'a') as file:\n  file.write('x')"
    assert seen(tmp_path, body) == []


def test_nothing_is_seen_outside_the_block_and_the_profiler_of_others_is_given_back(tmp_path: Path) -> None:
    path, call = program(tmp_path, "import random\ndef f():\n return random.random()")
    watch = CallWatch([path], [path], [])

    def other(frame: Any, event: str, argument: Any) -> None:
        return None

    before = sys.getprofile()
    sys.setprofile(other)
    try:
        with watch.during():
            pass
        given_back = sys.getprofile()
    finally:
        sys.setprofile(before)
    call()
    assert given_back is other
    assert watch.seen == {}


def test_the_numbers_of_others_are_not_taken_for_those_of_the_strategy(tmp_path: Path) -> None:
    path, _ = program(tmp_path, "def f():\n pass")
    watch = CallWatch([path], [path], [])
    with watch.during():
        random.Random(3).random()
        random.getstate()
    assert watch.seen == {}
