"""Limits stand at the entry of the gateway: what breaks one never leaves, and is told, counted and shown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus
from qts.strategy.contracts import Side
from tests.broker.gateway_rig import approved, on_thread
from tests.broker.limits_rig import LimitsRig, StatedFacts
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW, D

NOT_SENT, ACCEPTED = AckStatus.NOT_SENT, AckStatus.ACCEPTED
EXIT = {"side": Side.SELL, "limit": None, "reduce_only": True}


@pytest.mark.parametrize(
    ("qty", "said"), [("999", ""), ("1000", ""), ("1001", "1,001 shares or contracts, at most 1,000")]
)
def test_an_entry_has_at_most_so_many_shares(qty: str, said: str) -> None:
    rig = LimitsRig(max_order_qty=D(1_000))

    assert rig.submit(qty=D(qty)) == (f"limit max_order_qty: {said}" if said else "")
    assert rig.placed == ([] if said else ["o1"])


def test_an_exit_may_be_larger_than_an_entry() -> None:
    rig = LimitsRig(max_order_qty=D(1_000))

    assert rig.submit(qty=D(1_001), **EXIT) == ""


def test_what_is_refused_is_counted_by_limit_and_the_last_is_shown_in_words() -> None:
    rig = LimitsRig(max_order_qty=D(1))

    rig.submit(qty=D(2))
    rig.submit(qty=D(1))
    rig.submit(qty=D("3.50"))

    view = rig.gateway.limits_view()
    assert view is not None
    assert view.refused == {"max_order_qty": 2}
    assert view.last == "order o3: limit max_order_qty: 3.5 shares or contracts, at most 1"


async def test_on_the_gateways_own_thread_a_refused_order_reaches_no_lane_and_is_answered_at_once(
    tmp_path: Path,
) -> None:
    broker, clock = ScriptedBroker(), ManualClock(from_ns(NOW))
    limits = OrderLimits(LimitsConfig(max_order_qty=D(1)), StatedFacts(), clock)
    async with on_thread(broker, tmp_path, clock=clock, limits=limits) as rig:
        ack = rig.gateway.submit(approved("o", qty=D(2))).ack

        assert ack is not None
        assert (ack.status, ack.reason) == (
            NOT_SENT,
            "not sent: limit max_order_qty: 2 shares or contracts, at most 1",
        )
        assert rig.gateway.in_flight == 0
        await asyncio.sleep(0)
        assert (broker.placed, list(rig.file.sent())) == ([], [])
