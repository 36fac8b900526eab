"""Fills of orders that are not ours, and executions that a broker takes back: booked, and never traded on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from qts.broker.contracts import BrokerPosition
from qts.event.contracts import EventType
from qts.execution.contracts import FillReversed, Order, OrderState
from qts.ledger.bookings import BookingNote
from qts.runtime.orders.execution_reports import event_type_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy
from tests.runtime.test_execution_reports import AT, booked, codes, fill, tell, working

__all__ = ["working"]

MakeRig = Callable[..., Rig]


class AlsoTraded:
    """The broker's positions with what was traded there beside the session; put in the place of ``positions``."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.more: dict[str, D] = {}
        self._own = rig.exchange.positions
        monkeypatch.setattr(rig.exchange, "positions", self.positions)

    async def positions(self) -> dict[str, BrokerPosition]:
        total = {symbol: held.qty for symbol, held in (await self._own()).items()}
        for symbol, qty in self.more.items():
            total[symbol] = total.get(symbol, D(0)) + qty
        return {symbol: BrokerPosition(qty) for symbol, qty in total.items() if qty}


def bust(execution: str, order_id: str, *, symbol: str = SYMBOL, ts_ns: int = AT + 5_000_000_000) -> FillReversed:
    return FillReversed("sim", execution, order_id, symbol, AT + 3_000_000_000, ts_ns, "price out of line")


def bookings(rig: Rig) -> list[tuple[str, str, int]]:
    """Return kind, owner and shares of what is stored."""
    rig.store_now()
    return [
        (row.kind.value, "EXTERNAL" if row.pool is None else row.pool.value, int(row.qty))
        for row in rig.store.bookings()
    ]


def test_a_fill_of_an_order_placed_by_hand_is_external_with_a_warning(
    working: tuple[Rig, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 4 shares that were bought at the broker by hand
    rig, order = working
    AlsoTraded(rig, monkeypatch).more[SYMBOL] = D(4)
    cash, before = rig.shared.account.cash, rig.invariant(25)["checks"]
    # When the broker reports that, twice
    notice = fill(order, "e1", client_order_id="manual 1")
    tell(rig, notice, notice)
    # Then it is stored as EXTERNAL, once, with a WARNING, and the books were compared and agree
    assert bookings(rig) == [("EXTERNAL_FILL", "EXTERNAL", 4)]
    assert codes(rig) == {"AN030": 1}
    assert rig.shared.safety.current_state is SafetyState.WARNING
    assert "manual 1" in rig.shared.safety.history[0].reason
    assert rig.kernel.execution_reports.duplicates == 1
    assert (rig.invariant(25)["checks"], rig.invariant(25)["ok"]) == (before + 1, True)
    # And nothing of it is ours: no holding, no cash, no fill, nothing that a strategy is told or an exit could sell
    assert (rig.held(), rig.shared.account.cash, booked(rig)) == (0, cash, [])
    assert rig.shared.account.external.positions() == {SYMBOL: 4}
    assert rig.kernel.counters.fills == 0
    strategy = rig.kernel.host.contexts[0].strategy
    assert isinstance(strategy, ScriptedStrategy)
    assert strategy.fills == []


def test_nothing_of_external_is_ever_sold_by_us(rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given 3 shares of EXTERNAL, and 10 of a strategy's own
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    also = AlsoTraded(rig, monkeypatch)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(AT, 2)
    (order,) = rig.orders()
    also.more[SYMBOL] = D(3)
    tell(rig, fill(order, "e1", qty=3, client_order_id="manual 1"))
    # When everything is sold in an emergency
    rig.stop()
    rig.quotes(now + 1_000_000_000, 5)
    # Then 10 were sold, and the 3 are there
    assert [int(one.qty) for one in rig.orders() if one.side is Side.SELL] == [10]
    assert (rig.held(), rig.shared.account.external.positions()) == (0, {SYMBOL: 3})
    # And a strategy that wants to sell them is refused
    sold = len(rig.orders())
    scripted.wants(Side.SELL, qty=3)
    rig.quotes(now + 10_000_000_000, 2)
    assert len(rig.orders()) == sold


@pytest.mark.parametrize("wrong", [{"qty": D(0)}, {"price": D(-1)}], ids=str)
def test_an_impossible_fill_of_an_unknown_order_is_kept(wrong: dict[str, Any], working: tuple[Rig, Order]) -> None:
    rig, order = working
    tell(rig, fill(order, "e1", client_order_id="manual 1", **wrong))
    assert bookings(rig) == []
    assert codes(rig) == {"FS041": 1}


def test_an_execution_that_is_taken_back_is_booked_back_and_the_fill_is_kept(
    working: tuple[Rig, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 4 shares bought for 596,000 won and a fee of 10
    rig, order = working
    also, cash = AlsoTraded(rig, monkeypatch), rig.shared.account.cash
    also.more[SYMBOL] = D(4)
    tell(rig, fill(order, "e1"))
    assert rig.held() == 4
    # When the broker takes them back, and says so twice
    also.more[SYMBOL] = D(0)
    report = bust("e1", order.client_order_id)
    tell(rig, report, report)
    # Then shares, cash and fee are as before, the row of the fill stays, and safety warns once
    assert (rig.held(), rig.shared.account.cash, rig.shared.account.fees_total) == (0, cash, 0)
    assert booked(rig) == ["e1"]
    assert bookings(rig) == [("REVERSAL", "SCALP", -4)]
    assert codes(rig) == {"AN030": 1}
    assert "price out of line" in rig.shared.safety.history[0].reason
    assert rig.kernel.execution_reports.duplicates == 1
    # And the order has used up what was filled: the rest of it is 6
    now = rig.shared.orders.get(order.client_order_id)
    assert now is not None
    assert (now.state, now.remaining) == (OrderState.PARTIAL, 6)
    # And every invariant of the books holds, also from the stored rows
    assert {number: rig.invariant(number)["ok"] for number in (1, 4, 5, 6, 25)} == dict.fromkeys(
        (1, 4, 5, 6, 25), True
    )


def test_an_execution_may_be_taken_back_before_it_is_reported(working: tuple[Rig, Order]) -> None:
    rig, order = working
    cash = rig.shared.account.cash
    # Given a reversal of a fill that is not known
    tell(rig, bust("e1", order.client_order_id))
    assert codes(rig) == {"AN030": 1}
    assert bookings(rig) == []
    # When the fill comes
    tell(rig, fill(order, "e1"))
    # Then both are booked, and nothing is held
    assert (rig.held(), rig.shared.account.cash) == (0, cash)
    assert booked(rig) == ["e1"]
    assert bookings(rig) == [("REVERSAL", "SCALP", -4)]
    assert codes(rig) == {"AN030": 2}
    assert rig.invariant(4)["ok"] is True


def test_shares_that_are_offered_and_taken_back_raise_fs070(
    working: tuple[Rig, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 4 shares, all of them offered
    rig, order = working
    also = AlsoTraded(rig, monkeypatch)
    also.more[SYMBOL] = D(4)
    tell(rig, fill(order, "e1"))
    account = rig.shared.account
    assert account.reserve("o-sale", order.strategy, order.pool, SYMBOL, Side.SELL, D(4), D(1), D(1))
    # When they are taken back
    also.more[SYMBOL] = D(0)
    tell(rig, bust("e1", order.client_order_id))
    # Then safety knows that more is offered than there is
    assert codes(rig)["FS070"] >= 1
    assert any("has sold or offers more" in change.reason for change in rig.shared.safety.history)


def test_shares_of_a_strategy_that_are_sold_by_hand_raise_fs070(
    working: tuple[Rig, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 4 shares of a strategy, and 2 that were bought by hand
    rig, order = working
    also = AlsoTraded(rig, monkeypatch)
    also.more[SYMBOL] = D(6)
    tell(rig, fill(order, "e1"), fill(order, "e2", qty=2, client_order_id="manual 1"))
    # When 2 are sold by hand, these were the owner's: that is all that happens
    also.more[SYMBOL] = D(4)
    tell(rig, fill(order, "e3", qty=2, client_order_id="manual 2", side=Side.SELL))
    assert codes(rig) == {"AN030": 2}
    # When 3 more are, the strategy has 3 that the broker has not: it may not go on as if it had
    also.more[SYMBOL] = D(1)
    tell(rig, fill(order, "e4", qty=3, client_order_id="manual 3", side=Side.SELL))
    assert codes(rig)["FS070"] == 1
    said = "strategies hold 4 005930, the broker 1: others have sold their shares"
    assert said in rig.shared.safety.history[-1].reason
    assert rig.invariant(25)["ok"] is True


def test_shares_that_were_taken_over_and_then_taken_back_raise_fs070(
    working: tuple[Rig, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given 4 shares that were bought by hand, and given to a strategy
    rig, order = working
    also = AlsoTraded(rig, monkeypatch)
    also.more[SYMBOL] = D(4)
    tell(rig, fill(order, "e1", client_order_id="manual 1"))
    owner = {"strategy": order.strategy, "pool": order.pool}
    note = BookingNote("taken-over", AT + 4_000_000_000, "operator:kim", "test")
    for effect in rig.shared.account.take_over(SYMBOL, D(4), note, price=D(149_000), **owner):  # type: ignore[arg-type]
        for row in effect.records:
            rig.shared.record.write_later(row)
        rig.kernel.components.listeners.on_booking(effect.booking)
    # When the broker takes the purchase back
    also.more[SYMBOL] = D(0)
    tell(rig, bust("e1", "manual 1"))
    # Then the books agree, and safety knows that the strategy has what is not there
    assert (rig.held(), rig.invariant(25)["ok"], codes(rig)["FS070"]) == (4, True, 1)


@pytest.mark.parametrize(
    "wrong",
    [{"execution_id": ""}, {"symbol": 5}, {"ts_ns": -1}, {"traded_ns": "yesterday"}, {"broker": "b\ud800"}],
    ids=ascii,
)
def test_a_reversal_that_names_nothing_is_kept(wrong: dict[str, Any], working: tuple[Rig, Order]) -> None:
    rig, order = working
    tell(rig, fill(order, "e1"), msgspec.structs.replace(bust("e1", order.client_order_id), **wrong))
    assert rig.held() == 4
    assert codes(rig)["FS041"] == 1
    assert [row.code for row in rig.store.quarantine()] == ["FS041"]


def test_a_reversal_of_another_symbol_is_kept(working: tuple[Rig, Order]) -> None:
    rig, order = working
    tell(rig, fill(order, "e1"), bust("e1", order.client_order_id, symbol="000660"))
    assert rig.held() == 4
    assert codes(rig)["FS041"] == 1


def test_a_reversal_is_p0_news_of_a_position(working: tuple[Rig, Order]) -> None:
    _, order = working
    assert event_type_of(bust("e1", order.client_order_id)) is EventType.POSITION_UPDATE
