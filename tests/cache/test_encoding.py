"""Values of a cache as texts: exact to the last digit, and what another program damaged is no value."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.cache.contracts import (
    BookValue,
    CacheValue,
    Kind,
    Level,
    LevelsRead,
    OrderValue,
    PositionValue,
    PriceValue,
    RiskValue,
    StrategyValue,
    ViewValue,
)
from qts.cache.encoding import KIND_OF, book_of, fields_of, levels_of, value_of
from qts.errors import ContractError

AT = 1_770_000_000_000_000_000
PRICE = PriceValue(at_ns=AT, timestamp_ms=1_770_000_000_000, bid=Decimal("70100"), last=Decimal("70200.50"))
PRICE_FIELDS = {"at_ns": str(AT), "timestamp_ms": "1770000000000", "bid": "70100", "last": "70200.50"}
TIMES = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=None)
MAYBE = st.none() | AMOUNTS
LEVELS = st.lists(st.builds(Level, AMOUNTS, AMOUNTS), max_size=4, unique_by=lambda level: level.price)
VALUES = st.one_of(
    st.builds(PriceValue, at_ns=TIMES, timestamp_ms=TIMES, bid=MAYBE, ask=MAYBE, last=MAYBE, volume=MAYBE),
    st.builds(
        PositionValue, at_ns=TIMES, qty=AMOUNTS, avg_price=AMOUNTS, updated_at=TIMES, unrealized_pnl=MAYBE,
        exposure_pct=MAYBE,
    ),
    st.builds(
        RiskValue, at_ns=TIMES, daily_pnl=AMOUNTS, trade_count=st.integers(0, 10**6), exposure_used=MAYBE,
        remaining_limit=MAYBE, max_exposure_pct=MAYBE, daily_loss_limit=MAYBE,
    ),
    st.builds(
        OrderValue, at_ns=TIMES, status=TEXTS, strategy=TEXTS, symbol=TEXTS, side=TEXTS, qty=AMOUNTS,
        filled_qty=AMOUNTS, pending_qty=AMOUNTS, limit=MAYBE, avg_fill_price=MAYBE,
    ),
    st.builds(StrategyValue, at_ns=TIMES, parameters=st.dictionaries(TEXTS, TEXTS, max_size=4)),
    st.builds(ViewValue, at_ns=TIMES, json=TEXTS),
)  # fmt: skip


def digits(value: object) -> object:
    """Amounts as their sign, digits and exponent, so that 1.10 is not 1.1."""
    return value.as_tuple() if isinstance(value, Decimal) else value


def test_a_price_is_these_fields_and_none_is_no_field() -> None:
    assert fields_of(PRICE) == PRICE_FIELDS
    assert value_of(PriceValue, PRICE_FIELDS) == PRICE


def test_a_parameter_of_a_strategy_is_a_field_of_its_own() -> None:
    value = StrategyValue(at_ns=AT, parameters={"class": "TwoEma", "fast": "12", "at_ns": "mine"})

    fields = {"at_ns": str(AT), "param.class": "TwoEma", "param.fast": "12", "param.at_ns": "mine"}
    assert fields_of(value) == fields
    assert value_of(StrategyValue, fields) == value


def test_every_kind_has_one_class() -> None:
    assert sorted(KIND_OF.values()) == sorted(Kind)


@given(value=VALUES)
def test_a_value_comes_back_as_it_was_written(value: CacheValue) -> None:
    fields = fields_of(value)

    assert value_of(type(value), fields) == value
    assert all(type(text) is str for text in fields.values())


@given(amount=AMOUNTS)
def test_an_amount_keeps_its_value_and_the_digits_behind_its_point(amount: Decimal) -> None:
    text = fields_of(PriceValue(at_ns=AT, timestamp_ms=1, bid=amount))["bid"]
    back = value_of(PriceValue, {**PRICE_FIELDS, "bid": text})

    assert back is not None
    assert back.bid is not None
    assert back.bid == amount
    assert back.bid.as_tuple().exponent == min(amount.as_tuple().exponent, 0)  # type: ignore[type-var]
    assert not set(text) - set("-0123456789.")


def test_the_context_of_the_calling_thread_rounds_nothing() -> None:
    exact = Decimal("123456789012345.123456789012345678901234567890")
    with localcontext(Context(prec=3)):
        fields = fields_of(PriceValue(at_ns=AT, timestamp_ms=1, bid=exact))
        back = value_of(PriceValue, fields)

    assert fields["bid"] == "123456789012345.123456789012345678901234567890"
    assert back is not None
    assert digits(back.bid) == digits(exact)


def test_an_exponent_is_written_out() -> None:
    fields = fields_of(PriceValue(at_ns=AT, timestamp_ms=1, bid=Decimal("1E+6"), ask=Decimal("1E-8")))

    assert (fields["bid"], fields["ask"]) == ("1000000", "0.00000001")


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1E-999999", "1" * 150])
def test_an_amount_that_is_none_is_not_written(amount: str) -> None:
    with pytest.raises(ContractError, match="last is no amount that a cache can hold"):
        fields_of(PriceValue(at_ns=AT, timestamp_ms=1, last=Decimal(amount)))


def test_a_text_that_was_no_unicode_is_damage() -> None:
    strategy = {"at_ns": str(AT), "param.fast": "12"}

    assert value_of(ViewValue, {"at_ns": str(AT), "json": "\udcff"}) is None
    assert value_of(StrategyValue, strategy) is not None
    assert value_of(StrategyValue, {**strategy, "param.fast": "\udcff"}) is None
    assert value_of(StrategyValue, {**strategy, "param.\udcff": "12"}) is None


def test_fields_that_are_not_known_are_ignored() -> None:
    assert value_of(PriceValue, {**PRICE_FIELDS, "venue": "KRX"}) == PRICE


@pytest.mark.parametrize("name", ["at_ns", "timestamp_ms"])
def test_without_a_field_that_it_needs_it_is_no_value(name: str) -> None:
    assert value_of(PriceValue, {key: text for key, text in PRICE_FIELDS.items() if key != name}) is None


@pytest.mark.parametrize(
    "text",
    [
        "", " 1", "1 ", "1\n", "+1", "1.", ".5", "1,000", "1_000", "1e5", "1E-5", "NaN", "Infinity", "0x10", "١٢",
        "１２", "1" * 148, "-", "--1", "None",
    ],
)  # fmt: skip
def test_an_amount_in_any_other_form_is_damage(text: str) -> None:
    assert value_of(PriceValue, {**PRICE_FIELDS, "bid": text}) is None


@pytest.mark.parametrize("text", ["", "1.0", "1e3", " 1", "1_0", "9223372036854775808", "9" * 20, "１"])
def test_a_time_in_any_other_form_is_damage(text: str) -> None:
    assert value_of(PriceValue, {**PRICE_FIELDS, "at_ns": text}) is None


@given(fields=st.dictionaries(st.sampled_from([*PRICE_FIELDS, "ask", "volume", "x"]), st.text()))
def test_no_text_of_another_program_raises(fields: dict[str, str]) -> None:
    for of in KIND_OF:
        value_of(of, fields)
    book_of(LevelsRead([*fields.items()], [*fields.items()], fields))


@given(bids=LEVELS, asks=LEVELS)
def test_a_book_comes_back_with_the_best_levels_first(bids: list[Level], asks: list[Level]) -> None:
    value = BookValue(
        at_ns=AT,
        timestamp_ms=1,
        bids=tuple(sorted(bids, key=lambda level: level.price, reverse=True)),
        asks=tuple(sorted(asks, key=lambda level: level.price)),
    )
    written = (levels_of(value.bids, 10), levels_of(value.asks, 10))

    for turned in (False, True):
        sides = [side[::-1] if turned else side for side in written]
        assert book_of(LevelsRead(sides[0], sides[1], fields_of(value))) == value


def test_of_a_book_the_best_levels_are_written() -> None:
    levels = tuple(Level(Decimal(70_000 - step), Decimal(step + 1)) for step in range(20))

    assert levels_of(levels, 2) == [("70000", "1"), ("69999", "2")]


@pytest.mark.parametrize("level", [("70000", "many"), ("", "1"), ("70000", "-1e3")])
def test_a_book_with_a_damaged_level_is_none(level: tuple[str, str]) -> None:
    fields = {"at_ns": str(AT), "timestamp_ms": "1"}

    assert book_of(LevelsRead([level], [], fields)) is None
    assert book_of(LevelsRead([], [level], fields)) is None
    assert book_of(LevelsRead([], [], fields)) == BookValue(at_ns=AT, timestamp_ms=1)
