"""``qts.backtest``: the command's machine from a program, a notebook's loop, and data in memory."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import qts
from qts.errors import ContractError, DataError, InputError
from tests.sim.daily_bars import SYMBOL, TenShares, trading_days, write_bars

DAYS = trading_days()[:300]
FILE = Path(__file__).parents[1] / "sim" / "daily_bars.py"


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write_bars(tmp_path / f"{SYMBOL}.csv", DAYS)


def facts(result: Any) -> tuple[Any, ...]:
    """Return what two equal backtests share; order ids carry the run's."""
    fills = [(row["time"], row["side"], row["qty"], row["price"]) for row in result.fills]
    return result.values.equity_end, fills, len(result.orders), len(result.trades)


def test_class_object_and_file_give_the_same_result(bars: Path) -> None:
    # Given one strategy in its three forms
    by_class = qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20}, fees=0)
    by_object = qts.backtest(TenShares(fast=5, slow=20), bars, fees=0)
    by_file = qts.backtest(f"{FILE}:TenShares", [bars], params={"fast": 5, "slow": 20}, fees=Decimal(0))
    # Then all trade alike, and more than nothing
    assert facts(by_class) == facts(by_object) == facts(by_file)
    assert len(by_class.fills) > 3


def test_the_result_has_figures_rows_and_a_report(bars: Path, tmp_path: Path) -> None:
    result = qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20}, fees="0.001", benchmark="hold")
    # Every fill is a row with exact amounts, and the sum of what they left is the equity at the end
    cash = Decimal(result.values.equity_start)
    for row in result.fills:
        sign = -1 if row["side"] == "BUY" else 1
        cash += sign * row["amount"] - row["fee"] - row["tax"]
    held = sum((1 if row["side"] == "BUY" else -1) * row["qty"] for row in result.fills)
    assert cash + held * DAYS[-1][1].close == Decimal(result.values.equity_end)
    # Round trips are the completed ones; figures and a benchmark are there
    assert len(result.trades) == len(result.fills) // 2 == result.metrics.trips.count
    assert sum(row["result"] for row in result.trades) == result.metrics.trips.result
    assert result.metrics.versus is not None
    # Shown in a notebook it has the table of the summary, the benchmark beside it
    head, *rows = repr(result).splitlines()
    assert head.split("  ")[-1] == "buy and hold"
    assert rows[0].split() == ["equity", "at", "the", "start", "100,000,000", "KRW"]
    (sharpe,) = (row.split() for row in rows if row.startswith("Sharpe"))
    assert len(sharpe) == 3
    assert len({len(row) for row in rows if row.startswith(("CAGR", "Sharpe", "total return"))}) == 1
    # And it writes the report, though its run directory is nowhere
    assert result.directory is None
    assert result.report(tmp_path / "out.html").read_text().startswith("<!doctype html>")


def test_it_runs_where_a_loop_runs(bars: Path) -> None:
    async def notebook() -> Any:
        return qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20})

    inside = asyncio.run(notebook())
    assert facts(inside) == facts(qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20}))


def test_tables_in_memory_are_read_like_their_files(bars: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(bars, parse_dates=["Date"], index_col="Date")
    expected = facts(qts.backtest(TenShares, bars, fees=0))
    assert facts(qts.backtest(TenShares, frame, symbol=SYMBOL, fees=0)) == expected
    assert facts(qts.backtest(TenShares, {SYMBOL: frame}, fees=0)) == expected


def test_a_table_without_a_symbol_trades_under_a_name_of_its_own(bars: Path) -> None:
    # Given a table that writes itself as Polars' do
    class Table:
        columns = ("Date", "Open", "High", "Low", "Close", "Volume")

        def write_csv(self, path: Path) -> None:
            path.write_bytes(bars.read_bytes())

    # When nothing names its symbol, then it has one, and the account is in dollars
    result = qts.backtest(TenShares, Table(), params={"fast": 5, "slow": 20}, cash=10**7, fees=0)
    assert {row["symbol"] for row in result.fills} == {"ASSET"}
    assert result.values.currency == "USD"


def test_rows_become_tables_of_libraries(bars: Path) -> None:
    pandas = pytest.importorskip("pandas")
    result = qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20})
    frame = result.fills.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["price"]) == [float(row["price"]) for row in result.fills]
    assert list(result.fills.to_pandas(exact=True)["price"]) == result.fills.column("price")
    assert result.equity[:2].columns == ("time", "equity", "cash")


def test_days_bound_what_is_read(bars: Path) -> None:
    result = qts.backtest(TenShares, bars, start="2014-03-03", end="2014-05-30")
    times = [row["time"].date().isoformat() for row in result.equity]
    assert (min(times), max(times)) == ("2014-03-03", "2014-05-30")
    assert result.metrics.sessions == len(set(times))


def test_a_run_that_is_kept_is_that_of_the_command(bars: Path, tmp_path: Path) -> None:
    result = qts.backtest(f"{FILE}:TenShares", bars, data_dir=tmp_path / "kept")
    assert result.directory == tmp_path / "kept"
    assert (tmp_path / "kept" / "qts.sqlite").exists()


class NoStrategy:
    """A class without the methods of a strategy."""


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"params": {"fats": 1}}, InputError, "has no parameter 'fats'; it has fast, slow"),
        ({"params": {"fast": 1}}, InputError, "must be a whole number from 2 to 100, got 1"),
        ({"cash": "much"}, InputError, "cash='much' is not a number"),
        ({"cash": -1}, InputError, "cash=-1 must be above 0"),
        ({"fees": 15}, InputError, "fees=15 must be a share of an amount"),
        ({"start": "03/04/2024"}, InputError, "is not a date such as"),
        ({"start": "2015-01-01", "end": "2014-01-01"}, InputError, "is after"),
        ({"end": "2001-01-01"}, DataError, "has no value"),
        ({"benchmark": "index"}, InputError, "must be 'hold' or None"),
        ({"strategy": NoStrategy}, ContractError, "is not a strategy"),
        ({"data": 7}, InputError, "data must be a path"),
        ({"data": "nowhere.csv"}, DataError, "nowhere.csv"),
    ],
)
def test_bad_input_is_named(bars: Path, arguments: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        qts.backtest(**{"strategy": TenShares, "data": bars} | arguments)
