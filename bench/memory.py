"""How much memory a dispatcher takes with all queues full; ``python -m bench.memory`` in a process of its own."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from qts.event.config import EventConfig
from qts.event.contracts import EventPriority, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.payloads import MetricRecord, StrategyEvaluate
from qts.market.contracts import Quote


def measure() -> dict[str, Any]:
    """Resident megabytes from before the dispatcher is made to all queues full with typed payloads."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory"], capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fill() -> dict[str, Any]:
    gc.collect()
    before = resident_mb()
    dispatcher = EventDispatcher()
    capacity = {priority: EventConfig().queue_configs[priority].capacity for priority in EventPriority}
    for number in range(capacity[EventPriority.P3_LOW]):
        dispatcher.publish(EventType.METRIC_RECORD, MetricRecord(f"metric {number}", float(number), number))
    for number in range(capacity[EventPriority.P2_MEDIUM]):
        dispatcher.publish(EventType.STRATEGY_EVALUATE, StrategyEvaluate("strategy", f"{number:06}", number))
    for number in range(capacity[EventPriority.P1_HIGH]):
        price = Decimal(number) / 100
        quote = Quote(f"{number % 2_000:06}", number, price, price + 1, Decimal(number), Decimal(number + 1))
        dispatcher.publish(EventType.ORDERBOOK_UPDATE, quote)
    for number in range(capacity[EventPriority.P0_CRITICAL]):
        dispatcher.publish(EventType.ORDER_CANCELLED, {"client_order_id": f"order-{number}", "reason": "bench"})
    queued = {name: row["queued"] for name, row in dispatcher.queue_stats().items()}
    return {"mb": round(resident_mb() - before, 1), "process_mb": round(resident_mb(), 1), "queued": queued}


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    print(json.dumps(fill()))
