"""A broker that rejects order after order: entries back off and stop, exits go on with a pause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise

import msgspec

from qts.db.sqlite import SqliteStore
from qts.execution.contracts import OrderAck, OrderState
from qts.market.contracts import Quote
from qts.pipeline.contracts import Acted
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Context, Intent, Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, command, kst, with_ten

MakeRig = Callable[..., Rig]
S = 1_000_000_000
ALL = {"broker.sim.reject_probability": "1"}
LATE = {"broker.sim.late_reject_probability": "1"}


class Eager(ScriptedStrategy):
    """Asks at every quote, for what it is told to."""

    def __init__(self, name: str = "scripted", side: Side = Side.BUY) -> None:
        super().__init__(name)
        self.side = side

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        self.quotes += 1
        if ctx.working(quote.symbol):
            return ()
        return (Intent(quote.symbol, self.side, 1.0, qty=1),)


def rejected_at(rig: Rig) -> list[int]:
    """Seconds after ten o'clock at which an order was sent that the broker has rejected."""
    return [(o.ts_intent_ns - kst(10)) // S for o in rig.orders() if o.state is OrderState.REJECTED]


def rejecting(rig: Rig, share: float = 1.0) -> None:
    """From now on the broker rejects ``share`` of what it is sent."""
    exchange = rig.exchange
    exchange._config = msgspec.structs.replace(exchange._config, reject_probability=share)


def test_a_strategy_that_asks_at_every_quote_sends_five_orders_and_no_more(rig_of: MakeRig) -> None:
    rig = rig_of(Eager(), settings=ALL)
    # Given two minutes of a quote a second, and a broker that rejects all of it
    rig.quotes(kst(10), 120)
    # Then the waits were 1, 2, 4 and 8 seconds, and the fifth reject was the last of the day
    assert rejected_at(rig) == [0, 1, 3, 7, 15]
    assert rig.refusals()["STOPPED_AFTER_REJECTS"] == 120 - 15
    assert rig.shared.safety.current_state is SafetyState.NORMAL
    assert any("5 orders of 005930 in a row were rejected" in line.message for line in rig.logged)


def test_an_order_that_is_rejected_after_it_was_accepted_counts_the_same(rig_of: MakeRig) -> None:
    rig = rig_of(Eager(), settings=LATE)
    rig.quotes(kst(10), 40)
    assert len(rejected_at(rig)) == 5
    assert rig.refusals()["STOPPED_AFTER_REJECTS"] > 0


def test_a_rejection_is_no_success_of_the_broker(rig_of: MakeRig) -> None:
    # Given two timeouts in a row
    rig = rig_of(Eager(), settings=ALL)
    for _ in range(2):
        rig.kernel.on_code("FS042", "no answer")
    assert rig.shared.safety.snapshot().broker_failures_in_row == 2
    # When the broker rejects an order
    rig.quote(kst(10))
    # Then they are still in a row
    assert rejected_at(rig) == [0]
    assert rig.shared.safety.snapshot().broker_failures_in_row == 2


def test_twenty_rejects_within_a_minute_are_fail(rig_of: MakeRig) -> None:
    # Given limits under which one symbol may go on being rejected
    settings = {**ALL, "risk.rejects_before_stop": "100", "risk.reject_wait_s": "1", "risk.reject_wait_max_s": "1"}
    rig = rig_of(Eager(), settings=settings)
    rig.quotes(kst(10), 18)
    assert len(rejected_at(rig)) == 19
    assert rig.shared.safety.current_state is SafetyState.NORMAL
    rig.quote(kst(10, 0, 19))
    assert rig.shared.safety.current_state is SafetyState.FAIL
    (cause,) = rig.shared.safety.snapshot().causes
    assert cause.code == "FS043"
    assert "20 orders were rejected within 19.0 s" in cause.detail


def test_exits_go_on_trying_with_a_pause_while_entries_are_stopped(rig_of: MakeRig) -> None:
    # Given ten shares of one, and another whose five entries were rejected
    holder, eager = ScriptedStrategy("holder"), Eager("eager")
    eager.side = Side.SELL
    rig = rig_of(holder, eager)
    now = with_ten(rig, holder)
    rejecting(rig)
    eager.side = Side.BUY
    rig.quotes(now + S, 30)
    assert SYMBOL in rig.shared.rejects.stopped
    sent = len(rig.orders())
    # When the holder wants out at every quote for two minutes, each order rejected
    begun = kst(10, 5)
    for second in range(121):
        holder.wants(Side.SELL, qty=10)
        rig.quote(begun + second * S)
    # Then it tries at once and then once a minute
    assert len(rig.orders()) == sent + 3
    assert rig.refusals()["REJECTED_JUST_NOW"] > 100
    # And when the broker takes orders again it is out, and entries are let in again
    rejecting(rig, 0.0)
    holder.wants(Side.SELL, qty=10)
    rig.quotes(kst(10, 15), 5)
    assert rig.held("holder") == 0
    assert rig.held("eager") > 0


def test_a_forced_exit_keeps_its_own_schedule(rig_of: MakeRig) -> None:
    holder = ScriptedStrategy("holder")
    rig = rig_of(holder)
    now = with_ten(rig, holder)
    rejecting(rig)
    rig.kernel.due.call_soon(
        lambda: rig.kernel.exit_requests.liquidate_strategy("holder", "drill", rig.clock.time_ns())
    )
    rig.quotes(now + S, 130, every_s=10)
    forced = [o for o in rig.orders() if o.forced]
    gaps = {(b.ts_intent_ns - a.ts_intent_ns) // S for a, b in pairwise(forced)}
    assert len(forced) == 3
    assert min(gaps) >= 60
    rejecting(rig, 0.0)
    rig.quotes(now + 132 * S, 70, every_s=10)
    assert rig.held("holder") == 0


def test_the_next_day_and_an_operator_end_a_stop(rig_of: MakeRig) -> None:
    rig = rig_of(Eager(), settings=ALL)
    rig.quotes(kst(10), 30)
    assert SYMBOL in rig.shared.rejects.stopped
    answer = rig.command(command("release", symbol=SYMBOL))
    assert (answer.done, answer.answer) == (True, f"symbol {SYMBOL} may enter again")
    assert not rig.shared.rejects.stopped
    rig.quotes(kst(11), 30)
    assert SYMBOL in rig.shared.rejects.stopped
    rig.quotes(kst(10, day=23), 1)
    assert SYMBOL not in rig.shared.rejects.stopped
    assert len(rejected_at(rig)) == 5 + 5 + 2


def test_a_resumed_session_knows_the_rejects_of_before(rig_of: MakeRig) -> None:
    first, second = rig_of(Eager(), settings=ALL), rig_of(Eager(), settings=ALL)
    first.quotes(kst(10), 30)
    run_to_completion(first.shared.record.checkpoint())
    saved = first.store.checkpoint()
    assert saved is not None
    assert isinstance(first.store, SqliteStore)
    run_to_completion(second.kernel.restore(saved, first.store, None))
    second.quotes(kst(10, 1), 60)
    assert second.refusals()["STOPPED_AFTER_REJECTS"] == first.refusals()["STOPPED_AFTER_REJECTS"] + 61
    assert D(0) == second.held()


def test_a_rejection_of_an_approval_that_had_expired_is_our_lateness_and_no_word_of_the_broker(
    rig_of: MakeRig,
) -> None:
    rig = rig_of(Eager(), settings=ALL)
    watch, answers = rig.kernel.rejects, list[tuple[Acted, OrderAck]]()
    take = watch.on_answer
    watch.on_answer = lambda *answer: answers.append(answer)  # type: ignore[method-assign]
    # Given six rejected orders that are reported ten seconds after their approvals
    rig.quotes(kst(10), 5)
    assert len(answers) == 6
    rig.clock.advance(timedelta(seconds=10))
    # When the answers are taken, then no symbol stops
    for answer in answers:
        take(*answer)
    assert not rig.shared.rejects.stopped
