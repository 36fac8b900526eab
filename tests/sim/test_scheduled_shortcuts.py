"""Scheduled work that would change nothing is not done: with and without that the session is the same.

Only the numbers of evaluations and of the audit's checks may differ. A stopped and resumed session has even those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S, to_ns
from qts.market.contracts import Bar, Instrument, MarketValue, Quote
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.checks.auditor import Auditor
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.session.state_evaluation import StateEvaluation
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.sim.sessions import book_of, comparable, run

START_NS = to_ns(datetime(2024, 1, 22, 12, tzinfo=UTC))
MINUTE_NS = 60 * NS_PER_S
Rows = Sequence[tuple[int, int]]
"""Of each quote: the minutes since the one before, and by how many parts in a hundred the price has moved."""


class Moves:
    """A feed of one symbol that trades day and night."""

    name = source_id = "moves"
    max_age_ns = 10**18
    declares_volatility = False
    rows_refused: Mapping[str, int] = {}

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._given = 0
        ticks, costs = FixedTicks(D("0.1")), RateCosts(D("0.0005"), D(0), D("0.00000001"))
        self.instruments = {
            "BTC": Instrument("BTC", "USDT", D("0.00000001"), D("0.001"), ticks, costs, AlwaysOpen())
        }

    def values(self) -> Iterator[MarketValue]:
        ts_ns, price = START_NS, D(1_000)
        for number, (minutes, percent) in enumerate(self._rows):
            ts_ns += minutes * MINUTE_NS
            price = max(D(10), (price * (100 + percent) / 100).quantize(D("0.1")))
            if number >= self._given:
                self._given += 1
                yield Quote("BTC", ts_ns, price, price + D("0.1"), D(1_000), D(1_000))

    def position(self) -> dict[str, Any]:
        return {"given": self._given}

    def resume(self, position: Mapping[str, Any]) -> None:
        self._given = position["given"]

    def progress(self) -> float | None:
        return None


class InAndOut:
    """Buys, holds for some quotes, sells, waits; stops the session at its quote ``stops_at``."""

    symbols: Sequence[str] = ()
    name, pool = "in-and-out", Pool.SWING

    def __init__(self, hold: int, stops_at: int = 0, stop: StopFlag | None = None) -> None:
        self.hold = hold
        self.seen = 0
        self._stop = (stops_at, stop)

    def save_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]

    def on_start(self, ctx: Context) -> None:
        """Prepare nothing."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.seen += 1
        if self._stop[1] is not None and self.seen == self._stop[0]:
            self._stop[1].request()
        if self.seen % self.hold:
            return ()
        if ctx.holding("BTC"):
            return (Intent("BTC", Side.SELL, 1.0, reason="out"),)
        return (Intent("BTC", Side.BUY, 1.0, qty=D(20), reason="in"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Note nothing."""


SETTINGS = {
    "runtime.currency": "USDT",
    "runtime.equity_start": "100000",
    "risk.symbol_weight_limit": "0.9",
    "risk.exposure_limit": "0.95",
    "state.balanced_to_defensive.drawdown_pct": "0.01",
    "state.defensive_to_balanced.drawdown_pct": "0.009",
    "state.defensive_to_balanced.profitable_days": "1",
    "state.defensive_to_balanced.held_days": "1",
    "state.min_hold_days.defensive": "1.5",
    "state.flat_rebase_days": "2",
}


def session(
    directory: Path, rows: Rows, hold: int, *, stops_at: int = 0, resume: bool = False
) -> tuple[SessionResult, dict[str, Any]]:
    """Run a session, stopped at a quote if wanted; return its result and its rows."""
    stop = StopFlag()
    plan = SessionPlan(
        command="replay",
        options=Options(data_dir=directory, resume=resume, overrides=SETTINGS),
        open_feed=lambda: Moves(rows),
        default_strategies=lambda: (InAndOut(hold, stops_at, stop),),
    )
    return run(plan, stop), book_of(directory)


def without_counts(result: SessionResult, book: dict[str, Any]) -> tuple[Any, Any]:
    """Return both without the numbers of evaluations and of the audit's checks."""
    values = comparable(result.values)
    del values["events_by_priority"]["P2"], values["queues"]["P2"]
    for row in values["invariants"].values():
        del row["checks"]
    told = []
    for *columns, meta, _ in book["state_history"]:  # the digest of a row follows from its content
        told.append((*columns, {k: v for k, v in json.loads(meta).items() if k != "confirmation_evaluations"}))
    return values, {**book, "state_history": told}


GAPS = st.sampled_from([1, 1, 20, 60, 61, 600, 1_440, 1_440, 4_320, 30_000])
ROWS = st.lists(st.tuples(GAPS, st.integers(-4, 4)), min_size=12, max_size=70)
QUIET = [(1_440, 1), (1_440, -1)] * 20
FALLING = [(1_440, 1)] * 3 + [(600, -3)] * 9 + [(1_440, 1)] * 25


@settings(max_examples=8, deadline=None)
@example(rows=QUIET, hold=5)
@example(rows=FALLING, hold=4)
@given(rows=ROWS, hold=st.integers(1, 9))
def test_work_that_changes_nothing_is_left_out_and_nothing_else_changes(rows: Rows, hold: int) -> None:
    # Given a session in which every evaluation is made and every audit reads the whole book
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateEvaluation, "steady_until_ns", lambda self: 0)
        patch.setattr(Auditor, "run_daily_audit", Auditor.run_full_audit)
        everything = session(Path(directory) / "run", rows, hold)

    # When
    with TemporaryDirectory() as directory:
        spared = session(Path(directory) / "run", rows, hold)

    # Then
    assert without_counts(*spared) == without_counts(*everything)


@settings(max_examples=8, deadline=None)
@example(rows=QUIET, hold=5, share=0.4)
@example(rows=FALLING, hold=4, share=0.6)
@given(rows=ROWS, hold=st.integers(1, 9), share=st.floats(0.05, 0.95))
def test_a_resumed_session_leaves_out_and_does_the_same_work(rows: Rows, hold: int, share: float) -> None:
    # Given an uninterrupted session
    with TemporaryDirectory() as directory:
        result, book = session(Path(directory) / "run", rows, hold)

    # When another is stopped and resumed
    with TemporaryDirectory() as directory:
        place = Path(directory) / "run"
        stopped, _ = session(place, rows, hold, stops_at=max(1, int(share * len(rows))))
        assert not stopped.finished
        resumed, resumed_book = session(place, rows, hold, resume=True)

    # Then even the numbers of evaluations and checks agree
    assert comparable(resumed.values) == comparable(result.values)
    for facts in (book, resumed_book):
        del facts["decisions"]  # a resumed account may write the same amount with fewer zeros behind it
    assert resumed_book == book


def test_the_sessions_above_trade_and_move_the_operating_state() -> None:
    with TemporaryDirectory() as directory:
        result, book = session(Path(directory) / "run", FALLING, 4)

    assert result.values.fills >= 2
    assert {"DEFENSIVE"} <= {row[4] for row in book["state_history"]}
