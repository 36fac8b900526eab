"""Sessions over days at the double of KIS: one clock for session, adapter and double, which leaps over idle hours.

A session on KIS runs in real time. So does its clock here, and whatever happens over the sockets. Hours in which
nothing is to happen are leapt over, for the double and the session in the same moment; what waits for a moment of
the clock waits for that clock.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from qts.broker.kis.config import REAL_MONEY
from qts.broker.kis.feed import KisFeed
from qts.broker.kis.pauses import Pause
from qts.clock import NS_PER_S, Clock, PacedClock
from qts.ledger.account import Account
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.kernel import Kernel
from qts.runtime.session.repetition import Repetition, repeat_session
from qts.runtime.session.result import SessionResult
from qts.runtime.session.session import run_session
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.plans import live_plan, paper_plan, replay_plan
from tests.doubles.kis import KST, DoubleClock, KisDouble, Settings

Script = Callable[[], Coroutine[Any, Any, object]]
SYMBOL = "005930"
PRICE = 70_000
LOOK_S = 0.02
WAIT_S = 60.0
SEEN = "SEEN"
"""The variable that names the file in which a strategy writes what it has seen; its log is paused in a WARNING."""
IN_AND_OUT = """
import os

from qts.kit import Intent, Side, Strategy

class InAndOut(Strategy):
    symbols = ("005930",)
    data = ("trades",)
    def on_start(self, ctx):
        self.quotes = 0
    def on_trade(self, ctx, tick):
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"{ctx.now:%Y-%m-%d} {tick.price} {tick.size}\\n")
        return ()
    def on_quote(self, ctx, quote):
        self.quotes += 1
        if quote.ask is None or quote.bid is None or self.quotes < 50 or ctx.working(quote.symbol):
            return ()
        self.quotes = 0
        held = ctx.holding(quote.symbol)
        side, qty = (Side.SELL, None) if held else (Side.BUY, 3)
        return [Intent(quote.symbol, side, 1.0, qty=qty, reason="in and out")]
"""


class LeapingClock(PacedClock):
    """Real time with the leaps of the double's clock."""

    __slots__ = ("_followed",)

    def __init__(self, followed: DoubleClock) -> None:
        super().__init__(followed.now())
        self._followed = followed

    def time_ns(self) -> int:
        return self._followed.time_ns()

    def real_ns(self) -> int:
        return self._followed.time_ns()

    def monotonic_ns(self) -> int:
        return self._followed.monotonic_ns()


def pause_over_leaps(clock: Clock) -> Pause:
    """Return what waits seconds of ``clock``, also when it leaps."""

    async def pause(seconds: float) -> None:
        ends_ns = clock.time_ns() + round(seconds * NS_PER_S)
        while (left := ends_ns - clock.time_ns()) > 0:
            await asyncio.sleep(min(left / NS_PER_S, LOOK_S))

    return pause


def seen_in(directory: Path) -> Path:
    """Return the file of what a strategy has seen in the session of a directory."""
    return directory.with_suffix(".seen")


class DaysAtKis:
    """The double of an account and a session at it. ``settings`` are those of the double."""

    def __init__(
        self,
        directory: Path,
        patch: pytest.MonkeyPatch,
        start: datetime,
        *,
        paper: bool = True,
        strategy: str = IN_AND_OUT,
        **settings: Any,
    ) -> None:
        self.directory = directory / "run"
        self.kis = KisDouble(seed=5, paper=paper, start=start, settings=Settings(paper_per_s=18, **settings))
        self.stop = StopFlag()
        self.kernels: list[Kernel] = []
        self.closed: list[int] = []
        """Fills booked at each close of a day, once its rows are stored."""
        self.on_close: Callable[[Kernel], object] = lambda kernel: None
        self._strategy = directory / "strategy.py"
        self._strategy.write_text(strategy)
        self.settings = {"state.enabled": "false", "runtime.equity_start": "100000000"}
        self._patch = patch
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        patch.setattr("qts.runtime.wiring.kis.PacedClock", lambda now: LeapingClock(self.kis.clock))
        patch.setattr("qts.broker.kis.opening.pause_on", pause_over_leaps)
        self._watch_kernels()

    def _watch_kernels(self) -> None:
        make, finish = Kernel.__init__, Account.finish_close

        def made(kernel: Kernel, components: Any) -> None:
            make(kernel, components)
            self.kernels.append(kernel)

        def finished(account: Account) -> None:
            finish(account)
            self.closed.append(account.fills_applied)
            self.on_close(self.kernel)

        self._patch.setattr(Kernel, "__init__", made)
        self._patch.setattr(Account, "finish_close", finished)

    @property
    def kernel(self) -> Kernel:
        return self.kernels[-1]

    @property
    def feed(self) -> KisFeed:
        feed = self.kernel.shared.feed
        assert isinstance(feed, KisFeed)
        return feed

    @property
    def seen(self) -> Path:
        """The file of what the strategy has seen in the session."""
        return seen_in(self.directory)

    @property
    def clock(self) -> DoubleClock:
        return self.kis.clock

    @property
    def fills(self) -> int:
        """Fills that the session has booked."""
        return int(self.kernel.shared.account.fills_applied)

    def is_connected(self) -> bool:
        return self.feed.connected

    def is_registered(self) -> bool:
        """Whether everything that the session wants of the websocket comes."""
        registrations = self.feed._websocket.registrations
        return bool(registrations.wanted) and set(registrations.wanted) <= set(registrations.registered)

    def options(self, directory: Path, **more: Any) -> Options:
        """Return the options of a session of the strategy in ``directory``."""
        (name,) = re.findall(r"^class (\w+)", self._strategy.read_text(), re.MULTILINE)
        return Options(strategies=(f"{self._strategy}:{name}",), data_dir=directory, **more)

    def plan(self, *, simulated: bool = False) -> SessionPlan:
        """Plan the session at KIS; ``simulated``: on its prices alone, with simulated fills."""
        keys, kind = self.kis.keys, "paper" if self.kis.is_paper else "live"
        for name, text in (
            ("APP_KEY", keys.appkey),
            ("APP_SECRET", keys.appsecret),
            ("ACCOUNT", f"{keys.account}-{keys.product}"),
            ("HTS_ID", keys.hts_id),
        ):
            self._patch.setenv(f"QTS_KIS_{kind.upper()}_{name}", text)
        settings = self._settings()
        files = self.directory.parent / "config"
        files.mkdir(exist_ok=True)
        (files / "broker.yaml").write_text(f"kis:\n  account: {kind}\n  confirmation: {REAL_MONEY}\n")
        options = self.options(self.directory, config_dir=files, overrides=settings)
        if simulated:
            return paper_plan(options, "kis", None)
        words = "" if self.kis.is_paper else REAL_MONEY
        return live_plan(options, "kis", paper_account=self.kis.is_paper, confirmation=words)

    def _settings(self) -> dict[str, str]:
        kind = "paper" if self.kis.is_paper else "live"
        return {
            **self.settings,
            f"broker.kis.{kind}_rest": self.kis.rest_url,
            f"broker.kis.{kind}_websocket": self.kis.ws_url,
            "broker.kis.paper_requests_per_s": "15",
            "broker.kis.stream.command_ms": "1",
            "broker.kis.stream.first_pause_ms": "100",
        }

    def run(self, script: Script, *, simulated: bool = False) -> SessionResult:
        """Run a session while ``script`` lets days happen; the end of ``script`` stops it. Raises its errors."""
        self._patch.setenv(SEEN, str(self.seen))
        with self._served(script):
            plan = self.plan(simulated=simulated)
            return run_session(plan, progress=lambda share, moment: None, stop=self.stop, machine=self.clock)

    def replay(self, name: str, day: date | None = None) -> Path:
        """Replay a day of the record in a directory with this name beside its own; return that."""
        directory = self.directory.parent / name
        self._patch.setenv(SEEN, str(seen_in(directory)))
        plan = replay_plan(self.options(directory, overrides=self.settings, day=day), [self.directory], None)
        run_session(plan, progress=lambda share, moment_ns: None, stop=StopFlag())
        return directory

    def repeat(self, name: str, day: date | None = None, *, of: Path | None = None) -> Repetition:
        """Repeat the steps of the session, or those ``of`` another directory, in one with this name beside it."""
        directory = self.directory.parent / name
        self._patch.setenv(SEEN, str(seen_in(directory)))
        options = self.options(
            directory, config_dir=self.directory.parent / "config", overrides=self._settings(), day=day
        )
        return repeat_session(
            options, of or self.directory, progress=lambda share, moment_ns: None, stop=StopFlag()
        )

    @contextmanager
    def _served(self, script: Script) -> Iterator[None]:
        ready, over = threading.Event(), threading.Event()
        errors: list[BaseException] = []

        async def scripted() -> None:
            await self.until(lambda: bool(self.kernels), "a session")
            await script()

        async def serve() -> None:
            async with self.kis:
                playing = asyncio.create_task(scripted())
                playing.add_done_callback(lambda done: self.stop.request())
                ready.set()
                while not over.is_set():
                    await asyncio.sleep(LOOK_S)
                playing.cancel()
                await asyncio.wait([playing])
                if not playing.cancelled() and (error := playing.exception()) is not None:
                    errors.append(error)

        thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        thread.start()
        assert ready.wait(WAIT_S)
        try:
            yield
        finally:
            over.set()
            thread.join(WAIT_S)
        if errors:
            raise errors[0]

    # -- what a script does, on the loop of the double ---------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait in real time. Raises AssertionError after a minute of it."""
        for _ in range(int(WAIT_S / LOOK_S)):
            if condition():
                return
            await asyncio.sleep(LOOK_S)
        raise AssertionError(f"{what}: not within {WAIT_S:g} s, at {self.clock.kst}")

    async def trade_until(self, condition: Callable[[], bool], what: str) -> None:
        """Let prices come every 20 ms, up and down, until ``condition``."""
        prices = [PRICE + 100 * step for step in (0, 1, 2, 1, 0, -1)]
        number = 0

        def one() -> bool:
            nonlocal number
            number += 1
            price = prices[number % len(prices)]
            self.kis.market.quote(SYMBOL, price - 100, price)
            self.kis.market.trade(SYMBOL, price, 1 + number % 97)
            return condition()

        await self.until(one, what)

    def leap(self, day: datetime, hhmm: str) -> None:
        """Move the clock of all to a time of a day."""
        hour, minute = (int(part) for part in hhmm.split(":"))
        self.clock.jump_to(datetime(day.year, day.month, day.day, hour, minute, tzinfo=KST))
