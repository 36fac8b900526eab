"""Which rows warm a session up: those of the input before --from, then files of --history; from plan to bars."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from qts.errors import DataError, InputError
from qts.market.contracts import Feed
from qts.market.series.history import RowHistory
from qts.market.series.wanted import wanted_bars
from qts.notes import Note
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import backtest_plan
from qts.runtime.wiring.warm_up import read_history
from qts.workbench.inputs import files_of

HEADER = "Date,Open,High,Low,Close,Volume\n"
SYMBOL = "005930"


def day(number: int, price: int) -> str:
    """Return the row of a day of March 2024: the 4th is a Monday."""
    return f"2024-03-{number:02d},{price},{price},{price},{price},10\n"


def write(path: Path, days: dict[int, int]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEADER + "".join(day(number, price) for number, price in days.items()))
    return path


def plan_of(data: Path, **options: object) -> SessionPlan:
    return backtest_plan(Options(**options), [data], None)  # type: ignore[arg-type]


def warmed(plan: SessionPlan, declared: dict[str, int]) -> tuple[RowHistory, Feed]:
    feed = plan.open_feed()
    return read_history(wanted_bars(declared, (), "bars"), feed, plan.open_feed), feed


def closes(history: RowHistory, interval: str = "1d", n: int = 50) -> list[int]:
    return [int(bar.close) for bar in history.bars(SYMBOL, interval, n, 2**62)]


def test_rows_before_the_first_day_warm_up_and_the_session_has_the_others(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {4: 100, 5: 200, 6: 300, 7: 400})

    history, feed = warmed(plan_of(data, first_day=date(2024, 3, 6)), {"1d": 50})

    assert closes(history) == [100, 200]
    assert [int(value.close) for value in feed.values()] == [300, 400]  # type: ignore[union-attr]


def test_a_file_of_history_gives_what_the_input_does_not_have(tmp_path: Path) -> None:
    # Given a file that overlaps the input by a day, with another price
    data = write(tmp_path / f"{SYMBOL}.csv", {5: 200, 6: 300, 7: 400})
    old = write(tmp_path / "old" / f"{SYMBOL}.csv", {1: 50, 4: 100, 5: 999, 6: 999})

    history, _ = warmed(plan_of(data, first_day=date(2024, 3, 6), history=(old,)), {"1d": 50})

    assert closes(history) == [50, 100, 200]
    (origin,) = history.origins()
    assert (origin.found, origin.missing) == (3, 47)
    assert [count for _, count in origin.sources] == [2, 1]
    assert origin.sources[1][0] == Note.of("warm-up-own-rows", day="2024-03-06")


def test_without_a_first_day_the_rows_before_the_first_of_the_input_count(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {6: 300, 7: 400})
    old = write(tmp_path / "old" / f"{SYMBOL}.csv", {4: 100, 5: 200, 6: 999, 7: 999})

    history, feed = warmed(plan_of(data, history=(old,)), {"1d": 50})

    assert closes(history) == [100, 200]
    assert next(iter(feed.values())).ts_ns > history.bars(SYMBOL, "1d", 1, 2**62)[0].ts_ns


def test_the_first_bar_of_the_session_follows_the_last_of_the_history(tmp_path: Path) -> None:
    # Given a week of which three days are history
    data = write(tmp_path / f"{SYMBOL}.csv", {4: 100, 5: 200, 6: 300, 7: 400, 8: 500})
    history, feed = warmed(plan_of(data, first_day=date(2024, 3, 7)), {"1w": 50, "1d": 50})
    assert closes(history, "1w") == []

    # When the session brings the other two
    for value in feed.values():
        history.builder.on_bar(value)  # type: ignore[arg-type]

    # Then the week is whole
    told = [bar for moment in history.builder.finish() for bar in moment.bars]
    (week,) = [bar for bar in told if bar.interval == "1w"]
    assert (week.open, week.close, week.volume) == (100, 500, 50)
    assert history.builder.repeated == 0


def test_without_rows_before_the_session_there_is_no_bar(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {6: 300, 7: 400})

    history, _ = warmed(plan_of(data), {"1d": 50})

    assert closes(history) == []
    assert [one.missing for one in history.origins()] == [50]


def test_files_of_history_are_part_of_the_name_of_the_input(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {6: 300, 7: 400})
    old = write(tmp_path / "old" / f"{SYMBOL}.csv", {4: 100, 5: 200})
    named = plan_of(data, history=(old,)).open_feed().source_id
    assert named == plan_of(data, history=(old,)).open_feed().source_id != plan_of(data).open_feed().source_id

    write(old, {4: 100, 5: 201})

    assert plan_of(data, history=(old,)).open_feed().source_id != named


def test_an_input_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {6: 300, 7: 400})
    first, other = plan_of(data), plan_of(write(tmp_path / "other" / f"{SYMBOL}.csv", {6: 1, 7: 1}))

    class Once:
        source_id = first.open_feed().source_id

    with pytest.raises(DataError, match="has changed since the session opened it"):
        read_history((), Once(), other.open_feed)  # type: ignore[arg-type]


def test_a_file_of_history_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    data = write(tmp_path / f"{SYMBOL}.csv", {6: 300, 7: 400})

    with pytest.raises(InputError, match=r"missing\.csv"):
        plan_of(data, history=(tmp_path / "missing.csv",)).open_feed()


def test_history_of_a_program_may_be_tables_as_its_data(tmp_path: Path) -> None:
    class Table:
        """A table that writes itself, as one of Polars does."""

        def write_csv(self, path: Path) -> None:
            path.write_text(HEADER + day(4, 100))

    (path,) = files_of({SYMBOL: Table()}, None, tmp_path / "history", "history")
    assert path.read_text() == HEADER + day(4, 100)

    with pytest.raises(InputError, match=r"^history must be a path"):
        files_of(5, None, tmp_path, "history")
