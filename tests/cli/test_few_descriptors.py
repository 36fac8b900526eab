"""Few files may be open: a session says so with exit code 3, or is a good one. Nothing in between."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
PROGRAM = """
import resource, sys

resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from qts.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
SESSIONS = [
    *((kind, limit) for kind in ("replay", "paper", "paper in a process") for limit in (16, 24, 64)),
    *(("replay", limit) for limit in (8, 12)),
    *(("paper", limit) for limit in (10, 15)),
]
"""Each limit below 16 is reached at another file."""


def ended(limit: int, *argv: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(limit), *argv], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("kind", "limit"), SESSIONS)
def test_a_session_with_few_files_says_so_or_is_a_good_one(kind: str, limit: int) -> None:
    """given that limit, when a session runs, then it ends in a sentence or well; with more files it ends well"""
    write(Path("five.csv"), walk(2_160)[:30])  # five minutes
    Path("calm.py").write_text(CALM, encoding="utf-8")
    argv = {
        "replay": ("replay", "five.csv"),
        "paper": ("run", "--feed", "five.csv", "--speed", "300"),
        "paper in a process": (
            "run",
            "--feed",
            "five.csv",
            "--speed",
            "300",
            "--set",
            "runtime.strategy_lane=process",
        ),
    }[kind]
    argv = (*argv, "--strategy", "calm.py:Calm", "--json", "--data-dir", "run")

    code, out, err = ended(limit, *argv)

    assert "Traceback" not in err, err
    if code == 0:
        values = json.loads(out)
        assert (values["finished"], values["rows"]) == (True, 30)
        assert all(row["ok"] is not False for row in values["invariants"].values())
    else:
        assert (code, out) == (3, ""), err
        assert err.splitlines()[-1].startswith("qts: "), err
        assert "(ulimit -n)" in err
        assert limit < 64
        code, out, err = ended(256, *argv, "--resume")
        assert (code, json.loads(out)["rows"]) == (0, 30), err


CALM = """
from qts import Intent, Pool, Side

class Calm:
    name, pool, symbols = "calm", Pool.SCALP, ()

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        return () if ctx.working(quote.symbol) else [Intent(quote.symbol, Side.BUY, 1.0, qty=1)]
"""
