"""Rows of market values in binary: every number keeps its digits, and what cannot be stored is refused by name."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qts.clock import NS_PER_S
from qts.db.ticks.copy_rows import EPOCH_US, CopyRows
from qts.db.ticks.read_rows import decoded
from qts.errors import BatchRefused
from qts.market.contracts import Bar, BookUpdate, IndexLevel, MarketValue, Quote, Tick
from tests.db.ticks.stores import block, quote, trade

D = Decimal
NULL = b"\xff\xff\xff\xff"


def test_a_trade_is_one_row_of_its_columns_in_order() -> None:
    # Given a trade of 12345.60 x 3 at 2000-01-01 00:00:01.000002003
    value = Tick("AB", EPOCH_US * 1000 + NS_PER_S + 2_003, D("12345.60"), D(3), buyer_is_maker=True)
    # When it is encoded with the number 7
    row = b"".join(CopyRows().encode(block(7, value)))
    # Then it has 17 columns: symbol, kind, flags (4: the buyer was passive), µs since 2000, ns, seq,
    expected = struct.pack(">hi2sicih", 17, 2, b"AB", 1, b"T", 2, 4)
    expected += struct.pack(">iqihiq", 8, 1_000_002, 2, 3, 8, 7)
    # the price as base 10,000 groups 1, 2345, 6000 with 2 decimals, the size 3, and no other column
    expected += struct.pack(">ihhHHHHH", 14, 3, 1, 0, 2, 1, 2345, 6000)
    expected += struct.pack(">ihhHHH", 10, 1, 0, 0, 0, 3) + NULL * 9
    assert row == expected


@given(some.decimals(allow_nan=False, allow_infinity=False, places=None, min_value=D("-1e30"), max_value=D("1e30")))
def test_a_number_of_at_most_8_decimals_comes_back_with_its_digits(number: Decimal) -> None:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    number = Decimal((sign, digits, max(exponent, -8)))
    # When a number goes out and comes back
    coded = b"".join(CopyRows().encode(block(1, Tick("S", NS_PER_S, number, D(1)))))
    start = coded.index(b"T", 6) + 1 + 6 + 12 + 6 + 12
    (length,) = struct.unpack_from(">i", coded, start)
    back = decoded(coded[start + 4 : start + 4 + length])
    # Then it is the same, digit for digit: a server knows no exponents above zero and no negative zero
    assert back == number
    assert back.as_tuple().exponent == min(number.as_tuple().exponent, 0)


def test_equal_numbers_of_other_digits_keep_their_own() -> None:
    rows = CopyRows()
    # Given 1.10 is known
    first = b"".join(rows.encode(block(1, trade("0", "1.10"))))
    # When 1.1 comes, and 1.10 again
    other = b"".join(rows.encode(block(1, trade("0", "1.1"))))
    again = b"".join(rows.encode(block(1, trade("0", "1.10"))))
    # Then each has its digits
    assert first == again
    assert first != other


def _with(field: str, number: str) -> MarketValue:
    fields = {"bid": D(1), "ask": D(2)} | {field: D(number)}
    return Quote("S", NS_PER_S, **fields)


@pytest.mark.parametrize("field", ["bid", "ask", "bid_size", "ask_size", "last", "last_size", "volume"])
@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity", "0.000000001", "1.100000000", "1e1000"])
def test_a_number_that_cannot_be_stored_is_refused_with_symbol_seq_field_and_value(field: str, number: str) -> None:
    # Given a block whose second value has a number that is not finite or has 9 decimals
    values = block(41, quote("0", "1", "2"), _with(field, number))
    # When it is encoded, Then symbol, number, field and value are named
    with pytest.raises(BatchRefused, match=rf"tick_data: S, seq 42, {field} {D(number)}: ".replace("+", r"\+")):
        CopyRows().encode(values)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Tick("S", NS_PER_S, D("NaN"), D(1)), "price NaN"),
        (Tick("S", NS_PER_S, D(1), D("1e-9")), "size 1E-9"),
        (BookUpdate("S", NS_PER_S, ((D(1), D("NaN")),), ()), "bids NaN"),
        (IndexLevel("S", NS_PER_S, float("inf")), "level inf"),
        (Tick("S", -1, D(1), D(1)), "ts_ns -1"),
        (Tick("S\0", NS_PER_S, D(1), D(1)), r"symbol 'S\x00'"),
        (Tick("S\ud800", NS_PER_S, D(1), D(1)), r"symbol 'S\ud800'"),
        (Bar("S", NS_PER_S, D(1), D(1), D(1), D(1), D(1)), "value Bar"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_by_name(value: MarketValue, named: str) -> None:
    with pytest.raises(BatchRefused) as refused:
        CopyRows().encode(block(5, value))
    assert f"seq 5, {named}: " in str(refused.value)


def test_what_is_remembered_is_bounded() -> None:
    rows = CopyRows()
    # Given more prices than are kept
    for start in range(0, 200_000, 50_000):
        rows.encode(block(1, *(Tick("S", NS_PER_S, D(n), D(1)) for n in range(start, start + 50_000))))
    # Then not all are remembered
    assert len(rows._texts) <= 65_536 + 50_000
