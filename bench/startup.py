"""How long a person waits: ``qts --help``, and the demo on an installation that is warm.

``python -m bench.startup [--quick] [--json]``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.figures import QUICK_RUNS, RUNS, machine, table
from bench.suite import run_suite

QTS = [sys.executable, "-c", "import sys; from qts.cli.main import main; sys.exit(main())"]
HELP_S, DEMO_S = 0.2, 60.0
HEAVY = 8


def as_installed() -> dict[str, str]:
    """Return the environment without the setting that keeps Python from storing compiled modules beside these."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: Sequence[str], directory: str) -> float:
    """Wall time of a command that must succeed; its output goes nowhere."""
    begun = perf_counter()
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, env=as_installed())
    took = perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(command[3:])} failed with {done.returncode}:\n{done.stderr[-2_000:]}")
    return took


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Seconds, medians; ``qts --help`` and an empty interpreter take turns."""
    runs = QUICK_RUNS if quick else RUNS
    bare, shown, demos = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(runs + 1):
            bare.append(seconds([sys.executable, "-c", "pass"], directory))
            shown.append(seconds([*QTS, "--help"], directory))
        for number in range(1 if quick else 3):
            here = Path(directory) / str(number)
            options = ["demo", "--json", "--data-dir", str(here / "data"), "--report", str(here / "demo.html")]
            here.mkdir()
            demos.append(seconds([*QTS, *options], directory))
    help_s, demo_s = statistics.median(shown[1:]), statistics.median(demos)  # the first one warmed the disk
    return {
        "machine": machine(),
        "runs": runs,
        "python_s": round(statistics.median(bare[1:]), 3),
        "help_s": round(help_s, 3),
        "demo_s": round(demo_s, 2),
        "slowest_imports_ms": slowest_imports(),
        "targets": [
            {"what": "qts --help, s", "value": help_s, "bar": HELP_S, "met": help_s <= HELP_S},
            {"what": "demo on a warm installation, s", "value": demo_s, "bar": DEMO_S, "met": demo_s <= DEMO_S},
        ],
    }


def slowest_imports() -> dict[str, float]:
    """What ``qts --help`` imports longest: module and its own milliseconds."""
    command = [sys.executable, "-X", "importtime", *QTS[1:], "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    own: dict[str, float] = {}
    for line in told.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            own[parts[2].strip()] = int(parts[0]) / 1_000
    return dict(sorted(own.items(), key=lambda one: -one[1])[:HEAVY])


def show(report: dict[str, Any]) -> str:
    rows = [
        ["an empty interpreter", f"{report['python_s']:.3f} s", ""],
        ["qts --help", f"{report['help_s']:.3f} s", f"≤ {HELP_S} s"],
        ["qts demo with report", f"{report['demo_s']:.1f} s", f"≤ {DEMO_S:.0f} s"],
    ]
    imports = ", ".join(f"{name} {ms:.1f} ms" for name, ms in report["slowest_imports_ms"].items())
    return table(["start", "took", "bar"], rows) + f"\n\nslowest imports of qts --help: {imports}"


if __name__ == "__main__":
    sys.exit(run_suite("startup", __doc__, "fewer runs", sys.argv[1:], measure, show))
