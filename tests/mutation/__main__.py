"""Try every mutant of an area, and name those that no test kills: ``python -m tests.mutation ledger``."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.accepted import PATH, ROOT, Row, read
from tests.mutation.areas import AREAS
from tests.mutation.forks import KILLED, NONE, Forks
from tests.mutation.mutants import Mutant, mutants_of


def main() -> int:
    """Return 1 where a mutant survives that is not in the table, or one of the table does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("areas", nargs="*", default=list(AREAS), metavar="AREA", help=f"of {', '.join(AREAS)}")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only mutants whose 'module function' has it")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of tests for each mutant, as long as they take unmutated"
    )
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="only mutants that an earlier run has listed there"
    )
    asked = parser.parse_args()
    if unknown := set(asked.areas) - set(AREAS):
        parser.error(f"{', '.join(sorted(unknown))}: no area; there are {', '.join(AREAS)}")
    scratch = Path(tempfile.mkdtemp(prefix="qts-mutants-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        return max(_try(area, asked, scratch) for area in asked.areas)
    finally:
        shutil.rmtree(scratch)


def _try(area: str, asked: argparse.Namespace, scratch: Path) -> int:
    wheres, tests = AREAS[area]
    listed = {tuple(line.split("\t")[:4]) for line in asked.again.read_text().splitlines()} if asked.again else None
    modules = sorted(
        str(path.relative_to(ROOT)) for where in wheres for path in ROOT.glob(where) for path in _python(path)
    )
    mutants = [
        mutant
        for module in modules
        for mutant in mutants_of(module, (ROOT / module).read_text())
        if re.search(asked.only, f"{module} {mutant.function}") and (listed is None or mutant.key in listed)
    ]
    forks = Forks(ROOT, modules, mutants, asked.seconds, scratch)
    options = ["-q", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider"]
    ended = pytest.main([*options, f"--basetemp={scratch / 'tmp'}", *tests], plugins=[forks])
    if ended:
        return int(ended)
    return _report(area, modules, forks.results, whole=not asked.only and listed is None)


def _python(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _report(area: str, modules: list[str], results: list[tuple[Mutant, str]], *, whole: bool) -> int:
    equivalent: dict[tuple[str, str, str, str], Row] = {row.key: row for row in read() if row.module in modules}
    tried = [(mutant, what) for mutant, what in results if what != NONE]
    left = [(mutant, what) for mutant, what in tried if what != KILLED]
    unnamed = [mutant for mutant, _ in left if mutant.key not in equivalent]
    stale = set(equivalent) - {mutant.key for mutant, _ in left} if whole else set()
    counts = Counter(what for _, what in tried)
    print(
        f"{area}: {len(tried)} mutants, {counts[KILLED]} killed, {len(left) - len(unnamed)} equivalent, "
        f"{len(unnamed)} left ({(len(tried) - len(unnamed)) / max(1, len(tried)):.1%})"
    )
    for mutant in unnamed:
        print("\t".join(mutant.key))
    for key in sorted(stale):
        print(f"in {PATH.name}, but no mutant that survives: {' | '.join(key)}", file=sys.stderr)
    return 1 if unnamed or stale else 0


if __name__ == "__main__":
    sys.exit(main())
