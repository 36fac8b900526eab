"""What holds for each of the indicators."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qts.kit
from qts.errors import ContractError
from qts.indicators import INDICATORS, BarIndicator, Candle, Indicator, Line, settings_of
from qts.strategy.snapshot import restore, save

from .bars import flat_candles, random_candles

NEEDS_LENGTH = {"length": 7}


def default(kind: type[Indicator]) -> Indicator:
    """With its defaults, and a length of 7 where there is none."""
    lacks = "length" in settings_of(kind) and not isinstance(settings_of(kind)["length"], int)
    return kind(**NEEDS_LENGTH) if lacks else kind()


def everything(indicator: Indicator) -> list[str]:
    """Value, lines and other fields, as texts that tell NaN from NaN and every bit."""
    assert indicator.about is not None
    shown = [indicator.value, indicator.previous]
    for name in indicator.about.fields:
        field = getattr(indicator, name)
        shown += [field.value, field.previous] if isinstance(field, Line) else [field]
    return [repr(one) for one in shown]


def updates_until_ready(indicator: Indicator) -> int:
    for count, candle in enumerate(random_candles(1, 200), 1):
        indicator.update(candle)
        if indicator.ready:
            return count
    raise AssertionError("never ready")


def said_ready(indicator: Indicator) -> set[int]:
    """The numbers that ``about.ready`` comes to with the settings of ``indicator``."""
    assert indicator.about is not None
    values = {name: getattr(indicator, name) for name in settings_of(type(indicator))}
    text = indicator.about.ready.replace("`", "").replace("−", "-").replace("×", "*")
    if text.startswith("the greater of "):
        text = f"max({text.removeprefix('the greater of ').replace(' and ', ', ')})"
    text = text.replace("√length", "int(length ** 0.5)")
    return {eval(part, {"max": max, "int": int}, dict(values)) for part in text.split(", or ")}


each = pytest.mark.parametrize("kind", INDICATORS, ids=operator.attrgetter("__name__"))


def test_there_are_twenty_five_and_the_kit_offers_them_all() -> None:
    assert len(INDICATORS) == len({kind.__name__ for kind in INDICATORS}) == 25
    assert {kind.__name__ for kind in INDICATORS} < set(qts.kit.__all__)


@each
def test_it_is_ready_when_its_page_says(kind: type[Indicator]) -> None:
    indicator = default(kind)

    assert updates_until_ready(indicator) in said_ready(indicator)


@pytest.mark.parametrize("kind", [kind for kind in INDICATORS if "length" in settings_of(kind)])
@pytest.mark.parametrize("length", [2, 3, 9])
def test_it_is_ready_when_its_page_says_with_another_length(kind: type[Indicator], length: int) -> None:
    indicator = kind(length=length)

    assert updates_until_ready(indicator) in said_ready(indicator)


@each
def test_its_page_explains_every_setting_and_its_fields_exist(kind: type[Indicator]) -> None:
    assert kind.about is not None
    assert set(kind.about.settings) == set(settings_of(kind))
    assert bool(kind.about.ta_lib) != bool(kind.about.source)
    assert set(kind.lines) <= set(kind.about.fields)
    for name in kind.about.fields:
        assert hasattr(default(kind), name)


@each
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 60))
@settings(max_examples=10, deadline=None)
def test_saved_after_any_bar_it_goes_on_as_if_it_had_not_been(kind: type[Indicator], seed: int, cut: int) -> None:
    # Given
    candles = random_candles(seed, 120)
    whole, first = default(kind), default(kind)
    for candle in candles[:cut]:
        whole.update(candle)
        first.update(candle)

    # When
    second = first.clone()
    second.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(first.export_state())))

    # Then
    for candle in candles[cut:]:
        whole.update(candle)
        second.update(candle)
        assert everything(second) == everything(whole)


class Holder:
    """A strategy with an indicator as an attribute."""

    name = "holder"

    def __init__(self, indicator: Any = None) -> None:
        self.indicator = indicator


@each
def test_as_an_attribute_of_a_strategy_it_is_saved_with_its_settings(kind: type[Indicator]) -> None:
    # Given
    first = kind(**NEEDS_LENGTH) if "length" in settings_of(kind) else kind()
    for candle in random_candles(5, 90):
        first.update(candle)

    # When
    fresh: Any = Holder()
    restore(fresh, msgspec.msgpack.decode(msgspec.msgpack.encode(save(Holder(first)))))  # type: ignore[arg-type]

    # Then
    assert (type(fresh.indicator), fresh.indicator.name) == (kind, first.name)
    assert everything(fresh.indicator) == everything(first)


@each
def test_a_clone_begins_from_nothing(kind: type[Indicator]) -> None:
    first = default(kind)
    for candle in random_candles(2, 100):
        first.update(candle)

    second = first.clone()

    assert (second.name, second.ready) == (first.name, False)
    for candle in random_candles(2, 100):
        second.update(candle)
    assert everything(second) == everything(first)


@each
def test_a_long_run_takes_no_more_memory(kind: type[Indicator]) -> None:
    indicator = default(kind)
    sizes = []
    for at, candle in enumerate(random_candles(3, 3_000), 1):
        indicator.update(candle)
        if at % 1_000 == 0:
            sizes.append(len(msgspec.msgpack.encode(indicator.export_state())))

    assert max(sizes) <= 2 * sizes[0]
    assert not hasattr(indicator, "__dict__")


@each
@pytest.mark.parametrize("price", [0.1, 71_300.0])
@pytest.mark.parametrize("volume", [0.0, 3.0])
def test_flat_prices_have_a_value_that_is_no_signal(kind: type[Indicator], price: float, volume: float) -> None:
    indicator = default(kind)
    for candle in flat_candles(price, 120, volume):
        indicator.update(candle)
        assert not indicator.crossed_above(price)
        assert not indicator.crossed_below(price)

    # Then an average or a channel is the price, an oscillator in its middle, all exactly
    middle = {"Rsi": 50.0, "Stoch": 50.0, "WillR": -50.0, "Mfi": 50.0, "Obv": volume}
    expected = middle.get(kind.__name__, price if kind.over_prices else 0.0)
    assert indicator.value == expected
    assert all(value in (price, 50.0, 0.0) for _, value in list(indicator.values())[1:])


@each
@given(
    moves=st.lists(st.tuples(st.floats(-0.9, 3.0), st.sampled_from([0.0, 0.0, 1.0, 1e15])), max_size=60),
    start=st.sampled_from([1e-12, 1.0, 1e14]),
)
@settings(max_examples=30, deadline=None)
def test_any_prices_and_volumes_give_finite_values(
    kind: type[Indicator], moves: list[tuple[float, float]], start: float
) -> None:
    indicator, price = default(kind), start
    ready = False
    for move, volume in moves:
        before, price = price, min(max(price * (1 + move), 1e-12), 1e15)
        value = indicator.update(Candle(before, max(before, price), min(before, price), price, volume))
        assert math.isfinite(value) or (math.isnan(value) and not ready)
        assert indicator.ready is math.isfinite(value)
        ready = ready or indicator.ready


BETWEEN: Mapping[str, tuple[float, float]] = {
    "Rsi": (0, 100), "Stoch": (0, 100), "WillR": (-100, 0), "Mfi": (0, 100), "Adx": (0, 100), "StdDev": (0, 1e15),
    "Atr": (0, 1e15),
}  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in INDICATORS if kind.__name__ in BETWEEN])
@given(closes=st.lists(st.floats(0.01, 1000), min_size=30, max_size=80))
@settings(max_examples=40, deadline=None)
def test_an_oscillator_stays_between_its_ends(kind: type[Indicator], closes: list[float]) -> None:
    least, most = BETWEEN[kind.__name__]
    indicator, before = default(kind), closes[0]
    for close in closes:
        value = indicator.update(Candle(before, max(before, close), min(before, close), close, 1.0))
        before = close
        assert math.isnan(value) or least - 1e-9 <= value <= most + 1e-9


@pytest.mark.parametrize("kind", [kind for kind in INDICATORS if issubclass(kind, BarIndicator)])
@pytest.mark.parametrize("x", [1.0, 3, None, "bar"])
def test_what_needs_bars_takes_no_numbers(kind: type[Indicator], x: Any) -> None:
    indicator = default(kind)
    before = indicator.export_state()

    with pytest.raises(ContractError, match=rf"^{kind.__name__}\(.*\) takes bars, got "):
        indicator.update(x)

    assert repr(indicator.export_state()) == repr(before)


@each
def test_a_number_that_is_refused_leaves_it_as_it_was(kind: type[Indicator]) -> None:
    indicator = default(kind)
    for candle in random_candles(7, 70):
        indicator.update(candle)
    before = indicator.export_state()

    with pytest.raises(ContractError):
        indicator.update(float("nan"))

    assert indicator.export_state() == before


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("Bollinger", {"width": 0}, "width must be a number above 0"),
        ("Bollinger", {"width": float("nan")}, "width must be a number above 0"),
        ("Keltner", {"ranges": 0}, "ranges must be a whole number from 1"),
        ("Keltner", {"of": "mid"}, "Keltner: of must be one of"),
        ("Vwap", {"of": "price"}, "Vwap: of must be one of"),
        ("Vwap", {"length": -1}, "length must be a whole number from 0"),
        ("Macd", {"fast": 26}, "fast must be below slow, got 26 and 26"),
        ("Hma", {"length": 1}, "length must be a whole number from 2"),
        ("ZScore", {"length": 1}, "length must be a whole number from 2"),
        ("LinReg", {"length": 1}, "length must be a whole number from 2"),
        ("Cci", {"length": 1}, "length must be a whole number from 2"),
        ("Adx", {"length": 1}, "length must be a whole number from 2"),
        ("Sar", {"most": 1.5}, "most must be a number above 0 and at most 1,"),
        ("Sar", {"step": 0.3}, "step must be a number above 0 and at most 0.2,"),
        ("SuperTrend", {"width": True}, "width must be a number above 0"),
        ("Stoch", {"smooth": 1.5}, "smooth must be a whole number from 1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(kind: str, settings: dict[str, Any], message: str) -> None:
    [chosen] = [one for one in INDICATORS if one.__name__ == kind]

    with pytest.raises(ContractError, match=f"^{kind}: {message}|^{message}"):
        chosen(**settings)


def test_panes_keep_what_is_no_price_off_the_prices() -> None:
    from qts.indicators import Rsi, Sma

    assert (Sma(3).pane, Rsi(5).pane, Sma(3, of="volume").pane) == ("", "Rsi(5)", "Sma(3, of=volume)")


def test_names_of_the_lines_of_a_plot() -> None:
    from qts.indicators import Bollinger

    bands = Bollinger(2)
    for x in (1.0, 3.0):
        bands.update(x)

    assert dict(bands.values()) == {
        "Bollinger(2, 2)": 2.0,
        "Bollinger(2, 2) upper": 4.0,
        "Bollinger(2, 2) lower": 0.0,
    }
