"""One strategy's holding in one symbol: quantity, cost and realised result, the same for every order of arrival.

Average cost depends on the order of fills, and fills may arrive late. So the fills are kept in *their* order
(time, broker, execution id, order) with the totals after each; a late one is put in its place and the totals behind
it are computed again. The result depends on the set of fills alone (``fill-once``).

Cost is signed like the quantity, so one formula serves long and short:
``realised = change of cost − signed quantity × price``. The cost of what is sold is whole quanta of the currency,
taken from an average kept a million times finer, so that neither the sums nor the average drift.

A split changes the quantity and leaves the cost, but for the part of a fraction that was paid in cash. A fill that
the broker takes back leaves no trace in the totals: they are those of the fills without it.

At a day's close the fills so far become one opening step. A fill that belongs before it needs those fills again:
they are read from the store and put back (:meth:`Holding.recall`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple, TypeAlias

from qts.capital.contracts import Pool
from qts.errors import StateError, StorageError
from qts.ledger.closes import BookMarks, HoldingCloseRow
from qts.money import ZERO, minus, multiple_of, plus, ratio, times, whole_steps

FillKey: TypeAlias = tuple[int, str, int, str, str]
"""(time ns, broker, length of the execution id, execution id, order): counted ids sort by their number."""

_FINER: Final = Decimal("0.000001")


class Step(NamedTuple):
    """A fill, or a split, and the holding's totals after it. ``basis`` is the cost before rounding to the quantum.

    A split has ``kept``, the part of the cost that stays with its whole lots as (numerator, denominator); its
    ``signed`` is the change of the quantity, its ``price`` the whole cash that it brings. Shares that come or go at
    a cost of their own have ``kept`` (); their ``price`` is the whole cost. ``fee`` and ``tax`` are those of a
    fill. ``is_split``: the shares of earlier fills are others from here on.
    """

    key: FillKey
    signed: Decimal
    price: Decimal
    qty: Decimal
    cost: Decimal
    basis: Decimal
    realized: Decimal
    kept: tuple[Decimal, Decimal] | tuple[()] | None = None
    fee: Decimal = ZERO
    tax: Decimal = ZERO
    is_split: bool = False


def fill_key(ts_ns: int, broker: str, execution_id: str, order_id: str = "") -> FillKey:
    """Return the place of a fill among the fills of its holding."""
    return (ts_ns, broker, len(execution_id), execution_id, order_id)


class Holding:
    """The fills of one (strategy, symbol) and what they add up to."""

    __slots__ = ("_closing", "_grain", "_quantum", "_steps", "cost", "marks", "opening", "qty", "realized", "ts_ns")

    def __init__(self, quantum: Decimal) -> None:
        self._quantum = quantum
        self._grain = times(quantum, _FINER)
        self._steps: list[Step] = []
        self._closing = 0
        self.opening: Step | None = None
        """The last of the steps that are in memory no more; None when all are."""
        self.marks = BookMarks()
        """The stored rows among which those steps are: they have these numbers or lower ones."""
        self.qty = ZERO
        self.cost = ZERO
        self.realized = ZERO
        self.ts_ns = 0

    @property
    def average_cost(self) -> Decimal | None:
        """Return the average price paid (or received, when short), without fees; None when flat."""
        return ratio(self.last.basis, self.qty) if self.qty else None

    @property
    def last(self) -> Step:
        """Return the newest step; one of nothing, at the time 0, when there is none."""
        return self._steps[-1] if self._steps else self.opening or _NO_STEP

    def value(self, mark: Decimal | None) -> Decimal:
        """Return the value at ``mark``; at cost when there is no mark."""
        return times(self.qty, mark) if mark is not None else self.cost

    def apply(
        self, key: FillKey, signed: Decimal, price: Decimal, fee: Decimal = ZERO, tax: Decimal = ZERO
    ) -> bool:
        """Put a fill of ``signed`` quantity in its place; True when it was a late one.

        ``fee`` and ``tax`` are kept for a reversal alone.
        """
        steps = self._steps
        before = steps[-1] if steps else self.opening
        if before is not None and key < before.key:
            return self._add(Step(key, signed, price, ZERO, ZERO, ZERO, ZERO, None, fee, tax))
        last = self._after_fill(before, key, signed, price, fee, tax)
        steps.append(last)
        _, _, _, self.qty, self.cost, _, self.realized, _, _, _, _ = last
        self.ts_ns = key[0]
        return False

    def add_at_cost(self, key: FillKey, change: Decimal, cost: Decimal, *, is_split: bool = False) -> None:
        """Add ``change`` shares and ``cost`` without a result: what was held before, comes, goes, or was split."""
        self._add(Step(key, change, cost, ZERO, ZERO, ZERO, ZERO, (), is_split=is_split))

    def fills(self, broker: str, execution_id: str, order_id: str) -> list[Step]:
        """Return the fills with these ids; the days of their times tell them apart."""
        sought = (broker, len(execution_id), execution_id, order_id)
        return [step for step in self._steps if step.kept is None and step.key[1:] == sought]

    def steps_of(self, order_id: str) -> list[Step]:
        """Return the fills of an order that are in memory, by time."""
        return self.steps_of_any((order_id,))

    def steps_of_any(self, order_ids: Container[str]) -> list[Step]:
        """Return the fills of any of these orders that are in memory, by time."""
        return [step for step in self._steps if step.kept is None and step.key[4] in order_ids]

    def was_split_after(self, step: Step) -> bool:
        """Return whether the holding was split behind ``step``: its shares are not those of ``step`` now."""
        return any(one.is_split for one in self._steps[self._steps.index(step) :])

    def remove(self, step: Step) -> None:
        """Take a fill out: every total becomes what it is without it."""
        at = self._steps.index(step)
        del self._steps[at]
        self._total_from(at)
        self._stand()

    def split(self, key: FillKey, change: Decimal, cash: Decimal, kept: tuple[Decimal, Decimal]) -> None:
        """Put a split in its place: the quantity changes by ``change``, ``cash`` was paid for a fraction.

        ``kept`` is the part of the cost that stays, as (numerator, denominator); the rest is the fraction's.
        """
        self._add(Step(key, change, cash, ZERO, ZERO, ZERO, ZERO, kept, is_split=True))

    def _add(self, step: Step) -> bool:
        """Put ``step`` in its place; True when it was a late one."""
        steps = self._steps
        before = steps[-1] if steps else self.opening
        late = before is not None and step.key < before.key
        if late:
            self._insert(step)
        else:
            steps.append(self._after(before, step))
        last = steps[-1]
        self.qty, self.cost, self.realized, self.ts_ns = last.qty, last.cost, last.realized, last.key[0]
        return late

    def _stand(self) -> None:
        """Take the totals of the newest step."""
        last = self.last
        self.qty, self.cost, self.realized, self.ts_ns = last.qty, last.cost, last.realized, last.key[0]

    # -- opening balances --------------------------------------------------------------------------------------

    def is_before_opening(self, key: FillKey) -> bool:
        """Return whether a step with ``key`` belongs among steps that are in memory no more."""
        return self.opening is not None and key < self.opening.key

    def begin_with(self, opening: Step, marks: BookMarks) -> None:
        """Begin with ``opening``, whose facts are among the stored rows up to ``marks``."""
        self.opening, self.marks = opening, marks
        self._stand()

    def begin_close(self) -> None:
        """Note the steps so far: they become the opening when their rows are stored."""
        self._closing = len(self._steps)

    def finish_close(self, marks: BookMarks) -> None:
        """Hold the noted steps in memory no more, but for those that a late fact has changed since.

        ``marks`` are the last rows that were booked when they were noted.
        """
        if self._closing:
            self.opening, self.marks = self._steps[self._closing - 1], marks
            del self._steps[: self._closing]
            self._closing = 0

    def recall(self, whole: Holding) -> None:
        """Take the steps before the opening from ``whole``, a holding made of the stored rows up to :attr:`marks`.

        Raises StorageError when they do not lead to the opening.
        """
        opening = self.opening
        assert opening is not None  # else nothing is missing
        steps = [step for step in whole._steps if step.key <= opening.key]
        found = steps[-1] if steps else _NO_STEP
        if found.key != opening.key or found[3:7] != opening[3:7]:
            raise StorageError(
                f"the stored rows give {found.qty} shares that cost {found.cost} and a result of {found.realized}, "
                f"the opening has {opening.qty}, {opening.cost} and {opening.realized}; the store is damaged, "
                "restore it from a backup or start a new run"
            )
        self._steps[:0] = steps
        self.opening, self._closing = None, 0

    def _insert(self, step: Step) -> None:
        """Insert in order and make every total from there on again."""
        steps = self._steps
        if self.is_before_opening(step.key):
            raise StateError("a fact of a closed day needs the steps of then: recall them first")
        insort(steps, step, key=_key_of)
        self._total_from(next(i for i in range(len(steps) - 1, -1, -1) if steps[i] is step))

    def _total_from(self, at: int) -> None:
        """Make the totals of all steps from ``at`` on again."""
        steps = self._steps
        self._closing = min(self._closing, at)
        before = steps[at - 1] if at else self.opening
        for i in range(at, len(steps)):
            before = steps[i] = self._after(before, steps[i])

    def _after(self, before: Step | None, step: Step) -> Step:
        key, signed, price, _, _, _, _, kept, fee, tax, _ = step
        if kept is not None:
            return self._after_split(before, step, kept)
        return self._after_fill(before, key, signed, price, fee, tax)

    def _after_fill(
        self, before: Step | None, key: FillKey, signed: Decimal, price: Decimal, fee: Decimal, tax: Decimal
    ) -> Step:
        """Return the step of a fill with its totals behind those of ``before``; None: of nothing."""
        flow = times(signed, price)
        if before is None:
            return Step(key, signed, price, signed, flow, flow, ZERO, None, fee, tax)
        _, _, _, held, held_cost, held_basis, realized, _, _, _, _ = before
        qty = plus(held, signed)
        if not held or (held > 0) is (signed > 0):
            cost, basis = plus(held_cost, flow), plus(held_basis, flow)
        elif not qty:
            cost = basis = ZERO
        elif (qty > 0) is not (held > 0):
            cost = basis = times(qty, price)
        else:
            cost, basis = self._part(held_basis, qty, held)
        realized = minus(minus(plus(realized, cost), held_cost), flow)
        return Step(key, signed, price, qty, cost, basis, realized, None, fee, tax)

    def _after_split(self, before: Step | None, step: Step, kept: tuple[Decimal, Decimal] | tuple[()]) -> Step:
        """Return the step with its totals: the cost changes by that of the fraction, or by the step's own."""
        held, cost, basis, realized = (before.qty, before.cost, before.basis, before.realized) if before else _NONE
        if not kept and not step.is_split and held < 0 < step.signed:
            return self._after_cover(step, held, cost, basis, realized)
        if not kept:
            at_cost = (plus(held, step.signed), plus(cost, step.price), plus(basis, step.price), realized)
            return Step(step.key, step.signed, step.price, *at_cost, kept, is_split=step.is_split)
        qty, numerator, denominator = plus(held, step.signed), *kept
        if not numerator or not qty:
            left = basis = ZERO
        elif numerator == denominator:
            left = cost
        else:
            left, basis = self._part(basis, numerator, denominator)
        realized = plus(minus(plus(realized, left), cost), step.price)
        return Step(step.key, step.signed, step.price, qty, left, basis, realized, kept, is_split=True)

    def _after_cover(
        self, step: Step, held: Decimal, held_cost: Decimal, held_basis: Decimal, earned: Decimal
    ) -> Step:
        """Return the step with its totals: shares that come at a cost cover a short holding as a purchase does."""
        qty = plus(held, step.signed)
        if not qty:
            cost = basis = ZERO
        elif qty > 0:
            cost, basis = self._part(step.price, qty, step.signed)
        else:
            cost, basis = self._part(held_basis, qty, held)
        realized = minus(minus(plus(earned, cost), held_cost), step.price)
        return Step(step.key, step.signed, step.price, qty, cost, basis, realized, ())

    def _part(self, basis: Decimal, numerator: Decimal, denominator: Decimal) -> tuple[Decimal, Decimal]:
        """Return the part of a ``basis`` that stays: as a cost in whole quanta, and finer."""
        left = whole_steps(times(basis, numerator), times(denominator, self._grain), ROUND_HALF_EVEN)
        finer = times(left, self._grain)
        return multiple_of(finer, self._quantum, ROUND_HALF_EVEN), finer


def close_of_holding(
    account: str, day: str, pool: Pool | None, strategy: str, symbol: str, last: Step
) -> HoldingCloseRow:
    """Return the row of a holding whose newest step is ``last`` at the close of ``day``."""
    ts_ns, broker, _, execution_id, order_id = last.key
    totals = last.qty, last.cost, last.basis, last.realized
    return HoldingCloseRow(account, day, pool, strategy, symbol, *totals, ts_ns, broker, execution_id, order_id)


def opening_step(row: HoldingCloseRow) -> Step:
    """Return the step that a holding begins with after the close of ``row``."""
    key = fill_key(row.ts_ns, row.broker, row.execution_id, row.order_id)
    return Step(key, ZERO, ZERO, row.qty, row.cost, row.basis, row.realized)


_NONE: Final = (ZERO, ZERO, ZERO, ZERO)
_NO_STEP: Final = Step((0, "", 0, "", ""), ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)


def _key_of(step: Step) -> FillKey:
    return step.key
