"""Trades and follows in a process of its own, which kills itself at a call of the API.

    python -m tests.db.sheets.trading_process BOOK BASE_URL KEY FILLS CALL WHEN

It dies by SIGKILL at the call with the number CALL (0: at none): ``before`` it is sent, or ``after`` its answer
came. Otherwise it ends when the spreadsheet has everything.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from qts.clock import SystemClock
from qts.db.adapter import DataSourceAdapter
from qts.db.follower import Follower
from qts.db.servers import opener_of
from qts.db.sheets.access import CREDENTIALS
from qts.db.sheets.session import SignedSession
from qts.db.sheets_config import SheetsConfig
from tests.db.server.following import until
from tests.db.server.trader import Trader
from tests.servers.sheets import SPREADSHEET

NAME = "sheets"
END_S = 60.0


def die_at(number: int, when: str) -> None:
    """Let this process be killed at a call."""
    send, left = SignedSession.send, number

    def counted(*call: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(*call)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    SignedSession.send = counted  # type: ignore[method-assign]


def main(book: str, base_url: str, key: str, fills: str, call: str, when: str) -> None:
    die_at(int(call), when)
    config = SheetsConfig(base_url=base_url, calls_per_minute=300)
    opener = opener_of(f"sheets://{SPREADSHEET}", {CREDENTIALS: key}, live=True, sheets=config)

    def make() -> Awaitable[DataSourceAdapter]:
        async def made() -> DataSourceAdapter:
            return opener()

        return made()

    trader = Trader(Path(book))
    follower = Follower(NAME, trader.run, make, SystemClock(), whole_account=True)
    follower.connect()
    trader.store.follow([NAME])
    follower.start(trader.store)
    for _ in range(int(fills)):
        seq = trader.trade()
        follower.wake()
        until(lambda newest=seq: follower.status.applied >= newest)  # type: ignore[misc]
    follower.begin_stop().result(END_S)
    follower.stop()
    trader.store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
