"""Plays stories of a simulated session.

    python -m tests.simulation run FIRST:LAST [--jobs N] [--calm] [--plant NAME]
    python -m tests.simulation replay SEED [--calm] [--plant NAME]
    python -m tests.simulation shrink SEED [--calm] [--plant NAME] [--out FILE]
    python -m tests.simulation mended DIRECTORY

``run`` plays the stories of these seeds and prints how often each fault happened; ``replay`` shows one step by
step, ``shrink`` finds the shortest one that goes wrong in the same way. ``--calm``: nothing goes wrong in them.
``--plant``: with a mistake of :mod:`tests.simulation.planted` in the package. ``replay`` and ``shrink`` take a file
of ``shrink`` in the place of a seed, ``mended`` plays all of a directory. The exit code is 1 when anything did
not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.install import install

SHARED_MEMORY = Path("/dev/shm")


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parsed(arguments)
    if asked.verb == "run" and asked.jobs > 1:
        return _in_parallel(asked)
    install()
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as place:
        return _Stories(asked, Path(place)).do()


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qts-sim", description="Plays stories of a simulated session.")
    parser.add_argument("verb", choices=("run", "replay", "shrink", "mended"))
    parser.add_argument(
        "seeds", help="FIRST:LAST for run (LAST is left out), a directory for mended, else a seed or a file"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the seeds")
    parser.add_argument("--calm", action="store_true", help="nothing goes wrong in the stories")
    parser.add_argument("--plant", default="", help="a mistake that is planted in the package")
    parser.add_argument("--part", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="where shrink writes the story it has found")
    parser.add_argument("--until-found", action="store_true", help="end at the first that goes wrong")
    return parser.parse_args(arguments)


def _in_parallel(asked: argparse.Namespace) -> int:
    """Run the seeds in processes, and print what they found together."""
    begun = time.perf_counter()
    common = [sys.executable, "-m", "tests.simulation", "run", asked.seeds, *(["--calm"] if asked.calm else [])]
    if asked.plant:
        common += ["--plant", asked.plant]
    parts = [
        subprocess.Popen([*common, "--part", f"{number}/{asked.jobs}"], stdout=subprocess.PIPE, text=True)
        for number in range(asked.jobs)
    ]
    try:
        told = [json.loads(part.communicate()[0].splitlines()[-1]) for part in parts]
    finally:
        for part in parts:
            part.kill()
            part.wait()
    return _say(_added(told), time.perf_counter() - begun)


def _added(told: list[dict[str, Any]]) -> dict[str, Any]:
    fired: Counter[str] = Counter()
    for one in told:
        fired.update(one["fired"])
    return {
        "seeds": sum(one["seeds"] for one in told),
        "lives": sum(one["lives"] for one in told),
        "virtual_s": sum(one["virtual_s"] for one in told),
        "cpu_s": sum(one["cpu_s"] for one in told),
        "wrong": {seed: what for one in told for seed, what in one["wrong"].items()},
        "fired": dict(fired),
    }


def _say(found: dict[str, Any], took_s: float) -> int:
    """Print what a run has found; return the exit code."""
    for seed, what in sorted(found["wrong"].items(), key=lambda one: int(one[0])):
        print(f"seed {seed}: {what}\n    python -m tests.simulation replay {seed}")
    for fault, count in sorted(found["fired"].items()):
        print(f"{count:8,}  {fault}")
    seeds = found["seeds"]
    print(
        f"{seeds:,} seeds, {found['lives']:,} processes, {len(found['wrong'])} breaches; {seeds / took_s * 60:.0f} "
        f"seeds a minute, {found['virtual_s'] / took_s:.0f} times real time, "
        f"{found['cpu_s'] / max(seeds, 1) * 1e3:.0f} ms of a processor each"
    )
    return int(bool(found["wrong"]))


class _Stories:
    """Plays the stories that were asked for, in ``place``."""

    def __init__(self, asked: argparse.Namespace, place: Path) -> None:
        from tests.simulation import planted

        self._asked = asked
        self._place = place
        self._count = 0
        if asked.plant:
            planted.plant(asked.plant)

    def do(self) -> int:
        """Do it; return the exit code."""
        if self._asked.verb == "run":
            return self._run()
        if self._asked.verb == "mended":
            return self._mended()
        outcome = self._play(self._named())
        if self._asked.verb == "shrink" and outcome.wrong:
            from tests.simulation.shrink import shortest

            story = shortest(self._named(), outcome.wrong, lambda one: str(self._play(one).wrong))
            print("\n".join(story.lines()), end="\n\n")
            if self._asked.out is not None:
                self._asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(story)))
            outcome = self._play(story)
        print("\n".join(outcome.trace))
        print(outcome.wrong or "everything held")
        return int(bool(outcome.wrong))

    def _mended(self) -> int:
        """Play every story of a directory; return the exit code."""
        wrong = {}
        for path in sorted(Path(self._asked.seeds).glob("*.json")):
            self._asked.seeds = str(path)
            if what := self._play(self._named()).wrong:
                wrong[path.name] = what
        print("\n".join(f"{name}: {what}" for name, what in wrong.items()) or "everything held")
        return int(bool(wrong))

    def _run(self) -> int:
        begun, cpu = time.perf_counter(), time.process_time()
        first, last = map(int, self._asked.seeds.split(":"))
        part, parts = map(int, self._asked.part.split("/"))
        found: dict[str, Any] = {"seeds": 0, "lives": 0, "virtual_s": 0.0, "wrong": {}}
        fired: Counter[str] = Counter()
        for seed in range(first + part, last, parts):
            outcome = self._play(self._story(seed))
            found["seeds"] += 1
            found["lives"] += outcome.lives
            found["virtual_s"] += outcome.virtual_s
            fired.update(outcome.fired)
            if outcome.wrong:
                found["wrong"][seed] = outcome.wrong
                if self._asked.until_found:
                    break
        found |= {"fired": dict(fired), "cpu_s": time.process_time() - cpu}
        if parts > 1:
            print(json.dumps(found))
            return int(bool(found["wrong"]))
        return _say(found, time.perf_counter() - begun)

    def _named(self) -> Any:
        """Return the story of the seed, or of the file, that was named."""
        from tests.simulation.story import Story

        name = self._asked.seeds
        return (
            msgspec.json.decode(Path(name).read_bytes(), type=Story)
            if name.endswith(".json")
            else self._story(int(name))
        )

    def _story(self, seed: int) -> Any:
        from tests.simulation.story import draw

        return draw(seed, faults=not self._asked.calm)

    def _play(self, story: Any) -> Any:
        from tests.simulation.play import play

        self._count += 1
        return play(story, self._place / str(self._count), tells_all=self._asked.verb != "run")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
