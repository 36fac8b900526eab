"""Whole commands: ``qts replay`` and ``qts demo`` with a server behind them; without one, beside another checkout.

What they take is CPU time of the command's own process, with all its threads, and next to it the time by the clock.
The commands of a pair run one after the other.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from tests.servers import sql
from tests.servers.postgres import Postgres

from bench.figures import QUICK_RUNS, RUNS
from bench.replay_cases import CAPTURE
from bench.store_book import server, target
from qts.cli.main import main as qts

FOLLOWED_RATIO = 0.8
SERVERLESS_RATIO = 0.95
MEMORY_RATIO = 1.05
HELP = "--help"
QTS = (sys.executable, "-c", "import sys; from qts.cli.main import main; sys.exit(main())")


class Took(NamedTuple):
    """What a command took: CPU and clock in s, the largest memory in MB."""

    cpu_s: float
    clock_s: float
    peak_mb: float


def commands() -> dict[str, list[str]]:
    """The commands that write a book: the demo, and a replay of a capture where there is one."""
    found = {"demo": ["demo"]}
    if CAPTURE.exists():
        found["replay"] = ["replay", str(CAPTURE)]
    return found


def measure_followed(*, quick: bool) -> dict[str, Any]:
    """Each command without a server and followed by one, by turns; what the server has is compared row by row."""
    runs = QUICK_RUNS if quick else RUNS
    report: dict[str, Any] = {"targets": []}
    with server() as started, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for name, command in commands().items():
            _run([*command, "--data-dir", f"{folder}/{name}-warm"], Path(folder))
            pairs = [_pair(command, started, Path(folder), f"{name}-{run}") for run in range(runs)]
            differences = sum(not same for *_, same in pairs)
            report[name] = {"alone": [one for one, *_ in pairs], "followed": [one for _, one, _ in pairs]}
            report["targets"] += [
                _speed(f"{name} followed, times as fast as alone, CPU", pairs, 0),
                _speed(f"{name} followed, times as fast as alone, clock", pairs, 1),
                target(f"{name} followed: runs whose rows differ", differences, 0),
            ]
    return report


def _speed(what: str, pairs: Sequence[tuple[Took, Took, bool]], place: int) -> dict[str, Any]:
    ratio = statistics.median(alone[place] / followed[place] for alone, followed, _ in pairs)
    return target(what, round(ratio, 3), FOLLOWED_RATIO, at_least=True)


def _pair(command: Sequence[str], started: Postgres, folder: Path, name: str) -> tuple[Took, Took, bool]:
    """Run a command alone and followed by a database that is new, and compare what that has."""
    database = f"bench_{name.replace('-', '_')}"
    _database(started, database)
    url = started.url(database)
    alone = _run([*command, "--data-dir", f"{folder}/{name}-alone"], folder)
    here = f"{folder}/{name}-followed"
    followed = _run([*command, "--data-dir", here, "--db", url], folder)
    with redirect_stdout(StringIO()):
        same = qts(["db", "verify", "--db", url, "--data-dir", here]) == 0
    return alone, followed, same


def _database(started: Postgres, name: str) -> None:
    sql.execute(started.url(), f"CREATE DATABASE {name}")
    sql.migrate(started.url(name))


def measure_serverless(checkout: Path, *, quick: bool) -> dict[str, Any]:
    """Each command, and ``qts --help``, by this package and by that of ``checkout``, by turns."""
    runs = QUICK_RUNS if quick else RUNS
    other = checkout.resolve() / "src"
    report: dict[str, Any] = {"targets": []}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for name, command in (commands() | {HELP: [HELP]}).items():
            pairs: list[tuple[Took, Took]] = []
            for run in range(runs + 1):
                ours, theirs = (
                    _run([*command, *_data_dir(name, f"{folder}/{name}-{run}-{who}")], Path(folder), source)
                    for who, source in (("ours", None), ("theirs", other))
                )
                pairs.append((ours, theirs))
            pairs = pairs[1:]  # the first one warmed disk and caches
            report[name] = {"ours": [one for one, _ in pairs], "theirs": [one for _, one in pairs]}
            speed = round(statistics.median(theirs.cpu_s / ours.cpu_s for ours, theirs in pairs), 3)
            memory = round(statistics.median(ours.peak_mb / theirs.peak_mb for ours, theirs in pairs), 3)
            report["targets"] += [
                target(f"{name}, times as fast as before, CPU", speed, SERVERLESS_RATIO, at_least=True),
                target(f"{name}, memory, times that of before", memory, MEMORY_RATIO),
            ]
    return report


def _data_dir(name: str, path: str) -> list[str]:
    return [] if name == HELP else ["--data-dir", path]


def _run(arguments: Sequence[str], folder: Path, source: Path | None = None) -> Took:
    """Run a command that must succeed, by the package of ``source`` where one is given."""
    environment = {name: value for name, value in os.environ.items() if name not in ("QTS_DB_URL", "PYTHONPATH")}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    begun = perf_counter()
    with (folder / "output").open("w") as output:
        # In a folder without a configuration: that of this checkout may have what the other one does not know.
        child = subprocess.Popen([*QTS, *arguments], cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = status
    took = perf_counter() - begun
    if status:
        raise SystemExit(f"qts {' '.join(arguments)} failed:\n{(folder / 'output').read_text()[-2_000:]}")
    return Took(round(used.ru_utime + used.ru_stime, 3), round(took, 3), round(used.ru_maxrss / 1_024, 1))


def show(report: dict[str, Any]) -> str:
    """What each command took."""
    return "\n".join(
        f"{name}, {who}: CPU {[one[0] for one in each]} s, clock {[one[1] for one in each]} s, "
        f"{max(one[2] for one in each)} MB"
        for name, sides in report.items()
        if isinstance(sides, dict)
        for who, each in sides.items()
    )
