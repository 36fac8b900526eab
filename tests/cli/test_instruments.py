"""``instruments.yaml`` decides by whose rules a recorded symbol trades, and an account knows one currency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main
from tests.sim.recordings import walk, write

SESSION = ("replay", "tape.csv", "--json", "--data-dir", "run")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One day of 600 quotes of 005930, on which the two-EMA example buys and sells."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tape.csv", walk(600))


def named(text: str) -> None:
    Path("config").mkdir()
    Path("config/instruments.yaml").write_text(f"symbols:\n  '005930':\n{text}", encoding="utf-8")


def result(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main([*SESSION, *more]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert values["fills"] > 0
    return values


def test_a_share_pays_the_sell_tax_and_a_fund_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert int(result(capsys)["taxes"]) > 0
    named("    market: KRX-ETF\n")
    assert result(capsys, "--data-dir", "fund")["taxes"] == "0"


def test_the_account_of_a_symbol_of_another_market_is_in_its_currency(capsys: pytest.CaptureFixture[str]) -> None:
    named(
        "    market: OPEN-24H\n    currency: USD\n    quantum: 0.01\n    tick: 100\n"
        "    fee_rate: 0.001\n    tax_rate: 0\n"
    )
    # Given no currency, the account is in the symbol's, with the opening capital of that currency
    assert main([*SESSION, "--data-dir", "dollars"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["currency"], values["equity_start"]) == ("USD", "100000")
    # Given another one, it is refused; and given this one, it is traded
    assert main([*SESSION, "--set", "runtime.currency=EUR"]) == 2
    assert "005930 is paid in USD, the account is in EUR: set runtime.currency to USD" in capsys.readouterr().err
    values = result(capsys, "--set", "runtime.currency=USD", "--set", "runtime.equity_start=100000000")
    assert (values["currency"], values["taxes"]) == ("USD", "0")


@pytest.mark.parametrize("command", [("replay", "tape.csv"), ("demo",)])
def test_an_account_in_another_currency_than_its_market_is_refused(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--set", "runtime.currency=EUR", "--data-dir", "run"]) == 2
    assert "005930 is paid in KRW, the account is in EUR" in capsys.readouterr().err
    assert not Path("run").exists()
