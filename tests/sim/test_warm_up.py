"""Whole sessions whose strategies are warmed up with bars from before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from qts.indicators import Sma
from qts.kit import Bar, Context, Intent, Side, Strategy
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import backtest_plan

SYMBOL = "005930"
HEADER = "Date,Open,High,Low,Close,Volume\n"
DAYS = (4, 5, 6, 7, 8, 11, 12, 13, 14, 15)
"""Trading days of March 2024 from a Monday on."""


class Follows(Strategy):
    """Buys on the first bar on which it may, and says what it saw."""

    bars: ClassVar[Any] = {"1d": 3}
    not_saved = ("seen",)

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def on_start(self, ctx: Context) -> None:
        self.mean = ctx.track(Sma(2), "1d")

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        mean = self.mean[bar.symbol]
        self.seen.append((bar.day, int(bar.close), ctx.warming, ctx.ready(bar.symbol), mean.ready and mean.value))
        assert not ctx.warming or f"{ctx.now:%Y-%m-%d}" == bar.day
        if ctx.is_flat(bar.symbol):
            yield Intent(bar.symbol, Side.BUY, 1.0, qty=10)

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Iterable[Intent]:
        self.seen.append(("moment", tuple(bars), ctx.warming))
        return ()


def written(path: Path, days: Iterable[int]) -> Path:
    """Write daily bars of ``days``; the price of each is a thousand times its place among all, and 10,000."""
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = [
        f"2024-03-{day:02d}," + ",".join([str(10_000 + 1_000 * DAYS.index(day))] * 4) + ",100000\n" for day in days
    ]
    path.write_text(HEADER + "".join(rows))
    return path


def run(
    directory: Path, strategy: Strategy, data: Path, stop: StopFlag | None = None, **options: Any
) -> SessionResult:
    """Run a plain backtest of ``strategy``."""
    plan = backtest_plan(Options(data_dir=directory, **options), [data], None)
    plan = msgspec.structs.replace(plan, default_strategies=lambda: [strategy])
    return run_session(plan, progress=lambda share, moment: None, stop=stop or StopFlag())


def test_rows_before_the_first_day_are_shown_with_intents_dropped(tmp_path: Path) -> None:
    # Given ten days of bars, and a session of the last seven of them
    strategy = Follows()
    # When it runs
    result = run(tmp_path / "run", strategy, written(tmp_path / f"{SYMBOL}.csv", DAYS), first_day=date(2024, 3, 7))
    # Then the three days before are shown as past, once each and in order, and the mean goes on
    bars = [one for one in strategy.seen if one[0] != "moment"]
    assert bars[:5] == [
        ("2024-03-04", 10_000, True, False, False),
        ("2024-03-05", 11_000, True, False, 10_500.0),
        ("2024-03-06", 12_000, True, True, 11_500.0),
        ("2024-03-07", 13_000, False, True, 12_500.0),
        ("2024-03-08", 14_000, False, True, 13_500.0),
    ]
    assert [one[0] for one in bars] == [f"2024-03-{day:02d}" for day in DAYS]
    # And what it wanted then was dropped and counted; the first order is of the first day of the session
    assert result.values.orders == 1
    assert result.values.refusals == {}
    assert "warm-up: dropped 3 orders that Follows wanted before the session" in result.values.notes
    assert any(note.startswith("warm-up: bars of 1d for 1 symbol, from") for note in result.values.notes)


def test_too_few_bars_keep_entries_waiting_and_say_how_many_there_are(tmp_path: Path) -> None:
    strategy = Follows()

    result = run(tmp_path / "run", strategy, written(tmp_path / f"{SYMBOL}.csv", DAYS))

    bars = [one for one in strategy.seen if one[0] != "moment"]
    assert [ready for _, _, _, ready, _ in bars] == [False, False, *[True] * 8]
    assert result.values.refusals == {"WARMING": 2}
    assert result.values.orders == 1
    assert any(f"{SYMBOL} has 0 of 3" in note for note in result.values.notes)


def test_a_file_cut_in_two_and_warmed_up_is_the_whole_file(tmp_path: Path) -> None:
    # Given a file, and the same days in two files
    whole, second = Follows(), Follows()
    data = written(tmp_path / "whole" / f"{SYMBOL}.csv", DAYS)
    old = written(tmp_path / "old" / f"{SYMBOL}.csv", DAYS[:4])
    new = written(tmp_path / "new" / f"{SYMBOL}.csv", DAYS[4:])
    # When one session has the whole with its first day set, the other the second file after the first
    first = run(tmp_path / "a", whole, data, first_day=date(2024, 3, 8))
    other = run(tmp_path / "b", second, new, history=(old,))
    # Then the strategy sees the same and the account ends the same
    assert second.seen == whole.seen
    assert other.values.equity_end == first.values.equity_end
    assert other.values.orders == first.values.orders


def test_a_strategy_that_is_never_warm_never_enters(tmp_path: Path) -> None:
    class Never(Follows):
        bars: ClassVar[Any] = {"1d": 10_000}

    result = run(tmp_path / "run", Never(), written(tmp_path / f"{SYMBOL}.csv", DAYS))

    assert result.values.orders == 0
    assert result.values.refusals == {"WARMING": 10}


@pytest.mark.parametrize("fails", [True, False])
def test_a_strategy_that_fails_in_its_warm_up_is_halted_like_any_other(tmp_path: Path, fails: bool) -> None:
    class Failing(Follows):
        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            if fails and ctx.warming:
                raise ValueError("cold")
            return ()

        on_bars = Strategy.on_bars  # not called

    data = written(tmp_path / f"{SYMBOL}.csv", DAYS)
    result = run(tmp_path / "run", Failing(), data, first_day=date(2024, 3, 12))

    assert result.values.halted_strategies == (["Failing"] if fails else [])


def test_a_resumed_session_goes_on_with_its_windows_and_indicators(tmp_path: Path) -> None:
    # Given a session in one piece
    data = written(tmp_path / f"{SYMBOL}.csv", DAYS)
    whole = Follows()
    expected = run(tmp_path / "whole", whole, data, first_day=date(2024, 3, 7))
    # When one is stopped at every second bar, and resumed with a new object each time
    stop, seen, resume = StopFlag(), list[tuple[Any, ...]](), False

    class Stopping(Follows):
        def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
            if not ctx.warming and DAYS.index(int(bar.day[-2:])) % 2:
                stop.request()
            return super().on_bar(ctx, bar)

    Stopping.__name__ = Stopping.__qualname__ = Stopping.name = "Follows"
    for _ in range(8):
        stop = StopFlag()
        strategy = Stopping()
        result = run(tmp_path / "parts", strategy, data, stop, first_day=date(2024, 3, 7), resume=resume)
        seen += strategy.seen
        resume = True
        if result.finished:
            break
    # Then it has seen each bar once, with the same mean, and ends the same
    assert seen == whole.seen
    assert result.values.equity_end == expected.values.equity_end
    assert result.values.notes == expected.values.notes
