"""``python -m bench.soak [CAMPAIGN …] [--short] [--seed N]``: long trials that break what can break, many times.

A campaign is a function ``run(directory, *, short, seed)`` that returns its counts as a dictionary; under the key
``failed`` stands, one sentence each, whatever should not have happened. ``--short`` takes the form that belongs
into a test run. Ends with 1 when something failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import indicator_drift, paper_kills

CAMPAIGNS: dict[str, Callable[..., dict[str, Any]]] = {
    "indicators": indicator_drift.run,
    "paper-kills": paper_kills.run,
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "campaigns", nargs="*", metavar="CAMPAIGN", help=f"of {', '.join(CAMPAIGNS)}; all when none is named"
    )
    parser.add_argument("--short", action="store_true", help="the form that belongs into a test run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    chosen = parser.parse_args(argv)
    unknown = [name for name in chosen.campaigns if name not in CAMPAIGNS]
    if unknown:
        parser.error(f"no campaign {unknown[0]!r}; allowed: {', '.join(CAMPAIGNS)}")
    results: dict[str, Any] = {}
    for name in chosen.campaigns or CAMPAIGNS:
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=chosen.directory))
        begun = time.monotonic()
        try:
            result = CAMPAIGNS[name](directory, short=chosen.short, seed=chosen.seed)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        results[name] = {**result, "seconds": round(time.monotonic() - begun, 1)}
        if not chosen.json:
            _show(name, results[name])
    if chosen.json:
        print(json.dumps(results))
    return 1 if any(result["failed"] for result in results.values()) else 0


def _show(name: str, result: dict[str, Any]) -> None:
    print(f"== {name}")
    for key, value in result.items():
        if key != "failed":
            print(f"{key.replace('_', ' '):32} {value}")
    for sentence in result["failed"]:
        print(f"FAILED: {sentence}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
