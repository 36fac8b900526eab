"""A prepared capture gives, value for value and place for place, what the text gives."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qts.errors import DataError
from qts.market.contracts import BookUpdate, Instrument
from qts.market.depth_book import DepthBook, kept_book_after
from qts.market.files import feed_opener, open_feed
from qts.market.files import line_source as line_source_module
from qts.market.files import parquet as parquet_module
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.prepared import recorder as recorder_module
from qts.market.prepared.directory import CaptureDirectory
from qts.market.prepared.feed import PreparedFeed
from tests.conformance.test_feed import parquet
from tests.market.files.samples import depth, observed, quote, real_file, snapshot, trade, write
from tests.market.files.test_resume import FILES

SMALL_BLOCK = 20


@pytest.fixture
def captures(tmp_path: Path) -> CaptureDirectory:
    return CaptureDirectory(tmp_path / "captures", 1 << 30, pytest.fail)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that a short file has many of them and symbols appear behind its head."""
    monkeypatch.setattr(recorder_module, "BLOCK_ROWS", SMALL_BLOCK)
    monkeypatch.setattr(line_source_module, "CHUNK", 1_500)
    monkeypatch.setattr(parquet_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(feed_opener, "HEAD_ROWS", 40)


def record(path: Path, captures: CaptureDirectory, **options: Any) -> None:
    """Read the text to its end, which makes the capture."""
    for _ in open_feed(path, captures=captures, **options).values():
        pass


def prepared(path: Path, captures: CaptureDirectory, **options: Any) -> PreparedFeed:
    feed = open_feed(path, captures=captures, **options)
    assert isinstance(feed, PreparedFeed)
    return feed


def exact(value: Any) -> str:
    """All fields with all digits: Decimals of equal value may differ in them."""
    if isinstance(value, BookUpdate):
        return repr(
            (value.symbol, value.ts_ns, tuple(value.bids), tuple(value.asks), value.snapshot, value.after_gap)
        )
    return repr(value)


def shown(feed: Any) -> tuple[Any, ...]:
    """All that a session reads of a feed between two values."""
    return (
        feed.position(),
        dict(feed.rows_refused),
        {reason: list(examples) for reason, examples in feed.refusal_examples.items()},
        feed.notes,
        list(feed.instruments),
    )


def told(feed: Any) -> Iterator[tuple[Any, ...]]:
    """Each value with all that the feed says after it; then what it says at the end."""
    yield shown(feed)
    for value in feed.values():
        yield (exact(value), *shown(feed))
    yield shown(feed)


def assert_same(path: Path, captures: CaptureDirectory, **options: Any) -> None:
    record(path, captures, **options)
    text = list(told(open_feed(path, **options)))
    for at, (one, other) in enumerate(
        itertools.zip_longest(text, told(prepared(path, captures, **options)), fillvalue=None)
    ):
        assert other == one, at


@pytest.mark.parametrize("format", sorted(FILES))
@pytest.mark.parametrize("kind", ["plain", "gz", "cut.gz"])
@pytest.mark.usefixtures("small_blocks")
def test_every_value_and_every_place_is_that_of_the_text(
    format: str, kind: str, tmp_path: Path, captures: CaptureDirectory
) -> None:
    """Given a file with every sort of trouble, of many blocks, with symbols that appear late, or cut off."""
    path = write(tmp_path / f"f.{kind}", FILES[format]())
    if kind == "cut.gz":
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert_same(path, captures)


NUMBERS = st.one_of(
    st.decimals(Decimal("0.01"), Decimal(99_999), places=2).map(str),
    st.sampled_from(["1", "7.", "0.00000001", "1e3", "1E+2", "100.0", "100.00", "012.50", "0", "-1", "nan", "x"]),
)
LEVELS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6).map(
    lambda pairs: [list(pair) for pair in pairs]
) | st.lists(st.integers(100, 200), unique=True, max_size=8).map(
    lambda prices: [[f"{price}.50", "1.000"] for price in sorted(prices)]
)
SYMBOLS = st.sampled_from(["BTCUSDT", "ETHUSDT", "XRPUSDT"])
ROWS = st.one_of(
    st.builds(lambda at, bid, ask, u, name: quote(at, bid, ask, u=u, symbol=name),
              st.integers(0, 40), NUMBERS, NUMBERS, st.integers(1, 3), SYMBOLS),
    st.builds(lambda at, number, price, maker, name: trade(at, number, price, maker=maker, symbol=name),
              st.integers(0, 40), st.integers(1, 30), NUMBERS, st.booleans(), SYMBOLS),
    st.builds(lambda at, bids, asks, u, before, name: depth(at, bids, asks, u=u, before=before, symbol=name),
              st.integers(0, 40), LEVELS, LEVELS, st.integers(1, 50), st.none() | st.integers(0, 50), SYMBOLS),
    st.builds(snapshot, st.integers(0, 40), LEVELS, LEVELS, st.integers(1, 9)),
    st.sampled_from([b"", b"broken", b"1723161255000000000 {}", quote(900_000)]),
)  # fmt: skip


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=50), block=st.sampled_from([1, 3, 20]), chunk=st.sampled_from([300, 2_000]))
def test_random_captures_are_the_same_prepared(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], block: int, chunk: int
) -> None:
    directory = tmp_path_factory.mktemp("capture")
    path = write(directory / "f.gz", [quote(0), *sorted(rows, key=lambda row: row[:19])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder_module, "BLOCK_ROWS", block)
        patch.setattr(line_source_module, "CHUNK", chunk)
        assert_same(path, CaptureDirectory(directory / "captures", 1 << 30, pytest.fail))


CELLS = st.tuples(
    st.integers(0, 30),
    st.sampled_from(["005930", "A000660", "000660.KQ", "1", ""]),
    st.sampled_from(["", "70000", "70100", "0", "70100.10000000001"]),
    st.sampled_from(["", "70100", "70200", "69000"]),
    st.sampled_from(["", "1", "2.5", "-1"]),
    st.sampled_from(["", "3"]),
    st.sampled_from(["", "70000", "x"]),
    st.sampled_from(["", "5", "0"]),
)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(CELLS, max_size=40), mark=st.sampled_from([",", ";"]))
def test_random_tables_are_the_same_prepared(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]], mark: str
) -> None:
    """Given quotes, trades and both in one row, other spellings of a symbol, binary noise and rows that repeat."""
    directory = tmp_path_factory.mktemp("table")
    lines = [f"2026-01-23T09:00:{row[0]:02}+09:00,{','.join(row[1:])}" for row in sorted(rows)]
    header = "ts,symbol,bid,ask,bid_size,ask_size,last,size"
    first = "2026-01-23T09:00:00+09:00,005930,70000,70100,1,1,,"
    text = [line.replace(",", mark).encode() for line in (header, first, *lines)]
    assert_same(write(directory / "f.csv", text), CaptureDirectory(directory / "c", 1 << 30, pytest.fail))


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 12),
            st.sampled_from([0, 70_000, 70_000.5, None]),
            st.sampled_from([None, 69_900, 71_000]),
            st.integers(0, 2),
        ),
        max_size=40,
    )
)
def test_random_snapshots_are_the_same_prepared(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
) -> None:
    directory = tmp_path_factory.mktemp("observed")
    lines = [
        observed(f"2026-01-23T01:{minute:02}:06.6Z", f"{number:06}", close, volume, bid=bid, ask=70_500)
        for minute, number, close, bid, volume in sorted(rows, key=lambda row: row[0])
    ]
    path = write(directory / "f.jsonl", [observed("2026-01-23T01:00:00Z"), *lines])
    assert_same(path, CaptureDirectory(directory / "c", 1 << 30, pytest.fail))


@pytest.mark.usefixtures("small_blocks")
def test_a_parquet_file_is_the_same_prepared(tmp_path: Path, captures: CaptureDirectory) -> None:
    assert_same(parquet(tmp_path / "f.parquet", 50), captures)


@pytest.mark.parametrize("name", ["binance_usdm_btcusdt_20240808.gz", "krx_observer_20260123.jsonl.gz"])
def test_a_real_file_is_the_same_prepared(name: str, captures: CaptureDirectory) -> None:
    path = real_file(name)
    record(path, captures)
    text, other = open_feed(path), prepared(path, captures)
    for at, (one, two) in enumerate(zip(text.values(), other.values(), strict=True)):
        assert exact(two) == exact(one)
        if at % 1_009 == 0:
            assert shown(other) == shown(text)
    assert shown(other) == shown(text)


@pytest.mark.parametrize("format", sorted(FILES))
@pytest.mark.usefixtures("small_blocks")
def test_a_run_begun_on_one_resumes_on_the_other(format: str, tmp_path: Path, captures: CaptureDirectory) -> None:
    """Given a run that changes between text and capture at random places, it is the run of the text alone."""
    path = write(tmp_path / "f.gz", FILES[format]())
    record(path, captures)
    whole = open_feed(path)
    expected = [exact(value) for value in whole.values()]
    rng = random.Random(3)
    for _ in range(6):
        opens = [lambda: open_feed(path), lambda: prepared(path, captures)]
        rng.shuffle(opens)
        given_so_far: list[str] = []
        feed: Any = opens[0]()
        for turn in itertools.count(1):
            count = rng.choice((0, 1, 7, SMALL_BLOCK, 60))
            some = [exact(value) for value in itertools.islice(feed.values(), count)]
            given_so_far += some
            if len(some) < count:
                break
            position = json.loads(json.dumps(feed.position()))
            feed = opens[turn % 2]()
            feed.resume(position)
            assert (feed.position()["parser"], feed.position()["refused"]) == (
                position["parser"],
                position["refused"],
            )
        assert given_so_far == expected
        assert shown(feed)[1:] == shown(whole)[1:]


def test_a_finished_run_stays_finished(tmp_path: Path, captures: CaptureDirectory) -> None:
    path = write(tmp_path / "f.gz", [quote(at) for at in range(50)])
    path.write_bytes(path.read_bytes()[:-9])
    record(path, captures)
    text = open_feed(path)
    list(text.values())

    again = prepared(path, captures)
    again.resume(text.position())

    assert list(again.values()) == []
    assert shown(again) == shown(text)


def test_a_position_with_no_place_in_the_capture_is_for_the_text(
    tmp_path: Path, captures: CaptureDirectory
) -> None:
    """Given a position that remembers something else, as another version may write, the text takes it."""
    path = write(tmp_path / "f", [quote(at) for at in range(30)])
    record(path, captures)
    text = open_feed(path)
    list(itertools.islice(text.values(), 10))
    position = {**text.position(), "refused": {"malformed": [3, [[2, "x", "", ""]]]}}

    feed = prepared(path, captures)
    instruments = feed.instruments
    feed.resume(position)

    assert len(list(feed.values())) == 20
    assert dict(feed.rows_refused) == {"malformed": 3}
    assert feed.instruments is instruments
    for broken in ({}, {"source_id": feed.source_id}, {**text.position(), "parser": 5}):
        with pytest.raises(DataError, match="stored position"):
            prepared(path, captures).resume(broken)


def test_a_second_call_of_values_goes_on_where_the_first_was_left(
    tmp_path: Path, captures: CaptureDirectory
) -> None:
    path = write(tmp_path / "f", [quote(at) for at in range(10)])
    record(path, captures)
    feed = prepared(path, captures)

    first = list(itertools.islice(feed.values(), 4))

    assert [*first, *feed.values()] == list(open_feed(path).values())


@pytest.mark.usefixtures("small_blocks")
def test_progress_never_falls_and_ends_at_all(tmp_path: Path, captures: CaptureDirectory) -> None:
    path = write(tmp_path / "f", FILES["csv"]())
    record(path, captures)
    feed = prepared(path, captures)

    shares = [feed.progress() or 0.0 for _ in feed.values()]

    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.5 < shares[-1] <= 1
    assert feed.progress() == 1.0


@pytest.mark.usefixtures("small_blocks")
def test_text_and_capture_give_the_kept_books_at_the_same_updates(
    tmp_path: Path, captures: CaptureDirectory
) -> None:
    """Given the updates of two symbols, most of them of bids alone, the book is kept behind every 16th of each."""
    symbols = ("BTCUSDT", "ETHUSDT")
    rows = [
        depth(at, [[f"{100 + at % 9}.5", f"{at}.0"]], [] if at % 17 else [[f"{120 + at}.5", "1.0"]], symbol=name)
        for at in range(100)
        for name in symbols
    ]
    path = write(tmp_path / "f", rows)

    seen = []
    for _ in range(2):
        books = {name: DepthBook(50) for name in symbols}
        kept_at = []
        for at, value in enumerate(open_feed(path, captures=captures).values()):
            assert isinstance(value, BookUpdate)
            books[value.symbol].apply(value)
            kept = kept_book_after(value)
            if kept is not None:
                assert books[value.symbol].is_same(kept)
                kept_at.append((at, kept.limit, kept.updates))
        seen.append(kept_at)

    assert seen[1] == seen[0] == [(32 * n + last, 50, 16 * n + 16) for n in range(6) for last in (30, 31)]


def own_instrument(symbol: str, currency: str = "USDT") -> Instrument:
    ticks, costs = FixedTicks(Decimal("0.1")), RateCosts(Decimal("0.0005"), Decimal(0), Decimal("0.00000001"))
    return Instrument(symbol, currency, Decimal("0.00000001"), Decimal("0.001"), ticks, costs, AlwaysOpen())


@pytest.mark.parametrize(
    "options",
    [
        {"symbols": ["ETHUSDT"]},
        {"instruments": {"BTCUSDT": own_instrument("BTCUSDT")}},
        {"own": {"BTCUSDT": own_instrument("BTCUSDT")}},
    ],
)
def test_other_instruments_are_another_capture(
    options: dict[str, Any], tmp_path: Path, captures: CaptureDirectory
) -> None:
    path = write(tmp_path / "f", [row for at in range(5) for row in (quote(at), quote(at, symbol="ETHUSDT"))])
    record(path, captures)

    assert not isinstance(open_feed(path, captures=captures, **options), PreparedFeed)
    assert_same(path, captures, **options)


def test_how_a_table_is_read_is_part_of_its_capture(tmp_path: Path, captures: CaptureDirectory) -> None:
    header = b"ts,symbol,bid,ask"
    path = write(tmp_path / "f.csv", [header, b"2026-01-23T09:00:00+09:00,BTC,1,2"])
    record(path, captures, currency="USD")

    assert isinstance(open_feed(path, captures=captures, currency="USD"), PreparedFeed)
    assert isinstance(open_feed(path, "csv", captures=captures, currency="USD"), PreparedFeed)
    assert not isinstance(open_feed(path, captures=captures, currency="EUR"), PreparedFeed)


def test_rows_that_the_present_decides_on_are_never_prepared(tmp_path: Path, captures: CaptureDirectory) -> None:
    path = write(tmp_path / "f", [quote(0)])

    record(path, captures, not_after_ns=1_800_000_000 * 10**9)

    assert not captures.path.exists()


@pytest.mark.usefixtures("small_blocks")
def test_a_run_that_stops_early_or_resumes_prepares_nothing(tmp_path: Path, captures: CaptureDirectory) -> None:
    path = write(tmp_path / "f", [quote(at) for at in range(60)])
    feed = open_feed(path, captures=captures)
    values = feed.values()
    list(itertools.islice(values, 40))
    assert list(captures.path.glob(".*.part"))
    position = feed.position()
    values.close()  # type: ignore[attr-defined]
    resumed = open_feed(path, captures=captures)
    resumed.resume(position)

    assert len(list(resumed.values())) == 20
    assert [one.name for one in captures.path.iterdir()] == [".lock"]
