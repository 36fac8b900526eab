"""What the result says beside its numbers."""

from __future__ import annotations

from collections.abc import Callable

from qts.event.contracts import EventPriority, EventType
from qts.event.handlers import CallbackHandler, TypeFilterHandler
from qts.market.contracts import Bar
from qts.notes import in_english
from qts.runtime.session.result import unfilled_by_reason
from qts.runtime.session.view_builder import dead_letters_of, notes_of
from tests.db.rows import order
from tests.risk.requests import D
from tests.runtime.rig import SYMBOL, Rig, kst


def test_events_that_no_handler_could_deal_with_are_told(rig_of: Callable[..., Rig]) -> None:
    """Given a second P1 handler that fails for every bar: two bars are two dead letters, the quotes are none."""
    rig = rig_of()

    def fail(event: object) -> None:
        raise ArithmeticError("beyond me")

    failing = TypeFilterHandler(CallbackHandler(fail, "failing"), (EventType.VOLUME_UPDATE,))
    rig.kernel.dispatcher.register_handler(EventPriority.P1_HIGH, failing)
    rig.quotes(kst(10), 3)
    assert dead_letters_of(rig.kernel.dispatcher) == []

    for minute in (1, 2):
        rig.show(Bar(SYMBOL, kst(10, minute), *[D(150_000)] * 4, D(1)))
    rig.quote(kst(10, 3))  # by now the last retry is long due

    told = "dead letters: 2 events of P1 could not be handled; the last: ArithmeticError: beyond me"
    assert [in_english(note) for note in dead_letters_of(rig.kernel.dispatcher)] == [told]
    assert told in map(in_english, notes_of(rig.kernel))


def test_orders_that_ended_alike_are_counted_together() -> None:
    """Whatever differs between them is a number or an id of the run, whose letters would tell them apart."""
    notes = [
        "approval 7f65b68c-a-5 expired 5622.887 ms ago",
        "approval 7f65b68c-a-12 expired 9.001 ms ago",
        "approval 7f65b68c-a-12 was already used for order edd1623d-o-2",
    ]
    orders = [order(f"o-{count}", "REJECTED", filled=D(0), note=note) for count, note in enumerate(notes)]

    assert unfilled_by_reason(orders) == {
        "REJECTED: approval … expired … ms ago": 2,
        "REJECTED: approval … was already used for order …": 1,
    }
