"""Evaluations of the operating state: hourly, on the virtual clock only where they can change something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qts.runtime.drivers.sync import run_to_completion
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from tests.runtime.rig import Rig, ScriptedStrategy, command, kst

MakeRig = Callable[..., Rig]


def made(rig: Rig) -> int:
    return rig.kernel.counters.evaluations


def test_a_flat_account_is_evaluated_once_a_day_whatever_prices_do(rig_of: MakeRig) -> None:
    """A trading day has seven evaluations, from nine to three."""
    rig = rig_of()
    for hour in range(9, 16):
        rig.quote(kst(hour, 30), bid=150_000 + 100 * hour)
    assert made(rig) == 1

    rig.quote(kst(15, 30, day=23))

    assert made(rig) == 2
    assert rig.shared.basis.values()["trading_days"] == 2


def test_a_state_that_rules_nothing_is_never_evaluated(rig_of: MakeRig) -> None:
    rig = rig_of(settings={"state.enabled": "false"})
    rig.quote(kst(15, 30))
    assert made(rig) == 0


def test_a_price_of_what_is_held_makes_the_next_evaluation_due(rig_of: MakeRig) -> None:
    # Given ten shares bought after nine
    scripted = ScriptedStrategy()
    rig = rig_of(scripted)
    scripted.wants(Side.BUY, qty=10)
    rig.quotes(kst(9, 30), 3)
    assert (rig.held(), made(rig)) == (10, 1)

    # When a price comes before eleven and none before twelve
    rig.quote(kst(10, 30))  # the evaluation of ten is due by the fill
    assert made(rig) == 2
    rig.quote(kst(12, 30))  # at eleven by the price of half past ten, at twelve by none

    # Then
    assert made(rig) == 3


def test_a_new_volatility_makes_the_next_evaluation_due(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(9, 30))
    rig.vix(kst(9, 40), 20.0)

    rig.quote(kst(12, 30))

    assert made(rig) == 2


def test_an_index_as_the_judge_makes_the_next_evaluation_due(rig_of: MakeRig) -> None:
    rig = rig_of(judged_by_index=True)
    rig.quote(kst(9, 30))
    rig.index(kst(9, 40), 2_700.0)

    rig.quote(kst(12, 30))

    assert made(rig) == 2


def test_a_volatility_that_becomes_too_old_makes_the_next_evaluation_due(rig_of: MakeRig) -> None:
    """Thirty hours after 8:59 on Thursday is 14:59 on Friday."""
    # Given a volatility that is known at Friday's first evaluation
    rig = rig_of()
    rig.vix(kst(8, 59), 20.0)
    rig.quote(kst(14, 30, day=23))
    assert made(rig) == 2
    assert rig.shared.basis.values()["volatility"]["value"] == 20.0

    # When the evaluation of 15:00 comes
    rig.quote(kst(15, 5, day=23))

    # Then it is made, and the volatility is unknown
    assert made(rig) == 3
    assert rig.shared.basis.values()["volatility"]["value"] is None


def test_an_override_makes_the_next_evaluation_due_and_so_does_its_end(rig_of: MakeRig) -> None:
    # Given an override of two hours from half past nine
    rig = rig_of()
    rig.quote(kst(9, 30))
    rig.command(command("override", state="DEFENSIVE", days=2 / 24))
    rig.quote(kst(10, 30))
    assert (made(rig), rig.shared.state.current_state) == (2, OperatingState.DEFENSIVE)

    # When it has ended before twelve
    rig.quote(kst(12, 30))

    # Then eleven was quiet, twelve was not
    assert made(rig) == 3
    assert not rig.shared.state.has_override


def test_while_safety_is_not_normal_every_evaluation_is_made(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(9, 30))
    rig.kernel.on_code("AN010", "drill")
    assert rig.shared.safety.current_state is SafetyState.WARNING

    rig.quote(kst(10, 5))
    rig.kernel.on_code("AN010", "drill")
    rig.quote(kst(11, 5))

    assert made(rig) == 3


def test_a_restart_loses_no_due_evaluation_and_adds_none(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(9, 30))
    evaluation = rig.kernel.components.evaluation
    saved = evaluation.export_state()

    for _ in range(2):
        evaluation.import_state(saved)
        assert kst(10) < evaluation.steady_until_ns() <= kst(0, day=23)
    evaluation.import_state({"waits": ""})  # of an earlier version

    assert evaluation.steady_until_ns() == 0


def test_a_resumed_run_under_other_settings_is_evaluated_at_once(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(9, 30))
    saved = rig.kernel.components.evaluation.export_state()
    other = rig_of(settings={"state.balanced_to_defensive.vix": "21"})
    other.quote(kst(9, 30))
    assert other.kernel.components.evaluation.steady_until_ns() > kst(10)

    other.kernel.components.evaluation.import_state(saved)

    assert other.kernel.components.evaluation.steady_until_ns() == 0


def test_evaluations_that_are_not_made_leave_the_numbers_of_events_as_they_were(
    rig_of: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = []
    for always in (False, True):
        rig = rig_of()
        if always:
            monkeypatch.setattr(type(rig.kernel.components.evaluation), "steady_until_ns", lambda self: 0)
        rig.quote(kst(15, 30))
        run_to_completion(rig.kernel.drain())
        numbers.append((made(rig), rig.kernel.dispatcher.factory.last_number))

    (few, number), (many, same) = numbers
    assert (few, many) == (1, 7)
    assert number == same
