"""The double as a whole: two loopback ports, and the rooms behind them."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Self

from aiohttp import web

from qts.clock import Clock, to_ns
from tests.doubles.kis.access import Access, Keys
from tests.doubles.kis.account_calls import AccountCalls
from tests.doubles.kis.books import BUYING, SELLING, Account, Books, Order
from tests.doubles.kis.books import Fill as BookedFill
from tests.doubles.kis.broadcast import Broadcast
from tests.doubles.kis.charts import Charts
from tests.doubles.kis.clock import OPEN_DAY, DoubleClock
from tests.doubles.kis.cost_calls import CostCalls
from tests.doubles.kis.days import Days
from tests.doubles.kis.faults import Fault, Faults
from tests.doubles.kis.market import KRX, Market
from tests.doubles.kis.matching import Matching
from tests.doubles.kis.notices import Notices
from tests.doubles.kis.paging import Pager
from tests.doubles.kis.quote_calls import QuoteCalls
from tests.doubles.kis.rest import Hook, Request, Rest
from tests.doubles.kis.rules import Rules, Wanted
from tests.doubles.kis.schedule import Schedule
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.sockets import Sockets
from tests.doubles.kis.tape import Step
from tests.doubles.kis.trading import Trading

CASH = 100_000_000
SHUTDOWN_S = 0.5
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LETTERS = string.ascii_lowercase + string.digits


class KisDouble:
    """One host of KIS, live or ``paper``, with one customer: ``keys``.

    ``async with`` serves it on the loop of the caller. ``seed`` decides all keys, tokens and numbers. ``clock``:
    its own by default, which begins at ``start`` and runs at ``speed`` (0: it moves by jumps alone); another clock
    is followed. ``other_keys`` are keys of the other host, which are refused here. Its methods and those of its
    rooms are called on its loop; ports of 0 are chosen by the system.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        paper: bool = False,
        clock: Clock | None = None,
        start: datetime = OPEN_DAY,
        speed: float = 1.0,
        settings: Settings | None = None,
        cash: int = CASH,
        port: int = 0,
        ws_port: int = 0,
    ) -> None:
        self.is_paper = paper
        self.seed = seed
        self.chance = random.Random(seed)
        self.settings = settings or Settings()
        self.clock = clock if isinstance(clock, DoubleClock) else DoubleClock(start, speed, follow=clock)
        self.keys = Keys.made(self.chance, is_paper=paper)
        self.other_keys = Keys.made(self.chance, is_paper=not paper)
        self.days = Days(self.settings)
        self.faults = Faults(self.chance)
        self.rest_url = ""
        self.ws_url = ""
        self.routes: list[web.RouteDef] = []
        """Further calls of the REST port, not of KIS, for who runs the double in another process."""
        self.errors: list[BaseException] = []
        """Errors of the double itself; the first is raised at its end."""
        self._ports = (port, ws_port)
        self._serving = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        customers = [self.keys, self.other_keys]
        clock_, settings_ = self.clock, self.settings

        self.access = Access(clock_, settings_, self.chance, customers, is_paper=paper)
        self.market = Market(clock_)
        self.charts = Charts(self.market, self.days, clock_, seed)
        self.books = Books(clock_, self.chance, self.days.settles, settings_)
        self.books.accounts[self.keys.account] = Account(self.keys.account, cash)
        self.sockets = Sockets(self.access, clock_, settings_, self._text, is_paper=paper)
        self.notices = Notices(
            self.books,
            self.market,
            self.sockets,
            clock_,
            settings_,
            self.faults,
            self.chance,
            self._spawn,
            customers={keys.account: keys for keys in customers},
        )
        self.broadcast = Broadcast(self.market, self.sockets, clock_, settings_)
        self.rules = Rules(self.books, self.market, self.days, clock_, settings_, is_paper=paper)
        self.matching = Matching(self.books, self.market, self.days, clock_, settings_)
        self.trading = Trading(
            self.books, self.rules, self.matching, clock_, settings_, is_paper=paper, spawn=self._spawn
        )
        self.schedule = Schedule(self.books, self.market, self.matching, self.charts, self.days, clock_, settings_)
        pager = Pager(self.faults, settings_)
        self.rest = Rest(self.access, clock_, settings_, self.faults, self._spawn, is_paper=paper)
        self.rest.add(self.trading.calls())
        self.rest.add(
            AccountCalls(
                self.books, self.market, self.rules, pager, self.days, clock_, settings_, is_paper=paper
            ).calls()
        )
        self.rest.add(CostCalls(self.books, pager, settings_).calls())
        self.rest.add(QuoteCalls(self.market, self.charts, pager, self.days, clock_, settings_).calls())
        self.rest.before_call = self.schedule.catch_up
        self.rest.while_in_call = self._while_in_call
        self.rest.before_answer = self.written
        self.rest.after_answer = self.notices.answered

    # -- its life ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.ws_url = f"ws://127.0.0.1:{await self._listen(self._ports[1], self.sockets.serve, [])}"
        rest = await self._listen(self._ports[0], self.rest.serve, self.routes)
        self.rest_url = f"http://127.0.0.1:{rest}"
        self._spawn(self.schedule.run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.rest.release()
        await self.sockets.close()
        await self._serving.aclose()
        if self.errors and not any(raised):
            raise self.errors[0]

    async def _listen(self, port: int, handler: Handler, routes: list[web.RouteDef]) -> int:
        app = web.Application()
        app.add_routes(routes)
        app.router.add_route("*", "/{path:.*}", self._watched(handler))
        runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S, access_log=None)
        await runner.setup()
        self._serving.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return int(runner.addresses[0][1])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    def _watched(self, handler: Handler) -> Handler:
        """Return a handler whose errors, which are the double's own, end the test."""

        async def watched(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except ConnectionError:  # the client has gone
                raise
            except Exception as error:
                self.errors.append(error)
                raise

        return watched

    def _while_in_call(self, is_in: bool) -> None:
        self.notices.in_call = is_in

    def _text(self, length: int) -> str:
        return "".join(self.chance.choices(_LETTERS, k=length))

    async def written(self) -> None:
        """Wait until everything that was sent to the websockets has been written."""
        for session in list(self.sockets.sessions):
            if not session.is_frozen:
                await session.written()

    # -- what tests look at ------------------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """The account of the customer."""
        return self.books.accounts[self.keys.account]

    @property
    def requests(self) -> list[Request]:
        """REST calls that came in, oldest first: the last 20,000."""
        return list(self.rest.requests)

    def made(self, name: str) -> list[Request]:
        """Return the calls whose path ends with ``name``."""
        return [request for request in self.requests if request.name == name]

    # -- what tests do -----------------------------------------------------------------------------------------

    def fault(
        self,
        name: str,
        *,
        on: str = "",
        where: dict[str, str] | None = None,
        times: int | None = 1,
        after: int = 0,
        **options: Any,
    ) -> Fault:
        """Let a fault happen at the next occasion.

        ``on``: the last part of a path (``order-cash``) or a TR id, "" for any call. ``where``: fields that the
        call has to have. ``times``: how often, None without end. ``after``: how many occasions it lets pass first.
        """
        return self.faults.add(Fault(name, on, where or {}, times, after, options))

    def down(self, *, on: bool = True) -> None:
        """Cut off all calls and all connections, and every new one, until it is up again."""
        self.rest.is_down = self.sockets.is_down = on
        if on:
            self.sockets.cut()

    def during(
        self, name: str, work: Callable[[], object], *, when: str = "before", times: int = 1, after: int = 0
    ) -> None:
        """Do something while a call comes.

        ``name``: the last part of its path, "" for any. ``when``: ``before`` it is done, or ``after``, when its
        answer is made but not sent. ``times``: at how many calls. ``after``: how many calls pass first.
        """
        self.rest.hooks.append(Hook(name, work, when, times, after))

    def play(self, steps: Iterable[Step]) -> asyncio.Task[None]:
        """Let the steps of a tape happen, each at its moment; the task ends with the last."""
        return self._spawn(self._play(steps))

    async def _play(self, steps: Iterable[Step]) -> None:
        for step in steps:
            await self.clock.sleep_until_ns(step.ns)
            step.happen(self.market)

    def cut_at(self, hhmm: str, *, days: int = 0) -> None:
        """Cut all websockets at a time of today (or ``days`` later) in Korea, without a close frame."""
        self._spawn(self._cut_at(to_ns(self.clock.at(hhmm, days=days))))

    async def _cut_at(self, ns: int) -> None:
        await self.clock.sleep_until_ns(ns)
        self.sockets.cut()

    def fill(self, number: str, qty: int | None = None, price: int | None = None) -> BookedFill:
        """Execute an order of today, by default all that is left of it at its own price."""
        order = self.books.order(number)
        return self.books.fill(
            order,
            order.rest if qty is None else qty,
            (order.price or self.market[order.code].price) if price is None else price,
        )

    def hold(self, code: str, qty: int, price: int) -> None:
        """Put shares that were bought long ago into the account."""
        self.account.hold(code, qty, price)

    def by_hand(self, side: str, code: str, qty: int, price: int, *, kind: str = "00", venue: str = KRX) -> Order:
        """Place an order as the customer would in the broker's own program. Raises Refused."""
        wanted = Wanted({"buy": BUYING, "sell": SELLING}[side], code, kind, venue, qty, price)
        return self.trading.place(self.account, wanted)
