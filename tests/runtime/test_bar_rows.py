"""The rows of the windows' bars: each written once, and no window restored that is not whole."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import StorageError
from qts.market.contracts import Bar
from qts.market.series.wanted import wanted_bars
from qts.runtime.strategies.bar_rows import BarRows, SavedWindow
from qts.runtime.strategies.strategy_bars import StrategyBars
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

NS = 60 * 10**9


def bar(number: int) -> Bar:
    price = D(number)
    return Bar(SYMBOL, number * NS, price, price, price, price, D(1), "1m", "2026-01-22", (number - 1) * NS)


def strategy(n: int) -> StrategyBars:
    return StrategyBars("one", wanted_bars({"1m": n}, (), "bars"))


def numbers(bars: list[Bar]) -> list[int]:
    return [int(one.close) for one in bars]


def test_each_bar_is_a_row_once_however_many_windows_it_is_in() -> None:
    # Given two strategies that are shown the same bars
    first, second = strategy(2), strategy(5)
    rows = BarRows([first, second])
    for one in (first, second):
        one.add_all(map(bar, range(1, 4)))
    # When their rows are taken at two checkpoints, then each is there once, of the longer window
    assert numbers(rows.take_new()) == [1, 2, 3]
    for one in (first, second):
        one.add_all([bar(4)])
    assert numbers(rows.take_new()) == [4]
    assert rows.take_new() == []
    assert rows.kept == {"1m": 5}


def test_a_bar_that_no_window_needs_any_more_is_no_row() -> None:
    one = strategy(2)
    rows = BarRows([one])
    one.add_all(map(bar, range(1, 100)))

    assert numbers(rows.take_new()) == [98, 99]


def test_a_window_behind_the_others_is_in_the_checkpoint_itself() -> None:
    # Given a strategy in a process that was shown one bar less
    ahead, behind = strategy(2), strategy(2)
    rows = BarRows([ahead, behind])
    ahead.add_all(map(bar, range(1, 4)))
    behind.add_all(map(bar, range(1, 3)))
    rows.take_new()
    # Then its own bars are kept; those of the other are the rows
    assert rows.saved_windows(ahead) == [SavedWindow(SYMBOL, "1m", 3, 2, 3 * NS)]
    assert rows.saved_windows(behind) == [SavedWindow(SYMBOL, "1m", 2, 2, 2 * NS, [bar(1), bar(2)])]


def test_a_window_whose_bars_were_not_all_written_is_in_the_checkpoint_itself() -> None:
    # Given a strategy with a short window that is ahead, so that bars between its two checkpoints are no rows
    short, long = strategy(1), strategy(3)
    rows = BarRows([short, long])
    short.add_all([bar(1)])
    rows.take_new()
    short.add_all(map(bar, range(2, 6)))
    assert numbers(rows.take_new()) == [5]
    # When the longer window comes to the same bar
    long.add_all(map(bar, range(1, 6)))
    assert rows.take_new() == []
    # Then it is not taken for the newest rows, which are 1 and 5
    assert rows.saved_windows(short) == [SavedWindow(SYMBOL, "1m", 5, 1, 5 * NS)]
    assert rows.saved_windows(long) == [SavedWindow(SYMBOL, "1m", 5, 3, 5 * NS, list(map(bar, (3, 4, 5))))]
    # And it is once its bars have been written one after the other
    for number, whole in ((6, list(map(bar, (4, 5, 6)))), (7, None)):
        for one in (short, long):
            one.add_all([bar(number)])
        rows.take_new()
        assert rows.saved_windows(long) == [SavedWindow(SYMBOL, "1m", number, 3, number * NS, whole)]


def test_rows_other_than_those_of_the_checkpoint_are_an_error_that_names_them() -> None:
    rows = BarRows([strategy(2)])
    rows.read([bar(1)])

    with pytest.raises(StorageError, match=f"table bars: {SYMBOL} 1m has 1 rows, the last of {NS}.* backup"):
        rows.bars_of(SavedWindow(SYMBOL, "1m", 2, 2, 2 * NS))
    with pytest.raises(StorageError, match=f"table bars: {SYMBOL} 1m has 1 rows"):
        rows.bars_of(SavedWindow(SYMBOL, "1m", 2, 1, 2 * NS))
    rows.forget()
    with pytest.raises(StorageError, match="has 0 rows, the checkpoint knows of 1"):
        rows.bars_of(SavedWindow(SYMBOL, "1m", 1, 1, NS))


STEPS = st.lists(
    st.tuples(st.sampled_from(["first", "second", "checkpoint", "restart"]), st.integers(1, 9)), max_size=30
)


@given(STEPS, st.integers(1, 6), st.integers(1, 6))
def test_windows_are_restored_as_they_were_however_far_apart_the_strategies_are(
    steps: list[tuple[str, int]], first_n: int, second_n: int
) -> None:
    # Given two strategies with windows of their own length, each shown bars at its own pace
    lengths = {"first": first_n, "second": second_n}
    strategies = {name: strategy(n) for name, n in lengths.items()}
    rows, shown, stored = BarRows(list(strategies.values())), dict.fromkeys(lengths, 0), list[Bar]()
    for step, count in steps:
        if step in lengths:
            strategies[step].add_all(map(bar, range(shown[step] + 1, shown[step] + count + 1)))
            shown[step] += count
            continue
        # When a checkpoint is made, and sometimes a session resumed from it
        stored += rows.take_new()
        stored = stored[-max(lengths.values()) :]
        saved = {name: msgspec.msgpack.encode(rows.saved_windows(one)) for name, one in strategies.items()}
        if step == "restart":
            share = msgspec.msgpack.decode(msgspec.msgpack.encode(rows.export_state()))
            strategies = {name: strategy(n) for name, n in lengths.items()}
            rows = BarRows(list(strategies.values()))
            rows.read(stored)
            rows.import_state(share)
            for name, one in strategies.items():
                for window in msgspec.msgpack.decode(saved[name], type=list[SavedWindow]):
                    one.restore_window(window.symbol, window.interval, rows.bars_of(window), window.added)
        # Then every window holds the last bars that its strategy was shown
        for name, one in strategies.items():
            last = shown[name]
            assert numbers(one.shown()) == list(range(max(1, last - lengths[name] + 1), last + 1))


def test_a_session_without_bars_has_no_rows_and_no_share_of_a_checkpoint(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(ScriptedStrategy())
    rig.quotes(kst(9), 5)
    assert rig.kernel.host.bar_rows is None
    assert list(rig.store.bars()) == []
    assert b"bar_rows" not in (rig.store.checkpoint() or b"bar_rows")
