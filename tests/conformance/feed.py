"""What every feed must do, as tests given a factory: subclass, and give the fixtures that have no default.

:class:`FeedTests` is for feeds that are pulled, :class:`LiveFeedTests` for those that push.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice, pairwise
from typing import Any, TypeAlias

import pytest

from qts.errors import DataError
from qts.market.contracts import Feed, FeedGap, IndexLevel, LiveFeed, MarketValue, VolatilityLevel

Opens: TypeAlias = Callable[[], Feed]


class FeedTests:
    """``opens`` opens the same input again and again, ``opens_another`` one of another content.

    The input has 20 to 2,000 values; ``refused`` is how many of its rows cannot be used.
    """

    refused = 0

    @pytest.fixture
    def opens(self) -> Opens:
        raise NotImplementedError

    @pytest.fixture
    def opens_another(self) -> Opens:
        raise NotImplementedError

    def test_it_is_a_feed(self, opens: Opens) -> None:
        feed = opens()

        assert isinstance(feed, Feed)
        assert feed.name
        assert feed.max_age_ns > 0
        assert len(feed.instruments) > 0

    def test_times_never_fall(self, opens: Opens) -> None:
        values = list(opens().values())

        assert len(values) >= 20
        assert all(before.ts_ns <= after.ts_ns for before, after in pairwise(values))

    def test_the_same_input_gives_the_same_values_under_the_same_name(
        self, opens: Opens, opens_another: Opens
    ) -> None:
        one, again = opens(), opens()
        begun = one.source_id

        assert list(one.values()) == list(again.values())
        assert begun == one.source_id == again.source_id != opens_another().source_id

    def test_prices_are_of_known_instruments_whose_mapping_stays_one_object(self, opens: Opens) -> None:
        feed = opens()
        known = feed.instruments

        for value in feed.values():
            if not isinstance(value, IndexLevel | VolatilityLevel):
                assert value.symbol in known
                assert known[value.symbol].symbol == value.symbol
        assert feed.instruments is known

    def test_a_volatility_index_comes_only_from_a_feed_that_declares_one(self, opens: Opens) -> None:
        feed = opens()

        assert feed.declares_volatility == any(isinstance(value, VolatilityLevel) for value in feed.values())

    def test_from_any_place_the_rest_is_the_same(self, opens: Opens) -> None:
        """given the position after any row, when a feed is opened there, then values and refusals are the rest"""
        whole = opens()
        expected = list(whole.values())
        walked = opens()
        values = walked.values()
        for done in range(len(expected) + 1):
            if done % max(len(expected) // 60, 1) == 0 or done > len(expected) - 3:
                position = walked.position()
                stored = json.loads(json.dumps(position))
                assert stored == position  # plain data
                feed = opens()
                feed.resume(stored)
                assert feed.position() == position
                assert list(feed.values()) == expected[done:]
                assert dict(feed.rows_refused) == dict(whole.rows_refused)
            next(values, None)

    def test_a_second_call_goes_on_where_the_first_one_was_left(self, opens: Opens) -> None:
        expected = list(opens().values())
        feed = opens()

        first = list(islice(feed.values(), 7))

        assert [*first, *feed.values()] == expected

    def test_no_value_comes_after_the_end(self, opens: Opens) -> None:
        feed = opens()
        values = feed.values()
        for _ in values:
            pass

        assert next(values, None) is None
        assert list(feed.values()) == []

    def test_a_resumed_end_is_the_end(self, opens: Opens) -> None:
        ended = opens()
        assert list(ended.values())
        feed = opens()

        feed.resume(ended.position())

        assert list(feed.values()) == []
        assert dict(feed.rows_refused) == dict(ended.rows_refused)

    def test_a_position_that_is_none_is_refused(self, opens: Opens) -> None:
        with pytest.raises(DataError):
            opens().resume({})

    def test_progress_never_falls_and_ends_at_one(self, opens: Opens) -> None:
        feed = opens()
        told = [feed.progress(), *(feed.progress() for _ in feed.values()), feed.progress()]

        shares = [share for share in told if share is not None]
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)
        assert told[-1] in (1.0, None)

    def test_refused_rows_are_counted_by_reason(self, opens: Opens) -> None:
        feed = opens()
        counts = [sum(feed.rows_refused.values()) for _ in feed.values()]

        assert counts == sorted(counts)
        assert all(count > 0 for count in feed.rows_refused.values())
        assert sum(feed.rows_refused.values()) == self.refused


Lose: TypeAlias = Callable[[], Awaitable[object]]
MakeLive: TypeAlias = Callable[[Sequence[MarketValue | None]], LiveFeed]


class Recorder:
    """The values and gaps of a live feed, in order, and on which threads they came."""

    def __init__(self, feed: LiveFeed) -> None:
        self.feed = feed
        self.received: list[MarketValue | FeedGap] = []
        self.connected: list[bool] = []
        self.threads: set[int] = set()

    def on(self, value: MarketValue | FeedGap) -> None:
        self.received.append(value)
        self.connected.append(self.feed.connected)
        self.threads.add(threading.get_ident())

    @property
    def values(self) -> list[MarketValue]:
        return [one for one in self.received if not isinstance(one, FeedGap)]


class LiveFeedTests:
    """``make`` makes a feed whose other side sends these values and then ends; at None the line is lost once.

    ``sent`` are at least three values for it, their times never falling.
    """

    @pytest.fixture
    def make(self) -> MakeLive:
        raise NotImplementedError

    @pytest.fixture
    def sent(self) -> Sequence[MarketValue]:
        raise NotImplementedError

    async def recorded(self, feed: LiveFeed) -> Recorder:
        recorder = Recorder(feed)
        async with asyncio.timeout(60):
            await feed.run(recorder.on, recorder.on)
        return recorder

    async def test_values_come_in_their_order_on_the_loops_thread(
        self, make: MakeLive, sent: Sequence[MarketValue]
    ) -> None:
        recorder = await self.recorded(make(sent))

        assert recorder.received == list(sent)
        assert recorder.threads == {threading.get_ident()}
        assert all(before.ts_ns <= after.ts_ns for before, after in pairwise(recorder.values))

    async def test_it_is_connected_while_it_runs_alone(self, make: MakeLive, sent: Sequence[MarketValue]) -> None:
        feed = make(sent)
        before = feed.connected

        recorder = await self.recorded(feed)

        assert not before
        assert all(recorder.connected)
        assert not feed.connected

    async def test_prices_are_of_known_instruments(self, make: MakeLive, sent: Sequence[MarketValue]) -> None:
        feed = make(sent)
        assert feed.max_age_ns > 0
        assert len(feed.instruments) > 0

        for value in (await self.recorded(feed)).values:
            assert isinstance(value, IndexLevel | VolatilityLevel) or value.symbol in feed.instruments

    async def test_a_lost_line_is_told_before_the_next_value(
        self, make: MakeLive, sent: Sequence[MarketValue]
    ) -> None:
        """given a line that is lost after the first value, when it is back, then a gap stands before the second"""
        recorder = await self.recorded(make([sent[0], None, *sent[1:]]))

        assert [isinstance(one, FeedGap) for one in recorder.received[:3]] == [False, True, False]
        gap = recorder.received[1]
        assert isinstance(gap, FeedGap)
        assert gap.reason
        assert set(gap.symbols) <= set(recorder.feed.instruments)
        assert recorder.values == list(sent)

    async def test_nothing_comes_after_it_has_returned(self, make: MakeLive, sent: Sequence[MarketValue]) -> None:
        recorder = await self.recorded(make(sent))
        count = len(recorder.received)

        await asyncio.sleep(0.05)

        assert len(recorder.received) == count

    async def test_cancelled_it_closes_and_says_nothing_more(
        self, make: MakeLive, sent: Sequence[MarketValue]
    ) -> None:
        feed = make(sent)
        first = asyncio.Event()
        recorder: list[Any] = []

        def on(value: Any) -> None:
            recorder.append(value)
            first.set()

        task = asyncio.create_task(feed.run(on, on))
        await asyncio.wait_for(first.wait(), 60)
        task.cancel()
        await asyncio.wait((task,), timeout=60)
        count = len(recorder)
        await asyncio.sleep(0.05)

        assert task.done()
        assert not feed.connected
        assert len(recorder) == count
