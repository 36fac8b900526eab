"""The live feed of KIS against the double: values, registrations, losses, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from decimal import Decimal

import pytest

from qts.broker.kis.feed import KisFeed
from qts.broker.kis.plan import Needs
from qts.market.contracts import BookUpdate, LiveFeed, MarketValue, Quote, Tick
from qts.market.krx import KST
from qts.market.session_info import TradingStatus, VenuePhase
from tests.broker.kis.feed_rig import feed_on, running
from tests.broker.kis.frames_text import frame, trade_record
from tests.conformance.feed import LiveFeedTests, MakeLive
from tests.doubles.kis import KisDouble
from tests.effort import EVERY_CALL

FULL = [
    ("H0STCNT0", "005930"),
    ("H0STCNT0", "000660"),
    ("H0STASP0", "005930"),
    ("H0STASP0", "000660"),
    ("H0STMKO0", "005930"),
    ("H0STMKO0", "000660"),
]


async def no_answer(message: bytes | str = b"") -> None:
    """Say nothing in the place of an answer to a ping."""


async def test_trades_and_books_become_values() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL)

        kis.market.trades("005930", [(70_100, 7, "1"), (70_200, 3, "5")])
        kis.market.quote("000660", 199_500, 200_500)
        await rig.until(lambda: len(rig.values) == 5)

        first, second, quote, update, sides = rig.values
        assert isinstance(first, Tick)
        assert isinstance(second, Tick)
        assert [(one.price, one.size, one.buyer_is_maker) for one in (first, second)] == [
            (Decimal(70_100), Decimal(7), False),
            (Decimal(70_200), Decimal(3), True),
        ]
        assert isinstance(quote, Quote)
        assert (quote.last, quote.volume) == (Decimal(70_200), Decimal(10))
        assert isinstance(update, BookUpdate)
        assert len(update.bids) == len(update.asks) == 10
        assert isinstance(sides, Quote)
        assert (sides.symbol, sides.bid, sides.ask) == ("000660", Decimal(199_500), Decimal(200_500))
        assert rig.feed.connected
        assert not rig.gaps
        assert not rig.feed.rows_refused


async def test_a_lost_line_is_a_gap_and_is_made_again_without_a_new_key() -> None:
    """given a connection that is cut, then a gap comes, all is registered for again, and the key is the same"""
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL)

        kis.sockets.sessions[0].cut()
        await rig.until(lambda: kis.sockets.opened == 2 and rig.registered == FULL)
        kis.market.trade("005930", 70_100)
        await rig.until(lambda: rig.values)

        assert [gap.symbols for gap in rig.gaps] == [()]
        assert "KIS has cut the connection" in rig.gaps[0].reason
        assert len(kis.made("Approval")) == 1
        view = rig.feed.live_view()
        assert (view.connections, view.gaps, view.connected) == (2, 1, True)


async def test_the_cut_at_the_open_is_a_gap_and_the_first_trade_after_it_comes() -> None:
    """given a line that KIS cuts at 09:00 without a close frame, then it is made again within the first seconds"""
    start = datetime(2026, 10, 20, 8, 59, 58, tzinfo=KST)
    async with KisDouble(seed=1, start=start) as kis, running(kis) as rig:
        kis.cut_at("09:00")
        await rig.until(lambda: rig.registered == FULL)
        await rig.until(lambda: rig.gaps)
        await rig.until(lambda: kis.sockets.opened == 2 and rig.registered == FULL)
        kis.market.trade("005930", 70_100)
        await rig.until(lambda: rig.values)

        assert len(rig.gaps) == 1
        assert "KIS has cut the connection" in rig.gaps[0].reason


async def test_a_half_open_line_is_found_by_its_silence() -> None:
    """given a server that stops to answer anything, when the limit is 0.3 s, then the line counts as lost"""
    async with KisDouble(seed=1) as kis, running(kis, silence_ms=300) as rig:
        await rig.until(lambda: rig.registered == FULL)

        kis.sockets.sessions[0].socket.pong = no_answer  # type: ignore[method-assign]
        await rig.until(lambda: rig.gaps)

        assert "nothing has come for" in rig.gaps[0].reason
        await rig.until(lambda: kis.sockets.opened == 2 and rig.registered == FULL)


async def test_a_status_is_told_with_base_and_band() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL and len({info.symbol for info in rig.infos}) == 2)

        info = next(info for info in rig.infos if info.symbol == "005930")
        assert (info.day, info.base_price) == (date(2026, 10, 20), Decimal(70_000))
        assert (info.low, info.high) == (Decimal(49_000), Decimal(91_000))
        assert info.status is TradingStatus.NORMAL
        assert info.designations == frozenset()

        kis.sockets.push("H0STMKO0", "005930", "0|H0STMKO0|001|005930^Y^news^^^^^58^N^N^1")
        await rig.until(lambda: any(info.status is TradingStatus.HALTED for info in rig.infos))

        halted = next(info for info in rig.infos if info.status is TradingStatus.HALTED)
        assert (halted.symbol, halted.base_price) == ("005930", Decimal(70_000))


async def test_the_phase_is_that_of_the_newest_trade_and_of_what_the_market_does() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL)

        def phase() -> VenuePhase | None:
            told = [info for info in rig.infos if info.symbol == "005930"]
            return told[-1].phases.get("") if told else None

        kis.market.trade("005930", 70_100)
        await rig.until(lambda: phase() is VenuePhase.CONTINUOUS)
        kis.market.announce("174")
        await rig.until(lambda: phase() is VenuePhase.BREAK)
        kis.market.announce("175")
        await rig.until(lambda: phase() is None)
        kis.market.trade("005930", 70_200)
        await rig.until(lambda: phase() is VenuePhase.CONTINUOUS)
        kis.sockets.sessions[0].cut()
        await rig.until(lambda: phase() is None)
        await rig.until(lambda: rig.registered == FULL)
        kis.market.trade("005930", 70_300)
        await rig.until(lambda: phase() is VenuePhase.CONTINUOUS)


async def test_the_average_volume_is_that_of_the_twenty_days_before() -> None:
    async with KisDouble(seed=1) as kis:
        days = list(kis.charts.past("005930").values())[-20:]
        async with running(kis) as rig:
            await rig.until(lambda: any(info.average_volume for info in rig.infos if info.symbol == "005930"))

            told = next(info for info in rig.infos if info.average_volume and info.symbol == "005930")
            assert told.average_volume == Decimal(sum(day.volume for day in days)) / 20
            assert told.base_price == Decimal(70_000)


async def test_what_is_at_stake_comes_first_and_the_rest_is_asked_for() -> None:
    """given room for four registrations, when 000660 is held, then all of it has a place and 005930 is asked for"""
    async with KisDouble(seed=1) as kis, running(kis, registrations=4) as rig:
        await rig.until(lambda: len(rig.registered) == 4)

        rig.feed.needs = lambda: Needs(("000660",), ("005930", "000660"))
        wanted = {("H0STCNT0", "000660"), ("H0STASP0", "000660"), ("H0STMKO0", "000660"), ("H0STCNT0", "005930")}
        await rig.until(lambda: set(rig.registered) == wanted)

        view = rig.feed.live_view()
        await rig.until(lambda: rig.feed.live_view().asked == ("005930",))
        assert "H0STASP0 005930" in view.left_out


async def test_the_session_of_another_program_makes_no_loop() -> None:
    """given a program that uses the same key, then one connection is made, and the next one waits for a minute"""
    async with KisDouble(seed=1) as kis, running(kis) as first:
        await first.until(lambda: first.registered == FULL)
        async with running(kis) as second:
            await second.until(lambda: any("another program uses" in text for text in second.told))

            assert kis.sockets.opened == 2
            assert not second.feed.connected
            assert "next attempt in 60.0 s" in second.told[-1]


async def test_a_key_that_has_ended_is_asked_for_again() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL)

        kis.access.expire_approvals()
        kis.sockets.sessions[0].cut()
        await rig.until(lambda: len(kis.made("Approval")) == 2 and rig.registered == FULL)

        assert kis.sockets.opened == 3


CUTS = 100 if EVERY_CALL else 10


@pytest.mark.parametrize("when", ["as soon as it is up", "once all is registered for"])
async def test_cuts_one_after_the_other_make_no_storm(when: str) -> None:
    """given a line that is cut again and again, then each cut is a gap, and KIS is asked for no more than needed

    The pause doubles up to the longest one. The key is asked for once, and each connection registers for each of
    the 6 once at most, so that KIS refuses nothing as registered already or as too fast.
    """
    async with KisDouble(seed=1) as kis, running(kis, longest_pause_s=1) as rig:
        for cut in range(1, CUTS + 1):
            await rig.until(lambda: rig.feed.connected if when == "as soon as it is up" else rig.registered == FULL)
            kis.sockets.sessions[-1].cut()
            await rig.until(lambda cut=cut: len(rig.gaps) == cut and not rig.feed.connected)
        await rig.until(lambda: rig.registered == FULL)
        view = rig.feed.live_view()
        commands = list(kis.sockets.registrations)

    assert (view.gaps, view.connections) == (CUTS, CUTS + 1)
    assert [gap.ts_ns for gap in rig.gaps] == sorted({gap.ts_ns for gap in rig.gaps})
    pauses = [float(text.split()[-2]) for text in rig.told if "next attempt in" in text]
    wholes = [min(0.01 * 2**number, 1.0) for number in range(CUTS)]
    assert len(pauses) == CUTS
    # told with one digit behind the point
    assert all(whole / 2 - 0.05 <= pause <= whole + 0.05 for whole, pause in zip(wholes, pauses, strict=True)), (
        pauses
    )
    assert len(kis.made("Approval")) == 1
    assert {code for _, _, _, code in commands} == {"OPSP0000"}
    assert len(commands) <= 6 * (CUTS + 1)
    if when == "once all is registered for":
        assert len(commands) == 6 * (CUTS + 1)


async def test_a_symbol_that_kis_does_not_know_is_told_and_left() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        kis.settings.most_registrations = 3
        await rig.until(lambda: any("OPSP0008" in text for text in rig.told))

        kis.market.trade("005930", 70_100)
        await rig.until(lambda: rig.values)
        assert len(rig.registered) == 3
        assert len(rig.feed.live_view().left_out) == 3


async def test_values_that_come_too_late_are_told() -> None:
    """given trades that are a minute old by the exchange's time, then a person is told once, not each second"""
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.registered == FULL)

        for volume in ("1000", "1001"):
            record = trade_record(f33=kis.clock.day, f1="095900", f13=volume)
            kis.sockets.push("H0STCNT0", "005930", frame("H0STCNT0", record))
        await rig.until(lambda: any("too late" in text for text in rig.told))

        assert rig.values == []
        assert rig.feed.rows_refused == {"late": 2}
        (told,) = [text for text in rig.told if "too late" in text]
        assert told.startswith("2 values of KIS came too late to be used, the newest after 6")


async def test_finished_it_returns() -> None:
    async with KisDouble(seed=1) as kis, running(kis) as rig:
        await rig.until(lambda: rig.feed.connected)

        rig.feed.finish()
        await rig.until(lambda: not kis.sockets.sessions)

        assert not rig.feed.connected
        assert not rig.gaps


class TestKisFeed(LiveFeedTests):
    """The feed keeps what its port promises. Its clock does not move, so that values are the same each time."""

    @pytest.fixture
    async def kis(self) -> AsyncIterator[KisDouble]:
        async with KisDouble(seed=1, speed=0) as kis:
            yield kis

    @pytest.fixture
    def sent(self, kis: KisDouble) -> Sequence[MarketValue]:
        return [
            Quote(
                "005930",
                kis.clock.time_ns(),
                bid=Decimal(70_000),
                ask=Decimal(70_100),
                bid_size=Decimal(40),
                ask_size=Decimal(30),
                last=Decimal(70_000),
                volume=Decimal(volume),
            )
            for volume in (1_000, 1_001, 1_002)
        ]

    @pytest.fixture
    async def make(self, kis: KisDouble) -> AsyncIterator[MakeLive]:
        playing: list[asyncio.Task[None]] = []

        def make(script: Sequence[MarketValue | None]) -> LiveFeed:
            feed = feed_on(kis, [])
            received: list[str] = []
            feed.on_received = lambda ts_ns, kind, text: received.append(text)
            playing.append(asyncio.create_task(self.play(kis, feed, script, received)))
            return feed

        yield make
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)

    async def play(
        self, kis: KisDouble, feed: KisFeed, script: Sequence[MarketValue | None], received: list[str]
    ) -> None:
        """Send a frame for each value, lose the line at None, and end the feed behind the last."""

        def ready() -> bool:
            return bool(kis.sockets.sessions) and ("H0STCNT0", "005930") in kis.sockets.sessions[-1].registered

        for count, value in enumerate(script):
            while not (ready() and feed.connected):
                await asyncio.sleep(0.002)
            if value is None:
                kis.sockets.sessions[-1].cut()
                while len(received) <= count:  # the gap is received as well
                    await asyncio.sleep(0.002)
                continue
            assert isinstance(value, Quote)
            record = trade_record(f12="0", f13=str(value.volume), f33=kis.clock.day, f1=kis.clock.hms)
            kis.sockets.push("H0STCNT0", "005930", frame("H0STCNT0", record))
            while len(received) <= count:
                await asyncio.sleep(0.002)
        feed.finish()
