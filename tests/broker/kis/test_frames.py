"""Data frames of the KIS websocket become market values, or are counted by the reason why they do not."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.broker.kis.frames import FrameDecoder
from qts.broker.kis.records import MarketStatus
from qts.clock import NS_PER_S, to_ns
from qts.market.contracts import BookUpdate, MarketValue, Quote, Tick
from qts.market.krx import KST
from tests.broker.kis.frames_text import book_record, frame, trade_record
from tests.effort import examples
from tests.market.files.samples import real_file

NOW_NS = 1_769_043_600 * NS_PER_S
"""10:00:00 of 22 January 2026 in Seoul, the time of the frames of frames_text."""
LATE_NS = 5 * NS_PER_S


class Decoding:
    """A decoder for 005930 and 000660, and what it has told."""

    def __init__(self, late_ns: int = LATE_NS) -> None:
        self.told: list[str] = []
        self.statuses: list[MarketStatus] = []
        self.decoder = FrameDecoder(
            {"005930", "000660"}, late_ns=late_ns, tell=self.told.append, on_status=self.statuses.append
        )

    def __call__(self, text: str, ts_ns: int = NOW_NS) -> list[MarketValue]:
        return self.decoder.decode(text, ts_ns)

    @property
    def refused(self) -> dict[str, int]:
        return self.decoder.refused


def test_the_moment_of_the_frames_is_what_it_says() -> None:
    assert to_ns(datetime(2026, 1, 22, 10, tzinfo=KST)) == NOW_NS


class TestTrades:
    def test_a_trade_gives_the_print_and_the_sides_behind_it(self) -> None:
        decoding = Decoding()

        values = decoding(frame("H0STCNT0", trade_record()), NOW_NS + 1)

        assert values == [
            Tick("005930", NOW_NS + 1, Decimal(70_000), Decimal(7), buyer_is_maker=False),
            Quote(
                "005930",
                NOW_NS + 1,
                bid=Decimal(70_000),
                ask=Decimal(70_100),
                bid_size=Decimal(40),
                ask_size=Decimal(30),
                last=Decimal(70_000),
                volume=Decimal(1_000),
            ),
        ]
        assert decoding.refused == {}

    @pytest.mark.parametrize("width", [46, 47])
    @pytest.mark.parametrize("count", [1, 2, 20])
    def test_packed_records_of_each_known_width_come_in_order(self, width: int, count: int) -> None:
        records = [trade_record(width, f12=str(1 + n), f13=str(1_000 + n)) for n in range(count)]
        decoding = Decoding()

        values = decoding(frame("H0STCNT0", *records))

        assert [value.size for value in values if isinstance(value, Tick)] == [Decimal(1 + n) for n in range(count)]
        assert isinstance(values[-1], Quote)
        assert values[-1].volume == Decimal(1_000 + count - 1)
        assert len(values) == count + 1
        assert not decoding.told

    def test_records_of_two_symbols_give_the_sides_of_both(self) -> None:
        values = Decoding()(frame("H0STCNT0", trade_record(), trade_record(f0="000660", f10="200500")))

        quotes = [value for value in values if isinstance(value, Quote)]
        assert [(quote.symbol, quote.ask) for quote in quotes] == [
            ("005930", Decimal(70_100)),
            ("000660", Decimal(200_500)),
        ]

    @pytest.mark.parametrize(("taker", "expected"), [("1", False), ("5", True), ("3", None), ("", None)])
    def test_who_was_passive_follows_from_who_was_active(self, taker: str, expected: bool | None) -> None:
        tick = Decoding()(frame("H0STCNT0", trade_record(f21=taker)))[0]

        assert isinstance(tick, Tick)
        assert tick.buyer_is_maker is expected

    @pytest.mark.parametrize("text", ["", "0"])
    def test_an_empty_side_is_unknown_and_not_zero(self, text: str) -> None:
        quote = Decoding()(frame("H0STCNT0", trade_record(f10=text, f36="0")))[-1]

        assert isinstance(quote, Quote)
        assert quote.ask is None
        assert quote.ask_size is None
        assert quote.bid == Decimal(70_000)

    def test_an_empty_size_is_unknown(self) -> None:
        quote = Decoding()(frame("H0STCNT0", trade_record(f36="")))[-1]

        assert isinstance(quote, Quote)
        assert quote.ask == Decimal(70_100)
        assert quote.ask_size is None

    @pytest.mark.parametrize(
        ("sign", "change", "base"),
        [
            ("2", "500", "69500"),
            ("1", "500", "69500"),
            ("5", "500", "70500"),
            ("5", "-500", "70500"),
            ("4", "-500", "70500"),
            ("3", "0", "70000"),
            ("", "500", None),
            ("2", "", None),
            ("2", "80000", None),
        ],
    )
    def test_the_base_price_goes_by_the_field_of_the_sign(self, sign: str, change: str, base: str | None) -> None:
        """given a change with or without its own sign, then the field of the sign alone says where the base is"""
        decoding = Decoding()
        decoding(frame("H0STCNT0", trade_record(f3=sign, f4=change)))

        assert decoding.decoder.base_price("005930") == (None if base is None else Decimal(base))

    def test_a_trade_that_comes_again_is_counted_and_not_told_twice(self) -> None:
        decoding = Decoding()
        decoding(frame("H0STCNT0", trade_record()))

        assert decoding(frame("H0STCNT0", trade_record())) == []
        assert decoding.refused == {"duplicate": 1}

    def test_an_older_trade_moves_nothing_back(self) -> None:
        decoding = Decoding()
        decoding(frame("H0STCNT0", trade_record(f1="100001", f13="1200")))

        assert decoding(frame("H0STCNT0", trade_record(f13="1100"))) == []
        assert decoding.refused == {"time_backwards": 1}

    def test_a_new_day_begins_with_a_smaller_volume(self) -> None:
        decoding = Decoding()
        decoding(frame("H0STCNT0", trade_record()))

        next_day = frame("H0STCNT0", trade_record(f33="20260123", f1="090000", f13="5", f3="5", f4="100"))
        values = decoding(next_day, NOW_NS + 23 * 3_600 * NS_PER_S)

        assert len(values) == 2
        assert decoding.decoder.base_price("005930") == Decimal(70_100)

    def test_a_trade_without_a_size_gives_the_sides_alone(self) -> None:
        values = Decoding()(frame("H0STCNT0", trade_record(f12="0")))

        assert [type(value) for value in values] == [Quote]

    def test_what_was_old_when_it_came_is_refused(self) -> None:
        """given a trade that is 6 s old by the exchange's time, when 5 s are allowed, then its price is not new"""
        decoding = Decoding()

        assert decoding(frame("H0STCNT0", trade_record()), NOW_NS + 6 * NS_PER_S) == []
        assert decoding.refused == {"late": 1}
        assert decoding.decoder.newest_lag_ns == 6 * NS_PER_S

    def test_one_record_that_cannot_be_used_leaves_the_others(self) -> None:
        decoding = Decoding()
        records = [trade_record(f13="1000"), trade_record(f13="1001", f2="x"), trade_record(f13="1002", f12="3")]

        values = decoding(frame("H0STCNT0", *records))

        assert [value.size for value in values if isinstance(value, Tick)] == [Decimal(7), Decimal(3)]
        assert decoding.refused == {"not_a_number": 1}

    def test_a_refused_record_does_not_begin_a_day(self) -> None:
        decoding = Decoding(late_ns=0)
        decoding(frame("H0STCNT0", trade_record()))
        decoding(frame("H0STCNT0", trade_record(f33="20260123", f2="x")))

        assert len(decoding(frame("H0STCNT0", trade_record(f13="1001")))) == 2


class TestBooks:
    @pytest.mark.parametrize("width", [59, 62, 63, 65])
    def test_a_book_has_ten_levels_of_each_side(self, width: int) -> None:
        decoding = Decoding()

        update, quote = decoding(frame("H0STASP0", book_record(width)))

        assert isinstance(update, BookUpdate)
        assert update.snapshot
        assert update.asks == tuple((Decimal(70_100 + 100 * n), Decimal(1 + n)) for n in range(10))
        assert update.bids == tuple((Decimal(70_000 - 100 * n), Decimal(11 + n)) for n in range(10))
        assert quote == Quote(
            "005930", NOW_NS, Decimal(70_000), Decimal(70_100), Decimal(11), Decimal(1), None, None, None
        )
        assert not decoding.told

    def test_the_quote_of_a_book_keeps_the_last_trade(self) -> None:
        decoding = Decoding()
        decoding(frame("H0STCNT0", trade_record()))

        quote = decoding(frame("H0STASP0", book_record()))[-1]

        assert isinstance(quote, Quote)
        assert (quote.last, quote.volume) == (Decimal(70_000), Decimal(1_000))

    def test_levels_that_are_not_there_are_left_out(self) -> None:
        update, quote = Decoding()(frame("H0STASP0", book_record(f3="0", f23="0", f4="", f24="", f22="0", f42="0")))

        assert isinstance(update, BookUpdate)
        assert isinstance(quote, Quote)
        assert len(update.asks) == 8
        assert len(update.bids) == 9
        assert quote.ask is None

    @pytest.mark.parametrize("text", ["abc", "-5", "1e400", "9" * 41, "70.5.1", "\u0661"])
    def test_a_level_that_is_no_number_refuses_the_book(self, text: str) -> None:
        decoding = Decoding()

        assert decoding(frame("H0STASP0", book_record(f7=text))) == []
        assert sum(decoding.refused.values()) == 1

    def test_a_crossed_book_is_refused(self) -> None:
        decoding = Decoding()

        assert decoding(frame("H0STASP0", book_record(f13="70200"))) == []
        assert decoding.refused == {"crossed_book": 1}

    def test_the_time_of_a_book_is_that_of_the_nearest_day(self) -> None:
        """given a book of 23:59:59 that arrives a second after midnight, then it is a second or two old"""
        decoding = Decoding()
        midnight_ns = NOW_NS + 14 * 3_600 * NS_PER_S

        assert len(decoding(frame("H0STASP0", book_record(f1="235959")), midnight_ns + NS_PER_S)) == 2
        assert decoding.decoder.newest_lag_ns == 2 * NS_PER_S

    def test_several_books_in_a_frame_are_read_one_by_one(self) -> None:
        decoding = Decoding()

        values = decoding(frame("H0STASP0", book_record(f7="x"), book_record(f0="000660")))

        assert [value.symbol for value in values] == ["000660", "000660"]
        assert decoding.refused == {"not_a_number": 1}


class TestStatus:
    def test_halt_and_interruption_are_told(self) -> None:
        decoding = Decoding()

        assert decoding(frame("H0STMKO0", "005930^Y^news^123^^1^^58^1^N^1")) == []
        assert decoding.statuses == [MarketStatus("005930", NOW_NS, True, "news", "123", "58", "1")]

    def test_what_is_not_said_is_unknown(self) -> None:
        decoding = Decoding()
        decoding(frame("H0STMKO0", "005930^^^^^^^^^^"))

        assert decoding.statuses[0].halted is None


class TestWidths:
    def test_an_unknown_width_whose_fields_fit_is_used_and_told_once(self) -> None:
        decoding = Decoding()

        first = decoding(frame("H0STCNT0", trade_record(48)))
        second = decoding(frame("H0STCNT0", trade_record(48, f13="1001")))

        assert len(first) == len(second) == 2
        assert decoding.told == [
            "a frame H0STCNT0 has 48 fields in a record (known: 46, 47); the fields that are known fit each other "
            "and are used"
        ]
        assert decoding.decoder.unknown_widths == {"H0STCNT0 48": 2}

    @pytest.mark.parametrize(
        "text",
        [
            frame("H0STCNT0", trade_record(45)),
            frame("H0STCNT0", trade_record(48, f2="71000")),
            frame("H0STCNT0", trade_record(48, f0="70000")),
            frame("H0STASP0", book_record(58)),
            frame("H0STASP0", book_record(70, f4="70000")),
            frame("H0STASP0", book_record(70, f14="x")),
            frame("H0STMKO0", "005930^?" + "^" * 11),
            frame("H0STMKO0", "005930^N"),
        ],
    )
    def test_one_whose_fields_do_not_fit_is_not_guessed_at(self, text: str) -> None:
        decoding = Decoding()

        assert decoding(text) == []
        assert decoding.refused == {"malformed": 1}
        assert decoding.told[0].endswith("it is not used")

    def test_a_wider_book_whose_levels_are_in_order_is_used(self) -> None:
        decoding = Decoding()

        assert len(decoding(frame("H0STASP0", book_record(70)))) == 2
        assert len(decoding.told) == 1


class TestWhatIsNoFrame:
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "malformed"),
            ("0|H0STCNT0|001", "malformed"),
            ("0|H0STCNT0|000|" + trade_record(), "malformed"),
            ("0|H0STCNT0|-01|" + trade_record(), "malformed"),
            ("0|H0STCNT0|\u0661|" + trade_record(), "malformed"),
            ("0|H0STCNT0|002|" + trade_record(), "malformed"),
            ("0|H0XXXXX0|001|" + trade_record(), "unknown_stream"),
            (frame("H0STCNT0", trade_record(f0="5930")), "unknown_symbol"),
            (frame("H0STCNT0", trade_record(f1="250000")), "bad_time"),
            (frame("H0STCNT0", trade_record(f33="20260230")), "bad_time"),
            (frame("H0STCNT0", trade_record(f2="0")), "nonpositive_price"),
            (frame("H0STCNT0", trade_record(f12="-1")), "negative_size"),
            (frame("H0STCNT0", trade_record(f13="")), "not_a_number"),
            ("0|" + "x" * 70_000, "overlong"),
        ],
    )
    def test_it_is_counted_by_its_reason(self, text: str, reason: str) -> None:
        decoding = Decoding()

        assert decoding(text) == []
        assert decoding.refused == {reason: 1}

    @given(
        st.sampled_from(["H0STCNT0", "H0STASP0", "H0STMKO0"]),
        st.lists(st.tuples(st.integers(0, 62), st.text(max_size=8)), max_size=4),
        st.integers(1, 3),
    )
    @settings(max_examples=examples(60, whole=3_000), deadline=None)
    def test_no_text_gets_an_error_out_of_it(self, name: str, changes: list[tuple[int, str]], count: int) -> None:
        """given any texts in the fields, then values come out whose every level can be read, or a count"""
        record = book_record() if name == "H0STASP0" else trade_record()
        fields = record.split("^")
        for place, text in changes:
            fields[place % len(fields)] = text
        decoding = Decoding(late_ns=0)

        for value in decoding(f"0|{name}|{count:03}|{'^'.join(fields * count)}"):
            assert value.symbol in {"005930", "000660"}
            if isinstance(value, BookUpdate):
                assert all(price > 0 and size >= 0 for price, size in (*value.bids, *value.asks))


def test_real_frames_decode() -> None:
    """given the five recorded frames, then each gives what its text shows, and nothing is refused"""
    rows = [json.loads(line) for line in real_file("kis_ws_frames.jsonl").read_text().splitlines()]
    shown = {}
    for row in rows:
        decoding = Decoding(late_ns=0)
        shown[row["id"]] = decoding(row["frame"])
        assert decoding.refused == {}
        assert decoding.told == []

    assert [(value.price, value.size) for value in shown["T2025x3"] if isinstance(value, Tick)] == [
        (Decimal(71_950), Decimal(1)),
        (Decimal(71_900), Decimal(2)),
        (Decimal(72_000), Decimal(75)),
    ]
    falling = shown["T2026b"][-1]
    assert isinstance(falling, Quote)
    assert (falling.bid, falling.ask, falling.volume) == (Decimal(250_000), Decimal(250_500), Decimal(11_701_513))
    for name, best in (("B1", 71_400), ("B3", 65_900)):
        update = shown[name][0]
        assert isinstance(update, BookUpdate)
        assert update.bids[0][0] == Decimal(best)
        assert len(update.bids) == len(update.asks) == 10
