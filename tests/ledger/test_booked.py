"""What the book has in memory of its facts: what a close covers is let go, and nothing else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest

from qts.capital.contracts import Pool
from qts.ledger.account import Account
from qts.ledger.contracts import BookingKind
from qts.market.actions import Split

from .book import BALANCED, SAMSUNG, account, bust, fill, note, transfer
from .past import Closing, Shelf

DAY_NS = 86_400 * 10**9


class Facts:
    """A book that is told one fact of every kind for each number."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.closing = Closing(self.shelf)
        self.book: Account = account()
        self.book.read_past_with(self.shelf)

    def tell(self, number: int) -> None:
        book, ts = self.book, number * DAY_NS
        ours = fill(f"{number}", "BUY", 10, 100, ts=ts)
        effect = book.apply_fill(ours, strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        self.shelf.ledger.append(effect.ledger)
        book.transfer(transfer(f"t-{number}", Pool.SWING, Pool.SCALP, 1, ts))
        self.shelf.transfers.append(f"t-{number}")
        split = Split(SAMSUNG, date(2018, 5, number), D(2), D(1))
        acted = book.apply_split(split, ts_ns=ts + 1, lot=D(1), price=D(500))
        self.shelf.actions += [one.action for one in acted]
        theirs = fill(f"x{number}", "BUY", 1, 100, order="by hand", ts=ts)
        booked = book.book_external(theirs, actor="rule", reason="")
        back = book.reverse(bust(theirs, ts=ts + 2))
        assert back is not None
        self.shelf.bookings += [one.booking for one in (*booked, back)]

    def in_memory(self) -> tuple[int, ...]:
        """Return how many fills, actions, transfers, bookings, executions of others, and reversals there are."""
        one = self.book._booked
        kinds = (one.fills, one.actions, one.transfers, one.bookings, one.external, one.reversed)
        return tuple(len(kind) for kind in kinds)


def test_what_came_while_a_close_was_being_stored_stays() -> None:
    # Given a closed day
    facts = Facts()
    facts.tell(1)
    facts.closing.begin(facts.book)
    facts.book.finish_close()
    assert facts.in_memory() == (0, 0, 0, 0, 0, 0)
    # When more comes while the rows of a second close are on their way
    facts.tell(2)
    facts.closing.begin(facts.book)
    facts.tell(3)
    facts.tell(4)
    facts.book.finish_close()
    # Then that is in memory: of each two, and of bookings four, an execution of others and its reversal each
    assert facts.in_memory() == (2, 2, 2, 4, 2, 2)
    assert facts.book._booked.marks == (4, 4, 4, 8)


def test_a_close_of_nothing_new_lets_nothing_go() -> None:
    facts = Facts()
    facts.closing.begin(facts.book)
    facts.tell(1)
    facts.book.finish_close()
    assert facts.in_memory() == (1, 1, 1, 2, 1, 1)


@pytest.mark.parametrize("closed", [False, True])
def test_one_fact_of_a_closed_day_counts_once(closed: bool) -> None:
    # Given one split, and one deposit
    book, shelf = account(), Shelf()
    book.read_past_with(shelf)
    split = Split(SAMSUNG, date(2018, 5, 4), D(2), D(1))
    effect = book.apply_fill(fill("1", "BUY", 10, 100), strategy="ema", pool=Pool.SCALP)
    assert effect is not None
    shelf.ledger.append(effect.ledger)
    shelf.actions += [one.action for one in book.apply_split(split, ts_ns=1, lot=D(1), price=D(1))]
    external = book.follow_external_cash(D(5), note("d"))
    assert external is not None
    shelf.bookings.append(external.booking)
    if closed:
        Closing(shelf).begin(book)
        book.finish_close()
    # When they are told again, then nothing happens
    assert book.apply_split(split, ts_ns=1, lot=D(1), price=D(1)) == ()
    assert book.book(external.booking) is None
    assert book.has_noted(BookingKind.DEPOSIT, note("d"))
    assert book.deposit(D(5), note("d"), weights=BALANCED, remainder=Pool.SCALP) == ()
