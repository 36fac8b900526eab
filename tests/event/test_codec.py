from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.event.codec import decode_event, encode_event, from_plain, plain
from qts.event.contracts import Event, EventType, create_event, event_time_ns, stored_flags
from qts.market.contracts import BookUpdate
from qts.strategy.contracts import Side
from tests.event.support import fill, quote, signal, tick


def round_trip(event: Event) -> Event:
    return decode_event(msgspec.msgpack.decode(msgspec.msgpack.encode(encode_event(event))))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (EventType.FILL_CONFIRMED, fill()),
        (EventType.PRICE_TICK, tick()),
        (EventType.ORDERBOOK_UPDATE, quote()),
        (EventType.SIGNAL_GENERATED, signal(Side.SELL, forced=True)),
        (EventType.LOG_WRITE, None),
        (
            EventType.LOG_WRITE,
            {"price": Decimal("1.10"), "at": datetime(2024, 1, 1, tzinfo=UTC), "rows": [(1, 2), "x"]},
        ),
    ],
)
def test_an_event_travels_as_plain_values_and_comes_back_the_same(kind: EventType, payload: object) -> None:
    event = create_event(kind, "src", payload, can_drop=True)
    back = round_trip(event)
    assert back == event
    assert (back.event_type, back.priority, back.source, back.run) == (kind, event.priority, "src", event.run)
    assert back.body == payload
    assert event_time_ns(back) == event_time_ns(event)
    assert stored_flags(back) == stored_flags(event)


class LazyLevels(Sequence[tuple[Decimal, Decimal]]):
    """Levels that are read only when looked at."""

    def __getitem__(self, index: Any) -> Any:
        return [(Decimal("1.5"), Decimal(2))][index]

    def __len__(self) -> int:
        return 1


def test_the_levels_of_a_book_are_read_when_it_is_stored() -> None:
    book = BookUpdate("A", 1, LazyLevels(), ())
    back = round_trip(create_event(EventType.ORDERBOOK_UPDATE, payload=book)).body
    assert [tuple(level) for level in back.bids] == [(Decimal("1.5"), Decimal(2))]
    assert list(back.asks) == []


def test_a_payload_field_that_cannot_be_stored_is_refused() -> None:
    book = BookUpdate("A", 1, object(), ())  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="a object cannot be stored"):
        encode_event(create_event(EventType.ORDERBOOK_UPDATE, payload=book))


def test_a_given_text_id_and_priority_survive() -> None:
    event = create_event(EventType.LOG_WRITE, event_id="mine", priority=1)
    assert (round_trip(event).event_id, round_trip(event).priority) == ("mine", event.priority)


def test_a_struct_of_another_type_cannot_be_stored() -> None:
    with pytest.raises(ContractError, match="PRICE_TICK carries a Tick or a mapping, got Fill"):
        encode_event(create_event(EventType.PRICE_TICK, payload=fill()))


def test_what_cannot_be_stored_is_named_with_its_place() -> None:
    with pytest.raises(ContractError, match=r"LOG_WRITE\.deep\[1\]: a set cannot be stored"):
        encode_event(create_event(EventType.LOG_WRITE, payload={"deep": [1, {2}]}))
    with pytest.raises(ContractError, match="keys must be text"):
        plain({1: "x"})
    with pytest.raises(ContractError, match="keys must be text that does not start"):
        plain({"$decimal": "1"})


def test_enums_become_their_values_and_one_key_mappings_stay_mappings() -> None:
    assert plain({"side": Side.SELL}) == {"side": "SELL"}
    assert from_plain({"only": 1}) == {"only": 1}
