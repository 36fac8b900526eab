"""The real files, counted: nothing of them is lost, and what is refused is refused for its reason."""

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from qts.errors import DataError
from qts.market.contracts import BookUpdate, Quote, Tick
from qts.market.files import open_feed

from .samples import real_file

D = Decimal
CAPTURE = "binance_usdm_btcusdt_20240808.gz"


def test_the_raw_capture_has_all_its_rows_and_none_is_refused() -> None:
    feed = open_feed(real_file(CAPTURE))
    counts: Counter[str] = Counter()
    levels = 0
    seeds = []
    last_ns = 0
    for value in feed.values():
        assert value.ts_ns >= last_ns
        last_ns = value.ts_ns
        counts[type(value).__name__] += 1
        if isinstance(value, BookUpdate):
            if value.snapshot:
                seeds.append(value)
            else:
                levels += len(value.bids) + len(value.asks)
    assert counts == {"Quote": 66_089, "BookUpdate": 6_551 + 1, "Tick": 21_313}
    assert levels == 443_521
    assert (len(seeds), len(seeds[0].bids), len(seeds[0].asks)) == (1, 1_000, 1_000)
    assert dict(feed.rows_refused) == {}
    assert last_ns == 1_723_161_599_833_492_584


def test_the_first_quote_and_trade_of_the_capture() -> None:
    values = open_feed(real_file(CAPTURE)).values()
    seen = [next(values) for _ in range(3)]
    assert seen[1:] == [
        Quote("BTCUSDT", 1_723_161_255_088_169_167, D("61800.20"), D("61800.30"), D("2.507"), D("2.510")),
        Tick("BTCUSDT", 1_723_161_255_088_176_367, D("61800.30"), D("0.006"), False),
    ]


def test_the_grid_of_the_capture_is_that_of_the_market() -> None:
    instrument = open_feed(real_file(CAPTURE)).instruments["BTCUSDT"]
    assert instrument.ticks.tick(D(61_800), date(2024, 8, 8)) == D("0.1")
    assert instrument.lot == D("0.001")


def test_the_capture_resumes_in_the_middle() -> None:
    feed = open_feed(real_file(CAPTURE))
    values = feed.values()
    for _ in range(50_000):
        next(values)
    again = open_feed(real_file(CAPTURE))
    again.resume(feed.position())
    rest = list(values)
    assert len(rest) == 93_954 - 50_000
    assert list(again.values()) == rest


@pytest.mark.parametrize(
    ("name", "used", "no_price", "symbols"),
    [
        ("krx_observer_20260122.jsonl.gz", 143, 2, 131),
        ("krx_observer_20260123.jsonl.gz", 5_544, 86, 131),
        ("krx_observer_20260126.jsonl.gz", 454, 1_058, 1_512),
    ],
)
def test_the_snapshots_are_used_but_for_those_without_a_price(
    name: str, used: int, no_price: int, symbols: int
) -> None:
    feed = open_feed(real_file(name))
    values = list(feed.values())
    assert (len(values), dict(feed.rows_refused)) == (used, {"no_price": no_price})
    assert len(feed.instruments) == symbols
    assert all(isinstance(value, Quote) and value.bid is None and value.last for value in values)


def test_the_first_snapshot_of_samsung() -> None:
    feed = open_feed(real_file("krx_observer_20260123.jsonl.gz"))
    first = next(value for value in feed.values() if value.symbol == "005930")
    assert isinstance(first, Quote)
    assert (first.last, first.volume) == (D(154_100), D(1_032_028))


def test_frames_of_a_broker_are_no_snapshots() -> None:
    with pytest.raises(DataError, match="looks like JSON of another kind"):
        open_feed(real_file("kis_ws_frames.jsonl"))
