"""The feed without data: several symbols interleaved, valid days, continued anywhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.clock import from_ns, to_ns
from qts.errors import ContractError, DataError
from qts.market.contracts import Bar, Feed, Quote, Tick
from qts.market.krx import KST, KrxTicks
from qts.market.synthetic import SyntheticFeed


def small(seed: int = 1, days: int = 2) -> SyntheticFeed:
    return SyntheticFeed(seed, ("005930", "0004V0"), date(2026, 3, 6), days, events_per_day=50)


def test_it_is_a_feed_of_its_symbols() -> None:
    feed: Feed = small()
    assert feed.name == "synthetic"
    assert set(feed.instruments) == {"005930", "0004V0"}
    assert feed.max_age_ns == 5_000_000_000
    assert feed.rows_refused == {}


def test_days_are_trading_days() -> None:
    # 2026-03-06 is a Friday; a start on the closed 2026-03-02 begins on the Tuesday
    assert small().trading_days == (date(2026, 3, 6), date(2026, 3, 9))
    assert SyntheticFeed(1, day=date(2026, 3, 2)).trading_days == (date(2026, 3, 3),)


def test_bars_come_before_the_session_and_symbols_mix_in_time_order() -> None:
    values = list(small(days=1).values())
    assert [type(value) for value in values[:2]] == [Bar, Bar]
    assert {value.ts_ns for value in values[:2]} == {to_ns(datetime(2026, 3, 6, 8, 30, tzinfo=KST))}
    assert {value.day for value in values[:2] if isinstance(value, Bar)} == {"2026-03-05"}
    assert Counter(value.symbol for value in values) == {"005930": 51, "0004V0": 51}
    assert all(a.ts_ns <= b.ts_ns for a, b in pairwise(values))
    assert values[-1].ts_ns == to_ns(datetime(2026, 3, 6, 15, 30, tzinfo=KST))
    switches = sum(a.symbol != b.symbol for a, b in pairwise(values))
    assert switches > 20


def test_the_bar_told_on_the_next_day_is_what_was_traded() -> None:
    trades: dict[tuple[str, str], list[Tick]] = defaultdict(list)
    bars: dict[tuple[str, str], Bar] = {}
    for value in small().values():
        if isinstance(value, Bar):
            bars[value.symbol, value.day] = value
        elif isinstance(value, Tick):
            trades[value.symbol, f"{from_ns(value.ts_ns).astimezone(KST):%Y-%m-%d}"].append(value)
    for symbol in ("005930", "0004V0"):
        bar, done = bars[symbol, "2026-03-06"], trades[symbol, "2026-03-06"]
        assert (done[0].price, done[-1].price) == (bar.open, bar.close)
        assert max(tick.price for tick in done) == bar.high
        assert min(tick.price for tick in done) == bar.low
        assert sum(tick.size for tick in done) == bar.volume


def test_prices_are_on_the_grid() -> None:
    ticks = KrxTicks()
    for value in small().values():
        prices = (
            (value.bid, value.ask)
            if isinstance(value, Quote)
            else (value.price,)
            if isinstance(value, Tick)
            else ()
        )
        assert all(price is None or ticks.is_valid(price, date(2026, 3, 6)) for price in prices)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 2 * 2 * 51))
def test_from_any_position_exactly_the_rest_follows(cut: int) -> None:
    feed = small()
    head = list(islice(feed.values(), cut))
    other = small()
    other.resume(feed.position())
    assert other.progress() == feed.progress() == pytest.approx(cut / 204)
    assert head + list(other.values()) == list(small().values())
    assert other.progress() == 1.0


def test_after_the_end_nothing_follows() -> None:
    feed = small()
    assert len(list(feed.values())) == 204
    other = small()
    other.resume(feed.position())
    assert list(other.values()) == []


def test_the_seed_decides_everything() -> None:
    assert list(small(3).values()) == list(small(3).values())
    assert list(small(3).values()) != list(small(4).values())
    assert small(3).source_id != small(4).source_id


def test_a_symbol_has_the_same_prices_whatever_is_beside_it() -> None:
    alone = SyntheticFeed(1, ("005930",), date(2026, 3, 6), 1, events_per_day=50)
    beside = [value for value in small(days=1).values() if value.symbol == "005930"]
    assert list(alone.values()) == beside


def test_a_long_walk_stays_valid() -> None:
    feed = SyntheticFeed(9, ("005930",), date(2026, 3, 6), 250, events_per_day=16)
    assert sum(1 for _ in feed.values()) == 250 * 17


@pytest.mark.parametrize(
    ("symbols", "days", "events", "message"),
    [
        ((), 1, 16, "symbols"),
        (("005930", "005930"), 1, 16, "symbols"),
        (("5930",), 1, 16, "leading zeros"),
        (("005930",), 0, 16, "days must be between 1 and 2500, got 0"),
        (("005930",), 2_501, 16, "days must be between 1 and 2500, got 2501"),
        (("005930",), 1, 15, "events_per_day must be at least 16, got 15"),
    ],
)
def test_impossible_parameters_are_refused(symbols: tuple[str, ...], days: int, events: int, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        SyntheticFeed(1, symbols, date(2026, 3, 6), days, events)


@pytest.mark.parametrize("position", [{}, {"day": 3, "value": 0}, {"day": 0, "value": 103}, {"day": 2, "value": 1}])
def test_a_position_of_something_else_is_refused(position: dict[str, int]) -> None:
    with pytest.raises(DataError, match="position"):
        small().resume(position)
