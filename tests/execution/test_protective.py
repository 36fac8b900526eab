"""What comes next about the exits of one holding: one order, sized by what is not leaving; who gives the reason."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest

from qts.execution.contracts import Order
from qts.execution.protective.contracts import ExitRequest, Origin, Standing, Step, Waits
from qts.execution.protective.decision import next_step
from qts.execution.protective.requests import ProtectiveRequests
from qts.strategy.contracts import Side
from tests.execution.orders import order_with

D = Decimal
KEY = ("scalp", "005930")
FIVE = tuple(origin for origin in Origin if origin is not Origin.SENT_BEFORE)


def whole(origin: Origin = Origin.POOL, reason: str = "") -> ExitRequest:
    return ExitRequest(origin, reason or origin.value)


def part(qty: int, origin: Origin = Origin.OPERATOR, reason: str = "a part") -> ExitRequest:
    return ExitRequest(origin, reason, D(qty))


def order(
    side: Side = Side.SELL, qty: int = 10, *, reason: str = "POOL", forced: bool = True, **more: Any
) -> Order:
    fields = {"client_order_id": "o-1", "symbol": KEY[1], "decision_price": D(100), "reduce_only": forced, **more}
    return order_with(side=side, qty=D(qty), reason=reason, forced=forced, **fields)


def step(*requests: ExitRequest, held: int = 10, orders: tuple[Order, ...] = (), **more: Any) -> Step:
    found = next_step(requests, Standing(D(held), orders, **more))
    assert found is not None
    return found


# -- one order, for what is not leaving ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "asked", "side", "qty"),
    [
        (10, whole(), Side.SELL, 10),
        (-10, whole(), Side.BUY, 10),
        (10, part(4), Side.SELL, 4),
        (10, part(14), Side.SELL, 10),
        (-10, part(-4), Side.BUY, 4),
    ],
)
def test_it_takes_out_what_is_wanted_by_the_sign_of_the_holding(
    held: int, asked: ExitRequest, side: Side, qty: int
) -> None:
    found = step(asked, held=held)
    assert (found.side, found.qty, found.is_all, found.cancels) == (side, qty, asked.is_whole, ())


@pytest.mark.parametrize(("held", "asked"), [(10, part(-4)), (-10, part(4)), (0, part(4))])
def test_a_part_of_the_other_side_wants_nothing_and_is_over(held: int, asked: ExitRequest) -> None:
    assert step(asked, held=held).is_over


def test_while_its_order_works_no_other_is_sent_also_where_the_holding_has_grown() -> None:
    found = step(whole(), held=13, orders=(order(qty=10),))
    assert (found.qty, found.cancels, found.waits) == (0, (), Waits.ORDER)


def test_what_the_strategy_sells_at_the_market_leaves_already() -> None:
    own = order(qty=4, forced=False, reduce_only=True)
    assert step(whole(), orders=(own,)).qty == 6


def test_what_the_strategy_offers_at_a_limit_is_cancelled_and_sold_after_that() -> None:
    own = order(qty=4, forced=False, reduce_only=True, limit=D(120))
    found = step(whole(), orders=(own,))
    assert (found.cancels, found.qty) == ((own,), 6)
    all_of_it = order(qty=10, forced=False, reduce_only=True, limit=D(120))
    found = step(whole(), orders=(all_of_it,))
    assert (found.cancels, found.qty, found.waits) == ((all_of_it,), 0, Waits.CANCELS)


def test_a_buy_is_cancelled_for_the_whole_and_left_alone_for_a_part() -> None:
    buy = order(Side.BUY, forced=False)
    assert step(whole(), orders=(buy,)).cancels == (buy,)
    assert step(part(4), orders=(buy,)).cancels == ()


def test_an_exit_of_the_whole_is_over_when_nothing_is_held_and_nothing_works() -> None:
    assert step(whole(), held=0).is_over
    assert not step(whole(), held=0, orders=(order(Side.BUY, forced=False),)).is_over


def test_what_others_have_sold_is_not_sold_again() -> None:
    assert step(whole(), left_there=D(3)).qty == 3
    found = step(whole(), left_there=D(0))
    assert (found.qty, found.waits) == (0, Waits.THERE)


def test_after_a_rejection_nothing_is_sent_before_the_books_were_compared() -> None:
    found = step(whole(), must_compare=True)
    assert (found.qty, found.waits) == (0, Waits.BOOKS)


# -- who gives the reason ---------------------------------------------------------------------------------------


def test_the_strongest_of_five_gives_the_reason_whatever_their_order() -> None:
    for mixed in permutations(FIVE):
        found = step(*map(whole, mixed))
        assert (found.request.origin, found.qty) == (Origin.ESCAPE, 10), mixed


def test_a_weaker_one_gives_the_reason_for_what_it_alone_wants() -> None:
    found = step(part(4, Origin.OPERATOR), whole(Origin.LEVEL))
    assert (found.request.origin, found.qty) == (Origin.LEVEL, 10)


def test_of_the_same_quantity_the_stronger_gives_the_reason() -> None:
    assert step(part(10, Origin.OPERATOR), whole(Origin.LEVEL)).request.origin is Origin.OPERATOR


def test_the_smaller_order_of_a_weaker_one_is_cancelled_and_the_rest_waits_for_that() -> None:
    weaker = order(qty=4, reason="a part")
    found = step(part(4, Origin.LEVEL), whole(Origin.OPERATOR), orders=(weaker,))
    assert (found.cancels, found.qty) == ((weaker,), 0)
    assert step(part(4, Origin.LEVEL), whole(Origin.OPERATOR)).qty == 10


def test_an_order_for_everything_is_left_alone_of_any_origin() -> None:
    weaker = order(qty=10, reason=Origin.LEVEL.value)
    found = step(whole(Origin.LEVEL), whole(Origin.OPERATOR), orders=(weaker,))
    assert (found.cancels, found.qty, found.waits) == ((), 0, Waits.ORDER)


def test_the_order_of_a_stronger_one_ends_by_itself() -> None:
    stronger = order(qty=4, reason="a part")
    found = step(part(4, Origin.OPERATOR), whole(Origin.LEVEL), orders=(stronger,))
    assert (found.cancels, found.qty) == ((), 0)


# -- an escape ----------------------------------------------------------------------------------------------------


def test_an_escape_cancels_everything_and_sends_nothing_before_that_is_confirmed() -> None:
    market = order(qty=4, forced=False, reduce_only=True)
    buy = order(Side.BUY, forced=False)
    found = step(whole(Origin.ESCAPE), orders=(market, buy), is_measured=False)
    assert (found.cancels, found.qty, found.asks) == ((market, buy), 0, False)


def test_an_escape_asks_the_books_before_it_sends_and_before_it_is_over() -> None:
    asks = step(whole(Origin.ESCAPE), is_measured=False)
    assert (asks.asks, asks.qty, asks.is_over) == (True, 0, False)
    assert step(whole(Origin.ESCAPE), is_measured=True).qty == 10
    asks = step(whole(Origin.ESCAPE), held=0, is_measured=False)
    assert (asks.asks, asks.is_over) == (True, False)
    assert step(whole(Origin.ESCAPE), held=0, is_measured=True).is_over


def test_an_escape_of_a_short_holding_buys_it_back() -> None:
    found = step(whole(Origin.ESCAPE), held=-7)
    assert (found.side, found.qty) == (Side.BUY, 7)


# -- the book of requests -----------------------------------------------------------------------------------------


def test_parts_do_not_add_up_and_every_sale_counts_for_all_of_them() -> None:
    requests = ProtectiveRequests()
    requests.put(KEY, part(10, Origin.OPERATOR))
    requests.put(KEY, part(6, Origin.LEVEL))
    requests.on_fill(KEY, Side.SELL, D(6))
    assert [one.left for one in requests.of(KEY)] == [4, 0]
    requests.on_fill(KEY, Side.BUY, D(3))
    assert [one.left for one in requests.of(KEY)] == [4, 0]


def test_of_one_origin_the_first_for_the_whole_stays_and_the_newest_for_a_part() -> None:
    requests = ProtectiveRequests()
    for asked in (whole(reason="first"), whole(reason="second"), part(4, reason="old"), part(6, reason="new")):
        requests.put(KEY, asked)
    assert [(one.reason, one.left) for one in requests.of(KEY)] == [("first", None), ("new", 6)]


def test_what_an_operator_takes_back_leaves_what_rules_require() -> None:
    requests = ProtectiveRequests()
    for origin in FIVE:
        requests.put(KEY, whole(origin))
    requests.withdraw(Origin.OPERATOR, lambda strategy, symbol: True)
    assert {one.origin for one in requests.of(KEY)} == set(FIVE) - {Origin.OPERATOR}


def test_a_late_fill_reopens_what_ended_after_its_order_began_and_no_later_one() -> None:
    requests = ProtectiveRequests()
    requests.put(KEY, whole())
    requests.finish(KEY, 100)
    assert not requests.reopen(KEY, 101)
    assert requests.reopen(KEY, 100)
    assert KEY in requests
    requests.finish(KEY, 200)
    requests.on_entry(KEY)
    assert not requests.reopen(KEY, 100)


def test_a_part_sends_nothing_before_it_has_begun() -> None:
    requests = ProtectiveRequests()
    requests.put(KEY, ExitRequest(Origin.OPERATOR, "flatten", D(4), is_begun=False))
    assert next_step(requests.of(KEY), Standing(D(10), ())) is None
    assert requests.begun() == []
    requests.begin(KEY)
    assert requests.begun() == [KEY]


def test_a_checkpoint_has_all_of_it() -> None:
    requests = ProtectiveRequests()
    for asked in (whole(Origin.LEVEL), part(4), whole(Origin.ESCAPE)):
        requests.put(KEY, asked)
    requests.put(("swing", "000660"), whole())
    requests.finish(("swing", "000660"), 7)
    again = ProtectiveRequests()
    again.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(requests.export_state())))
    assert again.export_state() == requests.export_state()
    assert [one.origin for one in again.of(KEY)] == [Origin.LEVEL, Origin.OPERATOR, Origin.ESCAPE]
    assert again.reopen(("swing", "000660"), 7)
