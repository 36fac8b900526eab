"""Makes the source of moments of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qts.runtime.due_work import DueWork
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.moments import Moments
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.base_class import has_hook
from qts.strategy.contracts import Strategy


def make_moments(shared: SharedComponents, strategies: Sequence[Strategy], due: DueWork) -> Moments | None:
    """Make the source of moments; None when no strategy can hear of one."""
    if not any(has_hook(strategy, "on_timer") for strategy in strategies):
        return None
    return Moments(StrategyTimers(shared.calendar, on_change=due.look_again))
