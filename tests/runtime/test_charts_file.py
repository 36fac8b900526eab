"""The file of what a report draws: what a strategy has plotted is there after the session, with it and without."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from qts.errors import StorageError
from qts.kit import Context, Intent, Quote, Strategy
from qts.runtime.persistence.charts_file import FILE_NAME, Charts, Line, read_charts, write_charts
from tests.sim.sessions import run, spike_plan

LINE = Line(strategy="a", pane="", name="z", times_ns=[1, 2], values=[0.5, -1.0])


class Plotting(Strategy):
    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        if quote.bid is not None:
            ctx.plot("bid", quote.bid)
        return ()


def test_what_is_written_is_read_and_nothing_is_no_file(tmp_path: Path) -> None:
    assert read_charts(tmp_path) == Charts()
    write_charts(tmp_path, Charts(lines=[LINE]))
    assert read_charts(tmp_path).lines == [LINE]
    # A run of the same input that plots nothing leaves no chart of the one before
    write_charts(tmp_path, Charts())
    assert not (tmp_path / FILE_NAME).exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(StorageError, match=r"charts\.json is not what was written"):
        read_charts(tmp_path)


def test_a_session_leaves_what_its_strategies_have_plotted(tmp_path: Path) -> None:
    # Given a strategy that plots the bid of every quote
    plan = spike_plan(tmp_path / "run")
    run(msgspec.structs.replace(plan, default_strategies=lambda: (Plotting(),)))
    # Then the series is beside the books, under the strategy's name
    (line,) = read_charts(tmp_path / "run").lines
    assert (line.strategy, line.pane, line.name) == ("Plotting", "", "bid")
    assert len(line.times_ns) == len(line.values) > 100
    assert line.times_ns == sorted(line.times_ns)
