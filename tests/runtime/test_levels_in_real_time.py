"""A stop on bars in a paper session: sold in the bar before the strategy sees it, over a store beside the loop."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

from qts.clock import to_ns
from qts.db.datadir import DATABASE_NAME
from qts.kit import Bar, Target
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.stores import stored_run
from tests.sim.bar_sessions import WIDE, BarFeed
from tests.sim.test_levels_on_bars import CALM, COIN, FIRST, Scripted


class PatientFeed(BarFeed):
    """Bars whose prices do not grow old, since a minute passes here within a second."""

    max_age_ns = 10**18


def test_a_stop_in_real_time_sells_in_its_bar_before_the_strategy_sees_it(tmp_path: Path) -> None:
    # Given ten bought with a stop at 95 in a session on the event loop: bars of every other minute, so that there
    # is time to decide before the next begins
    strategy = Scripted()
    strategy.wants = {0: [Target("COIN", 10, stop=95)]}
    bars = [
        Bar("COIN", to_ns(FIRST + timedelta(minutes=2 * at)), *map(D, text.split()), D(1_000), "1m")
        for at, text in enumerate((CALM, CALM, "100 101 90 98", CALM))
    ]
    plan = SessionPlan(
        command="run",
        options=Options(seed=7, data_dir=tmp_path, speed=100, overrides={**WIDE, "risk.approval_ttl_ms": "60000"}),
        open_feed=lambda: PatientFeed([COIN], bars),
        default_strategies=lambda: [strategy],
        paced=True,
    )
    # When the third bar falls to 90
    result = run_session(plan, progress=lambda share, moment: None, stop=StopFlag())
    # Then it has sold at 95 when the strategy sees that bar
    assert strategy.seen == [
        "bar 100 holding 0",
        "BUY 10 at 100",
        "bar 100 holding 10",
        "SELL 10 at 95",
        "bar 98 holding 0",
        "bar 100 holding 0",
    ]
    assert not [name for name, one in result.values.invariants.items() if one["ok"] is False]
    with stored_run(tmp_path / DATABASE_NAME) as store:
        (order,) = [order for order in store.orders() if order.forced]
    assert (order.reason, order.filled) == ("stop 95 reached at 95", 10)
