"""A live feed of KIS on the double, as a session would run it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from qts.broker.kis.average_volume import AverageVolumes
from qts.broker.kis.credentials import AccountNumber, KisAccess, Secret
from qts.broker.kis.feed import KisFeed, NoticeTaker
from qts.broker.kis.history import KisHistory
from qts.broker.kis.pauses import Pace, pause_on
from qts.broker.kis.quotations import RestQuotations
from qts.broker.kis.rest import KisRest
from qts.broker.kis.stream_config import StreamConfig
from qts.broker.kis.token import TokenFile
from qts.ids import seeded
from qts.market.contracts import FeedGap, MarketValue
from qts.market.krx import krx_instrument
from qts.market.session_info import SessionInfo
from tests.doubles.kis import KisDouble

QUICK = StreamConfig(command_ms=1, first_pause_ms=10)
"""No pause between commands, a short one before a new connection."""
WAIT_S = 30.0


def access_to(kis: KisDouble) -> KisAccess:
    """Return the way to the customer's account."""
    keys = kis.keys
    return KisAccess(
        account="paper" if kis.is_paper else "live",
        number=AccountNumber(keys.account, keys.product),
        app_key=Secret(keys.appkey),
        app_secret=Secret(keys.appsecret),
        hts_id=Secret(keys.hts_id),
        rest=kis.rest_url,
        websocket=kis.ws_url,
    )


@dataclass
class FeedRig:
    """A running feed, and what it has said. ``kis`` is the other side."""

    kis: KisDouble
    feed: KisFeed
    received: list[MarketValue | FeedGap] = field(default_factory=list)
    infos: list[SessionInfo] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[MarketValue]:
        return [one for one in self.received if not isinstance(one, FeedGap)]

    @property
    def gaps(self) -> list[FeedGap]:
        return [one for one in self.received if isinstance(one, FeedGap)]

    @property
    def registered(self) -> list[tuple[str, str]]:
        """What the newest connection is registered for, as the double has it."""
        return list(self.kis.sockets.sessions[-1].registered) if self.kis.sockets.sessions else []

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                await asyncio.sleep(0.005)


def feed_on(
    kis: KisDouble,
    told: list[str],
    *,
    symbols: Sequence[str] = ("005930", "000660"),
    notices: NoticeTaker | None = None,
    **settings: object,
) -> KisFeed:
    """Return a feed that has not begun; ``settings`` are those of the websocket."""
    access = access_to(kis)
    pause = pause_on(kis.clock)
    rest = KisRest(
        access, kis.clock, pause, TokenFile(None), pace=Pace(15, kis.clock, pause), answer_s=5.0, tell=told.append
    )
    return KisFeed(
        access,
        {symbol: krx_instrument(symbol) for symbol in symbols},
        approval=rest.approval_key,
        quotations=RestQuotations(rest, "KRX"),
        config=msgspec.structs.replace(QUICK, **settings),
        clock=kis.clock,
        pause=pause,
        chance=seeded(7, "kis"),
        tell=told.append,
        poll_s=0.05,
        volumes=AverageVolumes(KisHistory(rest, kis.clock), kis.clock).of,
        notices=notices,
        close=rest.close,
    )


@asynccontextmanager
async def running(kis: KisDouble, **given: object) -> AsyncIterator[FeedRig]:
    """Yield a feed that runs; it is stopped at the end."""
    told: list[str] = []
    rig = FeedRig(kis, feed_on(kis, told, **given), told=told)  # type: ignore[arg-type]
    rig.feed.tell_session_info(rig.infos.append)
    task = asyncio.create_task(rig.feed.run(rig.received.append, rig.received.append))
    try:
        yield rig
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
