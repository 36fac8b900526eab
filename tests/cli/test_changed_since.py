"""A run whose strategy, or whose stored history, is not what it was: named, and not gone on with."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qts.errors import QtsError
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import demo_plan, paper_plan, replay_plan
from tests.cli.command_line import own_directory, run_qts, tape
from tests.db.test_chain import altered

__all__ = ["own_directory", "tape"]

STRATEGY = """
import json
from pathlib import Path
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Mine:
    name = "mine"
    pool = Pool.SWING
    symbols = ()
    files = ("weights.json",)

    def __init__(self):
        self.seen = 0
        self.every = json.loads(Path(__file__).with_name("weights.json").read_text())

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        from pkg.sides import side
        self.seen += 1
        if self.seen % self.every == 0:
            yield Intent(quote.symbol, side(self.seen), 0.95, qty=2, reason="again")
"""
SIDES = """
from qts.strategy.contracts import Side

def side(seen):
    return Side.BUY if seen % 100 else Side.SELL
"""


@pytest.fixture
def mine() -> str:
    Path("s/pkg").mkdir(parents=True)
    Path("s/mine.py").write_text(STRATEGY)
    Path("s/weights.json").write_text("50")
    Path("s/pkg/__init__.py").write_text("")
    Path("s/pkg/sides.py").write_text(SIDES)
    return "s/mine.py:Mine"


def stopped_run(tape: Path, spec: str, settings: dict[str, str]) -> None:
    """The run in ``run``, stopped in the middle."""
    stop = StopFlag()
    left = iter(range(40))

    def tell(share: float | None, moment_ns: int) -> None:
        if next(left, None) is None or (share or 0) > 0.3:
            stop.request()

    options = Options(strategies=(spec,), data_dir=Path("run"), overrides=settings)
    assert not run_session(replay_plan(options, [tape], None), progress=tell, stop=stop).finished


CHANGES = {
    "s/mine.py": STRATEGY + "# another\n",
    "s/weights.json": "25",
    "s/pkg/sides.py": SIDES + "# another\n",
    "s/pkg/__init__.py": "x = 1",
}


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("lane", ["loop", "process"])
def test_a_stopped_run_does_not_go_on_with_other_files(
    lane: str, changed: str, mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_run(tape, mine, {"runtime.strategy_lane": lane})
    before = Path(changed).read_text()
    argv = ("replay", str(tape), "--strategy", mine, "--data-dir", "run", "--resume", "--json")
    argv += ("--set", f"runtime.strategy_lane={lane}")

    Path(changed).write_text(CHANGES[changed])
    code, out, err = run_qts(capsys, *argv)

    assert (code, out) == (2, "")
    assert "the strategies differ; " in err
    assert "has changed" in err
    assert changed.removeprefix("s/") in err
    assert all(f"{other.removeprefix('s/')} of" not in err for other in CHANGES if other != changed)
    Path(changed).write_text(before)
    assert run_qts(capsys, *argv)[0] == 0


def test_a_file_that_is_new_or_gone_is_named(mine: str, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped_run(tape, mine, {})
    argv = ("replay", str(tape), "--strategy", mine, "--data-dir", "run", "--resume")

    Path("s/pkg/sides.py").rename("s/sides.py")
    Path("s/mine.py").write_text(STRATEGY.replace("from pkg.sides", "from sides"))
    _, _, err = run_qts(capsys, *argv)

    assert "pkg/sides.py of s/mine.py:Mine is gone" in err
    assert "; sides.py of s/mine.py:Mine is new" in err
    assert "s/mine.py:Mine has changed" in err


def test_a_finished_run_is_not_shown_as_the_result_of_other_code(
    mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("replay", str(tape), "--strategy", mine, "--data-dir", "run", "--json")
    first = json.loads(run_qts(capsys, *argv)[1])
    assert first["fills"] > 0
    assert json.loads(run_qts(capsys, *argv, "--resume")[1]) == first

    Path("s/pkg/sides.py").write_text(SIDES + "# another\n")

    for more in ((), ("--resume",)):
        code, out, err = run_qts(capsys, *argv, *more)
        assert (code, out) == (2, "")
        assert "pkg/sides.py of s/mine.py:Mine has changed" in err


@pytest.mark.parametrize("command", ["demo", "run"])
def test_every_command_makes_another_run_of_other_files(command: str, mine: str, tape: Path) -> None:
    # Given sessions that are stopped at their beginning: what names a run is known then
    stop = StopFlag()
    stop.request()
    runs = []
    for number, text in enumerate(("", "", "x = 1")):
        Path("s/pkg/__init__.py").write_text(text)
        options = Options(strategies=(mine,), data_dir=Path(f"run-{number}"), speed=1e9)
        plan = demo_plan(options) if command == "demo" else paper_plan(options, str(tape), None)
        runs.append(run_session(plan, progress=lambda share, moment_ns: None, stop=stop).values.run_id)

    assert runs[0] == runs[1] != runs[2]


def test_a_resume_does_not_begin_a_new_account_beside_the_run_that_waits(
    mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given an unfinished run in the folder of runs
    stopped_run(tape, mine, {})
    waiting = Path("qts-data") / "replay-0123456789abcdef"
    waiting.parent.mkdir()
    Path("run").rename(waiting)
    argv = ("replay", str(tape), "--strategy", mine, "--set", "risk.symbol_weight_limit=0.1")
    # when it is resumed under another configuration, which names another directory
    code, out, err = run_qts(capsys, *argv, "--resume")
    # then nothing is begun, and the run that waits is named
    assert (code, out) == (2, "")
    assert f"Unfinished: {waiting} (begun with another configuration, seed, input or strategy)" in err
    assert list(Path("qts-data").iterdir()) == [waiting]
    # and without --resume a new run begins
    assert run_qts(capsys, *argv)[0] == 0


def test_a_resume_where_no_run_waits_begins_one(mine: str, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A supervisor starts with the same command whether there was a run before or not."""
    assert run_qts(capsys, "replay", str(tape), "--strategy", mine, "--resume")[0] == 0


def test_how_a_result_is_shown_is_no_part_of_a_run(
    mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a finished run
    argv = ("replay", str(tape), "--strategy", mine, "--data-dir", "run", "--resume", "--json")
    code, first, _ = run_qts(capsys, *argv)
    assert code == 0
    # when it is shown in other colours, then it is the same run
    code, again, err = run_qts(capsys, *argv, "--set", "runtime.gain_color=red")
    assert (code, err) == (0, "")
    assert json.loads(again)["config_hash"] == json.loads(first)["config_hash"]


def test_names_that_are_no_text_are_files_as_any_other(
    mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given names in EUC-KR on a system of UTF-8 names."""
    folder, data = os.fsdecode(b"\xc0\xfc\xb7\xab"), os.fsdecode(b"\xb0\xa1")
    Path("s").rename(folder)
    tape.rename(f"{data}.csv")
    argv = ("replay", f"{data}.csv", "--strategy", f"{folder}/mine.py:Mine", "--data-dir", data, "--json")

    code, out, err = run_qts(capsys, *argv, "--report", f"{data}.html")
    assert (code, err) == (0, "")
    assert json.loads(out)["report"] == "\ufffd\ufffd.html"

    Path(folder, "weights.json").write_text("25")
    code, _, err = run_qts(capsys, *argv)
    assert code == 2
    assert "weights.json of ????/mine.py:Mine has changed" in err or "mine.py:Mine has changed" in err


# -- history -----------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(tape: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    run_qts(capsys, "replay", str(tape), "--data-dir", "run", "--json")
    return Path("run/qts.sqlite")


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "tape.csv", "--data-dir", "run", "--resume"),
        ("state", "show", "--data-dir", "run"),
        ("safety", "show", "--data-dir", "run"),
        ("status", "--data-dir", "run"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_finished_run_with_an_altered_history_is_not_shown(
    command: tuple[str, ...], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_qts(capsys, *command)[0] == 0
    with closing(sqlite3.connect(finished)) as connection:
        (last,) = connection.execute("SELECT max(id) FROM t_ledger").fetchone()
    altered(finished, f"UPDATE t_ledger SET price = '1' WHERE id = {last}")

    code, out, err = run_qts(capsys, *command)

    assert (code, out) == (3, "")
    assert f"table t_ledger: row {last} is not what was written" in err


def test_a_stopped_run_with_an_altered_history_is_not_resumed(
    mine: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_run(tape, mine, {})
    altered(Path("run/qts.sqlite"), "UPDATE configurations SET actor = 'mallory' WHERE version = 1")

    code, _, err = run_qts(capsys, "replay", str(tape), "--strategy", mine, "--data-dir", "run", "--resume")

    assert code == 3
    assert "table configurations: row 1 is not what was written" in err


def test_a_session_that_ends_with_an_altered_history_does_not_count_as_finished(mine: str, tape: Path) -> None:
    """Another program writes into the store while the session runs."""
    done = []

    def tell(share: float | None, moment_ns: int) -> None:
        if not done:
            with closing(sqlite3.connect("run/qts.sqlite")) as connection:
                if connection.execute("SELECT count(*) FROM decisions").fetchone()[0] > 2:
                    done.append(1)
            if done:
                altered(Path("run/qts.sqlite"), "UPDATE decisions SET inputs = '{}' WHERE id = 1")

    options = Options(strategies=(mine,), data_dir=Path("run"))
    with pytest.raises(QtsError, match="table decisions: row 1 is not what was written") as error:
        run_session(replay_plan(options, [tape], None), progress=tell, stop=StopFlag())

    assert error.value.exit_code == 3
