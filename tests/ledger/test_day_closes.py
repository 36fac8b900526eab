"""Closing days: opening balances, and late news of closed days: the book is as if no day had been closed."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import StateError, StorageError
from qts.execution.contracts import Fill
from qts.ledger.account import Account
from qts.ledger.audit import ProvenRows
from qts.ledger.bookings import booking_row
from qts.ledger.close_check import differing_closes
from qts.ledger.closes import BookMarks, DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import BookingKind, FillEffect, TransferOutcome
from qts.ledger.fills import FillId
from qts.market.actions import Dividend, Split

from .book import BALANCED, SAMSUNG, account, at, bust, claims_of, fill, note, order, transfer
from .past import Closing, Shelf

HYNIX = "000660"
POOL_OF = {"ema": Pool.SCALP, "turtle": Pool.SWING}
FIFTEEN_MINUTES = 900 * 10**9
DAY = 86_400 * 10**9


class Books:
    """A book whose days are closed, its rows, and one that is told the same and never closed."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.closing = Closing(self.shelf)
        self.closed, self.open = account(), account()
        self.closed.read_past_with(self.shelf)

    def tell(self, what: str, one: object) -> None:
        for book in (self.closed, self.open):
            rows = told(book, what, one)
            if book is self.closed:
                for row in rows:
                    self.keep(row)

    def keep(self, row: object) -> None:
        kind = type(row).__name__
        kept = {"LedgerRow": self.shelf.ledger, "ActionRow": self.shelf.actions, "BookingRow": self.shelf.bookings}
        if kind in kept:
            kept[kind].append(row)  # type: ignore[attr-defined]
        elif isinstance(row, str):
            self.shelf.transfers.append(row)

    def close(self, *, stored: bool = True) -> None:
        self.closing.begin(self.closed)
        if stored:
            self.closed.finish_close()

    def restart(self) -> None:
        """Begin the closed book again with its newest opening balances and the rows since."""
        opening = self.shelf.opening()
        marks = BookMarks() if opening is None else opening.close.marks
        again = account()
        again.read_past_with(self.shelf)
        again.import_state(
            self.closed.export_state(),
            ledger=self.shelf.ledger[marks.fills :],
            actions=self.shelf.actions[marks.actions :],
            bookings=self.shelf.bookings[marks.bookings :],
            opening=opening,
        )
        self.closed = again

    def are_the_same(self) -> None:
        assert self.closed.export_state() == self.open.export_state()
        assert self.closed.pools(at(777), BALANCED) == self.open.pools(at(777), BALANCED)
        assert self.closed.position_rows() == self.open.position_rows()
        assert self.closed.pool_rows() == self.open.pool_rows()
        assert self.closed.external.costs() == self.open.external.costs()
        assert self.closed.external.realized == self.open.external.realized
        for row in self.open.position_rows():
            cost = self.open.average_cost(row.strategy, row.symbol)
            assert self.closed.average_cost(row.strategy, row.symbol) == cost
        for name in (
            "fees",
            "taxes",
            "dividends",
            "dividend_taxes",
            "fractions",
            "deposits",
            "withdrawals",
            "contributions",
        ):
            assert getattr(self.closed, f"{name}_total") == getattr(self.open, f"{name}_total")


def told(book: Account, what: str, one: object) -> list[object]:
    """Tell ``book`` one piece of news; return the rows that it leaves."""
    if what == "deposit":
        effects = book.deposit(D(5_001), note("d"), weights=BALANCED, remainder=Pool.SCALP)
        return [effect.booking for effect in effects]
    if what == "fee":
        row = booking_row(BookingKind.FEE, "main", note("f"), Pool.SCALP, fee=D(13), day="1970-01-01")
        effect = book.book(row)
        return [] if effect is None else [effect.booking]
    assert isinstance(one, Fill)
    if what == "bust":
        taken = book.reverse(bust(one))
        return [] if taken is None else [taken.booking]
    if what == "by hand":
        return [effect.booking for effect in book.book_external(one, actor="rule", reason="")]
    filled = book.apply_fill(one, strategy=what, pool=POOL_OF[what])
    if filled is None:
        return []
    return [filled.ledger] if filled.reversal is None else [filled.ledger, filled.reversal.booking]


FILLS = st.lists(
    st.tuples(
        st.sampled_from(["by hand", *sorted(POOL_OF)]),
        st.sampled_from([SAMSUNG, HYNIX]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 40),
        st.integers(1, 5_000),
        st.integers(0, 60),
        st.integers(0, 5),
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(FILLS, st.sets(st.integers(0, 13)), st.integers(0, 2**32))
def test_a_book_whose_days_are_closed_is_the_one_that_never_is(
    fills: list[tuple[str, str, str, int, int, int, int]], taken_back: set[int], seed: int
) -> None:
    # Given fills of a few days of ours and of others, some taken back, a deposit and a true-up, in any order, some
    # of them twice
    news: list[tuple[str, object]] = [("deposit", None), ("fee", None)]
    for number, (owner, symbol, side, qty, price, charge, day) in enumerate(fills):
        ts = day * DAY + number % 3
        one = fill(str(number), side, qty, price, fee=charge, tax=charge // 2, symbol=symbol, ts=ts)
        news.append((owner, one))
        if number in taken_back:
            news.append(("bust", one))
    news += news[::2]
    rng = random.Random(seed)
    rng.shuffle(news)
    # When days are closed at any places, some closes are stored late, and the session restarts now and then
    books = Books()
    for what, one_ in news:
        books.tell(what, one_)
        place = rng.random()
        if place < 0.4:
            books.close(stored=place < 0.3)
        elif place < 0.5:
            books.restart()
        # Then the book is the one that never was closed
        books.are_the_same()


def bought(books: Books, execution_id: str = "x-1", *, ts: int = 0, price: int = 1_000) -> Fill:
    one = fill(execution_id, "BUY", 10, price, fee=3, ts=ts)
    books.tell("ema", one)
    return one


def test_a_closed_day_is_a_balance_in_memory_and_its_fills_are_in_the_store() -> None:
    # Given a day with two buys of 10 shares at 1,000 and 1,200, for a fee of 3 each
    books = Books()
    first = bought(books)
    bought(books, "x-2", price=1_200)

    # When it is closed
    rows = books.closing.begin(books.closed)
    books.closed.finish_close()

    # Then its rows are what stood at the close: 400,000 − 22,006 of cash, 20 shares that cost 22,000
    close, holding = rows
    assert (close.marks, close.scalp_cash, close.fees) == (BookMarks(fills=2), D(377_994), D(6))  # type: ignore[union-attr]
    assert (holding.strategy, holding.qty, holding.cost) == ("ema", 20, 22_000)  # type: ignore[union-attr]
    # And memory holds neither the fills nor their keys
    booked = books.closed._booked
    assert (len(booked.fills), len(books.closed._holdings["ema", SAMSUNG]._steps)) == (0, 0)
    assert (books.closed.fills_applied, books.closed.average_cost("ema", SAMSUNG)) == (2, D(1_100))
    # And a duplicate is found in the store, and booked never again
    assert books.closed.has_booked(first)
    assert books.closed.apply_fill(first, strategy="ema", pool=Pool.SCALP) is None


def test_a_fill_of_a_later_date_than_any_closed_one_is_new_without_a_look_into_the_store() -> None:
    books = Books()
    bought(books)
    books.close()
    bought(books, "x-2", ts=DAY)
    assert books.shelf.asked == 0


def test_a_close_has_the_holdings_that_changed_since_the_one_before() -> None:
    # Given a close after buys of two symbols
    books = Books()
    bought(books)
    books.tell("ema", fill("x-2", "BUY", 1, 500, symbol=HYNIX))
    assert [getattr(row, "symbol", "") for row in books.closing.begin(books.closed)] == ["", SAMSUNG, HYNIX]
    # When only one of them is traded, and then none
    bought(books, "x-3", ts=DAY)
    assert [getattr(row, "symbol", "") for row in books.closing.begin(books.closed)] == ["", SAMSUNG]
    assert not books.closed.has_news
    assert len(books.closing.begin(books.closed)) == 1


def test_a_late_fill_values_the_closed_ones_again_and_the_closed_rows_stay() -> None:
    # Given a closed day: 10 bought at 1,000 and 10 sold at 1,500 for 5,000
    books = Books()
    bought(books)
    books.tell("ema", fill("x-2", "SELL", 10, 1_500, ts=20))
    books.close()
    before = list(books.shelf.closes)

    # When a buy of 10 at 1,200 between the two is reported ten days late
    late = fill("x-3", "BUY", 10, 1_200, ts=10)
    effect = books.closed.apply_fill(late, strategy="ema", pool=Pool.SCALP)

    # Then the sale has cost 1,100 a share: 1,000 less was earned, as an entry of today
    assert isinstance(effect, FillEffect)
    assert (effect.late, effect.ledger.realized_pnl, effect.position.cost) == (True, D(-1_000), D(11_000))
    assert books.shelf.closes == before
    # And the next day opens with it
    books.keep(effect.ledger)
    books.close()
    opening = books.shelf.opening()
    assert opening is not None
    assert (opening.close.scalp_realized, opening.holdings[0].cost) == (D(3_997), D(11_000))


def test_a_fill_of_a_closed_day_is_taken_back() -> None:
    # Given a closed day and one after it
    books = Books()
    first = bought(books)
    bought(books, "x-2", price=1_200)
    books.close()
    bought(books, "x-3", ts=DAY, price=1_300)
    books.close()

    # When the broker takes the first back, and says so twice
    books.tell("bust", first)
    books.tell("bust", first)

    # Then 20 shares are left that cost 25,000, and it is taken back once
    assert (books.closed.holding("ema", SAMSUNG), books.closed.average_cost("ema", SAMSUNG)) == (20, 1_250)
    books.are_the_same()
    books.close()
    assert books.closed.has_reversed(bust(first))
    books.tell("bust", first)
    books.are_the_same()


def test_what_was_booked_on_a_closed_day_counts_once() -> None:
    # Given a split, a dividend, a transfer, a deposit and a true-up of a closed day
    books = Books()
    bought(books)
    split, dividend = Split(SAMSUNG, date(2018, 5, 4), D(2), D(1)), Dividend(SAMSUNG, date(2018, 5, 5), D(10))
    moved = transfer("t-1", Pool.SCALP, Pool.SWING, 100)

    def untaxed(amount: D) -> D:
        return D(0)

    for book in (books.closed, books.open):
        effects = (*book.apply_split(split, ts_ns=1, lot=D(1), price=D(1_000)),)
        paid = book.pay_dividend(dividend, ts_ns=2, tax=untaxed)
        assert book.transfer(moved) is TransferOutcome.APPLIED
        if book is books.closed:
            books.shelf.actions += [one.action for one in (*effects, *paid)]
            books.shelf.transfers.append("t-1")
    books.tell("deposit", None)
    books.tell("fee", None)
    books.close()

    # When all of it is told again
    books.tell("deposit", None)
    books.tell("fee", None)
    book = books.closed
    assert book.apply_split(split, ts_ns=1, lot=D(1), price=D(1_000)) == ()
    assert book.pay_dividend(dividend, ts_ns=2, tax=untaxed) == ()
    assert book.transfer(moved) is TransferOutcome.SEEN_BEFORE

    # Then nothing has changed
    books.are_the_same()
    with pytest.raises(StateError, match="before anything else"):
        book.adopt(D(10**7), {}, note("opening"))


class Unreadable(Shelf):
    def execution(self, fill: FillId) -> None:
        raise StorageError("the disk does not answer")

    def has_reversed(self, fill: FillId) -> bool:
        raise StorageError("the disk does not answer")


def test_what_cannot_be_looked_up_is_not_new_and_changes_nothing() -> None:
    # Given a closed day, whose store cannot be read any more
    books = Books()
    one = bought(books)
    books.close()
    books.closed.read_past_with(Unreadable())
    before = books.closed.export_state()

    # When news of it comes
    for news in (one, fill("x-9", "BUY", 1, 900)):
        with pytest.raises(StorageError, match="does not answer"):
            books.closed.apply_fill(news, strategy="ema", pool=Pool.SCALP)
        with pytest.raises(StorageError, match="does not answer"):
            books.closed.book_external(news, actor="rule", reason="")
        with pytest.raises(StorageError, match="does not answer"):
            books.closed.reverse(bust(news))

    # Then nothing is booked, and nothing is taken for known
    assert books.closed.export_state() == before


def test_a_store_that_has_lost_a_fill_of_a_closed_day_is_refused() -> None:
    # Given a closed day of two fills, one of which is gone from the store
    books = Books()
    bought(books)
    bought(books, "x-2", ts=2)
    books.close()
    del books.shelf.ledger[0]

    # When a fill between them arrives late
    with pytest.raises(StorageError, match=r"the stored rows give 10 shares .* the opening has 20"):
        books.closed.apply_fill(fill("x-3", "BUY", 1, 900, ts=1), strategy="ema", pool=Pool.SCALP)


def test_closed_facts_without_a_store_to_read_them_from_are_a_defect() -> None:
    book = account()
    book.apply_fill(fill("x-1", "BUY", 1, 900), strategy="ema", pool=Pool.SCALP)
    book.begin_close("2026-01-02", 5, equity=D(1))
    book.finish_close()
    with pytest.raises(StateError, match="no store is given"):
        book.has_booked(fill("x-1", "BUY", 1, 900))


def test_a_day_is_closed_once_and_in_order() -> None:
    book = account()
    book.begin_close("2026-01-02", 5, equity=D(1))
    for day in ("2026-01-02", "2026-01-01"):
        with pytest.raises(StateError, match="2026-01-02 is"):
            book.begin_close(day, 6, equity=D(1))


def differences(books: Books) -> list[str]:
    shelf = books.shelf
    closes = [row for row in shelf.closes if isinstance(row, DayCloseRow)]
    holdings = [row for row in shelf.closes if isinstance(row, HoldingCloseRow)]
    facts = (shelf.ledger, shelf.actions, [], shelf.bookings)
    return [
        f"{one.subject}: {one.stored}, {one.summed}"
        for one in differing_closes(books.open.initial, closes, holdings, *facts)
    ]


def closed_twice() -> Books:
    """A buy, by hand and ours, a close, a late fill, a bust and a deposit, and a close."""
    books = Books()
    first = bought(books)
    books.tell("by hand", fill("x-9", "SELL", 2, 900, ts=5))
    books.close()
    books.tell("ema", fill("x-2", "SELL", 4, 1_300, fee=2, tax=1, ts=DAY))
    books.tell("ema", fill("x-3", "BUY", 10, 1_200, ts=10))
    books.tell("bust", first)
    books.tell("deposit", None)
    books.close()
    return books


def test_closes_are_what_their_rows_add_up_to() -> None:
    books = closed_twice()
    assert differences(books) == []
    books.are_the_same()


@pytest.mark.parametrize(
    ("place", "changes", "told"),
    [
        (0, {"scalp_cash": D(1)}, "close of 2026-01-02, cash of SCALP: 1, 389997"),
        (0, {"fees": D(4)}, "close of 2026-01-02, fees: 4, 3"),
        (0, {"newest_trade_date": "1969-12-31"}, "close of 2026-01-02, newest trade date: 1969-12-31, 1970-01-01"),
        (3, {"contributed_value": D(1)}, "close of 2026-01-03, contributed value: 1, 0"),
        (1, {"qty": D(11)}, "close of 2026-01-02, ema 005930, shares: 11, 10"),
        (2, {"cost": D(0)}, "close of 2026-01-02, EXTERNAL 005930, cost: 0, -1800"),
        (3, {"external_cash": D(0)}, "close of 2026-01-03, cash of EXTERNAL: 0, 1800"),
        (3, {"fills": 9}, "close of 2026-01-03, rows: (9, 0, 0, 5), (3, 0, 0, 5)"),
        (1, {"day": "2026-01-09"}, "close of 2026-01-02, ema 005930: nothing, 10 shares that cost 10000"),
    ],
)
def test_a_close_that_its_rows_do_not_give_is_named(place: int, changes: dict[str, object], told: str) -> None:
    books = closed_twice()
    books.shelf.closes[place] = msgspec.structs.replace(books.shelf.closes[place], **changes)
    assert differences(books)[0] == told


def split_both(books: Books) -> None:
    """Book a split of 2:1 and a dividend of 10 a share in both books, at 5 and 6 ns."""
    split, dividend = Split(SAMSUNG, date(2018, 5, 4), D(2), D(1)), Dividend(SAMSUNG, date(2018, 5, 5), D(10))
    for book in (books.closed, books.open):
        effects = book.apply_split(split, ts_ns=5, lot=D(1), price=D(1_000))
        paid = book.pay_dividend(dividend, ts_ns=6, tax=lambda amount: D(1))
        if book is books.closed:
            books.shelf.actions += [one.action for one in (*effects, *paid)]


def test_a_late_fill_from_before_a_split_of_a_closed_day_is_put_before_it() -> None:
    books = Books()
    bought(books)
    split_both(books)
    books.close()
    books.tell("ema", fill("x-2", "BUY", 10, 1_200, ts=2))
    books.are_the_same()
    books.close()
    assert differences(books) == []


def test_a_late_fill_from_before_shares_were_taken_over_on_a_closed_day_is_put_before_them() -> None:
    # Given shares of EXTERNAL that a strategy has taken over, on a day that is closed
    books = Books()
    bought(books, ts=1)
    books.tell("by hand", fill("x-9", "BUY", 6, 900, ts=2))
    for book in (books.closed, books.open):
        effects = book.take_over(SAMSUNG, D(4), note("c-1", 3), strategy="ema", pool=Pool.SCALP, price=D(1_000))
        if book is books.closed:
            books.shelf.bookings += [one.booking for one in effects]
    books.close()
    # When a fill of ours, and one by hand, of before that arrive late
    books.tell("ema", fill("x-2", "SELL", 2, 1_300, ts=2))
    books.tell("by hand", fill("x-8", "SELL", 1, 950, ts=1))
    # Then both books are the same, and so are the closes and their rows
    books.are_the_same()
    books.close()
    assert differences(books) == []
    # And what the 4 shares were worth then is part of them
    assert [row.contributed_value for row in books.shelf.closes if isinstance(row, DayCloseRow)] == [4_000, 4_000]


def test_a_fill_that_was_taken_back_before_the_close_does_not_count_in_what_is_read_again() -> None:
    books = Books()
    first = bought(books, ts=1)
    bought(books, "x-2", price=1_200, ts=3)
    books.tell("bust", first)
    books.close()
    del books.shelf.ledger[0]  # as it does not count, what is left leads to the opening
    books.shelf.ledger.insert(0, books.shelf.ledger[0])
    books.shelf.ledger[0] = msgspec.structs.replace(books.shelf.ledger[0], symbol=HYNIX)
    books.tell("ema", fill("x-3", "BUY", 1, 900, ts=2))
    assert books.closed.holding("ema", SAMSUNG) == 11


def test_closes_count_transfers_withdrawals_and_adjustments() -> None:
    # Given a transfer of 100, a withdrawal of 50, interest of 7 and a dividend
    book, shelf = account(), Shelf()
    moved = transfer("t-1", Pool.SCALP, Pool.SWING, 100)
    book.transfer(moved)
    effects = book.withdraw(D(50), note("w"), weights={Pool.SWING: D(1)}, remainder=Pool.SWING)
    assert effects is not None
    interest = book.book(booking_row(BookingKind.ADJUSTMENT, "main", note("i"), Pool.PORTFOLIO, amount=D(7)))
    assert interest is not None
    bookings = [*(one.booking for one in effects), interest.booking]
    close, *holdings = Closing(shelf).begin(book)
    assert isinstance(close, DayCloseRow)
    # When the close is held against its rows
    facts = ([], [], [moved], bookings)
    assert list(differing_closes(book.initial, [close], [], *facts)) == []
    assert (close.withdrawals, close.adjustments, holdings) == (50, 7, [])
    # Then a holding at a close that was never made is named
    stray = HoldingCloseRow("main", "2026-09-09", Pool.SCALP, "ema", SAMSUNG, *[D(1)] * 4, 0, "", "", "")
    (found,) = differing_closes(book.initial, [close], [stray], *facts)
    assert found.subject == "holdings at the close of 2026-09-09"


def test_the_newest_close_is_known_before_its_rows_are_stored() -> None:
    book = account()
    assert book.last_close is None
    (close,) = book.begin_close("2026-01-02", 5, equity=D(1))
    assert book.last_close is close


def test_an_audit_begins_with_opening_balances_and_judges_what_came_since() -> None:
    # Given two closed days, with a holding that is flat, one of EXTERNAL, and an order that is open
    books = closed_twice()
    books.tell("turtle", fill("y-1", "BUY", 1, 500, symbol=HYNIX, ts=DAY + 1))
    books.tell("turtle", fill("y-2", "SELL", 1, 500, symbol=HYNIX, ts=DAY + 2))
    books.close()
    opening = books.shelf.opening()
    assert opening is not None
    working = order("o-9", "BUY", 10, state="WORKING", filled=0)
    proven = ProvenRows(books.open.initial, D(1), opening, [working])
    assert proven.approvals_of_open_orders() == {"a-o-9": "o-9"}

    # When a fill comes after them
    before = len(books.shelf.ledger)
    books.tell("ema", fill("x-5", "BUY", 2, 1_500, order="o-9", ts=2 * DAY))
    new = books.shelf.ledger[before:]
    changed = order("o-9", "BUY", 10, state="PARTIAL", filled=2)

    # Then the audit of it alone finds the book sound, and a wrong one not
    for book, findings in ((books.closed, []), (account(), ["cash"])):
        result = proven.closed().audit(
            ledger=new, transfers=[], orders=[changed], claims=claims_of(book, at(777)), mark=at(777)
        )
        assert [one.subject for one in result.findings if one.subject == "cash"] == findings
        assert result.ok is (not findings)
