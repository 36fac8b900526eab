"""The book in double entry: entries worked by hand, and their sums against the book in memory."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool, Transfer
from qts.ledger.contracts import ActionRow, LedgerRow, TransferOutcome
from qts.ledger.entries import (
    Balance,
    BookAccount,
    BookKind,
    Entry,
    EntryKind,
    action_entry,
    balances_of,
    cash_of,
    entries_of,
    fill_entry,
    holding_of,
    in_time,
    opening_entry,
    realized_of,
    transfer_entry,
)
from qts.market.actions import Dividend, Split
from qts.money import sum_of, truncate_to

from .book import BALANCED, SAMSUNG, account, fill, transfer

DAY = date(2018, 5, 4)
SCALP = ("SCALP",)
POOL_OF = {"ema": Pool.SCALP, "turtle": Pool.SWING}


def moved(entry: Entry) -> dict[str, tuple[D, D]]:
    """Return what an entry changes, by name of account."""
    return {str(one.account): (one.amount, one.qty) for one in entry.postings}


class TestEntries:
    def test_the_opening_is_paid_in_from_capital(self) -> None:
        # Given 400,000 / 350,000 / 250,000 won
        entry = opening_entry(account().initial)
        # Then capital gives what the three pools get
        assert moved(entry) == {
            "cash:SCALP": (400_000, 0),
            "cash:SWING": (350_000, 0),
            "cash:PORTFOLIO": (250_000, 0),
            "capital": (-1_000_000, 0),
        }
        assert not entry.imbalance()

    def test_a_purchase_turns_cash_into_a_holding_at_cost_and_a_fee(self) -> None:
        # Given 7 shares bought at 1,000 for a fee of 15
        book = account()
        effect = book.apply_fill(fill("1", "BUY", 7, 1_000, fee=15), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        # When it is booked
        entry = fill_entry(1, effect.ledger)
        # Then 7,015 have left: 7,000 are in the holding, 15 are spent; the shares come from the market
        assert moved(entry) == {
            "cash:SCALP": (-7_015, 0),
            f"holding:ema:{SAMSUNG}": (7_000, 7),
            f"market:{SAMSUNG}": (0, -7),
            "fees:SCALP": (15, 0),
        }
        assert not entry.imbalance()
        assert (entry.kind, entry.reference, entry.text) == (EntryKind.FILL, "o-1", f"BUY 7 {SAMSUNG} at 1000")

    def test_a_sale_takes_the_holding_out_at_its_average_cost_and_books_the_rest_as_result(self) -> None:
        # Given 10 shares at 1,000 and 10 at 1,200: 1,100 on average
        book = account()
        for number, price in (("1", 1_000), ("2", 1_200)):
            book.apply_fill(fill(number, "BUY", 10, price), strategy="ema", pool=Pool.SCALP)
        # When 5 are sold at 1,300 for a fee of 3 and a tax of 13
        effect = book.apply_fill(fill("3", "SELL", 5, 1_300, fee=3, tax=13, ts=1), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        # Then 6,484 come in, 5,500 of cost go, and 1,000 were earned
        assert moved(fill_entry(3, effect.ledger)) == {
            "cash:SCALP": (6_484, 0),
            f"holding:ema:{SAMSUNG}": (-5_500, -5),
            f"market:{SAMSUNG}": (0, 5),
            "fees:SCALP": (3, 0),
            "taxes:SCALP": (13, 0),
            "result:SCALP": (-1_000, 0),
        }

    def test_a_transfer_moves_cash_between_two_pools(self) -> None:
        entry = transfer_entry(1, transfer("t-1", Pool.SCALP, Pool.SWING, 25_000))
        assert moved(entry) == {"cash:SCALP": (-25_000, 0), "cash:SWING": (25_000, 0)}

    def test_a_dividend_brings_cash_less_its_tax(self) -> None:
        # Given 10 shares, and 100 won a share with 15.4 % of tax
        book = account()
        book.apply_fill(fill("1", "BUY", 10, 1_000), strategy="ema", pool=Pool.SCALP)
        (effect,) = book.pay_dividend(
            Dividend(SAMSUNG, DAY, D(100)), ts_ns=1, tax=lambda amount: truncate_to(amount * D("0.154"), D(1))
        )
        # Then 1,000 were earned, 154 are tax
        assert moved(action_entry(1, effect.action)) == {
            "cash:SCALP": (846, 0),
            "taxes:SCALP": (154, 0),
            "dividends:SCALP": (-1_000, 0),
        }

    def test_a_split_brings_shares_and_pays_the_fraction(self) -> None:
        # Given 10 shares at 1,000, now 1,200, of which three become one
        book = account()
        book.apply_fill(fill("1", "BUY", 10, 1_000), strategy="ema", pool=Pool.SCALP)
        (effect,) = book.apply_split(Split(SAMSUNG, DAY, D(1), D(3)), ts_ns=1, lot=D(1), price=D(1_200))
        # Then 7 shares are gone; the fraction brought 1,200 and had cost 1,000
        assert moved(action_entry(1, effect.action)) == {
            f"holding:ema:{SAMSUNG}": (-1_000, -7),
            f"market:{SAMSUNG}": (0, 7),
            "cash:SCALP": (1_200, 0),
            "result:SCALP": (-200, 0),
        }

    def test_entries_come_in_the_order_of_time(self) -> None:
        # Given a fill at 5, a transfer at 3 and another at 5
        book = account()
        effect = book.apply_fill(fill("1", "BUY", 1, 1_000, ts=5), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        transfers = [
            transfer("t-1", Pool.SCALP, Pool.SWING, 1, ts=3),
            transfer("t-2", Pool.SCALP, Pool.SWING, 1, ts=5),
        ]
        # When all are listed
        entries = sorted(entries_of(book.initial, [effect.ledger], transfers, []), key=in_time)
        # Then the opening is first, and of one moment transfers come before fills
        assert [(one.kind.value, one.row) for one in entries] == [
            ("OPENING", 1),
            ("TRANSFER", 1),
            ("TRANSFER", 2),
            ("FILL", 1),
        ]

    def test_a_row_whose_numbers_were_changed_leaves_an_entry_that_does_not_add_up(self) -> None:
        # Given an entry with one posting of a won too much
        entry = transfer_entry(1, transfer("t-1", Pool.SCALP, Pool.SWING, 25_000))
        first, second = entry.postings
        broken = Entry(entry.kind, 1, 0, "", "", (first, second._replace(amount=D(25_001))))
        # Then the won is named
        assert broken.imbalance() == {"": D(1)}


FACTS = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL", "TRANSFER", "SPLIT", "DIVIDEND"]),
        st.sampled_from(sorted(POOL_OF)),
        st.sampled_from([SAMSUNG, "000660"]),
        st.integers(1, 40),
        st.integers(1, 5_000),
        st.integers(0, 30),
        st.integers(0, 60),
    ),
    max_size=40,
)


@given(facts=FACTS)
def test_the_sums_of_all_entries_are_what_the_book_in_memory_holds(
    facts: list[tuple[str, str, str, int, int, int, int]],
) -> None:
    # Given any fills (also late ones, and sales of more than is held), transfers, splits and dividends
    book = account("1000000")
    ledger: list[LedgerRow] = []
    transfers: list[Transfer] = []
    actions: list[ActionRow] = []
    for number, (kind, strategy, symbol, qty, price, charge, ts) in enumerate(facts):
        if kind in ("BUY", "SELL"):
            report = fill(str(number), kind, qty, price, fee=charge, tax=charge // 2, symbol=symbol, ts=ts)
            effect = book.apply_fill(report, strategy=strategy, pool=POOL_OF[strategy])
            assert effect is not None
            ledger.append(effect.ledger)
        elif kind == "TRANSFER":
            one = transfer(f"t-{number}", Pool.SCALP, Pool.PORTFOLIO, qty, ts)
            if book.transfer(one) is TransferOutcome.APPLIED:
                transfers.append(one)
        else:
            day = date.fromordinal(DAY.toordinal() + number)
            if kind == "SPLIT":
                effects = book.apply_split(
                    Split(symbol, day, D(qty), D(qty + charge + 1)), ts_ns=100 + number, lot=D(1), price=D(price)
                )
            else:
                effects = book.pay_dividend(
                    Dividend(symbol, day, D(charge + 1)),
                    ts_ns=100 + number,
                    tax=lambda amount: truncate_to(amount * D("0.154"), D(1)),
                )
            actions += (one.action for one in effects)
    # When the book is written in double entry
    entries = sorted(entries_of(book.initial, ledger, transfers, actions), key=in_time)
    balances = balances_of(entries)
    # Then every entry adds up to 0, and so does the whole book
    assert not any(entry.imbalance() for entry in entries)
    assert sum_of(one.amount for one in balances.values()) == 0
    # And the accounts hold what the book in memory claims, to the last digit
    nothing = Balance()
    for pool in Pool:
        assert balances.get(cash_of(pool), nothing).amount == book.pool_cash(pool)
        assert realized_of(balances, pool) == book.realized_by_pool[pool]
    for row in book.position_rows():
        assert balances.get(holding_of(row.strategy, row.symbol), nothing) == Balance(row.cost, row.qty)
    assert balances[BookAccount(BookKind.CAPITAL)].amount == -1_000_000
    assert sum(BALANCED.values()) == 1
