"""``qts.backtest``: the command's machine from a program, a notebook's loop, and data in memory."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import qts
from qts.errors import ContractError, DataError, InputError
from qts.kit import Bar, Context, Intent, Side, Strategy
from qts.runtime.session import session
from qts.runtime.session.assessment import Books
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


def test_a_run_whose_books_give_no_figures_ends_and_says_why(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose first purchase is missing from the fills that are judged: the next sale has no holding
    def without_the_first(start: Decimal, equity: Any, ledger: Any, *rest: Any) -> Books:
        return Books(start, equity, ledger[1:], *rest)

    monkeypatch.setattr(session, "Books", without_the_first)
    # When it ends
    result = qts.backtest(TenShares, bars, params={"fast": 5, "slow": 20}, fees=0)
    # Then it has finished and is stored, without figures; a note says why, and a report can be written
    assert result.values.finished
    assert result.values.performance is None
    assert [note.code for note in result.values.note_values].count("performance-unknown") == 1
    assert any(f"holds no {SYMBOL}" in note for note in result.values.notes)
    assert "Figures of performance" not in result.report(tmp_path / "report.html").read_text()
    with pytest.raises(InputError, match="holds no"):
        result.metrics  # noqa: B018
    assert "holds no" in repr(result).splitlines()[-1]


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


def test_a_share_dearer_than_all_cash_is_refused_for_lack_of_cash(bars: Path) -> None:
    # Given cash for no share of about 20,000, and entries that ask for ten
    result = qts.backtest(TenShares, bars, cash=10_000)
    # Then cash is named, and no limit that was never set
    assert set(result.values.refusals) == {"INSUFFICIENT_CAPITAL"}


def test_a_message_names_the_table_and_its_row_and_no_file(bars: Path) -> None:
    # Given a table whose sixth row has a high below its low
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(bars, parse_dates=["Date"], index_col="Date")
    wrong = frame.copy()
    wrong.iloc[5, 1] = 1
    # When it is one of several, then it is named as in the argument
    with pytest.raises(DataError, match=r"^data\['X'\], row 5: the high 1 is below .*\(rows counted from 0\)$"):
        qts.backtest(TenShares, {SYMBOL: frame, "X": wrong})
    # When it is the only one, then it is the argument
    with pytest.raises(DataError, match=r"^data, row 5: the high 1 is below"):
        qts.backtest(TenShares, wrong)
    # When two rows are of one day, then both are named
    with pytest.raises(DataError, match=r"^data, row \d+: a second bar of ASSET at the time of row 0;"):
        qts.backtest(TenShares, pandas.concat([frame, frame]))
    # When a column is missing, then no row is
    with pytest.raises(DataError, match=r"^data, its columns: .* missing here: close \(found: [^)]*\); [^()]*$"):
        qts.backtest(TenShares, frame.rename(columns={"Close": "Foo"}))


def test_a_message_about_a_file_keeps_its_path_and_line(bars: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n2014-01-02,10,1,9,10,5\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"wrong\.csv, line 2: the high 1 is below"):
        qts.backtest(TenShares, path)


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


class BuysOnce(Strategy):
    """Buys ten on the first bar and sends an order that cannot fill on each later one."""

    def on_start(self, ctx: Context) -> None:
        self.days: list[str] = []

    def on_bar(self, ctx: Context, bar: Bar) -> list[Intent]:
        self.days.append(bar.day)
        limit = None if len(self.days) == 1 else 1
        return [Intent(bar.symbol, Side.BUY, 1.0, qty=10, limit=limit)]


@pytest.fixture
def coin(tmp_path: Path) -> Path:
    """Write the days of a market that never closes: each opens at the close before it and rises by 10."""
    days = [date(2020, 1, 20) + timedelta(days=number) for number in range(20)]
    rows = [f"{day},{100 + 10 * n},{110 + 10 * n},{100 + 10 * n},{110 + 10 * n},1000" for n, day in enumerate(days)]
    path = tmp_path / "COIN.csv"
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    return path


def test_a_close_known_at_midnight_counts_on_its_own_day(coin: Path) -> None:
    # When 10 were bought at the open of 21 January, at 110
    result = qts.backtest(BuysOnce, coin, cash=10_000, fees=0, benchmark="hold")
    # Then January ends with the close of the 31st, 220, and February with that of the 8th, 300
    january, february = result.metrics.months
    assert (january.month, february.month) == (1, 2)
    assert january.value == pytest.approx(0.11)
    assert february.value == pytest.approx(11_900 / 11_100 - 1)
    assert result.metrics.sessions == 20
    # And who bought 90 at the first close, 110, has 90 times 190 more at the last
    assert result.metrics.versus is not None
    assert result.metrics.versus.total_return.value == pytest.approx(1.71)


def test_days_of_a_market_that_never_closes_are_those_of_its_bars(coin: Path) -> None:
    strategy = BuysOnce()
    qts.backtest(strategy, coin, start="2020-01-30", end="2020-02-01")
    assert strategy.days == ["2020-01-30", "2020-01-31", "2020-02-01"]


def test_orders_stand_in_the_order_of_their_intents(coin: Path) -> None:
    # Given more orders than have numbers of one digit
    times = qts.backtest(BuysOnce, coin).orders.column("time")
    assert len(times) == 20
    assert times == sorted(times)


def test_who_holds_through_a_split_and_a_dividend_is_worth_what_the_account_is(tmp_path: Path) -> None:
    # Given 100 of a close of 100, which become 400 on the 4th and are paid 0.50 each on the 6th
    prices = (100, 100, 104, 26, 26, 25.5, 27)
    rows = [f"2020-01-0{day},{price},{price},{price},{price},100000" for day, price in enumerate(prices, start=1)]
    (tmp_path / "COIN.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    (tmp_path / "actions.csv").write_text(
        "date,symbol,action,value\n2020-01-04,COIN,split,4\n2020-01-06,COIN,dividend,0.5\n"
    )
    # When a strategy buys as many at the next open, which is 100 too
    result = qts.backtest(BuysOnce(), tmp_path, cash=10_000, fees=0, benchmark="hold")
    # Then the benchmark ends with 400 × 27 and 200 in cash, and the ten shares with 40 × 27 and 20
    assert result.metrics.versus is not None
    assert result.metrics.versus.total_return.value == pytest.approx(0.10)
    assert Decimal(result.values.equity_end) == 10_000 - 1_000 + 40 * 27 + 20


def test_a_holding_whose_prices_ended_is_named(tmp_path: Path) -> None:
    # Given a symbol without a bar after 5 January, and one that goes on to the 20th
    for symbol, days in (("GONE", 5), ("STAYS", 20)):
        rows = [f"2020-01-{day:02d},100,100,100,100,1000" for day in range(1, days + 1)]
        (tmp_path / f"{symbol}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    told = "1 holding has had no price for 10 days or more, GONE since 2020-01-05; valued at the last one"
    # Then who holds it is told at which price it counts, and who holds the other is not
    assert told in qts.backtest(BuysOnce, tmp_path, fees=0).values.notes
    assert told not in qts.backtest(BuysOnce, tmp_path / "STAYS.csv", fees=0).values.notes


class Fails(Strategy):
    def on_bar(self, ctx: Context, bar: Bar) -> list[Intent]:
        raise ValueError("no such thing")


def test_the_errors_of_a_strategy_are_told(coin: Path) -> None:
    assert "strategy Fails failed in on_bar" in repr(qts.backtest(Fails, coin))
    with pytest.raises(ContractError, match="strategy Fails failed in on_bar 1 time, first: ValueError"):
        qts.backtest(Fails, coin, strict=True)


def test_a_table_needs_neither_a_symbol_nor_an_index_of_dates(bars: Path) -> None:
    pandas = pytest.importorskip("pandas")
    # Given a table as it was read, its rows counted, and one whose dates are its unnamed index
    counted = pandas.read_csv(bars)
    dated = pandas.read_csv(bars, parse_dates=["Date"], index_col="Date").rename_axis(None)
    for frame in (counted, dated):
        assert qts.backtest(TenShares, frame, cash=10**9).fills.column("symbol")[0] == "ASSET"
    # And the name of a table in a dict is its symbol as it is
    assert qts.backtest(TenShares, {"prices": dated}, cash=10**9).fills.column("symbol")[0] == "prices"


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


def test_the_prices_that_the_strategy_sees_are_chosen_as_on_the_command_line(tmp_path: Path) -> None:
    # Given a share that is split 2:1 on the third of four days, and a strategy that keeps what it sees
    folder = tmp_path / "bars"
    folder.mkdir()
    closes = {"2024-01-02": 100, "2024-01-03": 100, "2024-01-04": 50, "2024-01-05": 50}
    rows = [f"{day},{close},{close},{close},{close},1000" for day, close in closes.items()]
    (folder / "AAA.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows, ""]))
    (folder / "actions.csv").write_text("date,symbol,action,value\n2024-01-04,AAA,split,2:1\n")

    class Seen(Strategy):
        def __init__(self) -> None:
            self.closes: list[Decimal] = []

        def on_bar(self, ctx: Context, bar: Bar) -> tuple[()]:
            self.closes.append(bar.close)
            return ()

    # Then it sees prices as traded, or without the jump
    for adjust, expected in (("none", [100, 100, 50, 50]), ("split", [100, 100, 100, 100])):
        seen = Seen()
        qts.backtest(seen, folder, adjust=adjust)
        assert seen.closes == expected
