"""The words of KIS on instruments beside prices: asked for on each day, and changed by what the websocket tells.

Base price, band, status and marks come from one question about each symbol. Its phase comes with its trades, its
average volume from its daily bars; both are asked for one by one, slowly. What changes while the line is lost is
not told, so a loss makes status and phases unknown until they are asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from qts.broker.kis.config import Exchange
from qts.broker.kis.frame_record import PRICE
from qts.broker.kis.pauses import Pause
from qts.broker.kis.phases import EXCHANGE_OF, named_phases, phase_of_class, phase_of_operation
from qts.broker.kis.quotations import Quotations, session_info_of, with_status
from qts.broker.kis.records import MarketStatus
from qts.broker.kis.stream_config import Venue
from qts.clock import NS_PER_S, Clock, from_ns
from qts.errors import BrokerUnavailable
from qts.market.contracts import Instrument
from qts.market.krx import KST
from qts.market.session_info import SessionInfo, VenuePhase

_AGAIN_NS: Final = 60 * NS_PER_S
"""How long after a question about a symbol that was not answered it is asked again."""
_STEP_S: Final = 1.0
_INFO, _PHASE, _VOLUME = "info", "phase", "volume"
Volumes: TypeAlias = Callable[[str], Awaitable[Decimal | None]]
"""Asks for the average volume of a symbol; None: there is none. Raises BrokerUnavailable."""


class InstrumentInfos:
    """The newest :class:`~qts.market.session_info.SessionInfo` of each instrument of a feed. On its loop.

    ``venue``: whose trades the feed has; ``exchange``: where orders go that name none. ``volumes`` None: average
    volumes are not asked for. ``between_s``: seconds between two questions that can wait. ``is_up``: whether the
    line is up. ``on_received`` is called as that of the feed, ``note`` with a question that failed.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        quotations: Quotations,
        volumes: Volumes | None,
        *,
        venue: Venue,
        exchange: Exchange,
        clock: Clock,
        pause: Pause,
        between_s: float,
        is_up: Callable[[], bool],
        on_received: Callable[[int, str, str], object],
        note: Callable[[str], object],
    ) -> None:
        self.tell: Callable[[SessionInfo], object] | None = None
        """Called with each info; None: no one wants any."""
        self._instruments = instruments
        self._quotations = quotations
        self._volumes = volumes
        self._told_by = EXCHANGE_OF[venue]
        self._exchange = exchange
        self._clock = clock
        self._pause = pause
        self._between_s = max(between_s, _STEP_S)
        self._is_up = is_up
        self._on_received = on_received
        self._note = note
        self._infos: dict[str, SessionInfo] = {}
        self._phases: dict[str, dict[Exchange, VenuePhase]] = {}
        self._lost: set[str] = set()
        """Symbols whose status was not asked for since the line was lost."""
        self._no_volume: set[str] = set()
        self._not_before: dict[tuple[str, str], int] = {}
        """When a question, by kind and symbol, may be asked again."""

    async def run(self) -> None:
        """Ask for what is missing, again on each day, until it is cancelled."""
        next_ns = 0
        while self.tell is not None:
            for symbol in [one for one in self._instruments if self._lacks_info(one)]:
                await self._ask_info(symbol)
            now_ns = self._clock.time_ns()
            if now_ns >= next_ns:
                next_ns = now_ns + round(self._between_s * NS_PER_S)
                await self._ask_one()
            await self._pause(_STEP_S)

    def on_status(self, status: MarketStatus) -> None:
        """Take how a symbol trades; without its base and band it says that much alone."""
        info = with_status(self._today_of(status.symbol, status.ts_ns), status)
        if status.phase:
            phase = phase_of_operation(status.phase)
            self._set_phase(status.symbol, "KRX", phase)
        self._put(info, status.ts_ns)

    def on_class(self, symbol: str, code: str, ts_ns: int) -> None:
        """Take the class of the market at a trade or a book of a symbol."""
        info = self._today_of(symbol, ts_ns)
        phase = phase_of_class(code, self._told_by, from_ns(ts_ns).astimezone(KST))
        if self._set_phase(symbol, self._told_by, phase):
            self._put(info, ts_ns)

    def on_lost(self, ts_ns: int) -> None:
        """Take note that the line is lost: what trades how, and in which phase, is unknown from now on."""
        self._phases.clear()
        for symbol, info in list(self._infos.items()):
            self._lost.add(symbol)
            self._put(msgspec.structs.replace(info, status=None), ts_ns)

    # -- inside --------------------------------------------------------------------------------------------------

    def _today_of(self, symbol: str, ts_ns: int) -> SessionInfo:
        """Return what is known of a symbol today; on a new day that is nothing."""
        today, info = self._today(), self._infos.get(symbol)
        if info is not None and info.day == today:
            return info
        self._phases.pop(symbol, None)
        self._no_volume.discard(symbol)
        return SessionInfo(symbol=symbol, ts_ns=ts_ns, day=today)

    def _set_phase(self, symbol: str, exchange: Exchange, phase: VenuePhase | None) -> bool:
        """Note the phase of a venue, None: it is unknown; return whether that is new."""
        phases = self._phases.setdefault(symbol, {})
        if phases.get(exchange) is phase:
            return False
        if phase is None:
            del phases[exchange]
        else:
            phases[exchange] = phase
        return True

    def _put(self, info: SessionInfo, ts_ns: int) -> None:
        phases = named_phases(self._phases.get(info.symbol, {}), self._exchange)
        info = self._infos[info.symbol] = msgspec.structs.replace(info, ts_ns=ts_ns, phases=phases)
        if self.tell is not None:
            self.tell(info)

    def _lacks_info(self, symbol: str) -> bool:
        if self._clock.time_ns() < self._not_before.get((_INFO, symbol), 0):
            return False
        info = self._infos.get(symbol)
        if info is None or info.day != self._today() or info.base_price is None:
            return True
        return symbol in self._lost and self._is_up()

    async def _ask_info(self, symbol: str) -> None:
        """Ask for base price, band, status and marks of a symbol."""
        self._lost.discard(symbol)  # a loss while it is asked for makes it lost again
        try:
            row, now_ns = await self._quotations.price(symbol), self._clock.time_ns()
            self._on_received(now_ns, PRICE, f"{symbol} {msgspec.json.encode(row).decode()}")
            known = self._today_of(symbol, now_ns)
            info = session_info_of(symbol, row, now_ns, known.day)
        except BrokerUnavailable as error:
            self._failed(_INFO, symbol, error)
            return
        if symbol in self._lost:
            info = msgspec.structs.replace(info, status=None)
        self._put(msgspec.structs.replace(info, average_volume=known.average_volume), now_ns)

    async def _ask_one(self) -> None:
        """Ask for one thing that is missing and can wait: the phase of a symbol, then its average volume."""
        now_ns = self._clock.time_ns()
        for kind, lacks, ask in (
            (_PHASE, self._lacks_phase, self._ask_phase),
            (_VOLUME, self._lacks_volume, self._ask_volume),
        ):
            for symbol in self._instruments:
                if now_ns >= self._not_before.get((kind, symbol), 0) and lacks(symbol):
                    self._not_before[kind, symbol] = now_ns + _AGAIN_NS
                    try:
                        await ask(symbol)
                    except BrokerUnavailable as error:
                        self._failed(kind, symbol, error)
                    return

    def _lacks_phase(self, symbol: str) -> bool:
        """Return whether the phase is unknown while the market takes orders."""
        is_known = self._told_by in self._phases.get(symbol, {})
        return not is_known and self._instruments[symbol].calendar.phase(self._clock.now()).takes_orders

    async def _ask_phase(self, symbol: str) -> None:
        book = await self._quotations.book(symbol)
        self.on_class(symbol, book.get("new_mkop_cls_code", ""), self._clock.time_ns())

    def _lacks_volume(self, symbol: str) -> bool:
        if self._volumes is None:
            return False
        info = self._today_of(symbol, self._clock.time_ns())
        return info.base_price is not None and info.average_volume is None and symbol not in self._no_volume

    async def _ask_volume(self, symbol: str) -> None:
        assert self._volumes is not None  # asked where there are any
        volume, now_ns = await self._volumes(symbol), self._clock.time_ns()
        if volume is None:
            self._no_volume.add(symbol)
        else:
            self._put(msgspec.structs.replace(self._today_of(symbol, now_ns), average_volume=volume), now_ns)

    def _failed(self, kind: str, symbol: str, error: BrokerUnavailable) -> None:
        self._not_before[kind, symbol] = self._clock.time_ns() + _AGAIN_NS
        self._note(str(error))

    def _today(self) -> date:
        return from_ns(self._clock.time_ns()).astimezone(KST).date()
