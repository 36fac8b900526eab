"""``qts backtest`` as a user meets it: what it prints, its exit codes, and one line for each kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts
from tests.sim.daily_bars import trading_days, write_bars
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
STRATEGY = f"{Path(__file__).parents[1] / 'sim' / 'daily_bars.py'}:TenShares"
DAYS = trading_days()[:120]
HEAD = "Date,Open,High,Low,Close,Volume\n"
GOOD = "2024-01-02,10,12,9,11,1000\n2024-01-03,11,13,10,12,1000\n2024-01-04,12,14,11,13,1000\n"


def test_the_summary_names_profile_parameters_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    bars = write_bars(Path("005930.csv"), DAYS)
    code, out, _ = run_qts(
        capsys, "backtest", bars, "--strategy", STRATEGY, "--param", "fast=5", "--param", "slow=20",
        "--benchmark", "hold",
    )  # fmt: skip
    assert code == 0
    for said in (
        "profile plain: all cash in one pool",
        "parameters of TenShares: fast = 5, slow = 20",
        "Sharpe",
        "buy and hold",
        "of equity was idle in cash",  # ten shares of an account of a hundred million
    ):
        assert said in out, said


def test_json_has_profile_parameters_and_figures_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    bars = write_bars(Path("005930.csv"), DAYS[:25])
    code, out, _ = run_qts(capsys, "backtest", bars, "--strategy", STRATEGY, "--param", "slow=20", "--json")
    assert code == 0
    values = json.loads(out)
    assert values["profile"] == "plain"
    assert values["strategies"][0]["params"] == {"fast": "20", "slow": "20"}
    # 25 sessions are too few for a rate a year: no number, but the reason
    assert values["performance"]["cagr"]["value"] is None
    assert values["performance"]["cagr"]["why"]["code"] == "figure-too-few-days"


def test_rules_trade_under_pools_and_states(capsys: pytest.CaptureFixture[str]) -> None:
    bars = write_bars(Path("005930.csv"), DAYS)
    code, out, _ = run_qts(capsys, "backtest", bars, "--strategy", STRATEGY, "--rules", "--json")
    assert (code, json.loads(out)["profile"]) == (0, "rules")


def test_a_replay_and_a_backtest_trade_alike_under_the_plain_profile(capsys: pytest.CaptureFixture[str]) -> None:
    bars = write_bars(Path("005930.csv"), DAYS)
    args = (bars, "--strategy", STRATEGY, "--param", "fast=5", "--param", "slow=20", "--json")
    tested = json.loads(run_qts(capsys, "backtest", *args)[1])
    replayed = json.loads(run_qts(capsys, "replay", *args, "--plain")[1])
    for key in ("equity_end", "orders", "fills", "positions", "cash"):
        assert tested[key] == replayed[key], key
    assert tested["fills"] > 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2024-01-02,10,12,9,11,1000\n2024-01-02,11,13,10,12,1000\n2024-01-03,12,14,11,13,1000\n", "line 3"),
        ("2024-01-03,10,12,9,11,1000\n2024-01-02,11,13,10,12,1000\n2024-01-04,12,14,11,13,1000\n", "line 3"),
        ("03/04/2024,10,12,9,11,1000\n04/04/2024,11,13,10,12,1000\n", "--date-format"),
        ("2024-01-02,10,9,12,11,1000\n" + GOOD.partition("\n")[2], "high"),
        (
            "2024-01-02,10,12,9,11,1000\n2024-01-03 10:00,11,13,10,12,1000\n2024-01-03 10:01,12,14,11,13,1000\n"
            "2024-01-04,11,13,10,12,1000\n",
            "interval",
        ),
    ],
    ids=["doubled", "out of order", "ambiguous date", "high below low", "two intervals"],
)
def test_a_bad_file_is_refused_in_one_line_that_says_where(
    rows: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("AAA.csv").write_text(HEAD + rows)
    code, out, err = run_qts(capsys, "backtest", "AAA.csv", "--strategy", STRATEGY)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert "AAA.csv" in err
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a backtest needs a strategy: name it by --strategy FILE.py:Class"),
        (("--strategy", STRATEGY, "--param", "fats=5"), "TenShares has no parameter 'fats'; it has fast, slow"),
        (("--strategy", STRATEGY, "--param", "fast=1"), "must be a whole number from 2 to 100, got 1"),
        (("--strategy", STRATEGY, "--param", "fast=many"), "must be a whole number from 2 to 100, got 'many'"),
        (("--strategy", STRATEGY, "--param", "fast"), "--param wants NAME=VALUE"),
        (("--strategy", STRATEGY, "--cash", "much"), "--cash much: must be a number such as"),
        (("--strategy", STRATEGY, "--fees", "5%"), "--fees 5%: must be a number such as 0.0015"),
        (("--strategy", STRATEGY, "--from", "2030-01-01"), "has no value from 2030-01-01 to the end"),
        (("--strategy", STRATEGY, "--from", "03/04/2024"), "is not a date such as 2014-01-31"),
        (("--strategy", STRATEGY, "--rules", "--plain"), "not allowed with argument"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("AAA.csv").write_text(HEAD + GOOD)
    code, out, err = run_qts(capsys, "backtest", "AAA.csv", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_an_input_that_changes_while_it_is_tested_is_told_and_the_figures_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a recording of quotes, which a strategy appends to while it is replayed
    tape = write(Path("tape.csv"), walk(300))
    Path("appending.py").write_text(
        "from pathlib import Path\nfrom qts.kit import Strategy\n"
        "class Appending(Strategy):\n"
        "    def on_quote(self, ctx, quote):\n"
        "        path = Path('tape.csv')\n"
        "        if not hasattr(self, 'done'):\n"
        "            self.done = True\n"
        "            path.write_text(path.read_text() + path.read_text().splitlines()[-1] + '\\n')\n"
        "        return ()\n"
    )
    # When it is tested against holding
    code, out, err = run_qts(
        capsys, "backtest", tape, "--strategy", "appending.py:Appending", "--benchmark", "hold", "--json"
    )
    # Then the benchmark is missing, which is said, and everything else is there
    assert code == 0
    assert "no charts of prices and no benchmark: " in err
    assert "has changed since the session read it" in err
    assert json.loads(out)["performance"]["versus"] is None
