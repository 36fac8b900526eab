from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone

import pytest

from qts.clock import ManualClock
from qts.errors import ContractError
from qts.event import contracts
from qts.event.contracts import (
    EVENT_PRIORITY_MAP,
    DegradationLevel,
    Event,
    EventFactory,
    EventPriority,
    EventType,
    create_event,
    event_time_ns,
    priority_for,
    set_default_factory,
)
from qts.ids import CounterIds
from tests.event.support import P0, P1, P2, P3, START, fill

TABLE = {
    P0: "FILL_CONFIRMED FILL_PARTIAL ORDER_REJECTED ORDER_CANCELLED POSITION_UPDATE EMERGENCY_STOP "
    "BROKER_DISCONNECT",
    P1: "PRICE_TICK ORDERBOOK_UPDATE VOLUME_UPDATE INDEX_UPDATE VIX_UPDATE",
    P2: "ETEDA_CYCLE_START STRATEGY_EVALUATE RISK_EVALUATE PORTFOLIO_EVALUATE INDICATOR_UPDATE SIGNAL_GENERATED",
    P3: "DASHBOARD_UPDATE LOG_WRITE REPORT_GENERATE NOTIFICATION_SEND METRIC_RECORD",
}


def test_there_are_23_types_and_every_one_has_the_priority_of_the_table() -> None:
    expected = {EventType(name): priority for priority, names in TABLE.items() for name in names.split()}
    assert dict(EVENT_PRIORITY_MAP) == expected
    assert len(EventType) == 23
    assert all(kind.value == kind.name for kind in EventType)
    assert [int(priority) for priority in EventPriority] == [0, 1, 2, 3]


def test_priority_for_names_what_is_allowed_when_the_type_is_unknown() -> None:
    assert priority_for(EventType.VIX_UPDATE) is P1
    with pytest.raises(ContractError, match=r"NO_SUCH.*allowed: FILL_CONFIRMED"):
        priority_for("NO_SUCH")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "ack", "limit_ms", "batch", "collapse", "drop"),
    [
        (EventType.FILL_CONFIRMED, True, 10, False, False, False),
        (EventType.PRICE_TICK, False, 0, True, False, False),
        (EventType.SIGNAL_GENERATED, False, 0, False, True, False),
        (EventType.LOG_WRITE, False, 0, False, False, True),
    ],
)
def test_create_event_sets_priority_and_flags_by_type(
    kind: EventType, ack: bool, limit_ms: int, batch: bool, collapse: bool, drop: bool
) -> None:
    event = create_event(kind)
    assert event.priority is EVENT_PRIORITY_MAP[kind]
    flags = (event.requires_ack, event.max_process_time_ms, event.can_batch, event.can_collapse, event.can_drop)
    assert flags == (ack, limit_ms, batch, collapse, drop)


@pytest.mark.parametrize(
    "name", ["event_type", "priority", "source", "payload", "event_id", "timestamp", "requires_ack", "can_drop"]
)
def test_attribute_assignment_raises(name: str) -> None:
    event = create_event(EventType.PRICE_TICK)
    with pytest.raises(AttributeError):
        setattr(event, name, None)


def test_timestamp_is_an_aware_utc_datetime_and_ids_are_unique_texts() -> None:
    before = datetime.now(UTC)
    first, second = create_event(EventType.PRICE_TICK), create_event(EventType.PRICE_TICK)
    assert first.timestamp.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) <= first.timestamp <= datetime.now(UTC) + timedelta(seconds=1)
    assert isinstance(first.event_id, str)
    assert first.event_id != second.event_id


def test_a_mapping_payload_is_shown_read_only_and_does_not_follow_the_original() -> None:
    given = {"symbol": "005930"}
    event = create_event(EventType.PRICE_TICK, payload=given)
    given["symbol"] = "changed"
    assert event.payload["symbol"] == "005930"
    with pytest.raises(TypeError):
        event.payload["symbol"] = "x"


def test_a_typed_payload_is_passed_as_it_is() -> None:
    payload = fill()
    event = create_event(EventType.FILL_CONFIRMED, "broker", payload)
    assert event.payload is payload
    assert event.body is payload
    assert event.source == "broker"


def test_a_payload_that_is_neither_struct_nor_mapping_is_refused() -> None:
    with pytest.raises(ContractError, match=r"PRICE_TICK must be a struct or a mapping, got int 5"):
        create_event(EventType.PRICE_TICK, payload=5)


def test_every_public_field_can_be_overridden() -> None:
    moment = datetime(2018, 2, 6, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    event = create_event(
        EventType.LOG_WRITE,
        priority=0,
        event_id="mine",
        timestamp=moment,
        requires_ack=True,
        max_process_time_ms=7,
        can_batch=True,
        can_collapse=True,
        can_drop=False,
    )
    assert event.priority is P0
    assert event.event_id == "mine"
    assert event.timestamp == moment
    assert (event.requires_ack, event.max_process_time_ms, event.can_batch) == (True, 7, True)
    assert (event.can_collapse, event.can_drop) == (True, False)


def test_an_unknown_override_and_a_naive_timestamp_are_refused() -> None:
    with pytest.raises(ContractError, match="no field 'colour'; allowed"):
        create_event(EventType.LOG_WRITE, colour="red")
    with pytest.raises(ContractError, match="naive"):
        create_event(EventType.LOG_WRITE, timestamp=datetime(2024, 1, 1))


def test_an_event_can_be_made_directly() -> None:
    first = Event(event_type=EventType.PRICE_TICK, priority=P1, payload={"a": 1})
    second = Event(event_type=EventType.PRICE_TICK, priority=P1)
    assert first.event_id != second.event_id
    assert first.timestamp.tzinfo is not None
    assert first.can_batch
    assert first.payload["a"] == 1
    with pytest.raises(TypeError):
        first.payload["a"] = 2
    given = Event(EventType.PRICE_TICK, P1, event_id="x", timestamp=START, can_batch=False)
    assert (given.event_id, given.timestamp, given.can_batch) == ("x", START, False)
    assert event_time_ns(given) == int(START.timestamp()) * 1_000_000_000


def test_events_are_equal_when_their_ids_are() -> None:
    one = create_event(EventType.PRICE_TICK, event_id="a")
    same = create_event(EventType.LOG_WRITE, event_id="a")
    other = create_event(EventType.PRICE_TICK, event_id="b")
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "a"
    assert "PRICE_TICK" in repr(one)
    assert "'a'" in repr(one)


def test_a_factory_takes_time_and_ids_from_what_it_was_given() -> None:
    clock = ManualClock(START)
    factory = EventFactory(clock, CounterIds("run", last=6))
    clock.advance(timedelta(seconds=3))
    event = factory.create(EventType.PRICE_TICK)
    assert event.event_id == "run-7"
    assert event.timestamp == START + timedelta(seconds=3)
    assert factory.last_number == 7
    factory.continue_after(40)
    assert factory.create(EventType.PRICE_TICK).event_id == "run-41"


def test_a_factory_asks_any_other_id_source_for_a_text() -> None:
    class Words:
        def __init__(self) -> None:
            self._words = iter(["alpha", "beta"])

        def next_id(self) -> str:
            return next(self._words)

    factory = EventFactory(ManualClock(START), Words())
    assert [factory.create(EventType.PRICE_TICK).event_id for _ in range(2)] == ["alpha", "beta"]
    assert factory.last_number == 0
    factory.continue_after(0)


def test_the_default_factory_can_be_replaced() -> None:
    previous = set_default_factory(EventFactory(ManualClock(START), CounterIds("k")))
    try:
        assert create_event(EventType.PRICE_TICK).event_id == "k-1"
        direct = Event(EventType.PRICE_TICK, P1)
        assert direct.event_id == "k-2"
        assert direct.timestamp == START
    finally:
        assert set_default_factory(previous).run == "k"
    assert contracts.default_factory() is previous


def test_each_degradation_level_names_the_lowest_priority_that_runs() -> None:
    assert [level.lowest_allowed for level in DegradationLevel] == [P3, P2, P1, P0]


def test_a_forked_child_does_not_give_ids_of_its_parent() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, create_event(EventType.LOG_WRITE).event_id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)
    assert theirs.rpartition("-")[0] != create_event(EventType.LOG_WRITE).event_id.rpartition("-")[0]


def test_the_name_of_a_type_is_taken_as_the_type() -> None:
    assert create_event("LOG_WRITE").event_type is EventType.LOG_WRITE  # type: ignore[arg-type]
