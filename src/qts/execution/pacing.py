"""Decides how much of an execution is sent next, and when: as planned, behind that within a share of the market.

Pure. A part is sent only when nothing of the execution works, so that the fate and the fills of the one before are
known.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import msgspec

from qts.execution.executions import Execution
from qts.money import ZERO, minus, multiple_of, plus, times
from qts.strategy.algo import AlgoKind


class PaceInputs(msgspec.Struct, frozen=True):
    """Everything that the next part depends on.

    ``sent_ns``: when the last part was sent or skipped, 0 for never. ``volume``: what the market has traded since,
    None where it is not known. ``participation``: the share of it that catching up may take.
    """

    execution: Execution
    now_ns: int
    lot: Decimal
    sent_ns: int
    volume: Decimal | None
    participation: Decimal


def next_part(inputs: PaceInputs) -> Decimal:
    """Return the quantity to send now, 0 for nothing yet.

    The newest planned part that is due, and of what was missed before it at most the share of the market's volume
    and at most as much again: after a pause nothing is sent at once. After the last planned part one of its size
    follows at each distance of the parts.
    """
    one, plan = inputs.execution, inputs.execution.plan
    if plan is None or not one.remaining:
        return ZERO
    if one.kind in (AlgoKind.ICEBERG, AlgoKind.SINGLE):
        return min(plan.slices[0].qty, one.remaining)
    if next_part_ns(one, inputs.sent_ns) > inputs.now_ns:
        return ZERO
    behind = min(minus(plan.due_qty(inputs.now_ns), one.filled), one.remaining)
    if behind <= 0:
        return ZERO
    planned = next(part for part in reversed(plan.slices) if part.due_ns <= inputs.now_ns)
    is_new = planned.due_ns > inputs.sent_ns
    within = _within(inputs, planned.qty)
    if is_new:
        on_time = min(behind, planned.qty)
        return plus(on_time, min(minus(behind, on_time), within))
    if inputs.volume is None:  # nothing is known of the market: no faster than was planned
        return min(behind, planned.qty)
    return min(behind, within)


def _within(inputs: PaceInputs, planned: Decimal) -> Decimal:
    """Return what catching up may take beside a planned part; nothing where the volume is not known."""
    if inputs.volume is None:
        return ZERO
    share = multiple_of(times(inputs.volume, inputs.participation), inputs.lot, ROUND_FLOOR)
    return max(min(share, planned), ZERO)


def next_part_ns(one: Execution, sent_ns: int) -> int:
    """Return when the next part may be sent at the earliest, while nothing works; ``sent_ns`` as in PaceInputs."""
    plan = one.plan
    assert plan is not None  # an execution is split before its first part is sent
    if one.kind in (AlgoKind.ICEBERG, AlgoKind.SINGLE):
        return sent_ns
    later = next((part.due_ns for part in plan.slices if part.due_ns > sent_ns), None)
    return sent_ns + spacing_ns(one) if later is None else later


def spacing_ns(one: Execution) -> int:
    """Return the distance of the parts of a timed execution in ns, at least one second."""
    plan = one.plan
    if plan is None or plan.end_ns is None:
        return 1_000_000_000
    return max((plan.end_ns - plan.slices[0].due_ns) // len(plan.slices), 1_000_000_000)
