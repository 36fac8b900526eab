"""The execution reports: what comes back from the broker is booked exactly once, and never blind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qts.event.contracts import EventType
from qts.execution.contracts import Fill, Order, OrderCancelled, OrderRejected, OrderState
from qts.runtime.orders.execution_reports import event_type_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
AT = kst(10)


@pytest.fixture
def working(rig_of: MakeRig) -> tuple[Rig, Order]:
    """A buy of 10 at 149,000 that waits under the market: 1,490,000, a fee of 223 (0.015 %), 1 for rounding."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    rig.quotes(AT, 2)
    (order,) = rig.shared.orders
    assert order.state is OrderState.WORKING
    return rig, order


def fill(order: Order, execution: str, qty: Any = 4, price: Any = 149_000, **changes: Any) -> Fill:
    values: dict[str, Any] = {
        "broker": "sim",
        "execution_id": execution,
        "client_order_id": order.client_order_id,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "qty": D(qty),
        "price": D(price),
        "fee": D(10),
        "tax": D(0),
        "ts_ns": AT + 3_000_000_000,
        "last": False,
    }
    return Fill(**{**values, **changes})


def tell(rig: Rig, *report: Any) -> None:
    for one in report:
        rig.kernel.components.report_relay(one)
    rig.drain()


def codes(rig: Rig) -> dict[str, int]:
    return {cause.code: cause.count for cause in rig.shared.safety.snapshot().causes}


def booked(rig: Rig) -> list[str]:
    rig.store_now()
    return [row.execution_id for row in rig.store.ledger()]


# -- fills -------------------------------------------------------------------------------------------------------


def test_a_fill_moves_order_holding_money_strategy_and_ledger_together(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"))

    now = rig.shared.orders.get(order.client_order_id)
    assert now is not None
    assert (now.state, now.filled) == (OrderState.PARTIAL, D(4))
    assert rig.held() == 4
    assert rig.shared.account.cash == D(100_000_000) - 4 * D(149_000) - 10
    (reservation,) = rig.shared.account.open_reservations
    assert reservation.left == D(6)
    assert booked(rig) == ["e1"]
    strategy = rig.kernel.host.contexts[0].strategy
    assert isinstance(strategy, ScriptedStrategy)
    (seen,) = strategy.fills
    assert (seen.qty, seen.price, seen.partial, seen.order_id) == (D(4), D(149_000), True, order.client_order_id)


def test_the_last_fill_ends_the_order_and_its_reservation(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"), fill(order, "e2", qty=6, last=True))

    now = rig.shared.orders.get(order.client_order_id)
    assert now is not None
    assert now.state is OrderState.FILLED
    assert len(rig.shared.orders) == 0
    assert rig.shared.account.open_reservations == ()


def test_a_fill_sent_twice_counts_once(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"), fill(order, "e1"), fill(order, "e1", price=1))

    assert rig.held() == 4
    assert booked(rig) == ["e1"]
    assert rig.kernel.execution_reports.duplicates == 2
    assert rig.kernel.counters.fills == 1
    assert codes(rig) == {}


def test_a_fill_sent_again_when_its_order_is_forgotten_counts_once_too(working: tuple[Rig, Order]) -> None:
    """Only the newest ended orders are remembered; a broker may report yesterday's fills again."""
    rig, order = working
    tell(rig, fill(order, "e1", qty=10, last=True))

    rig.shared.orders.import_state([])
    tell(rig, fill(order, "e1", qty=10, last=True))

    assert rig.held() == 10
    assert rig.kernel.execution_reports.duplicates == 1
    assert codes(rig) == {}


def test_the_same_execution_id_of_another_broker_is_another_fill(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"), fill(order, "e1", broker="other"))

    assert rig.held() == 8


def test_a_fill_of_an_unknown_order_with_an_id_of_ours_is_not_booked_and_raises_fs070(
    working: tuple[Rig, Order],
) -> None:
    rig, order = working

    tell(rig, fill(order, "e1", client_order_id="rig-o-99"))

    assert rig.held() == 0
    assert booked(rig) == []
    assert codes(rig) == {"FS070": 1}
    assert rig.shared.safety.current_state is SafetyState.FAIL
    assert "rig-o-99" in rig.shared.safety.history[0].reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbol": "000660"},
        {"side": Side.SELL},
        {"qty": D(0)},
        {"qty": D(-4)},
        {"qty": D("NaN")},
        {"qty": D("Infinity")},
        {"price": D(0)},
        {"price": D("NaN")},
    ],
    ids=str,
)
def test_a_fill_that_does_not_fit_its_order_is_not_booked_and_raises_fs041(
    wrong: dict[str, Any], working: tuple[Rig, Order]
) -> None:
    rig, order = working

    notice = fill(order, "e1", **wrong)
    tell(rig, notice)

    assert rig.held() == 0
    assert booked(rig) == []
    assert codes(rig) == {"FS041": 1}
    assert repr(notice) in rig.shared.safety.history[0].reason, "the notice is kept as it came"


def test_every_notice_that_is_not_booked_is_kept_as_it_came_not_only_the_first(
    working: tuple[Rig, Order],
) -> None:
    """Safety is in FAIL already when the second one comes: nothing changes there, so its history says nothing."""
    rig, order = working
    notices = [fill(order, f"e{number}", side=Side.SELL, price=149_000 + number) for number in (1, 2)]
    notices += [fill(order, f"e{number}", client_order_id=f"rig-o-9{number}") for number in (3, 4)]

    tell(rig, *notices)

    told = [line.message for line in rig.logged if line.level == "ERROR"]
    assert [message.partition("not booked: ")[2] for message in told] == [repr(notice) for notice in notices]
    assert booked(rig) == []


def test_a_fill_after_the_cancel_is_booked_and_warned_about(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, OrderCancelled("sim", order.client_order_id, SYMBOL, AT + 2_500_000_000, "asked"))
    tell(rig, fill(order, "late"))

    now = rig.shared.orders.get(order.client_order_id)
    assert now is not None
    assert (now.state, now.filled) == (OrderState.FILLED_LATE, D(4))
    assert rig.held() == 4
    assert codes(rig) == {"AN030": 1}
    assert rig.shared.safety.current_state is SafetyState.WARNING


def test_an_overfill_is_booked_and_raises_fs070(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1", qty=10), fill(order, "e2", qty=1))

    now = rig.shared.orders.get(order.client_order_id)
    assert now is not None
    assert now.filled == D(11)
    assert "overfill: 11 of 10" in now.note
    assert rig.held() == 11
    assert codes(rig)["FS070"] >= 1
    assert rig.invariant(6)["ok"] is False


def test_selling_more_than_was_held_is_booked_and_raises_fs070(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(AT, 2)
    scripted.wants(Side.SELL, qty=10, limit=155_000)
    rig.quotes(now + 1_000_000_000, 2)
    (order,) = rig.shared.orders

    tell(rig, fill(order, "e1", qty=12, side=Side.SELL, price=155_000))

    assert rig.held() == -2
    assert "FS070" in codes(rig)


# -- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "state"), [(OrderCancelled, OrderState.CANCELLED), (OrderRejected, OrderState.REJECTED)]
)
def test_an_order_that_ends_gives_its_money_back(
    report: type, state: OrderState, working: tuple[Rig, Order]
) -> None:
    rig, order = working

    tell(rig, report("sim", order.client_order_id, SYMBOL, AT + 3_000_000_000, "because"))

    assert rig.shared.account.open_reservations == ()
    (stored,) = rig.orders()
    assert stored.state is state
    assert "because" in stored.note


def test_the_end_of_a_part_filled_order_keeps_what_was_filled(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, fill(order, "e1"), OrderCancelled("sim", order.client_order_id, SYMBOL, AT + 4_000_000_000, "asked"))

    (stored,) = rig.orders()
    assert (stored.state, stored.filled) == (OrderState.CANCELLED, D(4))
    assert rig.shared.account.open_reservations == ()
    assert rig.held() == 4


def test_the_end_of_an_unknown_order_of_ours_raises_fs070(working: tuple[Rig, Order]) -> None:
    rig, order = working

    tell(rig, OrderCancelled("sim", f"{order.client_order_id}999", SYMBOL, AT, "asked"))

    assert codes(rig) == {"FS070": 1}


def test_the_end_of_an_order_of_others_changes_nothing(working: tuple[Rig, Order]) -> None:
    rig, _ = working

    tell(rig, OrderCancelled("sim", "manual-1", SYMBOL, AT, "asked"))

    assert codes(rig) == {}
    assert "cancelled: order manual-1, which is not ours" in [line.message for line in rig.logged]


# -- the event types ---------------------------------------------------------------------------------------------


def test_news_travels_under_its_own_type(working: tuple[Rig, Order]) -> None:
    _, order = working

    assert event_type_of(fill(order, "e1", last=True)) is EventType.FILL_CONFIRMED
    assert event_type_of(fill(order, "e1", last=False)) is EventType.FILL_PARTIAL
    assert event_type_of(OrderCancelled("sim", "o", SYMBOL, 1, "")) is EventType.ORDER_CANCELLED
    assert event_type_of(OrderRejected("sim", "o", SYMBOL, 1, "")) is EventType.ORDER_REJECTED


def test_a_line_that_drops_is_p0_news_and_a_warning(working: tuple[Rig, Order]) -> None:
    # Given an order that works, when the line drops
    rig, _ = working
    before = rig.kernel.dispatcher.queue_stats()["P0_CRITICAL"]["handled"]
    rig.exchange.disconnect(rig.clock.time_ns(), "drill")
    rig.drain()
    # then that is a P0 event of its own type, and safety warns with what happened
    assert rig.kernel.dispatcher.queue_stats()["P0_CRITICAL"]["handled"] == before + 1
    assert rig.shared.safety.current_state is SafetyState.WARNING
    assert codes(rig) == {"AN050": 1}
    (told,) = (line.message for line in rig.logged if "AN050" in line.message)
    assert "AN050 slow broker, or the connection to it is down: sim: drill" in told
