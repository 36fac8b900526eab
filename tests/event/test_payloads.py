from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qts.errors import ContractError
from qts.event.contracts import EventType
from qts.event.payloads import PAYLOAD_TYPES, typed_payload
from qts.execution.contracts import Fill
from qts.market.contracts import BookUpdate, Quote, Tick
from tests.event.support import fill, tick

GOOD_TICK: dict[str, Any] = {"symbol": "005930", "ts_ns": 5, "price": "75000", "size": 2}


def test_every_type_has_its_payload() -> None:
    assert set(PAYLOAD_TYPES) == set(EventType)
    assert PAYLOAD_TYPES[EventType.FILL_PARTIAL] == (Fill,)
    assert PAYLOAD_TYPES[EventType.ORDERBOOK_UPDATE] == (Quote, BookUpdate)


def test_a_struct_of_the_right_type_is_returned_as_it_is() -> None:
    payload = tick()
    assert typed_payload(EventType.PRICE_TICK, payload) is payload


def test_a_mapping_that_fits_becomes_the_typed_value() -> None:
    value = typed_payload(EventType.PRICE_TICK, GOOD_TICK)
    assert value == Tick("005930", 5, Decimal(75_000), Decimal(2))


def test_a_mapping_for_a_type_with_two_structs_is_told_apart_by_its_fields_or_its_tag() -> None:
    as_quote = typed_payload(EventType.ORDERBOOK_UPDATE, {"symbol": "A", "ts_ns": 1, "bid": 5})
    as_book = typed_payload(
        EventType.ORDERBOOK_UPDATE, {"symbol": "A", "ts_ns": 1, "bids": [["5", "1"]], "asks": []}
    )
    tagged = typed_payload(
        EventType.ORDERBOOK_UPDATE, {"type": "BookUpdate", "symbol": "A", "ts_ns": 1, "bids": [], "asks": []}
    )
    assert as_quote == Quote("A", 1, Decimal(5))
    assert as_book == BookUpdate("A", 1, [(Decimal(5), Decimal(1))], [])
    assert isinstance(tagged, BookUpdate)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": None}, r"no Tick: .*\$\.price"),
        ({"price": "abc"}, r"\$\.price"),
        ({"price": 75000.5}, "field 'price': money must be a finite Decimal.*75000.5"),
        ({"price": "NaN"}, "field 'price': money must be a finite Decimal"),
        ({"ts_ns": "x"}, r"\$\.ts_ns"),
        ({"colour": 1}, "field 'colour' is not one of Tick"),
    ],
)
def test_a_misfit_is_refused_naming_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        typed_payload(EventType.PRICE_TICK, GOOD_TICK | change)


def test_a_missing_field_a_wrong_struct_and_a_float_in_a_book_are_refused() -> None:
    with pytest.raises(ContractError, match="`price`"):
        typed_payload(EventType.PRICE_TICK, {"symbol": "A", "ts_ns": 1, "size": 1})
    with pytest.raises(ContractError, match="PRICE_TICK carries a Tick, got Fill"):
        typed_payload(EventType.PRICE_TICK, fill())
    with pytest.raises(ContractError, match="carries a Quote or BookUpdate, got NoneType"):
        typed_payload(EventType.ORDERBOOK_UPDATE, None)
    book = {"symbol": "A", "ts_ns": 1, "bids": [[5.5, 1]], "asks": []}
    with pytest.raises(
        ContractError, match=r"field 'bids': money must be a finite Decimal, text or an int, got 5.5"
    ):
        typed_payload(EventType.ORDERBOOK_UPDATE, book)
