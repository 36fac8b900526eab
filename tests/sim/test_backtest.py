"""A backtest on daily bars: every trade and every won as by hand, and as another program has it."""

from __future__ import annotations

import warnings
from collections import Counter
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qts.clock import from_ns
from qts.db.datadir import DATABASE_NAME
from qts.market.krx import KrxCalendar
from qts.runtime.persistence.charts_file import read_charts
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.wiring.plans import backtest_plan
from qts.runtime.wiring.stores import stored_run
from tests.sim.daily_bars import SYMBOL, levels_of, trading_days, write_bars
from tests.sim.sessions import run

FILE = Path(__file__).with_name("daily_bars.py")
CASH = 100_000_000


class Trade(NamedTuple):
    """A fill: its session day, +10 or -10 shares, and the price of one."""

    day: str
    qty: int
    price: int


def ledger_by_hand() -> list[Trade]:
    """Follow the rule on paper: an order decided at a day's close fills at the next day's open."""
    trades: list[Trade] = []
    closes: list[int] = []
    held, order = 0, 0
    for day, bar in trading_days():
        if order:
            trades.append(Trade(day, order, int(bar.open)))
            held, order = held + order, 0
        closes.append(int(bar.close))
        if len(closes) >= 50:
            above = sum(closes[-20:]) * 50 > sum(closes[-50:]) * 20
            order = 10 if above and not held else -10 if held and not above else 0
    return trades


def backtest(folder: Path, name: str = "TenShares", **settings: str) -> Any:
    options = Options(
        strategies=(f"{FILE}:{name}",), data_dir=folder / "run", profile=Profile.PLAIN, overrides=settings
    )
    return run(backtest_plan(options, [write_bars(folder / f"{SYMBOL}.csv", trading_days())], None))


def trades_of(peer: Any, pandas: Any, strategy: type) -> list[Trade]:
    """Return the trades that backtesting.py has closed with ``strategy``, in the order of their exits."""
    days = trading_days()
    columns = ("open", "high", "low", "close", "volume")
    frame = pandas.DataFrame(
        {name.title(): [float(getattr(bar, name)) for _, bar in days] for name in columns},
        index=pandas.to_datetime([day for day, _ in days]),
    )
    with warnings.catch_warnings():  # the peer is older than its newest libraries
        warnings.simplefilter("ignore")
        stats = peer.Backtest(frame, strategy, cash=CASH, commission=0).run()
    return [
        Trade(moment.date().isoformat(), sign * int(row.Size), int(price))
        for row in stats._trades.sort_values("ExitBar", kind="stable").itertuples()
        for moment, sign, price in ((row.EntryTime, 1, row.EntryPrice), (row.ExitTime, -1, row.ExitPrice))
    ]


def fills_in(folder: Path) -> list[Trade]:
    calendar = KrxCalendar()
    with stored_run(folder / "run" / DATABASE_NAME) as store:
        return [
            Trade(calendar.local_date(from_ns(row.ts_ns)).isoformat(), int(row.qty) * row.side.sign, int(row.price))
            for row in store.ledger()
        ]


def test_a_rule_on_daily_bars_trades_as_by_hand_to_the_won(tmp_path: Path) -> None:
    # Given five years of 005930 and a rule of two averages, when it is tested at a cost of 0.1 % a fill
    result = backtest(tmp_path, **{"instruments.costs": "0.001"})
    # Then days, quantities and prices are those of the rule followed on paper
    trades = ledger_by_hand()
    assert len(trades) > 15
    assert fills_in(tmp_path) == trades
    # And so is every won: each fill costs 0.1 % of its amount, what is below a won is dropped
    cash = Decimal(CASH)
    for trade in trades:
        amount = Decimal(abs(trade.qty) * trade.price)
        cash -= trade.qty * trade.price
        cash -= (amount * Decimal("0.001")).quantize(Decimal(1), ROUND_DOWN)
    held = sum(trade.qty for trade in trades)
    last_close = trading_days()[-1][1].close
    assert Decimal(result.values.equity_end) == cash + held * last_close
    assert result.values.profile == "plain"


def test_the_trades_are_those_of_backtesting_py(tmp_path: Path) -> None:
    # Given the same rule and bars in another program, which also fills at the next open
    peer = pytest.importorskip("backtesting", reason="backtesting.py is not installed: pip install -e '.[test]'")
    pandas = pytest.importorskip("pandas")

    class TenShares(peer.Strategy):  # type: ignore[misc, name-defined]
        def init(self) -> None:
            pass

        def next(self) -> None:
            closes = [int(close) for close in self.data.Close[-50:]]
            if len(closes) < 50:
                return
            above = sum(closes[-20:]) * 50 > sum(closes) * 20
            if above and not self.position:
                self.buy(size=10)
            elif not above and self.position:
                self.position.close()

    theirs = trades_of(peer, pandas, TenShares)
    # When ours is run without costs
    backtest(tmp_path, **{"instruments.costs": "0"})
    # Then every trade they have closed is ours, to the day and the price
    assert fills_in(tmp_path)[: len(theirs)] == theirs
    assert len(theirs) > 15


def test_trades_with_stop_and_take_are_those_of_backtesting_py(tmp_path: Path) -> None:
    # Given a rule that leaves at a stop or a take alone, in another program as sl= and tp=
    peer = pytest.importorskip("backtesting", reason="backtesting.py is not installed: pip install -e '.[test]'")
    pandas = pytest.importorskip("pandas")

    class TenProtected(peer.Strategy):  # type: ignore[misc, name-defined]
        def init(self) -> None:
            pass

        def next(self) -> None:
            closes = [int(close) for close in self.data.Close[-11:]]
            if len(closes) == 11 and closes[-1] > closes[0] and not self.position:
                stop, take = levels_of(closes[-1])
                self.buy(size=10, sl=stop, tp=take)

    theirs = trades_of(peer, pandas, TenProtected)
    # When ours is run without costs
    backtest(tmp_path, "TenProtected", **{"instruments.costs": "0"})
    # Then every trade they have closed is ours, to the day and the price
    assert fills_in(tmp_path)[: len(theirs)] == theirs
    assert len(theirs) > 60
    # And each is known by the level that ended it
    ended = Counter(trip.ended_by for trip in read_charts(tmp_path / "run").trips)
    assert ended.keys() == {"stop", "take"}
    assert sum(ended.values()) == len(theirs) // 2
