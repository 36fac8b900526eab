"""Any session of reservations, fills, repeats, late arrivals and transfers: money and shares always add up."""

from __future__ import annotations

import random
from decimal import Decimal as D

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qts.capital.contracts import Pool
from qts.execution.contracts import Fill, OrderState
from qts.ledger.audit import audit
from qts.ledger.contracts import LedgerRow, TransferOutcome
from qts.strategy.contracts import Side
from tests.effort import examples

from .book import BALANCED, account, at, claims_of, fill, order, transfer

POOL_OF = {"ema": Pool.SCALP, "breakout": Pool.SCALP, "turtle": Pool.SWING, "holder": Pool.PORTFOLIO}
STRATEGIES = st.sampled_from(sorted(POOL_OF))
SYMBOLS = st.sampled_from(["005930", "000660"])
SIDES = st.sampled_from(["BUY", "SELL"])
POOLS = st.sampled_from(list(Pool))
QTY = st.integers(1, 20)
PRICE = st.integers(1, 5_000)
CHARGE = st.integers(0, 50)


class AccountMachine(RuleBasedStateMachine):
    """An account beside plain counters that know nothing of average cost or reservations."""

    def __init__(self) -> None:
        super().__init__()
        self.book = account("1000000")
        self.fills: list[tuple[Fill, str]] = []
        self.rows: list[LedgerRow] = []
        self.transfers: list = []
        self.cash = {Pool.SCALP: D(400_000), Pool.SWING: D(350_000), Pool.PORTFOLIO: D(250_000)}
        self.qty: dict[tuple[str, str], D] = {}
        self.held: dict[str, tuple[str, str, str, D, D, D]] = {}
        self.orders: dict[str, tuple[str, D]] = {}
        self.filled: dict[str, D] = {}
        self.count = 0
        self.mark = D(1_000)

    def next_id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count}"

    @initialize(mark=PRICE)
    def price(self, mark: int) -> None:
        self.mark = D(mark)

    @rule(strategy=STRATEGIES, symbol=SYMBOLS, side=SIDES, qty=QTY, price=PRICE, extra=CHARGE)
    def reserve(self, strategy: str, symbol: str, side: str, qty: int, price: int, extra: int) -> None:
        order_id, pool, cost = self.next_id("o"), POOL_OF[strategy], D(qty * price + extra)
        if side == "BUY":
            possible = cost <= self.cash[pool] - self.reserved_cash(pool)
        else:
            possible = D(qty) <= self.qty.get((strategy, symbol), D(0)) - self.reserved_qty(strategy, symbol)
        got = self.book.reserve(order_id, strategy, pool, symbol, Side(side), D(qty), D(price), cost)
        assert got is possible
        if got:
            self.held[order_id] = (strategy, symbol, side, D(qty), D(qty), cost)
            self.orders[order_id] = (side, D(qty))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), part=st.integers(1, 100), price=PRICE, fee=CHARGE, ts=st.integers(0, 1_000))
    def fill_an_order(self, data: st.DataObject, part: int, price: int, fee: int, ts: int) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.held)))
        strategy, symbol, side, qty, left, cost = self.held[order_id]
        amount = max(left * part // 100, D(1))
        one = fill(
            self.next_id("x"),
            side,
            str(amount),
            price,
            fee=fee,
            order=order_id,
            symbol=symbol,
            ts=ts,
            last=amount == left,
        )
        effect = self.apply(one, strategy)
        assert not effect.overfilled
        if left == amount:
            del self.held[order_id]
        else:
            self.held[order_id] = (strategy, symbol, side, qty, left - amount, cost)

    @rule(
        strategy=STRATEGIES,
        symbol=SYMBOLS,
        side=SIDES,
        qty=QTY,
        price=PRICE,
        fee=CHARGE,
        tax=CHARGE,
        ts=st.integers(0, 1_000),
    )
    def fill_without_reservation(
        self, strategy: str, symbol: str, side: str, qty: int, price: int, fee: int, tax: int, ts: int
    ) -> None:
        order_id = self.next_id("late")
        self.orders[order_id] = (side, D(qty))
        one = fill(self.next_id("x"), side, qty, price, fee=fee, tax=tax, order=order_id, symbol=symbol, ts=ts)
        effect = self.apply(one, strategy)
        assert effect.oversold is (self.qty[strategy, symbol] < 0)
        assert effect.overdrawn is (self.book.available(POOL_OF[strategy]) < 0)

    @precondition(lambda self: self.fills)
    @rule(data=st.data())
    def repeat_a_fill(self, data: st.DataObject) -> None:
        one, strategy = data.draw(st.sampled_from(self.fills))
        assert self.book.apply_fill(one, strategy=strategy, pool=POOL_OF[strategy]) is None

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release_twice(self, data: st.DataObject) -> None:
        order_id = data.draw(st.sampled_from(sorted(self.held)))
        assert self.book.release(order_id) is True
        assert self.book.release(order_id) is False
        del self.held[order_id]

    @rule(source=POOLS, into=POOLS, amount=st.integers(1, 300_000))
    def move(self, source: Pool, into: Pool, amount: int) -> None:
        if source is into:
            return
        one = transfer(self.next_id("t"), source, into, amount)
        possible = amount <= self.cash[source] - self.reserved_cash(source)
        assert self.book.transfer(one) is (
            TransferOutcome.APPLIED if possible else TransferOutcome.EXCEEDS_AVAILABLE
        )
        if possible:
            assert self.book.transfer(one) is TransferOutcome.SEEN_BEFORE
            self.transfers.append(one)
            self.cash[source] -= amount
            self.cash[into] += amount

    @rule()
    def resume(self) -> None:
        state = self.book.export_state()
        self.book = account("1000000")
        self.book.import_state(state, ledger=self.rows, transfers=self.transfers)
        assert self.book.export_state() == state

    def apply(self, one: Fill, strategy: str):  # type: ignore[no-untyped-def]
        effect = self.book.apply_fill(one, strategy=strategy, pool=POOL_OF[strategy])
        assert effect is not None
        self.fills.append((one, strategy))
        self.rows.append(effect.ledger)
        sign = one.side.sign
        self.cash[POOL_OF[strategy]] -= sign * one.qty * one.price + one.fee + one.tax
        key = (strategy, one.symbol)
        self.qty[key] = self.qty.get(key, D(0)) + sign * one.qty
        self.filled[one.client_order_id] = self.filled.get(one.client_order_id, D(0)) + one.qty
        return effect

    def reserved_cash(self, pool: Pool) -> D:
        total = D(0)
        for strategy, _, side, qty, left, cost in self.held.values():
            if side == "BUY" and POOL_OF[strategy] is pool:
                total += -(-int(cost * left) // int(qty))  # rounded up to the won
        return total

    def reserved_qty(self, strategy: str, symbol: str) -> D:
        sells = (
            left for s, y, side, _, left, _ in self.held.values() if (s, y, side) == (strategy, symbol, "SELL")
        )
        return sum(sells, D(0))

    @invariant()
    def cash_and_shares_are_the_sum_of_what_happened(self) -> None:
        for pool in Pool:
            assert self.book.reserved(pool) == self.reserved_cash(pool)
            assert self.book.available(pool) == self.cash[pool] - self.reserved_cash(pool)
        for (strategy, symbol), qty in self.qty.items():
            assert self.book.holding(strategy, symbol) == qty

    @invariant()
    def equity_is_the_pools_is_cash_plus_holdings_is_opening_plus_results(self) -> None:
        mark = at(str(self.mark))
        pools = self.book.pools(mark, BALANCED)
        equity = self.book.equity(mark)
        assert equity == sum(pool.total for pool in pools.values())
        assert equity == self.book.cash + sum(qty * self.mark for qty in self.qty.values())
        results = sum(pool.realized_pnl + pool.unrealized_pnl for pool in pools.values())
        assert equity == 1_000_000 + results
        for pool in pools.values():
            assert pool.available + pool.invested + pool.reserved == pool.total
        assert sum((row.realized_pnl for row in self.rows), D(0)) == sum(self.book.realized_by_pool.values())

    def teardown(self) -> None:
        """At the end of the session the independent audit agrees (pools may be overdrawn by fills without cash)."""
        mark = at(str(self.mark))
        orders = [
            order(name, side, int(qty), state=self.state_of(name), filled=int(self.filled.get(name, D(0))))
            for name, (side, qty) in self.orders.items()
        ]
        result = audit(
            initial=self.book.initial,
            quantum=D(1),
            ledger=self.rows,
            transfers=self.transfers,
            orders=orders,
            claims=claims_of(self.book, mark),
            mark=mark,
        )
        assert [f for f in result.findings if not f.subject.endswith("available")] == []

    def state_of(self, order_id: str) -> str:
        return OrderState.WORKING.value if order_id in self.held else OrderState.CANCELLED.value


TestAccountMachine = AccountMachine.TestCase
TestAccountMachine.settings = settings(max_examples=examples(30, whole=60), stateful_step_count=30, deadline=None)

FILLS = st.lists(
    st.builds(
        lambda strategy, symbol, side, qty, price, fee, ts: (strategy, (side, qty, price, fee, symbol, ts)),
        STRATEGIES,
        SYMBOLS,
        SIDES,
        QTY,
        PRICE,
        CHARGE,
        st.integers(0, 5),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(FILLS, st.integers(0, 2**32))
def test_fills_in_any_order_and_any_number_of_times_give_the_same_account(fills: list, seed: int) -> None:
    made = [
        (strategy, fill(f"x-{i}", side, qty, price, fee=fee, symbol=symbol, ts=ts))
        for i, (strategy, (side, qty, price, fee, symbol, ts)) in enumerate(fills)
    ]
    shuffled = [*made, *made[::2]]
    random.Random(seed).shuffle(shuffled)
    one, other = account(), account()
    for strategy, each in made:
        one.apply_fill(each, strategy=strategy, pool=POOL_OF[strategy])
    for strategy, each in shuffled:
        other.apply_fill(each, strategy=strategy, pool=POOL_OF[strategy])
    assert one.export_state() == other.export_state()
    assert one.pools(at(777), BALANCED) == other.pools(at(777), BALANCED)
    assert sorted(one.position_rows(), key=str) == sorted(other.position_rows(), key=str)
    assert one.pool_rows() == other.pool_rows()
