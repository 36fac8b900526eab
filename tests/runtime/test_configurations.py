"""A reload and what comes after it: the run remembers what it has accepted, and may be resumed under it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.db.contracts import ConfigRow
from qts.db.sqlite import SqliteStore
from qts.errors import StateError, UnfinishedRunError
from qts.runtime.control.command_files import write_command
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring import stores
from qts.runtime.wiring.plans import paper_plan
from tests.runtime.paper import BEFORE, TIGHTER, answers, answers_after, files_in, paper
from tests.runtime.rig import command
from tests.sim.recordings import walk, write

LOOSER = "symbol_weight_limit: 0.25\n"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return files_in(tmp_path / "etc")


def rows(data_dir: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(data_dir / "qts.sqlite")) as connection:
        return connection.execute(sql).fetchall()


def accepted(data_dir: Path) -> list[tuple[str, str, str]]:
    """Actor, reason and the limit of each configuration, in order."""
    found = rows(data_dir, "SELECT actor, reason, settings FROM configurations ORDER BY version")
    return [(actor, why, json.loads(text)["risk.symbol_weight_limit"]) for actor, why, text in found]


BUYING = """
from qts import Intent, Pool, Side

class Buying:
    name, pool, symbols = "buying", Pool.SCALP, ()

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...
    def on_quote(self, ctx, quote): return [Intent(quote.symbol, Side.BUY, 1.0, qty=1)]
"""


def test_the_command_that_began_a_run_resumes_it_after_a_reload(tmp_path: Path, files: Path) -> None:
    """Given a session that has taken over a tighter limit; when it is resumed with its own command; then it goes on
    under that limit, and its decisions name that configuration."""
    run, strategy = tmp_path / "run", tmp_path / "buying.py"
    strategy.write_text(BUYING, "utf-8")
    tape = write(tmp_path / "five.csv", walk(2_160)[:30])  # five minutes, a quote every ten seconds
    options = Options(
        strategies=(f"{strategy}:Buying",),
        data_dir=run,
        config_dir=files,
        overrides={"risk.approval_ttl_ms": "60000"},  # 0.6 s here
        speed=100.0,
    )
    answers_after(paper_plan(options, str(tape), None), files, TIGHTER)
    before = len(rows(run, "SELECT id FROM decisions"))

    again = msgspec.structs.replace(options, resume=True)
    resumed = run_session(paper_plan(again, str(tape), None), progress=lambda share, moment: None, stop=StopFlag())

    assert resumed.finished
    assert resumed.values.risk_limits["symbol_weight_limit"] == "0.05"
    assert accepted(run) == [("start", "first load", "0.15"), ("kim", "drill", "0.05")]
    (tight,) = rows(run, "SELECT config_hash FROM configurations WHERE version = 2")
    decided = rows(run, "SELECT config_hash FROM decisions ORDER BY id")[before:]
    assert decided
    assert set(decided) == {tight}


def test_what_is_given_on_resume_is_in_force_when_it_was_accepted_once(tmp_path: Path, files: Path) -> None:
    run = tmp_path / "run"
    answers_after(paper(run, files), files, TIGHTER)
    (files / "risk.yaml").write_text(BEFORE, "utf-8")

    answers(paper(run, files, resume=True))

    assert accepted(run)[2:] == [("resume", "given with --resume", "0.15")]
    assert "is in force: risk.symbol_weight_limit: 0.05 -> 0.15" in (run / "session.log.jsonl").read_text("utf-8")


def test_a_configuration_the_run_never_accepted_is_refused_by_its_settings(tmp_path: Path, files: Path) -> None:
    run = tmp_path / "run"
    answers_after(paper(run, files), files, TIGHTER)
    (files / "risk.yaml").write_text(LOOSER, "utf-8")

    with pytest.raises(
        StateError, match=r"limit: 0\.05 -> 0\.25\. To --resume it, put the old value back and reload"
    ):
        answers(paper(run, files, resume=True))

    assert len(accepted(run)) == 2


def test_a_limit_that_lets_more_pass_is_in_force_once_it_is_confirmed(tmp_path: Path, files: Path) -> None:
    """Given a file in which a limit is higher; when it is loaded, and the reload repeated as its answer says; then
    the first changes nothing, and the second the limit. The operator's time to repeat it is the machine's."""
    run, stop, asked = tmp_path / "run", StopFlag(), list[Path]()
    plan = paper(run, files)

    def progress(share: float | None, moment_ns: int) -> None:
        if not asked:
            (files / "risk.yaml").write_text(LOOSER, "utf-8")
            asked.append(write_command(run, command("reload")))
        elif asked[-1].exists() and len(asked) == 1:
            code = json.loads(asked[0].read_text("utf-8"))["answer"].rpartition("--confirm ")[2]
            asked.append(write_command(run, command("reload", confirm=code)))
        elif asked[-1].exists():
            stop.request()

    run_session(plan, progress=progress, stop=stop)

    first, second = (json.loads(path.read_text("utf-8")) for path in asked)
    assert first["done"] is False
    assert first["answer"].startswith(
        "not in force yet, because more could pass: risk.symbol_weight_limit: 0.15 -> 0.25; if that is meant, "
        "repeat the reload within 5 minutes with --confirm "
    )
    assert second == {"done": True, "answer": "risk.symbol_weight_limit: 0.15 -> 0.25"}
    assert [limit for _, _, limit in accepted(run)] == ["0.15", "0.25"]


def test_what_waited_for_a_restart_is_refused_by_name(tmp_path: Path, files: Path) -> None:
    """A run keeps the settings that make it what it is; only what was in force belongs to it."""
    (files / "runtime.yaml").write_text("equity_start: 100000000\n", "utf-8")
    run = tmp_path / "run"
    answers(paper(run, files))
    (files / "runtime.yaml").write_text("equity_start: 200000000\n", "utf-8")

    with pytest.raises(StateError, match=r"runtime\.equity_start: 100000000 -> 200000000"):
        answers(paper(run, files, resume=True))


def test_the_opening_split_of_a_run_stays_when_the_targets_are_reloaded(tmp_path: Path, files: Path) -> None:
    """The pools were divided by the targets of that day; a resumed run must not divide them again."""
    ranges = "properties: {{balanced: {{swing_allocation_range: [{}]}}}}\n"
    (files / "state.yaml").write_text(ranges.format("0.3, 0.4"), "utf-8")
    run = tmp_path / "run"
    (told,) = answers_after(paper(run, files), files, ranges.format("0.4, 0.5"), name="state.yaml")
    assert told["done"], told

    answers(paper(run, files, resume=True), command("reload"))


def test_without_resume_it_is_an_unfinished_run(tmp_path: Path, files: Path) -> None:
    answers_after(paper(tmp_path / "run", files), files, TIGHTER)

    with pytest.raises(UnfinishedRunError, match="continue it with --resume"):
        answers(paper(tmp_path / "run", files))


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_kill_in_the_middle_of_a_reload(
    on_disk: bool, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on disk before it is in force, and in force before it is answered: either the run has accepted it, or
    the message says which value to put back."""

    class Doomed(SqliteStore):
        def accept_config(self, row: ConfigRow) -> None:
            if row.version > 1 and not on_disk:
                raise Killed
            super().accept_config(row)
            if row.version > 1:
                raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(stores, "SqliteStore", Doomed)
        with pytest.raises(Killed):
            answers_after(paper(run, files), files, TIGHTER)
    assert not list((run / "operator").glob("*.answered"))

    if not on_disk:
        with pytest.raises(StateError, match=r"symbol_weight_limit: 0\.15 -> 0\.05\. To --resume it"):
            answers(paper(run, files, resume=True))
        (files / "risk.yaml").write_text(BEFORE, "utf-8")
    answers(paper(run, files, resume=True))
