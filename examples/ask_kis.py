"""Ask KIS what is believed of it, with the keys of the paper account in the environment; nothing is ordered.

python examples/ask_kis.py
"""

import asyncio
import os

from qts.broker.kis.config import KisConfig
from qts.broker.kis.opening import parts_of
from qts.broker.kis.probes import Probes
from qts.clock import SystemClock


async def ask() -> None:
    probes = Probes(parts_of(KisConfig(), os.environ, SystemClock(), live=False, tell=print))
    try:
        for one in await probes.run():
            print(f"{one.probe:<14}{one.outcome.value:<14}{one.believed}: {one.seen}")
    finally:
        await probes.close()


if __name__ == "__main__":
    asyncio.run(ask())
