"""Whole sessions on bars alone: what is decided on a bar fills in the next, and no bar is known before its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.clock import to_ns
from qts.market.contracts import Bar, Instrument
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import krx_instrument
from qts.market.sample import load_sample
from qts.strategy.contracts import Context, Intent, Side
from tests.broker.exchange_rig import kst

from .bar_sessions import day_bar, run_bars
from .sessions import book_of

SAMSUNG, HYNIX = krx_instrument("005930"), krx_instrument("000660")
COIN = Instrument("COIN", "KRW", Decimal(1), Decimal(1), FixedTicks("1"), RateCosts("0", "0", "1"), AlwaysOpen())
KRX_DAYS = ("2018-01-22", "2018-01-23", "2018-01-24", "2018-01-25", "2018-01-26", "2018-01-29")
SAMSUNG_PRICES = (
    "50000 50500 49500 50200",
    "50300 50800 50000 50600",
    "50100 50400 49000 49100",
    "49400 49900 48000 49800",
    "50000 51000 49900 50900",
    "51500 52000 51000 51200",
)
HYNIX_PRICES = (
    "70000 71000 69000 70500",
    "70900 72000 70000 71500",
    "71000 71500 68000 68500",
    "68400 69000 67000 68900",
    "69500 73000 69100 72800",
    "73000 73500 72000 72500",
)


def krx_bars(symbol: str, prices: Sequence[str]) -> list[Bar]:
    closes = (kst(f"{day} 15:30:00") for day in KRX_DAYS)
    return [day_bar(symbol, close, text) for close, text in zip(closes, prices, strict=True)]


def coin_bars(count: int) -> list[Bar]:
    """Days from 8 August 2024 on, each opening 2 above the close before it and closing 1 below its open."""
    midnight = datetime(2024, 8, 9, tzinfo=UTC)
    opens = range(100, 100 + count)
    return [
        day_bar("COIN", midnight + timedelta(days=at), f"{price} {price + 5} {price - 5} {price - 1}")
        for at, price in enumerate(opens)
    ]


def in_and_out(ctx: Context, bar: Bar) -> Iterable[Intent]:
    """Buy 10 when flat, sell them at the next bar; never while an order works."""
    if ctx.working(bar.symbol):
        return ()
    if ctx.holding(bar.symbol):
        return (Intent(bar.symbol, Side.SELL, 1.0),)
    return (Intent(bar.symbol, Side.BUY, 1.0, qty=10),)


def rows(data_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data_dir / "qts.sqlite")) as connection:
        return list(connection.execute(query))


def test_an_order_decided_at_the_close_fills_at_the_open_of_the_next_session(tmp_path: Path) -> None:
    # Given six daily bars of a market with sessions
    # When a strategy buys and sells in turn
    result, seen = run_bars(tmp_path, [SAMSUNG], krx_bars("005930", SAMSUNG_PRICES), in_and_out)

    # Then each order has the next bar's open, and the fill is seen before the bar that brought it
    assert seen == [
        "bar 005930 50200",
        "BUY 005930 10 None",
        "fill BUY 005930 10 at 50300",
        "bar 005930 50600",
        "SELL 005930 None None",
        "fill SELL 005930 10 at 50100",
        "bar 005930 49100",
        "BUY 005930 10 None",
        "fill BUY 005930 10 at 49400",
        "bar 005930 49800",
        "SELL 005930 None None",
        "fill SELL 005930 10 at 50000",
        "bar 005930 50900",
        "BUY 005930 10 None",
        "fill BUY 005930 10 at 51500",
        "bar 005930 51200",
        "SELL 005930 None None",
    ]
    # And the account is worth its cash and the close of the last bar: bought for 503,000, 494,000 and 515,000, sold
    # for 501,000 and 500,000, 10 shares at 51,200
    costs = sum(Decimal(fee) + Decimal(tax) for fee, tax in rows(tmp_path, "SELECT fee, tax FROM t_ledger"))
    cash = 100_000_000 - 503_000 + 501_000 - 494_000 + 500_000 - 515_000 - costs
    assert rows(tmp_path, "SELECT equity, cash FROM equity_curve ORDER BY id DESC LIMIT 1") == [
        (str(cash + 512_000), str(cash))
    ]
    assert (result.values.orders, result.values.fills) == (6, 5)
    # And the result says by which rule
    assert "fills on bars: from the next bar's open on, slippage 0 price steps, within 100 % of a bar's volume" in (
        result.values.notes
    )


def test_the_equity_after_a_close_uses_that_close(tmp_path: Path) -> None:
    # Given 10 shares bought at the open of the 23rd at 50,300 for a fee
    run_bars(
        tmp_path,
        [SAMSUNG],
        krx_bars("005930", SAMSUNG_PRICES)[:2],
        lambda ctx, bar: () if ctx.holding(bar.symbol) else (Intent(bar.symbol, Side.BUY, 1.0, qty=10),),
    )

    # When the day of the purchase has closed at 50,600
    after_close = to_ns(kst("2018-01-23 15:32:00"))
    ((equity, cash),) = rows(
        tmp_path, f"SELECT equity, cash FROM equity_curve WHERE timestamp = {after_close} ORDER BY id LIMIT 1"
    )

    # Then it is valued at it
    assert Decimal(equity) == Decimal(cash) + 10 * 50_600


def test_the_orders_of_a_market_that_never_closes_fill_day_after_day(tmp_path: Path) -> None:
    # Given forty days of a market that never closes
    # When a strategy buys and sells in turn, and asks nothing while an order works
    result, seen = run_bars(tmp_path, [COIN], coin_bars(40), in_and_out)

    # Then each order but the last has filled, at the open of the day after it
    assert (result.values.orders, result.values.fills) == (40, 39)
    assert seen[:4] == ["bar COIN 99", "BUY COIN 10 None", "fill BUY COIN 10 at 101", "bar COIN 100"]


def test_the_fill_of_a_whole_day_is_booked_on_that_day(tmp_path: Path) -> None:
    """The midnight at which a day's bar is known belongs to the next day, its fill does not."""
    run_bars(tmp_path, [COIN], coin_bars(2), in_and_out)
    ((ts_ns,),) = rows(tmp_path, "SELECT timestamp FROM t_ledger")
    assert ts_ns == to_ns(datetime(2024, 8, 10, tzinfo=UTC)) - 1


@pytest.mark.parametrize("instrument", [SAMSUNG, COIN], ids=["sessions", "never closes"])
def test_a_limit_that_is_not_reached_ends_with_its_day_and_blocks_nothing(
    instrument: Instrument, tmp_path: Path
) -> None:
    # Given a limit far below the market, asked for again whenever no order works
    bars = krx_bars("005930", SAMSUNG_PRICES) if instrument is SAMSUNG else coin_bars(6)

    def far_below(ctx: Context, bar: Bar) -> Iterable[Intent]:
        limit = bar.close * 4 // 5 // 100 * 100 if instrument is SAMSUNG else 50
        return () if ctx.working(bar.symbol) else (Intent(bar.symbol, Side.BUY, 1.0, qty=1, limit=limit),)

    # When six bars pass
    result, _ = run_bars(tmp_path, [instrument], bars, far_below)

    # Then each bar had its own order
    assert (result.values.orders, result.values.fills) == (6, 0)
    states = [state for (state,) in rows(tmp_path, "SELECT state FROM orders ORDER BY created_at")]
    assert states[:5] == ["CANCELLED"] * 5


def test_two_means_on_the_packaged_series_trade_as_a_ledger_kept_by_hand(tmp_path: Path) -> None:
    # Given ten months of the packaged series without costs, before the operating state first blocks an entry
    days = [row for row in load_sample() if row.bar is not None and row.day < date(2014, 11, 1)]
    free = msgspec.structs.replace(
        krx_instrument("005930", trading_days=[row.day for row in days]), costs=RateCosts("0", "0", "1")
    )
    bars = []
    for row in days:
        close = free.calendar.close(row.day)
        assert close is not None
        assert row.bar is not None
        bars.append(Bar("005930", to_ns(close), *msgspec.structs.astuple(row.bar), day=row.day.isoformat()))
    assert len(bars) > 200

    # When a strategy buys one share as the mean of 20 closes rises above that of 50, and sells it as it falls below
    def two_means(ctx: Context, bar: Bar) -> Iterable[Intent]:
        closes.append(bar.close)
        above.append(len(closes) >= 50 and sum(closes[-20:]) * 50 > sum(closes[-50:]) * 20)
        if len(closes) <= 50 or above[-1] == above[-2]:
            return ()
        if above[-1]:
            return (Intent(bar.symbol, Side.BUY, 1.0, qty=1),)
        return (Intent(bar.symbol, Side.SELL, 1.0),) if ctx.holding(bar.symbol) else ()

    closes, above = list[Decimal](), list[bool]()
    run_bars(tmp_path, [free], bars, two_means)

    # Then each trade has the open of the day after the crossing, and the cash is what the opens say
    cash, held, by_hand = Decimal(100_000_000), 0, list[tuple[str, str, str]]()
    for at in range(50, len(bars) - 1):
        if above[at] != above[at - 1] and (above[at] or held):
            after = bars[at + 1]
            cash, held = (cash - after.open, 1) if above[at] else (cash + after.open, 0)
            by_hand.append((after.day, "BUY" if above[at] else "SELL", str(after.open)))
    assert len(by_hand) >= 2
    assert rows(tmp_path, "SELECT trade_date, side, price FROM t_ledger ORDER BY id") == by_hand
    ((last_cash, equity),) = rows(tmp_path, "SELECT cash, equity FROM equity_curve ORDER BY id DESC LIMIT 1")
    assert (Decimal(last_cash), Decimal(equity)) == (cash, cash + held * bars[-1].close)


def test_an_order_on_another_symbol_does_not_fill_in_the_bar_of_the_same_moment(tmp_path: Path) -> None:
    # Given two symbols whose bars have the same times, and a strategy that looks at the first and buys the second
    def second_for_first(ctx: Context, bar: Bar) -> Iterable[Intent]:
        if bar.symbol == "005930" and not ctx.holding("000660") and not ctx.working("000660"):
            return (Intent("000660", Side.BUY, 1.0, qty=1),)
        return ()

    bars = [*krx_bars("005930", SAMSUNG_PRICES), *krx_bars("000660", HYNIX_PRICES)]
    # When the second's first bar comes, the order is there and has no bar of its symbol before
    _, seen = run_bars(tmp_path, [SAMSUNG, HYNIX], bars, lambda c, b: second_for_first(c, b) if known(b) else ())

    # Then it fills in the bar after, never in the one of the moment at which it was decided
    assert [line for line in seen if line.startswith("fill")] == ["fill BUY 000660 1 at 71000"]


def known(bar: Bar) -> bool:
    """From the second day on every symbol has had a price to decide on."""
    return bar.day > KRX_DAYS[0]


def test_no_bar_sees_the_next(tmp_path: Path) -> None:
    """A file that ends at any row gives the orders, fills and intents of the whole file up to there."""
    # Given two symbols, market orders and limits, and a session over all bars
    bars = [*krx_bars("005930", SAMSUNG_PRICES), *krx_bars("000660", HYNIX_PRICES)]
    bars.sort(key=lambda bar: bar.ts_ns)

    def limits_too(ctx: Context, bar: Bar) -> Iterable[Intent]:
        if bar.symbol == "000660" and not ctx.holding(bar.symbol):
            limit = bar.close * 99 // 100 // 100 * 100
            return () if ctx.working(bar.symbol) else (Intent(bar.symbol, Side.BUY, 1.0, qty=3, limit=limit),)
        return in_and_out(ctx, bar)

    settings = {"broker.sim.slippage_ticks": "1", "broker.sim.snapshot_participation": "0.00005"}
    _, whole = run_bars(tmp_path / "whole", [SAMSUNG, HYNIX], bars, limits_too, **settings)
    whole_book = book_of(tmp_path / "whole")
    assert whole_book["t_ledger"], "something has to fill"

    for count in range(1, len(bars)):
        # When the file is cut after ``count`` bars
        cut_dir = tmp_path / f"cut{count}"
        _, seen = run_bars(cut_dir, [SAMSUNG, HYNIX], bars[:count], limits_too, **settings)

        # Then nothing that was seen or asked up to there is different, and neither are the fills
        assert seen == whole[: len(seen)], count
        assert len([line for line in seen if line.startswith("bar")]) == count
        cut_book = book_of(cut_dir)
        assert cut_book["t_ledger"] == whole_book["t_ledger"][: len(cut_book["t_ledger"])], count
        orders = asked(cut_dir)
        assert orders == asked(tmp_path / "whole")[: len(orders)], count


def asked(data_dir: Path) -> list[tuple[Any, ...]]:
    """Every order as it was asked for, in the order of their numbers."""
    columns = "client_order_id, side, qty, price, decision_price, created_at, type"
    return rows(data_dir, f"SELECT {columns} FROM orders ORDER BY LENGTH(client_order_id), client_order_id")


def test_a_market_buy_spends_no_more_than_was_set_aside_when_the_open_jumps(tmp_path: Path) -> None:
    # Given a pool whose 25,000,000 buy 250,000 coins at 100, less the fee of nothing and the collar of 1 %
    bars = [
        day_bar("COIN", datetime(2024, 8, 9, tzinfo=UTC), "100 100 100 100", 10_000_000),
        day_bar("COIN", datetime(2024, 8, 10, tzinfo=UTC), "125 130 120 126", 10_000_000),
    ]

    # When the next bar opens a quarter higher
    run_bars(
        tmp_path,
        [COIN],
        bars,
        lambda ctx, bar: () if ctx.holding("COIN") or ctx.working("COIN") else (Intent("COIN", Side.BUY, 1.0),),
    )

    # Then it buys what the money set aside pays at the open, and the rest of the order has ended
    ((qty, price),) = rows(tmp_path, "SELECT qty, price FROM t_ledger")
    assert (qty, price) == ("199999", "125")  # 199,999 × 125 and one won for rounding are 24,999,876
    ((asked, state),) = rows(tmp_path, "SELECT qty, state FROM orders")
    assert (asked, state) == ("247524", "CANCELLED")  # 25,000,000 - 1 won, at 101
    assert all(Decimal(cash) >= 0 for (cash,) in rows(tmp_path, "SELECT cash FROM equity_curve"))


def test_filling_on_the_close_is_the_way_of_before(tmp_path: Path) -> None:
    """An order of the morning fills at the close of its own day; one of the close waits for nothing and expires."""
    result, _ = run_bars(
        tmp_path, [SAMSUNG], krx_bars("005930", SAMSUNG_PRICES), in_and_out, **{"broker.sim.fill_on": "close"}
    )
    assert (result.values.orders, result.values.fills) == (6, 0)
    note = "fills on bars: at the close of a bar of the order's day, within 100 % of its volume"
    assert note in result.values.notes
