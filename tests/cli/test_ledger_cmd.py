"""``qts ledger``: the entries of a run, and the check that names the first difference."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from qts.db.datadir import DATABASE_NAME
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from tests.cli.command_line import own_directory, run_qts
from tests.sim.sessions import spike_plan

__all__ = ["own_directory"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with fills and transfers, at its end."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run_session(spike_plan(directory), progress=lambda share, moment: None, stop=StopFlag())
    return directory


def test_a_run_verifies_and_says_how_much_was_compared(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_qts(capsys, "ledger", "verify", "--data-dir", str(finished))
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "result every entry adds up to 0, and the sums of all are what is stored"
    code, out, _ = run_qts(capsys, "ledger", "verify", "--json", "--data-dir", str(finished))
    told = json.loads(out)
    assert (code, told["differences"]) == (0, [])
    assert told["entries"] < told["postings"] < told["comparisons"] * 3


def test_the_balance_of_an_account_ends_at_what_the_pool_holds(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_qts(
        capsys, "ledger", "show", "--account", "cash:SCALP", "--csv", "--data-dir", str(finished)
    )
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows[0]["kind"] == "OPENING"
    with sqlite3.connect(f"file:{finished / DATABASE_NAME}?mode=ro", uri=True) as store:
        ((cash,),) = store.execute("SELECT cash FROM capital_pools WHERE pool = 'SCALP'")
    assert Decimal(rows[-1]["balance"]) == Decimal(cash)


def test_an_order_is_shown_with_all_its_postings_each_adding_up(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run_qts(capsys, "trades", "--json", "--data-dir", str(finished))
    order_id = json.loads(out)["trades"][0]["order_id"]
    code, out, _ = run_qts(capsys, "ledger", "show", "--order", order_id, "--json", "--data-dir", str(finished))
    entries = json.loads(out)["entries"]
    assert code == 0
    assert entries
    for entry in entries:
        assert entry["reference"] == order_id
        assert sum(Decimal(one["amount"]) for one in entry["postings"]) == 0


def test_a_screen_shows_the_newest_and_says_how_many_there_are(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run_qts(capsys, "ledger", "show", "--last", "2", "--data-dir", str(finished))
    assert code == 0
    assert out.splitlines()[-1].startswith("the newest 2 of ")
    assert "booked (KST)" in out.splitlines()[1]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["--account", "cash:NONE"],
            "no account 'cash:NONE'; it has cash:PORTFOLIO, cash:SCALP, cash:SWING",
        ),
        (
            ["--account", "gold"],
            "no account 'gold'; it has capital, cash, ",
        ),
        (
            ["--order", "o-none"],
            "no entry of 'o-none'; qts orders --last 0 shows the orders of the run",
        ),
        (["--day", "03/04/2024"], "'03/04/2024' is not a date such as 2014-01-31"),
        (["--last", "-1"], "'-1' is not a whole number, 0 or above"),
    ],
)
def test_what_is_not_in_the_book_is_refused_with_what_is(
    finished: Path, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_qts(capsys, "ledger", "show", *argv, "--data-dir", str(finished))
    assert code == 2
    assert said in err


def test_a_kind_of_accounts_of_which_there_is_none_has_no_entries(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_qts(capsys, "ledger", "show", "--account", "external", "--data-dir", str(finished))
    assert (code, err, out.splitlines()[-1]) == (0, "", "no entries")


def test_a_run_that_stored_nothing_has_no_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_qts(capsys, "ledger", "verify", "--data-dir", str(tmp_path))
    assert (code, f"{tmp_path} is not the directory of a run" in err) == (2, True)
    # And a path that is no directory has none
    code, _, err = run_qts(capsys, "ledger", "show", "--data-dir", __file__)
    assert (code, f"{__file__} is no directory" in err) == (2, True)


def test_without_a_checkpoint_the_opening_cash_is_that_of_a_sample_before_every_row_or_unknown(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a run without its checkpoint, as one that was exported from a server
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    with sqlite3.connect(run / DATABASE_NAME) as store:
        store.execute("DELETE FROM checkpoint")
    code, out, _ = run_qts(capsys, "ledger", "verify", "--data-dir", str(run))
    assert (code, out.splitlines()[-1]) == (
        0,
        "result every entry adds up to 0, and the sums of all are what is stored",
    )

    # When its samples begin behind its first fill, Then what the pools began with is unknown
    with sqlite3.connect(run / DATABASE_NAME) as store:
        store.execute("DELETE FROM equity_curve WHERE timestamp < (SELECT min(timestamp) FROM t_ledger)")
    code, _, err = run_qts(capsys, "ledger", "verify", "--data-dir", str(run))
    assert (code, "has stored no book yet" in err) == (2, True)


def test_a_changed_pool_is_named_and_the_exit_code_says_so(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a copy of the run in which a pool holds a won more than was booked
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    with sqlite3.connect(copy / DATABASE_NAME) as store:
        ((cash,),) = store.execute("SELECT cash FROM capital_pools WHERE pool = 'SCALP'")
        store.execute("UPDATE capital_pools SET cash = ? WHERE pool = 'SCALP'", (str(Decimal(cash) + 1),))
    store.close()
    # When its book is verified
    code, out, _ = run_qts(capsys, "ledger", "verify", "--data-dir", str(copy))
    # Then the pool is the first difference, with both values
    assert code == 4
    assert f"the first: cash of SCALP: {Decimal(cash) + 1} is stored, the entries give {cash}" in out
