"""From a stored position a feed goes on exactly: the same values, the same counts."""

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.errors import DataError
from qts.market.contracts import Feed
from qts.market.files import feed_opener, open_feed
from qts.market.files import line_source as line_source_module

from .samples import depth, observed, quote, snapshot, trade, write


def capture() -> list[bytes]:
    """300 rows of all kinds with every sort of trouble among them."""
    rng = random.Random(5)
    rows = [quote(0), snapshot(0, [["61800.2", "1.0"]], [])]
    for at in range(1, 300):
        make: list[Callable[[], bytes]] = [
            lambda at=at: quote(at),
            lambda at=at: trade(at, at),
            lambda at=at: trade(at, at + rng.choice((-3, -1, 0, 4))),
            lambda at=at: depth(at, [["61800.2", "1.0"]]),
            lambda: rows[-1],
            lambda: rows[rng.randrange(len(rows))],
            lambda at=at: quote(at, "0"),
            lambda at=at: quote(at, ahead_ms=9_000),
            lambda at=at: quote(at, "2.5", "2.6", symbol=f"LATE{at % 3}"),
            lambda: b"broken",
            lambda: b"",
            lambda at=at: quote(at + 900_000),
        ]
        rows.append(rng.choices(make, weights=[8, 6, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1])[0]())
    return rows


def snapshots() -> list[bytes]:
    rng = random.Random(6)
    rows = []
    for minute in range(0, 50, 10):
        for count in range(40):
            ts = f"2026-01-23T0{rng.randrange(1, 3) if rng.random() < 0.05 else 1}:{minute:02}:06.6Z"
            row = observed(ts, f"{rng.randrange(30):06}", close=rng.choice((0, 70_000, 70_100)), volume=count)
            rows.append(rng.choice(rows) if rows and rng.random() < 0.2 else row)
    return rows


def table() -> list[bytes]:
    rng = random.Random(7)
    rows = [b"ts,symbol,bid,ask,bid_size,ask_size,last,size"]
    for second in range(150):
        bid = rng.choice((0, 70_000, 70_100, 70_200))
        row = b"2026-01-23T09:%02d:%02d+09:00,00000%d,%d,70100,1,1,,"
        rows.append(row % (second // 60, second % 60 - 5 * (second % 60 > 50), second // 40, bid))
        if rng.random() < 0.2:
            rows.append(rows[-1])
        if rng.random() < 0.3:  # a trade: before its symbol's first good quote it is told in another way
            stamp = b"2026-01-23T09:%02d:%02d+09:00" % (second // 60, second % 60)
            rows.append(b"%s,00000%d,,,,,70000,%d" % (stamp, min(second // 40 + 1, 3), second))
    return rows


FILES = {"binance-raw": capture, "observer-jsonl": snapshots, "csv": table}


def outcome(feed: Feed) -> tuple[Any, ...]:
    return (
        dict(feed.rows_refused),
        feed.refusal_examples,  # type: ignore[attr-defined]
        feed.notes,  # type: ignore[attr-defined]
        list(feed.instruments),
    )


@pytest.mark.parametrize("format", sorted(FILES))
@pytest.mark.parametrize("kind", ["plain", "gz", "cut.gz"])
@settings(max_examples=25, deadline=None)
@given(runs=st.lists(st.integers(0, 120), max_size=6), chunk=st.sampled_from([700, 5_000, 1 << 17]))
def test_however_often_it_is_interrupted_the_run_is_that_of_an_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, format: str, kind: str, runs: list[int], chunk: int
) -> None:
    """``runs``: how many values are taken before each interruption; the last run goes to the end."""
    path = write(tmp_path_factory.mktemp("resume") / f"f.{kind}", FILES[format]())
    if kind == "cut.gz":
        packed = path.read_bytes()
        path.write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_source_module, "CHUNK", chunk)
        patch.setattr(feed_opener, "HEAD_ROWS", 40)  # so that symbols appear behind the head, too
        whole = open_feed(path)
        in_head = len(whole.instruments)
        expected = list(whole.values())
        assert len(expected) > 50
        assert len(whole.rows_refused) >= 2
        assert len(whole.instruments) > in_head or format == "observer-jsonl"
        feed = open_feed(path)
        given_so_far = []
        for count in runs:
            given_so_far += itertools.islice(feed.values(), count)
            position = json.loads(json.dumps(feed.position()))
            feed = open_feed(path)
            feed.resume(position)
            assert feed.position() == position
        given_so_far += feed.values()
        assert given_so_far == expected
        assert outcome(feed) == outcome(whole)


def test_a_finished_feed_stays_finished_and_counts_nothing_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "f.gz", [quote(at) for at in range(50)])
    path.write_bytes(path.read_bytes()[:-9])
    feed = open_feed(path)
    list(feed.values())
    again = open_feed(path)
    again.resume(feed.position())
    assert list(again.values()) == []
    assert dict(again.rows_refused) == {"truncated_gzip": 1}
    assert again.notes == feed.notes
    assert again.progress() == 1.0


def test_the_mappings_handed_out_before_a_resume_stay_true(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [quote(0), quote(1, "0"), quote(2)])
    feed = open_feed(path)
    list(feed.values())
    again = open_feed(path)
    refused, examples = again.rows_refused, again.refusal_examples
    again.resume(feed.position())
    assert dict(refused) == {"nonpositive_price": 1}
    assert examples["nonpositive_price"][0].line == 2


def test_a_second_call_of_values_goes_on_where_the_first_was_left(tmp_path: Path) -> None:
    feed = open_feed(write(tmp_path / "f", [quote(at) for at in range(10)]))
    first = [value for _, value in zip(range(4), feed.values(), strict=False)]
    assert [value.ts_ns for value in (*first, *feed.values())] == [
        v.ts_ns for v in open_feed(tmp_path / "f").values()
    ]


def test_reading_on_does_not_parse_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a plain file of many blocks, a resume near its end reads only the block it is in."""
    monkeypatch.setattr(line_source_module, "CHUNK", 2_000)
    path = write(tmp_path / "f", [quote(at) for at in range(1_000)])
    feed = open_feed(path)
    values = feed.values()
    for _ in range(990):
        next(values)
    again = open_feed(path)
    again.resume(feed.position())
    position = feed.position()
    assert position["offset"] > path.stat().st_size - 6_000
    assert position["skip"] < 20
    assert [value.ts_ns for value in again.values()] == [value.ts_ns for value in values]


def test_the_position_is_small_and_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f.gz", [quote(at) for at in range(5_000)])
    feed = open_feed(path)
    for _ in feed.values():
        pass
    assert len(json.dumps(feed.position())) < 600


@pytest.mark.parametrize("content", [quote(0) + b"\n", b""])
def test_a_position_of_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    position = open_feed(write(tmp_path / "a", [quote(0)])).position()
    other = open_feed(write(tmp_path / "b", [quote(1)]))
    with pytest.raises(DataError, match="the stored position belongs to 'binance-raw:"):
        other.resume(position)


def test_a_position_that_is_none_is_refused(tmp_path: Path) -> None:
    feed = open_feed(write(tmp_path / "a", [quote(0)]))
    for broken in ({}, {"source_id": feed.source_id}, {**feed.position(), "parser": 5}):
        with pytest.raises(DataError, match="stored position"):
            feed.resume(broken)


def test_progress_goes_from_nothing_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_source_module, "CHUNK", 2_000)
    feed = open_feed(write(tmp_path / "f", [quote(at) for at in range(500)]))
    shares = [feed.progress() for _ in feed.values()]
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert shares[0] is not None
    assert 0 < shares[0] < 0.05
    assert feed.progress() == 1.0


def test_a_file_that_vanishes_while_it_is_read_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(quote(0)))
    feed = open_feed(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot read on"):
        list(feed.values())
