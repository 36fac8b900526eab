"""A store whose file was damaged: every command that reads it says so in a sentence, or shows what is true."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.market.contracts import Feed, MarketValue
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import replay_plan
from tests.cli.command_line import own_directory, run_qts
from tests.sim.recordings import walk, write
from tests.sim.sessions import comparable

__all__ = ["own_directory"]
SEED = 11
DAMAGES = 14
PAGE = 4096
SETTING = "runtime.checkpoint_interval_rows=100"
BUSY = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Busy:
    name, pool, symbols, seen = "busy", Pool.SCALP, (), 0

    def on_start(self, ctx): pass
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): pass

    def on_quote(self, ctx, quote):
        self.seen += 1
        if self.seen % 9 == 1:
            return (Intent(quote.symbol, Side.BUY, 0.95, qty=1 + self.seen % 3),)
        if self.seen % 9 == 5:
            return (Intent(quote.symbol, Side.SELL, 1.0),)
        return ()
"""


class Stopped:
    """A replay that was stopped: its directory at rest, a copy from before its log was folded in, what is true."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tape = write(root / "tape.csv", walk(160, days=2))
        (root / "busy.py").write_text(BUSY)
        self._run()

    def _run(self) -> None:
        stop = StopFlag()
        options = Options(
            seed=7,
            strategies=(f"{self.root / 'busy.py'}:Busy",),
            data_dir=self.root / "at-rest",
            overrides=dict([SETTING.split("=")]),
        )
        plan = replay_plan(options, [self.tape], None)

        def feed() -> Feed:
            made = plan.open_feed()
            values = made.values

            def until_the_stop() -> Iterator[MarketValue]:
                for number, value in enumerate(values(), 1):
                    if number == 120:
                        stop.request()
                        shutil.copytree(self.root / "at-rest", self.root / "logged")
                    yield value

            made.values = until_the_stop  # type: ignore[method-assign]
            return made

        stopping = msgspec.structs.replace(plan, open_feed=feed)
        assert not run_session(stopping, progress=lambda share, moment: None, stop=stop).finished

    def commands(self, directory: Path) -> dict[str, tuple[str, ...]]:
        at = ("--json", "--data-dir", str(directory))
        strategy = f"{self.root / 'busy.py'}:Busy"
        resume = ("replay", str(self.tape), "--strategy", strategy, "--set", SETTING, "--resume")
        looks = {name: (name, *at) for name in ("status", "orders", "trades", "positions")}
        return {
            **looks,
            "state": ("state", "show", *at),
            "safety": ("safety", "show", *at),
            "resume": (*resume, *at),
        }


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    return Stopped(tmp_path_factory.mktemp("stopped"))


def told(name: str, out: str) -> Any:
    values = json.loads(out)
    return comparable(values) if name == "resume" else values


def damaged(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one place of it changed, cut off, or a page of it lost."""
    changed, place = bytearray(data), rng.randrange(len(data))
    kind = rng.choice(("bit", "byte", "digit", "digit", "cut", "zeros", "ones"))
    if kind == "bit":
        changed[place] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        changed[place] = rng.randrange(256)
    elif kind == "digit":
        digits = [at for at, byte in enumerate(data) if byte in b"0123456789"]
        changed[rng.choice(digits)] = rng.choice(b"0123456789.-eN\xff\0")
    elif kind == "cut":
        del changed[place:]
    else:
        page = place // PAGE * PAGE
        changed[page : page + PAGE] = (b"\0" if kind == "zeros" else b"\xff") * len(changed[page : page + PAGE])
    return bytes(changed)


def test_a_damaged_file_is_refused_in_a_sentence_or_does_no_harm(
    stopped: Stopped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """given a stopped run, when one place of its store is damaged, then no command fails otherwise or lies

    What is wrong in the log SQLite drops, with all that was written after it: that is how the run stood before.
    """
    rng, directory, refused = random.Random(SEED), tmp_path / "d", 0
    truth = {}
    for name, argv in stopped.commands(directory).items():
        shutil.copytree(stopped.root / "at-rest", directory)
        code, out, err = run_qts(capsys, *argv)
        assert (code, name) == (0, name), err
        truth[name] = told(name, out)
        shutil.rmtree(directory)

    for number in range(DAMAGES):
        kept, name_of_file = rng.choice(
            (
                ("at-rest", "qts.sqlite"),
                ("at-rest", "qts.sqlite"),
                ("logged", "qts.sqlite"),
                ("logged", "qts.sqlite-wal"),
            )
        )
        data = damaged((stopped.root / kept / name_of_file).read_bytes(), rng)
        for name, argv in stopped.commands(directory).items():
            shutil.copytree(stopped.root / kept, directory)
            (directory / name_of_file).write_bytes(data)
            code, out, err = run_qts(capsys, *argv)
            where = f"damage {number} of {kept}/{name_of_file}, {name}: {code}, {err}"
            assert code in (0, 2, 3, 4), where
            if code == 4:  # the audit has found it: the session goes on without entries and tells what is wrong
                values = json.loads(out)
                assert (name, values["safety_state"], err) == ("resume", "FAIL", ""), where
                assert not all(one["ok"] in (True, None) for one in values["invariants"].values()), where
            elif code:
                assert (out, err[:5], "Traceback" in err) == ("", "qts: ", False), where
                refused += 1
            elif name == "resume":
                assert told(name, out) == truth[name], where
            elif name == "trades":
                fills = told(name, out)["trades"]
                assert fills == truth[name]["trades"][: len(fills)], where
                assert kept == "logged" or len(fills) == len(truth[name]["trades"]), where
            shutil.rmtree(directory)
    assert refused > DAMAGES


@pytest.mark.parametrize("table", ["t_ledger", "orders", "runs", "checkpoint"])
def test_a_table_whose_page_is_lost_is_refused_by_what_reads_it(
    table: str, stopped: Stopped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "d"
    for name, argv in stopped.commands(directory).items():
        shutil.copytree(stopped.root / "at-rest", directory)
        store = sqlite3.connect(directory / "qts.sqlite")
        (root,) = store.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        store.close()
        data = bytearray((directory / "qts.sqlite").read_bytes())
        data[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
        (directory / "qts.sqlite").write_bytes(data)

        code, out, err = run_qts(capsys, *argv)

        assert (code, out) == (3, ""), (name, err)
        assert "restore it from a backup" in err
        shutil.rmtree(directory)
