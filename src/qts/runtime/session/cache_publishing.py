"""Makes a session known in a cache: opens the cache before anything is written, and ends the publisher."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from qts.cache.config import CacheConfig
from qts.clock import Clock
from qts.db.contracts import RunRow
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.drivers.standard_output import say
from qts.runtime.session.session_plan import SessionPlan
from qts.threads import off_loop

if TYPE_CHECKING:  # without a cache nothing of it is imported
    from qts.runtime.caching.publisher import CachePublisher
    from qts.runtime.kernel import Kernel


def started_publisher(plan: SessionPlan, run: RunRow, config: CacheConfig, machine: Clock) -> CachePublisher | None:
    """Return the publisher of a session of ``run``, with its cache opened; None when there is no cache.

    A cache that is away is told and is no error. Raises InputError for one that cannot be used, MissingExtraError
    without its driver.
    """
    if plan.open_cache is None:
        return None
    from qts.runtime.caching.publisher import CachePublisher

    publisher = CachePublisher(run.account, f"{run.run_id} {os.getpid()}", plan.open_cache, config, machine)
    if not publisher.connect():
        say(f"the cache is away and is tried again, the session goes on without it: {publisher.view.why}")
    return publisher


def session_cache(
    publisher: CachePublisher | None, config: CacheConfig, machine: Clock, tell: Callable[[str], None]
) -> SessionCache:
    """Return the cache as the session sees it; ``tell`` takes what an operator has to know."""
    if publisher is None:
        return SessionCache()
    from qts.runtime.caching.published_session import PublishedSession

    return PublishedSession(publisher, config, machine, tell)


def begin_publishing(cache: SessionCache, publisher: CachePublisher | None, kernel: Kernel) -> None:
    """Make ``kernel``'s session known from now on: it has started or was restored, and takes no value yet."""
    if publisher is None:
        return
    from qts.runtime.caching.published_session import PublishedSession

    if isinstance(cache, PublishedSession):
        cache.begin(kernel)


async def settle_publisher(publisher: CachePublisher | None) -> None:
    """Let what has changed so far be written, for a moment at most: the last view of the session tells of it."""
    if publisher is not None:
        await off_loop(publisher.settle)


def end_publisher(publisher: CachePublisher | None) -> None:
    """Write what is left, while the cache answers and for a moment at most, and end the publisher."""
    if publisher is not None:
        publisher.stop()
