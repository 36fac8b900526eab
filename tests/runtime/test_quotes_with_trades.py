"""A file of trades gives values with a last price and its size; bars are built from them as from trades."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import qts
from qts.kit import Bar, Context, Intent, Strategy

HEADER = "ts,symbol,last,size\n"


class Closes(Strategy):
    """Keep what was told of every bar."""

    bars = {"1m": 5, "2m": 5}  # noqa: RUF012 - as a user writes it

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        self.told.append(f"{bar.interval} {bar.open} {bar.close} {bar.volume} {bar.trades}")
        return ()


def row(minute: int, second: int, price: str, size: str) -> str:
    return f"2024-03-04T09:{minute:02d}:{second:02d}+09:00,005930,{price},{size}\n"


def test_rows_of_trades_build_bars_and_snapshots_without_a_size_do_not(tmp_path: Path) -> None:
    # Given three trades, a snapshot between them, and a value that ends the last bar
    rows = [row(0, 1, "70000", "3"), row(0, 30, "71000", ""), row(0, 59, "70100", "2"), row(1, 5, "70200", "1")]
    data = tmp_path / "trades.csv"
    data.write_text(HEADER + "".join(rows) + row(2, 1, "70300", "4"))
    strategy = Closes()

    # When they are replayed
    qts.backtest(strategy, data)

    # Then each bar is the sum of its trades
    assert strategy.told[:3] == ["1m 70000 70100 5 2", "1m 70200 70200 1 1", "2m 70000 70200 6 3"]
