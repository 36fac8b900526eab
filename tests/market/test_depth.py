"""Levels stay text until read, and only text that is certainly good may stay unread."""

import copy
import json
import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.market.depth import LazyLevels, is_plain, levels_of, pairs_of, sides_of
from qts.market.files.numbers import PriceTable, SizeTable
from qts.market.files.refusals import RowRefused

PLAIN = b'[["61800.20","2.909"],["5000.00","0.000"]]'
VALUES = ((Decimal("61800.20"), Decimal("2.909")), (Decimal("5000.00"), Decimal("0.000")))


def levels(text: bytes) -> object:
    return levels_of(text, PriceTable(), SizeTable())


def test_plain_levels_are_lazy_and_behave_like_the_tuple_they_become() -> None:
    lazy = levels(PLAIN)
    assert isinstance(lazy, LazyLevels)
    assert lazy == VALUES
    assert lazy == VALUES
    assert lazy == levels(PLAIN)
    assert lazy != VALUES[:1]
    assert hash(lazy) == hash(VALUES)
    assert (len(lazy), lazy[0], lazy[-1:], list(lazy)) == (2, VALUES[0], VALUES[1:], list(VALUES))
    assert repr(lazy) == repr(VALUES)
    assert VALUES[1] in lazy


def test_lazy_levels_travel_to_another_process_as_a_tuple() -> None:
    lazy = levels(PLAIN)
    assert pickle.loads(pickle.dumps(lazy)) == VALUES
    assert type(copy.deepcopy(lazy)) is tuple


@pytest.mark.parametrize("read_before", [False, True], ids=["still text", "already read"])
def test_pairs_give_what_the_levels_are_through_their_tables(read_before: bool) -> None:
    lazy = levels_of(PLAIN, PriceTable(), SizeTable())
    assert not read_before or len(lazy) == 2
    pairs, price_of, size_of = pairs_of(lazy)
    assert tuple((price_of[price], size_of[size]) for price, size in pairs) == VALUES


def test_pairs_of_a_plain_sequence_are_its_levels() -> None:
    pairs, price_of, size_of = pairs_of(VALUES)
    assert tuple((price_of[price], size_of[size]) for price, size in pairs) == VALUES


def test_no_level_is_an_empty_tuple() -> None:
    assert levels(b"[]") == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'[["0.000","1.0"]]', "nonpositive_price"),
        (b'[["0","1"]]', "nonpositive_price"),
        (b'[[".0","1.0"]]', "nonpositive_price"),
        (b'[["-5.0","1.0"]]', "nonpositive_price"),
        (b'[["5.0","-1.0"]]', "negative_size"),
        (b'[["NaN","1.0"]]', "not_finite"),
        (b'[["5.0","."]]', "not_a_number"),
        (b'[["5.0",""]]', "not_a_number"),
        (b'[["12345678901234567.0","1.0"]]', "out_of_range"),
        (b'[["5.0","0.0000000000001"]]', "out_of_range"),
        (b'[["5.0","1.0"],["6.0","9999999999999999.0"]]', "out_of_range"),
    ],
)
def test_a_bad_level_is_found_without_reading_the_good_ones(text: bytes, reason: str) -> None:
    with pytest.raises(RowRefused) as refused:
        levels(text)
    assert refused.value.reason == reason


def test_twelve_digits_on_a_side_of_the_dot_are_plain_and_thirteen_are_looked_at() -> None:
    assert is_plain(b'[["123456789012.123456789012","1.0"]]')
    assert not is_plain(b'[["1234567890123.0","1.0"]]')
    assert not is_plain(b'[["1.0","1.1234567890123"]]')


@pytest.mark.parametrize("bids", [PLAIN, b"[]", b'[["7","0"]]'])
@pytest.mark.parametrize("asks", [PLAIN, b"[]", b'[["7","0"]]'])
def test_the_sides_of_a_row_are_those_looked_through_one_by_one(bids: bytes, asks: bytes) -> None:
    sides = sides_of(bids, asks, PriceTable(), SizeTable())
    assert sides == (levels(bids), levels(asks))
    assert [type(side) for side in sides] == [type(levels(bids)), type(levels(asks))]


@pytest.mark.parametrize("bad", [b'[["0.0","1.0"]]', b'[["5.0","1.0"],["NaN","1.0"]]'])
def test_a_bad_level_on_either_side_refuses_both(bad: bytes) -> None:
    for bids, asks in ((bad, PLAIN), (PLAIN, bad), (bad, b"[]"), (b"[]", bad)):
        with pytest.raises(RowRefused):
            sides_of(bids, asks, PriceTable(), SizeTable())


@pytest.mark.parametrize("bids", [b"5", b'"5.0"', b'[["5.0","1.0"],["6.0"]]', b'{"5.0":["1.0"]}'])
def test_two_sides_of_which_one_is_no_list_never_look_like_one_list(bids: bytes) -> None:
    for sides in ((bids, PLAIN), (PLAIN, bids)):
        with pytest.raises(msgspec.ValidationError):
            sides_of(*sides, PriceTable(), SizeTable())


@pytest.mark.parametrize(
    "text",
    [b"null", b"5", b'"5.0"', b"{}", b'[["5.0","1.0"],3]', b'[["5.0"]]', b'[["5.0","1.0","2.0"]]', b"[[5.0,1.0]]"],
)
def test_another_shape_is_no_list_of_levels(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        levels(text)


def test_unusual_but_good_levels_are_read_at_once() -> None:
    for text, expected in ((b'[["7","0"]]', ("7", "0")), (b'[["0.5","1.0"]]', ("0.5", "1.0"))):
        assert not is_plain(text)
        assert levels(text) == ((Decimal(expected[0]), Decimal(expected[1])),)


numbers = st.one_of(
    st.decimals(min_value=0, max_value=10**9, places=3).map(str),
    st.sampled_from(["", ".", ".5", "5.", "NaN", "-1.0", "0.0", "1e5", "00.5", "1" * 20, "5", 7, 1.5, True, None]),
)


@given(st.lists(st.lists(numbers, min_size=1, max_size=3), max_size=4))
def test_lazy_or_not_the_verdict_and_the_values_are_the_same(rows: list[list[object]]) -> None:
    """Given any JSON of that kind, what is_plain lets through is exactly what the full check would accept."""
    text = json.dumps(rows, separators=(",", ":")).encode()
    if not is_plain(text):
        return
    assert all(len(row) == 2 for row in rows)
    prices, sizes = PriceTable(), SizeTable()
    assert levels(text) == tuple((prices[str(price)], sizes[str(size)]) for price, size in rows)


def test_a_book_of_more_levels_than_the_pattern_is_read_at_once() -> None:
    text = json.dumps([["5.0", "1.0"]] * 5_000, separators=(",", ":")).encode()
    assert not is_plain(text)
    assert len(levels(text)) == 5_000  # type: ignore[arg-type]
    assert is_plain(json.dumps([["5.0", "1.0"]] * 4_096, separators=(",", ":")).encode())
