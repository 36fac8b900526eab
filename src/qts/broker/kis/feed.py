"""The live feed of KIS: trades, books of ten levels and the state of trading, over one websocket session.

What the session has no place for is asked for by REST calls, in turn. All of it happens on the loop of the session.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec

from qts.broker.kis.config import Exchange
from qts.broker.kis.control import Registration
from qts.broker.kis.credentials import MASK, KisAccess, Secret
from qts.broker.kis.frame_record import BOOK, FRAME, GAP
from qts.broker.kis.frames import FrameDecoder
from qts.broker.kis.instrument_infos import InstrumentInfos, Volumes
from qts.broker.kis.layouts import NOTICES_LIVE, NOTICES_PAPER
from qts.broker.kis.pauses import Pause
from qts.broker.kis.plan import Needs, planned, polled
from qts.broker.kis.quotation_values import values_of
from qts.broker.kis.quotations import Quotations
from qts.broker.kis.stream_config import StreamConfig
from qts.broker.kis.websocket import KisWebsocket
from qts.clock import NS_PER_MS, NS_PER_S, Clock
from qts.errors import BrokerUnavailable
from qts.market.contracts import FeedGap, Instrument, MarketValue
from qts.market.files.refusals import LATE
from qts.market.live_view import LiveView
from qts.market.session_info import SessionInfo
from qts.wording import counted

MAX_AGE_NS: Final = 100 * NS_PER_MS
"""As of any live feed; runtime.freshness.live_ms changes it."""
_PLAN_S: Final = 1.0
"""How often is looked at what is needed."""
_LATE_EVERY_NS: Final = 60 * NS_PER_S


class NoticeTaker(Protocol):
    """Takes what the websocket says of notices of fills. Called on its loop; nothing waits or raises."""

    @property
    def registration(self) -> Registration | None:
        """Return what to register for; None: no notices."""
        ...

    def on_frame(self, text: str, ts_ns: int) -> None:
        """Take a frame of notices as it came at ``ts_ns``."""
        ...

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        """Take key and iv of the notices of this connection."""
        ...

    def on_connected(self) -> None:
        """Take note that a connection is up."""
        ...

    def on_lost(self, reason: str) -> None:
        """Take note that the connection is gone."""
        ...


class KisFeed:
    """A :class:`~qts.market.contracts.LiveFeed`. ``needs`` is asked once a second for the symbols that are needed.

    ``approval`` asks KIS for an approval key, ``quotations`` for prices and flags of symbols; ``poll_s``: seconds
    between two questions for what has no place on the websocket. ``exchange`` and ``volumes``: see
    :class:`~qts.broker.kis.instrument_infos.InstrumentInfos`. ``tell`` is called with sentences for people.
    """

    declares_volatility = False
    max_age_ns = MAX_AGE_NS

    def __init__(
        self,
        access: KisAccess,
        instruments: Mapping[str, Instrument],
        *,
        approval: Callable[[], Awaitable[Secret]],
        quotations: Quotations,
        config: StreamConfig,
        clock: Clock,
        pause: Pause,
        chance: random.Random,
        tell: Callable[[str], object],
        poll_s: float,
        exchange: Exchange = "KRX",
        volumes: Volumes | None = None,
        notices: NoticeTaker | None = None,
        close: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.name = f"KIS {access.account} {access.websocket}"
        self.instruments = instruments
        self.needs: Callable[[], Needs] = lambda: Needs((), tuple(instruments))
        """Returns what is needed; until the session has said what it holds: every instrument."""
        self.on_received: Callable[[int, str, str], object] = lambda ts_ns, kind, text: None
        """Called with all that comes, before it is read: when it came, its kind in the record, and its text."""
        self.on_closed: Callable[[], Awaitable[object]] | None = None
        """Called when nothing comes any more."""
        self._config = config
        self._clock = clock
        self._pause = pause
        self._tell = tell
        self._quotations = quotations
        self._poll_s = poll_s
        self._notices = notices
        self._close = close
        self._decoder = FrameDecoder(
            instruments,
            late_ns=config.late_s * NS_PER_S,
            tell=tell,
            on_status=lambda status: self._infos.on_status(status),
            on_class=lambda symbol, code, ts_ns: self._infos.on_class(symbol, code, ts_ns),
        )
        self._websocket = KisWebsocket(
            access.websocket,
            approval,
            self,
            config=config,
            clock=clock,
            pause=pause,
            chance=chance,
            tell=tell,
        )
        self._on_value: Callable[[MarketValue], object] = lambda value: None
        self._on_gap: Callable[[FeedGap], object] = lambda gap: None
        self._infos = InstrumentInfos(
            instruments,
            quotations,
            volumes,
            venue=config.venue,
            exchange=exchange,
            clock=clock,
            pause=pause,
            between_s=poll_s,
            is_up=lambda: self._websocket.is_up,
            on_received=lambda *received: self.on_received(*received),
            note=self._note,
        )
        self._gaps = 0
        self._since_ns = 0
        self._newest_ns = 0
        self._asked: tuple[str, ...] = ()
        self._is_over = asyncio.Event()
        self._late_told, self._late_told_ns = 0, -_LATE_EVERY_NS
        self._failures: deque[str] = deque(maxlen=100)

    # -- what a session knows of it ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Return whether values can come at present."""
        return self._websocket.is_up

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many frames, or records of one, could not be used, by reason."""
        return self._decoder.refused

    def tell_session_info(self, on_info: Callable[[SessionInfo], object]) -> None:
        """Call ``on_info`` with what KIS says of each instrument."""
        self._infos.tell = on_info

    def live_view(self) -> LiveView:
        """Return the line as it is."""
        registrations = self._websocket.registrations
        has_lag = self._newest_ns > 0
        return LiveView(
            name=self.name,
            connected=self.connected,
            since_ns=self._since_ns,
            connections=self._websocket.connections,
            gaps=self._gaps,
            registered=tuple(map(_shown, registrations.registered)),
            left_out=tuple(_shown(one) for one in registrations.wanted if registrations.is_left_out(one)),
            asked=self._asked,
            lag_ms=self._decoder.newest_lag_ns // NS_PER_MS if has_lag else None,
            unknown_layouts=dict(self._decoder.unknown_widths),
        )

    def finish(self) -> None:
        """Let :meth:`run` return: no value will come any more. On the loop's thread."""
        self._is_over.set()

    async def run(self, on_value: Callable[[MarketValue], object], on_gap: Callable[[FeedGap], object]) -> None:
        """Connect, and call ``on_value`` with each value, until :meth:`finish` is called."""
        self._on_value, self._on_gap = on_value, on_gap
        self._plan()
        works = [self._websocket.run, self._keep_plan, self._ask_prices, self._is_over.wait]
        if self._infos.tell is not None:
            works.append(self._infos.run)
        tasks = [asyncio.create_task(work(), name="qts-kis") for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises the error that ended it
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for close in (self._close, self.on_closed):
                if close is not None:
                    await close()

    # -- what the websocket says ---------------------------------------------------------------------------------

    def on_frame(self, text: str, ts_ns: int) -> None:
        """Take a data frame."""
        if text[2:10] in _NOTICES:
            if self._notices is not None:
                self._notices.on_frame(text, ts_ns)
            return
        self.on_received(ts_ns, FRAME, text)
        ts_ns = self._newest_ns = max(ts_ns, self._newest_ns)
        on_value = self._on_value
        for value in self._decoder.decode(text, ts_ns):
            on_value(value)

    def on_cipher(self, registration: Registration, key: str, iv: str) -> None:
        """Take key and iv of encrypted frames."""
        if self._notices is not None and registration.name in _NOTICES:
            self._notices.on_cipher(registration, key, iv)

    def on_connected(self) -> None:
        """Take note that values can come."""
        self._since_ns = self._clock.time_ns()
        if self._notices is not None:
            self._notices.on_connected()

    def on_lost(self, reason: str) -> None:
        """Report a gap: what happens from now on until the line is up again is missing."""
        now_ns = self._since_ns = self._clock.time_ns()
        self._gaps += 1
        self.on_received(now_ns, GAP, reason)
        self._on_gap(FeedGap(now_ns, f"the websocket of KIS was lost: {reason}"))
        self._decoder.forget_classes()
        self._infos.on_lost(max(now_ns, self._newest_ns))
        if self._notices is not None:
            self._notices.on_lost(reason)

    # -- what is registered for, and what is asked for -----------------------------------------------------------

    def _plan(self) -> None:
        needs = self.needs()
        known = self.instruments
        needs = Needs(
            tuple(symbol for symbol in needs.at_stake if symbol in known),
            tuple(symbol for symbol in needs.wanted if symbol in known),
        )
        notices = None if self._notices is None else self._notices.registration
        plan = planned(needs, self._config.venue, notices)
        registrations = self._websocket.registrations
        if plan != registrations.wanted:
            self._websocket.want(plan)
        left_out = [one for one in plan if registrations.is_left_out(one)]
        self._asked = tuple(polled(plan, left_out, self._config.venue))

    async def _keep_plan(self) -> None:
        while True:
            await self._pause(_PLAN_S)
            self._plan()
            self._tell_late()

    def _tell_late(self) -> None:
        """Report, at most once a minute, that values were too old when they came."""
        count, now_ns = self._decoder.refused.get(LATE, 0), self._clock.time_ns()
        if count == self._late_told or now_ns < self._late_told_ns + _LATE_EVERY_NS:
            return
        seconds = self._decoder.newest_lag_ns / NS_PER_S
        self._tell(
            f"{counted(count - self._late_told, 'value')} of KIS came too late to be used, the newest after "
            f"{seconds:.0f} s: the line is slow, or the clock of this machine is wrong"
        )
        self._late_told, self._late_told_ns = count, now_ns

    async def _ask_prices(self) -> None:
        """Ask for the prices of the symbols that have no place on the websocket, one after the other."""
        turn = 0
        while True:
            await self._pause(self._poll_s)
            if not self._asked:
                continue
            turn += 1
            symbol = self._asked[turn % len(self._asked)]
            try:
                fields = await self._quotations.book(symbol)
                ts_ns = self._newest_ns = max(self._clock.time_ns(), self._newest_ns)
                self.on_received(ts_ns, BOOK, f"{symbol} {msgspec.json.encode(fields).decode()}")
                values = values_of(symbol, fields, ts_ns)
            except BrokerUnavailable as error:
                self._note(str(error))
                continue
            self._infos.on_class(symbol, fields.get("new_mkop_cls_code", ""), ts_ns)
            for value in values:
                self._on_value(value)

    def _note(self, text: str) -> None:
        """Report a failed question, each text once among the newest hundred."""
        if text not in self._failures:
            self._failures.append(text)
            self._tell(text)


_NOTICES: Final = frozenset({NOTICES_LIVE, NOTICES_PAPER})


def _shown(registration: Registration) -> str:
    """Return the name of a registration for people; that of notices without the HTS ID."""
    return f"{registration.name} {MASK if registration.name in _NOTICES else registration.key}"
