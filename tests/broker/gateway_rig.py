"""Gateways to a broker of the tests: one that does all at once, and one on a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from qts.broker.contracts import Broker
from qts.broker.gateway.config import GatewayConfig
from qts.broker.gateway.gateway import Gateway
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.broker.gateway.sent_file import SentFile
from qts.clock import Clock, ManualClock, from_ns
from qts.execution.contracts import OrderAck, VenueRef
from qts.risk.contracts import Approved, OrderRequest
from qts.runtime.drivers.sync import run_to_completion
from tests.risk.requests import NOW, entry

PATIENT = GatewayConfig(answer_ms=60_000, entry_wait_ms=60_000)
"""Limits that no busy machine can reach."""
RUN = "0123456789abcdef"


def approved(key: str, **more: object) -> Approved:
    request = entry(client_order_id=key, **more)
    return Approved(f"a-{key}", request, "hash", request.ts_ns + 5_000_000_000)


def at_once(
    broker: Broker,
    clock: Clock | None = None,
    limits: OrderLimits | None = None,
    why_not_part: Callable[[OrderRequest], str] | None = None,
) -> Gateway:
    """A gateway as on the virtual clock; None: without limits, and without anyone who knows executions."""
    return Gateway(
        broker,
        clock or ManualClock(from_ns(NOW)),
        config=GatewayConfig(),
        file=None,
        why_not=lambda request: "",
        is_settled=lambda key: True,
        ref_of=lambda key: None,
        on_failed=lambda effect, error: None,
        on_late_answer=lambda ack: None,
        on_number=lambda key, ref: None,
        complete=run_to_completion,
        limits=limits,
        why_not_part=why_not_part,
    )


def sent_file(directory: Path, run: str = RUN, most_bytes: int = 1 << 18) -> SentFile:
    return SentFile(directory / "sent", run, most_bytes=most_bytes)


class GatewayRig:
    """A gateway on its own thread, what its session says, and what failed."""

    def __init__(
        self,
        broker: Broker,
        file: SentFile,
        config: GatewayConfig,
        clock: Clock | None = None,
        limits: OrderLimits | None = None,
    ) -> None:
        self.clock = clock or ManualClock(from_ns(NOW))
        self.file = file
        self.failed: list[str] = []
        self.late: list[OrderAck] = []
        self.unsettled: set[str] = set()
        self.refs: dict[str, VenueRef] = {}
        """By which number orders go, as the session knows it."""
        self.numbers: list[tuple[str, VenueRef]] = []
        """Numbers of cancels that the session was told."""
        self.why_not: Callable[[OrderRequest], str] = lambda request: ""
        self.gateway = Gateway(
            broker,
            self.clock,
            config=config,
            file=file,
            why_not=lambda request: self.why_not(request),
            is_settled=lambda key: key not in self.unsettled,
            ref_of=self.refs.get,
            on_failed=lambda effect, error: self.failed.append(f"{effect}: {error}"),
            on_late_answer=self.late.append,
            on_number=lambda key, ref: self.numbers.append((key, ref)),
            complete=run_to_completion,
            limits=limits,
        )


@asynccontextmanager
async def on_thread(
    broker: Broker,
    directory: Path,
    config: GatewayConfig = PATIENT,
    clock: Clock | None = None,
    file: SentFile | None = None,
    limits: OrderLimits | None = None,
) -> AsyncIterator[GatewayRig]:
    """A gateway that lives in the block."""
    rig = GatewayRig(broker, file or sent_file(directory), config, clock, limits)
    try:
        yield rig
    finally:
        await rig.gateway.close(0)
        await rig.gateway.queries.close()
