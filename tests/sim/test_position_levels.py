"""Stops, takes and trails in whole sessions on bars: by hand, over restarts, and as another program has them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from qts.clock import NS_PER_S, to_ns
from qts.db.datadir import DATABASE_NAME
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, Profile, SessionPlan
from qts.runtime.wiring.profiles import PLAIN_SETTINGS
from qts.runtime.wiring.stores import stored_run
from tests.sim.bar_sessions import BarFeed
from tests.sim.level_tapes import (
    DAYS,
    FIRST,
    SHARE,
    SLIPPAGE,
    Day,
    Model,
    OnTapes,
    Trade,
    bars_of,
    instrument,
    tape,
)
from tests.sim.sessions import book_of, comparable, run

SYMBOLS = 100
DAY_NS = 86_400 * NS_PER_S

SETTINGS = {
    **PLAIN_SETTINGS,
    "runtime.equity_start": "100000000000",
    "runtime.checkpoint_interval_rows": "100",
    "broker.sim.snapshot_participation": str(SHARE),
    "broker.sim.slippage_ticks": str(SLIPPAGE),
}


def plan_of(data_dir: Path, tapes: dict[str, list[Day]], *, resume: bool = False) -> SessionPlan:
    def strategies() -> list[OnTapes]:
        strategy = OnTapes()
        strategy.tapes = tapes
        return [strategy]

    return SessionPlan(
        command="replay",
        options=Options(seed=7, data_dir=data_dir, resume=resume, profile=Profile.PLAIN, overrides=SETTINGS),
        open_feed=lambda: BarFeed(map(instrument, tapes), bars_of(tapes)),
        default_strategies=strategies,
    )


def trades_in(data_dir: Path, symbols: Sequence[str]) -> dict[str, list[Trade]]:
    found: dict[str, list[Trade]] = {symbol: [] for symbol in symbols}
    begin = to_ns(FIRST) - DAY_NS
    with stored_run(data_dir / DATABASE_NAME) as store:
        for row in store.ledger():
            day = (row.ts_ns - begin) // DAY_NS
            found[row.symbol].append(Trade(day, int(row.qty) * row.side.sign, int(row.price)))
    return found


def at_row(plan: SessionPlan, row: int, call: Callable[[], object]) -> SessionPlan:
    """Return ``plan`` with a feed that calls before it gives its n-th value."""

    def open_feed() -> BarFeed:
        feed = plan.open_feed()
        values = feed.values

        def counted():  # type: ignore[no-untyped-def]
            for number, value in enumerate(values(), 1):
                if number == row:
                    call()
                yield value

        feed.values = counted  # type: ignore[method-assign]
        return feed  # type: ignore[return-value]

    return msgspec.structs.replace(plan, open_feed=open_feed)


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_tapes_trade_as_a_model_does_and_over_restarts(seed: int, tmp_path: Path) -> None:
    # Given a hundred symbols, each with a random tape of bars, targets and levels
    rng = random.Random(seed)
    tapes = {f"S{number:03}": tape(rng) for number in range(SYMBOLS)}
    by_hand = {symbol: Model().run(days) for symbol, days in tapes.items()}
    # When they are traded in one piece, of which a kill at a random row would leave a copy
    rows, killed = rng.sample(range(1, SYMBOLS * DAYS), 2), tmp_path / "killed"
    copied = at_row(
        plan_of(tmp_path / "whole", tapes), rows[1], lambda: shutil.copytree(tmp_path / "whole", killed)
    )
    whole = run(copied)
    # Then each trade is the model's
    found = trades_in(tmp_path / "whole", list(tapes))
    for symbol, trades in by_hand.items():
        assert found[symbol] == trades, (symbol, tapes[symbol])
    # And never more was sold than was held
    for trades in found.values():
        held = [sum(trade.qty for trade in trades[: at + 1]) for at in range(len(trades))]
        assert min(held, default=0) >= 0
    assert not [name for name, one in whole.values.invariants.items() if one["ok"] is False]
    # When they are stopped at a random row and resumed, then nothing is another way
    stop = StopFlag()
    stopped = at_row(plan_of(tmp_path / "stopped", tapes), rows[0], stop.request)
    run_session(stopped, progress=lambda share, moment: None, stop=stop)
    resumed = run(plan_of(tmp_path / "stopped", tapes, resume=True))
    assert comparable(resumed.values) == comparable(whole.values)
    assert book_of(tmp_path / "stopped") == book_of(tmp_path / "whole")
    # And what the kill would leave ends the same way
    run(plan_of(killed, tapes, resume=True))
    assert book_of(killed) == book_of(tmp_path / "whole")
