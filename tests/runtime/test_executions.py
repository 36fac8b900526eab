"""Executions in parts, in whole sessions: what is sent when, what ends it, and what is stored of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.cli.status_screen import execution_line
from qts.execution.contracts import OrderState
from qts.execution.executions import Execution, Stage
from qts.execution.states import ExecutionState
from qts.kit import Algo, Cancel, Target
from qts.runtime.session.view_builder import view_of
from qts.strategy.contracts import Intent, Side
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst
from tests.runtime.test_session_metrics import MACHINE, RUN, reader

MakeRig = Callable[..., Rig]
S = ExecutionState
PROFILE = tuple(map(D, (15, 12, 10, 8, 8, 8, 10, 10, 10, 6, 3)))
ROOM = {"risk.symbol_weight_limit": "0.9", "risk.position_size_limit": "1"}
SECOND = 1_000_000_000


def swing(**more: Any) -> ScriptedStrategy:
    return ScriptedStrategy(pool=Pool.SWING, **more)


def begun(rig_of: MakeRig, strategy: ScriptedStrategy, *wanted: Any, **settings: str) -> tuple[Rig, int]:
    """A rig on which ``wanted`` was asked for at ten o'clock, and the moment of the last quote."""
    rig = rig_of(strategy, settings={**ROOM, **settings})
    rig.quotes(kst(9, 59, 50), 1)
    strategy.intents.extend(wanted)
    rig.quote(kst(10))
    return rig, kst(10)


def buys(qty: int, algo: Algo, **more: Any) -> Any:
    return Intent(SYMBOL, Side.BUY, 1.0, qty, algo=algo, **more)


def stored(rig: Rig) -> Execution:
    rig.store_now()
    return rig.store.executions()[-1]


def parts(rig: Rig) -> list[int]:
    return [int(order.qty) for order in rig.orders() if order.request.parent_id]


def stages(rig: Rig) -> list[Stage]:
    rig.store_now()
    return [row.stage for row in rig.store.stages()]


def test_the_worked_example_of_a_vwap_is_sent_part_by_part(rig_of: MakeRig) -> None:
    # Given 1,000 shares over 11 minutes, and shares of the volume of 15, 12, 10, 8, 8, 8, 10, 10, 10, 6 and 3 %
    rig, now = begun(
        rig_of, swing(), buys(1000, Algo.vwap("11m", profile=PROFILE)), **{"runtime.equity_start": "1000000000"}
    )

    # When eleven minutes pass
    rig.quotes(now + SECOND, 11 * 60)

    # Then eleven orders have bought it, one a minute
    orders = [order for order in rig.orders() if order.request.parent_id]
    assert [int(order.qty) for order in orders] == [150, 120, 100, 80, 80, 80, 100, 100, 100, 60, 30]
    assert [(order.ts_intent_ns - orders[0].ts_intent_ns) // SECOND for order in orders] == list(range(0, 660, 60))
    one = stored(rig)
    assert (one.state, one.filled, one.children) == (
        S.COMPLETE,
        D(1000),
        tuple(order.client_order_id for order in orders),
    )
    assert one.average_price == D(150100)
    assert rig.held() == 1000
    assert rig.shared.day.entries == 1  # the parts are one entry


def test_every_stage_leaves_its_inputs_and_its_answer(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("60s", 2)))
    rig.quotes(now + SECOND, 70)

    rows = rig.store.stages() if rig.orders() else []
    assert [row.stage for row in rows] == [Stage.PRECHECK, Stage.SPLIT, Stage.SEND, Stage.SEND, Stage.MONITOR]
    assert [row.to_state for row in rows] == [S.SPLITTING, S.SENDING, S.MONITORING, S.MONITORING, S.COMPLETE]
    assert {row.execution_id for row in rows} == {rig.store.executions()[0].execution_id}
    assert '"view"' in rows[0].inputs  # what risk saw
    assert '"qty":"50"' in rows[1].answer
    assert [row.order_id for row in rows[2:4]] == list(rig.store.executions()[0].children)
    assert {row.own_ns for row in rows} == {None}  # on the virtual clock nothing of it depends on the machine


def test_fewer_lots_than_parts_are_as_many_parts_as_lots(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(3, Algo.twap("60s", 10)))
    rig.quotes(now + SECOND, 70)

    assert parts(rig) == [1, 1, 1]
    assert stored(rig).state is S.COMPLETE


def test_an_iceberg_shows_one_part_after_the_other(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(220, Algo.iceberg(100), limit=150_100))
    rig.quotes(now + SECOND, 5)

    assert parts(rig) == [100, 100, 20]
    assert (stored(rig).state, rig.held()) == (S.COMPLETE, 220)


def test_after_a_pause_one_part_follows_and_not_all_that_was_missed(rig_of: MakeRig) -> None:
    # Given parts of 10 every minute, of which one is sent
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("10m", 10)))

    # When nothing is seen for five minutes
    rig.quote(now + 330 * SECOND)
    rig.quotes(now + 331 * SECOND, 2)

    # Then 60 are due, 10 are bought, and 10 leave: nothing is known of the volume, so no more
    assert parts(rig) == [10, 10]

    # And when the market goes on, the rest follows at the pace of the plan
    rig.quotes(now + 340 * SECOND, 15 * 60, every_s=5)
    assert parts(rig) == [10] * 10
    assert stored(rig).state is S.COMPLETE


def test_where_the_money_is_short_less_is_executed(rig_of: MakeRig) -> None:
    # Given an order of 45 million won, for which the pool has not the money
    rig, now = begun(rig_of, swing(), buys(300, Algo.twap("60s", 2)))
    rig.quotes(now + SECOND, 70)

    one = stored(rig)
    assert one.state is S.COMPLETE
    assert 0 < one.qty < 300
    assert one.filled == one.qty == sum(parts(rig))


def test_what_risk_refuses_is_an_execution_that_failed(rig_of: MakeRig) -> None:
    rig, _ = begun(rig_of, swing(), buys(100, Algo.twap("60s", 2), limit=150_150))

    one = stored(rig)
    assert (one.state, one.reason, parts(rig)) == (S.FAILED, "OFF_TICK_GRID", [])
    assert rig.refusals() == {"OFF_TICK_GRID": 1}
    assert stages(rig) == [Stage.PRECHECK]


def test_more_parts_than_are_allowed_are_refused(rig_of: MakeRig) -> None:
    rig, _ = begun(rig_of, swing(), buys(100, Algo.twap("60s", 11)), **{"execution.max_slices": "10"})

    one = stored(rig)
    assert (one.state, one.code, parts(rig)) == (S.FAILED, "GR060", [])
    assert one.reason == "11 parts are asked for, at most 10 are allowed"


def test_an_emergency_stop_lets_it_escape_and_ends_flat(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 90)
    assert rig.held() == 20

    rig.stop()
    rig.quotes(now + 100 * SECOND, 200)

    one = stored(rig)
    assert (one.state, one.filled, rig.held()) == (S.ESCAPED, D(20), 0)
    assert len(parts(rig)) == 2
    assert list(rig.shared.orders) == []


def test_a_strategy_takes_back_what_is_not_executed(rig_of: MakeRig) -> None:
    strategy = swing()
    rig, now = begun(rig_of, strategy, buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 90)

    strategy.intents.append(Cancel(symbol=SYMBOL))  # type: ignore[arg-type]
    rig.quotes(now + 100 * SECOND, 120)

    one = stored(rig)
    assert (one.state, one.filled, one.reason) == (S.COMPLETE, D(20), "cancelled by scripted")
    assert rig.held() == 20


def test_between_two_parts_the_order_counts_as_working(rig_of: MakeRig) -> None:
    strategy = swing()
    rig, now = begun(rig_of, strategy, buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 30)
    assert rig.kernel.host.contexts[0].working(SYMBOL)

    strategy.wants(Side.BUY, qty=5)
    rig.quotes(now + 40 * SECOND, 1)

    assert rig.refusals() == {"DUPLICATE_INTENT": 1}
    assert parts(rig) == [10]


def test_a_target_that_is_being_executed_is_not_ordered_twice(rig_of: MakeRig) -> None:
    strategy = swing()
    target = Target(SYMBOL, 100, algo=Algo.twap("10m", 10))
    rig, now = begun(rig_of, strategy, target)
    for minute in range(3):
        strategy.intents.append(target)  # type: ignore[arg-type]
        rig.quotes(now + (60 * minute + 1) * SECOND, 58)

    assert len(rig.store.executions()) == 1 if rig.orders() else False
    assert parts(rig) == [10, 10, 10]

    # When another holding is wanted, the execution is given up and the rest is bought as one order
    strategy.intents.append(Target(SYMBOL, 40))  # type: ignore[arg-type]
    rig.quotes(now + 185 * SECOND, 5)
    assert stored(rig).reason == "scripted wants another holding"
    assert rig.held() == 40


def test_a_resumed_session_goes_on_as_if_nothing_had_happened(rig_of: MakeRig, tmp_path: Any) -> None:
    # Given an execution of which three parts are sent, and a checkpoint
    directory = tmp_path / "resumed"
    directory.mkdir()
    strategy = swing()
    rig = Rig(directory, strategy, settings=ROOM)
    rig.quotes(kst(9, 59, 50), 1)
    strategy.intents.append(buys(100, Algo.twap("10m", 10)))
    rig.quotes(kst(10), 150)
    rig.store_now()
    rig.close()

    # When the session is resumed
    resumed = Rig(directory, swing(), settings=ROOM, is_resumed=True)
    resumed.quotes(kst(10, 2, 31), 600)

    # Then ten parts were sent in all, and the gateway knew of the first three
    assert parts(resumed) == [10] * 10
    assert (stored(resumed).state, resumed.held()) == (S.COMPLETE, 100)
    resumed.close()


def test_the_end_of_the_session_ends_it(rig_of: MakeRig) -> None:
    strategy = swing()
    rig = rig_of(strategy, settings=ROOM)
    rig.quotes(kst(15, 0), 1)
    strategy.intents.append(buys(100, Algo.twap("2h", 10)))
    rig.quotes(kst(15, 0, 2), 5)
    rig.quotes(kst(15, 10), 700, every_s=100)
    rig.quote(kst(16))

    one = stored(rig)
    assert one.state is S.COMPLETE
    assert one.reason
    assert one.filled < 100


def posted(rig_of: MakeRig, strategy: ScriptedStrategy, ask: int = 151_000) -> tuple[Rig, int]:
    """An iceberg of 20 that waits at 150,000 in a wide spread."""
    rig = rig_of(strategy, settings=ROOM)
    rig.quote(kst(9, 59, 50), 150_000, ask)
    strategy.intents.append(buys(20, Algo.iceberg(20)))
    rig.quotes(kst(10), 5)
    return rig, kst(10, 0, 5)


def test_a_part_that_does_not_fill_is_improved_step_by_step(rig_of: MakeRig) -> None:
    # Given an iceberg of 20 at 150,000 while sellers ask for 151,000
    rig, now = posted(rig_of, swing())
    assert [int(order.limit or 0) for order in rig.orders()] == [150_000]

    # When nothing fills for a minute, and then round by round
    rig.quotes(now + SECOND, 70)

    # Then it was cancelled and sent again at better prices, the last time at the price of the sellers
    orders = rig.orders()
    assert [int(order.limit or 0) for order in orders] == [150_000, 150_100, 150_200, 151_000]
    assert [order.state for order in orders] == [OrderState.CANCELLED] * 3 + [OrderState.FILLED]
    assert (stored(rig).state, rig.held()) == (S.COMPLETE, 20)


@pytest.mark.parametrize(("pool", "state", "held"), [(Pool.SCALP, S.ESCAPED, 0), (Pool.SWING, S.COMPLETE, 0)])
def test_a_price_too_far_from_the_decision_ends_it(rig_of: MakeRig, pool: Pool, state: S, held: int) -> None:
    # Given an iceberg that was decided while sellers asked for 151,000
    rig, now = posted(rig_of, ScriptedStrategy(pool=pool))

    # When they ask for 152,000, which is 0.66 % more
    rig.quote(now + SECOND, 150_000, 152_000)
    rig.quotes(now + 2 * SECOND, 90)

    # Then the last round does not pay it
    one = stored(rig)
    assert (one.state, one.code, rig.held()) == (state, "FS094", held)


def test_parts_never_exceed_what_was_approved(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 90)
    part = rig.orders()[-1].request

    def why(qty: int, parent: str | None = None) -> str:
        parent_id = part.parent_id if parent is None else parent
        request = msgspec.structs.replace(part, client_order_id="new", qty=D(qty), parent_id=parent_id)
        return rig.kernel.executions.why_not_part(request)

    assert why(80) == ""
    assert why(81) == "81 more would be over the 100 that were approved: 20 are executed or on their way"
    assert why(1, "d-404").startswith("the execution d-404 of which it is a part is not known")


def test_view_status_and_metrics_show_it(rig_of: MakeRig) -> None:
    # Given an execution of which two parts of ten are filled
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 90)

    # Then view and metrics name it as it stands
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    (one,) = view.executions
    assert (one.state, one.qty, one.filled, one.parts, one.planned) == ("MONITORING", D(100), D(20), 2, 10)
    assert (one.average_price, one.reason, view.executions_ended) == (D(150100), "", {})
    assert view.slowest_stage_us is None
    assert reader(view)("qts_executions", {"state": "MONITORING"}) == 1

    # And at its end it is counted by its state
    rig.quotes(now + 100 * SECOND, 600)
    view = view_of(rig.kernel, RUN, "paper", "", MACHINE)
    assert (view.executions, view.executions_ended) == ((), {"COMPLETE": 1})
    read = reader(msgspec.structs.replace(view, slowest_stage_us=1_500))
    assert read("qts_executions_ended_total", {"state": "COMPLETE"}) == 1
    assert read("qts_execution_slowest_stage_seconds") == 0.0015


def test_status_shows_how_far_it_has_come(rig_of: MakeRig) -> None:
    rig, now = begun(rig_of, swing(), buys(100, Algo.twap("10m", 10)))
    rig.quotes(now + SECOND, 90)

    assert execution_line(view_of(rig.kernel, RUN, "paper", "", MACHINE).executions[0]) == (
        "TWAP of scripted: BUY 100 005930, 20 filled at 150,100 on average, 2 of 10 parts sent, MONITORING"
    )
