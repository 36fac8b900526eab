"""Nothing appears and nothing vanishes: pools and EXTERNAL together are what a broker holds, whatever happens.

The broker of these tests is three numbers, which share no code with the book.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date
from decimal import Decimal as D
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qts.capital.contracts import Pool, Transfer
from qts.execution.contracts import Fill
from qts.ledger.account import Account
from qts.ledger.audit import ProvenRows
from qts.ledger.bookings import booking_row, charges_by_owner, true_ups
from qts.ledger.closes import BookMarks, OpeningBalances
from qts.ledger.contracts import BookingEffect, BookingKind, Charges, TransferOutcome
from qts.ledger.entries import balances_of, cash_of, entries_of, external_of, holding_of, realized_of
from qts.market.actions import Dividend, Split
from qts.money import sum_of
from qts.strategy.contracts import Side
from tests.effort import examples

from .book import BALANCED, SAMSUNG, account, at, bust, claims_of, fill, note, order, transfer
from .past import Closing, Shelf

HYNIX = "000660"
POOL_OF = {"ema": Pool.SCALP, "turtle": Pool.SWING}
OPENED = {SAMSUNG: (D(7), D(9_001)), HYNIX: (D(3), D(100))}
STRATEGIES = st.sampled_from(sorted(POOL_OF))
SYMBOLS = st.sampled_from([SAMSUNG, HYNIX])
SIDES = st.sampled_from(["BUY", "SELL"])
SMALL, PRICES, CHARGES = st.integers(1, 40), st.integers(1, 5_000), st.integers(0, 60)
SUMS = st.integers(1, 300_000)


class BrokerMachine(RuleBasedStateMachine):
    """A broker where others trade too, and a book that hears of it late, twice and out of order."""

    @initialize()
    def open(self) -> None:
        self.book = account()
        self.mark, self.now, self.number = D(777), 100, 0
        self.cash = D(1_000_000 + 500_000)
        self.held: dict[str, D] = defaultdict(D, {symbol: qty for symbol, (qty, _) in OPENED.items()})
        self.shelf = Shelf()
        self.closing = Closing(self.shelf)
        self.book.read_past_with(self.shelf)
        self.ledger, self.actions, self.bookings = self.shelf.ledger, self.shelf.actions, self.shelf.bookings
        self.transfers: list[Transfer] = []
        self.filled: dict[str, D] = defaultdict(D)
        self.reported: list[tuple[str, Fill]] = []
        self.unreported: list[tuple[str, Fill]] = []
        self.standing: list[Fill] = []
        self.last_split: dict[str, int] = {}
        self.stored: tuple[dict[str, Any], OpeningBalances | None] = self.book.export_state(), None
        self.books(self.book.adopt(self.cash, OPENED, note("opening", 1)))

    def books(self, effects: tuple[BookingEffect, ...]) -> None:
        self.bookings += [one.booking for one in effects]

    def at_broker(self, one: Fill, sign: int) -> None:
        """Let the broker carry out a fill, or take it back."""
        signed = sign * one.qty * (1 if one.side is Side.BUY else -1)
        self.cash -= signed * one.price + sign * (one.fee + one.tax)
        self.held[one.symbol] += signed

    def apply(self, owner: str, one: Fill) -> None:
        if not owner:
            self.books(self.book.book_external(one, actor="rule", reason="unknown"))
            return
        effect = self.book.apply_fill(one, strategy=owner, pool=POOL_OF[owner])
        if effect is not None:
            self.ledger.append(effect.ledger)
            self.filled[one.client_order_id] += one.qty
            self.books(() if effect.reversal is None else (effect.reversal,))

    @rule(
        owner=st.sampled_from(["", *sorted(POOL_OF)]),
        symbol=SYMBOLS,
        side=SIDES,
        qty=SMALL,
        price=PRICES,
        fee=CHARGES,
        tax=CHARGES,
        late=st.booleans(),
    )
    def executes(
        self, owner: str, symbol: str, side: str, qty: int, price: int, fee: int, tax: int, late: bool
    ) -> None:
        self.now, self.number = self.now + 1, self.number + 1
        order_id = f"{owner or 'by hand'}-{side}"
        one = fill(str(self.number), side, qty, price, fee=fee, tax=tax, order=order_id, symbol=symbol, ts=self.now)
        self.at_broker(one, 1)
        self.standing.append(one)
        if late:
            self.unreported.append((owner, one))
        else:
            self.reported.append((owner, one))
            self.apply(owner, one)

    @precondition(lambda self: self.unreported)
    @rule(place=st.integers(0, 1_000))
    def is_reported_late(self, place: int) -> None:
        owner, one = self.unreported.pop(place % len(self.unreported))
        self.reported.append((owner, one))
        self.apply(owner, one)

    @precondition(lambda self: self.reported)
    @rule(place=st.integers(0, 1_000))
    def is_reported_again(self, place: int) -> None:
        self.apply(*self.reported[place % len(self.reported)])

    @precondition(lambda self: self.standing)
    @rule(place=st.integers(0, 1_000), twice=st.booleans())
    def takes_back(self, place: int, twice: bool) -> None:
        one = self.standing[place % len(self.standing)]
        if one.ts_ns < self.last_split.get(one.symbol, 0):
            return
        self.now += 1
        self.standing.remove(one)
        self.at_broker(one, -1)
        for _ in range(1 + twice):
            effect = self.book.reverse(bust(one, ts=self.now))
            self.books(() if effect is None else (effect,))

    @rule(amount=SUMS)
    def money_comes_in(self, amount: int) -> None:
        self.number += 1
        self.cash += amount
        for _ in range(2):
            self.books(self.book.deposit(D(amount), self.noted(), weights=BALANCED, remainder=Pool.SWING))

    @rule(amount=SUMS)
    def money_goes_out(self, amount: int) -> None:
        self.number += 1
        has = sum_of(max(D(0), self.book.available(pool)) for pool in Pool)
        effects = self.book.withdraw(D(amount), self.noted(), weights=BALANCED, remainder=Pool.SCALP)
        assert (effects is None) is (amount > has)
        if effects is not None:
            self.cash -= amount
            self.books(effects)

    @rule(pool=st.sampled_from([*Pool, None]), amount=st.integers(-500, 500).filter(bool))
    def interest(self, pool: Pool | None, amount: int) -> None:
        self.number += 1
        self.cash += amount
        row = booking_row(BookingKind.ADJUSTMENT, "main", self.noted(), pool, amount=D(amount))
        effect = self.book.book(row)
        assert effect is not None
        self.books((effect,))

    @rule(fees=CHARGES, taxes=CHARGES)
    def day_end(self, fees: int, taxes: int) -> None:
        """The broker's totals of the day are others than the estimates."""
        self.number += 1
        booked = charges_by_owner(self.ledger, self.bookings, "1970-01-01")
        known = [sum_of(one.fees for one in booked.values()), sum_of(one.taxes for one in booked.values())]
        self.cash -= fees + taxes - sum(known)
        rows = true_ups(
            booked, Charges(D(fees), D(taxes)), "1970-01-01", self.noted(), account="main", quantum=D(1)
        )
        for row in rows:
            effect = self.book.book(row)
            assert effect is not None
            self.books((effect,))

    @rule(owner=st.sampled_from(sorted(POOL_OF)), symbol=SYMBOLS, part=st.integers(1, 4))
    def takes_over(self, owner: str, symbol: str, part: int) -> None:
        """A strategy takes over a part of what is EXTERNAL; nothing changes at the broker."""
        self.now += 1
        self.number += 1
        qty = self.book.external.qty(symbol) // part
        if qty <= 0 or self.book.holding(owner, symbol) < 0:
            return
        before = self.book.equity(at(self.mark)), self.book.realized_by_pool
        for _ in range(2):
            self.books(
                self.book.take_over(symbol, qty, self.noted(), strategy=owner, pool=POOL_OF[owner], price=self.mark)
            )
        assert self.book.equity(at(self.mark)) == before[0] + qty * self.mark
        assert self.book.realized_by_pool == before[1]

    @rule(amount=SUMS, sign=st.sampled_from([1, -1]))
    def external_cash_moves(self, amount: int, sign: int) -> None:
        self.number += 1
        has = [self.book.external.cash, sum_of(max(D(0), self.book.available(pool)) for pool in Pool)]
        effects = self.book.move_external_cash(
            D(amount * sign), self.noted(), weights=BALANCED, remainder=Pool.SCALP
        )
        assert (effects is None) is (amount > has[sign < 0])
        self.books(effects or ())

    @rule(amount=SUMS, source=st.permutations(list(Pool)))
    def moves(self, amount: int, source: list[Pool]) -> None:
        self.number += 1
        one = transfer(f"t-{self.number}", source[0], source[1], amount, self.now)
        if self.book.transfer(one) is TransferOutcome.APPLIED:
            self.transfers.append(one)
            self.shelf.transfers.append(one.transfer_id)
        assert self.book.transfer(one) is not TransferOutcome.APPLIED

    @precondition(lambda self: not self.unreported)
    @rule(symbol=SYMBOLS, new=st.integers(1, 5), old=st.integers(6, 9), upside_down=st.booleans())
    def is_split(self, symbol: str, new: int, old: int, upside_down: bool) -> None:
        self.now += 1
        self.number += 1
        ratio = (old, new) if upside_down else (new, old)
        split = Split(symbol, date.fromordinal(700_000 + self.number), *map(D, ratio))
        effects = self.book.apply_split(split, ts_ns=self.now, lot=D(1), price=self.mark)
        assert self.book.apply_split(split, ts_ns=self.now, lot=D(1), price=self.mark) == ()  # each once
        self.actions += [one.action for one in effects]
        rows = [(one.action.change, one.action.amount) for one in effects]
        external = self.book.split_external(split, self.noted(), lot=D(1), price=self.mark)
        if external is not None:
            rows.append((external.booking.qty, external.booking.amount))
            self.books((external,))
        for change, paid in rows:
            self.held[symbol] += change
            self.cash += paid
        self.last_split[symbol] = self.now

    @rule(symbol=SYMBOLS, a_share=st.integers(1, 90))
    def pays_a_dividend(self, symbol: str, a_share: int) -> None:
        self.now += 1
        self.number += 1
        dividend = Dividend(symbol, date.fromordinal(700_000 + self.number), D(a_share))
        effects = self.book.pay_dividend(dividend, ts_ns=self.now, tax=lambda amount: amount // 7)
        assert self.book.pay_dividend(dividend, ts_ns=self.now, tax=lambda amount: amount // 7) == ()
        for one in effects:
            assert one.action.amount == self.book.holding(one.action.strategy, symbol) * a_share
            self.actions.append(one.action)
            self.cash += one.action.amount - one.action.tax

    @rule()
    def a_day_is_closed(self) -> None:
        self.closing.begin(self.book)

    @rule()
    def the_close_is_stored(self) -> None:
        self.book.finish_close()

    def noted(self):  # type: ignore[no-untyped-def]
        return note(f"n-{self.number}", self.now)

    @rule()
    def is_stored(self) -> None:
        """A checkpoint is stored; what is booked behind it is in rows alone."""
        self.stored = self.book.export_state(), self.shelf.opening()

    @rule()
    def rolls_forward(self) -> None:
        """A process begins with an older checkpoint and the rows since; what no row shows is told again."""
        state, opening = self.stored
        marks = BookMarks() if opening is None else opening.close.marks
        again = account()
        again.read_past_with(self.shelf)
        again.roll_forward(
            state,
            ledger=self.ledger[marks.fills :],
            transfers=self.transfers[marks.transfers :],
            actions=self.actions[marks.actions :],
            bookings=self.bookings[marks.bookings :],
            opening=opening,
        )
        for _, one in self.unreported:
            if one not in self.standing:
                again.reverse(bust(one, ts=self.now))
        assert sorted(again.position_rows(), key=str) == sorted(self.book.position_rows(), key=str)
        assert again.pool_rows() == self.book.pool_rows()
        assert again.external.costs() == self.book.external.costs()
        totals = ("fills_applied", "actions_applied", "bookings_applied", "capital_paid_in", "broker_cash")
        assert [getattr(again, name) for name in totals] == [getattr(self.book, name) for name in totals]
        self.book = again

    @rule(whole=st.booleans())
    def restarts(self, whole: bool) -> None:
        """Begin with the newest opening balances and the rows since, or with all rows; the book is the same."""
        state = self.book.export_state()
        opening = None if whole else self.shelf.opening()
        marks = BookMarks() if opening is None else opening.close.marks
        again = account()
        again.read_past_with(self.shelf)
        again.import_state(
            state,
            ledger=self.ledger[marks.fills :],
            transfers=self.transfers[marks.transfers :],
            actions=self.actions[marks.actions :],
            bookings=self.bookings[marks.bookings :],
            opening=opening,
        )
        assert again.export_state() == state
        assert sorted(again.position_rows(), key=str) == sorted(self.book.position_rows(), key=str)
        assert again.pool_rows() == self.book.pool_rows()
        assert again.external.costs() == self.book.external.costs()
        if whole:  # a book that was never closed is compared, and left
            return
        self.book = again

    @invariant()
    def pools_and_external_are_what_the_broker_has(self) -> None:
        # What is not reported, or taken back before it is reported, the book cannot know.
        cash, held = self.cash, defaultdict(D, self.held)
        for _, one in self.unreported:
            if one in self.standing:
                signed = one.qty * one.side.sign
                cash += signed * one.price + one.fee + one.tax
                held[one.symbol] -= signed
        assert self.book.broker_cash == cash
        assert self.book.broker_positions() == {symbol: qty for symbol, qty in held.items() if qty}
        mark = at(str(self.mark))
        assert self.book.equity(mark) == self.book.cash + sum_of(
            qty * self.mark for qty in self.book.positions().values()
        )

    @invariant()
    def the_audit_agrees(self) -> None:
        mark = at(str(self.mark))
        orders = [
            order(name, name.rpartition("-")[2], 10**9, state="WORKING", filled=int(qty))
            for name, qty in self.filled.items()
        ]
        broker = self.book.broker_positions()
        result = ProvenRows(self.book.initial, D(1)).audit(
            ledger=self.ledger,
            transfers=self.transfers,
            orders=orders,
            claims=claims_of(self.book, mark, broker),
            mark=mark,
            actions=self.actions,
            bookings=self.bookings,
        )
        assert [f for f in result.findings if not f.subject.endswith("available")] == []

    @invariant()
    def the_audit_of_the_day_agrees(self) -> None:
        """The sums begin with the newest close, and again with what a closed day leaves of them."""
        opening = self.shelf.opening()
        marks = BookMarks() if opening is None else opening.close.marks
        since = self.ledger[marks.fills :], self.actions[marks.actions :], self.bookings[marks.bookings :]
        sums = ProvenRows(self.book.initial, D(1), opening)
        if opening is None or not sums.follow(*since):
            return  # something of a closed day has come: every row is read again
        claims, mark = claims_of(self.book, at(str(self.mark)), self.book.broker_positions()), at(str(self.mark))
        rows = {"ledger": since[0], "actions": since[1], "bookings": since[2]}
        moved = self.transfers[marks.transfers :]
        first = sums.audit(transfers=moved, orders=(), claims=claims, mark=mark, **rows)
        second = sums.closed().audit(ledger=[], transfers=[], orders=(), claims=claims, mark=mark)
        found = [one for result in (first, second) for one in result.findings]
        assert [one for one in found if one.invariant != 6 and not one.subject.endswith("available")] == []

    @invariant()
    def the_entries_add_up_to_it(self) -> None:
        entries = list(entries_of(self.book.initial, self.ledger, self.transfers, self.actions, self.bookings))
        assert not any(entry.imbalance() for entry in entries)
        balances = balances_of(entries)
        for pool in Pool:
            assert balances[cash_of(pool)].amount == self.book.pool_cash(pool)
            assert realized_of(balances, pool) == self.book.realized_by_pool[pool]
        for row in self.book.position_rows():
            assert balances[holding_of(row.strategy, row.symbol)] == (row.cost, row.qty)
        external = self.book.external
        assert external_of(balances, "cash").amount == external.cash
        for symbol, cost in external.costs().items():
            assert external_of(balances, "holding", symbol) == (cost, external.qty(symbol))


TestBroker = BrokerMachine.TestCase
TestBroker.settings = settings(max_examples=examples(30, whole=60), stateful_step_count=25, deadline=None)

FILLS = st.lists(
    st.tuples(st.sampled_from(["", *sorted(POOL_OF)]), SYMBOLS, SIDES, SMALL, PRICES, CHARGES, st.integers(0, 5)),
    min_size=1,
    max_size=15,
)


@settings(max_examples=150, deadline=None)
@given(FILLS, st.sets(st.integers(0, 14)), st.integers(0, 2**32))
def test_all_news_in_any_order_and_any_number_of_times_give_the_same_book(
    fills: list[tuple[str, str, str, int, int, int, int]], taken_back: set[int], seed: int
) -> None:
    # Given fills of ours and of others, some of which are taken back, a deposit, and a true-up
    news: list[tuple[str, Fill | int]] = []
    for number, (owner, symbol, side, qty, price, charge, ts) in enumerate(fills):
        one = fill(str(number), side, qty, price, fee=charge, tax=charge // 2, symbol=symbol, ts=ts)
        news.append((owner, one))
        if number in taken_back:
            news.append(("bust", one))
    news += [("deposit", 5_001), ("fee", 13)]

    def tell(book: Account, what: str, one: Fill | int) -> None:
        if what == "deposit":
            book.deposit(D(5_001), note("d"), weights=BALANCED, remainder=Pool.SCALP)
        elif what == "fee":
            book.book(booking_row(BookingKind.FEE, "main", note("f"), Pool.SCALP, fee=D(13), day="1970-01-01"))
        else:
            assert isinstance(one, Fill)
            if what == "bust":
                book.reverse(bust(one))
            elif what:
                book.apply_fill(one, strategy=what, pool=POOL_OF[what])
            else:
                book.book_external(one, actor="rule", reason="")

    # When they are told in one order, and in any other, some of them twice
    shuffled = [*news, *news[::2]]
    random.Random(seed).shuffle(shuffled)
    one, other, never = account(), account(), account()
    for each in news:
        tell(one, *each)
    for each in shuffled:
        tell(other, *each)
    # Then both books are the same
    assert one.export_state() == other.export_state()
    assert one.pools(at(777), BALANCED) == other.pools(at(777), BALANCED)
    assert sorted(one.position_rows(), key=str) == sorted(other.position_rows(), key=str)
    assert one.external.costs() == other.external.costs()
    assert one.pool_rows() == other.pool_rows()
    # And they are the book of an account that never received what was taken back
    gone = {one.execution_id for what, one in news if what == "bust" and isinstance(one, Fill)}
    for what, each in news:
        if not (isinstance(each, Fill) and each.execution_id in gone):
            tell(never, what, each)
    held = [row for row in one.position_rows() if row.qty or row.cost]
    assert sorted(held, key=str) == sorted((row for row in never.position_rows() if row.qty or row.cost), key=str)
    assert one.realized_by_pool == never.realized_by_pool
    assert (one.broker_cash, one.external.positions()) == (never.broker_cash, never.external.positions())
    assert (one.fees_total, one.taxes_total) == (never.fees_total, never.taxes_total)
