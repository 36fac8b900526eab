"""The double as a whole: two loopback ports, and the rooms behind them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self

from aiohttp import web

from tests.doubles.kis import frames
from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.account_calls import AccountCalls
from tests.doubles.kis.books import Account, Books
from tests.doubles.kis.clock import OPEN_DAY, DoubleClock
from tests.doubles.kis.days import Days
from tests.doubles.kis.market import NXT, Listing, Market, Print
from tests.doubles.kis.quote_calls import QuoteCalls
from tests.doubles.kis.rest import Request, Rest
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.sockets import Sockets
from tests.doubles.kis.trading import Trading

CASH = 100_000_000
SHUTDOWN_S = 0.5


class KisDouble:
    """One host of KIS, live or ``paper``, with one customer: ``keys``.

    ``async with`` serves it on the loop of the caller. ``seed`` decides all keys, tokens and numbers. ``clock``:
    its own by default, which begins at ``start`` and runs at ``speed`` (0: it moves by jumps alone). ``other_keys``
    are keys of the other host, which are refused here. Its methods and those of its rooms are called on its loop;
    ports of 0 are chosen by the system.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        paper: bool = False,
        clock: DoubleClock | None = None,
        start: datetime = OPEN_DAY,
        speed: float = 1.0,
        settings: Settings | None = None,
        cash: int = CASH,
        port: int = 0,
        ws_port: int = 0,
    ) -> None:
        self.is_paper = paper
        self.chance = random.Random(seed)
        self.settings = settings or Settings()
        self.clock = clock or DoubleClock(start, speed)
        self.keys = Keys.made(self.chance, is_paper=paper)
        self.other_keys = Keys.made(self.chance, is_paper=not paper)
        self.days = Days()
        self.access = Access(self.clock, self.settings, self.chance, [self.keys])
        self.market = Market(self.clock)
        self.books = Books(self.clock, self.chance, self.days.settles)
        self.books.accounts[self.keys.account] = Account(self.keys.account, cash)
        self.rest = Rest(self.access, self.clock, self.settings, is_paper=paper)
        self.trading = Trading(self.books, self.market, self.clock)
        self.rest.add(*self.trading.calls())
        self.rest.add(*AccountCalls(self.books, self.market, self.clock).calls())
        self.rest.add(*QuoteCalls(self.market, self.clock).calls())
        self.sockets = Sockets(self.access, self.clock, self.settings, self._text)
        self.market.on_trades.append(self._send_trades)
        self.market.on_book.append(self._send_book)
        self._ports = (port, ws_port)
        self._serving = AsyncExitStack()
        self.rest_url = ""
        self.ws_url = ""

    # -- its life ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.rest_url = f"http://127.0.0.1:{await self._listen(self._ports[0], self.rest.serve)}"
        self.ws_url = f"ws://127.0.0.1:{await self._listen(self._ports[1], self.sockets.serve)}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.sockets.close()
        await self._serving.aclose()

    async def _listen(self, port: int, handler: object) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
        runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S, access_log=None)
        await runner.setup()
        self._serving.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        return int(runner.addresses[0][1])

    # -- what tests look at ------------------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """The account of the customer."""
        return self.books.accounts[self.keys.account]

    @property
    def requests(self) -> list[Request]:
        """All REST calls that came in, oldest first."""
        return self.rest.requests

    def made(self, name: str) -> list[Request]:
        """The calls whose path ends with ``name``."""
        return [request for request in self.requests if request.name == name]

    async def written(self) -> None:
        """Wait until everything that was sent to the websockets has been written."""
        for session in list(self.sockets.sessions):
            await session.written()

    def _text(self, length: int) -> str:
        return "".join(self.chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))

    # -- frames ------------------------------------------------------------------------------------------------

    def _send_trades(self, listing: Listing, venue: str, prints: Sequence[Print]) -> None:
        records = [frames.trade(listing, venue, one, self.clock, self.settings.trade_width) for one in prints]
        own = "H0NXCNT0" if venue == NXT else "H0STCNT0"
        for tr_id in (own, "H0UNCNT0"):
            for first in range(0, len(records), frames.MOST_PACKED):
                packed = records[first : first + frames.MOST_PACKED]
                self.sockets.push(tr_id, listing.code, frames.data(tr_id, packed))

    def _send_book(self, listing: Listing, venue: str) -> None:
        record = frames.book(listing, venue, self.clock, self.settings.book_width)
        tr_id = "H0NXASP0" if venue == NXT else "H0STASP0"
        self.sockets.push(tr_id, listing.code, frames.data(tr_id, [record]))
