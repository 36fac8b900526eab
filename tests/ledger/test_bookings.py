"""Deposits, withdrawals, true-ups, adjustments and EXTERNAL: rows worked by hand, refusals, what counts once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError, StateError, StorageError
from qts.ledger.account import MAX_EARLY, Account
from qts.ledger.bookings import booking_row, charges_by_owner, check_booking, true_ups
from qts.ledger.contracts import BookingKind, BookingRow, Charges
from qts.ledger.entries import booking_entry
from qts.market.actions import Split
from qts.strategy.contracts import Side

from .book import BALANCED, SAMSUNG, account, at, bust, fill, note, transfer

HYNIX = "000660"
DAY = date(2018, 5, 4)


def pools_of(book: Account) -> tuple[D, D, D]:
    """Return the cash of the three pools."""
    return book.pool_cash(Pool.SCALP), book.pool_cash(Pool.SWING), book.pool_cash(Pool.PORTFOLIO)


def moved(row: BookingRow) -> dict[str, tuple[D, D]]:
    """Return what the entry of a booking changes, by name of account; it adds up to nothing."""
    entry = booking_entry(1, row)
    assert not entry.imbalance()
    return {str(one.account): (one.amount, one.qty) for one in entry.postings}


class TestMoney:
    def test_a_deposit_is_divided_in_whole_won_and_the_rest_goes_to_the_named_pool(self) -> None:
        # Given 400,000 / 350,000 / 250,000 won
        book = account()
        # When 1,001 won come in
        effects = book.deposit(D(1_001), note("c-1", 5), weights=BALANCED, remainder=Pool.PORTFOLIO)
        # Then 400 + 350 + 250 = 1,000 are divided by the weights, and the last won goes to PORTFOLIO
        assert pools_of(book) == (400_400, 350_350, 250_251)
        assert [one.booking.amount for one in effects] == [400, 350, 251]
        assert book.capital_paid_in == 1_001_001
        # And nothing was earned by it
        assert set(book.realized_by_pool.values()) == {D(0)}
        assert moved(effects[0].booking) == {"cash:SCALP": (400, 0), "capital": (-400, 0)}
        assert [type(one).__name__ for one in effects[0].records] == ["BookingRow", "PoolRow"]

    def test_the_same_deposit_counts_once(self) -> None:
        book = account()
        book.deposit(D(1_000), note("c-1"), weights=BALANCED, remainder=Pool.PORTFOLIO)
        # When it is told again, even with another amount
        again = book.deposit(D(9_000), note("c-1", 7), weights=BALANCED, remainder=Pool.PORTFOLIO)
        # Then nothing happens
        assert again == ()
        assert book.cash == 1_001_000

    def test_a_withdrawal_takes_from_others_what_a_pool_has_not(self) -> None:
        # Given SCALP with 400,000 won, of which 395,000 are held back by an order
        book = account()
        book.reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(1), D(395_000), D(395_000))
        # When 100,000 won are withdrawn: 40,000 / 35,000 / 25,000 by the weights
        effects = book.withdraw(D(100_000), note("c-1"), weights=BALANCED, remainder=Pool.PORTFOLIO)
        # Then SCALP gives the 5,000 it has, and PORTFOLIO, the named pool, the other 35,000
        assert effects is not None
        assert [one.booking.amount for one in effects] == [-5_000, -35_000, -60_000]
        assert pools_of(book) == (395_000, 315_000, 190_000)
        assert book.withdrawals_total == 100_000
        assert moved(effects[0].booking) == {"cash:SCALP": (-5_000, 0), "capital": (5_000, 0)}
        # And the same withdrawal counts once
        assert book.withdraw(D(100_000), note("c-1"), weights=BALANCED, remainder=Pool.PORTFOLIO) == ()

    def test_a_withdrawal_never_takes_more_than_is_available(self) -> None:
        # Given 1,000,000 won, 600,000 of them held back
        book = account()
        for pool, cost in ((Pool.SCALP, 400_000), (Pool.SWING, 200_000)):
            book.reserve(f"o-{pool}", pool.value, pool, SAMSUNG, Side.BUY, D(1), D(cost), D(cost))
        # When a won more than the other 400,000 is asked for, nothing is given
        assert book.withdraw(D(400_001), note("c-1"), weights=BALANCED, remainder=Pool.SCALP) is None
        assert pools_of(book) == (400_000, 350_000, 250_000)
        # Then all of the 400,000 is
        assert book.withdraw(D(400_000), note("c-2"), weights=BALANCED, remainder=Pool.SCALP) is not None
        assert pools_of(book) == (400_000, 200_000, 0)

    @pytest.mark.parametrize("amount", ["0", "-1", "0.5", "NaN", "1E+30"])
    def test_only_whole_won_above_zero_come_in_or_go_out(self, amount: str) -> None:
        book = account()
        with pytest.raises(ContractError, match="whole units of 1 above 0"):
            book.deposit(D(amount), note("c-1"), weights=BALANCED, remainder=Pool.PORTFOLIO)
        with pytest.raises(ContractError, match="whole units of 1 above 0"):
            book.withdraw(D(amount), note("c-1"), weights=BALANCED, remainder=Pool.PORTFOLIO)
        assert book.bookings_applied == 0


class TestTrueUps:
    def test_the_fees_of_a_day_become_what_the_broker_charged(self) -> None:
        # Given fees of 30 and 10 of two pools on 1970-01-01, a tax of 5, and one of another day
        book = account()
        rows = []
        for number, strategy, pool, fee, tax, ts in (
            ("1", "ema", Pool.SCALP, 30, 0, 1),
            ("2", "turtle", Pool.SWING, 10, 5, 2),
            ("3", "turtle", Pool.SWING, 99, 0, 86_400_000_000_000),
        ):
            report = fill(number, "BUY", 1, 1_000, fee=fee, tax=tax, ts=ts)
            effect = book.apply_fill(report, strategy=strategy, pool=pool)
            assert effect is not None
            rows.append(effect.ledger)
        # When the broker's totals of that day are 47 and 5
        booked = charges_by_owner(rows, [], "1970-01-01")
        found = true_ups(booked, Charges(D(47), D(5)), "1970-01-01", note("s-1"), account="main", quantum=D(1))
        # Then the 7 more are shared 3 : 1, in whole won: 5 and 1, and the last one to the named pool
        assert [(row.kind, row.pool, row.fee) for row in found] == [
            (BookingKind.FEE, Pool.SCALP, 5),
            (BookingKind.FEE, Pool.SWING, 1),
            (BookingKind.FEE, Pool.PORTFOLIO, 1),
        ]
        # When they are booked
        cash = book.cash
        for row in found:
            assert book.book(row) is not None
            assert book.book(row) is None  # once
        # Then cash and result have paid them, and a second look finds nothing to do
        assert book.cash == cash - 7
        assert book.fees_total == 30 + 10 + 99 + 7
        assert moved(found[0]) == {"cash:SCALP": (-5, 0), "fees:SCALP": (5, 0)}
        booked = charges_by_owner(rows, found, "1970-01-01")
        assert true_ups(booked, Charges(D(47), D(5)), "1970-01-01", note("s-2"), account="main", quantum=D(1)) == ()

    def test_taxes_that_were_estimated_too_high_are_given_back(self) -> None:
        book = account()
        effect = book.apply_fill(fill("1", "SELL", 1, 1_000, tax=9), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        booked = charges_by_owner([effect.ledger], [], "1970-01-01")
        (row,) = true_ups(booked, Charges(D(0), D(4)), "1970-01-01", note("s-1"), account="main", quantum=D(1))
        book.book(row)
        assert (row.kind, row.pool, row.tax, book.taxes_total) == (BookingKind.TAX, Pool.SCALP, -5, 4)
        assert moved(row) == {"cash:SCALP": (5, 0), "taxes:SCALP": (-5, 0)}

    def test_a_charge_of_a_day_without_fills_goes_to_the_named_pool(self) -> None:
        (row,) = true_ups({}, Charges(D(12), D(0)), "1970-01-01", note("s-1"), account="main", quantum=D(1))
        assert (row.pool, row.fee) == (Pool.PORTFOLIO, 12)

    @pytest.mark.parametrize(
        ("available", "total", "paid"),
        [
            # SWING's own share of 8 : 2 : 0 is 2; it has one, and the named pool pays the other
            ((100, 1, 100), 20, {"SCALP": 8, "SWING": 1, "PORTFOLIO": 1}),
            # Neither has anything left: the one that was charged most pays it all
            ((100, 0, 0), 20, {"SCALP": 10}),
            # What no pool has stays with whom it was charged to; a part of a won pays nothing
            ((3, D("0.9"), 0), 20, {"SCALP": 8, "SWING": 2}),
            # A pool that is below 0 has nothing to pay with, and no charge makes up for that
            ((-5, 100, 100), 20, {"PORTFOLIO": 8, "SWING": 2}),
            # What comes back goes to whom it was charged to, whatever there is
            ((-5, 0, 0), 5, {"SCALP": -4, "SWING": -1}),
        ],
    )
    def test_a_pool_pays_no_more_than_it_has_while_another_has_any(
        self, available: tuple[D, D, D], total: int, paid: dict[str, int]
    ) -> None:
        # Given 10 of fees that were estimated, 8 in SCALP and 2 in SWING
        booked = {Pool.SCALP: Charges(D(8), D(0)), Pool.SWING: Charges(D(2), D(0))}
        # When the broker's total is told
        found = true_ups(
            booked,
            Charges(D(total), D(0)),
            "1970-01-01",
            note("s-1"),
            account="main",
            quantum=D(1),
            available=dict(zip(Pool, map(D, available), strict=True)),
        )
        # Then the difference is paid by who has it
        assert {row.pool.value: row.fee for row in found if row.pool} == paid

    @pytest.mark.parametrize(("total", "fee"), [(11, 1), (9, -1)])
    def test_a_single_won_is_charged_or_given_back(self, total: int, fee: int) -> None:
        booked: dict[Pool | None, Charges] = {Pool.SCALP: Charges(D(10), D(0))}
        (row,) = true_ups(booked, Charges(D(total), D(0)), "1970-01-01", note("s"), account="main", quantum=D(1))
        assert (row.pool, row.fee) == (Pool.SCALP, fee)

    def test_what_the_fees_took_is_not_there_for_the_taxes(self) -> None:
        # Given SCALP with 10 won left, SWING with 100, and 8 won more of fees and of taxes each, all of SCALP
        booked: dict[Pool | None, Charges] = {Pool.SCALP: Charges(D(8), D(8))}
        left = {Pool.SCALP: D(10), Pool.SWING: D(100), Pool.PORTFOLIO: D(0)}
        rows = true_ups(
            *(booked, Charges(D(16), D(16)), "1970-01-01", note("s")), account="main", quantum=D(1), available=left
        )
        # Then SCALP pays the fees and 2 of the taxes, and SWING the other 6
        assert [(row.kind, row.pool, row.fee + row.tax) for row in rows] == [
            (BookingKind.FEE, Pool.SCALP, 8),
            (BookingKind.TAX, Pool.SCALP, 2),
            (BookingKind.TAX, Pool.SWING, 6),
        ]

    def test_interest_is_a_result(self) -> None:
        book = account()
        row = booking_row(BookingKind.ADJUSTMENT, "main", note("s-1"), Pool.SWING, amount=D(70))
        book.book(row)
        assert (book.adjustments_total, book.realized_by_pool[Pool.SWING]) == (70, 70)
        assert moved(row) == {"cash:SWING": (70, 0), "result:SWING": (-70, 0)}


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"kind": BookingKind.REVERSAL}, "follows from an execution"),
            ({"amount": D("Infinity")}, "no amount that can be booked"),
            ({"amount": D("0.5")}, "whole units of 1"),
            ({"amount": D(0)}, "has nothing; allowed: amount"),
            ({"fee": D(1)}, "has amount, fee; allowed: amount"),
            ({"symbol": SAMSUNG}, "shares and their cost need a symbol"),
            ({"kind": BookingKind.OPENING}, "only EXTERNAL is opened"),
            ({"amount": D(-1)}, "wrong sign"),
            ({"kind": BookingKind.WITHDRAWAL}, "wrong sign"),
            ({"realized_pnl": D(1)}, "the result is 0, got 1"),
        ],
    )
    def test_a_row_that_is_no_booking_is_refused(self, changes: dict[str, object], why: str) -> None:
        row = booking_row(BookingKind.DEPOSIT, "main", note("c-1"), Pool.SCALP, amount=D(5))
        check_booking(row, D(1))
        with pytest.raises(ContractError, match=why):
            check_booking(msgspec.structs.replace(row, **changes), D(1))

    @pytest.mark.parametrize(
        ("row", "why"),
        [
            (
                booking_row(BookingKind.DEPOSIT, "main", note("c"), Pool.SCALP, amount=D(1), fee=D(1), tax=D(1)),
                "has amount, fee, tax; allowed: amount$",
            ),
            (
                booking_row(
                    *(BookingKind.FEE, "main", note("c"), Pool.SCALP),
                    amount=D(1),
                    cost=D(1),
                    price=D(1),
                    qty=D(1),
                    tax=D(1),
                ),
                "has amount, cost, price, qty, tax; allowed: fee$",
            ),
            (
                booking_row(BookingKind.ADJUSTMENT, "main", note("c"), None, fee=D(1)),
                "has fee; allowed: amount, cost, qty$",
            ),
            (booking_row(BookingKind.WITHDRAWAL, "main", note("c"), Pool.SCALP, amount=D(1)), "wrong sign, got 1"),
            (
                booking_row(
                    *(BookingKind.DEPOSIT, "main", note("c"), Pool.SCALP),
                    strategy="ema",
                    symbol=SAMSUNG,
                    price=D(1),
                    cost=D(1),
                ),
                "wrong sign: 0 shares at 1",
            ),
            (
                booking_row(
                    *(BookingKind.WITHDRAWAL, "main", note("c"), None),
                    symbol=SAMSUNG,
                    price=D(1),
                    cost=D(1),
                ),
                "wrong sign: 0 shares at 1",
            ),
            (
                booking_row(
                    *(BookingKind.WITHDRAWAL, "main", note("c"), None),
                    symbol=SAMSUNG,
                    price=D(1),
                    qty=D("0.5"),
                ),
                "wrong sign: 0.5 shares at 1",
            ),
        ],
    )
    def test_what_it_has_and_may_have_is_told(self, row: BookingRow, why: str) -> None:
        with pytest.raises(ContractError, match=why):
            check_booking(row, D(1))

    def test_a_cost_alone_is_of_a_symbol(self) -> None:
        row = booking_row(BookingKind.OPENING, "main", note("c"), None, symbol=SAMSUNG, cost=D(5))
        check_booking(row, D(1))
        assert (row.broker, row.order_id, row.reference) == ("", "", "c")

    def test_a_single_won_comes_in_and_goes_out(self) -> None:
        book = account()
        assert book.deposit(D(1), note("c-1"), weights=BALANCED, remainder=Pool.SWING)
        assert book.withdraw(D(1), note("c-2"), weights=BALANCED, remainder=Pool.SWING)
        assert book.cash == 1_000_000

    def test_a_row_of_another_account_is_refused(self) -> None:
        row = booking_row(BookingKind.DEPOSIT, "other", note("c-1"), Pool.SCALP, amount=D(5))
        with pytest.raises(ContractError, match="of account 'other', not 'main'"):
            account().book(row)

    @pytest.mark.parametrize("pool", [Pool.SCALP, None])
    def test_a_withdrawal_of_more_than_there_is_is_refused(self, pool: Pool | None) -> None:
        row = booking_row(BookingKind.WITHDRAWAL, "main", note("c-1"), pool, amount=D(-400_001))
        with pytest.raises(ContractError, match="-400001 of"):
            account().book(row)

    def test_external_cash_goes_out_by_a_booking_of_its_own(self) -> None:
        book = account()
        book.adopt(D(1_000_070), {}, note("opening"))
        row = booking_row(BookingKind.WITHDRAWAL, "main", note("c-1"), None, amount=D(-70))
        assert book.book(row) is not None
        assert (book.external.cash, book.broker_cash) == (0, 1_000_000)


class TestReversals:
    def test_a_fill_that_is_taken_back_leaves_the_book_as_it_is_without_it(self) -> None:
        # Given 10 at 1,000 (fee 15), 10 at 1,200, and 5 sold at 1,300: 1,000 earned over the average of 1,100
        book, without = account(), account()
        first, second = fill("1", "BUY", 10, 1_000, fee=15), fill("2", "BUY", 10, 1_200, ts=1)
        sale = fill("3", "SELL", 5, 1_300, ts=2)
        for one in (first, second, sale):
            book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        # When the broker takes the first one back
        effect = book.reverse(bust(first))
        # Then the 5 were sold for 100 more than they cost, and the book is that of the other two fills
        for one in (second, sale):
            without.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        assert book.realized_by_pool == without.realized_by_pool == {**book.realized_by_pool, Pool.SCALP: D(500)}
        assert pools_of(book) == pools_of(without)
        assert book.position_rows() == without.position_rows()
        assert (book.fees_total, book.fills_applied) == (0, 3)  # the fill is kept, its fee is not
        # And the entry takes back 10 shares and 10,015 won, 500 of results and 10,500 of 16,500 of cost
        assert effect is not None
        assert moved(effect.booking) == {
            "cash:SCALP": (10_015, 0),
            "fees:SCALP": (-15, 0),
            "result:SCALP": (500, 0),
            f"holding:ema:{SAMSUNG}": (-10_500, -10),
            f"market:{SAMSUNG}": (0, 10),
        }

    def test_it_is_taken_back_once(self) -> None:
        book, one = account(), fill("1", "BUY", 10, 1_000)
        book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        assert not book.has_reversed(bust(one))
        assert book.reverse(bust(one)) is not None
        assert book.reverse(bust(one, ts=2_000)) is None
        assert book.has_reversed(bust(one))
        # And the fill that is reported again stays booked, and taken back
        assert book.apply_fill(one, strategy="ema", pool=Pool.SCALP) is None
        assert (book.holding("ema", SAMSUNG), book.cash) == (0, 1_000_000)

    def test_it_may_be_taken_back_before_it_is_reported(self) -> None:
        # Given a reversal of a fill that is not known yet
        book, one = account(), fill("1", "BUY", 10, 1_000, fee=3)
        assert book.reverse(bust(one)) is None
        assert book.reverse(bust(one)) is None
        assert book.has_reversed(bust(one))
        # When the fill is reported
        effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        # Then both are booked, with the rows of after both
        assert effect is not None
        assert effect.reversal is not None
        kinds = [type(row).__name__ for row in effect.records]
        assert kinds == ["LedgerRow", "BookingRow", "PositionRow", "PoolRow"]
        assert (effect.position.qty, effect.pool.cash) == (0, 400_000)
        assert (book.cash, book.fees_total, book.holding("ema", SAMSUNG)) == (1_000_000, 0, 0)

    def test_of_two_days_with_the_same_numbers_the_right_one_is_taken_back(self) -> None:
        book = account()
        today = fill("1", "BUY", 10, 1_000, ts=1)
        tomorrow = fill("1", "BUY", 7, 1_000, ts=86_400_000_000_001)
        for one in (today, tomorrow):
            book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        book.reverse(bust(tomorrow))
        assert book.holding("ema", SAMSUNG) == 10

    def test_a_fill_of_another_symbol_is_not_taken_back(self) -> None:
        book, one = account(), fill("1", "BUY", 10, 1_000)
        book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        with pytest.raises(ContractError, match=f"is not one of {HYNIX}"):
            book.reverse(bust(one, symbol=HYNIX))

    def test_a_fill_from_before_a_split_is_not_taken_back(self) -> None:
        # Given 10 shares that became 20
        book, one = account(), fill("1", "BUY", 10, 1_000)
        book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        book.apply_split(Split(SAMSUNG, DAY, D(2), D(1)), ts_ns=5, lot=D(1), price=None)
        # Then 10 of them cannot be taken back: 10 would be left of a purchase that never was
        with pytest.raises(ContractError, match="was split after execution 1"):
            book.reverse(bust(one))
        assert book.holding("ema", SAMSUNG) == 20

    def test_so_many_reversals_wait_and_no_more(self) -> None:
        book = account()
        for number in range(MAX_EARLY):
            assert book.reverse(bust(fill(f"x-{number}", "BUY", 1, 1))) is None
        with pytest.raises(ContractError, match="wait for fills"):
            book.reverse(bust(fill("one more", "BUY", 1, 1)))


class TestExternal:
    def test_what_the_broker_has_beside_our_capital_is_external(self) -> None:
        # Given 1,000,000 won for the pools, and 1,500,000 won and 7 shares at the broker
        book = account()
        effects = book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening"))
        # Then the rest of the cash and the shares are not ours
        assert (book.external.cash, book.external.positions()) == (500_000, {SAMSUNG: 7})
        assert (book.external.cost(SAMSUNG), book.external.cost(HYNIX), book.external.qty(HYNIX)) == (350_000, 0, 0)
        assert (book.broker_cash, book.broker_positions()) == (1_500_000, {SAMSUNG: 7})
        # And they back nothing: neither equity nor what can be spent or sold
        assert (book.equity(at(50_000)), book.positions(), book.holding("ema", SAMSUNG)) == (1_000_000, {}, 0)
        assert not book.reserve("o", "ema", Pool.SCALP, SAMSUNG, Side.SELL, D(7), D(1), D(1))
        assert not book.reserve("o", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(1), D(1), D(400_001))
        assert [moved(one.booking) for one in effects] == [
            {"external:cash": (500_000, 0), "capital": (-500_000, 0)},
            {
                f"external:holding:{SAMSUNG}": (350_000, 7),
                f"market:{SAMSUNG}": (0, -7),
                "capital": (-350_000, 0),
            },
        ]
        assert [one.records for one in effects] == [(one.booking,) for one in effects]
        # And it is adopted once
        assert book.adopt(D(1), {}, note("opening")) == ()

    def test_an_account_without_anything_else_has_nothing_to_adopt(self) -> None:
        assert account().adopt(D(1_000_000), {}, note("opening")) == ()

    def test_pools_cannot_open_with_more_than_the_broker_has(self) -> None:
        with pytest.raises(ContractError, match="has 999999 of settled cash"):
            account().adopt(D(999_999), {}, note("opening"))

    def test_it_comes_before_everything_else(self) -> None:
        book = account()
        book.transfer(transfer("t-1", Pool.SCALP, Pool.SWING, 1))
        with pytest.raises(StateError, match="before anything else"):
            book.adopt(D(2_000_000), {}, note("opening"))

    def test_a_fill_of_an_unknown_order_is_external(self) -> None:
        # Given 7 shares at the broker that had cost 350,000, and 500,000 won
        book = account()
        book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening"))
        # When a person sells 3 of them at 60,000 by hand, for a fee of 20 and a tax of 400
        sale = fill("9", "SELL", 3, 60_000, fee=20, tax=400, order="by hand", ts=5)
        (effect,) = book.book_external(sale, actor="rule", reason="unknown order")
        # Then 179,580 come in and 150,000 of cost go; our pools are as they were
        assert book.external.cash == 679_580
        assert book.external.positions() == {SAMSUNG: 4}
        assert (book.external.cost(SAMSUNG), book.external.realized) == (200_000, 29_580)
        assert pools_of(book) == (400_000, 350_000, 250_000)
        assert moved(effect.booking) == {
            "external:cash": (179_580, 0),
            "external:fees": (20, 0),
            "external:taxes": (400, 0),
            "external:result": (-30_000, 0),
            f"external:holding:{SAMSUNG}": (-150_000, -3),
            f"market:{SAMSUNG}": (0, 3),
        }
        # And it is booked once, by whatever way it comes again
        assert book.has_booked(sale)
        assert book.book_external(sale, actor="rule", reason="again") == ()

    def test_it_can_be_taken_back_before_and_after(self) -> None:
        book, one, two = account(), fill("1", "BUY", 3, 1_000), fill("2", "BUY", 3, 1_000)
        book.book_external(one, actor="rule", reason="")
        assert book.reverse(bust(one)) is not None
        assert book.reverse(bust(two)) is None
        assert len(book.book_external(two, actor="rule", reason="")) == 2
        assert (book.external.cash, book.external.positions(), book.external.costs()) == (0, {}, {SAMSUNG: 0})

    def test_shares_of_both_add_up_to_what_the_broker_holds(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 5, 1_000), strategy="ema", pool=Pool.SCALP)
        book.book_external(fill("2", "SELL", 5, 1_000, order="x"), actor="rule", reason="")
        assert (book.positions(), book.external.positions(), book.broker_positions()) == (
            {SAMSUNG: 5},
            {SAMSUNG: -5},
            {},
        )

    def test_a_split_changes_it_too_and_pays_the_fraction(self) -> None:
        # Given 10 shares that had cost 10,000, of which three become one
        book = account()
        book.adopt(D(1_000_000), {SAMSUNG: (D(10), D(10_000))}, note("opening"))
        split = Split(SAMSUNG, DAY, D(1), D(3))
        effect = book.split_external(split, note("split", 9), lot=D(1), price=D(1_200))
        # Then 3 are left, and the tenth brought 1,200 for its cost of 1,000
        assert effect is not None
        assert (book.external.positions(), book.external.cash) == ({SAMSUNG: 3}, 1_200)
        assert (book.external.cost(SAMSUNG), book.external.realized) == (9_000, 200)
        # And it counts once
        assert book.split_external(split, note("split", 9), lot=D(1), price=D(1_200)) is None

    def test_without_a_price_the_fraction_is_paid_at_its_cost(self) -> None:
        book = account()
        book.adopt(D(1_000_000), {SAMSUNG: (D(10), D(10_000))}, note("opening"))
        effect = book.split_external(Split(SAMSUNG, DAY, D(1), D(3)), note("split", 9), lot=D(1), price=None)
        assert effect is not None
        assert (effect.booking.amount, effect.booking.cost, effect.booking.realized_pnl) == (1_000, -1_000, 0)

    def test_a_split_that_changes_neither_shares_nor_a_won_is_not_booked(self) -> None:
        book, split = account(), Split(SAMSUNG, DAY, D(11), D(10))
        assert book.split_external(split, note("1"), lot=D(1), price=None) is None
        # Given 5 shares of 1 won, which become 5 whole ones and a fraction worth less than half a won
        book.adopt(D(1_000_000), {SAMSUNG: (D(5), D(5))}, note("opening"))
        assert book.split_external(split, note("1"), lot=D(1), price=D("0.1")) is None


class TestRestart:
    def test_a_restart_finds_the_same_book(self) -> None:
        # Given a book with everything in it, and a reversal that waits
        book, ledger, bookings = account(), [], []
        bookings += [one.booking for one in book.adopt(D(1_500_000), {HYNIX: (D(2), D(9))}, note("opening"))]
        one, two, alien = fill("1", "BUY", 5, 1_000, fee=3), fill("2", "BUY", 5, 1_100), fill("3", "BUY", 5, 7)
        for each in (one, two):
            effect = book.apply_fill(each, strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            ledger.append(effect.ledger)
        bookings += [each.booking for each in book.book_external(alien, actor="rule", reason="")]
        for taken in (one, alien, fill("9", "BUY", 1, 1)):
            back = book.reverse(bust(taken))
            bookings += [back.booking] if back is not None else []
        state = book.export_state()
        more = book.deposit(D(50), note("c-1"), weights=BALANCED, remainder=Pool.SCALP)
        bookings += [each.booking for each in more]
        moved = transfer("t-1", Pool.SCALP, Pool.SWING, 5)
        book.transfer(moved)
        late = book.apply_fill(fill("9", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        assert late is not None
        assert late.reversal is not None
        # When it is rolled forward from the state of before the deposit
        again = account()
        again.roll_forward(
            state,
            ledger=[*ledger, late.ledger],
            transfers=[moved],
            bookings=[*bookings, late.reversal.booking],
        )
        # Then it is the same in every part
        assert again.export_state() == book.export_state()
        assert again.position_rows() == book.position_rows()
        assert again.external.costs() == book.external.costs()
        assert (again.deposits_total, again.fees_total) == (50, 0)
        # And the waiting reversal is back in the state of before
        before = account()
        before.import_state(state, ledger=ledger, bookings=bookings[: state["bookings"]])
        assert before.has_reversed(bust(fill("9", "BUY", 1, 1)))
        assert before.export_state() == state

    def test_rows_that_do_not_fit_are_refused(self) -> None:
        book = account()
        one = fill("1", "BUY", 5, 1_000)
        effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        back = book.reverse(bust(one))
        assert effect is not None
        assert back is not None
        state = book.export_state()
        with pytest.raises(StorageError, match="bookings = 0, the checkpoint says 1"):
            account().import_state(state, ledger=[effect.ledger])
        other = msgspec.structs.replace(back.booking, reference="2")
        with pytest.raises(StorageError, match="execution 2 names no booked fill"):
            account().import_state(state, ledger=[effect.ledger], bookings=[other])
        state["external"]["cash"] = "5"
        with pytest.raises(StorageError, match="cash of EXTERNAL = 0"):
            account().import_state(state, ledger=[effect.ledger], bookings=[back.booking])
        with pytest.raises(StateError, match="fresh account"):
            book.import_state(state, ledger=[])


def test_cash_that_the_broker_gained_by_nothing_that_is_booked_is_of_external() -> None:
    # Given a book that has adopted an account with 1,000 beside our pools
    book = account()
    book.adopt(D(1_001_000), {}, note("opening"))

    # When its cash is 300 more, then 500 less
    assert book.follow_external_cash(D(0), note("d-0")) is None
    for reference, change in (("d-1", D(300)), ("d-2", D(-500))):
        assert book.follow_external_cash(change, note(reference)) is not None
        assert book.follow_external_cash(change, note(reference)) is None  # each once

    # Then that is EXTERNAL's, and known by its reference
    assert (book.external.cash, book.cash) == (800, 1_000_000)
    assert book.has_noted(BookingKind.WITHDRAWAL, note("d-2"))
    assert not book.has_noted(BookingKind.WITHDRAWAL, note("d-1"))


def test_a_strategy_has_a_pool_from_its_first_fill_on() -> None:
    book = account()
    assert book.pool_of("ema") is None
    book.apply_fill(fill("1", "BUY", 2, 100), strategy="ema", pool=Pool.SWING)
    assert book.pool_of("ema") is Pool.SWING
