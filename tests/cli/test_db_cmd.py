"""``qts db``: schema, runs and copies of a server, its refusals in one line, and the commands of its guide."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from qts.db.datadir import DATABASE_NAME
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.cli.command_line import own_directory, run_qts
from tests.servers import sql
from tests.servers.fixtures import Database
from tests.servers.postgres import Postgres
from tests.servers.process import free_port
from tests.sim.recordings import walk, write
from tests.sim.sessions import spike_plan

__all__ = ["own_directory"]
ROOT = Path(__file__).parents[2]
RUN = "SELECT run_id FROM qts.runs"
GUIDE = ROOT / "docs" / "guides" / "postgres.md"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with fills and transfers, at its end."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run_session(spike_plan(directory), progress=lambda share, moment: None, stop=StopFlag())
    return directory


@pytest.fixture
def url(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty database, which the environment names too."""
    monkeypatch.setenv("QTS_DB_URL", database.url)
    return database.url


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_goes_to_the_server_and_comes_back_as_a_run_that_commands_read(
    url: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a database with the schema and a run that was imported
    code, out, _ = run_qts(capsys, "db", "status")
    assert (code, "missing" in out) == (0, False)
    assert re.search(r"^schema +there is none yet; qts db migrate makes it$", out, re.M)
    code, out, _ = run_qts(capsys, "db", "migrate")
    assert (code, out.splitlines()[0].split()[0]) == (0, "migrate")
    assert re.search(r"^applied +0001_book\.sql$", out, re.M)
    assert re.search(r"^skipped +0004_tick_hypertable\.sql$", out, re.M)
    code, out, _ = run_qts(capsys, "db", "import", str(run))
    assert (code, out.startswith(f"{run}: run ")) == (0, True)
    code, out, _ = run_qts(capsys, "db", "import", str(run))
    assert (code, "is there already" in out) == (0, True)

    # When it is compared, Then nothing differs
    code, out, _ = run_qts(capsys, "db", "verify", "--data-dir", str(run))
    assert (code, out.splitlines()[-1]) == (0, "result every row that was compared is the same on both sides")
    code, out, _ = run_qts(capsys, "db", "status", "--data-dir", str(run), "--json")
    status = json.loads(out)
    (there,) = status["runs"]
    assert (there["command"], there["finished"], there["is_whole"]) == ("demo", True, True)
    assert (status["data_dir"]["batches"], status["schema"]["missing"]) == (0, [])

    # When it is exported, Then its commands show what those of the run show, and the book adds up
    copied = tmp_path / "copied"
    code, out, _ = run_qts(capsys, "db", "export", there["run_id"][:7], "--data-dir", str(copied))
    assert (code, out.splitlines()[1]) == (
        0,
        "it has no checkpoint, no log and no charts, so the run cannot be resumed there",
    )
    for listing in ("orders", "trades", "positions"):
        shown = [run_qts(capsys, listing, "--csv", "--data-dir", str(place))[1] for place in (run, copied)]
        assert shown[0] == shown[1] != "", listing
    for place in (run, copied):
        assert run_qts(capsys, "ledger", "verify", "--json", "--data-dir", str(place))[0] == 0
    shown = [run_qts(capsys, "ledger", "show", "--json", "--data-dir", str(place))[1] for place in (run, copied)]
    assert json.loads(shown[0]) == json.loads(shown[1])
    assert run_qts(capsys, "status", "--data-dir", str(copied))[0] == 0
    assert run_qts(capsys, "db", "verify", "--data-dir", str(copied))[0] == 0


def test_a_schema_that_lacks_a_step_is_shown_with_what_adds_it(
    database: Database, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_qts(capsys, "db", "migrate")
    database.execute(
        "DROP VIEW qts.fills, qts.order_states, qts.account_values; "
        "DELETE FROM qts.schema_migrations WHERE name = '0005_views.sql'"
    )
    _, out, _ = run_qts(capsys, "db", "status")
    assert re.search(r"^missing +0005_views\.sql; qts db migrate adds what is missing$", out, re.M)


def test_a_difference_is_named_with_both_values_and_the_exit_code_says_so(
    database: Database, url: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_qts(capsys, "db", "migrate")
    run_qts(capsys, "db", "import", str(run))
    database.execute(
        "UPDATE qts.t_ledger SET fee = fee + 1 WHERE id = 1; DELETE FROM qts.equity_curve WHERE id = 1"
    )
    code, out, _ = run_qts(capsys, "db", "verify", "--data-dir", str(run))
    assert code == 4
    assert re.search(
        r"^result 2 differences, the first: t_ledger, row 1, fee: \S+ here, \S+ on the server$", out, re.M
    )
    assert "       equity_curve, row 1 is not on the server" in out.splitlines()
    code, out, _ = run_qts(capsys, "db", "verify", "--json", "--data-dir", str(run))
    told = json.loads(out)
    assert (code, told["equal"], told["count"]) == (4, False, 2)
    assert told["differences"][0]["column"] == "fee"


def test_what_cannot_be_used_is_refused_in_one_line_and_nothing_is_written(
    database: Database, url: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = f"postgresql://postgres@127.0.0.1:{free_port()}/qts"
    secret = url.replace("postgres@", "postgres:s3cret@")
    cases = [
        ("mysql://me@host/qts", "its scheme is 'mysql'; allowed are postgresql://user@host:port/database"),
        (gone, "start the server there, or give the URL of one that runs with --db or QTS_DB_URL"),
        (secret, "the database URL has a password, which other users of this machine could read"),
        (re.sub(r"/[^/]*$", "/no_such_db", url), '"no_such_db" does not exist'),
        ("sqlite://copies", "names no absolute path of a file"),
        (url, "the database has no schema of QTS; run qts db migrate on it first"),
    ]
    for given, words in cases:
        for command in (["verify", "--data-dir", str(run)], ["import", str(run)], ["backup", "b.bak"]):
            if given.startswith("sqlite") and command[0] == "backup":
                continue
            code, out, err = run_qts(capsys, "db", *command, "--db", given)
            assert (code, out, err.count("\n")) == (2, "", 1), (given, command, err)
            assert words in err, (given, command)
            assert "s3cret" not in err
    assert list(tmp_path.glob("*.bak")) == []
    assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'qts'") == 0


def test_a_schema_of_something_else_and_one_that_drifted_are_refused_by_migrate_and_status(
    database: Database, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database.execute("CREATE SCHEMA qts; CREATE TABLE qts.theirs (x integer)")
    for command in ("migrate", "status"):
        code, _, err = run_qts(capsys, "db", command)
        assert (code, err.count("\n"), "is of something else (it holds theirs)" in err) == (2, 1, True)
    database.execute("DROP SCHEMA qts CASCADE")
    run_qts(capsys, "db", "migrate")
    database.execute("ALTER TABLE qts.orders ADD COLUMN extra text")
    for command in ("migrate", "status"):
        code, _, err = run_qts(capsys, "db", command)
        assert (code, "column orders.extra is not ours. Nothing was changed" in err) == (2, True)


def test_a_wrong_password_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Postgres("15", auth="scram-sha-256", password="right-one") as server:
        monkeypatch.setenv("QTS_DB_URL", server.url())
        monkeypatch.setenv("QTS_DB_PASSWORD", "wr0ng-one")
        code, out, err = run_qts(capsys, "db", "migrate")
        assert (code, err.count("\n")) == (2, 1)
        assert "password authentication failed" in err
        assert "wr0ng-one" not in out + err
        monkeypatch.delenv("QTS_DB_PASSWORD")
        file = tmp_path / "password"
        file.write_text("right-one\n")
        file.chmod(0o600)
        monkeypatch.setenv("QTS_DB_PASSWORD_FILE", str(file))
        assert run_qts(capsys, "db", "migrate")[0] == 0
        # pg_dump is given the same password
        assert run_qts(capsys, "db", "backup", "b.bak")[0] == 0


def test_a_file_takes_the_place_of_a_server(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QTS_DB_URL", f"sqlite://{tmp_path}/copies.sqlite")
    assert run_qts(capsys, "db", "verify", "--data-dir", str(run))[0] == 2
    for command in (["migrate"], ["import", str(run)], ["verify", "--data-dir", str(run)], ["status"]):
        assert run_qts(capsys, "db", *command)[0] == 0, command
    code, _, err = run_qts(capsys, "db", "backup", "b.bak")
    assert (code, "save it and put it back by copying it" in err) == (2, True)
    with closing(sqlite3.connect(tmp_path / "copies.sqlite")) as copies:
        assert copies.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_no_database_named_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QTS_DB_URL", raising=False)
    code, _, err = run_qts(capsys, "db", "status")
    assert (code, "no database is named: give --db postgresql://user@host/database, or set QTS_DB_URL" in err) == (
        2,
        True,
    )


# The guide and its compose file


def test_the_commands_of_the_guide_work_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a server without roles, and the recorded file that the guide names
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    write(tmp_path / "trades.csv", walk(200, days=1))
    with Postgres("15") as server:
        sql.execute(server.url(), "CREATE DATABASE qts TEMPLATE template0")
        sql.execute(server.url(), "CREATE DATABASE qts_restored TEMPLATE template0")
        monkeypatch.setenv("QTS_DB_URL", server.url("qts"))
        # When its blocks are run in their order, Then each command ends with 0
        for language, text in blocks:
            if language == "sql":
                sql.execute(server.url("qts"), text)
            for line in text.splitlines():
                words = shlex.split(line)
                if (
                    words[:1] == ["qts"] and "capture.gz" not in words and "--symbol" not in words
                ):  # a file of yours
                    there = re.sub(r"127\.0\.0\.1:5432", f"127.0.0.1:{server.port}", line)
                    run_id = (
                        sql.query(server.url("qts"), "SELECT run_id FROM qts.runs")[0][0]
                        if "8f748a" in line
                        else ""
                    )
                    argv = [run_id if word == "8f748a" else word for word in shlex.split(there)[1:]]
                    assert run_qts(capsys, *argv)[0] == 0, line
        assert sql.query(server.url("qts_restored"), "SELECT count(*) FROM qts.runs")[0][0] == 1
    assert (tmp_path / "qts-data" / "copied" / DATABASE_NAME).exists()


def test_the_compose_file_opens_the_server_to_this_machine_alone_and_holds_no_password() -> None:
    path = ROOT / "examples" / "postgres" / "compose.yaml"
    (server,) = yaml.safe_load(path.read_text("utf-8"))["services"].values()
    assert [port.split(":")[0] for port in server["ports"]] == ["127.0.0.1"]
    assert server["environment"]["POSTGRES_PASSWORD_FILE"].startswith("/run/secrets/")
    assert "POSTGRES_PASSWORD" not in server["environment"]
    assert server["image"].endswith(":-postgres:18}")
    assert "examples/postgres/compose.yaml" in GUIDE.read_text("utf-8")
