"""Makes what watches over strategies, and the limits of the gateway that count."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qts.broker.gateway.limits.counted import CountedLimits
from qts.capital.contracts import Pool
from qts.runtime.control.commands import Stop
from qts.runtime.metrics.day_results import DayResults
from qts.runtime.orders.day_facts import SessionDayFacts
from qts.runtime.orders.strategy_watch import StrategyWatch
from qts.runtime.shared_components import SharedComponents


def make_strategy_watch(
    shared: SharedComponents,
    pools: Mapping[str, Pool],
    *,
    is_simulated: bool,
    stop: Callable[[Stop], object],
    halt: Callable[[str, str], None],
    on_code: Callable[[str, str], None],
    log: Callable[[str, str], None],
) -> StrategyWatch | None:
    """Make the watch over the strategies in ``pools``; None where limits are off, as a simulated venue allows."""
    if is_simulated and not shared.config.broker.limits.enabled:
        return None
    results = DayResults(shared.account, shared.last, shared.base_prices)
    facts = SessionDayFacts(shared, results)
    counted = CountedLimits(lambda: shared.config.broker.limits, facts, shared.clock)
    return StrategyWatch(shared, results, counted, pools, stop=stop, halt=halt, on_code=on_code, log=log)
