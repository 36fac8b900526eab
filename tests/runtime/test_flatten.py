"""An operator's flattening: what was held is sold once, nothing is stopped, and what is bought meanwhile stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.execution.contracts import OrderState
from qts.execution.protective.contracts import ExitRequest, Origin
from qts.execution.protective.requests import ProtectiveRequests
from qts.market.actions import Split
from qts.runtime.control.commands import Flatten, FlattenReport
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, command, defensive, kst, with_ten

MakeRig = Callable[..., Rig]
SECOND = 1_000_000_000


def asked(**what: str) -> Flatten:
    return Flatten(operator="kim", reason="drill", **what)


def flatten(rig: Rig, **what: Any) -> tuple[str, Callable[[], FlattenReport]]:
    """Give the command; return its answer and what reports its progress."""
    given = asked(**what)
    answer = rig.command(given)
    report = rig.commands.progress_of(given)
    assert report is not None
    rig.drain()
    return answer.answer, report  # type: ignore[return-value]


def shown(report: Callable[[], FlattenReport]) -> list[tuple[str, str, str, str, str]]:
    return [(one.strategy, one.asked, one.sold, one.left, one.held) for one in report().holdings]


def three(rig_of: MakeRig, **more: Any) -> tuple[Rig, ScriptedStrategy, ScriptedStrategy, ScriptedStrategy, int]:
    """Two scalpers and a swinger hold ten shares each."""
    one, two, swing = ScriptedStrategy("one"), ScriptedStrategy("two"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(one, two, swing, **more)
    return rig, one, two, swing, with_ten(rig, one, two, swing)


def test_a_symbol_is_sold_of_every_strategy_and_nothing_is_stopped(rig_of: MakeRig) -> None:
    # Given three strategies with ten shares each
    rig, *strategies, now = three(rig_of)
    # When the symbol is flattened
    said, report = flatten(rig, name=SYMBOL)
    now = rig.quotes(now + SECOND, 3)
    # Then each holding is sold by one forced exit
    assert said == "3 holdings of symbol 005930 to be sold: one 10 005930, swing 10 005930, two 10 005930"
    sold = [(order.strategy, order.qty, order.forced) for order in rig.orders() if order.side is Side.SELL]
    assert sold == [("one", 10, True), ("swing", 10, True), ("two", 10, True)]
    assert shown(report) == [(name, "10", "10", "0", "0") for name in ("one", "swing", "two")]
    assert (report().complete, report().is_flat) == (True, True)
    # And safety and entries are as before
    assert rig.shared.safety.current_state is SafetyState.NORMAL
    for strategy in strategies:
        strategy.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 5)
    assert (rig.held("one"), rig.held("two"), rig.held("swing")) == (1, 1, 1)


def test_a_pool_is_sold_and_the_others_stay(rig_of: MakeRig) -> None:
    rig, *_, now = three(rig_of)
    flatten(rig, name="SCALP")
    rig.quotes(now + SECOND, 3)
    assert (rig.held("one"), rig.held("two"), rig.held("swing")) == (0, 0, 10)


def test_a_resting_buy_stays_and_what_it_buys_is_not_sold(rig_of: MakeRig) -> None:
    # Given ten shares, a bid for five at 149,000, and an offer of the ten at 154,000
    rig = rig_of(one := ScriptedStrategy("one"))
    now = with_ten(rig, one)
    one.wants(Side.BUY, qty=5, limit=149_000)
    now = rig.quotes(now + SECOND, 2)
    one.wants(Side.SELL, limit=154_000)
    now = rig.quotes(now + SECOND, 2)
    # When it is flattened
    _, report = flatten(rig, name=SYMBOL)
    now = rig.quotes(now + SECOND, 3)
    # Then the offer was cancelled first, the ten are sold and the bid is there
    by_limit = {order.limit: order.state for order in rig.orders() if order.limit is not None}
    assert (by_limit[D(149_000)], by_limit[D(154_000)]) == (OrderState.WORKING, OrderState.CANCELLED)
    assert (rig.held("one"), shown(report)) == (0, [("one", "10", "10", "0", "0")])
    # And when the bid is executed, its shares stay
    rig.quote(now + SECOND, bid=148_800, ask=148_900)
    rig.quotes(now + 2 * SECOND, 20)
    assert rig.held("one") == 5
    assert (shown(report), report().complete) == ([("one", "10", "10", "0", "5")], True)


def test_what_is_bought_while_it_sells_is_not_sold(rig_of: MakeRig) -> None:
    # Given ten shares, a bid for five that rests, and a flattening that finds two buyers a second
    rig = rig_of(one := ScriptedStrategy("one"))
    now = with_ten(rig, one)
    one.wants(Side.BUY, qty=5, limit=149_900)
    now = rig.quotes(now + SECOND, 2)
    _, report = flatten(rig, name=SYMBOL)
    rig.quote(now + SECOND, size=2)
    assert 0 < int(report().holdings[0].left) < 10
    # When the bid is executed while the rest is sold
    for second in range(2, 4):
        rig.quote(now + second * SECOND, bid=149_800, ask=149_900, size=2)
    assert int(report().holdings[0].left) > 0
    rig.quotes(now + 10 * SECOND, 30)
    # Then ten were sold in all, and the five stay
    sells = [order for order in rig.orders() if order.side is Side.SELL]
    assert sum(int(order.filled) for order in sells) == 10
    assert rig.held("one") == 5
    assert shown(report) == [("one", "10", "10", "0", "5")]


def test_the_strategys_own_sale_is_refused_meanwhile(rig_of: MakeRig) -> None:
    # Given a flattening that waits for the market to open
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    rig.quote(kst(8, 29, 50, day=23))
    _, report = flatten(rig, symbol=SYMBOL)
    # When the strategy itself wants to sell
    one.wants(Side.SELL, qty=3)
    rig.quote(kst(8, 29, 55, day=23))
    # Then the holding is sold once
    rig.quotes(kst(9, 0, 1, day=23), 3)
    sells = [(order.qty, order.forced) for order in rig.orders() if order.side is Side.SELL]
    assert (sells, rig.held("one")) == ([(10, True)], 0)
    assert report().is_flat


def test_while_the_market_is_closed_it_waits_and_says_so(rig_of: MakeRig) -> None:
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    rig.quote(kst(16))
    said, report = flatten(rig, name=SYMBOL)
    assert said.endswith("; the market takes no orders of 005930 (CLOSED): they are sold when it does")
    (waits,) = report().holdings
    assert (waits.left, waits.why) == ("10", "the market of 005930 is CLOSED")
    assert not report().complete
    rig.quote(kst(8, 31, day=23))
    rig.quotes(kst(9, 0, 1, day=23), 3)
    assert (rig.held("one"), report().complete) == (0, True)


@pytest.mark.parametrize("state", ["FAIL", "LOCKDOWN"])
def test_it_sells_whatever_the_safety_state(rig_of: MakeRig, state: str) -> None:
    rig = rig_of(one := ScriptedStrategy("one", Pool.SWING))
    now = with_ten(rig, one)
    if state == "FAIL":
        defensive(rig, now + SECOND)
    else:
        rig.stop(liquidate=False)
    rig.quotes(now + 2 * SECOND, 2)
    assert (rig.shared.safety.current_state.value, rig.held("one")) == (state, 10)
    flatten(rig, name="SWING")
    rig.quotes(now + 5 * SECOND, 3)
    assert rig.held("one") == 0


def test_a_stop_that_keeps_what_is_held_ends_it(rig_of: MakeRig) -> None:
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    rig.quote(kst(16))
    _, report = flatten(rig, name=SYMBOL)
    rig.command(command("stop", symbol=SYMBOL, liquidate=False))
    rig.drain()
    (ended,) = report().holdings
    assert (ended.left, ended.why) == ("10", "a stop that keeps what is held has ended it")
    assert (report().complete, report().is_flat) == (True, False)
    rig.quotes(kst(9, 0, 1, day=23), 30, 10)
    assert rig.held("one") == 10


def test_an_exit_by_rule_takes_its_place(rig_of: MakeRig) -> None:
    """What a rule sells is the whole holding, also what was bought since."""
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    rig.quote(kst(16))
    _, report = flatten(rig, name=SYMBOL)
    defensive(rig, kst(16, 1))
    rig.quotes(kst(9, 0, 1, day=23), 3)
    assert (rig.held("one"), shown(report)) == (0, [("one", "10", "10", "0", "0")])
    assert len([order for order in rig.orders() if order.side is Side.SELL]) == 1


def test_a_restart_goes_on_with_it(rig_of: MakeRig, tmp_path: Any) -> None:
    # Given a flattening that waits for the market to open, and a killed process
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    rig.quote(kst(16))
    flatten(rig, name=SYMBOL)
    rig.close()
    # When the session is resumed and the market opens
    again = Rig(tmp_path / "0", ScriptedStrategy("one"), is_resumed=True)
    try:
        again.quote(kst(8, 31, day=23))
        again.quotes(kst(9, 0, 1, day=23), 3)
        # Then it is sold, once
        assert again.held("one") == 0
        assert [order.qty for order in again.orders() if order.side is Side.SELL] == [10]
    finally:
        again.close()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (
            {"name": "scalp"},
            "there is no symbol or pool scalp in this run; nothing was sold. "
            "There is: 005930, PORTFOLIO, SCALP, SWING",
        ),
        ({"symbol": "SCALP"}, "there is no symbol SCALP in this run; nothing was sold. There is: 005930"),
        (
            {"pool": SYMBOL},
            "there is no pool 005930 in this run; nothing was sold. There is: PORTFOLIO, SCALP, SWING",
        ),
        (
            {"name": "SWING"},
            "no strategy holds anything of pool SWING; nothing was sold. Held: one 10 005930",
        ),
        ({}, "flatten takes one symbol or one pool, got none"),
        ({"name": SYMBOL, "pool": "SCALP"}, "flatten takes one symbol or one pool, got 005930 and SCALP"),
    ],
)
def test_what_it_cannot_mean_is_refused_with_what_is_allowed(
    what: dict[str, str], says: str, rig_of: MakeRig
) -> None:
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    with pytest.raises(InputError) as refused:
        rig.command(asked(**what))
    assert str(refused.value) == says
    assert len(rig.shared.protective) == 0


def test_a_name_that_is_a_symbol_and_a_pool_has_to_be_told_apart(rig_of: MakeRig) -> None:
    rig = rig_of(one := ScriptedStrategy("one"))
    now = with_ten(rig, one)
    rig.shared.feed.instruments["SCALP"] = rig.shared.feed.instruments[SYMBOL]  # type: ignore[index]
    with pytest.raises(InputError, match="SCALP is a symbol and a pool; nothing was sold"):
        rig.command(asked(name="SCALP"))
    flatten(rig, pool="SCALP")
    rig.quotes(now + SECOND, 3)
    assert rig.held("one") == 0


def test_a_split_turns_what_is_left_into_new_shares() -> None:
    requests = ProtectiveRequests()
    requests.put(("one", SYMBOL), ExitRequest(Origin.OPERATOR, "test", D(10)))
    requests.on_split(Split(SYMBOL, date(2018, 5, 4), new=D(50), old=D(1)), D(1))
    left = requests.part(("one", SYMBOL), Origin.OPERATOR)
    assert left is not None
    assert left.left == 500
