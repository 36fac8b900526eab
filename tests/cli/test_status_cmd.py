"""``qts status``, ``orders``, ``trades`` and ``positions``, of a run that goes on, has ended, or was killed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qts.db.datadir import DataDir
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.cli.command_line import own_directory, run_qts, tape
from tests.runtime.paper import files_in, paper
from tests.sim.sessions import spike_plan

__all__ = ["own_directory", "tape"]
LISTS = ("orders", "trades", "positions")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of order, at its end."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run_session(spike_plan(directory), progress=lambda share, moment: None, stop=StopFlag())
    return directory


def test_a_finished_run_is_told_as_that(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_qts(capsys, "status", "--data-dir", str(finished))
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("qts demo, run ")
    assert out.splitlines()[0].endswith(", finished")
    for word in ("directory", "clock", "safety", "operating", "equity", "cash", "Pools", "SCALP", "P0"):
        assert word in out


def test_the_lists_tell_what_the_store_holds(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_qts(capsys, "status", "--json", "--data-dir", str(finished))
    counts = json.loads(out)["view"]["counts"]
    assert code == 0
    for command, count in (("orders", counts["orders"]), ("trades", counts["fills"])):
        code, out, _ = run_qts(capsys, command, "--json", "--data-dir", str(finished))
        assert code == 0
        told = json.loads(out)
        assert told["run"]["life"] == "finished"
        assert len(told[command]) == count > 20
        _, out, _ = run_qts(capsys, command, "--data-dir", str(finished))
        assert out.splitlines()[-1] == f"the newest 20 of {count}; --last 0 shows all"
        _, out, _ = run_qts(capsys, command, "--last", "0", "--data-dir", str(finished))
        assert len(out.splitlines()) == count + 2


def test_csv_has_a_header_and_the_same_rows(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in LISTS:
        _, out, _ = run_qts(capsys, command, "--json", "--data-dir", str(finished))
        rows = json.loads(out)[command]
        code, out, err = run_qts(capsys, command, "--csv", "--data-dir", str(finished))
        assert code == 0
        assert "finished" in err  # which run it was, beside the data
        assert out.count("\r\n") == len(rows) + 1
        read = list(csv.DictReader(io.StringIO(out, newline="")))
        assert [row["strategy"] for row in read] == [row["strategy"] for row in rows]
        assert all(row["qty"] == str(other["qty"]) for row, other in zip(read, rows, strict=True))
    _, out, _ = run_qts(capsys, "status", "--csv", "--data-dir", str(finished))
    (row,) = csv.DictReader(io.StringIO(out, newline=""))
    assert (row["life"], row["command"]) == ("finished", "demo")


@pytest.mark.parametrize("columns", ["20", "40", "80"])
def test_no_amount_and_no_name_is_cut_in_a_narrow_terminal(
    columns: str, finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = run_qts(capsys, "status", "--json", "--data-dir", str(finished))
    view = json.loads(out)["view"]
    _, out, _ = run_qts(capsys, "status", "--data-dir", str(finished))
    for pool in view["pools"]:
        assert f"{int(pool['total']):,}" in out
        assert pool["pool"] in out
    assert f"{int(view['equity']):,}" in out
    assert "…" not in out


def test_a_run_that_goes_on_is_found_and_shown_fresh(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a paper session that goes on in ./qts-data, and one that began there and has ended
    monkeypatch.chdir(tmp_path)
    DataDir(Path("qts-data/another")).close()
    stop = StopFlag()
    told: list[str] = []

    def progress(share: float | None, moment_ns: int) -> None:
        if told or not Path("qts-data/mine/view.json").exists():
            return
        # When a command names no run, in the midst of it
        for command in ("status", *LISTS):
            code, out, _ = run_qts(capsys, command, "--json")
            assert code == 0
            told.append(out)
        stop.request()

    run_session(paper(Path("qts-data/mine"), files_in(tmp_path / "config")), progress=progress, stop=stop)
    # Then it is that one, with what it shows
    status = json.loads(told[0])
    assert status["run"]["directory"] == "qts-data/mine"
    assert (status["run"]["live"], status["run"]["life"], status["run"]["pid"]) == (True, "running", os.getpid())
    assert (status["view"]["mode"], status["view"]["pid"]) == ("paper", os.getpid())
    assert [set(json.loads(one)) - {"run"} for one in told[1:]] == [
        {"orders", "unknown_orders"},
        {"trades"},
        {"positions"},
    ]
    # And afterwards that it was stopped
    _, out, _ = run_qts(capsys, "status")
    assert ", stopped: --resume continues it" in out.splitlines()[0]


SESSION = """
import sys
from pathlib import Path
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.runtime.paper import files_in, paper

def progress(share, moment_ns):
    print("running", flush=True)

files = Path(sys.argv[1]) / "config"
run_session(paper(Path(sys.argv[1]) / "run", files_in(files)), progress=progress, stop=StopFlag())
"""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    child = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    child.send_signal(signal.SIGKILL)
    child.stdout.close()
    child.wait()
    return tmp_path / "run"


def test_a_killed_run_is_told_to_have_ended_without_finishing(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_qts(capsys, "status", "--data-dir", str(killed))
    assert code == 0
    assert ", ended: its process is gone and it did not finish; --resume continues it" in out.splitlines()[0]
    for command in LISTS:
        assert run_qts(capsys, command, "--data-dir", str(killed))[0] == 0


def test_a_process_that_shows_nothing_new_is_told_as_silent(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a live process whose last view is of 2027, long ago
    with DataDir(tmp_path / "run"):
        view = json.loads((finished / "view.json").read_text()) | {"ended": "", "written_ns": 1_000_000_000}
        (tmp_path / "run" / "qts.sqlite").write_bytes((finished / "qts.sqlite").read_bytes())
        (tmp_path / "run" / "view.json").write_text(json.dumps(view))
        _, out, _ = run_qts(capsys, "status", "--data-dir", str(tmp_path / "run"))
    assert ", silent: its process lives, but it has shown nothing new for " in " ".join(out.splitlines()[:2])


def test_times_for_people_are_the_markets_with_its_zone_and_those_for_programs_utc(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("--data-dir", str(finished))
    first = json.loads(run_qts(capsys, "trades", "--json", *named)[1])["trades"][0]["filled_at"]
    local = datetime.fromisoformat(first[:19] + "+00:00") + timedelta(hours=9)
    lines = run_qts(capsys, "trades", "--last", "0", *named)[1].splitlines()
    assert first.endswith("Z")
    assert lines[1].startswith("filled (KST) ")
    assert lines[2].startswith(f"{local:%Y-%m-%d %H:%M:%S}  ")
    for command in (("status",), ("state", "show"), ("safety", "show")):
        out = run_qts(capsys, *command, *named)[1]
        assert " KST" in out
        assert "UTC" not in out


def test_the_server_that_follows_has_a_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a run whose view has a server that is away
    place = tmp_path / "run"
    DataDir(place).close()
    (place / "qts.sqlite").write_bytes((finished / "qts.sqlite").read_bytes())
    server = {"name": "database", "server": "PostgreSQL 18.6", "state": "AWAY", "reason": "db:5432 does not answer"}
    server |= {"applied": 7, "newest": 1_007, "lag_s": 6.54, "waiting_bytes": 2_500_000, "durability": "server"}
    sheets = {
        "name": "sheets",
        "server": "Google Sheets",
        "state": "FOLLOWING",
        "reason": "",
        "durability": "local",
    }
    sheets |= {"applied": 1_007, "newest": 1_007, "lag_s": 0, "waiting_bytes": 0, "altered": ["t_ledger, row 7"]}
    view = json.loads((finished / "view.json").read_text()) | {
        "servers": [server | {"waits": 4, "late": 1}, sheets]
    }
    (place / "view.json").write_text(json.dumps(view))
    # When its status is asked for
    code, out, _ = run_qts(capsys, "status", "--data-dir", str(place))
    # Then a line says how far it is and why it is not further
    assert code == 0
    said = " ".join(out.split())
    assert "server AWAY, 7 of 1,007 batches, the oldest of the rest has waited 6.5 s, 2.5 MB" in said
    assert "1 of 4 orders waited too long; durability server; db:5432 does not answer" in said
    assert "sheets FOLLOWING, 1,007 of 1,007 batches; t_ledger, row 7" in said


def test_what_limits_have_refused_has_a_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a run whose limits have refused three orders
    place = tmp_path / "run"
    DataDir(place).close()
    (place / "qts.sqlite").write_bytes((finished / "qts.sqlite").read_bytes())
    last = "order o7: limit price_collar: 52,600 KRW, at most 52,500 (0.05 from the last price 50,000)"
    limits = {"refused": {"price_collar": 1, "max_order_qty": 2}, "last": last}
    view = json.loads((finished / "view.json").read_text()) | {"limits": limits}
    (place / "view.json").write_text(json.dumps(view))
    # When its status is asked for
    code, out, _ = run_qts(capsys, "status", "--data-dir", str(place))
    # Then a line says which, and the last of them
    assert code == 0
    assert f"limits 3 orders refused (max_order_qty 2, price_collar 1); the last: {last}" in " ".join(out.split())


def test_orders_of_unknown_fate_are_named_with_what_they_hold_back(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a run whose view has an order of which nothing is known
    place = tmp_path / "run"
    DataDir(place).close()
    (place / "qts.sqlite").write_bytes((finished / "qts.sqlite").read_bytes())
    order = {"order_id": "o-9", "strategy": "one", "symbol": "005930", "side": "BUY", "qty": "10", "filled": "0"}
    order |= {"limit": "150000", "since_ns": 1, "asked": 3, "next_s": 0.8, "cash": "1500225", "shares": "0"}
    order |= {"currency": "KRW"}
    view = json.loads((finished / "view.json").read_text()) | {"unknown_orders": [order], "ended": ""}
    (place / "view.json").write_text(json.dumps(view))
    said = (
        "the fate of order o-9 (BUY 10 005930 at 150,000) is unknown: the broker was asked 3 times, the next "
        "question in 0.8 s; 1,500,225 KRW held back, and no other BUY of 005930 leaves meanwhile"
    )
    # When orders and status are asked for
    for command in ("orders", "status"):
        code, out, _ = run_qts(capsys, command, "--data-dir", str(place))
        # Then both say it
        assert code == 0
        assert said in " ".join(out.split())
    out = run_qts(capsys, "orders", "--json", "--data-dir", str(place))[1]
    assert json.loads(out)["unknown_orders"] == [order]


def test_a_view_of_another_run_is_not_shown(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "run"
    DataDir(place).close()
    (place / "qts.sqlite").write_bytes((finished / "qts.sqlite").read_bytes())
    view = json.loads((finished / "view.json").read_text()) | {"run_id": "other"}
    (place / "view.json").write_text(json.dumps(view))
    code, out, _ = run_qts(capsys, "status", "--data-dir", str(place))
    assert code == 0
    assert "not shown by the session" in out
    assert "Pools" not in out


@pytest.mark.parametrize("command", ["status", *LISTS])
def test_a_directory_that_is_no_run_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for place, message in (("missing", "is no directory"), ("empty", "is not the directory of a run")):
        code, out, err = run_qts(capsys, command, "--data-dir", str(tmp_path / place))
        assert (code, out) == (2, "")
        assert message in err
    code, _, err = run_qts(capsys, command)
    assert code == 2
    assert "there is no run in" in err


@pytest.mark.parametrize("last", ["-1", "x", "１", "1.5", ""])
def test_a_count_is_a_whole_number(last: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_qts(capsys, "orders", "--last", last)
    assert code == 2
    assert "whole number" in err or "expected one argument" in err


def test_one_form_at_a_time(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_qts(capsys, "status", "--csv", "--json", "--data-dir", str(finished))[0] == 2
    code, _, err = run_qts(capsys, "status", "--csv", "--watch", "--data-dir", str(finished))
    assert code == 2
    assert "--watch" in err


def test_watching_goes_on_until_ctrl_c_and_ends_well(finished: Path) -> None:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "qts.cli.main", "status", "--watch", "--json", "--data-dir", str(finished)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        text=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    looks = [json.loads(child.stdout.readline()) for _ in range(2)]
    assert looks[0] == looks[1]
    child.send_signal(signal.SIGINT)
    try:
        _out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, err) == (0, "")
