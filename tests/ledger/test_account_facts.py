"""What the account says of its facts and takes of them, to the won and to the nanosecond."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.errors import ContractError, StorageError
from qts.execution.contracts import VenueRef
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account, Execution
from qts.ledger.bookings import booking_row
from qts.ledger.contracts import BookingKind
from qts.market.actions import Split
from qts.pipeline.left_there import left_there
from qts.strategy.contracts import Side

from .book import BALANCED, SAMSUNG, account, at, bust, fill, note, order, transfer
from .past import Closing, Shelf
from .test_bookings import pools_of

HYNIX = "000660"
DAY_NS = 86_400 * 10**9
SPLIT_DAY = date(2018, 5, 4)


def adopted(cash: int = 1_500_000, *, qty: int = 7, cost: str = "350000", ts: int = 0) -> Account:
    """A million won in the pools; the rest of ``cash`` and shares that are EXTERNAL."""
    book = account()
    book.adopt(D(cash), {SAMSUNG: (D(qty), D(cost))}, note("opening", ts))
    return book


class TestOfOrders:
    def test_a_reservation_gives_the_strategy_its_pool(self) -> None:
        book = account()
        assert book.reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(1), D(10), D(11))
        assert book.pool_of("ema") is Pool.SCALP

    def test_the_executions_of_an_order_are_those_that_were_not_taken_back_by_time(self) -> None:
        # Given three executions of a sale, one of them taken back, and one of another order
        book = account()
        reports = [
            fill("2", "SELL", 2, 1_200, ts=20),
            fill("1", "SELL", 3, 1_100, ts=10),
            fill("3", "SELL", 4, 1_300, ts=30),
            fill("4", "SELL", 5, 1_400, ts=40, order="o-2"),
        ]
        for one in reports:
            book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        book.reverse(bust(reports[2]))
        # Then they are told with quantities above 0
        assert book.executions("ema", SAMSUNG, "o-1", 0) == [
            Execution("1", 10, D(3), D(1_100)),
            Execution("2", 20, D(2), D(1_200)),
        ]
        assert book.executions("ema", HYNIX, "o-1", 0) == []

    def test_those_of_orders_of_others_are_told_alike(self) -> None:
        book = account()
        for number, side, name in (("1", "SELL", "a"), ("2", "BUY", "b"), ("3", "SELL", "c")):
            one = fill(number, side, 2, 1_000, ts=int(number), order=name)
            book.book_external(one, actor="rule", reason="")
        assert book.external_executions(SAMSUNG, {"a", "b"}, 0) == [
            Execution("1", 1, D(2), D(1_000)),
            Execution("2", 2, D(2), D(1_000)),
        ]
        assert book.external_executions(HYNIX, {"a"}, 0) == []

    @pytest.mark.parametrize("ours", [True, False])
    def test_of_a_closed_day_they_are_read_again_where_they_may_be_asked_for(self, ours: bool) -> None:
        # Given a purchase at 5, whose day is closed, and one at 9
        shelf, book = Shelf(), account()
        book.read_past_with(shelf)
        first, second = fill("1", "BUY", 1, 1_000, ts=5), fill("2", "BUY", 1, 1_000, ts=9)
        if ours:
            effect = book.apply_fill(first, strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            shelf.ledger.append(effect.ledger)
        else:
            shelf.bookings += [one.booking for one in book.book_external(first, actor="rule", reason="")]
        Closing(shelf).begin(book)
        book.finish_close()
        held = book.held("ema", SAMSUNG) if ours else book.external.holding(SAMSUNG)
        assert held is not None

        def asked(since_ns: int) -> list[int]:
            if ours:
                found = book.executions("ema", SAMSUNG, "o-1", since_ns)
            else:
                found = book.external_executions(SAMSUNG, {"o-1"}, since_ns)
            return [one.ts_ns for one in found]

        # When an order of 6 is asked for, nothing of before is read; of 5 or before it is
        assert (asked(6), held.opening is None) == ([], False)
        assert (asked(5), held.opening is None) == ([5], True)
        # And what comes after needs no opening
        if ours:
            book.apply_fill(second, strategy="ema", pool=Pool.SCALP)
        else:
            book.book_external(second, actor="rule", reason="")
        assert asked(0) == [5, 9]

    def test_an_order_is_overfilled_by_what_is_left_when_the_broker_took_back(self) -> None:
        # Given an order of 10 that is said to have filled 12
        book = account()
        reports = [fill("1", "BUY", 10, 1_000, ts=1), fill("2", "BUY", 2, 1_000, ts=2)]
        for one in reports:
            book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        over = order("o-1", "BUY", 10, state="FILLED", filled=12)
        assert book.is_overfilled(over)
        # When the 2 are taken back
        book.reverse(bust(reports[1]))
        # Then it is not; and what is said to have filled no more than ordered never is
        assert not book.is_overfilled(over)
        assert not book.is_overfilled(order("o-1", "BUY", 9, state="FILLED", filled=9))

    def test_a_fill_without_an_id_or_without_an_order_has_no_identity(self) -> None:
        book = account()
        assert book.identity_of(fill("", "BUY", 1, 1, ts=1)) is None
        assert book.identity_of(fill("1", "BUY", 1, 1, order="", ts=1)) is None
        # Nor has one that names the order by what the broker calls it, until the session has given it ids
        told = replace(fill("", "BUY", 1, 1, ts=1), ref=VenueRef("1970-01-01", "7", "sim"))
        assert book.identity_of(told) is None
        assert book.identity_of(fill("1", "BUY", 1, 1, ts=1)) is not None


class TestQuestions:
    def test_what_a_strategy_holds_is_named(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("2", "BUY", 1, 1, symbol=HYNIX), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("3", "SELL", 1, 1, symbol=HYNIX, ts=1), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("4", "BUY", 1, 1, symbol=HYNIX), strategy="turtle", pool=Pool.SWING)
        assert (book.held_by("ema"), book.held_by("turtle"), book.held_by("none")) == ([SAMSUNG], [HYNIX], [])

    @pytest.mark.parametrize(
        ("by_others", "missing"),
        [(("SELL", 4), 4), (("SELL", 10), 10), (("SELL", 11), 10), (("BUY", 4), 0), (("SELL", 1), 1)],
    )
    def test_of_what_we_hold_others_can_have_sold_no_more_than_that(
        self, by_others: tuple[str, int], missing: int
    ) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 10, 1_000), strategy="ema", pool=Pool.SCALP)
        book.book_external(fill("2", *by_others, 1_000, order="by hand"), actor="rule", reason="")
        assert book.sold_by_others(SAMSUNG) == missing

    def test_what_one_strategy_has_sold_too_much_is_missing_for_the_others(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 24, 1_000), strategy="ema", pool=Pool.SCALP)
        assert book.short_of(SAMSUNG) == 0
        book.apply_fill(fill("2", "SELL", 4, 1_000), strategy="turtle", pool=Pool.SWING)
        assert book.short_of(SAMSUNG) == 4
        assert left_there(book, WorkingOrders(), SAMSUNG) == 20

    def test_where_nothing_is_held_others_have_sold_nothing_of_ours(self) -> None:
        book = account()
        assert book.sold_by_others(SAMSUNG) == 0
        book.apply_fill(fill("1", "SELL", 10, 1_000), strategy="ema", pool=Pool.SCALP)
        book.book_external(fill("2", "SELL", 4, 1_000, order="by hand"), actor="rule", reason="")
        assert book.sold_by_others(SAMSUNG) == 0

    def test_the_exposure_of_a_symbol_counts_short_holdings_like_long_ones(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 3, 1_000), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("2", "SELL", 2, 1_000), strategy="turtle", pool=Pool.SWING)
        assert book.symbol_exposure(SAMSUNG, at(1_100)) == 5 * 1_100

    def test_what_has_no_mark_is_named_in_order(self) -> None:
        book = account()
        symbols = [f"{number:06}" for number in range(12)]
        for number, symbol in enumerate(reversed(symbols)):
            book.apply_fill(fill(str(number), "BUY", 1, 1, symbol=symbol), strategy="ema", pool=Pool.SCALP)
        assert book.unmarked(at(None)) == tuple(symbols)

    def test_what_was_paid_in_is_less_what_was_withdrawn(self) -> None:
        book = account()
        book.withdraw(D(100_000), note("c-1"), weights=BALANCED, remainder=Pool.SCALP)
        assert book.capital_paid_in == 900_000

    def test_a_symbol_has_changed_until_its_values_were_seen(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        assert book.changed == {SAMSUNG}
        book.changed.clear()
        book.apply_fill(fill("2", "BUY", 1, 1, ts=2), strategy="ema", pool=Pool.SCALP)
        assert book.changed == {SAMSUNG}


class TestExternal:
    @pytest.mark.parametrize("qty", [D(0), D(-1), D("NaN")])
    def test_an_execution_that_is_none_is_refused_before_anything_changes(self, qty: D) -> None:
        book = account()
        with pytest.raises(ContractError):
            book.book_external(replace(fill("1", "BUY", 1, 1), qty=qty), actor="rule", reason="")
        assert (book.external.positions(), book.bookings_applied) == ({}, 0)

    def test_while_one_reversal_waits_other_fills_are_booked_as_they_come(self) -> None:
        book, waited = account(), fill("9", "BUY", 1, 1_000)
        assert book.reverse(bust(waited)) is None
        effect = book.apply_fill(fill("1", "BUY", 1, 1_000), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        assert (effect.reversal, book.holding("ema", SAMSUNG)) == (None, 1)

    def test_our_own_fill_of_before_the_opening_can_be_taken_back(self) -> None:
        """It was booked as ours, so it is no part of what the broker had."""
        book = adopted(ts=DAY_NS)
        late = fill("1", "BUY", 1, 1_000, ts=DAY_NS - 1)
        assert book.has_booked(late)
        book._booked.fills.clear()
        ours = account()
        ours.apply_fill(late, strategy="ema", pool=Pool.SCALP)
        ours._opened_on = "1970-01-02"
        assert ours.why_irreversible(bust(late)) == ""
        assert "from before the account was adopted" in book.why_irreversible(bust(late))

    def test_a_pool_pays_no_withdrawal_with_cash_of_external(self) -> None:
        # Given SCALP with 400,000 won and EXTERNAL with 500,000
        book = adopted()
        row = booking_row(BookingKind.WITHDRAWAL, "main", note("c"), Pool.SCALP, amount=D(-400_001))
        with pytest.raises(ContractError, match="of 400000 available"):
            book.book(row)
        assert book.book(replace(row, amount=D(-400_000))) is not None

    def test_a_row_that_is_no_booking_is_refused_by_the_book_too(self) -> None:
        book = account()
        with pytest.raises(ContractError, match="whole units"):
            book.book(booking_row(BookingKind.DEPOSIT, "main", note("c"), Pool.SCALP, amount=D("0.5")))
        assert book.bookings_applied == 0

    def test_shares_that_have_cost_nothing_are_adopted(self) -> None:
        book = adopted(1_000_000, cost="0")
        assert (book.external.positions(), book.external.cost(SAMSUNG)) == ({SAMSUNG: 7}, 0)

    def test_holdings_that_are_none_are_refused_before_anything_changes(self) -> None:
        book = account()
        with pytest.raises(ContractError):
            book.adopt(D(1_500_000), {SAMSUNG: (D("NaN"), D(1))}, note("opening"))
        assert (book.external.cash, book.bookings_applied) == (0, 0)

    def test_the_executions_that_are_in_the_opening_are_exported_in_order(self) -> None:
        book = account()
        known = [fill(str(number), "BUY", 1, 1, order="by hand", ts=5) for number in range(12)]
        book.adopt(D(1_500_000), {}, note("opening", 9), known)
        kept = book.export_state()["adopted"]["executions"]
        assert isinstance(kept, list)
        assert kept == sorted(kept)
        assert len(kept) == 12

    def test_a_booking_beside_our_own_is_replayed_from_its_state(self) -> None:
        state = account().export_state()
        assert (state["quantum"], state["opening"]) == ("1", "1000000")


class TestTakingOver:
    @pytest.mark.parametrize(
        ("theirs", "ours", "told", "booked"), [(9, 3, 5, 10), (3, 12, 5, 13), (3, 4, 20, 20), (0, None, 5, 5)]
    )
    def test_it_comes_a_moment_after_every_fill_of_the_shares(
        self, theirs: int, ours: int | None, told: int, booked: int
    ) -> None:
        book = adopted(ts=theirs)
        if ours is not None:
            book.apply_fill(fill("1", "BUY", 1, 1, ts=ours), strategy="ema", pool=Pool.SCALP)
        effects = book.take_over(SAMSUNG, D(1), note("c", told), strategy="ema", pool=Pool.SCALP, price=D(1))
        assert {one.booking.ts_ns for one in effects} == {booked}

    def test_its_cost_is_whole_quanta_but_where_all_of_it_goes(self) -> None:
        # Given 3 shares that cost 100.004 in a currency of cents
        book = account(quantum="0.01")
        book.adopt(D(1_000_000), {SAMSUNG: (D(3), D("100.004"))}, note("opening"))
        # When one is taken over, it has cost 33.33; of the two that are left one 66.674 / 2 = 33.34
        for number, cost in ((1, "33.33"), (2, "33.34"), (3, "33.334")):
            taken = book.take_over(SAMSUNG, D(1), note(str(number)), strategy="ema", pool=Pool.SCALP, price=D(1))
            assert taken[1].booking.cost == D(cost)
        assert (book.external.positions(), book.external.cost(SAMSUNG)) == ({}, 0)

    def test_at_no_price_nothing_is_taken_over(self) -> None:
        book = adopted()
        with pytest.raises(ContractError, match="wrong sign"):
            book.take_over(SAMSUNG, D(1), note("c"), strategy="ema", pool=Pool.SCALP, price=D(0))
        assert book.external.positions() == {SAMSUNG: 7}


class TestExternalCash:
    def test_all_of_it_may_become_ours_and_what_leaves_is_a_withdrawal_of_external(self) -> None:
        book = adopted()
        effects = book.move_external_cash(D(500_000), note("c-1"), weights=BALANCED, remainder=Pool.SWING)
        assert effects is not None
        assert [(one.booking.kind, one.booking.pool, one.booking.amount) for one in effects] == [
            (BookingKind.DEPOSIT, Pool.SCALP, 200_000),
            (BookingKind.DEPOSIT, Pool.SWING, 175_000),
            (BookingKind.DEPOSIT, Pool.PORTFOLIO, 125_000),
            (BookingKind.WITHDRAWAL, None, -500_000),
        ]
        back = book.move_external_cash(D(-20), note("c-2"), weights=BALANCED, remainder=Pool.SWING)
        assert back is not None
        assert (back[-1].booking.kind, back[-1].booking.amount) == (BookingKind.DEPOSIT, 20)
        assert book.external.cash == 20

    def test_nothing_is_no_amount_to_move(self) -> None:
        with pytest.raises(ContractError, match="withdrawal 'c'"):
            adopted().move_external_cash(D(0), note("c"), weights=BALANCED, remainder=Pool.SWING)

    def test_a_single_won_that_the_broker_gained_came_in(self) -> None:
        effect = adopted().follow_external_cash(D(1), note("c"))
        assert effect is not None
        assert (effect.booking.kind, effect.booking.amount) == (BookingKind.DEPOSIT, 1)


class TestSplitOfExternal:
    def test_the_cost_of_what_stays_is_whole_quanta(self) -> None:
        # Given 10 shares that cost 100.00 in a currency of cents, of which three become one
        book = account(quantum="0.01")
        book.adopt(D(1_000_000), {SAMSUNG: (D(10), D(100))}, note("opening"))
        effect = book.split_external(Split(SAMSUNG, SPLIT_DAY, D(1), D(3)), note("s", 9), lot=D(1), price=D(11))
        # Then the 3 new shares were 9 of the 10, and the tenth is paid at 11.00
        assert effect is not None
        assert (effect.booking.qty, effect.booking.amount, effect.booking.cost) == (-7, 11, -10)
        assert (book.external.cost(SAMSUNG), book.external.cash) == (90, 11)

    def test_the_part_of_a_cost_is_rounded_to_a_cent(self) -> None:
        # Given 10 shares that cost 33.33: of 9 of them it is 29.997
        book = account(quantum="0.01")
        book.adopt(D(1_000_000), {SAMSUNG: (D(10), D("33.33"))}, note("opening"))
        book.split_external(Split(SAMSUNG, SPLIT_DAY, D(1), D(3)), note("s", 9), lot=D(1), price=D(11))
        assert book.external.cost(SAMSUNG) == 30

    def test_one_that_leaves_no_fraction_changes_shares_alone(self) -> None:
        book = adopted()
        effect = book.split_external(Split(SAMSUNG, SPLIT_DAY, D(2), D(1)), note("s", 9), lot=D(1), price=D(9))
        assert effect is not None
        assert (effect.booking.qty, effect.booking.amount, effect.booking.cost) == (7, 0, 0)

    def test_a_fraction_of_what_has_cost_nothing_is_paid(self) -> None:
        # Given one share, of which three halves are made: one is left, and the half is paid
        book = adopted(1_000_000, qty=1, cost="0")
        effect = book.split_external(Split(SAMSUNG, SPLIT_DAY, D(3), D(2)), note("s", 9), lot=D(1), price=D(300))
        assert effect is not None
        assert (effect.booking.qty, effect.booking.amount, effect.booking.cost) == (0, 100, 0)
        assert (book.external.positions(), book.external.cash) == ({SAMSUNG: 1}, 100)
        # And it counts once
        split = Split(SAMSUNG, SPLIT_DAY, D(3), D(2))
        assert book.split_external(split, note("s", 9), lot=D(1), price=D(300)) is None


class TestSplit:
    def test_the_result_of_a_fraction_is_its_own(self) -> None:
        """Not what was earned before: 10 sold of 20 at 1,500 for 5,000, then 10 shares become 3 and a third."""
        book = account()
        book.apply_fill(fill("1", "BUY", 20, 1_000, ts=1), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("2", "SELL", 10, 1_500, ts=2), strategy="ema", pool=Pool.SCALP)
        effects = book.apply_split(Split(SAMSUNG, SPLIT_DAY, D(1), D(3)), ts_ns=3, lot=D(1), price=D(1_200))
        # The tenth share is paid 1,200 for its cost of 1,000
        assert [(one.action.amount, one.action.realized_pnl) for one in effects] == [(1_200, 200)]
        assert (book.fractions_total, book.realized_by_pool[Pool.SCALP]) == (1_200, 5_200)


class TestCloses:
    def test_there_is_news_from_the_first_booking_on(self) -> None:
        book = account()
        assert not book.has_news
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        assert book.has_news
        Closing(Shelf()).begin(book)
        assert not book.has_news

    def test_what_two_closes_cover_is_let_go_when_the_newer_one_is_stored(self) -> None:
        # Given a close of SAMSUNG whose rows are not stored yet, and one of HYNIX behind it
        book, closing = account(), Closing(Shelf())
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        closing.begin(book)
        book.apply_fill(fill("2", "BUY", 1, 1, symbol=HYNIX), strategy="ema", pool=Pool.SCALP)
        closing.begin(book)
        # When the newer one is stored
        book.finish_close()
        # Then neither has steps in memory
        for symbol in (SAMSUNG, HYNIX):
            held = book.held("ema", symbol)
            assert held is not None
            assert held.opening is not None
            assert held.steps_of("o-1") == []

    def test_a_holding_that_changed_before_each_of_two_closes_is_let_go_once(self) -> None:
        book, closing = account(), Closing(Shelf())
        for number in (1, 2):
            book.apply_fill(fill(str(number), "BUY", 1, 1, ts=number), strategy="ema", pool=Pool.SCALP)
            closing.begin(book)
        book.apply_fill(fill("3", "BUY", 1, 1, ts=3), strategy="ema", pool=Pool.SCALP)
        book.finish_close()
        # Then the fill behind both closes is in memory, and nothing before it
        held = book.held("ema", SAMSUNG)
        assert held is not None
        assert [step.key[3] for step in held.steps_of("o-1")] == ["3"]
        assert (held.opening and held.opening.qty, held.qty) == (2, 3)

    def test_a_close_is_finished_once(self) -> None:
        # Given a close that was finished
        book, closing = account(), Closing(Shelf())
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        closing.begin(book)
        book.finish_close()
        # When it is finished again after a fill of the next day, then that stays in memory
        book.apply_fill(fill("2", "BUY", 1, 1, ts=DAY_NS), strategy="ema", pool=Pool.SCALP)
        book.finish_close()
        assert len(book.executions("ema", SAMSUNG, "o-1", DAY_NS)) == 1
        assert book.has_booked(fill("2", "BUY", 1, 1, ts=DAY_NS))


class TestRestart:
    def test_the_opening_stays_divided_as_it_was(self) -> None:
        # Given a book whose opening was divided 40 : 35 : 25
        old = account()
        # When the targets are 100 : 0 : 0 at the restart
        new = account(split={Pool.SCALP: D(1)})
        new.import_state(old.export_state(), ledger=[])
        # Then the pools are what they were
        assert (new.initial, pools_of(new)) == (old.initial, (400_000, 350_000, 250_000))

    def test_a_book_rolls_forward_from_its_opening_balances_over_every_kind_of_row(self) -> None:
        # Given a closed day with a fill, a transfer, a split and a deposit
        shelf, book = Shelf(), account()
        book.read_past_with(shelf)
        ledger, transfers, actions, bookings = [], [], [], []

        def day(number: int) -> None:
            ts = number * DAY_NS
            effect = book.apply_fill(fill(str(number), "BUY", 10, 1_000, ts=ts), strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            ledger.append(effect.ledger)
            transfers.append(transfer(f"t-{number}", Pool.SWING, Pool.SCALP, 100 + number, ts))
            book.transfer(transfers[-1])
            split = Split(SAMSUNG, date(2018, 5, number), D(2), D(1))
            acted = book.apply_split(split, ts_ns=ts + 1, lot=D(1), price=D(500))
            actions.extend(one.action for one in acted)
            paid = book.deposit(D(number), note(f"d-{number}", ts), weights=BALANCED, remainder=Pool.SCALP)
            bookings.extend(one.booking for one in paid)

        day(1)
        shelf.ledger, shelf.actions, shelf.bookings = list(ledger), list(actions), list(bookings)
        Closing(shelf).begin(book)
        book.finish_close()
        opening = shelf.opening()
        assert opening is not None
        marks = opening.close.marks
        # And a checkpoint after a second day, behind which two more are stored
        day(2)
        state = book.export_state()
        day(3)
        day(4)
        # When it is begun again from the opening balances
        again = account()
        again.read_past_with(shelf)
        effects = again.roll_forward(
            state,
            ledger=ledger[marks.fills :],
            transfers=transfers[marks.transfers :],
            actions=actions[marks.actions :],
            bookings=bookings[marks.bookings :],
            opening=opening,
        )
        # Then the book is the same, and the fills behind the checkpoint are told
        assert again.export_state() == book.export_state()
        assert again.position_rows() == book.position_rows()
        assert [one.ledger.execution_id for one in effects] == ["3", "4"]
        assert again.changed == {SAMSUNG}

    def test_a_checkpoint_of_a_version_without_actions_and_bookings_had_none(self) -> None:
        book = account()
        state = {key: value for key, value in book.export_state().items() if key != "actions"}
        effect = book.apply_fill(fill("1", "BUY", 10, 1_000, ts=1), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        (acted,) = book.apply_split(Split(SAMSUNG, SPLIT_DAY, D(2), D(1)), ts_ns=2, lot=D(1), price=D(500))
        paid = book.deposit(D(5), note("d"), weights=BALANCED, remainder=Pool.SCALP)
        again = account()
        again.roll_forward(
            state, ledger=[effect.ledger], actions=[acted.action], bookings=[one.booking for one in paid]
        )
        assert again.export_state() == book.export_state()

    def test_an_opening_says_which_symbols_have_changed(self) -> None:
        shelf, book = Shelf(), account()
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SCALP)
        Closing(shelf).begin(book)
        again = account()
        again.import_state(book.export_state(), ledger=[], opening=shelf.opening())
        assert again.changed == {SAMSUNG}


class TestEffects:
    @pytest.mark.parametrize(
        ("before", "side", "closes"),
        [
            (None, "BUY", False),
            (None, "SELL", False),
            (("BUY", "5"), "BUY", False),
            (("BUY", "5"), "SELL", True),
            (("BUY", "0.5"), "BUY", False),
            (("BUY", "0.5"), "SELL", True),
            (("SELL", "5"), "SELL", False),
            (("SELL", "5"), "BUY", True),
        ],
    )
    def test_a_fill_closes_what_was_held_the_other_way(
        self, before: tuple[str, str] | None, side: str, closes: bool
    ) -> None:
        book = account()
        if before is not None:
            book.apply_fill(fill("1", *before, 1_000, ts=1), strategy="ema", pool=Pool.SCALP)
        effect = book.apply_fill(fill("2", side, "0.25", 1_000, ts=2), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        assert effect.closing is closes

    def test_fee_and_tax_of_what_is_taken_back_come_back(self) -> None:
        book, sale = account(), fill("1", "SELL", 5, 1_300, fee=3, tax=13, ts=1)
        book.apply_fill(sale, strategy="ema", pool=Pool.SCALP)
        effect = book.reverse(bust(sale))
        assert effect is not None
        assert (effect.booking.fee, effect.booking.tax, effect.booking.amount) == (-3, -13, -6_500)
        assert (book.fees_total, book.taxes_total, book.cash) == (0, 0, 1_000_000)

    def test_a_pool_is_of_the_time_of_its_newest_fact(self) -> None:
        book = account()
        book.apply_fill(fill("1", "BUY", 1, 1, ts=9), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("2", "BUY", 1, 1, ts=5), strategy="ema", pool=Pool.SCALP)
        assert book.pool_row(Pool.SCALP).ts_ns == 9

    def test_a_won_of_equity_is_all_of_it(self) -> None:
        book = account("1", split={Pool.SCALP: D(1)})
        assert book.pool(Pool.SCALP, at(1)).allocation_pct == 1

    @pytest.mark.parametrize("ours", [True, False])
    def test_what_is_taken_back_after_its_day_was_closed_is_in_the_next_close(self, ours: bool) -> None:
        # Given a purchase whose day is closed
        shelf, book = Shelf(), account()
        book.read_past_with(shelf)
        one = fill("1", "BUY", 2, 1_000, ts=5)
        if ours:
            effect = book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            shelf.ledger.append(effect.ledger)
        else:
            shelf.bookings += [row.booking for row in book.book_external(one, actor="rule", reason="")]
        closing = Closing(shelf)
        closing.begin(book)
        book.finish_close()
        book.changed.clear()
        # When the broker takes it back
        taken = book.reverse(bust(one))
        assert taken is not None
        # Then its symbol has changed, and the next close says that nothing is held
        assert book.changed == {SAMSUNG}
        _, holding = closing.begin(book)
        assert (holding.symbol, holding.qty) == (SAMSUNG, 0)  # type: ignore[union-attr]


class TestRestored:
    def test_a_strategy_that_only_took_over_shares_has_its_pool(self) -> None:
        book = account()
        effects = book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening"))
        effects += book.take_over(SAMSUNG, D(2), note("c"), strategy="ema", pool=Pool.SCALP, price=D(1))
        again = account()
        again.import_state(book.export_state(), ledger=[], bookings=[one.booking for one in effects])
        assert again.pool_of("ema") is Pool.SCALP
        assert again.position_rows() == book.position_rows()

    def test_a_strategy_that_only_has_an_order_has_its_pool(self) -> None:
        book = account()
        book.reserve("o-1", "ema", Pool.SWING, SAMSUNG, Side.BUY, D(1), D(10), D(11))
        again = account()
        again.import_state(book.export_state(), ledger=[])
        assert again.pool_of("ema") is Pool.SWING

    def test_interest_is_part_of_the_result_that_is_checked(self) -> None:
        book = account()
        effect = book.book(booking_row(BookingKind.ADJUSTMENT, "main", note("i"), Pool.SWING, amount=D(70)))
        assert effect is not None
        again = account()
        again.import_state(book.export_state(), ledger=[], bookings=[effect.booking])
        assert again.adjustments_total == 70

    def test_what_does_not_fit_is_named(self) -> None:
        book = account()
        with pytest.raises(StorageError, match="give fills = 0, the checkpoint says 1"):
            account().import_state(book.export_state() | {"fills": 1}, ledger=[])
        # Given a fill whose result was altered in row and checkpoint alike
        effect = book.apply_fill(fill("1", "BUY", 1, 1_000, fee=3), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        state = book.export_state() | {"realized": {"SCALP": "-4", "SWING": "0", "PORTFOLIO": "0"}}
        with pytest.raises(StorageError, match="give result of all = -3, the checkpoint says -4"):
            account().import_state(state, ledger=[replace(effect.ledger, realized_pnl=D(-4))])
        # And shares of EXTERNAL that the rows do not give
        effects = account().adopt(D(1_500_000), {SAMSUNG: (D(7), D(1))}, note("opening"))
        whole = adopted(cost="1").export_state()
        whole["external"] = whole["external"] | {"positions": {SAMSUNG: "8"}}
        with pytest.raises(StorageError, match="give shares of EXTERNAL = "):
            account().import_state(whole, ledger=[], bookings=[one.booking for one in effects])
