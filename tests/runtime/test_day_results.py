"""What a strategy has earned today, realised and open; every amount worked by hand."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qts.capital.contracts import Pool
from qts.execution.contracts import Fill
from qts.market.contracts import Quote
from qts.market.last_values import LastValues
from qts.runtime.metrics.day_results import DayResults
from tests.execution.orders import order_with
from tests.ledger.book import SAMSUNG, account, bust, fill, note


class Day:
    """An account of 1,000,000 won, prices, and the results of its strategies."""

    def __init__(self) -> None:
        self.account = account()
        self.last = LastValues()
        self.bases: dict[str, D] = {}
        self.results = DayResults(self.account, self.last, self.bases)

    def price(self, price: int, symbol: str = SAMSUNG) -> None:
        one = D(1)
        self.last.quotes[symbol] = Quote(symbol, 1, bid=D(price), ask=D(price + 1), bid_size=one, ask_size=one)

    def fills(self, told: Fill, strategy: str = "ema", pool: Pool = Pool.SCALP) -> None:
        effect = self.account.apply_fill(told, strategy=strategy, pool=pool)
        assert effect is not None
        told_of = order_with(
            client_order_id=told.client_order_id,
            strategy=strategy,
            pool=pool,
            symbol=told.symbol,
            side=told.side,
            qty=told.qty,
            decision_price=told.price,
        )
        self.results.on_fill(told, told_of, effect)


@pytest.fixture
def day() -> Day:
    return Day()


def test_one_that_has_done_nothing_has_earned_nothing(day: Day) -> None:
    assert day.results.of_strategy("ema") == 0
    assert day.results.of_pool(Pool.SCALP) == 0


def test_what_it_holds_is_valued_at_the_price_and_fees_are_paid(day: Day) -> None:
    # Given 10 shares bought at 1,000 with a fee of 15
    day.fills(fill("x-1", "BUY", 10, 1_000, fee=15))

    # When the bid is 990, then 10 × 10 and the fee are lost
    day.price(990)
    assert day.results.of_strategy("ema") == -115

    # When 4 are sold at 980 with a fee of 6 and a tax of 7, then 4 × 20 + 13 are lost for good, 6 × 10 open
    day.fills(fill("x-2", "SELL", 4, 980, fee=6, tax=7, order="o-2", ts=1))
    assert day.results.of_strategy("ema") == -15 - 80 - 13 - 60


def test_a_holding_without_a_price_makes_the_result_unknown(day: Day) -> None:
    day.fills(fill("x-1", "BUY", 10, 1_000))

    assert day.results.of_strategy("ema") is None
    assert day.results.of_pool(Pool.SCALP) is None
    assert (day.results.of_strategy("other"), day.results.of_pool(Pool.SWING)) == (0, 0)

    # and a position that is closed needs none
    day.fills(fill("x-2", "SELL", 10, 900, order="o-2", ts=1))
    assert day.results.of_strategy("ema") == -1_000


def test_the_result_of_a_day_begins_with_its_first_price(day: Day) -> None:
    # Given 10 shares bought at 1,000, worth 900 at the end of the day
    day.fills(fill("x-1", "BUY", 10, 1_000))
    day.price(900)
    assert day.results.of_strategy("ema") == -1_000

    # When the next day begins, then nothing is lost on it
    day.results.start_day()
    assert day.results.of_strategy("ema") == 0

    # and what changes from there on is of that day, held or sold
    day.price(880)
    assert day.results.of_strategy("ema") == -200
    day.fills(fill("x-2", "SELL", 10, 870, order="o-2", ts=1))
    assert day.results.of_strategy("ema") == -300


@pytest.mark.parametrize(("base", "result"), [(950, -500), (None, -1_000)])
def test_a_day_that_begins_without_a_price_begins_with_the_base_price_else_with_the_cost(
    day: Day, base: int | None, result: int
) -> None:
    day.fills(fill("x-1", "BUY", 10, 1_000))
    if base is not None:
        day.bases[SAMSUNG] = D(base)

    day.results.start_day()

    day.price(900)
    assert day.results.of_strategy("ema") == result


def test_a_pool_has_the_results_of_its_strategies(day: Day) -> None:
    day.price(1_000)
    day.fills(fill("x-1", "BUY", 10, 1_100), "one")
    day.fills(fill("x-2", "BUY", 10, 900, order="o-2"), "two")
    day.fills(fill("x-3", "BUY", 10, 1_200, order="o-3"), "three", Pool.SWING)

    assert [day.results.of_strategy(name) for name in ("one", "two", "three")] == [-1_000, 1_000, -2_000]
    assert (day.results.of_pool(Pool.SCALP), day.results.of_pool(Pool.SWING)) == (0, -2_000)


def test_a_fill_that_the_broker_takes_back_is_no_result(day: Day) -> None:
    day.price(900)
    told = fill("x-1", "BUY", 10, 1_000, fee=15)
    day.fills(told)
    assert day.results.of_strategy("ema") == -1_015

    effect = day.account.reverse(bust(told))
    assert effect is not None
    day.results.on_booking(effect.booking)

    assert day.results.of_strategy("ema") == 0


def test_it_goes_on_after_a_restart(day: Day) -> None:
    day.fills(fill("x-1", "BUY", 10, 1_000))
    day.price(900)
    day.results.start_day()
    day.fills(fill("x-2", "SELL", 5, 880, order="o-2", ts=1))

    resumed = DayResults(day.account, day.last, day.bases)
    resumed.import_state(day.results.export_state())

    assert resumed.of_strategy("ema") == day.results.of_strategy("ema") == -100


def test_shares_that_a_strategy_takes_over_begin_at_the_price_at_which_they_came(day: Day) -> None:
    # Given 10 shares at the broker that have cost 800 each, and that a strategy takes over at a price of 900
    day.account.adopt(D(1_000_000), {SAMSUNG: (D(10), D(8_000))}, note("opening"))
    rows = day.account.take_over(SAMSUNG, D(10), note("adopt", 1), strategy="ema", pool=Pool.SCALP, price=D(900))
    for effect in rows:
        day.results.on_booking(effect.booking)

    # Then what they were worth then is no result of the day
    day.price(900)
    assert day.results.of_strategy("ema") == 0
    day.price(890)
    assert day.results.of_strategy("ema") == -100
