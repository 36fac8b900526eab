"""The full audit: judged at a moment at which memory and rows speak of the same book, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from qts.runtime.drive import complete
from qts.strategy.contracts import Side
from tests.runtime.rig import Rig, Said, kst

MakeRig = Callable[..., Rig]


def with_holding(rig_of: MakeRig) -> Rig:
    said = Said()
    rig = rig_of(said)
    rig.quote(kst(10))
    said.wants(Side.BUY, qty=10)
    rig.quote(kst(10, 0, 1))
    rig.quote(kst(10, 0, 2))
    assert rig.parts.account.fills_applied == 1
    return rig


def audit(rig: Rig) -> bool:
    return complete(rig.kernel.auditor.full(rig.clock.time_ns()))


def checks(rig: Rig) -> int:
    return int(rig.kernel.invariants.summary()["inv25"]["checks"])


def test_at_rest_everything_is_judged(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    before = checks(rig)

    assert audit(rig)

    assert checks(rig) == before + 1


def test_beside_the_loop_a_fill_that_waits_to_be_handled_puts_it_off(rig_of: MakeRig) -> None:
    """The broker's book has it already, ours has not: that is no breach."""
    rig = with_holding(rig_of)
    rig.parts.record.is_off_loop = True
    rows = rig.parts.record.rows_of_the_book
    assert not rig.kernel.auditor._is_moving(rows)

    rig.kernel.emergency_stop("me", "to have a P0 event waiting")

    assert rig.kernel.auditor._is_moving(rows)


def test_beside_the_loop_a_book_that_changed_meanwhile_puts_it_off(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    rig.parts.record.is_off_loop = True
    rows = rig.parts.record.rows_of_the_book

    assert not rig.kernel.auditor._is_moving(rows)
    rig.parts.record.rows_of_the_book += 1

    assert rig.kernel.auditor._is_moving(rows)
