"""What the gateway takes from a submitted order to its socket, beside a bare fdatasync of the same bytes.

Orders are submitted one after the other to a broker that answers at once; between two of them the same record is
written to a file beside the gateway's and synced, so that both meet the same disk.

``python -m bench.gateway [--quick] [--json]``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench.figures import about, latency_us, machine, micros
from bench.suite import run_suite
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


def measure(*, quick: bool) -> dict[str, Any]:
    """Return both times of each order, and their ratio at the 99th percentile."""
    with tempfile.TemporaryDirectory() as directory:
        own, bare = asyncio.run(_interleaved(Path(directory), 300 if quick else 5_000))
    own_us, bare_us = latency_us([own]), latency_us([bare])
    return {
        "machine": machine(),
        "runs": 1,
        "own_us": own_us,
        "bare_us": bare_us,
        "ratio_p99": own_us["p99"] / bare_us["p99"],
        "target": TARGET_RATIO,
    }


async def _interleaved(directory: Path, count: int) -> tuple[list[int], list[int]]:
    broker, clock, failed = Socket(), PacedClock(BEGIN), list[str]()
    gateway = Gateway(
        broker,
        clock,
        config=GatewayConfig(),
        file=SentFile(directory / "sent", RUN_ID, most_bytes=1 << 30),
        why_not=lambda request: "",
        is_settled=lambda key: True,
        ref_of=lambda key: None,
        on_failed=lambda effect, error: failed.append(f"{effect}: {error}"),
        on_late_answer=lambda ack: None,
        on_number=lambda key, ref: None,
        complete=run_to_completion,
    )
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


def show(report: dict[str, Any]) -> str:
    """What a terminal shows of it."""
    lines = [about(report)]
    for name, key in (("submit → socket", "own_us"), ("bare fdatasync", "bare_us")):
        figures = report[key]
        lines.append(
            f"{name}: " + ", ".join(f"{share} {micros(figures[share])}" for share in ("p50", "p99", "max"))
        )
    lines.append(f"ratio of the 99th percentiles {report['ratio_p99']:.2f}, at most {report['target']:g}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Run the suite."""
    return run_suite("gateway", __doc__, "300 orders in place of 5,000", argv, measure, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
