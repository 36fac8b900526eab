"""The book of record: fills, fees, reservations, pools, transfers, checkpoints; numbers worked by hand."""

from decimal import Decimal as D

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError, StateError, StorageError
from qts.ledger.account import Account
from qts.ledger.contracts import FillEffect, TransferOutcome
from qts.strategy.contracts import Side

from .book import BALANCED, SAMSUNG, account, at, fill, transfer


def book_fill(
    book: Account, *args: object, strategy: str = "ema", pool: Pool = Pool.SCALP, **kwargs: object
) -> FillEffect:
    effect = book.apply_fill(fill(*args, **kwargs), strategy=strategy, pool=pool)  # type: ignore[arg-type]
    assert effect is not None
    return effect


def reserve_buy(book: Account, order: str, cost: int, qty: int = 10, pool: Pool = Pool.SCALP) -> bool:
    return book.reserve(order, "ema", pool, SAMSUNG, Side.BUY, D(qty), D(1000), D(cost))


def reserve_sell(book: Account, order: str, qty: int, strategy: str = "ema") -> bool:
    return book.reserve(order, strategy, Pool.SCALP, SAMSUNG, Side.SELL, D(qty), D(0), D(0))


class TestOpening:
    def test_is_divided_in_whole_won_and_the_rest_goes_to_portfolio(self) -> None:
        # 1,000,001 x 40 % = 400,000.4, x 35 % = 350,000.35: floored, 250,001 left for PORTFOLIO
        book = account("1000001")
        assert book.initial == {Pool.SCALP: 400_000, Pool.SWING: 350_000, Pool.PORTFOLIO: 250_001}

    def test_thirds_do_not_lose_a_won(self) -> None:
        book = account("100", split=dict.fromkeys(Pool, D(1)))
        assert [book.available(pool) for pool in Pool] == [33, 33, 34]
        assert book.cash == 100

    def test_the_rest_goes_where_it_is_directed(self) -> None:
        book = Account(opening=D(100), quantum=D(1), split=dict.fromkeys(Pool, D(1)), remainder=Pool.SCALP)
        assert book.available(Pool.SCALP) == 34

    def test_a_pool_that_is_not_named_starts_with_nothing(self) -> None:
        book = account(split={Pool.SCALP: D(1)})
        assert [book.available(pool) for pool in Pool] == [1_000_000, 0, 0]

    def test_a_quantum_of_zero_is_refused(self) -> None:
        with pytest.raises(ContractError, match="quantum"):
            account(quantum="0")


class TestFill:
    def test_a_buy_takes_amount_and_fee_and_books_the_fee_as_realised_at_once(self) -> None:
        book = account()
        effect = book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        assert (effect.realized, effect.gross, effect.closing) == (-15, 0, False)
        assert book.available(Pool.SCALP) == 400_000 - 10_000 - 15
        assert (book.holding("ema", SAMSUNG), book.average_cost("ema", SAMSUNG)) == (10, 1000)
        assert book.realized_by_pool[Pool.SCALP] == -15

    def test_a_sale_realises_against_average_cost_with_fee_and_tax_in(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        effect = book_fill(book, "x-2", "SELL", 4, 1100, fee=6, tax=8, ts=1)
        # gross (1,100 - 1,000) x 4 = 400, net 400 - 6 - 8
        assert (effect.gross, effect.realized, effect.closing) == (400, 386, True)
        assert book.realized_by_pool[Pool.SCALP] == 386 - 15
        assert (book.fees_total, book.taxes_total) == (21, 8)
        assert book.cash == 1_000_000 - 10_015 + 4_400 - 14

    def test_the_rows_of_a_fill_say_what_is_stored(self) -> None:
        book = account()
        effect = book_fill(book, "x-1", "BUY", 10, 1000, fee=15, ts=7)
        ledger, position, pool = effect.records
        assert (ledger.amount, ledger.realized_pnl, ledger.order_id, ledger.pool) == (
            10_000,
            -15,
            "o-1",
            Pool.SCALP,
        )
        assert (position.qty, position.cost, position.ts_ns) == (10, 10_000, 7)
        assert (pool.cash, pool.realized_pnl, pool.ts_ns) == (389_985, -15, 7)

    def test_the_same_execution_counts_once_whatever_else_it_says(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        assert book.apply_fill(fill("x-1", "BUY", 99, 5), strategy="ema", pool=Pool.SCALP) is None
        assert book.holding("ema", SAMSUNG) == 10

    def test_the_same_execution_id_of_another_broker_is_another_fill(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        book_fill(book, "x-1", "BUY", 5, 1000, broker="kis")
        assert book.holding("ema", SAMSUNG) == 15
        assert book.fills_applied == 2

    def test_selling_more_than_is_held_is_booked_and_reported(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 3, 1000)
        assert not book_fill(book, "x-2", "SELL", 3, 1000, ts=1).oversold
        effect = book_fill(book, "x-3", "SELL", 2, 1000, ts=2)
        assert effect.oversold
        assert book.position(SAMSUNG) == -2

    def test_a_fill_that_costs_more_than_the_pool_has_is_booked_and_reported(self) -> None:
        book = account("1000", split={Pool.SCALP: D(1)})
        assert not book_fill(book, "x-1", "BUY", 1, 1000).overdrawn
        assert book_fill(book, "x-2", "BUY", 1, 1).overdrawn
        assert book.available(Pool.SCALP) == -1

    def test_a_late_fill_values_the_later_ones_again_and_says_so(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 100, ts=1)
        assert book_fill(book, "x-3", "SELL", 10, 130, ts=3).realized == 300
        late = book_fill(book, "x-2", "BUY", 10, 120, ts=2)
        # 20 for 2,200: the sale cost 1,100, not 1,000
        assert (late.late, late.realized) == (True, -100)
        assert book.realized_by_pool[Pool.SCALP] == 200
        assert book.average_cost("ema", SAMSUNG) == 110

    @pytest.mark.parametrize("qty", ["0", "-1", "NaN", "Infinity"])
    def test_a_quantity_that_is_none_is_refused_before_anything_changes(self, qty: str) -> None:
        book = account()
        with pytest.raises(ContractError, match="qty"):
            book_fill(book, "x-1", "BUY", qty, 1000)
        assert book.cash == 1_000_000
        book_fill(book, "x-1", "BUY", 1, 1000)

    @pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
    def test_a_price_that_is_none_is_refused(self, price: str) -> None:
        with pytest.raises(ContractError, match="price"):
            book_fill(account(), "x-1", "BUY", 1, price)

    @pytest.mark.parametrize("charge", ["fee", "tax"])
    def test_a_charge_that_is_not_finite_is_refused_and_a_rebate_is_not(self, charge: str) -> None:
        with pytest.raises(ContractError, match=charge):
            book_fill(account(), "x-1", "BUY", 1, 1000, **{charge: "NaN"})
        book = account()
        book_fill(book, "x-1", "BUY", 1, 1000, **{charge: "-5"})
        assert book.realized_by_pool[Pool.SCALP] == 5

    def test_a_strategy_belongs_to_one_pool(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 1, 1000)
        with pytest.raises(ContractError, match="belongs to pool SCALP, not SWING"):
            book_fill(book, "x-2", "BUY", 1, 1000, pool=Pool.SWING)
        assert book.fills_applied == 1


class TestReservation:
    def test_a_buy_holds_its_whole_cost_back(self) -> None:
        book = account()
        assert reserve_buy(book, "o-1", 10_020)
        assert (book.reserved(Pool.SCALP), book.available(Pool.SCALP)) == (10_020, 389_980)
        assert book.cash == 1_000_000

    def test_exactly_what_is_available_can_be_reserved_and_no_won_more(self) -> None:
        book = account()
        assert not reserve_buy(book, "o-1", 400_001)
        assert book.open_reservations == ()
        assert reserve_buy(book, "o-1", 400_000)
        assert not reserve_buy(book, "o-2", 1)

    def test_another_pools_money_is_out_of_reach(self) -> None:
        book = account()
        assert not book.reserve("o-1", "ema", Pool.PORTFOLIO, SAMSUNG, Side.BUY, D(1), D(1), D(250_001))

    def test_release_gives_back_once(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 10_020)
        assert book.release("o-1") is True
        assert book.release("o-1") is False
        assert (book.reserved(Pool.SCALP), book.available(Pool.SCALP)) == (0, 400_000)

    def test_a_second_reservation_of_an_order_is_refused(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 100)
        with pytest.raises(StateError, match="o-1 already holds"):
            reserve_buy(book, "o-1", 100)

    @pytest.mark.parametrize(
        ("qty", "price", "cost"), [("0", "1", "1"), ("1", "0", "1"), ("1", "1", "0"), ("NaN", "1", "1")]
    )
    def test_a_buy_needs_quantity_price_and_cost(self, qty: str, price: str, cost: str) -> None:
        with pytest.raises(ContractError, match="nothing to reserve"):
            account().reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(qty), D(price), D(cost))

    def test_a_sale_holds_shares_of_its_own_strategy_only(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        book_fill(book, "x-2", "BUY", 5, 1000, strategy="other")
        assert not reserve_sell(book, "o-1", 11)
        assert reserve_sell(book, "o-1", 7)
        assert book.reserved_qty("ema", SAMSUNG) == 7
        assert not reserve_sell(book, "o-2", 4)
        assert reserve_sell(book, "o-2", 3)
        assert book.reserved(Pool.SCALP) == 0

    def test_fills_give_their_share_back_rounded_up_to_the_quantum(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 10_021, qty=3)
        book_fill(book, "x-1", "BUY", 1, 3000, last=False)
        # 10,021 x 2/3 = 6,680.67 stays as 6,681
        assert book.reserved(Pool.SCALP) == 6_681
        book_fill(book, "x-2", "BUY", 1, 3000, last=False)
        assert book.reserved(Pool.SCALP) == 3_341
        book_fill(book, "x-3", "BUY", 1, 3000)
        assert (book.reserved(Pool.SCALP), book.open_reservations) == (0, ())

    def test_a_cost_that_is_no_whole_quantum_never_grows_by_a_fill(self) -> None:
        book = account()
        book.reserve("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(1), D(1), D("0.5"))
        book_fill(book, "x-1", "BUY", "0.1", 1, last=False)
        assert book.reserved(Pool.SCALP) == D("0.5")

    def test_a_partly_filled_sale_holds_the_rest(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, order="o-1")
        reserve_sell(book, "o-2", 10)
        book_fill(book, "x-2", "SELL", 4, 1000, order="o-2", ts=1, last=False)
        assert book.reserved_qty("ema", SAMSUNG) == 6
        assert [r.left for r in book.open_reservations] == [6]

    def test_a_fill_beyond_the_order_is_booked_and_reported(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 10_020)
        assert not book_fill(book, "x-1", "BUY", 9, 1000, last=False).overfilled
        assert book_fill(book, "x-2", "BUY", 2, 1000).overfilled
        assert book.reserved(Pool.SCALP) == 0

    def test_a_fill_after_release_is_booked(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 10_020)
        book.release("o-1")
        assert not book_fill(book, "x-1", "BUY", 10, 1000).overfilled
        assert book.available(Pool.SCALP) == 390_000


class TestTransfer:
    def test_lowers_the_source_by_what_it_raises_in_the_target(self) -> None:
        book = account()
        done = book.transfer(transfer("t-1", Pool.SCALP, Pool.SWING, 50_000, ts=9))
        assert done is TransferOutcome.APPLIED
        assert [book.available(pool) for pool in Pool] == [350_000, 400_000, 250_000]
        assert book.cash == 1_000_000
        assert [row.ts_ns for row in book.pool_rows()] == [9, 9, 0]
        assert book.export_state()["transfers"] == 1

    def test_the_same_id_moves_once(self) -> None:
        book = account()
        book.transfer(transfer("t-1", Pool.SCALP, Pool.SWING, 50_000))
        assert book.transfer(transfer("t-1", Pool.SCALP, Pool.SWING, 50_000)) is TransferOutcome.SEEN_BEFORE
        assert book.available(Pool.SCALP) == 350_000

    def test_all_that_is_available_can_move_and_no_won_more(self) -> None:
        book = account()
        reserve_buy(book, "o-1", 100_000)
        too_much = transfer("t-1", Pool.SCALP, Pool.SWING, 300_001)
        assert book.transfer(too_much) is TransferOutcome.EXCEEDS_AVAILABLE
        assert book.available(Pool.SCALP) == 300_000
        assert book.transfer(transfer("t-1", Pool.SCALP, Pool.SWING, 300_000)) is TransferOutcome.APPLIED
        assert book.available(Pool.SCALP) == 0

    @pytest.mark.parametrize("amount", ["0", "-1", "0.5", "NaN", "Infinity"])
    def test_an_amount_that_is_no_whole_quantum_above_zero_is_refused(self, amount: str) -> None:
        with pytest.raises(ContractError, match="whole units of 1"):
            account().transfer(transfer("t-1", Pool.SCALP, Pool.SWING, amount))

    def test_a_transfer_to_itself_is_refused(self) -> None:
        with pytest.raises(ContractError, match="both SCALP"):
            account().transfer(transfer("t-1", Pool.SCALP, Pool.SCALP, 1))


class TestQuestions:
    def test_a_position_is_the_sum_over_strategies(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        book_fill(book, "x-2", "BUY", 5, 1000, strategy="turtle", pool=Pool.SWING)
        book_fill(book, "x-3", "BUY", 2, 100, symbol="000660")
        assert book.position(SAMSUNG) == 15
        assert book.positions() == {SAMSUNG: 15, "000660": 2}

    def test_flat_symbols_are_left_out_also_when_strategies_offset_each_other(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        book_fill(book, "x-2", "SELL", 10, 1000, strategy="turtle", pool=Pool.SWING)
        book_fill(book, "x-3", "BUY", 1, 100, symbol="000660")
        book_fill(book, "x-4", "SELL", 1, 100, symbol="000660", ts=1)
        assert book.positions() == {}
        assert book.exposure(at(1000)) == 20_000

    def test_nothing_is_held_where_nothing_was_filled(self) -> None:
        book = account()
        assert (book.holding("ema", "?"), book.average_cost("ema", "?"), book.position("?")) == (0, None, 0)

    def test_equity_is_cash_plus_holdings_at_the_mark(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        assert book.equity(at(1100)) == 1_000_000 - 15 + 1_000
        assert book.exposure(at(1100)) == 11_000
        assert book.symbol_exposure(SAMSUNG, at(1100)) == 11_000
        assert book.symbol_exposure("000660", at(1100)) == 0

    def test_a_holding_without_a_mark_counts_at_cost_and_is_named(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        assert book.equity(at(None)) == 1_000_000 - 15
        assert book.unmarked(at(None)) == (SAMSUNG,)
        assert book.unmarked(at(1)) == ()

    def test_a_short_holding_lowers_equity_and_raises_exposure(self) -> None:
        book = account()
        book_fill(book, "x-1", "SELL", 10, 1000)
        assert book.equity(at(1100)) == 1_000_000 - 1_000
        assert book.exposure(at(1100)) == 11_000

    def test_a_pool_is_cash_holdings_and_reservations(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        reserve_buy(book, "o-2", 5_000)
        pool = book.pool(Pool.SCALP, at(1100), D("0.40"))
        assert (pool.total, pool.invested, pool.reserved) == (400_985, 11_000, 5_000)
        assert pool.available == 400_000 - 10_015 - 5_000
        assert (pool.realized_pnl, pool.unrealized_pnl) == (-15, 1_000)
        assert pool.allocation_pct == D(400_985) / D(1_000_985)
        assert pool.target_allocation_pct == D("0.40")

    def test_the_pools_sum_to_equity(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000, fee=15)
        book_fill(book, "x-2", "BUY", 3, 999, strategy="turtle", pool=Pool.SWING)
        pools = book.pools(at(1234), BALANCED)
        assert sum(pool.total for pool in pools.values()) == book.equity(at(1234))
        assert pools[Pool.SWING].target_allocation_pct == D("0.35")
        assert book.pools(at(1), {})[Pool.SWING].target_allocation_pct == 0

    def test_shares_of_an_account_without_equity_are_zero(self) -> None:
        book = account("0")
        assert book.pool(Pool.SCALP, at(1)).allocation_pct == 0

    def test_position_rows_keep_flat_holdings(self) -> None:
        book = account()
        book_fill(book, "x-1", "BUY", 10, 1000)
        book_fill(book, "x-2", "SELL", 10, 1000, ts=5)
        assert [(row.strategy, row.qty, row.cost, row.ts_ns) for row in book.position_rows()] == [("ema", 0, 0, 5)]


class TestCheckpoint:
    def worked(self) -> tuple[Account, list[FillEffect], list]:  # type: ignore[type-arg]
        book = account()
        reserve_buy(book, "o-1", 10_020)
        effects = [book_fill(book, "x-1", "BUY", 4, 1000, fee=6, last=False)]
        effects.append(book_fill(book, "x-2", "SELL", 1, 1100, fee=1, tax=2, order="o-2", ts=1))
        reserve_sell(book, "o-3", 2)
        moved = transfer("t-1", Pool.SWING, Pool.SCALP, 1_000)
        book.transfer(moved)
        return book, effects, [moved]

    def test_a_fresh_account_takes_over_from_the_stored_rows(self) -> None:
        book, effects, moved = self.worked()
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(book.export_state()))
        again = account()
        again.import_state(state, ledger=[effect.ledger for effect in effects], transfers=moved)
        assert again.export_state() == book.export_state()
        assert again.pools(at(1200), BALANCED) == book.pools(at(1200), BALANCED)
        assert again.position_rows() == book.position_rows()
        assert again.pool_rows() == book.pool_rows()
        assert again.open_reservations == book.open_reservations
        assert (again.fees_total, again.taxes_total) == (7, 2)

    def test_what_was_booked_before_is_known_afterwards(self) -> None:
        book, effects, moved = self.worked()
        again = account()
        again.import_state(book.export_state(), ledger=[effect.ledger for effect in effects], transfers=moved)
        assert again.apply_fill(fill("x-1", "BUY", 4, 1000), strategy="ema", pool=Pool.SCALP) is None
        assert again.transfer(moved[0]) is TransferOutcome.SEEN_BEFORE
        assert again.release("o-1") is True
        assert again.release("o-1") is False

    def test_rows_that_do_not_fit_the_checkpoint_are_refused(self) -> None:
        book, effects, moved = self.worked()
        rows = [effect.ledger for effect in effects]
        with pytest.raises(StorageError, match="fills = 1, the checkpoint says 2"):
            account().import_state(book.export_state(), ledger=rows[:1], transfers=moved)
        with pytest.raises(StorageError, match="transfers = 0"):
            account().import_state(book.export_state(), ledger=rows)
        dearer = [msgspec.structs.replace(rows[0], price=D(1001)), rows[1]]
        with pytest.raises(StorageError, match="cash of SCALP"):
            account().import_state(book.export_state(), ledger=dearer, transfers=moved)
        richer = [msgspec.structs.replace(rows[0], realized_pnl=D(0)), rows[1]]
        with pytest.raises(StorageError, match="result of SCALP"):
            account().import_state(book.export_state(), ledger=richer, transfers=moved)

    def test_results_that_do_not_follow_from_the_fills_are_refused(self) -> None:
        book, effects, moved = self.worked()
        rows = [msgspec.structs.replace(effect.ledger, realized_pnl=D(0)) for effect in effects]
        state = book.export_state() | {"realized": {pool.value: "0" for pool in Pool}}
        with pytest.raises(StorageError, match="result of all"):
            account().import_state(state, ledger=rows, transfers=moved)

    def test_another_opening_or_version_is_refused(self) -> None:
        state = account().export_state()
        with pytest.raises(StorageError, match="opening '1000000'"):
            account("999999").import_state(state, ledger=[])
        with pytest.raises(StorageError, match="version 99"):
            account().import_state(state | {"version": 99}, ledger=[])

    def test_an_account_that_has_worked_cannot_take_over(self) -> None:
        book, _, _ = self.worked()
        with pytest.raises(StateError, match="fresh"):
            book.import_state(account().export_state(), ledger=[])

    def test_a_fill_behind_the_checkpoint_has_the_effect_that_it_had(self) -> None:
        # Given a checkpoint behind two purchases and a sale, and a late fill, a closing one and one too many since
        book = account()
        known = [
            book_fill(book, "x-1", "BUY", 10, 1_000, ts=5),
            book_fill(book, "x-2", "SELL", 4, 1_100, ts=6),
        ]
        state = book.export_state()
        since = [
            book_fill(book, "x-3", "BUY", 2, 900, fee=3, ts=1),
            book_fill(book, "x-4", "SELL", 8, 1_200, fee=2, tax=1, ts=7),
            book_fill(book, "x-5", "SELL", 1, 1_200, ts=8),
        ]
        assert [(one.late, one.closing, one.oversold) for one in since] == [
            (True, False, False),
            (False, True, False),
            (False, False, True),
        ]
        # When another process begins with that checkpoint and all rows, then each has the same effect there
        rows = [one.ledger for one in (*known, *since)]
        assert account().roll_forward(state, ledger=rows) == since


class TestOtherQuestions:
    def test_only_a_readable_fill_has_an_identity(self) -> None:
        book, one = account(), fill("1", "BUY", 10, 1_000, ts=1)
        assert book.identity_of(one) == ("main", "sim", "1970-01-01", "o-1", "1")
        assert book.identity_of(fill("1", "BUY", 10, "NaN", ts=1)) is None
        assert book.identity_of("no fill") is None

    def test_money_is_held_back_once_for_an_order_of_before_a_restart(self) -> None:
        book = account()
        book.hold_back("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(5), D(5_015))
        book.hold_back("o-2", "ema", Pool.SCALP, SAMSUNG, Side.SELL, D(5), None)
        assert (book.reserved(Pool.SCALP), book.reserved_qty("ema", SAMSUNG)) == (5_015, 5)
        with pytest.raises(StateError, match="o-1 already holds a reservation"):
            book.hold_back("o-1", "ema", Pool.SCALP, SAMSUNG, Side.BUY, D(5), D(5_015))

    def test_the_state_of_an_earlier_version_does_not_say_how_the_opening_was_divided(self) -> None:
        state = account().export_state()
        del state["initial"]
        again = account()
        again.import_state(state, ledger=[])
        assert again.pool_rows() == account().pool_rows()
