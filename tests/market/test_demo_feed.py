"""The demo's feed: what becomes known when, and that it can be continued anywhere."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal as D
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.clock import from_ns, to_ns
from qts.errors import ContractError, DataError
from qts.market.contracts import Bar, Feed, IndexLevel, MarketValue, Phase, Quote, Tick, VolatilityLevel
from qts.market.demo_feed import DemoFeed
from qts.market.krx import KST
from qts.market.sample import load_sample

FIVE_S, FIFTEEN_MIN = 5_000_000_000, 900_000_000_000


def small(seed: int = 1) -> DemoFeed:
    """Two weeks around the spike, two intraday days of 60 values."""
    return DemoFeed(
        seed, date(2018, 1, 29), date(2018, 2, 9), date(2018, 2, 5), date(2018, 2, 6), events_per_day=60
    )


def told_on(feed: DemoFeed, day: date) -> list[MarketValue]:
    return [value for value in feed.values() if local(value).date() == day]


def local(value: MarketValue) -> datetime:
    return from_ns(value.ts_ns).astimezone(KST)


def clock(value: MarketValue) -> str:
    return f"{local(value):%m-%d %H:%M:%S}"


class TestWhatIsKnownWhen:
    def test_a_day_of_snapshots(self) -> None:
        values = told_on(small(), date(2018, 2, 7))
        assert [(type(value).__name__, clock(value)) for value in values] == [
            ("IndexLevel", "02-07 06:00:00"),
            ("VolatilityLevel", "02-07 06:00:00"),
            ("Bar", "02-07 08:30:00"),
            ("Quote", "02-07 09:00:00"),
            ("Quote", "02-07 15:30:00"),
        ]
        index, vix, bar, opening, closing = values
        assert index == IndexLevel("S&P500", index.ts_ns, 2695.14, "2018-02-06")
        assert vix == VolatilityLevel("VIX", vix.ts_ns, 29.98, "2018-02-06")
        assert bar == Bar(
            "005930", bar.ts_ns, D(38_800), D(39_900), D(38_750), D(39_450), D(19_406_450), "1d", "2018-02-06"
        )
        # 10 % of 23,448,050 shares at the open of 40,150; all of them at the close of 38,100
        assert opening == Quote("005930", opening.ts_ns, last=D(40_150), volume=D(2_344_805))
        assert closing == Quote("005930", closing.ts_ns, last=D(38_100), volume=D(23_448_050))

    def test_the_close_moves_with_the_session_of_its_time(self) -> None:
        feed = DemoFeed(1, date(2016, 7, 28), date(2016, 8, 2))
        closes = [clock(value) for value in feed.values() if isinstance(value, Quote)][1::2]
        assert closes == ["07-28 15:00:00", "07-29 15:00:00", "08-01 15:30:00", "08-02 15:30:00"]

    def test_the_first_trading_day_of_a_year_opens_late(self) -> None:
        feed = DemoFeed(1, date(2015, 12, 29), date(2016, 1, 4))
        first = [clock(value) for value in feed.values() if isinstance(value, Bar | Quote)][-3:]
        assert first == ["01-04 09:30:00", "01-04 10:00:00", "01-04 15:00:00"]

    def test_an_intraday_day_has_the_generated_values_in_place_of_snapshots(self) -> None:
        values = told_on(small(), date(2018, 2, 5))
        # the US closes of Friday were told on Saturday; the bar of Friday is told on Monday
        assert isinstance(values[0], Bar)
        assert values[0].day == "2018-02-02"
        assert len(values) == 1 + 60
        ticks = [value for value in values if isinstance(value, Tick)]
        assert (ticks[0].price, ticks[-1].price) == (D(38_700), D(39_900))
        assert (max(t.price for t in ticks), min(t.price for t in ticks)) == (D(40_200), D(38_300))
        assert sum(t.size for t in ticks) == 28_357_900
        assert (clock(ticks[0]), clock(ticks[-1])) == ("02-05 09:00:00", "02-05 15:30:00")

    def test_halts_say_nothing_and_their_bars_are_never_told(self) -> None:
        feed = DemoFeed(1, date(2018, 4, 26), date(2018, 5, 8))
        values = [value for value in feed.values() if isinstance(value, Bar | Quote)]
        days = Counter(f"{local(value):%m-%d}" for value in values)
        assert days == {"04-26": 2, "04-27": 3, "05-04": 3, "05-08": 3}
        assert [value.day for value in values if isinstance(value, Bar)] == [
            "2018-04-26", "2018-04-27", "2018-05-04",
        ]  # fmt: skip

    def test_a_us_close_counts_on_the_next_calendar_day_even_a_holiday(self) -> None:
        feed = DemoFeed(1, date(2018, 12, 31), date(2018, 12, 31))
        values = list(feed.values())
        assert [(type(value).__name__, f"{local(value):%Y-%m-%d %H}") for value in values] == [
            ("IndexLevel", "2019-01-01 06"),
            ("VolatilityLevel", "2019-01-01 06"),
        ]

    def test_no_value_tells_of_a_day_that_is_not_over(self) -> None:
        for value in DemoFeed(1, events_per_day=16).values():
            told = local(value)
            if isinstance(value, IndexLevel | VolatilityLevel):
                assert told.date() == date.fromisoformat(value.day) + timedelta(days=1)
                assert told.hour == 6
            elif isinstance(value, Bar):
                assert told.date() > date.fromisoformat(value.day)

    def test_every_bar_and_level_of_the_sample_is_told_once(self) -> None:
        told = Counter(
            (type(value), value.day) for value in DemoFeed(1).values() if not isinstance(value, Quote | Tick)
        )
        assert set(told.values()) == {1}
        sample = load_sample()
        assert sum(kind is IndexLevel for kind, _ in told) == sum(row.sp500 is not None for row in sample)
        assert sum(kind is VolatilityLevel for kind, _ in told) == sum(row.vix is not None for row in sample)
        assert sum(kind is Bar for kind, _ in told) == sum(row.traded for row in sample) - 1  # the last is not over


class TestTheWholeDemo:
    def test_it_is_long_enough_and_in_time_order(self) -> None:
        feed = DemoFeed(1)
        intraday_days: set[date] = set()
        count, last = 0, 0
        for value in feed.values():
            assert value.ts_ns >= last
            last = value.ts_ns
            count += 1
            if isinstance(value, Tick):
                intraday_days.add(local(value).date())
        assert count == feed.total_values
        assert count >= 200_000
        assert len(intraday_days) >= 25
        assert (min(intraday_days), max(intraday_days)) == (date(2018, 1, 22), date(2018, 2, 28))
        assert feed.progress() == 1.0

    def test_each_value_is_told_in_the_phase_it_can_trade_in(self) -> None:
        feed = DemoFeed(1, date(2015, 1, 1), date(2016, 12, 31))
        calendar = feed.instruments["005930"].calendar
        opening = True
        for value in feed.values():
            if isinstance(value, Bar):
                assert calendar.phase(from_ns(value.ts_ns)) is Phase.ORDER_ENTRY
                opening = True
            elif isinstance(value, Quote):
                expected = Phase.CONTINUOUS if opening else Phase.CLOSING_AUCTION
                assert calendar.phase(from_ns(value.ts_ns)) is expected
                opening = False

    def test_it_is_a_feed(self) -> None:
        feed: Feed = small()
        assert feed.name == "demo"
        assert list(feed.instruments) == ["005930"]
        assert feed.rows_refused == {}

    def test_trading_days_are_those_with_volume_in_order(self) -> None:
        assert small().trading_days == tuple(
            date(2018, *day)
            for day in ((1, 29), (1, 30), (1, 31), (2, 1), (2, 2), (2, 5), (2, 6), (2, 7), (2, 8), (2, 9))
        )

    def test_the_source_id_names_everything_that_decides_the_values(self) -> None:
        ids = {
            DemoFeed(seed, start, None, events_per_day=events).source_id
            for seed in (1, 2) for start in (None, date(2015, 1, 2)) for events in (16, 17)
        }  # fmt: skip
        assert len(ids) == 8
        assert small().source_id == small().source_id

    def test_the_base_price_comes_from_before_the_start(self) -> None:
        """A feed that starts inside the window generates the same day as one that starts earlier."""
        late = DemoFeed(1, date(2018, 2, 6), date(2018, 2, 6), events_per_day=60)
        early = [value for value in told_on(small(), date(2018, 2, 6)) if isinstance(value, Quote | Tick)]
        assert [value for value in late.values() if isinstance(value, Quote | Tick)] == early


class TestFreshness:
    def test_the_limit_follows_the_position(self) -> None:
        feed = small()
        limits: dict[date, set[int]] = {}
        for value in feed.values():
            limits.setdefault(local(value).date(), set()).add(feed.max_age_ns)
        assert {day for day, limit in limits.items() if limit == {FIVE_S}} == {date(2018, 2, 5), date(2018, 2, 6)}
        assert all(limit in ({FIVE_S}, {FIFTEEN_MIN}) for limit in limits.values())

    def test_it_is_restored_with_the_position(self) -> None:
        feed = small()
        values = feed.values()
        for value in values:
            if isinstance(value, Tick):
                break
        other = small()
        other.resume(feed.position())
        assert other.max_age_ns == FIVE_S


class TestContinuing:
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_from_any_position_exactly_the_rest_follows(self, data: st.DataObject) -> None:
        total = small().total_values
        cut = data.draw(st.integers(0, total))
        feed = small()
        given_values = list(islice(feed.values(), cut))
        other = small()
        other.resume(feed.position())
        assert other.progress() == feed.progress() == pytest.approx(cut / total)
        assert given_values + list(other.values()) == list(small().values())

    def test_twice_in_a_row(self) -> None:
        whole = list(small().values())
        first = small()
        head = list(islice(first.values(), 40))
        second = small()
        second.resume(first.position())
        middle = list(islice(second.values(), 40))
        third = small()
        third.resume(second.position())
        assert head + middle + list(third.values()) == whole

    def test_after_the_end_nothing_follows(self) -> None:
        feed = small()
        assert len(list(feed.values())) == feed.total_values
        other = small()
        other.resume(feed.position())
        assert list(other.values()) == []
        assert other.progress() == 1.0

    @pytest.mark.parametrize(
        "position",
        [{}, {"day": 0}, {"day": "0", "value": 0}, {"day": -1, "value": 0}, {"day": 99, "value": 0},
         {"day": 0, "value": 99_999}, {"day": 0, "value": -1}],
    )  # fmt: skip
    def test_a_position_of_something_else_is_refused(self, position: dict[str, object]) -> None:
        with pytest.raises(DataError, match="position"):
            small().resume(position)


class TestSeeds:
    def test_one_seed_one_feed(self) -> None:
        assert list(small(5).values()) == list(small(5).values())

    def test_the_seed_changes_only_the_generated_days(self) -> None:
        one, two = (list(small(seed).values()) for seed in (1, 2))
        assert one != two
        outside = [
            [value for value in values if local(value).date() not in (date(2018, 2, 5), date(2018, 2, 6))]
            for values in (one, two)
        ]
        assert outside[0] == outside[1]

    def test_times_never_go_back(self) -> None:
        assert all(a.ts_ns <= b.ts_ns for a, b in pairwise(small().values()))


def test_a_range_outside_the_sample_is_refused() -> None:
    with pytest.raises(ContractError, match="it covers 2014-01-02 to 2018-12-31"):
        DemoFeed(1, date(2020, 1, 1), date(2020, 2, 1))


def test_too_few_events_are_refused() -> None:
    with pytest.raises(ContractError, match="events_per_day must be at least 16, got 15"):
        DemoFeed(1, events_per_day=15)


def test_the_first_value_is_the_first_known_figure() -> None:
    first = next(iter(DemoFeed(1).values()))
    assert first.ts_ns == to_ns(datetime(2014, 1, 2, 10, 0, tzinfo=KST))  # first trading day of the year
    assert isinstance(first, Quote)
