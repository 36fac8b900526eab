"""Limits the time that a broker has for the answer to a query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from qts.errors import BrokerUnavailable

QUERY_TIMEOUT_S: Final = 10.0
"""Real time that a broker has for all pages of an answer; after that it counts as unavailable."""

T = TypeVar("T")


async def answered(query: Awaitable[T], timeout_s: float = QUERY_TIMEOUT_S) -> T:
    """Return the answer to ``query``, raise what it raises, or BrokerUnavailable after ``timeout_s`` of real time.

    Without a limit a broker that never answers would keep a session from ending. Where no event loop runs the query
    cannot wait.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await query
    try:
        async with asyncio.timeout(timeout_s):
            return await query
    except TimeoutError:
        raise BrokerUnavailable(f"the broker has not answered a query within {timeout_s:g} s") from None
