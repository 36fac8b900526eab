"""Invariants as the run sees them: unchecked is null, a breach is told once and stays a breach."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qts.execution.contracts import Fill
from qts.runtime.checks.invariants import NUMBERS, Invariants
from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst

MakeRig = Callable[..., Rig]
S = 1_000_000_000


def test_what_was_never_checked_is_null_and_never_true() -> None:
    summary = Invariants(lambda number, detail, again: None).summary()

    assert list(summary) == [f"inv{number:02d}" for number in range(1, 26)]
    assert all(row == {"ok": None, "checks": 0, "last": None} for row in summary.values())


def test_a_check_that_holds_is_true_counted_and_dated() -> None:
    invariants = Invariants(lambda number, detail, again: None)
    invariants.check(4, True, 10 * S)
    invariants.check(4, True, 20 * S, count=3)

    assert invariants.summary()["inv04"] == {"ok": True, "checks": 4, "last": "1970-01-01T00:00:20+00:00"}


def test_a_breach_is_told_once_and_a_later_good_check_does_not_heal_it() -> None:
    told: list[tuple[int, str]] = []
    invariants = Invariants(lambda number, detail, again: told.append((number, detail)))
    for holds in (True, False, False, True):
        invariants.check(25, holds, S, "ledger 3, broker 2")

    row = invariants.summary()["inv25"]
    assert told == [(25, "ledger 3, broker 2")]
    assert (row["ok"], row["checks"], row["detail"]) == (False, 4, "ledger 3, broker 2")


def test_a_breach_after_it_had_held_again_is_told_as_a_repeated_one() -> None:
    told: list[tuple[int, bool]] = []
    invariants = Invariants(lambda number, detail, again: told.append((number, again)))
    for holds in (False, False, True, False, True):
        invariants.check(4, holds, S)

    assert told == [(4, False), (4, True)]


def test_a_look_at_one_order_or_symbol_does_not_lift_what_stands_elsewhere() -> None:
    told: list[tuple[int, bool]] = []
    invariants = Invariants(lambda number, detail, again: told.append((number, again)))
    invariants.check(25, True, S)
    invariants.check(4, False, S, "positions differ")

    invariants.check(4, True, S, part=True)
    assert invariants.books_agree(S) is False
    invariants.check(4, False, S, "positions differ")
    assert told == [(4, False)], "it stood all the while"
    invariants.check(4, True, S)

    assert invariants.books_agree(S) is True
    invariants.check(4, False, S, part=True)
    assert told == [(4, False), (4, True)]


@pytest.mark.parametrize(
    ("checks", "since_ns", "agree"),
    [
        ((), 0, None),
        (((4, True, 10),), 0, None),
        (((25, True, 10),), 10, True),
        (((25, True, 10),), 11, None),
        (((25, True, 10), (3, False, 10)), 0, False),
        (((25, False, 10), (25, True, 20)), 20, True),
        (((25, True, 10), (16, False, 10)), 0, True),  # an order too many in a second says nothing of the books
    ],
)
def test_the_books_agree_when_nothing_stands_against_them_and_the_broker_was_asked_since(
    checks: tuple[tuple[int, bool, int], ...], since_ns: int, agree: bool | None
) -> None:
    invariants = Invariants(lambda number, detail, again: None)
    for number, holds, now_ns in checks:
        invariants.check(number, holds, now_ns)

    assert invariants.books_agree(since_ns) is agree


def test_they_survive_a_restart() -> None:
    told: list[int] = []
    invariants = Invariants(lambda number, detail, again: None)
    for number in NUMBERS:
        invariants.check(number, number % 3 > 0, number * S, f"no {number}")
    other = Invariants(lambda number, detail, again: told.append(number))

    other.import_state(invariants.export_state())
    other.check(3, False, S, "again")

    assert told == [], "it was told before the restart"
    assert other.summary()["inv03"]["detail"] == "no 3"
    assert other.summary()["inv04"] == invariants.summary()["inv04"]


@pytest.mark.parametrize(
    ("number", "state"),
    [(1, SafetyState.LOCKDOWN), (2, SafetyState.LOCKDOWN), (4, SafetyState.FAIL), (25, SafetyState.FAIL)],
)
def test_a_breach_raises_safety_and_money_from_nothing_locks_down(
    number: int, state: SafetyState, rig_of: MakeRig
) -> None:
    rig = rig_of()

    rig.kernel.invariants.check(number, False, kst(10), "one won too many")
    rig.drain()

    assert rig.shared.safety.current_state is state
    assert f"invariant {number}: one won too many" in rig.shared.safety.history[0].reason


def test_a_quiet_day_checks_what_it_can_and_leaves_the_rest_null(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    rig.quote(kst(15, 33))

    checked = {number for number in NUMBERS if rig.invariant(number)["checks"]}

    assert checked >= {1, 3, 4, 5, 6, 7, 8, 12, 15, 16, 19, 25}
    assert {9, 11, 17, 18, 20, 22, 24}.isdisjoint(checked)
    assert all(rig.invariant(number)["ok"] is True for number in checked)


def test_a_broker_that_holds_something_else_is_found_at_the_day_s_close(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    rig.exchange._positions[SYMBOL] = D(9)

    rig.quote(kst(15, 33))

    assert rig.invariant(25)["ok"] is False
    assert rig.shared.safety.current_state in (SafetyState.FAIL, SafetyState.LOCKDOWN)


def test_a_new_day_ends_fail_only_when_the_books_agree_again(rig_of: MakeRig) -> None:
    """FAIL falls with a clean reconcile (`safety-falls-by-rule`). Five shares that we do not know of go on the
    26th.
    """
    rig = rig_of()
    rig.quote(kst(10))
    rig.exchange._positions[SYMBOL] = D(5)
    rig.quote(kst(15, 33))
    assert rig.shared.safety.current_state is SafetyState.FAIL

    rig.quote(kst(10, day=23))
    assert rig.shared.safety.current_state is SafetyState.FAIL
    rig.quote(kst(10, day=26))
    del rig.exchange._positions[SYMBOL]
    assert rig.shared.safety.current_state is SafetyState.FAIL
    rig.quote(kst(10, day=27))

    assert rig.shared.safety.current_state is SafetyState.NORMAL
    assert rig.invariant(25)["ok"] is False, "the report does not forget it"


def test_a_difference_that_stays_is_one_cause_whatever_is_traded_meanwhile(rig_of: MakeRig) -> None:
    """The broker holds two shares that we do not know of. FAIL sells our ten; the two are still there."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    now = rig.quotes(kst(10), 3)
    rig.exchange._positions[SYMBOL] = D(12)

    for look in (now + 1 * S, now + 10 * S):
        run_to_completion(rig.kernel.auditor.run_full_audit(rig.clock.time_ns()))
        rig.quotes(look, 5)

    assert rig.held() == 0
    assert rig.shared.safety.current_state is SafetyState.FAIL
    assert [change.code for change in rig.shared.safety.history] == ["FS070"]


def test_a_difference_that_comes_back_locks_down(rig_of: MakeRig) -> None:
    rig = rig_of()
    for day in (22, 23):
        rig.quote(kst(10, day=day))
        rig.exchange._positions[SYMBOL] = D(5)
        rig.quote(kst(15, 33, day=day))
        del rig.exchange._positions[SYMBOL]
        run_to_completion(rig.kernel.auditor.run_full_audit(kst(15, 34, day=day)))

    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN


def test_a_ledger_row_that_is_gone_is_found_by_the_recomputation(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(10), 3)
    rig.store_now()
    rig.store._connection.execute("DELETE FROM t_ledger")

    rig.quote(kst(15, 33))

    assert rig.invariant(4)["ok"] is False
    assert rig.invariant(1)["ok"] is False
    assert rig.shared.safety.current_state is SafetyState.LOCKDOWN


def test_an_order_that_works_at_the_broker_and_is_final_here_is_found(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    rig.quotes(kst(10), 3)
    rig.shared.orders.import_state([])

    run_to_completion(rig.kernel.auditor.run_full_audit(kst(10, 1)))

    assert rig.invariant(12)["ok"] is False


def test_money_is_looked_at_after_every_fill(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    rig.quotes(kst(10), 3)
    before = rig.invariant(1)["checks"]
    (order,) = rig.shared.orders

    fill = Fill(
        "sim", "e1", order.client_order_id, SYMBOL, Side.BUY, D(4), D(149_000), D(0), D(0), kst(10, 1), False
    )
    rig.kernel.components.report_relay(fill)
    rig.drain()

    assert rig.invariant(1)["checks"] == before + 1


def test_a_broker_that_cannot_be_asked_is_neither_fine_nor_broken(rig_of: MakeRig) -> None:
    rig = rig_of(settings={"broker.sim.disconnect_ms": "3600000"})
    rig.quote(kst(15, 10))

    rig.exchange.disconnect(kst(15, 10), "cable")
    rig.quote(kst(15, 33))

    assert rig.invariant(25)["ok"] is None
    assert rig.invariant(12)["ok"] is None
    assert rig.invariant(1)["ok"] is True, "our own book is checked all the same"
    rig.quote(kst(15, 33, day=23))
    assert rig.invariant(25)["ok"] is True


def test_a_line_that_is_up_again_is_asked_only_after_it_has_told_its_news(rig_of: MakeRig) -> None:
    """Ten shares are bought while the line is down; its second is over, but no report has come yet."""
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings={"broker.sim.disconnect_ms": "1000"})
    rig.quote(kst(10))
    scripted.wants(Side.BUY, qty=10)
    rig.quote(kst(10, 0, 1))
    rig.exchange.disconnect(kst(10, 0, 1), "cable")
    rig.quote(kst(10, 0, 1.5))
    rig.clock.set_ns(kst(10, 0, 3))

    run_to_completion(rig.kernel.auditor.run_full_audit(kst(10, 0, 3)))
    assert rig.held() == 0
    assert rig.invariant(25)["ok"] is None
    rig.quote(kst(10, 1))
    rig.quote(kst(15, 33))

    assert rig.held() == 10
    assert rig.invariant(25)["ok"] is True
    assert rig.shared.safety.current_state is SafetyState.NORMAL
