"""A strategy, or a library it imports, may set any decimal context: the money of the session stays what it was."""

from __future__ import annotations

import decimal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import paper_plan, replay_plan
from tests.sim import recordings
from tests.sim.sessions import book_of, comparable, run

STRATEGY = '''
"""Buys seven, sells above cost; sets every decimal context there is when CONTEXTS_SET is in the environment."""
import os
from decimal import *

from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

HOSTILE = "CONTEXTS_SET" in os.environ
EVERY_TRAP = [Inexact, Rounded, Subnormal, Clamped, FloatOperation, InvalidOperation, DivisionByZero, Overflow]

if HOSTILE:
    getcontext().prec = 6
    getcontext().rounding = ROUND_UP
    for shared in (DefaultContext, BasicContext, ExtendedContext):
        shared.prec, shared.capitals, shared.Emax, shared.Emin = 2, 0, 9, -9


class Meddler:
    name = "meddler"
    pool = Pool.SCALP
    symbols = ()

    def __init__(self):
        self.seen = 0
        if HOSTILE:
            setcontext(Context(prec=1, rounding=ROUND_FLOOR, Emin=-3, Emax=3, capitals=0, traps=[]))

    def on_start(self, ctx):
        if HOSTILE:
            getcontext().prec = 2
            for signal in EVERY_TRAP:
                getcontext().traps[signal] = True

    def on_quote(self, ctx, quote):
        self.seen += 1
        if HOSTILE:
            getcontext().prec = 3
        if ctx.working(quote.symbol) or quote.mid is None or ctx.budget < 1:
            return
        with localcontext() as mine:
            if HOSTILE:
                mine.prec, mine.rounding, mine.capitals = 1, ROUND_UP, 0
            cost = ctx.average_cost(quote.symbol)
            if cost is None:
                yield Intent(quote.symbol, Side.BUY, 1.0, qty=7, limit=quote.ask, reason="in")
            elif quote.mid > cost or self.seen % 10 == 0:
                yield Intent(quote.symbol, Side.SELL, 1.0, reason="out")
            if HOSTILE:
                setcontext(Context(prec=3, rounding=ROUND_CEILING, capitals=0, traps=[]))

    def on_bar(self, ctx, bar):
        if HOSTILE:
            getcontext().prec = 4
        return ()

    def on_fill(self, ctx, fill):
        if HOSTILE:
            setcontext(Context(prec=1, rounding=ROUND_UP, capitals=0, traps=EVERY_TRAP))

    def save_state(self):
        if HOSTILE:
            getcontext().prec = 5
        return {"seen": self.seen}

    def load_state(self, memory):
        self.seen = memory["seen"]
'''


@pytest.fixture(autouse=True)
def _shared_contexts_as_they_were() -> Iterator[None]:
    names = ("prec", "rounding", "capitals", "Emin", "Emax")
    shared = (decimal.DefaultContext, decimal.BasicContext, decimal.ExtendedContext)
    before = [{name: getattr(context, name) for name in names} for context in shared]
    yield
    for context, values in zip(shared, before, strict=True):
        for name, value in values.items():
            setattr(context, name, value)


@pytest.fixture
def strategy(tmp_path: Path) -> str:
    (tmp_path / "meddler.py").write_text(STRATEGY, "utf-8")
    return f"{tmp_path / 'meddler.py'}:Meddler"


def replayed(strategy: str, place: Path) -> SessionResult:
    options = Options(
        seed=7,
        strategies=(strategy,),
        data_dir=place,
        overrides={"risk.symbol_weight_limit": "0.9", "runtime.checkpoint_interval_rows": "100"},
    )
    lines = recordings.write(place.parent / "walk.csv", recordings.walk(600, days=2))
    return run(replay_plan(options, [lines], None))


def test_a_replay_is_the_same_bytes_whatever_contexts_its_strategy_sets(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = replayed(strategy, tmp_path / "calm")
    monkeypatch.setenv("CONTEXTS_SET", "1")
    meddled = replayed(strategy, tmp_path / "meddled")

    assert calm.values.fills > 20
    assert comparable(meddled.values) == comparable(calm.values)
    assert book_of(tmp_path / "meddled") == book_of(tmp_path / "calm")
    assert decimal.getcontext().prec == 28


def test_nor_does_the_context_of_the_starting_thread_matter(strategy: str, tmp_path: Path) -> None:
    calm = replayed(strategy, tmp_path / "calm")
    with decimal.localcontext(decimal.Context(2, decimal.ROUND_UP, -9, 9, 0, 1, [], [])):
        other = replayed(strategy, tmp_path / "other")

    assert comparable(other.values) == comparable(calm.values)
    assert book_of(tmp_path / "other") == book_of(tmp_path / "calm")


def booked(store: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(store)) as book:
        return list(book.execute("SELECT side, qty, price, amount, fee, tax FROM t_ledger"))


@pytest.mark.parametrize("lane", ["loop", "process"])
def test_a_paper_session_books_exactly_whatever_contexts_its_strategy_sets(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: str
) -> None:
    """Given a meddling strategy, when it trades on paper, then every fee, tax and sum is what fractions give.

    0.015 % fee on both sides, 0.20 % tax on sales in 2026, each cut to the won.
    """
    monkeypatch.setenv("CONTEXTS_SET", "1")
    options = Options(
        seed=7,
        strategies=(strategy,),
        data_dir=tmp_path / "run",
        speed=200.0,
        overrides={
            "risk.symbol_weight_limit": "0.9",
            "runtime.strategy_lane": lane,
            "runtime.freshness.generated_ms": "600000",  # at this speed a busy machine is late by market minutes
            "runtime.freshness.live_ms": "60000",
            "runtime.freshness.snapshot_ms": "86400000",
        },
    )
    opened = recordings.FIRST_DAY.replace(hour=10)
    rows_of = (
        recordings.row(opened + timedelta(seconds=2 * n), 150_000 + 100 * (n % 7 - n % 3)) for n in range(6_000)
    )
    feed = recordings.write(tmp_path / "walk.csv", list(rows_of))
    stop, store = StopFlag(), tmp_path / "run" / "qts.sqlite"

    def stop_after_four_fills(_share: float | None, _moment: int) -> None:
        if len(booked(store)) >= 4:
            stop.request()

    result = run_session(paper_plan(options, str(feed), None), progress=stop_after_four_fills, stop=stop)

    rows = booked(store)
    with closing(sqlite3.connect(store)) as book:
        cash = sum(Fraction(text) for (text,) in book.execute("SELECT cash FROM capital_pools"))
    assert len(rows) >= 4
    spent = Fraction(0)
    for side, *texts in rows:
        qty, price, amount, fee, tax = map(Fraction, texts)
        assert amount == qty * price
        assert fee == amount * Fraction(15, 100_000) // 1
        assert tax == (amount * Fraction(20, 10_000) // 1 if side == "SELL" else 0)
        assert not any("e" in text for text in texts)
        spent += (amount if side == "BUY" else -amount) + fee + tax
    assert cash == 100_000_000 - spent
    assert [name for name, held in result.values.invariants.items() if held["ok"] is False] == []
    assert result.values.halted_strategies == []


@pytest.mark.parametrize("capital", ["1000000000000", "1000000000000000"])
@pytest.mark.parametrize("noise", ["", "000000001"])
def test_eight_decimals_and_float_noise_add_up_in_the_largest_account(
    strategy: str, tmp_path: Path, capital: str, noise: str
) -> None:
    """Given prices of 8 decimals, clean or noisy, when 10^12 and 10^15 trade, then nothing breaks."""
    opened = recordings.FIRST_DAY.replace(hour=10)
    lines = [
        f"{(opened + timedelta(seconds=n)).isoformat()},ETHKRW,{2310.0 + n % 5}0000001{noise},"
        f"{2310.1 + n % 5:.1f}0000001{noise},10.0420303051467{n % 10},9.457884745118275"
        for n in range(60)
    ]
    path = recordings.write(tmp_path / "eight.csv", lines, "ts,symbol,bid,ask,bid_size,ask_size")
    options = Options(
        seed=7,
        strategies=(strategy,),
        data_dir=tmp_path / "run",
        overrides={"runtime.equity_start": capital, "risk.symbol_weight_limit": "0.9"},
    )
    values = run(replay_plan(options, [path], None)).values

    assert values.fills > 3
    assert {name for name, held in values.invariants.items() if held["ok"] is False} == set()
    assert values.safety_state == "NORMAL"
