"""What KIS says of instruments: asked for, changed by the line, unknown again when that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal as D

import pytest

from qts.broker.kis.config import Exchange
from qts.broker.kis.instrument_infos import InstrumentInfos
from qts.broker.kis.phases import named_phases, phase_of_class, phase_of_operation
from qts.broker.kis.quotations import PriceRow
from qts.broker.kis.records import MarketStatus
from qts.broker.kis.stream_config import Venue
from qts.clock import ManualClock
from qts.errors import BrokerUnavailable
from qts.market.krx import KST, krx_instrument
from qts.market.session_info import SessionInfo, TradingStatus, VenuePhase

ONE, OTHER = "005930", "000660"
TEN = datetime(2026, 10, 20, 10, 0, tzinfo=KST)
CONTINUOUS, AFTER_MARKET = VenuePhase.CONTINUOUS, VenuePhase.AFTER_MARKET
ROW = PriceRow(
    stck_prpr="70000", acml_vol="10", stck_sdpr="70000", stck_mxpr="91000", stck_llam="49000",
    iscd_stat_cls_code="55", temp_stop_yn="N", vi_cls_code="N", mrkt_warn_cls_code="00", short_over_yn="N",
    sltr_yn="N", mang_issu_cls_code="N",
)  # fmt: skip


class Asked:
    """What KIS answers, and what it was asked, in order. Answers whose name is in ``fails`` fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: set[str] = set()
        self.code = "20"
        self.volume: D | None = D(1_000)

    async def price(self, symbol: str) -> PriceRow:
        self._ask("price", symbol)
        return ROW

    async def book(self, symbol: str) -> Mapping[str, str]:
        self._ask("book", symbol)
        return {"new_mkop_cls_code": self.code}

    async def volumes(self, symbol: str) -> D | None:
        self._ask("volume", symbol)
        return self.volume

    def _ask(self, what: str, symbol: str) -> None:
        self.calls.append(f"{what} {symbol}")
        if what in self.fails:
            raise BrokerUnavailable(f"no {what} of {symbol}")


class World:
    """The infos of two symbols, and the time, which passes where they wait."""

    def __init__(self, venue: Venue = "KRX", exchange: Exchange = "KRX", begin: datetime = TEN) -> None:
        self.clock, self.kis, self.is_up = ManualClock(begin), Asked(), True
        self.told: list[SessionInfo] = []
        self.failed: list[str] = []
        self.infos = InstrumentInfos(
            {symbol: krx_instrument(symbol) for symbol in (ONE, OTHER)},
            self.kis,
            self.kis.volumes,
            venue=venue,
            exchange=exchange,
            clock=self.clock,
            pause=self._pause,
            between_s=4.0,
            is_up=lambda: self.is_up,
            on_received=lambda ts_ns, kind, text: None,
            note=self.failed.append,
        )
        self.infos.tell = self.told.append

    async def _pause(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        if self.clock.now() >= self._end:
            await asyncio.Event().wait()

    async def run(self, seconds: float) -> None:
        """Let it ask for so long."""
        self._end = self.clock.now() + timedelta(seconds=seconds)
        task = asyncio.create_task(self.infos.run())
        while self.clock.now() < self._end:
            await asyncio.sleep(0)
            assert not task.done(), task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def newest(self, symbol: str = ONE) -> SessionInfo:
        return [info for info in self.told if info.symbol == symbol][-1]

    def status(self, *, phase: str = "", halted: bool = False, vi: str = "N") -> None:
        self.infos.on_status(MarketStatus(ONE, self.clock.time_ns(), halted, "", phase, "55", vi))


async def test_prices_are_asked_first_then_phases_then_volumes_one_in_four_seconds() -> None:
    world = World()
    await world.run(30)
    assert world.kis.calls == [
        "price 005930", "price 000660", "book 005930", "book 000660", "volume 005930", "volume 000660",
    ]  # fmt: skip
    for symbol in (ONE, OTHER):
        info = world.newest(symbol)
        assert (info.base_price, info.status, info.average_volume) == (D(70_000), TradingStatus.NORMAL, D(1_000))
        assert info.phases == {"": CONTINUOUS, "KRX": CONTINUOUS, "SOR": CONTINUOUS}


async def test_a_phase_that_a_trade_has_told_is_not_asked_for() -> None:
    world = World()
    world.infos.on_class(ONE, "20", world.clock.time_ns())
    await world.run(30)
    assert [call for call in world.kis.calls if "book" in call] == ["book 000660"]


@pytest.mark.parametrize("what", ["price", "book", "volume"])
async def test_a_question_that_fails_is_told_and_asked_again_after_a_minute(what: str) -> None:
    world = World()
    world.kis.fails.add(what)
    await world.run(50)
    assert world.kis.calls.count(f"{what} {ONE}") == 1
    assert world.failed == [f"no {what} of {ONE}", f"no {what} of {OTHER}"]
    world.kis.fails.clear()
    await world.run(60)
    assert world.kis.calls.count(f"{what} {ONE}") == 2


async def test_a_symbol_with_too_few_days_has_no_average_that_day_and_is_asked_once() -> None:
    world = World()
    world.kis.volume = None
    await world.run(300)
    assert world.kis.calls.count(f"volume {ONE}") == 1
    assert world.newest().average_volume is None


async def test_on_the_next_day_all_of_it_is_asked_again() -> None:
    world = World()
    await world.run(30)
    world.clock.set(TEN + timedelta(days=1))
    await world.run(30)
    assert len(world.kis.calls) == 12
    assert world.newest().day == date(2026, 10, 21)


async def test_a_lost_line_makes_status_and_phase_unknown_until_they_are_asked_again() -> None:
    """given a halt that is told while the line is lost, then no status of before it holds"""
    world = World()
    await world.run(30)
    world.is_up = False
    world.infos.on_lost(world.clock.time_ns())
    lost = world.newest()
    assert (lost.status, lost.phases) == (None, {})
    assert (lost.base_price, lost.average_volume) == (D(70_000), D(1_000)), "these hold all day"
    await world.run(30)
    assert world.kis.calls.count(f"price {ONE}") == 1, "an answer from before the line is up may be overtaken"
    world.is_up = True
    await world.run(30)
    assert world.kis.calls.count(f"price {ONE}") == 2
    assert (world.newest().status, world.newest().phases[""]) == (TradingStatus.NORMAL, CONTINUOUS)


async def test_what_the_market_does_changes_the_phase_and_what_is_not_known_makes_it_unknown() -> None:
    world = World()
    await world.run(30)
    for code, phase in (
        ("121", VenuePhase.CLOSING_AUCTION),
        ("174", VenuePhase.BREAK),
        ("175", None),
        ("112", CONTINUOUS),
        ("", CONTINUOUS),
    ):
        world.status(phase=code)
        assert world.newest().phases.get("KRX") is phase
        assert world.newest().phases.get("") is phase


async def test_outside_the_session_no_phase_is_asked_for() -> None:
    world = World(begin=TEN.replace(hour=21))
    await world.run(120)
    assert [call for call in world.kis.calls if "book" in call] == []
    assert world.newest().phases == {}


async def test_orders_for_a_venue_whose_values_are_not_seen_have_no_phase() -> None:
    world = World(venue="KRX", exchange="NXT")
    await world.run(30)
    assert world.newest().phases == {"KRX": CONTINUOUS, "SOR": CONTINUOUS}
    seen = World(venue="NXT", exchange="NXT")
    await seen.run(30)
    assert seen.newest().phases[""] is CONTINUOUS


@pytest.mark.parametrize(
    ("code", "exchange", "clock", "phase"),
    [
        ("10", "KRX", "08:50", VenuePhase.OPENING_AUCTION),
        ("10", "NXT", "08:10", VenuePhase.PRE_MARKET),
        ("20", "KRX", "10:00", CONTINUOUS),
        ("30", "KRX", "15:45", VenuePhase.AFTER_CLOSE),
        ("30", "KRX", "16:00", AFTER_MARKET),
        ("30", "NXT", "15:45", AFTER_MARKET),
        ("40", "KRX", "16:10", VenuePhase.AFTER_SINGLE_PRICE),
        ("70", "KRX", "10:00", None),
        ("", "KRX", "10:00", None),
    ],
)
def test_classes_of_trades_tell_the_phase_of_their_venue(
    code: str, exchange: Exchange, clock: str, phase: VenuePhase | None
) -> None:
    moment = datetime.fromisoformat(f"2026-10-20T{clock}:00+09:00")
    assert phase_of_class(code, exchange, moment) is phase


def test_an_order_for_both_venues_has_the_phase_of_one() -> None:
    known: Mapping[Exchange, VenuePhase] = {"KRX": VenuePhase.BREAK, "NXT": CONTINUOUS}
    assert named_phases(known, "SOR") == {**known, "SOR": VenuePhase.BREAK, "": VenuePhase.BREAK}
    assert named_phases({"NXT": CONTINUOUS}, "SOR")[""] is CONTINUOUS
    assert named_phases({}, "SOR") == {}
    assert phase_of_operation("999") is None
