"""Trades of a user's file reach the simulated exchange: alone, in one row with a quote, and between quotes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main

from .recordings import FIRST_DAY, write

BUYER = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side


class Buyer:
    name, pool, symbols = "buyer", Pool.SWING, ()
    done = False

    def on_start(self, ctx):
        pass

    def on_quote(self, ctx, quote):
        if self.done:
            return ()
        self.done = True
        return (Intent(quote.symbol, Side.BUY, 1.0, qty=10, limit={limit}, reason="once"),)

    def on_bar(self, ctx, bar):
        return ()

    def on_fill(self, ctx, fill):
        pass
"""
OPEN = FIRST_DAY.replace(hour=9, minute=10)


def replayed(
    folder: Path, capsys: pytest.CaptureFixture[str], cells: list[str], limit: int | None = 150_000
) -> dict[str, Any]:
    """What a replay of rows five seconds apart came to, with one order to buy 10 at the first of them."""
    folder.mkdir(exist_ok=True)
    stamps = [(OPEN + timedelta(seconds=5 * at)).isoformat() for at in range(len(cells))]
    tape = write(folder / "tape.csv", [f"{stamp},005930,{row}" for stamp, row in zip(stamps, cells, strict=True)])
    (folder / "buyer.py").write_text(BUYER.format(limit=limit), encoding="utf-8")
    strategy = f"{folder / 'buyer.py'}:Buyer"
    code = main(["replay", str(tape), "--strategy", strategy, "--json", "--data-dir", str(folder / "run")])
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (code, values["rows"], values["rows_refused"], values["orders"]) == (0, len(cells), {}, 1)
    assert all(one["ok"] is not False for one in values["invariants"].values())
    return values


@pytest.mark.parametrize("limit", [150_000, None])
def test_a_file_of_trades_alone_fills_a_tenth_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: int | None
) -> None:
    """Given 500 shares a trade, the tenth of one is more than the 10 ordered."""
    values = replayed(tmp_path, capsys, [",,,,149000,500"] * 20, limit)
    assert values["fills"] == 1


def test_a_file_of_small_trades_fills_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Given 40 shares a trade: 4, 4 and 2 of the 10 ordered."""
    values = replayed(tmp_path, capsys, [",,,,149000,40"] * 20)
    assert values["fills"] == 3


@pytest.mark.parametrize("last", [149_000, 150_000])
def test_a_limit_that_rests_at_the_bid_is_filled_by_the_trades_of_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int
) -> None:
    """Given 300 before us at 150,000: trades beyond it fill at once, those at it after the 300."""
    values = replayed(tmp_path, capsys, [f"150000,150100,300,300,{last},500"] * 5)
    assert values["fills"] == 1


def test_trades_between_quotes_fill_what_rests_and_leave_the_quote_standing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given 300 before us and trades of 103 at our price: 94 are left before us after two, so the third gives 9."""
    quote, trade = "150000,150100,300,300,,", ",,,,150000,103"
    assert replayed(tmp_path, capsys, [quote, quote, trade, trade])["fills"] == 0
    assert replayed(tmp_path / "more", capsys, [quote, quote, trade, trade, trade])["fills"] == 1


def test_a_last_price_without_a_size_fills_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replayed(tmp_path, capsys, ["150000,150100,300,300,149000,"] * 5)["fills"] == 0
