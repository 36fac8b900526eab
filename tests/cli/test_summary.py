"""The summary for people says what matters to the kind of session it is about."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.cli.console import Screen
from qts.cli.main import main
from qts.cli.summary import print_summary
from qts.runtime.session.result import ResultValues, SessionResult
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import demo_plan
from tests.sim.recordings import walk, write


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The result of a short replay."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(write(tmp_path / "tape.csv", walk(40, days=1))), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def told(values: dict[str, Any], *, width: int = 160, verbose: bool = False) -> str:
    text = StringIO()
    print_summary(
        Screen(width=width, file=text),
        SessionResult(msgspec.convert(values, ResultValues, str_keys=True), Path("somewhere")),
        verbose=verbose,
    )
    return text.getvalue()


@pytest.mark.parametrize(("command", "is_shown"), [("replay", False), ("demo", False), ("run", True)])
def test_only_where_time_is_real_a_handler_that_overruns_is_worth_a_warning(
    values: dict[str, Any], command: str, is_shown: bool
) -> None:
    # Given a handler that was on the loop longer than allowed, twice
    values["command"] = command
    values["latency_overstays"] = {"execution reports": {"count": 2, "longest_us": 1234.5}}
    # then a paper session warns of it; on the virtual clock nothing waited
    warning = "slow handler: execution reports, 2 times over its limit, at most 1,234 µs"
    assert (warning in told(values)) is is_shown


def test_transitions_are_timed_by_the_market_and_their_codes_are_written_out(values: dict[str, Any]) -> None:
    moved = {"date": "2026-01-23", "time": "09:00", "from": "DEFENSIVE", "to": "BALANCED", "actor": "governor"}
    values["transitions"] = [moved | {"reason": "lockdown_released"}]
    out = " ".join(told(values).split())
    assert "time (KST) from to why" in out
    assert "2026-01-23 09:00 DEFENSIVE BALANCED the lockdown was released" in out


def test_a_limit_that_the_command_sets_itself_is_said(values: dict[str, Any]) -> None:
    # Given the demo, which trades one symbol and therefore allows it 60 % of equity
    plan = demo_plan(Options())
    values["settings_of_the_command"] = dict(plan.overrides_for(plan.open_feed()))

    assert "set by this command: risk.symbol_weight_limit = 0.60" in told(values)


@pytest.mark.parametrize("in_doubt", [True, False])
def test_a_symbol_whose_prices_cannot_be_is_named_while_that_is_so(values: dict[str, Any], in_doubt: bool) -> None:
    values["doubtful_prices"] = {"005930": {"in_doubt": in_doubt}}

    assert ("IN DOUBT: impossible prices of 005930" in told(values)) is in_doubt


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_labels_fold_and_amounts_and_names_are_never_cut(values: dict[str, Any], width: int) -> None:
    values["equity_end"] = "123456789012345"
    values["pools"]["SCALP"]["total"] = "123456789012345"
    values["refusals"] = {"NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE": 1_313}

    text = told(values, width=width)

    assert text.count("123,456,789,012,345") == 2
    assert "1,313" in text
    assert "BALANCED, safety NORMAL" in text
    assert "…" not in text.split("\n", 1)[1], "only the line above the tables may be shortened"


def test_in_80_columns_every_line_of_a_usual_summary_fits(values: dict[str, Any]) -> None:
    values["refusals"] = {"NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE": 1_313}

    assert max(map(len, told(values, width=80).splitlines())) <= 80


def test_what_held_and_the_limits_are_told_when_asked_for(values: dict[str, Any]) -> None:
    assert "Invariants" not in told(values)
    assert "limits before" not in told(values)

    assert "Invariants: " in told(values, verbose=True)
    assert "limits before the state's multiplier: exposure_limit" in told(values, verbose=True)


def test_an_invariant_that_broke_is_told_unasked(values: dict[str, Any]) -> None:
    values["invariants"]["inv04"] = {"ok": False, "checks": 3, "last": None, "detail": "off by one"}

    assert "BREACHED inv04: off by one" in told(values)


def test_orders_that_ended_without_a_fill_stand_beside_the_refusals(values: dict[str, Any]) -> None:
    values["orders_unfilled"] = {"CANCELLED: expired at the close": 12}

    assert "CANCELLED: expired at the close" in told(values)


def test_targets_and_cancels_that_changed_nothing_are_told_where_there_were_any(values: dict[str, Any]) -> None:
    assert "Signals that needed no order" not in told(values)

    values |= {"targets_reached": 1_234, "cancels_of_nothing": 5}

    lines = [" ".join(line.split()) for line in told(values).splitlines()]
    assert "target already reached 1,234" in lines
    assert "cancel that met no order 5" in lines


def test_the_number_of_samples_stands_beside_the_percentiles(values: dict[str, Any]) -> None:
    # Given a replay of 40 rows, of which the rows 1, 17 and 33 were measured
    assert values["latency_us_by_priority"]["P1"]["samples"] == 3
    # Then the table of waits says so; a result of an earlier version measured every event it handled
    values["latency_us_by_priority"]["P1"] = {"samples": 3, "p50": 1.25, "p99": 2.5, "p999": 2.5, "max": 2.5}
    assert "P1 3 1.2 2.5 2.5" in " ".join(told(values).split())
    del values["latency_us_by_priority"]["P1"]["samples"]
    assert f"P1 {values['queues']['P1']['handled']} 1.2 2.5 2.5" in " ".join(told(values).split())


def test_a_backtest_shows_its_queues_only_when_asked(values: dict[str, Any]) -> None:
    # Given the same session under two commands
    assert "Accept to handler start" in told(values)
    # When it is a backtest, then how long events waited is told with --verbose alone
    values["command"] = "backtest"
    assert "Accept to handler start" not in told(values)
    assert "priority" not in told(values)
    assert "Accept to handler start" in told(values, verbose=True)


def test_without_rules_their_rows_are_left_out_unless_they_say_something(values: dict[str, Any]) -> None:
    # Given an account without states and limits
    assert "exits forced by rule" in told(values)
    values["profile"] = "plain"
    assert "exits forced by rule" not in told(values)
    assert "safety at the end" not in told(values)
    # When something forced an exit, or the account may not trade any more, then it is said
    values |= {"forced_exits": 1, "safety_state": "LOCKDOWN"}
    assert "exits forced by rule" in told(values)
    assert "LOCKDOWN" in told(values)


def test_money_that_came_in_is_told_and_no_result(values: dict[str, Any]) -> None:
    # Given a session that ended with 500,000 won more than at its start, all of them paid in
    values["equity_end"] = str(int(values["equity_start"]) + 500_000)
    assert "deposits" not in told(values)
    values["bookings"] = {
        "rows": 3,
        "deposits": "600000",
        "withdrawals": "100000",
        "adjustments": "0",
        "external_cash": "0",
        "external_positions": {"005930": "4"},
    }
    # Then its result is nothing, and what is not ours is named
    lines = [" ".join(line.split()) for line in told(values).splitlines()]
    assert any(line.startswith("deposits, less withdrawals") and "500,000" in line for line in lines)
    assert any(line.startswith("result") and "0 (+0.00%)" in line for line in lines)
    assert any(line.startswith("held at the broker, not ours") and "4 005930" in line for line in lines)
