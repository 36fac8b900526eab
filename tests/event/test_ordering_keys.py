from __future__ import annotations

import pytest

from qts.event.contracts import EventType, create_event
from qts.event.ordering_keys import collapse_key, is_risk_reducing, order_key
from qts.event.payloads import IndicatorUpdate
from qts.execution.contracts import EmergencyStop, PositionUpdate
from qts.strategy.contracts import Side
from tests.event.support import fill, signal, tick


def test_the_order_key_is_the_order_id_else_the_symbol_else_nothing() -> None:
    assert order_key(create_event(EventType.FILL_PARTIAL, payload=fill("o-9"))) == "o-9"
    assert order_key(create_event(EventType.FILL_PARTIAL, payload={"order_id": "o-8", "symbol": "A"})) == "o-8"
    assert order_key(create_event(EventType.PRICE_TICK, payload=tick("000660"))) == "000660"
    assert order_key(create_event(EventType.LOG_WRITE)) is None
    from decimal import Decimal

    position = PositionUpdate("005930", Decimal(1), None, 1)
    assert order_key(create_event(EventType.POSITION_UPDATE, payload=position)) == "005930"


def test_an_emergency_stop_has_no_key_so_nothing_holds_it() -> None:
    stop = create_event(EventType.EMERGENCY_STOP, payload=EmergencyStop("operator", "test", 1))
    assert order_key(stop) is None
    assert order_key(create_event(EventType.EMERGENCY_STOP, payload={"symbol": "A"})) is None


def key(kind: EventType, payload: object) -> object:
    return collapse_key(create_event(kind, payload=payload))


def test_the_collapse_key_is_type_and_subject() -> None:
    evaluate = EventType.STRATEGY_EVALUATE
    assert key(evaluate, {"symbol": "A", "n": 1}) == key(evaluate, {"symbol": "A", "n": 2})
    assert key(evaluate, {"symbol": "A"}) != key(evaluate, {"symbol": "B"})
    assert key(evaluate, {"symbol": "A", "strategy": "x"}) != key(evaluate, {"symbol": "A", "strategy": "y"})
    assert key(evaluate, {"symbol": "A"}) != key(EventType.RISK_EVALUATE, {"symbol": "A"})


def test_two_indicators_of_one_symbol_do_not_swallow_each_other() -> None:
    kind = EventType.INDICATOR_UPDATE
    assert key(kind, IndicatorUpdate("A", "ema", 1.0, 1)) != key(kind, IndicatorUpdate("A", "rsi", 1.0, 1))


def test_a_sell_never_hides_behind_a_buy_nor_a_forced_signal_behind_a_wish() -> None:
    kind = EventType.SIGNAL_GENERATED
    assert key(kind, signal(Side.BUY)) == key(kind, signal(Side.BUY))
    assert key(kind, signal(Side.BUY)) != key(kind, signal(Side.SELL))
    assert key(kind, signal(Side.SELL)) != key(kind, signal(Side.SELL, forced=True))
    assert key(kind, signal(strategy="a")) != key(kind, signal(strategy="b"))
    assert key(kind, signal(Side.SELL)) == key(kind, {"strategy": "s", "symbol": "005930", "side": "SELL"})


def test_a_signal_without_subject_and_an_event_that_may_not_collapse_equal_only_themselves() -> None:
    assert key(EventType.SIGNAL_GENERATED, {"symbol": "A"}) != key(EventType.SIGNAL_GENERATED, {"symbol": "A"})
    fixed = [create_event(EventType.RISK_EVALUATE, payload={"symbol": "A"}, can_collapse=False) for _ in range(2)]
    assert collapse_key(fixed[0]) != collapse_key(fixed[1])
    assert collapse_key(fixed[0]) == collapse_key(fixed[0])


def test_a_subject_that_cannot_be_a_key_is_compared_by_its_text() -> None:
    assert key(EventType.RISK_EVALUATE, {"symbol": ["A"]}) == key(EventType.RISK_EVALUATE, {"symbol": ["A"]})


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        (EventType.SIGNAL_GENERATED, signal(Side.SELL), True),
        (EventType.SIGNAL_GENERATED, signal(Side.BUY), False),
        (EventType.SIGNAL_GENERATED, signal(Side.BUY, forced=True), True),
        (EventType.SIGNAL_GENERATED, {"side": "BUY", "reduce_only": True}, True),
        (EventType.SIGNAL_GENERATED, {"side": "BUY"}, False),
        (EventType.SIGNAL_GENERATED, {"symbol": "A"}, True),
        (EventType.SIGNAL_GENERATED, None, True),
        (EventType.RISK_EVALUATE, {"side": "SELL"}, False),
    ],
)
def test_what_reduces_risk(kind: EventType, payload: object, expected: bool) -> None:
    assert is_risk_reducing(create_event(kind, payload=payload)) is expected
