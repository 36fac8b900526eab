"""What all suites share: medians, percentiles, the machine they ran on, and tables for a terminal."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

SHARES = {"p50": 0.50, "p99": 0.99, "p999": 0.999}
RUNS = 5
QUICK_RUNS = 2
PACKAGES = ("msgspec", "uvloop", "nautilus_trader", "vnpy", "vnpy_ctastrategy", "backtesting", "talipp")


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest value at or below which ``share`` of the sorted values lie."""
    return ordered[max(0, -(-round(share * len(ordered) * 1_000) // 1_000) - 1)]


def latency_us(runs: Sequence[Sequence[int]]) -> dict[str, float | int]:
    """Microseconds from nanoseconds of several runs: p50 and p99 are medians over the runs.

    p99.9 and the maximum are taken over all samples together, because one run is too short to show them.
    """
    ordered_runs = [sorted(run) for run in runs if run]
    if not ordered_runs:
        return {"n": 0, "p50": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}
    together = sorted(value for run in ordered_runs for value in run)
    return {
        "n": len(together),
        "p50": statistics.median(percentile(run, SHARES["p50"]) for run in ordered_runs) / 1_000,
        "p99": statistics.median(percentile(run, SHARES["p99"]) for run in ordered_runs) / 1_000,
        "p999": percentile(together, SHARES["p999"]) / 1_000,
        "max": together[-1] / 1_000,
    }


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of runs made one after the other; noise that lasts hits both sides of a ratio."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def machine() -> dict[str, Any]:
    """Where these figures come from; ``load_1m`` above the number of idle cores means noisy neighbours.

    ``call_ns`` is what a plain Python call takes here: with it the rates of two machines, or of two builds of the
    interpreter, can be compared.
    """
    return {
        "python": platform.python_version(),
        "build": interpreter_build(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "call_ns": call_ns(),
        "packages": {name: version_of(name) for name in PACKAGES},
    }


def interpreter_build() -> str:
    """Whether the interpreter was compiled with a profile of itself at work (PGO), as far as it tells.

    What that is worth is on the page about the benchmarks.
    """
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    if arguments is None:
        return "PGO not told"
    # Debian's rules use a profile without that option; they empty the flag so that extensions are built without it.
    if "--enable-optimizations" in arguments or sysconfig.get_config_var("PGO_PROF_USE_FLAG") == "":
        return "with PGO"
    return "without PGO"


def call_ns() -> float:
    """Nanoseconds of calling a function that does nothing, the loop round it included; the best of ten."""
    times, calls = [], 20_000
    for _ in range(10):
        begun = perf_counter_ns()
        for _ in range(calls):
            _nothing()
        times.append((perf_counter_ns() - begun) / calls)
    return round(min(times), 1)


def _nothing() -> None: ...


def about(report: Mapping[str, Any]) -> str:
    """The first line of a suite: what a reader must know before the figures."""
    where = report["machine"]
    return (
        f"{where['cores']} cores, load {where['load_1m']}, Python {where['python']} {where['build']}, a plain call "
        f"{where['call_ns']} ns; medians of {report['runs']} runs. Read ratios; absolute times are of this machine "
        "at this minute."
    )


def version_of(name: str) -> str | None:
    """The installed version, None when the package is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    shown = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    shown.insert(1, "-" * max(len(line) for line in shown))
    return "\n".join(shown)


def targets_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """``what``, ``value`` (None: not measured), ``bar``, ``at_least``, ``met`` and, where it says something, the
    ``floor`` or ceiling without QTS."""
    shown = []
    for row in rows:
        value = "not measured" if row["value"] is None else f"{row['value']:,.2f}"
        answer = {True: "met", False: "NOT met", None: "-"}[row["met"]]
        floor = "" if row.get("floor") is None else f"{row['floor']:,.0f}"
        shown.append([row["what"], value, f"{'≥' if row['at_least'] else '≤'} {row['bar']:,}", floor, answer])
    return table(["target", "measured", "bar", "floor", ""], shown)


def micros(value: float) -> str:
    """A duration a person can compare at a glance."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.2f} s"
    if value >= 10_000:
        return f"{value / 1_000:.1f} ms"
    return f"{value:,.0f} µs"


def rate(per_s: float) -> str:
    """Events per second in millions."""
    return f"{per_s / 1_000_000:.3f} M/s"
