"""``binance-raw``: what each line becomes, and what is refused."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qts.market.contracts import BookUpdate, Quote, Tick
from qts.market.files import open_feed
from qts.market.files.binance_duplicates import MAX_HOLES, TradeIds
from qts.notes import Note

from .samples import T0, depth, line, quote, read, snapshot, trade, write

D = Decimal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.gz"


def refused(path: Path, *lines: bytes) -> dict[str, int]:
    """Refusals of ``lines`` between two good rows, which must survive."""
    values, counts = read(write(path, [quote(0), *lines, quote(900)]))
    assert values[0].ts_ns == T0
    assert values[-1].ts_ns == T0 + 900_000_000
    assert sum(counts.values()) + len(values) == len(lines) + 2
    return counts


def test_each_kind_of_line_becomes_its_value_at_the_local_stamp(path: Path) -> None:
    lines = [
        quote(0, "61800.20", "61800.30", bid_size="2.507", ask_size="2.510"),
        trade(1, 10, "61800.30", "0.006", maker=False),
        trade(2, 11, "61800.20", "0.100", maker=True),
        depth(3, [["61800.10", "1.5"], ["5000.00", "0.000"]], [["61900.00", "2.0"]]),
        snapshot(4, [["61800.20", "2.9"]], [["61800.30", "1.0"]]),
    ]
    values, counts = read(write(path, lines))
    assert counts == {}
    assert values == [
        Quote("BTCUSDT", T0, D("61800.20"), D("61800.30"), D("2.507"), D("2.510")),
        Tick("BTCUSDT", T0 + 1_000_000, D("61800.30"), D("0.006"), False),
        Tick("BTCUSDT", T0 + 2_000_000, D("61800.20"), D("0.100"), True),
        BookUpdate(
            "BTCUSDT",
            T0 + 3_000_000,
            ((D("61800.10"), D("1.5")), (D("5000.00"), D("0.000"))),
            ((D("61900.00"), D("2.0")),),
        ),
        BookUpdate(
            "BTCUSDT",
            T0 + 4_000_000,
            ((D("61800.20"), D("2.9")),),
            ((D("61800.30"), D("1.0")),),
            snapshot=True,
        ),
    ]


def test_keys_in_another_order_and_with_blanks_are_the_same_message(path: Path) -> None:
    body = {
        "data": {"A": "1", "s": "BTCUSDT", "b": "5", "a": "6", "B": "2", "u": 3},
        "stream": "btcusdt@bookTicker",
    }
    values, counts = read(write(path, [f"{T0} {json.dumps(body, indent=None)}\r".encode()]))
    assert counts == {}
    assert values == [Quote("BTCUSDT", T0, D(5), D(6), D(2), D(1))]


def test_a_quote_of_the_spot_market_has_no_event_time_and_is_used(path: Path) -> None:
    data = {"u": 400900217, "s": "BNBUSDT", "b": "25.35190000", "B": "31.21", "a": "25.36520000", "A": "40.66"}
    values, _ = read(write(path, [line(T0, "bnbusdt@bookTicker", data)]))
    assert values == [Quote("BNBUSDT", T0, D("25.3519"), D("25.3652"), D("31.21"), D("40.66"))]


def test_the_instrument_comes_from_the_decimals_of_the_file(path: Path) -> None:
    feed = open_feed(write(path, [quote(0, "0.4521", "0.4522", symbol="XRPUSDT", bid_size="12.5", ask_size="7.1")]))
    instrument = feed.instruments["XRPUSDT"]
    assert list(feed.instruments) == ["XRPUSDT"]
    day = instrument.calendar.local_date(datetime(2024, 8, 8, tzinfo=UTC))
    assert instrument.currency == "USDT"
    assert instrument.lot == D("0.1")
    assert instrument.ticks.tick(D(1), day) == D("0.0001")
    assert instrument.quantum == D("0.00000001")
    assert instrument.costs.fee(D(10), day) == D("0.005")  # 0.05 %
    assert instrument.costs.tax(D(10), is_sell=True, day=day) == 0
    assert instrument.calendar.is_trading_day(day)
    assert feed.max_age_ns == 100_000_000


def test_padding_zeros_are_no_precision_once_enough_numbers_were_seen(path: Path) -> None:
    """BTCUSDT writes prices on its 0.1 grid with two decimals; 50 quotes are 100 prices."""
    few = [quote(at, "61800.20", "61800.30") for at in range(49)]
    many = [quote(at, "61800.20", "61800.30") for at in range(50)]
    day = date(2024, 8, 8)
    assert open_feed(write(path, few)).instruments["BTCUSDT"].ticks.tick(D(1), day) == D("0.01")
    assert open_feed(write(path, many)).instruments["BTCUSDT"].ticks.tick(D(1), day) == D("0.1")


def test_midpoint_trades_do_not_make_the_grid_finer_and_are_kept(path: Path) -> None:
    lines = [quote(0, "61800.2", "61800.3"), trade(1, 1, "61800.255")]
    feed = open_feed(write(path, lines))
    assert feed.instruments["BTCUSDT"].ticks.tick(D(1), date(2024, 8, 8)) == D("0.1")
    assert next(value for value in feed.values() if isinstance(value, Tick)).price == D("61800.255")
    assert dict(feed.rows_refused) == {}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (quote(5, "61800.4", "61800.3"), "crossed_book"),
        (quote(5, "0", "61800.3"), "nonpositive_price"),
        (quote(5, "-1", "61800.3"), "nonpositive_price"),
        (quote(5, "61800.2", "0.00"), "nonpositive_price"),
        (quote(5, "NaN", "61800.3"), "not_finite"),
        (quote(5, "61800.2", "Infinity"), "not_finite"),
        (quote(5, "61800.2", "1e308"), "out_of_range"),
        (quote(5, "", "61800.3"), "not_a_number"),
        (quote(5, "abc", "61800.3"), "not_a_number"),
        (quote(5, 61800.2, "61800.3"), "wrong_type"),
        (quote(5, True, "61800.3"), "wrong_type"),
        (quote(5, None, "61800.3"), "wrong_type"),
        (quote(5, bid_size="-1"), "negative_size"),
        (trade(5, 1, "0"), "nonpositive_price"),
        (trade(5, 1, size="0"), "nonpositive_size"),
        (trade(5, 1, size="-2"), "negative_size"),
        (trade(5, "1"), "wrong_type"),  # type: ignore[arg-type]
        (depth(5, [["0", "1.0"]]), "nonpositive_price"),
        (depth(5, [["61800.2", "1.0"], ["NaN", "1.0"]]), "not_finite"),
        (depth(5, [], [["61800.2"]]), "wrong_type"),
        (snapshot(5, [["61800.4", "1"]], [["61800.3", "1"]]), "crossed_book"),
        (snapshot(5, [["61800.4", "1"]], [["61800.3", 1]]), "wrong_type"),
        (quote(5)[:-1], "malformed"),
        (quote(5)[:19], "malformed"),
        (quote(5)[:60], "malformed"),
        (b"hello", "malformed"),
        (b"\x00\x01\x02", "malformed"),
        (quote(5)[20:], "malformed"),
        (quote(5)[1:], "malformed"),
        (b"1" + quote(5), "malformed"),
        (b"1_2" + quote(5)[3:], "malformed"),
        (quote(5).replace(b" {", b"5{", 1), "malformed"),
        (b'%d {"x":%s' % (T0 + 5, b"[" * 100_000), "malformed"),
        (b"%d [1]" % (T0 + 5), "wrong_type"),
        (b'%d {"stream":5,"data":{}}' % T0, "wrong_type"),
        (b'%d {"result":null,"id":1}' % T0, "wrong_type"),
        (quote(5).replace(b"BTCUSDT", b"BTC\xff\xfe"), "invalid_utf8"),
        (line(T0, "btcusdt@markPrice", {"s": "BTCUSDT", "p": "1"}), "unknown_stream"),
        (line(T0, "btcusdt@depth20@100ms", {"s": "BTCUSDT", "b": [], "a": []}), "unknown_stream"),
        (quote(5, symbol="B T C"), "unknown_symbol"),
        (quote(5, symbol=""), "unknown_symbol"),
        (quote(5, symbol="X" * 33), "unknown_symbol"),
        (b"x" * 2_000_000, "overlong"),
        (quote(5) + b" " * 2_000_000, "overlong"),
    ],
)
def test_a_bad_row_is_refused_by_reason_and_its_neighbours_live(path: Path, bad: bytes, reason: str) -> None:
    assert refused(path, bad) == {reason: 1}


def test_a_locked_book_and_an_empty_size_are_real(path: Path) -> None:
    assert refused(path, quote(5, "61800.3", "61800.3"), quote(6, bid_size="0")) == {}


@pytest.mark.parametrize("symbol", ["A", "BTCUSDT", "A" * 20, "A" * 32])
def test_a_name_of_whatever_length_finds_its_stream(path: Path, symbol: str) -> None:
    """Also a second time, when the stream is known, and beside a name that begins alike."""
    lines = []
    for at in (0, 10):
        lines += [quote(at, symbol=symbol), trade(at + 1, at, symbol=symbol), depth(at + 2, symbol=symbol)]
        lines.append(line(T0 + (at + 3) * 1_000_000, symbol.lower() + "@tradeless", {"s": symbol}))
    values, counts = read(write(path, lines))
    assert [type(value) for value in values] == [Quote, Tick, BookUpdate] * 2
    assert {value.symbol for value in values} == {symbol}
    assert counts == {"unknown_stream": 2}


def test_a_stamp_of_zeros_is_none_even_as_the_first_row(path: Path) -> None:
    zeros = b"0" * 19 + quote(5)[19:]
    values, counts = read(write(path, [zeros, zeros, quote(6)]))
    assert (len(values), counts) == (1, {"malformed": 2})


def test_empty_lines_are_skipped_without_a_count(path: Path) -> None:
    values, counts = read(write(path, [b"", quote(0), b"  \r", quote(1), b""]))
    assert (len(values), counts) == (2, {})


def test_time_never_moves_back(path: Path) -> None:
    """Rows at 0, 10, 9, 10 and 11 ms: the one at 9 is refused, equal stamps are fine."""
    values, counts = read(write(path, [quote(at, u=u) for u, at in enumerate((0, 10, 9, 10, 11), 1)]))
    assert counts == {"time_backwards": 1}
    assert [value.ts_ns - T0 for value in values] == [0, 10_000_000, 10_000_000, 11_000_000]


@pytest.mark.parametrize(("beyond_ms", "counts"), [(1_000, {}), (1_001, {"future": 1})])
@pytest.mark.parametrize(
    "make", [lambda ahead: quote(10, ahead_ms=ahead), lambda ahead: trade(10, 9, ahead_ms=ahead)]
)
def test_future_is_more_than_a_second_beyond_the_median_offset(
    path: Path, make: Any, beyond_ms: int, counts: dict[str, int]
) -> None:
    """The exchange runs 1,250 ms ahead on most rows; 2,250 ms ahead is the last that is believed."""
    rows = [quote(at) for at in range(5)]
    assert read(write(path, [*rows, make(1_250 + beyond_ms), quote(20)]))[1] == counts


def test_the_offset_itself_may_be_hours(path: Path) -> None:
    rows = [quote(at, ahead_ms=9 * 3_600_000) for at in range(5)]
    assert read(write(path, rows))[1] == {}


def test_only_the_first_thousand_rows_set_the_offset(path: Path) -> None:
    """1,000 rows at +1.25 s, then the exchange's clock leaps by 1.5 s: all later rows are in the future."""
    rows = [quote(at) for at in range(1_000)] + [quote(at, ahead_ms=2_750) for at in range(1_000, 3_000)]
    values, counts = read(write(path, rows))
    assert (len(values), counts) == (1_000, {"future": 2_000})


def test_one_wrong_local_stamp_far_ahead_does_not_swallow_the_rest(path: Path) -> None:
    wrong = b"9" + quote(5)[1:]
    assert refused(path, quote(4), wrong, quote(6), quote(7)) == {"future": 1}


def test_a_trade_seen_before_counts_once(path: Path) -> None:
    lines = [trade(1, 10), trade(2, 11), trade(3, 11), trade(4, 10), trade(5, 12)]
    assert refused(path, *lines) == {"duplicate": 2}


def test_a_trade_that_was_skipped_may_arrive_late_once(path: Path) -> None:
    lines = [trade(1, 10), trade(2, 13), trade(3, 11), trade(4, 12), trade(5, 11)]
    assert refused(path, *lines) == {"duplicate": 1}


def test_the_same_message_again_is_a_duplicate_also_with_a_new_local_stamp(path: Path) -> None:
    again = str(T0 + 7_000_000).encode() + quote(5)[19:]
    changes = depth(6, [["61800.2", "1.0"]])
    seed = snapshot(8, [["61800.2", "1.0"]], [])
    lines = [quote(5), quote(5), changes, changes, again, seed, seed]
    assert refused(path, *lines) == {"duplicate": 4}


def test_the_same_update_id_with_other_prices_is_no_duplicate(path: Path) -> None:
    assert refused(path, quote(5, u=3), quote(6, "61800.10", u=3)) == {}


def test_symbols_keep_their_own_memory(path: Path) -> None:
    lines = [trade(1, 10), trade(2, 10, "2.5", symbol="XRPUSDT"), trade(3, 10, "2.5", symbol="XRPUSDT")]
    assert refused(path, *lines) == {"duplicate": 1}


def test_a_snapshot_of_a_capture_with_two_symbols_belongs_to_neither(path: Path) -> None:
    seed = snapshot(5, [["61800.2", "1.0"]], [])
    assert refused(path, quote(4, "2.1", "2.2", symbol="XRPUSDT"), seed) == {"unknown_symbol": 1}


def test_a_snapshot_alone_at_the_start_finds_the_symbol_of_the_capture(path: Path) -> None:
    values, _ = read(write(path, [snapshot(0, [["61800.2", "1.0"]], []), quote(1)]))
    assert [value.symbol for value in values] == ["BTCUSDT", "BTCUSDT"]


def test_only_the_symbols_asked_for_are_given(path: Path) -> None:
    lines = [quote(0), quote(1, "2.1", "2.2", symbol="XRPUSDT"), quote(2)]
    values, counts = read(write(path, lines), symbols=["XRPUSDT"])
    assert [value.symbol for value in values] == ["XRPUSDT"]
    assert counts == {"unknown_symbol": 2}


def test_given_instruments_are_the_only_ones(path: Path) -> None:
    lines = [quote(0), quote(1, "2.1", "2.2", symbol="XRPUSDT")]
    known = {"BTCUSDT": open_feed(write(path, lines)).instruments["BTCUSDT"]}
    feed = open_feed(path, instruments=known)
    assert [value.symbol for value in feed.values()] == ["BTCUSDT"]
    assert feed.instruments == known
    assert dict(feed.rows_refused) == {"unknown_symbol": 1}


def test_a_symbol_that_appears_late_gets_its_instrument_from_its_first_row(path: Path) -> None:
    lines = [quote(at) for at in range(2_001)] + [quote(2_001, "0.4521", "0.4522", symbol="XRPUSDT", bid_size="5")]
    feed = open_feed(write(path, lines))
    assert list(feed.instruments) == ["BTCUSDT"]
    values = list(feed.values())
    assert values[-1].symbol == "XRPUSDT"
    assert feed.instruments["XRPUSDT"].ticks.tick(D(1), date(2024, 8, 8)) == D("0.0001")


def test_holes_are_bounded_and_older_ones_count_as_seen() -> None:
    trades = TradeIds()
    trades.add(0)
    trades.add(1_000)
    assert len(trades.holes) == MAX_HOLES == 64
    assert not trades.has(936)
    assert trades.has(935)
    trades.add(2_000)
    assert len(trades.holes) == MAX_HOLES
    assert trades.has(936)
    assert not trades.has(1_999)


# -- gaps ----------------------------------------------------------------------------------------------------------


def test_a_hole_in_the_depth_updates_is_counted_and_told_and_the_next_update_says_so(path: Path) -> None:
    chain = [(1, 101, 100), (2, 102, 101), (3, 152, 151), (4, 153, 152)]
    rows = [quote(0), *(depth(at, [["61800.2", "1.0"]], u=u, before=before) for at, u, before in chain)]
    feed = open_feed(write(path, rows))

    updates = [value for value in feed.values() if isinstance(value, BookUpdate)]

    assert [update.after_gap for update in updates] == [False, False, True, False]
    assert Note.of("input-depth-gaps", symbol="BTCUSDT", count=1) in feed.notes


def test_trades_that_a_recording_lost_are_counted(path: Path) -> None:
    feed = open_feed(write(path, [trade(0, 10), trade(1, 11), trade(2, 15), trade(3, 13)]))
    list(feed.values())

    assert Note.of("input-trades-missing", symbol="BTCUSDT", count=2) in feed.notes, "12 and 14; 13 only came late"
