"""KRX by date: grid, limits, costs, calendar. Every dated row is looked at from both sides."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import to_ns
from qts.errors import ContractError
from qts.market.contracts import Calendar, FeeRule, Phase, TickRule
from qts.market.krx import KST, KrxCalendar, KrxCosts, KrxTicks, check_symbol, krx_instrument
from qts.market.krx_rules import Rate, embedded_rules
from qts.market.sample import load_sample
from qts.notes import Note, in_english

OLD_GRID = date(2023, 1, 24)
NEW_GRID = date(2023, 1, 25)


class TestPriceGrid:
    @pytest.mark.parametrize(
        ("price", "step"),
        [
            ("999", "1"), ("1000", "5"), ("4995", "5"), ("5000", "10"), ("9990", "10"), ("10000", "50"),
            ("49950", "50"), ("50000", "100"), ("99900", "100"), ("100000", "500"), ("499500", "500"),
            ("500000", "1000"),
        ],
    )  # fmt: skip
    def test_kospi_before_the_reform_of_2023(self, price: str, step: str) -> None:
        assert KrxTicks("KOSPI").tick(D(price), OLD_GRID) == D(step)

    @pytest.mark.parametrize(
        ("price", "step"),
        [("999", "1"), ("1000", "5"), ("5000", "10"), ("49950", "50"), ("50000", "100"), ("500000", "100")],
    )
    def test_kosdaq_before_the_reform_never_steps_more_than_100(self, price: str, step: str) -> None:
        assert KrxTicks("KOSDAQ").tick(D(price), OLD_GRID) == D(step)

    @pytest.mark.parametrize("board", ["KOSPI", "KOSDAQ"])
    @pytest.mark.parametrize(
        ("price", "step"),
        [
            ("1999", "1"), ("2000", "5"), ("4995", "5"), ("5000", "10"), ("19990", "10"), ("20000", "50"),
            ("49950", "50"), ("50000", "100"), ("199900", "100"), ("200000", "500"), ("499500", "500"),
            ("500000", "1000"),
        ],
    )  # fmt: skip
    def test_both_boards_since_the_reform(self, board: str, price: str, step: str) -> None:
        assert KrxTicks(board).tick(D(price), NEW_GRID) == D(step)

    @pytest.mark.parametrize(("price", "step"), [("1999", "1"), ("2000", "5"), ("600000", "5")])
    def test_etf(self, price: str, step: str) -> None:
        assert KrxTicks("ETF").tick(D(price), NEW_GRID) == D(step)

    def test_the_day_decides_not_the_order_of_questions(self) -> None:
        ticks = KrxTicks()
        price = D(150_000)
        answers = [ticks.tick(price, day) for day in (OLD_GRID, NEW_GRID, OLD_GRID)]
        assert answers == [D(500), D(100), D(500)]

    def test_rounding_goes_to_the_neighbours_on_the_grid(self) -> None:
        ticks = KrxTicks()
        assert ticks.round_down(D(40_149), OLD_GRID) == D(40_100)
        assert ticks.round_up(D(40_101), OLD_GRID) == D(40_150)
        assert ticks.round_up(D(40_150), OLD_GRID) == ticks.round_down(D(40_150), OLD_GRID) == D(40_150)
        assert ticks.round_up(D(49_999), OLD_GRID) == D(50_000)

    @pytest.mark.parametrize(
        ("price", "valid"), [("40150", True), ("40160", False), ("40150.5", False), ("0", False), ("-50", False),
                             ("NaN", False), ("Infinity", False)],
    )  # fmt: skip
    def test_valid_means_on_the_grid_and_above_zero(self, price: str, valid: bool) -> None:
        assert KrxTicks().is_valid(D(price), OLD_GRID) is valid

    @pytest.mark.parametrize("price", ["0", "-1", "NaN"])
    def test_a_price_that_is_none_has_no_step(self, price: str) -> None:
        with pytest.raises(ContractError, match="above 0"):
            KrxTicks().tick(D(price), NEW_GRID)

    def test_an_unknown_board_names_the_known_ones(self) -> None:
        with pytest.raises(ContractError, match=r"'NYSE'.*ETF, KOSDAQ, KOSPI"):
            KrxTicks("NYSE")

    @given(
        price=st.decimals("1", "2000000", places=2),
        day=st.dates(date(2005, 1, 1), date(2027, 1, 1)),
        board=st.sampled_from(["KOSPI", "KOSDAQ", "ETF"]),
    )
    def test_rounding_is_tight_and_on_the_grid(self, price: D, day: date, board: str) -> None:
        ticks = KrxTicks(board)
        down, up = ticks.round_down(price, day), ticks.round_up(price, day)
        assert down <= price <= up
        assert ticks.is_valid(down, day)
        assert ticks.is_valid(up, day)
        assert up - down in (D(0), ticks.tick(price, day))


class TestPriceLimits:
    def test_fifteen_percent_until_2015_06_14_thirty_since(self) -> None:
        ticks = KrxTicks()
        # 20,000: 15 % = 3,000, 30 % = 6,000; both ends lie on the 50-won grid
        assert ticks.band(D(20_000), date(2015, 6, 14)) == (D(17_000), D(23_000))
        assert ticks.band(D(20_000), date(2015, 6, 15)) == (D(14_000), D(26_000))

    def test_ends_are_cut_inward_to_the_grid(self) -> None:
        # 40,150 x 0.7 = 28,105 -> up to 28,150; x 1.3 = 52,195 -> down to 52,100 (100-won steps from 50,000)
        assert KrxTicks().band(D(40_150), OLD_GRID) == (D(28_150), D(52_100))

    @given(
        price=st.integers(1, 2_000_000),
        day=st.sampled_from([date(2014, 1, 2), date(2015, 6, 15), OLD_GRID, NEW_GRID]),
        board=st.sampled_from(["KOSPI", "KOSDAQ", "ETF"]),
    )
    def test_band_holds_every_grid_price_within_the_limit_and_no_other(
        self, price: int, day: date, board: str
    ) -> None:
        ticks = KrxTicks(board)
        base = ticks.round_up(D(price), day)
        limit = D("0.15") if day < date(2015, 6, 15) else D("0.30")
        low, high = ticks.band(base, day)
        assert base * (1 - limit) <= low <= base <= high <= base * (1 + limit)
        assert ticks.is_valid(low, day)
        assert ticks.is_valid(high, day)
        assert high + ticks.tick(high, day) > base * (1 + limit)
        below = ticks.round_down(low - D("0.01"), day) if low > 1 else D(0)
        assert below < base * (1 - limit)


class TestCosts:
    @pytest.mark.parametrize(
        ("sold", "paid", "tax"),
        [
            ("2019-05-29", "2019-05-31", 3000), ("2019-05-30", "2019-06-03", 2500),
            ("2020-12-28", "2020-12-30", 2500), ("2020-12-29", "2021-01-04", 2300),
            ("2022-12-27", "2022-12-29", 2300), ("2022-12-28", "2023-01-02", 2000),
            ("2023-12-26", "2023-12-28", 2000), ("2023-12-27", "2024-01-02", 1800),
            ("2024-12-26", "2024-12-30", 1800), ("2024-12-27", "2025-01-02", 1500),
            ("2025-12-26", "2025-12-30", 1500), ("2025-12-29", "2026-01-02", 2000),
            ("2025-12-30", "2026-01-05", 2000), ("2026-02-13", "2026-02-20", 2000),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("board", ["KOSPI", "KOSDAQ"])
    def test_a_sale_is_taxed_at_the_rate_of_the_day_on_which_it_is_paid(
        self, board: str, sold: str, paid: str, tax: int
    ) -> None:
        """Two trading days later: weekends, the turn of the year and the holidays of February do not count."""
        costs, day = KrxCosts(board), date.fromisoformat(sold)
        assert costs.settlement_day(day) == date.fromisoformat(paid)
        assert costs.tax(D(1_000_000), is_sell=True, day=day) == tax

    def test_the_fee_goes_by_the_trade_date(self) -> None:
        """A fee that begins on 2 January is not yet asked for a trade of 29 December that is paid on that day."""
        rules = msgspec.structs.replace(
            embedded_rules(),
            broker_fee=[Rate(date(2020, 1, 1), "test", D("0.001")), Rate(date(2026, 1, 2), "test", D("0.002"))],
        )
        costs = KrxCosts(rules=rules)
        assert [costs.fee(D(1_000_000), day) for day in (date(2025, 12, 29), date(2026, 1, 2))] == [1_000, 2_000]

    def test_a_sale_paid_after_the_first_row_is_not_reported_as_before_it(self) -> None:
        konex = KrxCosts("KONEX")  # its first row: 2019-06-03
        day_before, day = date(2019, 5, 29), date(2019, 5, 30)
        assert (
            "sell tax KONEX: no table before 2019-06-03; its first row was used for settlement on 2019-05-31"
            in (texts_of(konex.notes(day_before)))
        )
        assert not any("sell tax" in text for text in texts_of(konex.notes(day)))

    def test_etfs_pay_no_tax_and_konex_a_tenth_of_a_percent(self) -> None:
        day = date(2026, 3, 3)
        assert KrxCosts("ETF").tax(D(1_000_000), is_sell=True, day=day) == 0
        assert KrxCosts("KONEX").tax(D(1_000_000), is_sell=True, day=day) == 1_000

    def test_of_a_dividend_15_4_percent_are_kept_back_cut_to_the_won(self) -> None:
        # 15.4 % of 3,615 = 556.71
        assert KrxCosts().dividend_tax(D(3_615), date(2018, 3, 29)) == 556

    def test_purchases_are_not_taxed(self) -> None:
        assert KrxCosts().tax(D(1_000_000), is_sell=False, day=date(2026, 3, 3)) == 0

    def test_the_fee_is_the_same_on_both_sides_and_cut_to_the_won(self) -> None:
        # 0.015 % of 1,239,999 = 185.99985; of 6,666 = 0.9999; of 6,667 = 1.00005
        costs = KrxCosts()
        fees = [costs.fee(D(amount), date(2026, 3, 3)) for amount in (1_239_999, 6_666, 6_667)]
        assert fees == [185, 0, 1]

    def test_the_tax_is_cut_to_the_won(self) -> None:
        # 0.2 % of 999 = 1.998
        assert KrxCosts().tax(D(999), is_sell=True, day=date(2026, 3, 3)) == 1

    def test_the_day_decides_not_the_order_of_questions(self) -> None:
        costs = KrxCosts()
        days = (date(2025, 12, 26), date(2025, 12, 29), date(2025, 12, 26))
        assert [costs.tax(D(10_000), is_sell=True, day=day) for day in days] == [15, 20, 15]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=KST)


class TestSessions:
    @pytest.mark.parametrize(
        ("moment", "phase"),
        [
            ("2018-02-05T08:29:59.999999", Phase.CLOSED), ("2018-02-05T08:30", Phase.ORDER_ENTRY),
            ("2018-02-05T08:59:59.999999", Phase.ORDER_ENTRY), ("2018-02-05T09:00", Phase.CONTINUOUS),
            ("2018-02-05T15:19:59.999999", Phase.CONTINUOUS), ("2018-02-05T15:20", Phase.CLOSING_AUCTION),
            ("2018-02-05T15:30:00.000000", Phase.CLOSING_AUCTION), ("2018-02-05T15:30:00.000001", Phase.CLOSED),
            # the last Friday and the first Monday around the longer session
            ("2016-07-29T14:49:59", Phase.CONTINUOUS), ("2016-07-29T14:50", Phase.CLOSING_AUCTION),
            ("2016-07-29T15:00:00", Phase.CLOSING_AUCTION), ("2016-07-29T15:00:01", Phase.CLOSED),
            ("2016-08-01T14:50", Phase.CONTINUOUS), ("2016-08-01T15:00", Phase.CONTINUOUS),
            ("2016-08-01T15:20", Phase.CLOSING_AUCTION), ("2016-08-01T15:30:01", Phase.CLOSED),
            # a weekend
            ("2018-02-03T10:00", Phase.CLOSED),
        ],
    )  # fmt: skip
    def test_phase(self, moment: str, phase: Phase) -> None:
        assert KrxCalendar().phase(at(moment)) is phase

    def test_the_first_trading_day_opens_at_ten_and_closes_as_usual(self) -> None:
        calendar = KrxCalendar()
        phases = [
            calendar.phase(at(f"2026-01-02T{time}")) for time in ("09:29", "09:30", "09:59", "10:00", "15:31")
        ]
        assert phases == [Phase.CLOSED, Phase.ORDER_ENTRY, Phase.ORDER_ENTRY, Phase.CONTINUOUS, Phase.CLOSED]
        assert calendar.phase(at("2026-01-05T09:00")) is Phase.CONTINUOUS

    def test_the_exam_day_is_shifted_by_an_hour(self) -> None:
        calendar = KrxCalendar()
        times = ("09:29", "09:30", "09:59", "10:00", "16:19", "16:20", "16:30", "16:31")
        phases = [calendar.phase(at(f"2026-11-19T{time}")).value for time in times]
        assert phases == [
            "CLOSED", "ORDER_ENTRY", "ORDER_ENTRY", "CONTINUOUS", "CONTINUOUS", "CLOSING_AUCTION",
            "CLOSING_AUCTION", "CLOSED",
        ]  # fmt: skip
        assert calendar.phase(at("2026-11-18T15:31")) is Phase.CLOSED
        assert calendar.phase(at("2026-11-20T09:00")) is Phase.CONTINUOUS

    def test_a_moment_may_come_in_any_time_zone(self) -> None:
        assert KrxCalendar().phase(datetime(2018, 2, 5, 0, 0, tzinfo=UTC)) is Phase.CONTINUOUS

    def test_phase_ns_says_the_same(self) -> None:
        assert KrxCalendar().phase_ns(to_ns(at("2018-02-05T08:30"))) is Phase.ORDER_ENTRY

    def test_close(self) -> None:
        calendar = KrxCalendar()
        assert calendar.close(date(2016, 7, 29)) == at("2016-07-29T15:00")
        assert calendar.close(date(2016, 8, 1)) == at("2016-08-01T15:30")
        assert calendar.close(date(2016, 7, 30)) is None


class TestTradingDays:
    CLOSED_2026 = (
        "01-01 02-16 02-17 02-18 03-02 05-01 05-05 05-25 06-03 07-17 08-17 09-24 09-25 10-05 10-09 12-25 12-31"
    )

    def test_every_weekday_of_2026_trades_but_the_listed(self) -> None:
        calendar = KrxCalendar()
        weekdays = [day for n in range(365) if (day := date(2026, 1, 1) + timedelta(days=n)).weekday() < 5]
        closed = [f"{day:%m-%d}" for day in weekdays if not calendar.is_trading_day(day)]
        assert closed == self.CLOSED_2026.split()

    def test_without_rows_weekdays_trade_but_the_first_and_the_last_of_the_year(self) -> None:
        calendar = KrxCalendar()
        days = ("2025-01-01", "2025-01-02", "2025-12-25", "2025-12-31", "2025-06-07")
        assert [calendar.is_trading_day(date.fromisoformat(day)) for day in days] == [
            False,
            True,
            True,
            False,
            False,
        ]

    @pytest.mark.parametrize(
        ("day", "trades"),
        [("2022-12-29", True), ("2022-12-30", False), ("2023-12-28", True), ("2023-12-29", False),
         ("2024-12-30", True), ("2024-12-31", False), ("2021-12-30", True), ("2021-12-31", False)],
    )  # fmt: skip
    def test_the_friday_before_a_new_years_eve_on_a_weekend_is_closed(self, day: str, trades: bool) -> None:
        assert KrxCalendar().is_trading_day(date.fromisoformat(day)) is trades

    def test_days_of_the_data_decide_between_the_first_and_the_last(self) -> None:
        calendar = KrxCalendar([date(2018, 2, 12), date(2018, 2, 14), date(2018, 2, 19)])
        assert not calendar.is_trading_day(date(2018, 2, 13))  # a Tuesday without volume
        assert not calendar.is_trading_day(date(2018, 2, 16))  # New Year holiday
        assert calendar.is_trading_day(date(2018, 2, 14))
        assert calendar.is_trading_day(date(2018, 2, 9))  # outside: weekdays
        assert calendar.is_trading_day(date(2018, 2, 20))

    def test_data_that_start_within_a_year_do_not_make_their_first_day_the_first_of_the_year(self) -> None:
        calendar = KrxCalendar([date(2018, 1, 8), date(2018, 1, 9)])
        assert calendar.phase(at("2018-01-08T09:00")) is Phase.CONTINUOUS

    def test_the_first_day_of_the_data_year_opens_late(self) -> None:
        calendar = KrxCalendar(row.day for row in load_sample() if row.traded)
        assert calendar.phase(at("2016-01-04T09:59")) is Phase.ORDER_ENTRY
        assert calendar.phase(at("2016-01-04T10:00")) is Phase.CONTINUOUS

    def test_next_open(self) -> None:
        calendar = KrxCalendar()
        assert calendar.next_open(at("2026-03-03T09:00")) == at("2026-03-03T09:00")
        assert calendar.next_open(at("2026-03-03T09:00:00.000001")) == at("2026-03-04T09:00")
        assert calendar.next_open(at("2026-02-13T16:00")) == at("2026-02-19T09:00")  # over the long holiday
        assert calendar.next_open(at("2026-12-30T16:00")) == at("2027-01-04T10:00")

    def test_a_gap_of_more_than_400_days_has_no_next_open(self) -> None:
        calendar = KrxCalendar([date(2016, 1, 4), date(2018, 1, 2)])
        assert calendar.next_open(at("2016-01-05T09:00")) is None

    def test_many_days_do_not_fill_the_memory(self) -> None:
        calendar = KrxCalendar()
        first = to_ns(at("2000-01-03T12:00"))
        for number in range(5_000):
            calendar.phase_ns(first + number * 86_400_000_000_000)
        assert len(calendar._sessions) <= 4096
        assert calendar.phase(at("2018-02-05T10:00")) is Phase.CONTINUOUS

    def test_local_date_and_wall_clock(self) -> None:
        calendar = KrxCalendar()
        assert calendar.local_date(datetime(2018, 2, 4, 15, 0, tzinfo=UTC)) == date(2018, 2, 5)
        assert calendar.local_date(datetime(2018, 2, 4, 14, 59, tzinfo=UTC)) == date(2018, 2, 4)
        assert calendar.at(date(2018, 2, 5), 6) == datetime(2018, 2, 4, 21, 0, tzinfo=UTC)


def texts_of(notes: list[Note]) -> list[str]:
    return [in_english(note) for note in notes]


class TestNotes:
    """Before the first dated row the oldest applies, and the report says so."""

    def test_grid_and_limit(self) -> None:
        ticks = KrxTicks()
        assert ticks.notes(date(2010, 10, 4)) == []
        assert texts_of(ticks.notes(date(2010, 10, 3))) == [
            "tick table KOSPI: no table before 2010-10-04; its first row was used for 2010-10-03"
        ]
        assert ticks.tick(D(50_000), date(1990, 1, 1)) == 100
        assert [text.split(":")[0] for text in texts_of(ticks.notes(date(1998, 12, 6)))] == [
            "tick table KOSPI",
            "price limit",
        ]

    def test_costs(self) -> None:
        costs = KrxCosts()
        assert costs.notes(date(2026, 1, 1)) == []
        assert texts_of(costs.notes(date(2025, 12, 31))) == [
            "broker fee: no table before 2026-01-01; its first row was used for 2025-12-31"
        ]
        assert costs.fee(D(1_000_000), date(2014, 1, 2)) == 150
        assert texts_of(costs.notes(date(1996, 3, 27))) == [
            "broker fee: no table before 2026-01-01; its first row was used for 1996-03-27",
            "settlement: no table before 1996-04-01; its first row was used for 1996-03-27",
            "sell tax KOSPI: no table before 1996-04-01; its first row was used for settlement on 1996-03-29",
        ]

    def test_calendar(self) -> None:
        assert KrxCalendar().notes(date(2026, 3, 3)) == []
        assert KrxCalendar().notes(date(2025, 3, 3)) == [Note.of("no-closed-days", year="2025")]
        assert KrxCalendar([date(2025, 3, 3), date(2025, 3, 5)]).notes(date(2025, 3, 4)) == []
        assert "session times" in texts_of(KrxCalendar().notes(date(2000, 5, 19)))[0]


class TestInstrument:
    def test_it_has_the_rules_of_its_board(self) -> None:
        instrument = krx_instrument("069500", board="ETF")
        assert (instrument.currency, instrument.quantum, instrument.lot) == ("KRW", D(1), D(1))
        assert instrument.ticks.tick(D(30_000), NEW_GRID) == 5
        assert instrument.costs.tax(D(1_000_000), is_sell=True, day=NEW_GRID) == 0

    def test_it_fits_the_protocols(self) -> None:
        instrument = krx_instrument("005930")
        ticks: TickRule = KrxTicks()
        costs: FeeRule = KrxCosts()
        calendar: Calendar = KrxCalendar()
        assert [type(rule) for rule in (ticks, costs, calendar)] == [
            type(rule) for rule in (instrument.ticks, instrument.costs, instrument.calendar)
        ]

    def test_it_survives_the_way_to_a_worker_process(self) -> None:
        instrument = pickle.loads(pickle.dumps(krx_instrument("005930", trading_days=[date(2018, 2, 5)])))
        assert instrument.ticks.tick(D(40_000), OLD_GRID) == 50
        assert instrument.calendar.phase(at("2018-02-05T09:00")) is Phase.CONTINUOUS

    @pytest.mark.parametrize("symbol", ["005930", "0004V0", "KR7005"])
    def test_short_codes_are_taken(self, symbol: str) -> None:
        assert check_symbol(symbol) == symbol

    @pytest.mark.parametrize("symbol", ["", "0059301", "00593o", "00 930", "삼성전자우선", "BTCUSDT"])
    def test_other_texts_are_refused(self, symbol: str) -> None:
        with pytest.raises(ContractError, match="six digits or capital letters") as caught:
            krx_instrument(symbol)
        assert "leading zeros" not in str(caught.value)

    def test_a_code_that_lost_its_zeros_gets_the_hint(self) -> None:
        with pytest.raises(ContractError, match=r"got '5930'; were leading zeros lost .*'005930'"):
            krx_instrument("5930")
