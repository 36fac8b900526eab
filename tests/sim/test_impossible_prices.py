"""Whole sessions over an undeclared split: what is held keeps its value, and a stop anywhere changes nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.market.contracts import MarketValue, Quote
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session_plan import SessionPlan
from tests.sim.sessions import SYMBOL, Restless, book_of, comparable, run
from tests.sim.test_resume import StopAfter
from tests.sim.tiny import QUOTES, THURSDAY, TinyFeed, day_of_values, tiny_plan

SPLIT = Decimal(50)


class SplitFeed(TinyFeed):
    """A day of quotes, then two days of the same share after 50:1; in the second a stray row of the old scale."""

    source_id = "split"

    def __init__(self) -> None:
        super().__init__()
        days = [day_of_values(THURSDAY + timedelta(days=days), seed) for days, seed in ((0, 1), (1, 2), (4, 3))]
        first, *after = [[value for value in day if isinstance(value, Quote)] for day in days]
        self._values: list[MarketValue] = [*first]
        for day in after:
            self._values += [divided(quote) for quote in day]
        self._values[QUOTES + 30] = after[0][30]


def divided(quote: Quote) -> Quote:
    assert quote.bid is not None
    assert quote.ask is not None
    bid = quote.bid / SPLIT // 10 * 10
    return msgspec.structs.replace(quote, bid=bid, ask=bid + 10, last=None)


def plan(data_dir: Path, *, resume: bool = False) -> SessionPlan:
    made = tiny_plan(data_dir, resume=resume)
    return msgspec.structs.replace(made, open_feed=SplitFeed, default_strategies=strategies)


def strategies() -> list[Restless]:
    """The second buys at the 25th quote of 60 and holds that."""
    return [Restless("restless", Pool.SCALP, 3), Restless("holding", Pool.SWING, 25)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SessionResult:
    return run(plan(tmp_path_factory.mktemp("split")))


def test_no_fill_and_no_value_ever_comes_from_the_other_scale(undisturbed: SessionResult) -> None:
    values = undisturbed.values

    assert values.rows == 3 * QUOTES
    row = values.doubtful_prices[SYMBOL]
    assert (row["refused"], row["in_doubt"], row["ratio"]) == (2 * QUOTES - 1, True, "50:1")
    assert values.fills > 0
    assert values.positions
    assert abs(Decimal(values.equity_end) - Decimal(values.equity_start)) < 2_000_000
    assert not [change for change in values.safety_changes if change["code"].startswith("FS")]
    assert all(one["ok"] is not False for one in values.invariants.values())


@pytest.mark.parametrize("rows", [QUOTES, QUOTES + 1, QUOTES + 30, QUOTES + 31, QUOTES + 32, 2 * QUOTES + 1])
def test_a_stop_in_the_middle_of_doubt_changes_nothing(
    rows: int, undisturbed: SessionResult, tmp_path: Path
) -> None:
    stopped = StopAfter(plan(tmp_path), rows).run()
    resumed = run(plan(tmp_path, resume=True))

    assert (stopped.finished, resumed.finished) == (False, True)
    assert comparable(resumed.values) == comparable(undisturbed.values)
    assert book_of(tmp_path) == book_of(undisturbed.directory)
