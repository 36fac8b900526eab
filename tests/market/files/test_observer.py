"""``observer-jsonl``: KRX snapshots to quotes, and what is refused."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from qts.market.contracts import Quote
from qts.market.files import open_feed

from .samples import observed, read, write

D = Decimal
NS = 1_769_126_466_601_983_000
T1 = "2026-01-23T00:01:06.601983Z"
LATER = "2026-01-23T00:01:07.000000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "observer.jsonl.gz"


def refused(path: Path, *lines: bytes) -> dict[str, int]:
    values, counts = read(write(path, [observed(T1, "000660"), *lines, observed(LATER, "000660")]))
    assert values[-1].symbol == "000660"
    assert sum(counts.values()) + len(values) == len(lines) + 2
    return counts


def test_a_snapshot_becomes_a_quote_with_close_and_cumulative_volume(path: Path) -> None:
    values, counts = read(write(path, [observed(T1, close=70_100, volume=128_537)]))
    assert counts == {}
    assert values == [Quote("005930", NS, last=D(70_100), volume=D(128_537))]


def test_both_kinds_of_offset_are_the_same_moment(path: Path) -> None:
    lines = [observed(T1), observed("2026-01-23T09:01:06.601983+09:00", "000660")]
    values, counts = read(write(path, lines))
    assert (counts, [value.ts_ns for value in values]) == ({}, [NS, NS])


def test_bid_and_ask_are_used_when_they_are_there(path: Path) -> None:
    values, _ = read(write(path, [observed(T1, bid=69_900, ask=70_000), observed(T1, "000660", ask=70_000)]))
    assert [(value.bid, value.ask) for value in values if isinstance(value, Quote)] == [
        (D(69_900), D(70_000)),
        (None, D(70_000)),
    ]


def test_before_the_open_the_close_of_yesterday_is_kept(path: Path) -> None:
    row = json.loads(observed(T1, close=24_050, volume=0))
    row["price"].update(open=0, high=0, low=0)
    values, counts = read(write(path, [json.dumps(row).encode()]))
    assert counts == {}
    assert values == [Quote("005930", NS, last=D(24_050), volume=D(0))]


def test_numbers_are_taken_from_their_text(path: Path) -> None:
    values, _ = read(write(path, [observed(T1).replace(b'"close": 70000', b'"close": 70000.10')]))
    assert isinstance(values[0], Quote)
    assert str(values[0].last) == "70000.10"


def test_instruments_are_korean_and_symbols_need_not_be_digits(path: Path) -> None:
    feed = open_feed(write(path, [observed(T1), observed(T1, "0004V0")]))
    assert list(feed.instruments) == ["005930", "0004V0"]
    assert {value.symbol for value in feed.values()} == {"005930", "0004V0"}
    samsung = feed.instruments["005930"]
    assert (samsung.currency, samsung.lot, samsung.quantum) == ("KRW", 1, 1)
    assert feed.max_age_ns == 15 * 60 * 10**9


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (observed(T1, close=0), "no_price"),
        (observed(T1, close=0.0), "no_price"),
        (observed(T1, close=None), "no_price"),
        (observed(T1).replace(b'"price"', b'"prices"'), "no_price"),
        (observed(T1).replace(b'"close"', b'"clos"'), "no_price"),
        (observed(T1, close=-70_000), "nonpositive_price"),
        (observed(T1, close="70000"), "not_a_number"),
        (observed(T1, close=True), "not_a_number"),
        (observed(T1, close=[70_000]), "not_a_number"),
        (observed(T1, close=1e308), "out_of_range"),
        (observed(T1, close=float("nan")), "malformed"),
        (observed(T1, close=float("inf")), "malformed"),
        (observed(T1, bid=0), "nonpositive_price"),
        (observed(T1, bid="69900"), "not_a_number"),
        (observed(T1, bid=70_100, ask=70_000), "crossed_book"),
        (observed(T1, volume=-1), "negative_size"),
        (observed(T1, volume="many"), "not_a_number"),
        (observed("2026-01-23T00:01:06.7"), "bad_time"),
        (observed("yesterday"), "bad_time"),
        (observed("2026-01-23T00:00:00Z"), "time_backwards"),
        (observed("2099-01-01T00:00:00Z"), "future"),
        (observed(T1, "5930"), "unknown_symbol"),
        (observed(T1, "AAPL"), "unknown_symbol"),
        (observed(T1, ""), "unknown_symbol"),
        (observed(T1).replace(b'"005930"', b"5930"), "wrong_type"),
        (observed(T1).replace(b'"ts"', b'"when"'), "wrong_type"),
        (observed(T1)[:-1], "malformed"),
        (b"not json", "malformed"),
        (b'{"x":' + b"[" * 100_000, "malformed"),
        (b"[1, 2]", "wrong_type"),
        (observed(T1).replace(b"005930", b"\xff\xff\xff\xff\xff\xff"), "invalid_utf8"),
        (b"{" * 2_000_000, "overlong"),
    ],
)
def test_a_bad_row_is_refused_by_reason_and_its_neighbours_live(path: Path, bad: bytes, reason: str) -> None:
    assert refused(path, bad) == {reason: 1}


def test_an_identical_row_counts_once_and_a_changed_one_stays(path: Path) -> None:
    lines = [observed(T1), observed(T1, "000270"), observed(T1), observed(T1, volume=101)]
    assert refused(path, *lines) == {"duplicate": 1}


def test_a_year_typed_wrong_in_the_first_row_does_not_swallow_the_file(path: Path) -> None:
    lines = [observed("2062-01-23T00:01:06Z"), observed(T1), observed(T1, "000660"), observed(LATER)]
    values, counts = read(write(path, lines))
    assert (len(values), counts) == (3, {"future": 1})


def test_the_present_may_be_told(path: Path) -> None:
    lines = [observed(T1), observed("2026-01-24T00:00:00Z"), observed("2026-01-24T00:00:00.5Z")]
    assert len(read(write(path, lines))[0]) == 3
    values, counts = read(path, not_after_ns=NS)
    assert (len(values), counts) == (1, {"future": 2})


def test_the_first_three_of_each_reason_are_shown_with_line_and_value(path: Path) -> None:
    lines = [
        observed(T1, "000660"),
        *[observed(T1, close=-number) for number in (1, 2, 3, 4)],
        b"\x1b[31m\xff" * 90,
    ]
    feed = open_feed(write(path, lines))
    list(feed.values())
    assert dict(feed.rows_refused) == {"nonpositive_price": 4, "malformed": 1}
    prices = feed.refusal_examples["nonpositive_price"]
    assert [(example.line, example.value) for example in prices] == [(2, "-1"), (3, "-2"), (4, "-3")]
    (broken,) = feed.refusal_examples["malformed"]
    assert broken.line == 6
    assert broken.value.startswith("\\x1b[31m\\xff")
    assert len(broken.value) == 120
    assert broken.value.isprintable()


def test_a_byte_order_mark_costs_no_row(tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + observed(T1) + b"\n" + observed(LATER) + b"\n")
    values, counts = read(path)
    assert (len(values), counts) == (2, {})
