"""Checks of a broker's connection and of the clock before a session depends on them; they send no order.

Each returns a value that says what was found and what to do. Nothing here raises for a broker that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from qts.broker.broker_clock import BrokerClock
from qts.broker.contracts import BrokerQueries, Capabilities
from qts.broker.gateway.config import GatewayConfig
from qts.clock import NS_PER_MS, NS_PER_S, stopwatch_ns
from qts.errors import BrokerUnavailable
from qts.runtime.checks.clock_check import check_clock
from qts.runtime.orders.broker_queries import QUERY_TIMEOUT_S, answered
from qts.safety.contracts import SafetyState
from qts.wording import counted

SLOW_S: Final = 2.0
"""Real time from which on one query counts as slow: orders of unknown fate are to be found within seconds."""
Stopwatch: TypeAlias = Callable[[], int]


class Finding(str, Enum):
    """The outcome of a check."""

    OK = "OK"
    NOT_OK = "NOT_OK"
    NOT_MEASURED = "NOT_MEASURED"


class CheckResult(msgspec.Struct, frozen=True):
    """The result of a check: ``said`` in sentences, and ``remedy``, what to do; "" when nothing has to be done.

    ``measured``: its numbers by name, with the unit at the end of the name; empty where nothing was measured.
    """

    check: str
    finding: Finding
    said: tuple[str, ...]
    remedy: str = ""
    measured: dict[str, float] = {}


async def check_broker(
    broker: BrokerQueries, *, timeout_s: float = QUERY_TIMEOUT_S, stopwatch: Stopwatch = stopwatch_ns
) -> CheckResult:
    """Connect to ``broker``, which no one has connected to, read its books, time a query, and close it.

    ``timeout_s``: real time that it has for each step. NOT_OK for a broker that cannot be reached or read, or that
    takes longer than :data:`SLOW_S` for a query.
    """
    said: list[str] = []
    try:
        try:
            await answered(broker.connect(), timeout_s)
        except BrokerUnavailable as error:
            remedy = "see whether the broker can be reached, and whether its keys and the account are those meant"
            return CheckResult("broker", Finding.NOT_OK, (f"{broker.name}: not connected: {error}",), remedy)
        said += [f"connected to {broker.name}", _abilities(broker.capabilities)]
        return await _check_books(broker, said, timeout_s, stopwatch)
    finally:
        await _closed(broker, timeout_s)


async def _check_books(
    broker: BrokerQueries, said: list[str], timeout_s: float, stopwatch: Stopwatch
) -> CheckResult:
    questions: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
        ("orders", broker.orders),
        ("executions", lambda: broker.fills_since(0)),
        ("shares", broker.positions),
        ("money", broker.balance),
    )
    longest_ns, found = 0, {}
    for what, question in questions:
        begun_ns = stopwatch()
        try:
            found[what] = await answered(question(), timeout_s)
        except BrokerUnavailable as error:
            remedy = f"the account's {what} cannot be read: see whether the keys may read them, and try again later"
            return CheckResult("broker", Finding.NOT_OK, (*said, f"not read: its {what}: {error}"), remedy)
        longest_ns = max(longest_ns, stopwatch() - begun_ns)
    money = found["money"]
    cash = "no account of money" if money is None else f"an account in {money.currency}"
    said.append(
        f"its books were read: {counted(len(found['orders']), 'order')}, "
        f"{counted(len(found['executions']), 'execution')} of the day, {counted(len(found['shares']), 'symbol')} "
        f"held, {cash}"
    )
    slow = longest_ns > SLOW_S * NS_PER_S
    said.append(f"the slowest of {len(questions)} queries took {longest_ns / NS_PER_MS:,.0f} ms")
    return CheckResult(
        "broker",
        Finding.NOT_OK if slow else Finding.OK,
        tuple(said),
        "the line or the broker is slow: what became of an order is then known late" if slow else "",
        {"query_ms": longest_ns / NS_PER_MS},
    )


def _abilities(abilities: Capabilities) -> str:
    rate = "no limit" if abilities.requests_per_s is None else f"{abilities.requests_per_s:,} requests a second"
    has = [
        "keeps our order ids" if abilities.client_order_ids else "keeps no order ids of ours",
        "numbers executions" if abilities.execution_ids else "does not number executions",
        "changes orders" if abilities.replaces else "changes no orders",
    ]
    types = ", ".join(sorted(one.value for one in abilities.order_types))
    lag = abilities.visibility_lag_ns / NS_PER_S
    return f"it takes {types}; {', '.join(has)}; {rate}; shows an order after at most {lag:g} s"


async def _closed(broker: BrokerQueries, timeout_s: float) -> None:
    """Close the connection; one that hangs is left to the end of the process."""
    try:
        async with asyncio.timeout(timeout_s):
            await broker.close()
    except TimeoutError:
        return


def clock_result(clock: BrokerClock | None, config: GatewayConfig) -> CheckResult:
    """Return what the times in a broker's answers prove of our clock, such as those of :func:`check_broker`.

    ``clock`` None: its adapter reads no times. The limits are those of a session,
    :func:`~qts.runtime.checks.clock_check.check_clock`.
    """
    found = check_clock(clock, config)
    if found.state is None or found.apart_ms is None:
        return CheckResult(
            "clock", Finding.NOT_MEASURED, (found.text,), "compare the clock with a time server (NTP)"
        )
    measured = {"apart_ms": found.apart_ms}
    if found.state is SafetyState.NORMAL:
        return CheckResult("clock", Finding.OK, (f"our clock is {found.text}",), "", measured)
    remedy = "set the machine's clock by a time server (NTP) before a session begins"
    return CheckResult("clock", Finding.NOT_OK, (found.text,), remedy, measured)
