"""Makes the host of the strategies: on the loop, or each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from qts.errors import InputError
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.context import OnFault, OnIntent, OnLine, StrategyContext
from qts.runtime.strategies.observer import StrategyObserver, observed
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.process_handler import OnRunning, StrategyProcessHandler
from qts.runtime.strategies.strategy_host import OnOther, StrategyHost
from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.contracts import Strategy
from qts.strategy.loading import StrategySpec
from qts.strategy.unavailable import UnavailableStrategy
from qts.strategy.user_code import runner_for


def make_host(
    shared: SharedComponents,
    strategies: Sequence[Strategy],
    specs: Sequence[StrategySpec],
    *,
    apart: bool,
    on_intent: OnIntent,
    on_other: OnOther,
    on_fault: OnFault,
    on_running: OnRunning,
    prices: PriceView | None = None,
    observer: StrategyObserver | None = None,
    timers: StrategyTimers | None = None,
    log: OnLine | None = None,
) -> StrategyHost:
    """Make the host of all strategies; ``apart``: each in a process of its own, made there from its spec.

    ``prices`` converts the prices that strategies see; None: they see those that were traded. ``timers`` None: no
    strategy has any. ``log`` is called with the name of a strategy and a line that it writes; None: it is dropped.
    ``observer`` sees the calls of strategies on the loop and the intents of all; None: none does.

    Raises InputError when that needs too many processes or when another process cannot make a strategy.
    """
    if observer is not None:
        on_intent = observed(observer, shared.clock, on_intent)
    contexts = [
        StrategyContext(
            one,
            shared.config.capital.paying_pool(one.pool),
            clock=shared.clock,
            account=shared.account,
            orders=shared.orders,
            state=shared.state,
            prices=prices,
            most_intents=shared.config.runtime.intents_per_call,
            run=None if observer is None else observer.runner(one, runner_for(one)),
            timers=timers,
            log=log,
        )
        for one in strategies
    ]
    limit = shared.config.event.max_worker_processes
    if apart and len(contexts) > limit:
        raise InputError(
            f"runtime.strategy_lane is process and there are {len(contexts)} strategies, but "
            f"event.max_worker_processes is {limit}: raise it, or let them run on the loop"
        )
    remote = [
        StrategyProcessHandler(
            context, spec, on_intent=on_intent, on_fault=on_fault, on_running=on_running, prices=prices
        )
        for context, spec in zip_longest(contexts if apart else (), specs if apart else ())
        if not isinstance(context.strategy, UnavailableStrategy)
    ]
    return StrategyHost(
        contexts, remote=remote, on_intent=on_intent, on_other=on_other, on_fault=on_fault, prices=prices
    )
