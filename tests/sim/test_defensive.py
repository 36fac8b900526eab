"""Whole sessions that fall into DEFENSIVE: they come out again, trade again, and say what they were judged on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from qts.capital.contracts import Pool
from qts.market.contracts import Bar, Quote
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options
from qts.runtime.wiring.plans import replay_plan
from qts.strategy.contracts import Context, FillView, Intent, Side
from tests.sim.recordings import FIRST_DAY, row, write

QUOTES_A_DAY = 13
SINKING_DAYS = 8


class Buyer:
    """Holds 200 shares; sells them once, below 90,000 won, and asks for them again from five days later on."""

    name = "buyer"
    pool = Pool.SWING
    symbols: Sequence[str] = ()

    def __init__(self) -> None:
        self.quotes_to_wait = 0
        self.sold = False

    def on_start(self, ctx: Context) -> None:
        """Nothing to prepare."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes_to_wait -= 1
        if ctx.working(quote.symbol) or self.quotes_to_wait > 0:
            return ()
        if not ctx.holding(quote.symbol):
            return (Intent(quote.symbol, Side.BUY, 1.0, qty=200, reason="in"),)
        if self.sold or quote.bid is None or quote.bid >= 90_000:
            return ()
        self.sold, self.quotes_to_wait = True, 5 * QUOTES_A_DAY
        return (Intent(quote.symbol, Side.SELL, 1.0, reason="out"),)

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Nothing to remember."""


def tape(path: Path, days: int = 40) -> Path:
    """A price that loses 7 % of its first value a day for eight trading days and then walks sideways."""
    rng = random.Random(3)
    bid, lines, day, done = 150_000, [], FIRST_DAY, 0
    while done < days:
        if day.weekday() < 5 and (day.month, day.day) not in {(2, 16), (2, 17), (2, 18), (3, 2)}:
            for number in range(QUOTES_A_DAY):
                moment = day.replace(hour=9, minute=1) + timedelta(minutes=28 * number)
                lines.append(row(moment, bid, size=5_000))
                bid -= 800 if done < SINKING_DAYS else rng.choice((-100, 0, 100))
            done += 1
        day += timedelta(days=1)
    return write(path, lines)


@pytest.fixture
def strategy_file(tmp_path: Path) -> str:
    file = tmp_path / "buyer.py"
    file.write_text("from tests.sim.test_defensive import Buyer\n", encoding="utf-8")
    return f"{file}:Buyer"


SETTINGS = {
    "risk.symbol_weight_limit": "0.95",
    "risk.position_size_limit": "1",
    "pipeline.market_buy_collar": "0.01",
    "runtime.freshness.snapshot_ms": "3600000",
    "runtime.freshness.generated_ms": "600000",
    "runtime.checkpoint_interval_rows": "100",
}


def trade(data: Path, directory: Path, strategy: str, *, resume: bool = False, **settings: str) -> SessionResult:
    options = Options(
        seed=7,
        data_dir=directory,
        resume=resume,
        strategies=(strategy,),
        overrides=SETTINGS | {name.replace("__", "."): value for name, value in settings.items()},
    )
    return run_session(replay_plan(options, [data], None), progress=lambda share, moment: None, stop=StopFlag())


def test_a_flat_account_comes_out_of_defensive_and_enters_again(tmp_path: Path, strategy_file: str) -> None:
    values = trade(tape(tmp_path / "tape.csv"), tmp_path / "run", strategy_file).values

    moves = [(move["from"], move["to"]) for move in values.transitions]
    assert moves[:2] == [("BALANCED", "DEFENSIVE"), ("DEFENSIVE", "BALANCED")]
    basis = values.state_basis
    assert basis["volatility"]["source"] == "none"
    assert 0 < basis["days_without_entry"] < basis["trading_days"] == 40
    assert values.fills > 0
    assert values.positions, "it entered again after DEFENSIVE had ended"


def test_a_state_that_is_switched_off_moves_nothing(tmp_path: Path, strategy_file: str) -> None:
    values = trade(tape(tmp_path / "tape.csv"), tmp_path / "run", strategy_file, state__enabled="false").values

    assert values.transitions == []
    assert values.state_basis["enabled"] is False
    assert values.state_basis["days_without_entry"] == 0
    assert "BELOW_STATE_THRESHOLD" not in values.refusals
