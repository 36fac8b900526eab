"""News of a closed day: found in the store and booked as if the day were open; unknown where it cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from qts.errors import StorageError
from qts.execution.contracts import Fill, FillReversed, Order, OrderCancelled, OrderState
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst
from tests.runtime.test_execution_reports import codes, fill, tell

MakeRig = Callable[..., Rig]


@pytest.fixture
def closed(rig_of: MakeRig) -> tuple[Rig, Order, Fill]:
    """Four of ten bought a week ago at 149,000, the order cancelled, the day closed; none of it is in memory."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    rig.quotes(kst(10), 2)
    (order,) = rig.shared.orders
    first = fill(order, "late-1")
    tell(rig, first, OrderCancelled("sim", order.client_order_id, SYMBOL, kst(10, 1), "by hand"))
    rig.quote(kst(10, 2))
    assert rig.kernel.components.closes.close(kst(15, 32))
    rig.store_now()
    rig.quote(kst(9, 5, day=29))
    rig.store_now()
    rig.shared.orders._final.clear()  # as after a thousand others
    assert rig.shared.account.last_close is not None
    assert (rig.shared.account._booked.fills, rig.shared.account.fills_applied) == ({}, 1)
    return rig, order, first


def test_a_fill_of_last_week_that_is_told_again_is_a_duplicate(closed: tuple[Rig, Order, Fill]) -> None:
    rig, _, first = closed
    tell(rig, first)
    assert (rig.kernel.execution_reports.duplicates, rig.held()) == (1, 4)
    assert rig.kernel.execution_reports.quarantine.count == 0


def test_a_fill_of_last_week_that_is_told_late_is_booked_and_reopens_its_order(
    closed: tuple[Rig, Order, Fill],
) -> None:
    rig, order, _ = closed
    tell(rig, fill(order, "late-2", qty=3, ts_ns=kst(10, 0, 5)))
    found = rig.shared.orders.recall(order.client_order_id)
    assert found is not None
    assert (rig.held(), found.state, found.filled) == (7, OrderState.FILLED_LATE, 7)
    assert "AN030" in codes(rig)


def test_a_late_fill_is_not_held_against_the_price_band_of_today(closed: tuple[Rig, Order, Fill]) -> None:
    """Today's band is 30 % around 150,000: 100,000 is outside of it, and may have been inside a week ago."""
    rig, order, _ = closed
    rig.shared.base_prices[SYMBOL] = D(150_000)
    tell(rig, fill(order, "late-3", qty=1, price=100_000, ts_ns=kst(10, 0, 5)))
    assert (rig.held(), rig.kernel.execution_reports.quarantine.count) == (5, 0)
    tell(rig, fill(order, "today", qty=1, price=100_000, ts_ns=rig.clock.time_ns()))
    assert (rig.held(), rig.kernel.execution_reports.quarantine.count) == (5, 1)


def test_an_execution_of_last_week_is_taken_back(closed: tuple[Rig, Order, Fill]) -> None:
    rig, _, first = closed
    ids = (first.broker, first.execution_id, first.client_order_id, first.symbol)
    tell(rig, FillReversed(*ids, first.ts_ns, kst(9, 6, day=29), "trade bust"))
    assert (rig.held(), rig.shared.account.fees_total) == (0, 0)


def test_the_end_of_an_order_of_last_week_is_no_news_of_an_unknown_one(closed: tuple[Rig, Order, Fill]) -> None:
    rig, order, _ = closed
    tell(rig, OrderCancelled("sim", order.client_order_id, SYMBOL, kst(10, 1), "again"))
    assert not [cause for cause in rig.shared.safety.snapshot().causes if "is unknown here" in cause.detail]


class Unreadable:
    """A store that does not answer."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fails(*args: object) -> object:
            raise StorageError("the disk does not answer")

        return fails


def test_news_that_cannot_be_looked_up_is_kept_unbooked_and_stops_entries(closed: tuple[Rig, Order, Fill]) -> None:
    # Given a store that cannot be read
    rig, order, first = closed
    before = rig.shared.account.export_state()
    rig.shared.account.read_past_with(Unreadable())  # type: ignore[arg-type]
    rig.shared.orders._past = Unreadable()  # type: ignore[assignment]

    # When a duplicate, a late fill, one by hand, a bust and an end of last week arrive
    ids = (first.broker, first.execution_id, first.client_order_id, first.symbol)
    by_hand = fill(order, "by-hand", client_order_id="app-1", ts_ns=kst(10, 0, 9))
    bust = FillReversed(*ids, first.ts_ns, kst(9, 6, day=29), "trade bust")
    end = OrderCancelled("sim", order.client_order_id, SYMBOL, kst(10, 1), "again")
    tell(rig, first, fill(order, "late-2", ts_ns=kst(10, 0, 5)), by_hand, bust, end)

    # Then nothing is booked, each is quarantined, and the session is in FAIL
    assert rig.shared.account.export_state() == before
    assert rig.kernel.execution_reports.quarantine.count == 5
    assert "whether it is new is unknown" in str(rig.kernel.execution_reports.quarantine.first)
    assert rig.shared.safety.current_state in (SafetyState.FAIL, SafetyState.LOCKDOWN)
    assert D(rig.held()) == 4
