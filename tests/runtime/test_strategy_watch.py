"""Limits stop a strategy that does the same again and again, or that its stops have closed out too often today."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest

from qts.broker.gateway.limits.view import LimitCountView
from qts.cli.status_screen import view_lines
from qts.config.loader import load_config
from qts.db.contracts import RunRow
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.session.view_builder import view_of
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side
from qts.strategy.levels import Levels
from tests.runtime.rig import STEADY, SYMBOL, Rig, ScriptedStrategy, command, kst

MakeRig = Callable[..., Rig]
S = 1_000_000_000
LOOSE = {"risk.symbol_weight_limit": "1", "risk.exposure_limit": "1", "broker.limits.duplicate_window_ms": "0"}


def rig_with(rig_of: MakeRig, *strategies: ScriptedStrategy, **limits: object) -> Rig:
    named = {f"broker.limits.{name}": str(value) for name, value in limits.items()}
    rig = rig_of(*strategies, settings={**LOOSE, **named})
    rig.quote(kst(9, 59))
    return rig


def codes(rig: Rig) -> list[str]:
    return [change.code for change in rig.shared.safety.history]


def stopped(rig: Rig) -> list[tuple[str, str, str]]:
    """Who is stopped, by whom and why."""
    return [(str(one.scope), one.operator, one.reason) for one in rig.shared.stops]


def buys(rig: Rig, strategy: ScriptedStrategy, at_ns: int) -> bool:
    """Let the strategy buy a share, and the market go on for two seconds; return whether it has."""
    before = rig.held(strategy.name)
    strategy.wants(Side.BUY, qty=1)
    rig.quotes(at_ns, 2)
    return rig.held(strategy.name) > before


def stop_out(rig: Rig, strategy: ScriptedStrategy, at_ns: int) -> None:
    """Let the strategy buy a share, and its stop close the position."""
    rig.quote(at_ns, 150_000, 150_100)
    rig.kernel.triggers.bind(strategy.name, SYMBOL, Levels(stop=D(149_000)), at_ns)
    strategy.wants(Side.BUY, qty=1)
    rig.quotes(at_ns + S, 2)
    rig.quote(at_ns + 4 * S, 148_900)
    rig.quotes(at_ns + 5 * S, 2)
    assert rig.held(strategy.name) == 0


def row(rig: Rig, limit: str, of: str = "scripted") -> LimitCountView:
    watch = rig.kernel.components.watch
    assert watch is not None
    (found,) = (one for one in watch.rows() if (one.limit, one.of) == (limit, of))
    return found


# -- the same execution again and again ----------------------------------------------------------------------------


def test_a_strategy_is_stopped_with_the_last_execution_that_its_limit_allows(rig_of: MakeRig) -> None:
    # Given a limit of three orders of one kind that are filled within a minute
    alpha, beta = ScriptedStrategy("alpha"), ScriptedStrategy("beta")
    rig = rig_with(rig_of, alpha, beta, repeated_executions=3)

    # When the second is filled, then nothing has happened
    assert [buys(rig, alpha, kst(10, 0, 5 * number)) for number in range(2)] == [True, True]
    assert (stopped(rig), row(rig, "repeated_executions", "alpha").value) == ([], 2)

    # When the third is filled, then the strategy is stopped, and no other is
    assert buys(rig, alpha, kst(10, 0, 10))
    assert stopped(rig) == [
        ("strategy alpha", "limit repeated_executions", "3 orders BUY 005930 were filled within 60 s")
    ]
    assert codes(rig)[-1] == "AN061"
    assert rig.shared.safety.current_state is SafetyState.WARNING
    assert not buys(rig, alpha, kst(10, 0, 15))
    assert rig.refusals() == {"STOPPED_BY_OPERATOR": 1}
    assert buys(rig, beta, kst(10, 0, 20))

    # and it keeps what it holds, and may sell it
    assert rig.held("alpha") == 3
    alpha.wants(Side.SELL)
    rig.quotes(kst(10, 0, 25), 2)
    assert rig.held("alpha") == 0


def test_it_stays_stopped_until_a_person_releases_it_and_has_its_whole_limit_then(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, repeated_executions=2)
    for number in range(2):
        buys(rig, alpha, kst(10, 0, 5 * number))

    # Given the next day, it is stopped still
    assert not buys(rig, alpha, kst(10, day=23))

    # When a person releases it
    answer = rig.command(command("release", strategy="alpha"))
    assert (answer.done, answer.answer) == (True, "strategy alpha may enter again")

    # Then it takes entries until it has done the same as often again
    assert [buys(rig, alpha, kst(10, 1, 5 * number, day=23)) for number in range(3)] == [True, True, False]


def test_executions_that_are_further_apart_do_not_stop_it(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, repeated_executions=2, repeated_executions_s=10)

    assert [buys(rig, alpha, kst(10, 0, 10 * number)) for number in range(4)] == [True] * 4
    assert stopped(rig) == []


def test_an_order_that_is_filled_in_parts_is_one_execution(rig_of: MakeRig) -> None:
    # Given an order of six shares that the market fills two at a time
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, repeated_executions=2)
    alpha.wants(Side.BUY, qty=6, limit=D(150_100))
    for second in range(8):
        rig.quote(kst(10, 0, second), 150_000, 150_100, size=2)

    assert (rig.held("alpha"), rig.kernel.counters.fills > 1) == (6, True)
    assert row(rig, "repeated_executions", "alpha").value == 1


def test_sales_that_the_rules_make_do_not_count(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, repeated_executions=2, stop_outs_per_day=9)
    for number in range(2):
        stop_out(rig, alpha, kst(10, 5 * number))

    assert stopped(rig) == []


# -- stop-outs -----------------------------------------------------------------------------------------------------


def test_a_strategy_pauses_with_the_last_stop_out_that_its_limit_allows(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=2)

    stop_out(rig, alpha, kst(10))
    assert (stopped(rig), row(rig, "stop_outs_per_day", "alpha").value) == ([], 1)
    stop_out(rig, alpha, kst(10, 5))

    assert stopped(rig) == [
        (
            "strategy alpha",
            "limit stop_outs_per_day",
            "its stops have closed 2 positions today, the last in 005930",
        )
    ]
    assert codes(rig)[-1] == "AN061"
    assert not buys(rig, alpha, kst(10, 10))


def test_a_pause_ends_with_the_next_session_day(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=1)
    stop_out(rig, alpha, kst(10))
    assert not buys(rig, alpha, kst(14))

    assert buys(rig, alpha, kst(10, day=23))

    assert stopped(rig) == []
    assert "strategy alpha may enter again: a new session day has begun" in [one.message for one in rig.logged]


def test_a_person_may_release_a_pause_before(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=1)
    stop_out(rig, alpha, kst(10))

    assert rig.command(command("release", strategy="alpha")).done
    assert buys(rig, alpha, kst(10, 5))


def test_a_stop_of_a_person_does_not_end_with_the_day(rig_of: MakeRig) -> None:
    # Given a strategy that a person has stopped, and a stop-out that would have stopped it as well
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=1)
    rig.kernel.triggers.bind("alpha", SYMBOL, Levels(stop=D(149_000)), kst(10))
    assert buys(rig, alpha, kst(10))
    rig.command(command("stop", strategy="alpha", liquidate=False))
    rig.quote(kst(10, 1), 148_900)
    rig.quotes(kst(10, 1, 1), 2)
    assert rig.held("alpha") == 0

    # Then the person's stop stands, also on the next day
    rig.quote(kst(9, day=23), 150_000, 150_100)
    assert [by for _, by, _ in stopped(rig)] == ["kim"]
    assert not buys(rig, alpha, kst(10, day=23))


def test_takes_and_trails_are_no_stop_outs(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=1)
    rig.kernel.triggers.bind("alpha", SYMBOL, Levels(take=D(151_000)), kst(10))
    assert buys(rig, alpha, kst(10))
    rig.quote(kst(10, 1), 151_000)
    rig.quotes(kst(10, 1, 1), 2)

    assert (rig.held("alpha"), stopped(rig)) == (0, [])


def test_a_pause_and_its_count_survive_a_restart(rig_of: MakeRig) -> None:
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=2)
    stop_out(rig, alpha, kst(10))
    saved = _checkpoint(rig)
    resumed = rig_with(rig_of, ScriptedStrategy("alpha"), stop_outs_per_day=2)
    watch = resumed.kernel.components.watch
    assert watch is not None

    watch.import_state(saved["watch"])

    assert row(resumed, "stop_outs_per_day", "alpha").value == 1
    stop_out(rig, alpha, kst(10, 5))
    assert [one["operator"] for one in _checkpoint(rig)["stops"]] == ["limit stop_outs_per_day"]


def _checkpoint(rig: Rig) -> dict[str, Any]:
    rig.store_now()
    stored = rig.store.checkpoint()
    assert stored is not None
    parts: dict[str, Any] = decode(stored)["parts"]
    return parts


# -- far too many orders -------------------------------------------------------------------------------------------


class Asking(ScriptedStrategy):
    """Asks for as many shares, one at a time, as it is told."""

    def asks(self, count: int) -> None:
        self.intents += [Intent(SYMBOL, Side.BUY, 1.0, qty=1)] * count


@pytest.mark.parametrize(("count", "is_halted"), [(9, False), (10, False), (11, True)])
def test_a_strategy_may_ask_for_as_many_orders_in_a_second_as_its_limit_says(
    rig_of: MakeRig, count: int, is_halted: bool
) -> None:
    alpha = Asking("alpha")
    rig = rig_with(rig_of, alpha, asked_per_second=10)

    alpha.asks(count)
    rig.quote(kst(10))

    (context,) = rig.kernel.host.contexts
    assert context.halted is is_halted
    assert (rig.shared.safety.current_state is SafetyState.LOCKDOWN) is is_halted
    assert ("FS104" in codes(rig), "AN060" in codes(rig)) == (is_halted, is_halted)


def test_one_that_asks_for_too_many_is_not_called_again_and_what_it_holds_is_sold(rig_of: MakeRig) -> None:
    # Given a strategy that holds a share, beside another one
    alpha, beta = Asking("alpha"), ScriptedStrategy("beta")
    rig = rig_with(rig_of, alpha, beta, asked_per_second=10)
    assert buys(rig, alpha, kst(10))
    calls = alpha.quotes

    # When it asks for eleven in one second, spread over two calls
    alpha.asks(6)
    rig.quote(kst(10, 1))
    alpha.asks(5)
    rig.quote(kst(10, 1, 0.5))

    # Then it is halted for a reason that says so, and its share is sold
    (context, other) = rig.kernel.host.contexts
    assert context.why == "a limit has ended it: it has asked for more than 10 orders within a second"
    rig.quotes(kst(10, 2), 5)
    assert (alpha.quotes, other.halted, rig.held("alpha")) == (calls + 2, False, 0)
    assert any(
        change.code == "FS104" and "limit asked_per_second: strategy alpha" in change.reason
        for change in rig.shared.safety.history
    )


# -- the day's result ----------------------------------------------------------------------------------------------


def test_a_strategy_that_has_lost_its_share_of_the_day_takes_no_entry_and_another_one_does(rig_of: MakeRig) -> None:
    # Given 50 shares at 150,100 and a limit of 0.1 % of 100,000,000 won: 100,000
    alpha, beta = ScriptedStrategy("alpha"), ScriptedStrategy("beta")
    rig = rig_with(rig_of, alpha, beta, strategy_day_loss="0.001")
    alpha.wants(Side.BUY, qty=50)
    rig.quotes(kst(10), 2)
    assert rig.held("alpha") == 50

    # When the bid is 148,100: 50 × 2,000 lost and the fee, then it takes no entry
    rig.quote(kst(10, 1), 148_100, 148_200)
    lost = row(rig, "strategy_day_loss", "alpha")
    assert lost.value is not None
    assert (D(100_000) <= lost.value < D(110_000), lost.bound) == (True, D(100_000))
    alpha.wants(Side.BUY, qty=1)
    rig.quotes(kst(10, 1, 1), 2)
    assert rig.held("alpha") == 50
    assert "limit strategy_day_loss: strategy alpha has lost 10" in rig.orders()[-1].note

    # and another one does
    assert buys(rig, beta, kst(10, 1, 10))

    # When the next day begins at that price, then its loss is of the day before
    assert buys(rig, alpha, kst(10, day=23))


def test_the_status_shows_a_limit_of_which_half_is_used_up(rig_of: MakeRig) -> None:
    # Given a limit of four executions of a kind, and one execution: nothing is near
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, repeated_executions=4)

    def shown() -> list[str]:
        view = view_of(
            rig.kernel,
            RunRow("rig", "run", 7, "", "", "2026-01-22T00:00:00+00:00", finished=False),
            "paper",
            "",
            rig.clock,
        )
        return [line for line in view_lines(view, [], 200) if "repeated_executions" in line]

    assert buys(rig, alpha, kst(10))
    assert shown() == []

    # With the second, half of it is used up
    assert buys(rig, alpha, kst(10, 0, 5))
    (line,) = shown()
    assert line.split("near a limit")[-1].strip() == "repeated_executions of alpha: 2, bound 4"


def test_a_soft_limit_of_a_reload_is_in_force_for_the_next_decision(rig_of: MakeRig) -> None:
    # Given a session whose limits are reached neither by a stop-out nor by a repetition
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha, stop_outs_per_day=5)
    assert [buys(rig, alpha, kst(10, 0, 5 * number)) for number in range(2)] == [True, True]

    # When tighter ones are loaded
    tighter = {"stop_outs_per_day": "1", "duplicate_window_ms": "60000"}
    named = {f"broker.limits.{name}": value for name, value in tighter.items()}
    loaded = load_config(None, {**STEADY, **LOOSE, **named}, {})
    rig.kernel.reconfigure(loaded.tree, loaded.hash)

    # Then they hold: the same order may not follow within a minute, and one stop-out is enough
    assert buys(rig, alpha, kst(10, 1))
    assert not buys(rig, alpha, kst(10, 1, 10))
    assert "limit duplicate_window_ms" in rig.orders()[-1].note
    alpha.wants(Side.SELL)
    rig.quotes(kst(10, 5), 3)
    stop_out(rig, alpha, kst(10, 10))
    assert [by for _, by, _ in stopped(rig)] == ["limit stop_outs_per_day"]


def test_an_order_that_works_keeps_what_it_was_approved_with(rig_of: MakeRig) -> None:
    # Given an order of ten shares that works below the market
    alpha = ScriptedStrategy("alpha")
    rig = rig_with(rig_of, alpha)
    alpha.wants(Side.BUY, qty=10, limit=149_900)
    rig.quotes(kst(10), 2)
    (working,) = rig.orders()

    # When a configuration is loaded under which no order has more than two shares
    loaded = load_config(None, {**STEADY, **LOOSE, "broker.limits.max_order_qty": "2"}, {})
    rig.kernel.reconfigure(loaded.tree, loaded.hash)
    rig.quotes(kst(10, 1), 2)

    # Then it works on with the approval that it had, and is filled whole; the next one has the new limit
    assert rig.orders() == [working]
    rig.quote(kst(10, 2), 149_800, 149_900)
    rig.quotes(kst(10, 2, 1), 2)
    assert rig.held("alpha") == 10
    decisions = {row.client_order_id: row.config_hash for row in rig.store.decisions()}
    assert decisions[working.client_order_id] != loaded.hash
    alpha.wants(Side.BUY, qty=3)
    rig.quotes(kst(10, 3), 2)
    assert (rig.held("alpha"), rig.orders()[-1].note.startswith("not sent: limit max_order_qty")) == (10, True)
