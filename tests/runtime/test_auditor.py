"""The full audit: judged at a moment at which memory and rows speak of the same book, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.event.contracts import Event, EventPriority, EventType
from qts.event.handlers import CallbackHandler
from qts.execution.contracts import OrderCancelled
from qts.ledger.contracts import LedgerRow
from qts.runtime.commands import Stop
from qts.runtime.sync import complete
from qts.safety.contracts import SafetyState
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

    rig.kernel.stops.begin(Stop(operator="me", reason="to have a P0 event waiting"))

    assert rig.kernel.auditor._is_moving(rows)


def test_beside_the_loop_a_book_that_changed_meanwhile_puts_it_off(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    rig.parts.record.is_off_loop = True
    rows = rig.parts.record.rows_of_the_book

    assert not rig.kernel.auditor._is_moving(rows)
    rig.parts.record.rows_of_the_book += 1

    assert rig.kernel.auditor._is_moving(rows)


async def beside_the_loop(rig: Rig, meanwhile: Callable[[], object]) -> bool:
    """A full audit with the store on its own thread; ``meanwhile`` happens while the rows are read."""
    read = rig.store.ledger

    async def ledger() -> Sequence[LedgerRow]:
        rows = await read()
        meanwhile()
        return rows

    rig.store.ledger = ledger  # type: ignore[method-assign]
    rig.kernel.auditor._read_at = -1
    async with rig.parts.record.off_loop():
        return await rig.kernel.auditor.full(rig.clock.time_ns())


async def test_beside_the_loop_a_book_that_stands_still_is_judged(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)
    before = checks(rig)

    assert await beside_the_loop(rig, lambda: None)

    assert checks(rig) == before + 1
    assert all(row["ok"] is not False for row in rig.kernel.invariants.summary().values())


async def test_beside_the_loop_a_fill_booked_while_the_rows_are_read_is_no_breach(rig_of: MakeRig) -> None:
    """Given rows without it and an account with it, nothing is judged until they speak of the same moment."""
    rig = with_holding(rig_of)
    before = checks(rig)

    (order,) = rig.orders()

    judged = await beside_the_loop(rig, lambda: rig.parts.record.write_later(order))

    assert not judged
    assert checks(rig) == before
    assert rig.parts.safety.current_state is SafetyState.NORMAL


def test_events_held_for_an_operator_do_not_put_the_audit_off_for_ever(rig_of: MakeRig) -> None:
    rig = with_holding(rig_of)

    def breaks(event: Event) -> None:
        raise RuntimeError("cannot")

    rig.kernel.dispatcher.register_handler(EventPriority.P0_CRITICAL, CallbackHandler(breaks, "broken"))
    rig.kernel.dispatcher.publish(EventType.ORDER_CANCELLED, OrderCancelled("sim", "o-x", "005930", 1, "gone"))
    rig.kernel.dispatcher.publish(EventType.ORDER_CANCELLED, OrderCancelled("sim", "o-x", "005930", 2, "gone"))
    rig.kernel.dispatcher.run_inline()
    assert rig.kernel.dispatcher.queue_stats()["P0_CRITICAL"]["size"] == 1
    complete(rig.parts.record.checkpoint())
    rig.parts.record.is_off_loop = True

    assert not rig.kernel.auditor._is_moving(rig.parts.record.rows_of_the_book)
