"""Shares of EXTERNAL that strategies take over, and EXTERNAL cash that moves: worked by hand, refusals, once."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.ledger.account import Account
from qts.ledger.audit import audit
from qts.ledger.bookings import check_booking
from qts.ledger.contracts import BookingKind

from .book import BALANCED, SAMSUNG, account, at, bust, claims_of, fill, note
from .test_bookings import moved, pools_of


class TestTakingOver:
    def held(self) -> Account:
        """A million won in the pools, 500,000 won and 7 shares for 350,000 won that are EXTERNAL."""
        book = account()
        book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening"))
        return book

    def test_shares_of_external_become_a_strategys_at_their_cost(self) -> None:
        # Given 7 shares at 50,000 that are not ours, and 2 of the strategy's own at 62,000
        book = self.held()
        book.apply_fill(fill("1", "BUY", 2, 62_000, ts=3), strategy="ema", pool=Pool.SCALP)
        # When it takes over 3 of the 7, at a market price of 60,000
        effects = book.take_over(SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        # Then no cash has moved, 150,000 of cost have, and its average is (124,000 + 150,000) / 5
        assert (book.external.cash, pools_of(book)) == (500_000, (276_000, 350_000, 250_000))
        assert (book.external.positions(), book.external.cost(SAMSUNG)) == ({SAMSUNG: 4}, 200_000)
        assert (book.holding("ema", SAMSUNG), book.average_cost("ema", SAMSUNG)) == (5, 54_800)
        assert book.broker_positions() == {SAMSUNG: 9}
        # And the pools are worth 180,000 more at the market without a result: it is capital of another kind
        assert book.equity(at(60_000)) == 876_000 + 5 * 60_000
        assert (book.contributions_total, book.contributions_value) == (150_000, 180_000)
        assert book.capital_paid_in == 1_150_000
        assert set(book.realized_by_pool.values()) == {D(0)}
        assert [moved(one.booking) for one in effects] == [
            {
                f"external:holding:{SAMSUNG}": (-150_000, -3),
                f"market:{SAMSUNG}": (0, 3),
                "capital": (150_000, 0),
            },
            {f"holding:ema:{SAMSUNG}": (150_000, 3), f"market:{SAMSUNG}": (0, -3), "capital": (-150_000, 0)},
        ]
        position = effects[1].position
        assert position is not None
        assert (position.strategy, position.qty, position.cost) == ("ema", 5, 274_000)
        # And it happens once
        assert book.take_over(SAMSUNG, D(3), note("c-1", 9), strategy="ema", pool=Pool.SCALP, price=D(1)) == ()

    def test_a_sale_of_it_earns_what_it_brings_over_its_cost(self) -> None:
        book = self.held()
        book.take_over(SAMSUNG, D(7), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        effect = book.apply_fill(fill("1", "SELL", 7, 61_000, ts=9), strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        assert (effect.realized, effect.oversold, book.external.cost(SAMSUNG)) == (77_000, False, 0)

    def test_it_stands_behind_every_fill_of_the_same_shares(self) -> None:
        # Given a sale that the broker's clock puts after ours, and a purchase that is reported late
        book = self.held()
        book.apply_fill(fill("1", "BUY", 4, 1_000, ts=3), strategy="ema", pool=Pool.SCALP)
        book.apply_fill(fill("2", "SELL", 2, 1_500, ts=10), strategy="ema", pool=Pool.SCALP)
        book.take_over(SAMSUNG, D(7), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(1))
        # Then the result of the sale is that of its own purchase, 2 × 500
        assert (book.realized_by_pool[Pool.SCALP], book.holding("ema", SAMSUNG)) == (1_000, 9)

    @pytest.mark.parametrize(
        ("sold", "held", "cost", "earned"), [(2, 1, 50_000, 20_000), (3, 0, 0, 30_000), (5, -2, -120_000, 30_000)]
    )
    def test_a_sale_from_before_it_that_comes_late_is_covered_by_it(
        self, sold: int, held: int, cost: int, earned: int
    ) -> None:
        # Given 3 shares that cost 50,000 each taken over at 5
        book = self.held()
        opened = account().adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening"))
        taken = book.take_over(SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        # When a sale at 60,000 is reported that the broker's clock puts before that
        sale = book.apply_fill(fill("1", "SELL", sold, 60_000, ts=3), strategy="ema", pool=Pool.SCALP)
        # Then each share of it that is covered has earned 10,000, and nothing is left of what is not held
        assert sale is not None
        assert (book.holding("ema", SAMSUNG), sale.position.cost, sale.realized) == (held, cost, earned)
        # And audit and entries agree
        found = audit(
            initial=book.initial,
            quantum=D(1),
            ledger=[sale.ledger],
            transfers=[],
            orders=[],
            claims=claims_of(book, at(60_000)),
            mark=at(60_000),
            bookings=[one.booking for one in (*opened, *taken)],
        )
        assert [one for one in found.findings if one.invariant in (1, 4, 5)] == []

    def test_a_strategy_that_sold_what_it_never_held_takes_nothing(self) -> None:
        book = self.held()
        book.apply_fill(fill("1", "SELL", 3, 60_000, ts=3), strategy="ema", pool=Pool.SCALP)
        with pytest.raises(ContractError, match="has sold 005930 that it never held"):
            book.take_over(SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        assert book.external.positions() == {SAMSUNG: 7}

    def test_what_was_bought_before_can_still_be_taken_back(self) -> None:
        book, one = self.held(), fill("1", "BUY", 2, 62_000, ts=3)
        book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
        book.take_over(SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        assert book.reverse(bust(one)) is not None
        assert (book.holding("ema", SAMSUNG), book.average_cost("ema", SAMSUNG)) == (3, 50_000)

    @pytest.mark.parametrize("qty", [D(8), D(0), D(-1), D("NaN"), D("Infinity")])
    def test_no_more_than_is_there(self, qty: D) -> None:
        book = self.held()
        with pytest.raises(ContractError, match="EXTERNAL holds 7 005930, not"):
            book.take_over(SAMSUNG, qty, note("c-1"), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        assert book.external.positions() == {SAMSUNG: 7}

    def test_a_strategy_of_another_pool_takes_nothing(self) -> None:
        book = self.held()
        book.apply_fill(fill("1", "BUY", 1, 1), strategy="ema", pool=Pool.SWING)
        with pytest.raises(ContractError, match="belongs to pool SWING, not SCALP"):
            book.take_over(SAMSUNG, D(1), note("c-1"), strategy="ema", pool=Pool.SCALP, price=D(60_000))
        assert (book.external.positions(), book.bookings_applied) == ({SAMSUNG: 7}, 2)

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"pool": None}, "withdrawn from EXTERNAL and deposited"),
            ({"strategy": ""}, "withdrawn from EXTERNAL and deposited"),
            ({"qty": D(-3)}, "wrong sign"),
            ({"price": D(0)}, "wrong sign"),
            ({"kind": BookingKind.WITHDRAWAL}, "withdrawn from EXTERNAL and deposited"),
        ],
    )
    def test_half_of_it_is_no_booking(self, changes: dict[str, Any], problem: str) -> None:
        effects = self.held().take_over(
            SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(60_000)
        )
        with pytest.raises(ContractError, match=problem):
            check_booking(replace(effects[1].booking, **changes), D(1))
        with pytest.raises(ContractError, match="not booked one-sided"):
            self.held().book(effects[1].booking)

    def test_the_audit_finds_shares_that_came_from_nowhere(self) -> None:
        book = self.held()
        bookings = [one.booking for one in account().adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("o"))]
        moved_rows = book.take_over(SAMSUNG, D(3), note("c-1", 5), strategy="ema", pool=Pool.SCALP, price=D(6))
        found = audit(
            initial=book.initial,
            quantum=D(1),
            ledger=[],
            transfers=[],
            orders=[],
            claims=claims_of(book, at(6)),
            mark=at(6),
            bookings=[*bookings, moved_rows[1].booking],
        )
        assert "what left EXTERNAL and what came differ: c-1 of 005930" in str(found.findings)


class TestExternalCash:
    def test_it_moves_to_the_pools_and_back(self) -> None:
        # Given 500,000 won that are not ours
        book = account()
        book.adopt(D(1_500_000), {}, note("opening"))
        # When 100,001 of them become ours
        effects = book.move_external_cash(D(100_001), note("c-1"), weights=BALANCED, remainder=Pool.SWING)
        # Then they are divided 40:35:25 in whole won, and the account as a whole has what it had
        assert effects is not None
        assert (pools_of(book), book.external.cash) == ((440_000, 385_001, 275_000), 399_999)
        assert (book.broker_cash, book.deposits_total) == (1_500_000, 100_001)
        assert book.move_external_cash(D(100_001), note("c-1"), weights=BALANCED, remainder=Pool.SWING) == ()
        # And when 40,000 go back
        book.move_external_cash(D(-40_000), note("c-2"), weights=BALANCED, remainder=Pool.SWING)
        assert (pools_of(book), book.external.cash) == ((424_000, 371_001, 265_000), 439_999)
        assert book.withdrawals_total == 40_000

    def test_no_more_than_is_there(self) -> None:
        book = account()
        book.adopt(D(1_500_000), {}, note("opening"))
        assert book.move_external_cash(D(500_001), note("c"), weights=BALANCED, remainder=Pool.SWING) is None
        assert book.move_external_cash(D(-1_000_001), note("c"), weights=BALANCED, remainder=Pool.SWING) is None
        assert (book.external.cash, book.bookings_applied) == (500_000, 1)

    def test_executions_from_before_the_opening_count_as_booked(self) -> None:
        # Given an account that was adopted on its second day, after a sale by hand of that day
        day_ns = 24 * 3_600 * 10**9
        book, sale = account(), fill("9", "SELL", 3, 60_000, order="by hand", ts=day_ns + 5)
        old = fill("8", "BUY", 3, 60_000, order="by hand", ts=day_ns - 5)
        effects = book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening", day_ns + 9), [sale])
        # Then neither that nor what came the day before is booked again, also after a restart
        again = account()
        state = book.export_state()
        again.import_state(state, ledger=[], bookings=[one.booking for one in effects])
        for one in (book, again):
            assert one.has_booked(sale)
            assert one.has_booked(old)
            assert one.book_external(sale, actor="rule", reason="") == ()
            assert not one.has_booked(fill("10", "SELL", 3, 60_000, order="by hand", ts=day_ns + 5))
            # And it cannot be taken back by itself: what is due is booked by hand
            with pytest.raises(ContractError, match="from before the account was adopted"):
                one.reverse(bust(sale))
        assert again.export_state() == state
