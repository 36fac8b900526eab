"""Orders of unknown fate: the broker is asked, nothing is sent again, and absence is believed only twice."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from qts.execution.contracts import Fill, OrderState
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
MINUTE = 60_000_000_000
LOST_ORDER = {"broker.sim.lost_order_probability": "1"}
LOST_ANSWER = {"broker.sim.lost_answer_probability": "1"}


def state_of(rig: Rig) -> OrderState:
    (order,) = rig.orders()
    return order.state


def with_unknown_order(rig_of: MakeRig, settings: dict[str, str], **intent: object) -> tuple[Rig, ScriptedStrategy]:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=settings)
    rig.quote(kst(10))
    scripted.wants(Side.BUY, qty=10, **intent)
    rig.quote(kst(10, 0, 1))
    return rig, scripted


def test_an_order_without_an_answer_is_unknown_and_warned_about(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)

    assert state_of(rig) is OrderState.UNKNOWN
    assert rig.shared.safety.current_state is SafetyState.WARNING
    assert rig.shared.safety.history[0].code == "FS042"
    assert len(rig.shared.account.open_reservations) == 1


def test_one_absence_is_not_believed(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)

    rig.quote(kst(10, 1))

    assert state_of(rig) is OrderState.UNKNOWN


def test_two_absences_a_minute_apart_prove_that_it_was_never_received(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)

    rig.quote(kst(10, 1))
    rig.quote(kst(10, 2))

    (order,) = rig.orders()
    assert order.state is OrderState.NOT_SENT
    assert "absent in two answers 60.0 s apart" in order.note
    assert rig.shared.account.open_reservations == ()
    assert rig.kernel.counters.orders == 1, "it is not sent again by itself"


def test_two_answers_too_close_to_each_other_are_one(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)
    unresolved = rig.kernel.unresolved
    from qts.runtime.drivers.sync import run_to_completion

    run_to_completion(unresolved.resolve(kst(10, 1)))
    run_to_completion(unresolved.resolve(kst(10, 1, 1.999)))
    assert state_of(rig) is OrderState.UNKNOWN
    run_to_completion(unresolved.resolve(kst(10, 1, 2)))
    assert state_of(rig) is OrderState.NOT_SENT


def test_an_order_found_open_at_the_broker_is_adopted(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ANSWER, limit=149_000)

    rig.quote(kst(10, 1))

    (order,) = rig.orders()
    assert order.state is OrderState.WORKING
    assert "found at the broker" in order.note
    assert len(rig.shared.account.open_reservations) == 1


def test_an_order_that_fills_was_received(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ANSWER)

    rig.quotes(kst(10, 0, 2), 3)

    assert state_of(rig) is OrderState.FILLED
    assert rig.held() == 10


def test_a_fill_in_the_broker_s_list_is_proof_too(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)
    (order,) = rig.orders()
    fill = Fill(
        "sim", "e1", order.client_order_id, SYMBOL, Side.BUY, D(4), D(150_000), D(0), D(0), kst(10, 0, 2), False
    )

    class Listed(type(rig.exchange)):  # type: ignore[misc]
        async def fills_since(self, ts_ns: int) -> list[Fill]:
            return [fill]

    rig.exchange.__class__ = Listed
    rig.quote(kst(10, 1))

    assert state_of(rig) is OrderState.PARTIAL
    assert rig.held() == 4, "a fill that was never told is booked"


def test_a_broker_that_cannot_be_asked_leaves_it_unknown(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, {**LOST_ORDER, "broker.sim.disconnect_ms": "3600000"})

    rig.exchange.disconnect(kst(10, 0, 30), "cable")
    for minute in range(1, 10):
        rig.quote(kst(10, minute))

    assert state_of(rig) is OrderState.UNKNOWN


def test_the_first_absence_survives_a_restart(rig_of: MakeRig) -> None:
    rig, _ = with_unknown_order(rig_of, LOST_ORDER)
    rig.quote(kst(10, 1))
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(rig.kernel.unresolved.export_state()))

    rig.kernel.unresolved.import_state({"absent_since": {}})
    rig.kernel.unresolved.import_state(saved)
    rig.quote(kst(10, 2))

    assert state_of(rig) is OrderState.NOT_SENT


def test_the_third_missing_answer_locks_down(rig_of: MakeRig) -> None:
    strategies = [ScriptedStrategy(f"s{number}") for number in range(3)]
    rig = rig_of(*strategies, settings=LOST_ORDER)
    rig.quote(kst(10))
    for number, scripted in enumerate(strategies):
        scripted.wants(Side.BUY, qty=1)
        rig.quote(kst(10, 3 * number + 1))
        rig.quote(kst(10, 3 * number + 2))
        rig.quote(kst(10, 3 * number + 3))

    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN
