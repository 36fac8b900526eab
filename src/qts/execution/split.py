"""OrderSplit: an approved quantity cut into parts, whole lots that sum to it exactly. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import msgspec

from qts.execution.executions import Plan, PlannedSlice
from qts.money import ZERO, minus, multiple_of, split, steps_in, sum_of, times, whole_steps
from qts.strategy.algo import Algo, AlgoKind

_EVEN: Final = Decimal(1)


class Profile(msgspec.Struct, frozen=True):
    """The volume of each part of a time, measured between ``from_ns`` and ``to_ns`` (ns since 1970, UTC)."""

    volumes: tuple[Decimal, ...]
    from_ns: int
    to_ns: int


class SplitInputs(msgspec.Struct, frozen=True):
    """Everything that OrderSplit looks at.

    ``slices`` and ``max_slices`` are the settings. ``profile`` None: no volume is known.
    """

    qty: Decimal
    lot: Decimal
    algo: Algo | None
    now_ns: int
    slices: int
    max_slices: int
    profile: Profile | None = None


class Unplanned(msgspec.Struct, frozen=True):
    """An answer that the quantity cannot be split as asked for: why, and the code to raise."""

    reason: str
    code: str


def count_of(algo: Algo | None, slices: int) -> int:
    """Return how many parts a timed algorithm asks for; ``slices`` is the setting where it names none."""
    if algo is None:
        return 1
    return algo.slices or len(algo.profile) or slices


def split_order(inputs: SplitInputs) -> Plan | Unplanned:
    """Return the parts of the quantity, none below one lot, or why it cannot be split.

    Fewer lots than parts give as many parts as there are lots. A VWAP of unknown volumes is cut evenly.
    """
    algo = inputs.algo
    if algo is None or algo.kind is AlgoKind.SINGLE:
        return Plan((PlannedSlice(inputs.qty, inputs.now_ns),))
    if algo.kind is AlgoKind.ICEBERG:
        return _iceberg(inputs, Decimal(algo.shown or 0))
    count = count_of(algo, inputs.slices)
    if count > inputs.max_slices:
        return _too_many(count, inputs)
    if algo.kind is AlgoKind.TWAP:
        return _timed(inputs, algo, (_EVEN,) * count)
    if algo.profile:
        return _timed(inputs, algo, algo.profile, profile=algo.profile)
    measured = inputs.profile
    if measured is None or len(measured.volumes) != count or not sum_of(measured.volumes) > 0:
        note = f"no volume of {algo.over} before is known: the parts are equal"
        return msgspec.structs.replace(_timed(inputs, algo, (_EVEN,) * count), note=note)
    plan = _timed(inputs, algo, measured.volumes, profile=measured.volumes)
    return msgspec.structs.replace(plan, profile_from_ns=measured.from_ns, profile_to_ns=measured.to_ns)


def _too_many(count: int, inputs: SplitInputs) -> Unplanned:
    return Unplanned(f"{count:,} parts are asked for, at most {inputs.max_slices:,} are allowed", "GR060")


def _iceberg(inputs: SplitInputs, shown: Decimal) -> Plan | Unplanned:
    part = max(multiple_of(shown, inputs.lot, ROUND_FLOOR), inputs.lot)
    count = int(whole_steps(inputs.qty, part, ROUND_CEILING))
    if count > inputs.max_slices:
        return _too_many(count, inputs)
    last = minus(inputs.qty, times(part, count - 1))
    parts = (*(part for _ in range(count - 1)), last)
    return Plan(tuple(PlannedSlice(qty, inputs.now_ns) for qty in parts))


def _timed(inputs: SplitInputs, algo: Algo, weights: Sequence[Decimal], profile: tuple[Decimal, ...] = ()) -> Plan:
    count = len(weights)
    parts = _by_weight(inputs.qty, inputs.lot, weights)
    due = (inputs.now_ns + algo.over_ns * number // count for number in range(count))
    planned = tuple(PlannedSlice(qty, due_ns) for qty, due_ns in zip(parts, due, strict=True) if qty)
    return Plan(planned, inputs.now_ns + algo.over_ns, profile)


def _by_weight(qty: Decimal, lot: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Return the quantities by weight, each rounded down to lots, the rest in the last one.

    Equal weights are spread evenly. So is every profile of which a part would be below one lot: else small orders
    would lie in the last part as a whole.
    """
    is_even = all(weight == weights[0] for weight in weights)
    if not is_even:
        by_place = split(qty, dict(enumerate(weights)), lot, len(weights) - 1)
        parts = [by_place[place] for place in range(len(weights))]
        if all(part > 0 or not weight for part, weight in zip(parts, weights, strict=True)):
            return parts
    whole, lots = sum_of(weights), steps_in(qty, lot)
    parts, reached, before = [], ZERO, ZERO
    for weight in weights:
        reached = sum_of((reached, weight))
        until = whole_steps(times(lots, reached), whole, ROUND_CEILING if is_even else ROUND_FLOOR)
        parts.append(times(minus(until, before), lot))
        before = until
    return parts
