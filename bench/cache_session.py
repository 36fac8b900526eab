"""How long P0 events wait under a flood beside the publisher of a session, with a cache in every state and without.

The session has a hundred symbols with 5,000 values a second and books 200 fills a second. A round is one run
without a cache and one with each: a cache that answers, one that hangs, one that refuses, and one
that is 50 ms late. The breaker is that of the settings.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.servers.process import free_port
from tests.servers.valkey import Valkey

from bench.figures import percentile
from bench.latency import under
from bench.loads import Flood
from bench.store_book import target
from qts.cache.config import CacheConfig
from qts.cache.servers import opener_of
from qts.capital.contracts import Pool
from qts.clock import SystemClock
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import LedgerRow, PositionRow
from qts.market.contracts import Quote
from qts.market.last_values import LastValues
from qts.risk.contracts import OrderRequest
from qts.runtime.caching.committed_book import CommittedBook
from qts.runtime.caching.publisher import CachePublisher
from qts.runtime.caching.session_state import SessionState
from qts.strategy.contracts import Side

ROUNDS, QUICK_ROUNDS = 9, 2
COUNT, QUICK_COUNT = 500, 200
SYMBOLS = 100
VALUES_PER_S = 5_000
FILLS_PER_S = 200
MOST_RATIO = 1.25
LATE_S = 0.05
_LATE = """
import sys
from tests.servers.proxy import Proxy
with Proxy(int(sys.argv[1])) as proxy:
    proxy.delay(float(sys.argv[2]), "down")
    print(proxy.port, flush=True)
    sys.stdin.read()
"""
"""A proxy in a process of its own: in this one it would take the interpreter from what is measured."""


class FloodWithSession(Flood):
    """The flood, with values in the last-value table, and fills that ``state`` is told of; None: no one is."""

    def __init__(self, last: LastValues, state: SessionState | None) -> None:
        super().__init__()
        self._last, self._state = last, state
        self._values = self._fills = 0
        self._task: asyncio.Task[None] | None = None

    def press(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._put())

    def release(self) -> None:
        super().release()
        if self._task is not None:
            self._task.cancel()

    async def _put(self) -> None:
        """Put values and fills at a steady rate."""
        begun, machine = perf_counter(), SystemClock()
        while True:
            await asyncio.sleep(0.01)
            passed = perf_counter() - begun
            while self._values < int(passed * VALUES_PER_S):
                self._values += 1
                bid, symbol = Decimal(71_200 + self._values % 50), f"{self._values % SYMBOLS:06}"
                size, at_ns = Decimal(1 + self._values % 9), 1_767_312_000_000_000_000 + self._values
                self._last.quotes[symbol] = Quote(symbol, at_ns, bid, bid + 100, size, size)
            now_ns = machine.time_ns()
            if self._state is not None:
                self._state.alive_ns = now_ns
            while self._fills < int(passed * FILLS_PER_S):
                self._fills += 1
                made = rows(self._fills)  # a session makes them with a cache and without
                if self._state is not None:
                    self._state.book.add(made)


def rows(number: int) -> list[Any]:
    """The rows of a fill: of the ledger, its order and its position."""
    qty, price = Decimal(1 + number % 9), Decimal(71_200 + number % 50)
    symbol, name = f"{number % SYMBOLS:06}", f"o-{number}"
    request = OrderRequest(name, f"d-{number}", "bench", Pool.SWING, symbol, Side.BUY, qty, None, price, number)
    nothing = Decimal(0)
    return [
        LedgerRow(
            "sim", f"e-{number}", number, symbol, Side.BUY, qty, price, qty * price, nothing, nothing, nothing,
            "bench", Pool.SWING, name, "main", "2026-01-02",
        ),
        Order(request, f"a-{number}", OrderState.FILLED, qty, number),
        PositionRow("bench", Pool.SWING, symbol, qty, qty * price, number),
    ]  # fmt: skip


def measure(*, quick: bool) -> dict[str, Any]:
    """The rounds; each begins with another one of the cases."""
    rounds, count = (QUICK_ROUNDS, QUICK_COUNT) if quick else (ROUNDS, COUNT)
    with Valkey() as server:
        cases: dict[str, Callable[[], Any]] = {
            "without": _without,
            "answers": lambda: _cached(server.url()),
            "hangs": lambda: _hanging(server),
            "refuses": lambda: _cached(f"redis://127.0.0.1:{free_port()}/0"),
            "late": lambda: _late(server),
        }
        waits: dict[str, list[float]] = {name: [] for name in cases}
        written = dict.fromkeys(cases, 0)
        for number in range(rounds):
            names = list(cases)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                wait, count_written = _p99_us(cases[name], count)
                waits[name].append(wait)
                written[name] += count_written
    server.remove()
    ratios = {
        name: [one / other for one, other in zip(found, waits["without"], strict=True)]
        for name, found in waits.items()
        if name != "without"
    }
    return {
        "p99_us": {name: [round(value) for value in found] for name, found in waits.items()},
        "ratios": {name: [round(value, 2) for value in found] for name, found in ratios.items()},
        "written": written,
        "targets": [
            target(f"P0 p99 under flood, cache {name} ÷ without", round(statistics.median(found), 3), MOST_RATIO)
            for name, found in ratios.items()
        ],
    }


def show(found: dict[str, Any]) -> str:
    """The waits of each case, and how many values were written in it."""
    lines = ["P0 p99 under flood, µs, by rounds:"]
    lines += [
        f"  {name:8} {values}, {found['written'][name]:,} written" for name, values in found["p99_us"].items()
    ]
    return "\n".join(lines)


def _p99_us(case: Callable[[], Any], count: int) -> tuple[float, int]:
    """The p99 of the waits since a P0 was due, of all its sources together, in µs; and the values written."""
    with case() as publisher:
        last = LastValues()
        state = None if publisher is None else SessionState(CommittedBook(CacheConfig().queue), last)
        if publisher is not None and state is not None:
            publisher.begin(state)
        load = FloodWithSession(last, state)
        samples, became = asyncio.run(under(load, 1, count, lambda config: EventDispatcher(config)))
        written = 0 if publisher is None else publisher.view.written
    assert not became["lost"], became
    waits = sorted(wait for one in samples for source in one.values() for wait in source["due"])
    return percentile(waits, 0.99) / 1_000, written


@contextmanager
def _without() -> Iterator[None]:
    yield None


@contextmanager
def _cached(url: str) -> Iterator[CachePublisher]:
    config = CacheConfig()
    publisher = CachePublisher("main", "bench", opener_of(url, {}), config, SystemClock())
    publisher.connect()
    try:
        yield publisher
    finally:
        publisher.stop(0)


@contextmanager
def _hanging(server: Valkey) -> Iterator[CachePublisher]:
    with _cached(server.url()) as publisher:
        server.signal(signal.SIGSTOP)
        try:
            yield publisher
        finally:
            server.signal(signal.SIGCONT)


@contextmanager
def _late(server: Valkey) -> Iterator[CachePublisher]:
    command = [sys.executable, "-c", _LATE, str(server.port), str(LATE_S)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as proxy:
        assert proxy.stdout is not None
        try:
            with _cached(server.url(port=int(proxy.stdout.readline()))) as publisher:
                yield publisher
        finally:
            proxy.kill()
