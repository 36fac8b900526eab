"""Evaluate and Decide: enough confidence for the operating state, then the gate."""

from __future__ import annotations

import pytest

from qts.capital.contracts import Pool
from qts.pipeline.contracts import Acted, Candidate
from qts.risk.contracts import Refusal, Refused
from qts.risk.rules import engine_active
from qts.state.contracts import STATE_PROPERTIES, OperatingState
from qts.strategy.contracts import Side
from tests.pipeline.rig import PipelineRig

A, B, DEF = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE


@pytest.mark.parametrize(("state", "enough", "too_weak"), [(A, 0.60, 0.59), (B, 0.70, 0.69), (DEF, 0.90, 0.89)])
def test_an_entry_needs_the_state_s_confidence(state: OperatingState, enough: float, too_weak: float) -> None:
    rig = PipelineRig(state)

    def answer(confidence: float) -> Candidate | Refused:
        return rig.evaluate(rig.transform(rig.extract(rig.signal(confidence=confidence))))

    assert isinstance(answer(enough), Candidate)
    refused = answer(too_weak)
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.BELOW_STATE_THRESHOLD
    assert str(too_weak) in refused.detail
    assert state.value in refused.detail


@pytest.mark.parametrize("state", list(OperatingState))
async def test_an_exit_is_not_asked_for_confidence(state: OperatingState) -> None:
    rig = PipelineRig(state)
    rig.hold(10)

    assert isinstance(await rig.run(Side.SELL, 0.0), Acted)
    assert [(one.request.side, one.request.qty) for one in rig.broker.placed] == [(Side.SELL, 10)]


async def test_a_strong_buy_in_defensive_is_refused_as_such() -> None:
    rig = PipelineRig(DEF)

    refused = await rig.run(confidence=1.0, pool=Pool.PORTFOLIO, strategy="p")

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE
    assert refused.code == "GR082"
    assert not rig.broker.placed
    assert not rig.log.durable


async def test_the_same_buy_in_balanced_leaves() -> None:
    rig = PipelineRig(B)

    assert isinstance(await rig.run(confidence=1.0, pool=Pool.PORTFOLIO, strategy="p"), Acted)
    assert [one.request.strategy for one in rig.broker.placed] == ["p"]


@pytest.mark.parametrize(
    ("state", "pool", "awake"),
    [
        (A, Pool.SCALP, True),
        (B, Pool.SCALP, True),
        (DEF, Pool.SCALP, False),
        (DEF, Pool.SWING, True),
        (DEF, Pool.PORTFOLIO, True),
    ],
)
def test_which_engines_are_awake(state: OperatingState, pool: Pool, awake: bool) -> None:
    assert engine_active(pool, STATE_PROPERTIES[state]) is awake


async def test_the_gate_has_the_last_word() -> None:
    rig = PipelineRig()
    rig.safety.apply_code("FS020")

    refused = await rig.run()

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.SAFETY_BLOCKS_ENTRIES


@pytest.mark.parametrize("code", ["FS020", "FS104"])
async def test_an_exit_leaves_in_fail_and_in_lockdown(code: str) -> None:
    rig = PipelineRig()
    rig.hold(10)
    rig.safety.apply_code(code)

    assert isinstance(await rig.run(Side.SELL), Acted)
    assert [(one.request.side, one.request.qty) for one in rig.broker.placed] == [(Side.SELL, 10)]


async def test_the_account_s_open_orders_have_a_limit() -> None:
    rig = PipelineRig(max_open_orders=2)

    assert isinstance(await rig.run(qty=1, strategy="a"), Acted)
    assert isinstance(await rig.run(qty=1, strategy="b"), Acted)
    refused = await rig.run(qty=1, strategy="c")

    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.OPEN_ORDERS_LIMIT


async def test_a_refused_signal_leaves_no_trace_in_the_account() -> None:
    rig = PipelineRig()

    await rig.run(confidence=0.1)

    assert len(rig.orders) == 0
    assert rig.account.open_reservations == ()
    assert rig.sent == []
