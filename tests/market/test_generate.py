"""One generated day adds up to its bar, whatever the bar."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import date
from decimal import Decimal as D
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qts
from qts.errors import ContractError
from qts.market.contracts import Quote, Tick, TickRule
from qts.market.generate import MIN_EVENTS, intraday
from qts.market.generic import FixedTicks
from qts.market.krx import KrxCalendar, KrxTicks, Session
from qts.market.sample import DayBar

DAY = date(2018, 2, 5)
TICKS = KrxTicks()
BAR = DayBar(D(38_700), D(40_200), D(38_300), D(39_900), D(28_357_900))
BASE = D(39_700)
Values = list[Quote | Tick]


def session() -> Session:
    found = KrxCalendar().session(DAY)
    assert found is not None
    return found


def bar(*prices: int, volume: int) -> DayBar:
    return DayBar(*(D(price) for price in prices), volume=D(volume))


def generate(
    of: DayBar = BAR, base: D | None = BASE, events: int = 2_000, seed: int = 1, ticks: TickRule = TICKS
) -> Values:
    return list(intraday("005930", of, base, ticks, DAY, session(), events, random.Random(seed)))


def trades(values: Values) -> list[Tick]:
    return [value for value in values if isinstance(value, Tick)]


def check(values: Values, of: DayBar, base: D | None, events: int, ticks: TickRule = TICKS) -> None:
    """All that the generator promises about one day."""
    done = trades(values)
    times = session()
    assert len(values) == events
    assert all(earlier.ts_ns <= later.ts_ns for earlier, later in pairwise(values))
    assert (done[0].price, done[0].ts_ns) == (of.open, times.open_ns)
    assert done[-1].price == of.close
    if of.volume > 1:
        assert done[-1].ts_ns == times.close_ns
        assert values[-1] is done[-1]
        assert all(times.open_ns <= value.ts_ns < times.closing_auction_ns for value in values[:-1])
    assert max(trade.price for trade in done) == of.high
    assert min(trade.price for trade in done) == of.low
    assert sum(trade.size for trade in done) == of.volume
    check_touch(values, base, ticks)


def check_touch(values: Values, base: D | None, ticks: TickRule) -> None:
    limits = ticks.band(base, DAY) if base is not None else None
    quote: Quote | None = None
    for value in values:
        if isinstance(value, Tick):
            assert quote is not None
            assert value.price in (quote.bid, quote.ask)
            assert value.size > 0
            assert value.size == int(value.size)
            continue
        quote = value
        assert quote.bid is not None or quote.ask is not None
        for price, size in ((quote.bid, quote.bid_size), (quote.ask, quote.ask_size)):
            assert (price is None) == (size is None)
            if price is not None:
                assert ticks.is_valid(price, DAY)
                assert size is not None
                assert size > 0
                assert size == int(size)
                assert limits is None or limits[0] <= price <= limits[1]
        if quote.bid is not None and quote.ask is not None:
            assert quote.bid < quote.ask


@st.composite
def days(draw: st.DrawFn) -> tuple[DayBar, D]:
    """A base price and any bar the rules allow around it: flat days, limit moves and tiny volumes among them."""
    base = TICKS.round_up(D(draw(st.integers(1, 700_000))), DAY)
    lowest, highest = TICKS.band(base, DAY)
    near = st.integers(int(lowest), int(highest)) | st.sampled_from([int(lowest), int(highest), int(base)])
    prices = [max(TICKS.round_down(D(draw(near)), DAY), lowest) for _ in range(draw(st.sampled_from([1, 2, 4])))]
    first, last = prices[0], prices[-1]
    needed = 1 if len(set(prices)) == 1 else 2 + len({min(prices), max(prices)} - {first, last})
    volume = draw(st.integers(needed, needed + 5) | st.integers(needed, 10**9))
    return DayBar(first, max(prices), min(prices), last, D(volume)), base


class TestTheDayAddsUp:
    @settings(max_examples=100, deadline=None)
    @given(day=days(), events=st.integers(MIN_EVENTS, 300), seed=st.integers(0, 2**32))
    def test_for_any_valid_day(self, day: tuple[DayBar, D], events: int, seed: int) -> None:
        of, base = day
        check(generate(of, base, events, seed), of, base, events)

    @pytest.mark.parametrize(
        "of",
        [
            pytest.param(BAR, id="the day of the spike"),
            pytest.param(bar(40_000, 40_000, 40_000, 40_000, volume=5_000), id="flat"),
            pytest.param(bar(40_000, 40_000, 40_000, 40_000, volume=1), id="one share"),
            pytest.param(bar(40_000, 40_000, 40_000, 40_000, volume=2), id="two shares"),
            pytest.param(bar(40_000, 40_100, 39_900, 40_000, volume=4), id="just enough shares"),
            pytest.param(bar(51_600, 51_600, 51_600, 51_600, volume=90), id="limit up all day"),
            pytest.param(bar(27_800, 27_800, 27_800, 27_800, volume=90), id="limit down all day"),
            pytest.param(bar(27_800, 51_600, 27_800, 51_600, volume=10_000), id="from limit to limit"),
        ],
    )
    def test_for_days_worked_by_hand(self, of: DayBar) -> None:
        # 39,700 x 0.7 = 27,790 -> 27,800; x 1.3 = 51,610 -> 51,600
        assert TICKS.band(BASE, DAY) == (D(27_800), D(51_600))
        check(generate(of), of, BASE, 2_000)

    def test_at_the_limits_the_side_beyond_is_empty(self) -> None:
        up = [
            value for value in generate(bar(51_600, 51_600, 51_600, 51_600, volume=90)) if isinstance(value, Quote)
        ]
        assert {quote.ask for quote in up} <= {None, D(51_600)}
        assert any(quote.ask is None for quote in up)

    def test_a_price_of_one_won_has_nothing_below(self) -> None:
        of = bar(1, 1, 1, 1, volume=50)
        values = generate(of, base=None)
        check(values, of, None, 2_000)
        assert all(value.bid is None or value.bid == 1 for value in values if isinstance(value, Quote))

    def test_without_limits_on_a_grid_of_cents(self) -> None:
        ticks = FixedTicks("0.01")
        of = DayBar(D("10.05"), D("10.40"), D("9.98"), D("10.11"), D(70_000))
        check(generate(of, base=None, ticks=ticks), of, None, 2_000, ticks)


class TestTheDayLooksLikeOne:
    def test_spreads_are_mostly_one_tick(self) -> None:
        quotes = [value for value in generate(events=10_000) if isinstance(value, Quote)]
        narrow = [q for q in quotes if q.bid is not None and q.ask is not None and q.ask - q.bid == 50]
        assert 0.8 < len(narrow) / len(quotes) < 1.0

    def test_more_is_traded_at_both_ends_than_in_the_middle(self) -> None:
        done = trades(generate(events=10_000))[1:-1]
        third = len(done) // 3
        parts = [sum(trade.size for trade in done[n * third : (n + 1) * third]) for n in range(3)]
        assert parts[1] < parts[0]
        assert parts[1] < parts[2]

    def test_the_price_turns_often_enough_to_scalp(self) -> None:
        """Round trips of 4 ticks (more than fee and tax of 0.33 % at 40,000 won, 2.6 ticks) happen many times."""
        turns, anchor, direction = 0, BAR.open, 0
        for price in (trade.price for trade in trades(generate(events=10_000))):
            if direction * (price - anchor) > 0:
                anchor = price
            elif abs(price - anchor) >= 200:
                direction, anchor, turns = (1 if price > anchor else -1), price, turns + 1
        assert turns >= 10

    def test_both_sides_trade(self) -> None:
        makers = [trade.buyer_is_maker for trade in trades(generate())]
        assert makers[0] is None
        assert makers[-1] is None
        assert set(makers[1:-1]) == {True, False}

    def test_the_aggressor_and_the_touch_agree(self) -> None:
        quote: Quote | None = None
        for value in generate()[:-1]:
            if isinstance(value, Quote):
                quote = value
            elif value.buyer_is_maker is not None:
                assert quote is not None
                assert value.price == (quote.bid if value.buyer_is_maker else quote.ask)

    def test_quotes_carry_the_last_trade(self) -> None:
        last: D | None = None
        for value in generate():
            if isinstance(value, Tick):
                last = value.price
            else:
                assert value.last == last

    def test_no_gap_within_the_session_lets_a_fresh_price_go_stale_for_long(self) -> None:
        values = generate(events=10_000)[:-1]
        assert max(b.ts_ns - a.ts_ns for a, b in pairwise(values)) < 6_000_000_000


class TestOneSeedOneDay:
    def test_the_same_seed_gives_the_same_values(self) -> None:
        assert generate(seed=7) == generate(seed=7)

    def test_another_seed_gives_others(self) -> None:
        assert generate(seed=7) != generate(seed=8)

    def test_nothing_depends_on_the_hash_seed_of_the_process(self) -> None:
        code = (
            "import hashlib; from qts.market.demo_feed import DemoFeed; from datetime import date as d;"
            "feed = DemoFeed(3, d(2018, 2, 1), d(2018, 2, 6), events_per_day=300);"
            "print(feed.source_id, hashlib.sha256(repr(list(feed.values())).encode()).hexdigest())"
        )
        roots = [str(Path(path).parent) for path in qts.__path__]
        runs = {
            subprocess.run(
                [sys.executable, "-c", code],
                env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(roots)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("0", "1")
        }
        assert len(runs) == 1


class TestImpossibleDays:
    @pytest.mark.parametrize(
        ("of", "message"),
        [
            (bar(38_710, 40_200, 38_300, 39_900, volume=100), "open 38710 is not on the tick grid"),
            (bar(0, 40_200, 0, 39_900, volume=100), "open 0 is not on the tick grid"),
            (bar(40_250, 40_200, 38_300, 39_900, volume=100), "must lie in 38300..40200"),
            (bar(38_700, 40_200, 38_300, 38_250, volume=100), "must lie in 38300..40200"),
            (bar(38_700, 51_700, 38_300, 39_900, volume=100), "leaves the price limits 27800..51600"),
            (bar(38_700, 40_200, 27_750, 39_900, volume=100), "leaves the price limits 27800..51600"),
            (bar(38_700, 40_200, 38_300, 39_900, volume=0), "whole shares above 0"),
            (bar(40_000, 40_100, 39_900, 40_000, volume=3), "needs 4"),
            (bar(40_000, 40_100, 40_000, 40_100, volume=1), "needs 2"),
        ],
    )
    def test_are_refused_at_the_call(self, of: DayBar, message: str) -> None:
        with pytest.raises(ContractError, match=message):
            intraday("005930", of, BASE, TICKS, DAY, session(), 100, random.Random(1))

    def test_parts_of_shares_are_refused(self) -> None:
        with pytest.raises(ContractError, match="whole shares"):
            generate(DayBar(D(40_000), D(40_000), D(40_000), D(40_000), D("1.5")))

    def test_too_few_events_are_refused_one_more_is_enough(self) -> None:
        with pytest.raises(ContractError, match="at least 16, got 15"):
            generate(events=15)
        assert len(generate(events=16)) == 16

    def test_a_range_of_too_many_ticks_is_refused(self) -> None:
        of = DayBar(D("1"), D("202"), D("1"), D("1"), D(100))
        with pytest.raises(ContractError, match="more than 20000 ticks"):
            generate(of, base=None, ticks=FixedTicks("0.01"))
