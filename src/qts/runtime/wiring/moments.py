"""Makes the source of moments of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qts.market.series.builder import BarBuilder
from qts.runtime.due_work import DueWork
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.moments import Moments
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.base_class import has_hook
from qts.strategy.contracts import Strategy
from qts.strategy.declared import declared_bars


def make_moments(
    shared: SharedComponents, strategies: Sequence[Strategy], due: DueWork, prices: PriceView | None
) -> Moments | None:
    """Make the source of moments; None when no strategy can hear of one."""
    wanted = [one for strategy in strategies for one in declared_bars(strategy)]
    if not wanted and not any(has_hook(strategy, "on_timer") for strategy in strategies):
        return None
    builder = BarBuilder(wanted, shared.feed.instruments) if wanted else None
    return Moments(StrategyTimers(shared.calendar, on_change=due.look_again), builder, due, prices)
