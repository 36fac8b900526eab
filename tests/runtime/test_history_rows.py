"""The log names refused signals and capital that may not move: the code and the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import msgspec

from qts.capital.contracts import Pool
from qts.event.contracts import EventType, create_event, default_factory
from qts.market.contracts import Quote
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.state.contracts import ManualOverride, OperatingState
from qts.strategy.contracts import Context, Intent, Side
from tests.runtime.rig import Rig, ScriptedStrategy, kst
from tests.sim.sessions import Restless, run, spike_plan


def moved_by_hand(rig: Rig, state: OperatingState) -> None:
    now = rig.clock.now()
    rig.shared.state.apply_override(ManualOverride(state, "drill", "alice", now, now + timedelta(days=1)))


def test_a_refusal_is_stored_with_its_guardrail_and_safety_is_not_told(rig_of: Callable[..., Rig]) -> None:
    # Given DEFENSIVE, in which no strategy may enter
    messages = ScriptedStrategy()
    rig = rig_of(messages)
    rig.quote(kst(9, 30))
    moved_by_hand(rig, OperatingState.DEFENSIVE)
    # when a strategy wants to buy
    messages.intents = [Intent("005930", Side.BUY, 1.0, qty=1, reason="drill")]
    rig.quote(kst(9, 31))
    run_to_completion(rig.shared.record.checkpoint())
    # then the row names GR082, and safety stays NORMAL: its way up would be shut as long as a strategy asks
    (row,) = rig.store.refusals()
    assert (row.reason, row.detail) == (
        "NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE",
        "GR082 DEFENSIVE takes exits only",
    )
    assert rig.shared.safety.current_state is SafetyState.NORMAL


def test_a_move_of_capital_that_is_reduced_or_waits_says_so(rig_of: Callable[..., Rig]) -> None:
    # Given 40/35/25 million and DEFENSIVE, whose targets lie far away, with 5 % of equity that may move a day
    rig = rig_of()
    rig.quote(kst(9, 30))
    moved_by_hand(rig, OperatingState.DEFENSIVE)
    # when the day closes
    rig.kernel.days.day_close(kst(15, 30))
    rig.drain()
    # then SWING's move is cut to five million, and SCALP's waits
    messages = [line.message for line in rig.logged if "GR05" in line.message]
    assert any(line.startswith("5000000 moved from SWING to PORTFOLIO: GR053") for line in messages)
    assert any(line.startswith("GR054 ") and "SCALP" in line for line in messages)


class Noting(Restless):
    """Makes events of its own, as a careless strategy might."""

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        event = create_event(EventType.METRIC_RECORD)
        self.seen_fills[event.event_id] = int(event.timestamp.timestamp() * 1_000)
        return super().on_quote(ctx, quote)


def test_events_made_in_a_session_have_its_clock_and_its_ids(tmp_path: Path) -> None:
    # Given a strategy that makes events with create_event
    mine, before = Noting("noting", Pool.SCALP, 50), default_factory()
    # when it runs through the days before the spike of February 2018
    run(msgspec.structs.replace(spike_plan(tmp_path), default_strategies=lambda: (mine,)))
    # then its events have the session's ids and market time, and afterwards everything is as it was
    stamps = {key: stamp for key, stamp in mine.seen_fills.items() if "-e-" in key}
    assert len(stamps) == mine.quotes
    assert 1_517_000_000_000 < min(stamps.values()) < max(stamps.values()) < 1_519_000_000_000
    assert default_factory() is before
