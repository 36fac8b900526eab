"""``python -m bench [SUITE …] [--quick] [--json] [--out DIR]``: every suite in a process of its own.

Suites: dispatcher, state, startup, stages, replay, backtest, indicators, bars, ledger (all when none is named).
``--json`` prints one object with a key per suite; the same object is always written to DIR/bench.json, beside the
plots.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import backtest, bars, dispatcher, indicators, ledger, replay, stages, startup, state

SUITES = ("dispatcher", "state", "startup", "stages", "replay", "backtest", "indicators", "bars", "ledger")
SHOWN = {
    "dispatcher": dispatcher.show,
    "state": state.show,
    "startup": startup.show,
    "stages": stages.show,
    "replay": replay.show,
    "backtest": backtest.show,
    "indicators": indicators.show,
    "bars": bars.show,
    "ledger": ledger.show,
}
LIMIT_S, BACKTEST_LIMIT_S = 600, 7_200
ROOT = Path(__file__).resolve().parents[1]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="fewer runs and loads")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "out", help="where plots and bench.json go")
    chosen = parser.parse_args(argv)
    unknown = [name for name in chosen.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; allowed: {', '.join(SUITES)}")
    directory = chosen.out.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    reports: dict[str, Any] = {}
    failed = False
    for name in chosen.suites or SUITES:
        begun = perf_counter()
        report, problem = run_suite(name, quick=chosen.quick, directory=directory)
        print(f"{name}: {perf_counter() - begun:.0f} s {problem}".rstrip(), file=sys.stderr)
        if report is None:
            failed = True
            continue
        reports[name] = report
        if not chosen.json:
            print(f"\n== {name}\n\n{SHOWN[name](report)}\n", flush=True)
    (directory / "bench.json").write_text(json.dumps(reports, indent=1))
    if chosen.json:
        print(json.dumps(reports))
    return 1 if failed else 0


def run_suite(name: str, *, quick: bool, directory: Path) -> tuple[dict[str, Any] | None, str]:
    """The suite's report and what went wrong; a process of its own keeps one suite's heap out of the next."""
    command = [sys.executable, "-m", f"bench.{name}", "--json"]
    command += ["--quick"] if quick else []
    command += ["--out", str(directory)] if name == "dispatcher" else []
    limit_s = BACKTEST_LIMIT_S if name == "backtest" and not quick else LIMIT_S
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, f"ended after {limit_s} s without a result"
    if done.returncode:
        return None, f"failed with exit code {done.returncode}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report, ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
