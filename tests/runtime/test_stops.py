"""An operator's stop of one part: it is cut off until its release, the others go on, safety does not move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.db.contracts import RunRow
from qts.errors import ContractError, InputError
from qts.execution.contracts import OrderState
from qts.runtime.control.commands import Stop, StopReport
from qts.runtime.session.view_builder import view_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.event.support import fill
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, command, defensive, kst, with_ten

MakeRig = Callable[..., Rig]
SECOND = 1_000_000_000


def asked(rig: Rig, name: str, **more: Any) -> str:
    """Give a command and let the kernel do what follows; the answer."""
    answer = rig.command(command(name, **more))
    rig.drain()
    return answer.answer


def three(rig_of: MakeRig) -> tuple[Rig, ScriptedStrategy, ScriptedStrategy, ScriptedStrategy, int]:
    """Two scalpers and a swinger hold ten shares each."""
    one, two, swing = ScriptedStrategy("one"), ScriptedStrategy("two"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(one, two, swing)
    return rig, one, two, swing, with_ten(rig, one, two, swing)


def test_a_stopped_strategy_is_sold_and_refused_and_the_others_go_on(rig_of: MakeRig) -> None:
    # Given three strategies with ten shares each, one of them with a bid that waits
    rig, one, two, swing, now = three(rig_of)
    one.wants(Side.BUY, qty=5, limit=149_000)
    now = rig.quotes(now + SECOND, 2)
    # when that one is stopped with a sale and all three want more
    asked(rig, "stop", strategy="one")
    for strategy in (one, two, swing):
        strategy.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 10)
    # then its bid is cancelled, its shares are sold and its entry is refused; nothing else has changed
    assert (rig.held("one"), rig.held("two"), rig.held("swing")) == (0, 11, 11)
    assert rig.refusals() == {"STOPPED_BY_OPERATOR": 1}
    assert [o.state for o in rig.orders() if o.limit == 149_000] == [OrderState.CANCELLED]
    assert rig.shared.safety.current_state is SafetyState.NORMAL
    sold = [order.strategy for order in rig.orders() if order.side is Side.SELL]
    assert sold == ["one"]


def test_with_keep_nothing_is_sold_but_the_strategy_may_still_leave(rig_of: MakeRig) -> None:
    # Given a strategy that holds ten shares and offers them at 154,000
    rig, one, two, _, now = three(rig_of)
    one.wants(Side.SELL, limit=154_000)
    two.wants(Side.SELL, limit=154_000)
    now = rig.quotes(now + SECOND, 2)
    # when it is stopped and its holdings are to be kept
    asked(rig, "stop", strategy="one", liquidate=False)
    one.wants(Side.BUY, qty=1)
    now = rig.quotes(now + SECOND, 60)
    # then its offer is gone, its shares are there, its entry is refused
    assert [order.strategy for order in rig.shared.orders] == ["two"]
    assert rig.held("one") == 10
    assert rig.refusals() == {"STOPPED_BY_OPERATOR": 1}
    # and an exit of its own always goes
    one.wants(Side.SELL)
    rig.quotes(now + SECOND, 3)
    assert rig.held("one") == 0


def test_a_pool_is_stopped_with_every_strategy_in_it(rig_of: MakeRig) -> None:
    rig, one, two, swing, now = three(rig_of)
    asked(rig, "stop", pool="SCALP")
    for strategy in (one, two, swing):
        strategy.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 5)
    assert (rig.held("one"), rig.held("two"), rig.held("swing")) == (0, 0, 11)
    assert rig.refusals() == {"STOPPED_BY_OPERATOR": 2}


def test_a_symbol_is_stopped_for_every_strategy(rig_of: MakeRig) -> None:
    rig, *strategies, now = three(rig_of)
    asked(rig, "stop", symbol=SYMBOL)
    for strategy in strategies:
        strategy.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 5)
    assert rig.shared.account.positions() == {}
    assert rig.refusals() == {"STOPPED_BY_OPERATOR": 3}


def test_overlapping_stops_each_need_their_own_release(rig_of: MakeRig) -> None:
    # Given a strategy that is cut off twice, by its name and by its pool
    rig, one, _, _, now = three(rig_of)
    asked(rig, "stop", strategy="one", liquidate=False)
    asked(rig, "stop", pool="SCALP", liquidate=False)
    # when one of the two is released
    told = asked(rig, "release", strategy="one")
    one.wants(Side.BUY, qty=1)
    now = rig.quotes(now + SECOND, 3)
    # then the other still holds it, and the answer says so
    assert told.startswith("strategy one may enter again; still in force: pool SCALP is stopped since ")
    assert rig.held("one") == 10
    # and after the second release it may enter
    assert asked(rig, "release", pool="SCALP") == "pool SCALP may enter again"
    one.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 3)
    assert rig.held("one") == 11


def test_a_release_of_what_is_not_stopped_names_what_is(rig_of: MakeRig) -> None:
    rig, *_ = three(rig_of)
    assert asked(rig, "release", pool="SWING") == "no stop of pool SWING is in force; in force: none"
    asked(rig, "stop", strategy="one")
    assert "in force: strategy one is stopped" in asked(rig, "release", pool="SWING")


def test_a_release_of_safety_leaves_a_scoped_stop_in_force(rig_of: MakeRig) -> None:
    rig, one, two, _, now = three(rig_of)
    asked(rig, "stop", strategy="one", liquidate=False)
    asked(rig, "stop", liquidate=False)
    now = rig.quotes(now + SECOND, 3)
    told = asked(rig, "release")
    assert "NORMAL" in told
    assert "still in force: strategy one is stopped" in told
    one.wants(Side.BUY, qty=1)
    two.wants(Side.BUY, qty=1)
    rig.quotes(now + SECOND, 3)
    assert (rig.held("one"), rig.held("two")) == (10, 11)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"strategy": "three"}, "no strategy three in this run; nothing was stopped. There is: one, two, swing"),
        ({"symbol": "000660"}, "no symbol 000660 in this run; nothing was stopped. There is: 005930"),
        ({"pool": "scalp"}, "no pool scalp in this run; nothing was stopped. There is: SCALP, SWING, PORTFOLIO"),
    ],
)
def test_a_scope_that_the_run_does_not_have_is_refused(
    scope: dict[str, str], expected: str, rig_of: MakeRig
) -> None:
    rig, *_ = three(rig_of)
    with pytest.raises(InputError, match=expected):
        asked(rig, "stop", **scope)
    assert len(rig.shared.stops) == 0


def test_two_scopes_at_once_are_refused(rig_of: MakeRig) -> None:
    rig, *_ = three(rig_of)
    with pytest.raises(ContractError, match="a stop has one scope"):
        asked(rig, "stop", strategy="one", pool="SCALP")


def test_a_later_keep_calls_off_what_the_operator_ordered_and_not_what_the_rules_want(rig_of: MakeRig) -> None:
    """At night nothing can be sold; in the morning only what is still wanted is."""
    # Given a sale that an operator has ordered after the close, of a part of which the rules sell a pool already
    rig, *_ = three(rig_of)
    defensive(rig, kst(19, 10))  # the scalp engine sleeps in DEFENSIVE
    asked(rig, "stop")
    rig.quote(kst(19, 20))
    assert (rig.held("one"), rig.held("swing")) == (10, 10)
    # when the operator thinks better of it
    asked(rig, "stop", liquidate=False)
    # then the swinger's shares stay, and the scalpers' go
    rig.quotes(kst(10, day=23), 120, 10)
    assert (rig.held("one"), rig.held("two"), rig.held("swing")) == (0, 0, 10)


def test_its_progress_tells_what_was_cancelled_and_sold_and_is_still_held(rig_of: MakeRig) -> None:
    # Given a strategy with ten shares and a bid that waits
    rig, one, _, _, now = three(rig_of)
    one.wants(Side.BUY, qty=5, limit=149_000)
    now = rig.quotes(now + SECOND, 2)
    # when it is stopped
    progress = rig.kernel.stops.begin(Stop(operator="kim", reason="drill", strategy="one"))
    # then nothing is told as done before it is
    assert progress.report() == StopReport(cancelled=0, working=1, sold={}, held={SYMBOL: "10"}, complete=False)
    rig.quotes(now + SECOND, 3)
    assert progress.report() == StopReport(cancelled=1, working=0, sold={SYMBOL: "10"}, held={}, complete=True)


def test_a_stop_that_keeps_is_complete_when_no_order_works(rig_of: MakeRig) -> None:
    rig, *_, now = three(rig_of)
    progress = rig.kernel.stops.begin(Stop(operator="kim", reason="drill", liquidate=False))
    assert not progress.report().complete, "the gate is not shut yet"
    rig.quotes(now + SECOND, 1)
    assert progress.report() == StopReport(cancelled=0, working=0, sold={}, held={SYMBOL: "30"}, complete=True)


def test_scoped_stops_are_in_the_next_checkpoint(rig_of: MakeRig) -> None:
    from qts.runtime.persistence.checkpoint import decode

    rig, *_ = three(rig_of)
    asked(rig, "stop", strategy="one")
    stored = rig.store.checkpoint()
    assert stored is not None
    (stop,) = decode(stored)["parts"]["stops"]
    assert (stop["scope"], stop["operator"]) == ({"kind": "strategy", "name": "one"}, "kim")


def test_a_pressed_kill_switch_lets_no_entry_leave_before_it_is_carried_out(rig_of: MakeRig) -> None:
    # Given two strategies with ten shares each, and a kill switch that was pressed this moment
    scripted, other = ScriptedStrategy(), ScriptedStrategy("other")
    rig = rig_of(scripted, other)
    now = with_ten(rig, scripted, other)
    sent = rig.kernel.counters.orders
    rig.shared.kill.press(liquidate=False, by="signal SIGUSR1")
    # when one wants to buy and the other to sell
    scripted.wants(Side.BUY, qty=1)
    other.wants(Side.SELL)
    rig.quotes(now + SECOND, 3)
    # then nothing was bought and nothing is reserved, although safety has not moved yet; the exit has left
    assert (rig.held(), rig.held("other")) == (10, 0)
    assert rig.kernel.counters.orders == sent + 1
    assert rig.refusals() == {"SAFETY_BLOCKS_ENTRIES": 1}
    assert rig.shared.account.open_reservations == ()
    assert rig.shared.safety.current_state is SafetyState.NORMAL


def test_scoped_stops_in_force_are_in_the_view(rig_of: MakeRig) -> None:
    rig, *_ = three(rig_of)
    asked(rig, "stop", pool="SCALP", liquidate=False)
    run = RunRow("rig", "test", 7, "script", "", "", False)
    (stop,) = view_of(rig.kernel, run, "paper", "", rig.clock).stops
    assert (str(stop.scope), stop.operator, stop.liquidate) == ("pool SCALP", "kim", False)


def test_what_no_strategy_of_the_session_holds_is_not_sold(rig_of: MakeRig) -> None:
    # Given a share in the account that none of the strategies has bought
    rig, *_, now = three(rig_of)
    rig.shared.account.apply_fill(fill(execution="x-1"), strategy="EXTERNAL", pool=Pool.SCALP)
    # when everything of its symbol, and of its pool, is to be sold
    asked(rig, "stop", symbol=SYMBOL)
    asked(rig, "stop", pool="SCALP")
    rig.quotes(now + SECOND, 10)
    # then the strategies' shares are gone and that one is left alone
    assert [rig.held(name) for name in ("one", "two", "swing", "EXTERNAL")] == [0, 0, 0, 1]
    assert not rig.kernel.exits.is_requested("EXTERNAL", SYMBOL)


@pytest.mark.parametrize("scope", [{}, {"symbol": SYMBOL}, {"pool": "SCALP"}], ids=["all", "symbol", "pool"])
def test_a_sale_is_done_when_only_what_no_strategy_has_bought_is_left(
    scope: dict[str, str], rig_of: MakeRig
) -> None:
    # Given three strategies with ten shares each, and a share that none of them has bought
    rig, *_, now = three(rig_of)
    rig.shared.account.apply_fill(fill(execution="x-1"), strategy="EXTERNAL", pool=Pool.SCALP)
    # when the part that it lies in is stopped with a sale
    progress = rig.kernel.stops.begin(Stop(operator="kim", reason="drill", **scope))
    rig.drain()
    rig.quotes(now + SECOND, 10)
    # then the stop is done, and what is not sold is no part of it
    report = progress.report()
    assert (report.complete, report.held) == (True, {})
    assert rig.held("EXTERNAL") == 1


@pytest.mark.parametrize("scope", [{}, {"strategy": "one"}], ids=["all", "one"])
def test_a_stop_is_over_with_its_own_release(scope: dict[str, str], rig_of: MakeRig) -> None:
    rig, *_ = three(rig_of)
    progress = rig.kernel.stops.begin(Stop(operator="kim", reason="drill", liquidate=False, **scope))
    rig.drain()
    asked(rig, "stop", pool="SWING", liquidate=False)
    asked(rig, "release", pool="SWING")
    assert not progress.is_over
    asked(rig, "release", **scope)
    assert progress.is_over


def test_from_being_asked_for_until_its_gate_is_shut_a_stop_lets_no_entry_leave(rig_of: MakeRig) -> None:
    rig, *_ = three(rig_of)
    rig.kernel.stops.begin(Stop(operator="kim", reason="drill", liquidate=False))
    rig.kernel.stops.begin(Stop(operator="kim", reason="drill", pool="SWING"))
    assert rig.shared.kill.is_pressed(), "safety has not moved yet"
    rig.drain()
    assert not rig.shared.kill.is_pressed()
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN
