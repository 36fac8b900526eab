"""``csv``: columns by name, text to Decimal, instruments by the look of the symbol."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.contracts import Quote, Tick
from qts.market.files import open_feed
from qts.market.krx import krx_instrument
from qts.notes import Note, in_english

from .samples import read, write

D = Decimal
HEADER = b"ts,symbol,bid,ask,bid_size,ask_size,last,size"
FIRST = b"2026-01-23T09:00:00+09:00,005930,69900,70000,10,20,70000,5"
LAST = b"2026-01-23T09:00:09+09:00,005930,69900,70000,10,20,70000,6"
NS = 1_769_126_400_000_000_000
DAY = date(2026, 1, 23)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quotes.csv"


def refused(path: Path, *lines: bytes) -> dict[str, int]:
    values, counts = read(write(path, [HEADER, FIRST, *lines, LAST]))
    assert values[0].ts_ns == NS
    assert values[-1].ts_ns == NS + 9 * 10**9
    assert sum(counts.values()) + len(values) == len(lines) + 2
    return counts


def test_a_row_becomes_a_quote(path: Path) -> None:
    values, counts = read(write(path, [HEADER, FIRST]))
    assert counts == {}
    assert values == [Quote("005930", NS, D(69900), D(70000), D(10), D(20), D(70000), D(5))]


TRADE = b"2026-01-23T09:00:01+09:00,005930,,,,,69900,500"


def test_a_trade_alone_leaves_the_standing_quote_alone(path: Path) -> None:
    values, counts = read(write(path, [HEADER, FIRST, TRADE]))
    assert counts == {}
    assert values[1:] == [Tick("005930", NS + 10**9, D(69900), D(500))]


def test_a_trade_of_a_symbol_that_never_showed_a_side_is_told_as_a_quote_that_carries_it(path: Path) -> None:
    """No strategy hears of single trades: in a file of trades alone the quote is all it has."""
    other = FIRST.replace(b"005930", b"000660")
    values, counts = read(write(path, [HEADER, other, TRADE]))
    assert counts == {}
    assert values[1:] == [Quote("005930", NS + 10**9, last=D(69900), last_size=D(500))]


@pytest.mark.parametrize(("size", "last_size"), [(b"", None), (b"0", D(0))])
def test_a_last_price_without_size_stays_a_quote(path: Path, size: bytes, last_size: Decimal | None) -> None:
    values, counts = read(write(path, [HEADER, FIRST, TRADE.replace(b"500", size)]))
    assert counts == {}
    assert values[1:] == [Quote("005930", NS + 10**9, last=D(69900), last_size=last_size)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (TRADE.replace(b"500", b"-1"), "negative_size"),
        (TRADE.replace(b",69900,", b",0,"), "nonpositive_price"),
        (TRADE.replace(b",69900,", b",,"), "no_price"),
    ],
)
def test_a_bad_trade_is_refused_by_reason(path: Path, bad: bytes, reason: str) -> None:
    assert refused(path, bad) == {reason: 1}


def test_empty_cells_are_unknown_never_zero(path: Path) -> None:
    rows = [b"2026-01-23T00:00:00Z,005930,,,,,70000,", b"2026-01-23T00:00:01Z,005930,69900,,1,,,"]
    values, counts = read(write(path, [HEADER, *rows]))
    assert counts == {}
    assert values == [Quote("005930", NS, last=D(70000)), Quote("005930", NS + 10**9, bid=D(69900), bid_size=D(1))]


def test_columns_may_come_in_any_order_with_others_between_and_quotes(path: Path) -> None:
    lines = [b"\xef\xbb\xbfnote,Symbol,last,ts\r", b'"a, b",005930,"70000",2026-01-23T00:00:00Z\r']
    values, counts = read(write(path, lines))
    assert (values, counts) == ([Quote("005930", NS, last=D(70000))], {})


def test_a_header_in_the_middle_of_joined_files_is_no_row(path: Path) -> None:
    values, counts = read(write(path, [HEADER, FIRST, HEADER, LAST]))
    assert (len(values), counts) == (2, {})


ACME = b"2026-01-23T00:00:00Z,ACME,10.25,10.30,0.5,1,,"


def test_in_won_korean_codes_get_korean_rules_and_anything_else_needs_an_entry(path: Path) -> None:
    feed = open_feed(write(path, [HEADER, FIRST, ACME]))

    assert len(list(feed.values())) == 1
    assert list(feed.instruments) == ["005930"]
    assert feed.instruments["005930"].ticks.tick(D(70_000), DAY) == 100
    assert feed.instruments["005930"].calendar.name == "KRX"
    (example,) = feed.refusal_examples["unknown_symbol"]
    assert (example.line, example.column, example.value, example.remedy) == (3, "symbol", "ACME", "won")


def test_in_another_currency_the_rules_are_those_of_the_numbers_and_are_told(path: Path) -> None:
    feed = open_feed(write(path, [HEADER, ACME]), currency="JPY")
    list(feed.values())

    acme = feed.instruments["ACME"]
    assert (acme.currency, acme.lot, acme.ticks.tick(D(10), DAY)) == ("JPY", D("0.1"), D("0.01"))
    assert acme.quantum == D("0.001")  # one lot at one tick, finer than the yen
    assert acme.calendar.phase(datetime(2026, 1, 24, 3, tzinfo=UTC)).takes_orders
    assert [in_english(note) for note in feed.notes] == [
        "input: rules: guessed from the numbers of the file: ACME (tick 0.01, lot 0.1, fee 0.05%, no tax, "
        "never closed); to set them write the symbols into instruments.yaml"
    ]


@pytest.mark.parametrize(
    ("spelled", "board"),
    [("A005930", "KOSPI"), ("KRX:005930", "KOSPI"), ("005930.KS", "KOSPI"), ("005930.KQ", "KOSDAQ")],
)
def test_other_spellings_of_a_korean_code_are_understood_and_told(path: Path, spelled: str, board: str) -> None:
    lines = [HEADER, FIRST.replace(b"005930", spelled.encode()), LAST.replace(b"005930", spelled.encode())]
    feed = open_feed(write(path, lines))

    assert [value.symbol for value in feed.values()] == ["005930", "005930"]
    assert list(feed.instruments) == ["005930"]
    assert feed.instruments["005930"].ticks.board == board  # type: ignore[attr-defined]
    assert [in_english(note) for note in feed.notes] == [f"input: symbols: read {spelled} as 005930"]


def test_a_code_taken_for_a_share_of_kospi_is_told_and_an_entry_ends_the_guess(path: Path) -> None:
    guessed = open_feed(write(path, [HEADER, FIRST]))
    given = open_feed(path, own={"005930": krx_instrument("005930", "KOSDAQ")})
    for feed in (guessed, given):
        list(feed.values())

    assert guessed.notes == [Note.of("input-rules-kospi", named=["005930"])]
    assert given.notes == []


def test_own_rules_stand_before_what_the_file_shows_and_refuse_no_row(path: Path) -> None:
    other = FIRST.replace(b"005930", b"035720")
    fund = krx_instrument("005930", "ETF")

    feed = open_feed(write(path, [HEADER, FIRST, other]), own={"005930": fund, "000660": krx_instrument("000660")})

    assert feed.instruments["005930"] is fund
    assert list(feed.instruments) == ["005930", "035720"], "only what the file has is traded"
    assert len(list(feed.values())) == 2


@pytest.mark.parametrize(
    ("currency", "quantum"), [("USD", "0.01"), ("USDT", "0.00000001"), ("JPY", "1"), ("EUR", "0.01")]
)
def test_another_currency_makes_every_symbol_generic(path: Path, currency: str, quantum: str) -> None:
    feed = open_feed(write(path, [HEADER, FIRST]), currency=currency)
    instrument = feed.instruments["005930"]
    assert (instrument.currency, instrument.quantum) == (currency, D(quantum))
    assert instrument.calendar.is_trading_day(date(2026, 1, 25))


def test_a_symbol_first_seen_late_gets_its_steps_from_its_row(path: Path) -> None:
    stamp = b"2026-01-23T09:00:00+09:00"
    lines = [b"%s,005930,69900,70000,%d,20,,1" % (stamp, size) for size in range(2_000)]
    feed = open_feed(write(path, [HEADER, *lines, stamp + b",ACME,1.5,1.6,3,3,,"]), currency="USD")
    assert list(feed.instruments) == ["005930"]
    assert len(list(feed.values())) == 2_001
    assert feed.instruments["ACME"].ticks.tick(D(1), DAY) == D("0.1")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"2026-01-23T09:00:01+09:00,005930,70100,70000,1,1,,", "crossed_book"),
        (b"2026-01-23T09:00:01+09:00,005930,0,70000,1,1,,", "nonpositive_price"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,-1,1,1,,", "nonpositive_price"),
        (b"2026-01-23T09:00:01+09:00,005930,,,,,-0.0,", "nonpositive_price"),
        (b"2026-01-23T09:00:01+09:00,005930,nan,70000,1,1,,", "not_finite"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,inf,1,1,,", "not_finite"),
        (b"2026-01-23T09:00:01+09:00,005930,True,70000,1,1,,", "not_a_number"),
        (b"2026-01-23T09:00:01+09:00,005930,6 9900,70000,1,1,,", "not_a_number"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,1e308,1,1,,", "out_of_range"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,70000,-1,1,,", "negative_size"),
        (b"2026-01-23T09:00:01+09:00,005930,,,1,1,,1", "no_price"),
        (b"2026-01-23T09:00:01,005930,69900,70000,1,1,,", "bad_time"),
        (b",005930,69900,70000,1,1,,", "bad_time"),
        (b"1723161255,005930,69900,70000,1,1,,", "bad_time"),
        (b"2026-01-23T08:59:59+09:00,005930,69900,70000,1,1,,", "time_backwards"),
        (b"2126-01-23T09:00:01+09:00,005930,69900,70000,1,1,,", "future"),
        (b"2026-01-23T09:00:01+09:00,,69900,70000,1,1,,", "malformed"),
        (b"2026-01-23T09:00:01+09:00,5930,69900,70000,1,1,,", "unknown_symbol"),
        (b"2026-01-23T09:00:01+09:00,A B,69900,70000,1,1,,", "unknown_symbol"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,70000,1,1,", "malformed"),
        (b"2026-01-23T09:00:01+09:00,005930,69900,70000,1,1,,,", "malformed"),
        (b'2026-01-23T09:00:01+09:00,"005930,69900,70000,1,1,,', "malformed"),
        (b"\x00\x01", "malformed"),
        (b"2026-01-23T09:00:01+09:00,00593\xff,69900,70000,1,1,,", "invalid_utf8"),
        (b"x" * 2_000_000, "overlong"),
        (FIRST, "duplicate"),
    ],
)
def test_a_bad_row_is_refused_by_reason_and_its_neighbours_live(path: Path, bad: bytes, reason: str) -> None:
    assert refused(path, bad) == {reason: 1}


def test_an_empty_line_is_no_row(path: Path) -> None:
    assert len(read(write(path, [b"", HEADER, b"", FIRST, b"  ", LAST]))[0]) == 2


def test_prices_off_the_tick_grid_are_kept(path: Path) -> None:
    values, counts = read(write(path, [HEADER, b"2026-01-23T00:00:00Z,005930,,,,,70033.5,1"]))
    assert (counts, [value.last for value in values if isinstance(value, Quote)]) == ({}, [D("70033.5")])


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        (b"ts,symbol,bid", "bid and ask, or last"),
        (b"ts,last", "symbol"),
        (b"symbol,last", "ts"),
        (b"time;symbol;last", "ts; symbol; bid and ask, or last"),
    ],
)
def test_a_header_without_the_columns_is_a_data_error(path: Path, header: bytes, missing: str) -> None:
    with pytest.raises(DataError) as error:
        open_feed(write(path, [header, FIRST]), "csv")
    assert f"{path}, line 1" in str(error.value)
    assert repr(header.decode()) in str(error.value) or missing in str(error.value)


def test_a_column_twice_is_a_data_error(path: Path) -> None:
    with pytest.raises(DataError, match="'last' appears twice"):
        open_feed(write(path, [b"ts,symbol,last,last", FIRST]))


def minute_rows(count: int) -> list[bytes]:
    stamps = [(9 + minute // 60, minute % 60) for minute in range(count)]
    return [b"2026-01-23T%02d:%02d:00+09:00,005930,69900,70000,10,20,," % stamp for stamp in stamps]


@pytest.mark.parametrize(
    ("trouble", "counts"),
    [
        ([b"2026-01-23T15:10:00+09:00,005930,69900,70000,10,20,,"] * 2, {"future": 2}),
        ([b"2026-01-23T15:10:00+09:00,005930,69900,70000,10,20,,", b"broken"], {"future": 1, "malformed": 1}),
    ],
)
def test_rows_hours_ahead_do_not_swallow_the_rest(path: Path, trouble: list[bytes], counts: dict[str, int]) -> None:
    """Given 200 rows a minute apart and, after the tenth, a stamp of 15:10 twice or once before a broken line."""
    rows = minute_rows(200)
    values, refusals = read(write(path, [HEADER, *rows[:10], *trouble, *rows[10:]]))
    assert (len(values), refusals) == (200, counts)
