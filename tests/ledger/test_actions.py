"""Splits and dividends in the book of record: numbers worked by hand, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.errors import StorageError
from qts.ledger.account import Account
from qts.ledger.actions import dividend_tax
from qts.ledger.audit import AuditResult, Claims, audit
from qts.ledger.contracts import ActionEffect, ActionKind, ActionRow, LedgerRow
from qts.market.actions import Dividend, Split
from qts.market.krx import krx_instrument
from qts.money import truncate_to
from qts.strategy.contracts import Side

from .book import SAMSUNG, account, at, fill

DAY = date(2018, 5, 4)
NIGHT = 1_000
"""The moment of the actions; fills before it are of the days before."""


def korean_tax(amount: D) -> D:
    return truncate_to(amount * D("0.154"), D(1))


def bought(qty: int, price: int, quantum: str = "1") -> Account:
    book = account(quantum=quantum)
    assert book.apply_fill(fill("1", "BUY", qty, price, ts=1), strategy="ema", pool=Pool.SCALP)
    return book


def split(book: Account, new: int, old: int = 1, price: str | None = None) -> tuple[ActionEffect, ...]:
    given_price = None if price is None else D(price)
    return book.apply_split(Split(SAMSUNG, DAY, D(new), D(old)), ts_ns=NIGHT, lot=D(1), price=given_price)


class TestSplit:
    def test_fifty_for_one_multiplies_the_shares_and_leaves_cost_cash_and_worth(self) -> None:
        # Given 7 shares at 2,500,000, now worth 2,650,000 each
        book = account("100000000")
        book.apply_fill(fill("1", "BUY", 7, 2_500_000, ts=1), strategy="ema", pool=Pool.SCALP)
        before = book.equity(at(2_650_000))
        # When one becomes 50
        (effect,) = split(book, 50, price="2650000")
        # Then 350 shares have cost 50,000 each, nothing was paid, and the account is worth the same
        assert book.holding("ema", SAMSUNG) == 350
        assert book.average_cost("ema", SAMSUNG) == 50_000
        assert effect.action.change == 343
        assert (effect.action.amount, effect.action.realized_pnl) == (0, 0)
        assert book.equity(at(53_000)) == before
        assert book.realized_by_pool[Pool.SCALP] == 0

    def test_a_fraction_is_paid_in_cash_and_takes_its_part_of_the_cost_along(self) -> None:
        # Given 10 shares at 1,000, now 1,200
        book = bought(10, 1_000)
        cash = book.cash
        # When three become one: 10 ÷ 3 = 3 and a third of a new share, worth 3,600 ÷ 3
        (effect,) = split(book, 1, 3, price="1200")
        # Then the third brings 1,200; its cost was 10,000 ÷ 10 = 1,000, so 200 are earned
        assert book.holding("ema", SAMSUNG) == 3
        assert book.cash == cash + 1_200
        assert effect.action.amount == 1_200
        assert effect.action.realized_pnl == 200
        assert book.average_cost("ema", SAMSUNG) == 3_000
        assert book.equity(at(3_600)) == 1_000_000 + 2_000
        # And a later sale earns against the new cost: (3,700 − 3,000) × 3
        sold = book.apply_fill(fill("2", "SELL", 3, 3_700, ts=NIGHT + 1), strategy="ema", pool=Pool.SCALP)
        assert sold is not None
        assert sold.gross == 2_100

    def test_a_holding_smaller_than_one_new_share_is_paid_out(self) -> None:
        book = bought(9, 1_000)
        (effect,) = split(book, 1, 10, price="1100")
        assert book.holding("ema", SAMSUNG) == 0
        assert book.average_cost("ema", SAMSUNG) is None
        assert effect.action.amount == 9_900
        assert effect.action.realized_pnl == 900
        assert effect.position.cost == 0

    def test_without_a_price_a_fraction_is_paid_at_its_cost(self) -> None:
        book = bought(10, 1_000)
        (effect,) = split(book, 1, 3)
        assert (effect.action.amount, effect.action.realized_pnl) == (1_000, 0)

    def test_the_payment_is_rounded_to_the_nearest_quantum(self) -> None:
        # 10 × 2 ÷ 3 = 6 whole and 2 thirds of a share of 100 × 3 ÷ 2 = 150: 2 × 100 ÷ 2 = 100
        assert split(bought(10, 100), 2, 3, price="100")[0].action.amount == 100
        # 10 ÷ 7 = 1 and 3 sevenths: 3 × 0.335 = 1.005, half to even: 1.00
        book = bought(10, 1, quantum="0.01")
        assert split(book, 1, 7, price="0.335")[0].action.amount == D("1.00")

    def test_each_strategy_is_rounded_by_itself(self) -> None:
        book = bought(15, 1_000)
        book.apply_fill(fill("2", "BUY", 5, 1_000, order="o-2", ts=2), strategy="swing", pool=Pool.SWING)
        effects = split(book, 1, 10, price="1000")
        assert [(e.action.strategy, e.action.change, e.action.amount) for e in effects] == [
            ("ema", -14, 5_000),
            ("swing", -5, 5_000),
        ]
        assert book.position(SAMSUNG) == 1

    def test_it_is_applied_once_and_to_its_symbol_alone(self) -> None:
        book = bought(10, 1_000)
        book.apply_fill(fill("2", "BUY", 3, 500, order="o-2", symbol="X", ts=2), strategy="ema", pool=Pool.SCALP)
        assert len(split(book, 2, price="1000")) == 1
        assert split(book, 2, price="500") == ()
        assert book.positions() == {SAMSUNG: 20, "X": 3}

    def test_who_holds_nothing_gets_no_row(self) -> None:
        assert split(account(), 50, price="1") == ()

    def test_an_open_sale_keeps_its_shares_and_an_open_buy_its_cash(self) -> None:
        book = bought(10, 1_000)
        assert book.reserve("s", "ema", Pool.SCALP, SAMSUNG, Side.SELL, D(4), D(0), D(0))
        assert book.reserve("b", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(2), D(1_000), D(2_001))
        split(book, 50, price="1000")
        book.resize_reservation("s", D(200))
        book.resize_reservation("b", D(100))
        book.resize_reservation("none", D(1))
        assert book.reserved_qty("ema", SAMSUNG) == 200
        assert book.reserved(Pool.SCALP) == 2_001
        # Half of the buy fills: half of its cash is free again, rounded up
        book.apply_fill(fill("2", "BUY", 50, 20, order="b", ts=NIGHT + 1), strategy="ema", pool=Pool.SCALP)
        assert book.reserved(Pool.SCALP) == 1_001


class TestDividend:
    def test_it_is_paid_on_the_shares_held_less_its_tax(self) -> None:
        # Given 10 shares; 361.5 a share are 3,615, of which 15.4 % are 556.71
        book = bought(10, 1_000)
        cash = book.cash
        (effect,) = book.pay_dividend(Dividend(SAMSUNG, DAY, D("361.5")), ts_ns=NIGHT, tax=korean_tax)
        assert (effect.action.kind, effect.action.held, effect.action.change) == (ActionKind.DIVIDEND, 10, 0)
        assert (effect.action.amount, effect.action.tax, effect.action.realized_pnl) == (3_615, 556, 3_059)
        assert book.cash == cash + 3_059
        assert (book.dividends_total, book.dividend_taxes_total, book.taxes_total) == (3_615, 556, 0)
        # And the cost of the shares is what it was
        assert book.average_cost("ema", SAMSUNG) == 1_000
        assert book.realized_by_pool[Pool.SCALP] == 3_059

    def test_an_amount_a_share_without_end_is_rounded_to_the_quantum(self) -> None:
        book = bought(3, 1_000, quantum="0.01")
        (effect,) = book.pay_dividend(Dividend(SAMSUNG, DAY, D("0.3333")), ts_ns=NIGHT, tax=lambda amount: D(0))
        assert effect.action.amount == D("1.00")

    @pytest.mark.parametrize(("shares", "amount", "tax"), [(1, 0, 0), (2, 1, 1), (3, 1, 1), (4, 2, 1)])
    def test_tax_is_due_on_what_is_paid_and_not_on_nothing(self, shares: int, amount: int, tax: int) -> None:
        """At 0.4 won a share, rounded to the won; a won of tax on any amount."""
        book = account()
        book.apply_fill(fill("1", "BUY", shares, 1_000), strategy="ema", pool=Pool.SCALP)
        (effect,) = book.pay_dividend(Dividend(SAMSUNG, DAY, D("0.4")), ts_ns=NIGHT, tax=lambda _: D(1))
        assert (effect.action.amount, effect.action.tax) == (amount, tax)

    def test_a_short_holding_pays_it_without_tax(self) -> None:
        book = account()
        book.apply_fill(fill("1", "SELL", 2, 1_000, ts=1), strategy="ema", pool=Pool.SCALP)
        (effect,) = book.pay_dividend(Dividend(SAMSUNG, DAY, D(100)), ts_ns=NIGHT, tax=korean_tax)
        assert (effect.action.amount, effect.action.tax) == (-200, 0)

    def test_it_is_paid_once(self) -> None:
        book = bought(10, 1_000)
        dividend = Dividend(SAMSUNG, DAY, D(10))
        assert len(book.pay_dividend(dividend, ts_ns=NIGHT, tax=korean_tax)) == 1
        assert book.pay_dividend(dividend, ts_ns=NIGHT + 1, tax=korean_tax) == ()


class Recorded:
    """A book with every row it gave, as a store would have them."""

    def __init__(self) -> None:
        self.book = account("1000000000")
        self.ledger: list[LedgerRow] = []
        self.actions: list[ActionRow] = []

    def trade(self, number: int, side: str, qty: int, price: int, *, strategy: str = "ema", ts: int) -> None:
        pool = Pool.SCALP if strategy == "ema" else Pool.SWING
        one = fill(str(number), side, qty, price, fee=1, order=f"o-{number}", ts=ts)
        effect = self.book.apply_fill(one, strategy=strategy, pool=pool)
        assert effect is not None
        self.ledger.append(effect.ledger)

    def act(self, effects: tuple[ActionEffect, ...]) -> None:
        self.actions += [effect.action for effect in effects]

    def restored(self) -> Account:
        """Return a fresh book that takes over the rows, as after a restart."""
        fresh = account("1000000000")
        fresh.import_state(self.book.export_state(), ledger=self.ledger, actions=self.actions)
        return fresh

    def audited(self, mark: Callable[[str], D | None], **changed: Any) -> AuditResult:
        book = self.book
        claims = Claims(
            equity=book.equity(mark),
            cash=book.cash,
            positions=book.positions(),
            holdings=book.position_rows(),
            pools=book.pools(mark, {}),
            reservations=(),
            fills_applied=book.fills_applied,
            actions_applied=book.actions_applied,
        )
        return audit(
            initial=book.initial,
            quantum=book.quantum,
            ledger=self.ledger,
            transfers=(),
            orders=(),
            claims=claims,
            mark=mark,
            actions=changed.get("actions", self.actions),
        )


def _without_orders(result: AuditResult) -> list[Any]:
    """Return the findings but for those on orders, which these tests do not make."""
    return [finding for finding in result.findings if finding.invariant != 6]


def a_book_with_both() -> Recorded:
    recorded = Recorded()
    recorded.trade(1, "BUY", 10, 1_000, ts=1)
    recorded.act(recorded.book.pay_dividend(Dividend(SAMSUNG, DAY, D(30)), ts_ns=NIGHT, tax=korean_tax))
    recorded.act(split(recorded.book, 1, 3, price="1200"))
    recorded.trade(2, "SELL", 2, 3_700, ts=NIGHT + 5)
    return recorded


def test_a_restored_book_is_the_same() -> None:
    recorded = a_book_with_both()
    restored = recorded.restored()
    assert restored.position_rows() == recorded.book.position_rows()
    assert restored.pool_rows() == recorded.book.pool_rows()
    assert restored.dividends_total == recorded.book.dividends_total == 300
    assert restored.export_state() == recorded.book.export_state()


def test_a_store_without_a_row_of_the_checkpoint_is_refused() -> None:
    recorded = a_book_with_both()
    recorded.actions.pop()
    with pytest.raises(StorageError, match="splits and dividends = 1, the checkpoint says 2"):
        recorded.restored()


def test_a_book_rolls_forward_over_actions_behind_its_checkpoint() -> None:
    recorded = Recorded()
    recorded.trade(1, "BUY", 10, 1_000, ts=1)
    state = recorded.book.export_state()
    recorded.act(split(recorded.book, 50, price="1200"))
    fresh = account("1000000000")
    fresh.roll_forward(state, ledger=recorded.ledger, actions=recorded.actions)
    assert fresh.holding("ema", SAMSUNG) == 500


def test_the_audit_agrees_and_finds_every_number_that_was_changed() -> None:
    recorded = a_book_with_both()
    mark = at(3_700)
    assert _without_orders(recorded.audited(mark)) == []
    dividend, one_split = recorded.actions
    for changed in (
        [msgspec.structs.replace(dividend, amount=dividend.amount + 1), one_split],
        [msgspec.structs.replace(dividend, tax=dividend.tax + 1), one_split],
        [msgspec.structs.replace(dividend, held=D(11)), one_split],
        [msgspec.structs.replace(dividend, change=D(1)), one_split],
        [dividend, msgspec.structs.replace(one_split, change=D(-6))],
        [dividend, msgspec.structs.replace(one_split, price=D(1_300))],
        [dividend, msgspec.structs.replace(one_split, new=D(2))],
        [dividend, msgspec.structs.replace(one_split, realized_pnl=D(0))],
        [dividend],
        [dividend, one_split, one_split],
    ):
        assert _without_orders(recorded.audited(mark, actions=changed)), changed


RATIO = st.tuples(st.integers(1, 60), st.integers(1, 60)).filter(lambda pair: pair[0] != pair[1])
STEP = st.one_of(
    st.tuples(st.just("BUY"), st.integers(1, 500), st.integers(1, 5_000), st.sampled_from(["ema", "swing"])),
    st.tuples(st.just("SELL"), st.integers(1, 500), st.integers(1, 5_000), st.sampled_from(["ema", "swing"])),
    st.tuples(st.just("SPLIT"), RATIO, st.integers(1, 5_000), st.just("")),
    st.tuples(st.just("DIVIDEND"), st.integers(1, 90), st.just(0), st.just("")),
)


@given(st.lists(STEP, min_size=1, max_size=25))
def test_a_split_leaves_the_account_worth_the_same_to_the_quantum_and_the_audit_agrees(steps: list[Any]) -> None:
    recorded, price = Recorded(), D(1_000)
    book = recorded.book
    for number, (kind, amount, traded, strategy) in enumerate(steps, 1):
        day = date.fromordinal(DAY.toordinal() + number)
        if kind == "SPLIT":
            action = Split(SAMSUNG, day, D(amount[0]), D(amount[1]))
            price, holders = D(traded), len(book.held_by("ema")) + len(book.held_by("swing"))
            before = book.equity(at(str(price)))
            recorded.act(book.apply_split(action, ts_ns=number, lot=D(1), price=price))
            exact = price * action.old / action.new
            after = book.cash + sum((row.qty for row in book.position_rows()), D(0)) * exact
            assert abs(after - before) < book.quantum * max(1, holders)
        elif kind == "DIVIDEND":
            recorded.act(book.pay_dividend(Dividend(SAMSUNG, day, D(amount)), ts_ns=number, tax=korean_tax))
        else:
            held = book.holding(strategy, SAMSUNG)
            qty = amount if kind == "BUY" else min(amount, int(held))
            if qty:
                recorded.trade(number, kind, qty, traded, strategy=strategy, ts=number)
    mark = at(str(price))
    assert _without_orders(recorded.audited(mark)) == []
    restored = recorded.restored()
    assert restored.position_rows() == book.position_rows()
    assert restored.pool_rows() == book.pool_rows()


@pytest.mark.parametrize(("rate", "tax"), [(None, D(154)), (D("0.22"), D(220))])
def test_the_tax_on_a_dividend_is_the_markets_unless_told_otherwise(rate: D | None, tax: D) -> None:
    # Given a dividend of 1,001 won: 154.154 by the market's 15.4 %, 220.22 by 22 %
    assert dividend_tax(krx_instrument(SAMSUNG), DAY, rate)(D(1_001)) == tax


def test_the_rows_of_an_action_belong_into_one_transaction() -> None:
    book = account()
    book.apply_fill(fill("1", "BUY", 10, 1_000), strategy="ema", pool=Pool.SCALP)
    (effect,) = book.pay_dividend(Dividend(SAMSUNG, DAY, D(100)), ts_ns=NIGHT, tax=lambda amount: D(0))
    assert [type(row).__name__ for row in effect.records] == ["ActionRow", "PositionRow", "PoolRow"]
