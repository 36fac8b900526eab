"""Capital that came into the pools or left them: what earlier equity is compared with from then on."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from qts.money import minus, plus, times, whole_steps


class CapitalMove(NamedTuple):
    """The equity right before and right after capital came or went, in whole ``quantum`` of the currency.

    Nothing was earned or lost by it. So a drawdown stays the share that it was, and a day's loss too: a peak of 100
    before 40 of 80 are withdrawn is one of 50 then.
    """

    before: Decimal
    after: Decimal
    quantum: Decimal

    def carried(self, amount: Decimal) -> Decimal:
        """Return the equity that stands in the place of ``amount``, an equity of before.

        It is the same share of equity. Where one of the two is not above 0 there is no share, and the same
        distance from it is returned.
        """
        if amount == self.before:
            return self.after
        if self.before > 0 and self.after > 0:
            steps = whole_steps(times(amount, self.after), times(self.before, self.quantum), ROUND_HALF_EVEN)
            return times(steps, self.quantum)
        return plus(amount, minus(self.after, self.before))
