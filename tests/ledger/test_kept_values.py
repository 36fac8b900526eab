"""Kept values: every answer is that of the account itself, to the digit, whatever has changed since the last."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.execution.contracts import Fill, FillReversed
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.actions import Split
from qts.market.contracts import Bar, Quote, Tick
from qts.market.last_values import LastValues
from qts.money import ONE, ZERO, sum_of
from qts.strategy.contracts import Side

POOLS = {"one": Pool.SCALP, "two": Pool.SWING, "three": Pool.SWING}
SYMBOLS = ("A", "B", "C")
CENT = D("0.01")


class Book:
    """An account, prices and the values kept of both; ``fills`` are all that were booked."""

    def __init__(self) -> None:
        self.account = Account(opening=D(1_000_000), quantum=CENT, split={Pool.SCALP: ONE, Pool.SWING: ONE})
        self.last = LastValues()
        self.worth = KeptValues(self.account, self.last)
        self.fills: list[Fill] = []
        self.now_ns = 0

    def fill(self, strategy: str, symbol: str, side: Side, qty: str, price: str) -> None:
        self.now_ns += 1
        name = str(self.now_ns)
        fill = Fill("sim", name, name, symbol, side, D(qty), D(price), ZERO, ZERO, self.now_ns, last=True)
        self.account.apply_fill(fill, strategy=strategy, pool=POOLS[strategy])
        self.fills.append(fill)

    def price(self, kind: type, symbol: str, price: str) -> None:
        """Show a price the way the intake does: it tells of all but the only symbol held."""
        self.now_ns += 1
        at = D(price)
        if kind is Quote:
            self.last.quotes[symbol] = Quote(symbol, self.now_ns, bid=at)
        elif kind is Tick:
            self.last.ticks[symbol] = Tick(symbol, self.now_ns, at, ONE)
        else:
            self.last.bars[symbol] = Bar(symbol, self.now_ns, at, at, at, at, ONE)
        if self.worth.nets.keys() != {symbol}:
            self.last.changed.add(symbol)

    def reverse(self, place: int) -> None:
        if self.fills:
            one = self.fills[place % len(self.fills)]
            self.now_ns += 1
            back = FillReversed(
                one.broker, one.execution_id, one.client_order_id, one.symbol, one.ts_ns, self.now_ns, "bust"
            )
            if not self.account.why_irreversible(back):
                self.account.reverse(back)

    def split(self, symbol: str, new: int) -> None:
        self.now_ns += 1
        split = Split(symbol, date.fromordinal(738_000 + self.now_ns), D(new), D(2))
        self.account.apply_split(split, ts_ns=self.now_ns, lot=ONE, price=self.last.mark(symbol))
        self.last.rescale(symbol, split.price)

    def pay(self, symbol: str, amount: str) -> None:
        self.last.mark_down(symbol, D(amount))

    def assert_the_same(self) -> None:
        account, worth, mark = self.account, self.worth, self.last.mark
        for symbol in SYMBOLS:
            equity, exposure, of_symbol, held = worth.valued(symbol)
            assert repr((equity, exposure)) == repr((account.equity(mark), account.exposure(mark)))
            assert repr(of_symbol) == repr(account.symbol_exposure(symbol, mark))
            assert held == account.positions().keys()
        assert repr(worth.equity()) == repr(account.equity(mark))
        assert {pool: one.total for pool, one in account.pools(mark, {}).items()} == worth.pool_totals()
        assert worth.has_positions() is bool(account.positions())
        assert worth.is_short is any(row.qty < 0 for row in account.position_rows())
        held_rows = [row for row in account.position_rows() if row.qty]
        assert worth.nets == {
            symbol: sum_of(row.qty for row in held_rows if row.symbol == symbol)
            for symbol in {row.symbol for row in held_rows}
        }
        assert worth.marks == {symbol: mark(symbol) for symbol in worth.nets}


def test_a_holding_is_worth_its_last_price_and_its_cost_before_there_is_one() -> None:
    # Given 10 shares bought at 1,000 without a quote, and 5 of another at 20
    book = Book()
    book.fill("one", "A", Side.BUY, "10", "1000")
    book.fill("two", "B", Side.BUY, "5", "20")
    book.price(Bar, "B", "30")
    # Then A counts at cost: 1,000,000 - 10,100 + 10,000 + 150
    assert (book.worth.equity(), book.worth.exposure()) == (1_000_050, 10_150)
    # And at its price as soon as there is one
    book.price(Quote, "A", "1200")
    assert (book.worth.equity(), book.worth.exposure()) == (1_002_050, 12_150)
    assert book.worth.pool_totals() == {Pool.SCALP: 502_000, Pool.SWING: 500_050, Pool.PORTFOLIO: 0}
    # And the news are both, once
    assert (book.worth.take_news(), book.worth.take_news()) == ({"A", "B"}, set())


PRICES = st.sampled_from(["10", "10.0", "9.75", "0.125", "1E+2", "0"])
STEPS = st.one_of(
    st.tuples(
        st.just(Book.fill),
        st.sampled_from(list(POOLS)),
        st.sampled_from(SYMBOLS),
        st.sampled_from(list(Side)),
        st.sampled_from(["1", "2", "0.5"]),
        st.sampled_from(["10", "9.75", "0.125"]),
    ),
    st.tuples(st.just(Book.price), st.sampled_from([Quote, Tick, Bar]), st.sampled_from(SYMBOLS), PRICES),
    st.tuples(st.just(Book.reverse), st.integers(0, 9)),
    st.tuples(st.just(Book.split), st.sampled_from(SYMBOLS), st.sampled_from([1, 3, 4])),
    st.tuples(st.just(Book.pay), st.sampled_from(SYMBOLS), st.sampled_from(["1", "0.25"])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=30))
def test_every_answer_is_that_of_the_account_whenever_it_is_asked(
    steps: list[tuple[tuple[object, ...], bool]],
) -> None:
    book = Book()
    for (step, *arguments), is_asked in steps:
        step(book, *arguments)
        if is_asked:
            book.assert_the_same()
    book.assert_the_same()


def test_each_answer_is_of_this_moment_whichever_is_asked_first() -> None:
    def sold() -> KeptValues:
        book = Book()
        book.fill("one", "A", Side.SELL, "10", "1000")
        return book.worth

    # Given a short holding that no other answer was asked for yet
    assert sold().is_short
    assert sold().has_positions()
    assert sold().equity() == 1_000_000
    assert sold().exposure() == 10_000
    assert sold().pool_totals()[Pool.SCALP] == 500_000
    assert sold().take_news() == {"A"}
    assert sold().valued("A").positions == {"A"}


def test_an_account_that_holds_something_already_is_valued() -> None:
    book = Book()
    book.fill("one", "A", Side.BUY, "10", "1000")
    assert book.worth.take_news() == {"A"}
    again = KeptValues(book.account, book.last)
    assert (again.take_news(), again.has_positions(), again.exposure()) == ({"A"}, True, 10_000)


def test_news_are_of_symbols_that_are_held_or_were() -> None:
    book = Book()
    book.fill("one", "A", Side.BUY, "10", "1000")
    book.fill("one", "B", Side.BUY, "10", "1000")
    book.worth.take_news()
    book.price(Quote, "C", "5")
    assert book.worth.take_news() == set()
    book.price(Quote, "B", "5")
    assert book.worth.take_news() == {"B"}
    book.fill("one", "B", Side.SELL, "10", "1000")
    assert (book.worth.take_news(), book.worth.nets.keys()) == ({"B"}, {"A"})


def test_a_holding_is_short_at_any_price_until_it_is_bought_back() -> None:
    book = Book()
    book.fill("one", "A", Side.SELL, "10", "1000")
    book.price(Quote, "A", "0")
    assert book.worth.is_short
    book.fill("one", "A", Side.BUY, "10", "900")
    assert not book.worth.is_short
    book.fill("one", "A", Side.SELL, "1", "1000")
    assert book.worth.is_short
    book.fill("one", "A", Side.BUY, "2", "900")
    assert not book.worth.is_short
