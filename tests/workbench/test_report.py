"""The report of a real backtest: what the strategy did, plotted and was refused stands in its chart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import qts
from qts.kit import Bar, Context, Intent, Side, Strategy
from tests.sim.daily_bars import trading_days, write_bars


class BuysEveryDay(Strategy):
    """Buy with all cash on every bar, which is refused from the second on, and plot the closes."""

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        ctx.plot("close", bar.close)
        ctx.plot("volume", bar.volume, pane="volume")
        yield Intent(bar.symbol, Side.BUY, 1.0)


def test_the_chart_shows_fills_refusals_and_plots(tmp_path: Path) -> None:
    # Given a strategy that buys with all cash on every one of thirty bars
    bars = write_bars(tmp_path / "005930.csv", trading_days()[:30])
    result = qts.backtest(BuysEveryDay, bars)

    # When its report is written
    page = result.report(tmp_path / "report.html").read_text("utf-8")

    # Then each is in the chart, and as many refusals are listed as were counted
    refused = sum(result.values.refusals.values())
    assert refused > 20
    assert page.count(" refused 거부: ") == refused
    assert page.count('class="buy"') >= 1
    assert "volume" in page
    assert page.count('class="line"') >= 3  # equity, closes, volume


def test_a_report_of_stored_charts_is_the_same_every_time(tmp_path: Path) -> None:
    bars = write_bars(tmp_path / "005930.csv", trading_days()[:30])
    result = qts.backtest(BuysEveryDay, bars)
    first, second = (result.report(tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
