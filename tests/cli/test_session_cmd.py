"""``qts demo``, ``replay`` and ``run`` as a user meets them: exit codes, JSON, bad input."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts, tape
from tests.sim.recordings import FIRST_DAY, row, walk, write

__all__ = ["own_directory", "tape"]
KEYS = {
    "events_by_priority",
    "queues",
    "p0_latency_us",
    "lost_p0",
    "orders",
    "fills",
    "ledger_rows",
    "equity_start",
    "equity_end",
    "pools",
    "transitions",
    "refusals",
    "rows_refused",
    "invariants",
    "wall_s",
    "events_per_s",
}


# -- what comes out ----------------------------------------------------------------------------------------------


def test_json_is_one_object_with_every_promised_key(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run")

    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1
    values = json.loads(out)
    assert set(values) >= KEYS
    assert set(values["queues"]) == {"P0", "P1", "P2", "P3"}
    for counts in values["queues"].values():
        assert set(counts) == {"accepted", "handled", "dropped", "collapsed", "sampled", "rejected"}
    assert set(values["p0_latency_us"]) == {"samples", "p50", "p99", "p999", "max"}
    assert set(values["pools"]) == {"SCALP", "SWING", "PORTFOLIO"}
    for pool in values["pools"].values():
        assert {"total", "realized_pnl"} <= set(pool)
    assert list(values["invariants"]) == [f"inv{number:02d}" for number in range(1, 26)]
    for checked in values["invariants"].values():
        assert {"ok", "checks", "last"} <= set(checked)
        assert (checked["ok"] is None) == (checked["checks"] == 0)
        assert checked["ok"] is not False


def test_the_numbers_are_of_the_promised_kinds(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run")[1])

    for name in ("lost_p0", "orders", "fills", "ledger_rows", "events_per_s"):
        assert type(values[name]) is int, name
    assert isinstance(values["wall_s"], float)
    assert values["equity_start"] == "100000000"
    assert isinstance(values["equity_end"], str)
    assert values["events_by_priority"]["P1"] == 600
    assert values["lost_p0"] == 0
    assert values["fills"] == values["ledger_rows"] > 0


def test_people_get_a_summary_with_the_same_numbers(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "a")[1])

    code, out, _ = run_qts(capsys, "replay", str(tape), "--data-dir", "b", "--verbose")

    assert code == 0
    assert re.search(rf"orders sent +{values['orders']:,} +\n +fills +{values['fills']:,} +\n", out)
    assert "Invariants:" in out
    assert "not checked in this session" in out
    assert "symbol_weight_limit 0.15" in out, "the gate's values are printed in every report"


def test_the_summary_keeps_a_title_on_one_line_and_knows_no_wait_where_nothing_waited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "two.csv"
    prices.write_text("ts,symbol,bid,ask\n2026-01-23T09:01:00+09:00,005930,151900,152000\n2026-01-23,005930,1,2\n")

    _, out, _ = run_qts(capsys, "replay", str(prices), "--data-dir", "c")

    assert "Input rows that could not be used" in out
    counts, waits = [line.split() for line in out.splitlines() if line.split()[:1] == ["P0"]]
    assert counts == ["P0", "0", "0", "0", "0"]
    assert waits == ["P0", "0", "–", "–", "–"]


def test_a_symbol_goes_by_the_rules_the_configuration_gives_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "instruments.yaml").write_text("symbols: {'005930': {market: KRX-ETF}}\n")
    prices = tmp_path / "two.csv"
    prices.write_text("ts,symbol,bid,ask\n2014-06-02T09:01:00+09:00,005930,15195,15200\n")
    notes = [
        json.loads(run_qts(capsys, "replay", str(prices), "--json", "--data-dir", where, *words)[1])["notes"]
        for where, words in (("plain", ()), ("own", ("--config", str(tmp_path / "own"))))
    ]

    assert ["ETF" in " ".join(told) for told in notes] == [False, True]


def test_without_a_directory_the_run_gets_one_of_its_own(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(run_qts(capsys, "replay", str(tape), "--json")[1])

    assert Path("qts-data", f"replay-{values['run_id']}", "qts.sqlite").exists()


def test_a_report_is_one_file_that_needs_no_other(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")

    code, out, _ = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", "--report", "out.html")

    assert code == 0
    assert json.loads(out)["report"] == "out.html"
    text = Path("out.html").read_text("utf-8")
    assert "<html" in text
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_a_report_without_its_extra_is_refused_before_the_work(
    tape: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    code, out, err = run_qts(capsys, "replay", str(tape), "--data-dir", "run", "--report", "out.html")

    assert (code, out) == (2, "")
    assert "of qts-runtime: in its source directory run pip install -e '.[report]'" in err
    assert not Path("run").exists()


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")

    for place in (tmp_path, tmp_path / "nowhere" / "out.html"):
        assert "the report cannot go to" in refused(capsys, "replay", str(tape), "--report", str(place))


def test_a_report_may_go_into_the_directory_of_the_run(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")

    code, _, err = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", "--report", "run/out.html")

    assert (code, err) == (0, "")
    assert Path("run", "out.html").exists()


# -- bad options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1, 10**22])
def test_a_seed_the_store_cannot_hold(seed: int, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "replay", str(tape), f"--seed={seed}")

    assert f"--seed {seed}: must be a whole number from -9223372036854775808 to 9223372036854775807" in message


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63)])
def test_the_greatest_and_the_least_seed(seed: int, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", f"--seed={seed}")

    assert (code, json.loads(out)["seed"]) == (0, seed)


@pytest.mark.parametrize("words", [("replay", "tape.csv"), ("state", "show"), ("safety", "show")])
def test_a_data_directory_that_is_a_file(
    words: tuple[str, ...], tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_qts(capsys, *words, "--data-dir", str(tape))

    assert (code, out) == (2, "")
    assert "tape.csv" in err


# -- bad files ---------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The message of a command that ended with 2 and stored nothing."""
    code, out, err = run_qts(capsys, *argv, "--data-dir", "run")
    assert (code, out) == (2, ""), err
    assert not Path("run", "qts.sqlite").exists()
    assert "Traceback" not in err
    return err


def test_costs_that_are_no_share_of_an_amount(capsys: pytest.CaptureFixture[str]) -> None:
    # Given fees in per cent where a share is meant: the message names the option, not a setting behind it
    for given in ("1", "15"):
        err = refused(capsys, "backtest", "a.csv", "--fees", given)
        assert f"--fees {given}: must be a share of an amount, below 1; 0.0015 is 0.15 %" in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere.csv: no such file" in refused(capsys, "replay", "nowhere.csv")


def test_an_empty_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.csv").write_bytes(b"")

    assert "empty.csv: the file is empty" in refused(capsys, "replay", "empty.csv")


def test_a_file_of_no_known_format(capsys: pytest.CaptureFixture[str]) -> None:
    Path("poem.txt").write_text("roses are red\nviolets are blue\n", encoding="utf-8")

    assert "poem.txt" in refused(capsys, "replay", "poem.txt")


def test_a_file_of_another_format_than_said(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "replay", str(tape), "--format", "binance-raw")

    assert "tape.csv, line 1" in message
    assert "binance-raw" in message


def test_a_file_without_a_single_usable_row(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("bad.csv"), [row(FIRST_DAY.replace(hour=10), -5), "x,005930,1,2,3,4,5,6"])

    assert "no usable row" in refused(capsys, "replay", "bad.csv")


def test_a_truncated_gzip_is_used_as_far_as_it_goes_and_said(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress(tape.read_bytes())
    Path("cut.csv.gz").write_bytes(whole[: len(whole) // 2])

    code, out, _ = run_qts(capsys, "replay", "cut.csv.gz", "--json", "--data-dir", "run")

    values = json.loads(out)
    assert code == 0
    assert 0 < values["rows"] < 600
    assert sum(values["rows_refused"].values()) >= 1
    assert any(note.startswith("input: the gzip file ends in the middle") for note in values["notes"])


def test_a_damaged_gzip_is_used_and_the_run_says_that_values_may_be_wrong(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = bytearray(gzip.compress(tape.read_bytes()))
    packed[-5] ^= 1  # the checksum at the end, as a bit flipped anywhere before would make it disagree
    Path("damaged.csv.gz").write_bytes(packed)

    code, out, _ = run_qts(capsys, "replay", "damaged.csv.gz", "--json", "--data-dir", "run")

    values = json.loads(out)
    assert (code, values["rows"], values["rows_refused"]) == (0, 600, {"damaged_gzip": 1})
    (note,) = (note for note in values["notes"] if note.startswith("input: "))
    assert "values before this place may be wrong" in note
    assert note.endswith("(after line 601)")


def test_rows_that_cannot_be_used_are_counted_by_reason_and_never_traded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = walk(400)
    noon = FIRST_DAY.replace(hour=12, second=20).isoformat()  # after the 200th good row
    bad = [
        f"{noon},005930,nan,150100,1,1,150000,1",
        f"{noon},005930,-150000,150100,1,1,150000,1",
        f"{noon},005930,0,150100,1,1,150000,1",
        f"{noon},005930,150000",
        "yesterday,005930,150000,150100,1,1,150000,1",
        f"{FIRST_DAY.replace(year=2020).isoformat()},005930,150000,150100,1,1,150000,1",
        '"',
    ]
    write(Path("clean.csv"), lines)
    write(Path("dirty.csv"), [*lines[:200], *bad, *lines[200:]])

    clean = json.loads(run_qts(capsys, "replay", "clean.csv", "--json", "--data-dir", "clean")[1])
    code, out, _ = run_qts(capsys, "replay", "dirty.csv", "--json", "--data-dir", "dirty")

    dirty = json.loads(out)
    assert code == 0
    assert sum(dirty["rows_refused"].values()) == len(bad)
    assert len(dirty["rows_refused"]) >= 4
    for name in ("rows", "orders", "fills", "equity_end", "refusals"):
        assert dirty[name] == clean[name], name
    refused = dirty["rows_refused_examples"].values()
    shown = [(one["line"], one["value"]) for examples in refused for one in examples]
    assert sorted(line for line, _ in shown) == list(range(202, 209))  # the first line names the columns
    assert (206, "yesterday") in shown


def test_a_paper_session_recomputes_its_whole_book_from_the_start_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 5 s of real time; here more often, to keep the test short."""
    monkeypatch.setattr("qts.runtime.drivers.loop_session._AUDIT_NS", 50_000_000)
    write(Path("tape.csv"), walk(2_160)[:60])  # ten minutes, a quote every ten seconds

    out = run_qts(capsys, "run", "--feed", "tape.csv", "--speed", "300", "--json", "--data-dir", "run")[1]

    invariants = json.loads(out)["invariants"]
    assert invariants["inv25"]["ok"]
    assert invariants["inv25"]["checks"] >= 5  # about two seconds; at the close and at the end alone it would be 2


# -- bad settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("risk.symbol_weight_limit", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("risk.symbol_wait_limit=0.2", "symbol_weight_limit"),
        ("risk.symbol_weight_limit=2", "risk.symbol_weight_limit"),
        ("risk.symbol_weight_limit=nan", "risk.symbol_weight_limit"),
        ("risk.symbol_weight_limit=much", "risk.symbol_weight_limit"),
        ("risk.daily_loss_warning=0.09", "daily_loss"),
    ],
)
def test_a_setting_that_cannot_be_meant(
    setting: str, named: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in refused(capsys, "replay", str(tape), "--set", setting)


def test_a_setting_in_force_is_shown(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("replay", str(tape), "--json", "--data-dir", "run", "--set", "risk.symbol_weight_limit=0.3")

    assert json.loads(run_qts(capsys, *argv)[1])["risk_limits"]["symbol_weight_limit"] == "0.3"


def test_an_unknown_key_in_a_file_is_named_with_its_place(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf").mkdir()
    Path("conf/risk.yaml").write_text("# limits\nsymbol_wait_limit: 0.2\n", encoding="utf-8")

    message = refused(capsys, "replay", str(tape), "--config", "conf")

    assert "risk.yaml" in message
    assert "2" in message
    assert "symbol_wait_limit" in message


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("nowhere.py:Mine", "nowhere.py"),
        ("mine.py", "mine.py"),
        ("mine.py:Missing", "Missing"),
        ("mine.py:NotOne", "NotOne"),
        ("broken.py:Mine", "broken.py"),
    ],
)
def test_a_strategy_that_cannot_be_had(
    spec: str, named: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text("class NotOne:\n    pass\n", encoding="utf-8")
    Path("broken.py").write_text("class Mine(\n", encoding="utf-8")

    assert named in refused(capsys, "replay", str(tape), "--strategy", spec)


@pytest.mark.parametrize(
    "argv",
    [
        ("replay", "tape.csv", "--speed", "0"),
        ("replay", "tape.csv", "--speed", "nan"),
        ("replay", "tape.csv", "--format", "xml"),
        ("replay", "tape.csv", "--seed", "seven"),
        ("replay", "tape.csv", "--data-dir", ""),
        ("replay", "tape.csv", "--config", ""),
        ("run", "--mode", "real"),
        ("demo", "extra"),
        ("dance",),
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_meant(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_qts(capsys, *argv)

    assert (code, out) == (2, "")
    assert "usage:" in err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["demo", "--help"], ["replay", "--help"], ["run", "--help"]):
        code, out, _ = run_qts(capsys, *argv)
        assert code == 0
        assert "usage: qts" in out
    assert run_qts(capsys, "--version")[1].startswith("qts ")
    assert run_qts(capsys)[0] == 2


HOLD = """from qts import Intent, Pool, Side


class Hold:
    name, pool, symbols = "hold", Pool.SCALP, ()

    def __init__(self):
        self.closes = []

    def on_start(self, ctx):
        pass

    def on_quote(self, ctx, quote):
        return ()

    def on_fill(self, ctx, fill):
        pass

    def on_bar(self, ctx, bar):
        self.closes.append(bar.close)
        return [Intent("ABC", Side.BUY, 1.0, qty=10)] if len(self.closes) == 2 else ()
"""


@pytest.mark.parametrize(
    "adjust", [(), ("--adjust", "split"), ("--adjust", "total")], ids=["none", "split", "total"]
)
def test_a_split_and_a_dividend_beside_bars_are_booked_whatever_strategies_see(
    adjust: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given bars of ABC, two for one on 7 June and half a dollar a share on 11 June
    closes = {
        "03": 100,
        "04": 101,
        "05": 102,
        "06": 103,
        "07": 52,
        "10": 53,
        "11": 54,
        "12": 55,
        "13": 56,
        "14": 57,
    }
    bars = [f"2024-06-{day},{close},{close},{close},{close},100000" for day, close in closes.items()]
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "ABC.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *bars]) + "\n")
    actions = "date,symbol,action,value\n2024-06-07,ABC,split,2:1\n2024-06-11,ABC,dividend,0.5\n"
    (tmp_path / "bars" / "actions.csv").write_text(actions)
    (tmp_path / "hold.py").write_text(HOLD)

    # When ten shares are bought at the open of 5 June and held
    strategy = f"{tmp_path / 'hold.py'}:Hold"
    given = ("backtest", str(tmp_path / "bars"), "--strategy", strategy, "--data-dir", str(tmp_path / "run"))
    code, out, _ = run_qts(capsys, *given, *adjust, "--json")

    # Then 10 × 102 and 0.51 are paid, 20 × 0.5 received, and 20 shares are worth 57 each
    assert code == 0
    values = json.loads(out)
    assert values["equity_end"] == "100129.49"
    assert values["corporate_actions"]["dividends"] == "10"
    assert values["positions"] == {"ABC": "20"}
