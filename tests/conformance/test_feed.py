"""Every feed there is keeps the contract of feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from qts.market.contracts import FeedGap, MarketValue, Quote
from qts.market.demo_feed import DemoFeed
from qts.market.files import open_feed
from qts.market.synthetic import SyntheticFeed
from tests.conformance.feed import FeedTests, LiveFeedTests, MakeLive, Opens
from tests.market.files.samples import depth, observed, quote, snapshot, trade, write
from tests.runtime.live_market import ScriptedLiveFeed, Step
from tests.runtime.rig import SYMBOL, kst

LEVELS = [["61800.2", "1.0"]]
CSV_ROW = b"2026-01-23T09:00:%02d+09:00,000001,70000,70100,1,1,70000,%d"


class TestDemoFeed(FeedTests):
    """Two weeks around the spike of 2018, two of the days played out in 60 values."""

    @pytest.fixture
    def opens(self) -> Opens:
        return lambda: demo(1)

    @pytest.fixture
    def opens_another(self) -> Opens:
        return lambda: demo(2)


def demo(seed: int) -> DemoFeed:
    return DemoFeed(
        seed, date(2018, 1, 29), date(2018, 2, 9), date(2018, 2, 5), date(2018, 2, 6), events_per_day=60
    )


class TestSyntheticFeed(FeedTests):
    """Two symbols, two days of 50 values each."""

    @pytest.fixture
    def opens(self) -> Opens:
        return lambda: SyntheticFeed(1, (SYMBOL, "0004V0"), date(2026, 3, 6), 2, events_per_day=50)

    @pytest.fixture
    def opens_another(self) -> Opens:
        return lambda: SyntheticFeed(2, (SYMBOL, "0004V0"), date(2026, 3, 6), 2, events_per_day=50)


class FileFeedTests(FeedTests):
    """``rows`` are the lines of the file; ``more`` is one more."""

    rows: Sequence[bytes]
    more: bytes

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        path = write(tmp_path / "one.gz", list(self.rows))
        return lambda: open_feed(path)

    @pytest.fixture
    def opens_another(self, tmp_path: Path) -> Opens:
        path = write(tmp_path / "another.gz", [*self.rows, self.more])
        return lambda: open_feed(path)


class TestBinance(FileFeedTests):
    """Best prices, trades and depth; one row is no row and one has a price of nothing."""

    rows = (
        quote(0),
        snapshot(0, LEVELS, []),
        b"broken",
        *(row for at in range(1, 25) for row in (quote(at * 10), trade(at * 10, at), depth(at * 10 + 5, LEVELS))),
        quote(900, "0"),
    )
    more = quote(910)
    refused = 2


class TestObserver(FileFeedTests):
    """Two snapshots of 30 symbols, ten minutes apart; one row is no row."""

    rows = (
        *(observed("2026-01-23T01:00:06.6Z", f"{number:06}", close=70_000, volume=1) for number in range(30)),
        b"{",
        *(observed("2026-01-23T01:10:06.6Z", f"{number:06}", close=70_100, volume=2) for number in range(30)),
    )
    more = observed("2026-01-23T01:20:06.6Z", "000001", close=70_200, volume=3)
    refused = 1


class TestCsv(FileFeedTests):
    """Quotes and a trade a second; one row has a negative price."""

    rows = (
        b"ts,symbol,bid,ask,bid_size,ask_size,last,size",
        *(CSV_ROW % (second, second + 1) for second in range(30)),
        b"2026-01-23T09:00:40+09:00,000001,-70000,70100,1,1,,",
        *(b"2026-01-23T09:01:%02d+09:00,000001,70000,70100,1,1,," % second for second in range(5)),
    )
    more = b"2026-01-23T09:02:00+09:00,000001,70000,70100,1,1,,"
    refused = 1


class TestParquet(FeedTests):
    """The columns of csv from typed columns; one row has no time."""

    refused = 1

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        path = parquet(tmp_path / "one.parquet", 40)
        return lambda: open_feed(path)

    @pytest.fixture
    def opens_another(self, tmp_path: Path) -> Opens:
        path = parquet(tmp_path / "another.parquet", 41)
        return lambda: open_feed(path)


def parquet(path: Path, count: int) -> Path:
    pa = pytest.importorskip("pyarrow", reason="parquet needs the extra 'parquet'")
    pq = pytest.importorskip("pyarrow.parquet", reason="parquet needs the extra 'parquet'")
    stamps: list[str | None] = [f"2026-01-23T09:00:{second:02}+09:00" for second in range(count)]
    stamps[7] = None
    columns = {
        "ts": stamps,
        "symbol": ["000001"] * count,
        "bid": [Decimal(70_000)] * count,
        "ask": [Decimal(70_100)] * count,
        "bid_size": [1] * count,
        "ask_size": [1] * count,
    }
    pq.write_table(pa.table(columns), path)
    return path


class TestScriptedLiveFeed(LiveFeedTests):
    """The feed of the tests of the live driver: what is proved with it rests on this."""

    @pytest.fixture
    def sent(self) -> Sequence[MarketValue]:
        return [
            Quote(SYMBOL, kst(10, 0, second), bid=Decimal(150_000), ask=Decimal(150_100)) for second in range(5)
        ]

    @pytest.fixture
    def make(self) -> MakeLive:
        def made(script: Sequence[MarketValue | None]) -> ScriptedLiveFeed:
            steps: list[Step] = []
            for one in script:
                steps += [one, turn] if one is not None else [FeedGap(kst(10), "the line was lost", (SYMBOL,))]
            return ScriptedLiveFeed(lambda: kst(10), steps)

        return made


async def turn() -> None:
    await asyncio.sleep(0)
