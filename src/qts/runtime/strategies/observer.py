"""Sees how the code of strategies is called and what they want, without changing either.

A session has an observer only where its plan names one. It sees intents where they leave the strategy, before a
price is converted, a pipeline refuses or a queue collapses one, so nothing behind that can hide a difference.
"""

from __future__ import annotations

from typing import Protocol

from qts.clock import Clock
from qts.runtime.strategies.context import OnIntent
from qts.strategy.contracts import AnyIntent, Strategy
from qts.strategy.user_code import Run


class StrategyObserver(Protocol):
    """An observer of the strategies that run on the loop; those in worker processes show it only their intents."""

    def runner(self, strategy: Strategy, run: Run) -> Run:
        """Return what calls the code of ``strategy`` in place of ``run``, and passes every call to it.

        Called once for each strategy, before the session starts. What it returns is called on the session's thread;
        it must pass on what ``run`` returns or raises.
        """
        ...

    def on_intent(self, strategy: Strategy, intent: AnyIntent, now_ns: int) -> None:
        """Take an intent of ``strategy``, checked, at the session's time ``now_ns``.

        Called on the session's thread, before the intent becomes a signal. Must not wait. An exception is counted
        as a failure of the strategy.
        """
        ...


def observed(observer: StrategyObserver, clock: Clock, on_intent: OnIntent) -> OnIntent:
    """Return an ``on_intent`` that shows each intent to ``observer`` first."""

    def show_and_pass(strategy: Strategy, intent: AnyIntent) -> None:
        observer.on_intent(strategy, intent, clock.time_ns())
        on_intent(strategy, intent)

    return show_and_pass
