"""What every indicator has: input, readiness, crossings, names, copies, saved state."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.indicators import Candle, Ema, Indicator, Line, NumberIndicator, Sma, candle_of
from qts.market.contracts import Bar

D = Decimal
BAR = Bar("A", 1, D(10), D(16), D(8), D(12), D(500), day="2026-01-05")


def test_before_it_is_ready_its_value_is_nan_and_a_price_cannot_be_compared_with_it() -> None:
    sma = Sma(2)

    assert (sma.ready, math.isnan(sma.value), math.isnan(sma.previous)) == (False, True, True)
    assert not sma.value < 1.0
    assert not sma.value > 1.0
    with pytest.raises(ArithmeticError):
        _ = D(1) > sma.value


def test_value_and_previous_follow_each_update() -> None:
    sma = Sma(2)

    sma.update(1.0)
    sma.update(3.0)
    assert (sma.ready, sma.value) == (True, 2.0)
    assert math.isnan(sma.previous)

    sma.update(5.0)
    assert (sma.value, sma.previous) == (4.0, 2.0)


@pytest.mark.parametrize("x", [2.5, D("2.5"), 2])
def test_it_takes_floats_decimals_and_ints(x: Any) -> None:
    assert Sma(1).update(x) == float(x)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("open", 10.0), ("high", 16.0), ("low", 8.0), ("close", 12.0), ("volume", 500.0),
        ("hl2", 12.0), ("hlc3", 12.0), ("ohlc4", 11.5),
    ],
)  # fmt: skip
def test_of_a_bar_it_reads_what_of_names(of: str, expected: float) -> None:
    assert Sma(1, of=of).update(BAR) == expected
    assert Sma(1, of=of).update(candle_of(BAR)) == expected


@pytest.mark.parametrize(
    "x",
    [
        float("nan"), float("inf"), -float("inf"), 1e100, -1e100, D("NaN"), D("sNaN"), D("Infinity"), D("1e400"),
        10**400, True, None, "12", [1.0], 1j,
    ],
)  # fmt: skip
def test_what_is_no_finite_number_is_refused_by_name_and_leaves_it_as_it_was(x: Any) -> None:
    # Given
    sma = Sma(2)
    sma.update(1.0)

    # When
    with pytest.raises(ContractError, match=r"^Sma\(2\) takes "):
        sma.update(x)

    # Then
    assert sma.update(3.0) == 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"high": D(7)}, {"low": D("NaN")}, {"high": D("Infinity")}, {"close": D("NaN")}, {"open": D("1e101")},
        {"volume": D(-1)}, {"volume": D("NaN")},
    ],
)  # fmt: skip
def test_a_bar_that_cannot_be_is_refused(change: dict[str, Decimal]) -> None:
    with pytest.raises(ContractError, match="numbers must be finite"):
        Sma(2).update(msgspec.structs.replace(BAR, **change))


@pytest.mark.parametrize("of", ["", "Close", "hlcc4", None, 3])
def test_a_field_that_a_bar_lacks_is_refused_with_those_it_has(of: Any) -> None:
    with pytest.raises(ContractError, match=r"Sma: of must be one of open, .*ohlc4"):
        Sma(2, of=of)


@pytest.mark.parametrize("length", [0, -1, 2.0, True, "3", None, 100_001])
@pytest.mark.parametrize("kind", [Sma, Ema])
def test_a_length_is_a_whole_number_within_bounds(kind: Any, length: Any) -> None:
    with pytest.raises(ContractError, match=rf"{kind.__name__}: length must be a whole number from 1 to 100000"):
        kind(length)


def line(previous: float, value: float) -> Line:
    made = Line()
    made.move(previous)
    made.move(value)
    return made


@pytest.mark.parametrize(
    ("mine", "other", "above", "below"),
    [
        ((1, 3), (2, 2), True, False),
        ((2, 3), (2, 2), True, False),  # it touched before: now it is above
        ((1, 2), (2, 2), False, False),  # it touches
        ((3, 4), (2, 2), False, False),  # it was above
        ((3, 1), (2, 2), False, True),
        ((2, 1), (2, 2), False, True),
        ((1, 3), (0, 4), False, True),
        ((1, 3), (2, float("nan")), False, False),
        ((float("nan"), 3), (2, 2), False, False),
    ],
)
def test_a_crossing_leads_from_one_side_to_the_other(
    mine: tuple[float, float], other: tuple[float, float], above: bool, below: bool
) -> None:
    assert line(*mine).crossed_above(line(*other)) is above
    assert line(*mine).crossed_below(line(*other)) is below


@pytest.mark.parametrize("level", [2, 2.0, D(2)])
def test_a_crossing_of_a_number(level: Any) -> None:
    assert line(1, 3).crossed_above(level)
    assert line(2, 3).crossed_above(level)
    assert not line(3, 4).crossed_above(level)
    assert line(3, 1).crossed_below(level)
    assert not line(1, 1.5).crossed_below(level)
    assert not line(1, 3).crossed_above(float("nan"))


@pytest.mark.parametrize(
    ("indicator", "name"),
    [(Sma(20), "Sma(20)"), (Ema(5, of="hlc3"), "Ema(5, of=hlc3)"), (Sma(3, of="close"), "Sma(3)")],
)
def test_its_name_is_its_class_with_its_settings(indicator: Indicator, name: str) -> None:
    assert indicator.name == name
    assert [shown for shown, _ in indicator.values()] == [name]


def test_a_clone_has_the_settings_and_has_seen_nothing() -> None:
    # Given
    ema = Ema(2, of="high")
    for x in (1.0, 2.0, 3.0):
        ema.update(x)

    # When
    fresh = ema.clone()

    # Then
    assert (type(fresh), fresh.name, fresh.ready) == (Ema, "Ema(2, of=high)", False)
    fresh.update(100.0)
    assert ema.value == 2.5


class Doubled(NumberIndicator):
    """A user's own, without slots, made of others."""

    def __init__(self, length: int = 2, of: str = "close") -> None:
        super().__init__(of)
        self.length = length
        self.inner = Sma(length)
        self.seen: list[float] = []

    def compute(self, x: float) -> float:
        self.seen = [*self.seen, x][-2:]
        return 2 * self.inner.update(x)


@pytest.mark.parametrize("make", [lambda: Sma(3), lambda: Ema(3), lambda: Doubled(3)])
def test_state_taken_by_a_fresh_one_goes_on_as_the_first_one_would_have(make: Any) -> None:
    numbers = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0]
    whole = make()
    expected = [whole.update(x) for x in numbers]
    for cut in range(len(numbers)):
        # Given
        first = make()
        for x in numbers[:cut]:
            first.update(x)

        # When its state goes through a file into a fresh one
        second = first.clone()
        second.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(first.export_state())))

        # Then the rest is the same to the last bit, and the two are apart
        assert repr([second.update(x) for x in numbers[cut:]]) == repr(expected[cut:])
        assert repr(first.export_state()) != repr(second.export_state())


def test_state_that_does_not_fit_is_refused() -> None:
    for state in ([], [1.0], {}, None, 3.0):
        with pytest.raises(ContractError, match=r"Sma\(3\).*does not fit"):
            Sma(3).import_state(state)  # type: ignore[arg-type]


def test_memory_of_a_kind_that_no_checkpoint_keeps_is_named() -> None:
    odd = Doubled()
    odd.seen = {1.0}  # type: ignore[assignment]

    with pytest.raises(ContractError, match=r"Doubled\(2\).*attribute seen holds a set"):
        odd.export_state()


def test_a_constructor_with_any_number_of_arguments_is_refused() -> None:
    class Loose(Sma):
        def __init__(self, *lengths: int) -> None:
            super().__init__(lengths[0])

    with pytest.raises(ContractError, match=r"Loose.*named arguments, not \*lengths"):
        Loose(3).clone()


def test_a_candle_has_the_numbers_of_the_bar() -> None:
    assert candle_of(BAR) == Candle(10.0, 16.0, 8.0, 12.0, 500.0, "2026-01-05")
