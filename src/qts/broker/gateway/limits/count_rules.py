"""The limits that count, as pure rules. They are asked about entries alone: exits count and always leave."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Protocol, TypeAlias

import msgspec

from qts.broker.gateway.limits.contracts import LimitRefusal, shown
from qts.broker.gateway.limits.count_config import CountLimits
from qts.broker.gateway.limits.messages import SentMessages
from qts.capital.contracts import Pool
from qts.clock import NS_PER_MS
from qts.money import negated, times
from qts.risk.contracts import OrderRequest


class DayFacts(Protocol):
    """Facts of the trading day that the limits ask for, amounts in the account's currency. Never waits."""

    def trade_date(self, ts_ns: int) -> str:
        """Return the market's own date (ISO) of a moment; any thread."""
        ...

    def day_opening_equity(self) -> Decimal:
        """Return the equity at which the day began."""
        ...

    def day_result_of_strategy(self, strategy: str) -> Decimal | None:
        """Return what a strategy has earned today, realised and open; None: not known."""
        ...

    def day_result_of_pool(self, pool: Pool) -> Decimal | None:
        """Return what the strategies of a pool have earned today, realised and open; None: not known."""
        ...


class CountCase(msgspec.Struct, frozen=True, gc=False):
    """One question to the limits that count.

    ``since_alike_ns``: how long ago an order like this one was sent or filled; None: none is remembered.
    """

    request: OrderRequest
    facts: DayFacts
    config: CountLimits
    messages: SentMessages
    since_alike_ns: int | None


CountRule: TypeAlias = Callable[[CountCase], LimitRefusal | None]
"""A rule: pure, and None for an entry that may leave."""


def messages_per_second(case: CountCase) -> LimitRefusal | None:
    """Refuse an entry when the messages of the last second leave the rest to exits and cancels."""
    count, most = case.messages.second, case.config.entries_per_second
    if count < most:
        return None
    kept = case.config.messages_per_second_kept
    count = min(count, case.config.messages_per_second)
    detail = f"{count:,} messages within a second, at most {most:,} before an entry"
    return LimitRefusal("messages_per_second", f"{detail} ({kept:,} are kept for exits and cancels)")


def messages_per_day(case: CountCase) -> LimitRefusal | None:
    """Refuse an entry when the messages of the day leave the rest to exits and cancels."""
    count, most = case.messages.day, case.config.entries_per_day
    if count < most:
        return None
    kept = case.config.messages_per_day_kept
    detail = f"{count:,} messages today, at most {most:,} before an entry"
    return LimitRefusal("messages_per_day", f"{detail} ({kept:,} are kept for exits and cancels)")


def duplicate_window(case: CountCase) -> LimitRefusal | None:
    """Refuse an entry that repeats another one of its strategy a moment later."""
    since_ns, window_ms = case.since_alike_ns, case.config.duplicate_window_ms
    if since_ns is None or since_ns >= window_ms * NS_PER_MS:
        return None
    ago = f"{since_ns / NS_PER_MS:,.3f} ms ago"
    detail = f"the same order was sent or filled {ago}, one may follow after {window_ms:,} ms"
    return LimitRefusal("duplicate_window_ms", detail)


def strategy_day_loss(case: CountCase) -> LimitRefusal | None:
    """Refuse an entry of a strategy that has lost as much today as it may, or whose result is not known."""
    strategy, share = case.request.strategy, case.config.strategy_day_loss
    result = case.facts.day_result_of_strategy(strategy)
    if _may_go_on(case, result, share):
        return None
    return _day_loss(case, "strategy_day_loss", f"strategy {strategy}", result, share)


def pool_day_loss(case: CountCase) -> LimitRefusal | None:
    """Refuse an entry of a pool that has lost as much today as it may, or whose result is not known."""
    pool, share = case.request.pool, case.config.pool_day_loss
    result = case.facts.day_result_of_pool(pool)
    if _may_go_on(case, result, share):
        return None
    return _day_loss(case, "pool_day_loss", f"pool {pool.value}", result, share)


def _may_go_on(case: CountCase, result: Decimal | None, share: Decimal) -> bool:
    return result is not None and negated(result) < times(share, case.facts.day_opening_equity())


def _day_loss(case: CountCase, limit: str, whose: str, result: Decimal | None, share: Decimal) -> LimitRefusal:
    if result is None:
        return LimitRefusal(limit, f"the result of {whose} today is not known: something it holds has no price")
    most = times(share, case.facts.day_opening_equity())
    bound = f"{shown(most)}, {shown(share)} of the day's opening equity"
    return LimitRefusal(limit, f"{whose} has lost {shown(negated(result))} today, entries end at {bound}")


COUNT_RULES: Final[tuple[CountRule, ...]] = (
    messages_per_second,
    messages_per_day,
    duplicate_window,
    strategy_day_loss,
    pool_day_loss,
)
