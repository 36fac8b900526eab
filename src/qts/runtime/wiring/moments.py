"""Makes the source of moments of a session."""

from __future__ import annotations

from collections.abc import Sequence

from qts.market.series.builder import BarBuilder
from qts.market.series.history import RowHistory
from qts.market.series.origin_notes import notes_on_origins
from qts.market.series.wanted import WantedBars
from qts.runtime.due_work import DueWork
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.moments import Moments
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.base_class import has_hook
from qts.strategy.contracts import Strategy
from qts.strategy.declared import declared_bars


def make_moments(
    shared: SharedComponents,
    strategies: Sequence[Strategy],
    due: DueWork,
    prices: PriceView | None,
    history: RowHistory | None,
) -> Moments | None:
    """Make the source of moments; None when no strategy can hear of one. ``history``: its running bars go on."""
    wanted = wanted_by(strategies)
    if not wanted and not any(has_hook(strategy, "on_timer") for strategy in strategies):
        return None
    builder = None
    if wanted:
        builder = BarBuilder(wanted, shared.feed.instruments) if history is None else history.builder
    notes = () if history is None else notes_on_origins(history.origins())
    return Moments(StrategyTimers(shared.calendar, on_change=due.look_again), builder, due, prices, notes)


def wanted_by(strategies: Sequence[Strategy]) -> list[WantedBars]:
    """Return the bars that strategies declare."""
    return [one for strategy in strategies for one in declared_bars(strategy)]
