"""What the gateway takes from a submitted order to its socket, beside a bare fdatasync, and when a stop holds.

Orders are submitted one after the other to a broker that answers at once; between two of them the same record is
written to a file beside the gateway's and synced, so that both meet the same disk.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench.figures import latency_us, micros
from bench.gateway_session import stopped_after_restart
from qts.broker.contracts import Balance, BrokerOrder, BrokerPosition, Capabilities
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.gateway import Gateway
from qts.broker.gateway.sent_file import Sent, SentFile, _packed
from qts.capital.contracts import Pool
from qts.clock import PacedClock, to_ns
from qts.execution.contracts import AckStatus, Fill, OrderAck
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.runtime.drivers.sync import run_to_completion
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce

RUN_ID = "0123456789abcdef"
BEGIN = datetime(2026, 1, 22, tzinfo=UTC)
LIFE_NS = 60_000_000_000
TARGET_RATIO = 2.0
STOP_MS = 100.0
RESTART_S = 3.0
STOP_AFTER_RESTART_S = 1.0
ANSWER_S = 0.5


class Socket:
    """A broker that notes when an order comes and accepts it."""

    name = "socket"
    capabilities = Capabilities(frozenset(OrderType), frozenset(TimeInForce), True, False, 0, None)

    def __init__(self) -> None:
        self.came_ns = 0

    async def place(self, approved: Approved) -> OrderAck:
        self.came_ns = perf_counter_ns()
        return OrderAck(AckStatus.ACCEPTED, approved.request.client_order_id)

    async def replace(self, approved: Approved, client_order_id: str, ref: object) -> OrderAck:
        return OrderAck(AckStatus.REJECTED, client_order_id)

    async def cancel(self, client_order_id: str, ref: object) -> OrderAck:
        return OrderAck(AckStatus.REJECTED, client_order_id)

    async def connect(self) -> None: ...
    async def close(self) -> None: ...
    async def orders(self) -> Sequence[BrokerOrder]:
        return ()

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        return ()

    async def positions(self) -> dict[str, BrokerPosition]:
        return {}

    async def balance(self) -> Balance | None:
        return None

    async def charges(self, day: object) -> None:
        return None


def measure_own(*, quick: bool) -> dict[str, Any]:
    """Return both times of each order, and their ratio at the 99th percentile."""
    with tempfile.TemporaryDirectory() as directory:
        own, bare = asyncio.run(_interleaved(Path(directory), 300 if quick else 5_000))
    own_us, bare_us = latency_us([own]), latency_us([bare])
    ratio = own_us["p99"] / bare_us["p99"]
    target = {
        "what": "submit → socket, p99 in fdatasyncs",
        "value": ratio,
        "bar": TARGET_RATIO,
        "at_least": False,
        "met": ratio <= TARGET_RATIO,
    }
    return {"own_us": own_us, "bare_us": bare_us, "targets": [target]}


def measure_stop(*, quick: bool) -> dict[str, Any]:
    """Return how long after a stop new entries still reach a broker that takes 500 ms, with 200 of them given."""
    after_ns = []
    for _ in range(5 if quick else 100):
        with tempfile.TemporaryDirectory() as directory:
            after_ns.append(asyncio.run(_stopped(Path(directory))))
    after_us = latency_us([after_ns])
    p99_ms = after_us["p99"] / 1_000
    target = {
        "what": "stop → last entry on the wire, p99 ms",
        "value": p99_ms,
        "bar": STOP_MS,
        "at_least": False,
        "met": p99_ms <= STOP_MS,
    }
    return {"after_us": after_us, "targets": [target]}


def measure_restart(*, quick: bool) -> dict[str, Any]:
    """Return how long the first comparison takes that a restarted session makes: both lists, by way of the lanes.

    The process before may have used all requests of the last second, so none leaves in the first one. And how long
    it is from the begin of a restart to an emergency stop in force, at a broker that answers nothing.
    """
    took_ns, stopped_ns = [], []
    for _ in range(3 if quick else 30):
        with tempfile.TemporaryDirectory() as directory:
            SentFile(Path(directory) / "sent", RUN_ID, most_bytes=1 << 30).close()
            took_ns.append(asyncio.run(_compared(Path(directory))))
        stopped_ns.append(stopped_after_restart())
    took_us, stopped_us = latency_us([took_ns]), latency_us([stopped_ns])
    seconds = took_us["p99"] / 1_000_000
    target = {
        "what": "restart → books compared, p99 s",
        "value": seconds,
        "bar": RESTART_S,
        "at_least": False,
        "met": seconds <= RESTART_S,
    }
    stopped_s = stopped_us["p99"] / 1_000_000
    of_stop = {
        "what": "restart at a silent broker → stop in force, p99 s",
        "value": stopped_s,
        "bar": STOP_AFTER_RESTART_S,
        "at_least": False,
        "met": stopped_s <= STOP_AFTER_RESTART_S,
    }
    return {"took_us": took_us, "stopped_us": stopped_us, "targets": [target, of_stop]}


async def _compared(directory: Path) -> int:
    begun = perf_counter_ns()
    gateway, _ = _gateway(SlowSocket(), PacedClock(BEGIN), directory, lambda: "")
    await gateway.resolving.fills_since(0)
    await gateway.resolving.orders()
    took = perf_counter_ns() - begun
    await gateway.close(0)
    await gateway.queries.close()
    return took


class SlowSocket(Socket):
    """A broker that takes 500 ms for each answer, and 15 requests a second."""

    capabilities = Capabilities(frozenset(OrderType), frozenset(TimeInForce), True, False, 0, 15)

    async def place(self, approved: Approved) -> OrderAck:
        self.came_ns = perf_counter_ns()
        await asyncio.sleep(ANSWER_S)
        return OrderAck(AckStatus.ACCEPTED, approved.request.client_order_id)

    async def orders(self) -> Sequence[BrokerOrder]:
        await asyncio.sleep(ANSWER_S)
        return ()

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        await asyncio.sleep(ANSWER_S)
        return ()


async def _stopped(directory: Path) -> int:
    """Stop while 200 entries wait; return how long after it the last of them came to the broker, ns; 0: none did.

    Safety refuses entries from the stop on, and the session takes back what has not left: the two things that
    a stop does, see ``bench.stop`` for the way to it.
    """
    broker, clock, stopped_ns = SlowSocket(), PacedClock(BEGIN), 0
    gateway, failed = _gateway(broker, clock, directory, lambda: "safety stopped it" if stopped_ns else "")
    tickets = []
    for number in range(200):
        now_ns, key = to_ns(clock.now()), f"{RUN_ID}-o-{number}"
        approved = Approved(f"{RUN_ID}-a-{number}", _request(key, now_ns), "hash", now_ns + LIFE_NS)
        tickets.append(gateway.submit(approved))
    await asyncio.sleep(0.3)
    stopped_ns = perf_counter_ns()
    for ticket in tickets:
        gateway.take_back(ticket.client_order_id, "safety stopped it")
    await asyncio.sleep(0.3)
    after_ns = max(broker.came_ns - stopped_ns, 0)
    await gateway.close(1)
    await gateway.queries.close()
    if failed:
        raise RuntimeError(f"the gateway has failed: {failed}")
    return after_ns


def _gateway(
    broker: Socket, clock: PacedClock, directory: Path, why_not: Callable[[], str]
) -> tuple[Gateway, list[str]]:
    """Return a gateway on its thread, and what will have failed in it."""
    failed: list[str] = []
    gateway = Gateway(
        broker,
        clock,
        config=GatewayConfig(),
        file=SentFile(directory / "sent", RUN_ID, most_bytes=1 << 30),
        why_not=lambda request: why_not(),
        is_settled=lambda key: True,
        ref_of=lambda key: None,
        on_failed=lambda effect, error: failed.append(f"{effect}: {error}"),
        on_late_answer=lambda ack: None,
        on_number=lambda key, ref: None,
        complete=run_to_completion,
    )
    return gateway, failed


async def _interleaved(directory: Path, count: int) -> tuple[list[int], list[int]]:
    broker, clock = Socket(), PacedClock(BEGIN)
    gateway, failed = _gateway(broker, clock, directory, lambda: "")
    own, bare = [], []
    fd = os.open(directory / "bare", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for number in range(count):
            key = f"{RUN_ID}-o-{number}"
            now_ns = to_ns(clock.now())
            record = _packed(Sent(key, f"{RUN_ID}-a-{number}", now_ns + LIFE_NS, now_ns))
            begun = perf_counter_ns()
            os.write(fd, record)
            os.fdatasync(fd)
            bare.append(perf_counter_ns() - begun)
            approved = Approved(f"{RUN_ID}-a-{number}", _request(key, now_ns), "hash", now_ns + LIFE_NS)
            begun = perf_counter_ns()
            answered: asyncio.Future[OrderAck] = asyncio.get_running_loop().create_future()
            gateway.submit(approved).when_answered(answered.set_result)
            ack = await answered
            if failed or ack.status is not AckStatus.ACCEPTED:
                raise RuntimeError(f"order {key} was answered {ack}; {failed}")
            own.append(broker.came_ns - begun)
    finally:
        os.close(fd)
        await gateway.close(1)
        await gateway.queries.close()
    return own, bare


def _request(key: str, now_ns: int) -> OrderRequest:
    price = Decimal(150_000)
    return OrderRequest(
        key, key, "bench", Pool.SCALP, "005930", Side.BUY, Decimal(1), price, price, now_ns, type=OrderType.LIMIT
    )


def show_own(figures: dict[str, Any]) -> str:
    """What the ratio is made of."""
    return f"submit → socket: {_told(figures['own_us'])}\nbare fdatasync: {_told(figures['bare_us'])}"


def show_stop(figures: dict[str, Any]) -> str:
    """How the last entries after a stop are spread."""
    return f"stop → last entry, {figures['after_us']['n']} stops: {_told(figures['after_us'])}"


def show_restart(figures: dict[str, Any]) -> str:
    """How the first comparisons are spread."""
    compared = f"restart → books compared, {figures['took_us']['n']} restarts: {_told(figures['took_us'])}"
    return f"{compared}\nrestart at a silent broker → stop in force: {_told(figures['stopped_us'])}"


def _told(figures: dict[str, Any]) -> str:
    return ", ".join(f"{share} {micros(figures[share])}" for share in ("p50", "p99", "max"))
