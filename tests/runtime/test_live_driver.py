"""What a live feed pushes reaches the kernel at once; time passes without it, and losses are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest

from qts.errors import DataError
from qts.execution.contracts import OrderState
from qts.market.contracts import BookUpdate, FeedGap, Quote
from qts.market.session_info import SessionInfo, TradingStatus
from qts.runtime.control.kill_switch import Press
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.session.run_identity import live_source_id
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.event.support import until
from tests.risk.requests import D
from tests.runtime.live_market import TellingFeed, live_session
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst

TEN = kst(10)


def quote(bid: int = 150_000, size: int = 10_000) -> Quote:
    return Quote(SYMBOL, 0, bid=D(bid), ask=D(bid + 100), bid_size=D(size), ask_size=D(size))


def pause(seconds: float) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.sleep(seconds)


def once(condition: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    return lambda: until(condition, seconds=30)


def working(kernel: Kernel) -> int:
    return sum(order.state is OrderState.WORKING for order in kernel.shared.orders)


async def test_pushed_values_trade_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    """given quotes, when a strategy buys at the first, then the exchange fills it at a later one"""
    scripted = ScriptedStrategy()
    scripted.wants(Side.BUY, qty=10)
    pushed = 1
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:

        async def quotes_until_it_is_filled() -> None:
            nonlocal pushed
            while not scripted.fills:
                session.feed.push(quote(150_100))
                pushed += 1
                await asyncio.sleep(0.05)

        finished = await session.run(
            quote(), quotes_until_it_is_filled, quote(150_200), once(lambda: scripted.quotes == pushed + 1)
        )

        assert finished
        assert session.kernel.intake.rows == pushed + 1
        assert session.kernel.shared.account.holding("scripted", SYMBOL) == 10
        assert session.kernel.shared.last.quotes[SYMBOL].bid == D(150_200)
        assert session.feed.is_closed


async def test_what_the_feed_tells_of_instruments_is_known_at_once(tmp_path: Path) -> None:
    """given a feed that tells session info, when it tells one, then the session knows it"""
    info = SessionInfo(symbol=SYMBOL, ts_ns=TEN, day=date(2026, 1, 19), status=TradingStatus.HALTED)
    async with live_session(tmp_path, begun_ns=TEN, make_feed=TellingFeed) as session:
        feed, infos = session.feed, session.kernel.shared.session_infos
        assert isinstance(feed, TellingFeed)

        async def tell() -> None:
            feed.tell(info)
            assert infos.of(SYMBOL, date(2026, 1, 19)) == info

        assert await session.run(tell)
        assert infos.is_told


async def test_of_a_feed_that_tells_no_session_info_none_is_expected(tmp_path: Path) -> None:
    async with live_session(tmp_path, begun_ns=TEN) as session:
        assert not session.kernel.shared.session_infos.is_told


async def test_scheduled_tasks_run_while_no_value_comes(tmp_path: Path) -> None:
    """given an order that rests before the close, when the feed is silent, then it expires at the session's end"""
    scripted = ScriptedStrategy()
    scripted.wants(Side.BUY, qty=10, limit=149_000)
    async with live_session(tmp_path, scripted, begun_ns=kst(15, 29), speed=30.0) as session:
        kernel = session.kernel

        finished = await session.run(
            quote(),
            once(lambda: working(kernel) == 1),
            once(lambda: working(kernel) == 0),
        )

        assert finished
        assert kernel.shared.last.feed_ts_ns < kst(15, 30)
        assert not scripted.fills


async def test_what_comes_too_fast_is_dropped_counted_and_told(tmp_path: Path) -> None:
    """given room for 10, when 50 quotes come at once, then the newest 10 are given and the 40 told as missing"""
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:
        await session.run(
            *(quote(150_000 + 100 * number) for number in range(50)),
            once(lambda: scripted.quotes == 10),
            max_waiting=10,
        )

        assert scripted.quotes == session.kernel.intake.rows == 10
        assert session.kernel.shared.last.quotes[SYMBOL].bid == D(154_900)
        lost = "40 values were dropped: the session could not keep up"
        assert session.messages("WARNING").count(f"feed scripted: values of {SYMBOL} are missing: {lost}") == 1
        assert session.kernel.shared.safety.current_state is SafetyState.WARNING


async def test_a_gap_is_told_and_the_depth_of_the_book_is_unknown_after_it(tmp_path: Path) -> None:
    """given depth, when values are missing, then a code is raised and the book is given in as unknown"""
    levels = ((D(150_000), D(5)),), ((D(150_100), D(5)),)
    async with live_session(tmp_path, ScriptedStrategy(), begun_ns=TEN) as session:
        await session.run(
            BookUpdate(SYMBOL, 0, *levels, snapshot=True),
            FeedGap(TEN, "the line was down for 3 s"),
            once(lambda: session.kernel.intake.rows == 2),
        )

        assert f"feed scripted: values of {SYMBOL} are missing: the line was down for 3 s" in session.messages(
            "WARNING"
        )
        assert session.kernel.shared.safety.current_state is SafetyState.WARNING


async def test_a_gap_is_told_in_words_that_every_file_can_hold(tmp_path: Path) -> None:
    """given a reason with half a character and no end, when it is told, then the session goes on"""
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:
        gap = FeedGap(TEN, "lost \udc80" + "x" * 100_000)

        assert await session.run(quote(), gap, quote(), once(lambda: scripted.quotes == 2))

        told = f"feed scripted: values of {SYMBOL} are missing: lost \\udc80xxx"
        (warning,) = (one for one in session.messages("WARNING") if one.startswith(told))
        assert len(warning) < 1_000
        await session.kernel.shared.record.checkpoint()  # its store is whole


async def test_a_gap_of_a_symbol_without_depth_gives_nothing_in(tmp_path: Path) -> None:
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:
        await session.run(quote(), FeedGap(TEN, "lost", (SYMBOL,)), quote(), once(lambda: scripted.quotes == 2))

        assert session.kernel.intake.rows == 2


async def test_a_line_that_is_down_is_told_once(tmp_path: Path) -> None:
    async with live_session(tmp_path, ScriptedStrategy(), begun_ns=TEN) as session:
        warned = "feed scripted: not connected: prices grow old until it is again"

        async def goes_down() -> None:
            session.feed.connected = False

        await session.run(
            quote(), pause(0.2), goes_down, once(lambda: warned in session.messages("WARNING")), pause(0.2)
        )

        assert session.messages("WARNING").count(warned) == 1


async def test_a_stop_ends_the_session_and_the_feed(tmp_path: Path) -> None:
    """given a feed without an end, when a stop is asked for, then the feed is closed and the dispatcher drained"""
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:

        async def asks() -> None:
            session.stop.request()
            await asyncio.sleep(3_600)

        finished = await session.run(quote(), once(lambda: scripted.quotes), asks)

        assert not finished
        assert session.feed.is_closed
        assert not session.kernel.dispatcher.is_running


async def test_a_stop_is_a_stop_also_when_the_line_cannot_be_closed(tmp_path: Path) -> None:
    """given a feed that fails while it is closed, when a stop is asked for, then the session stops and says so"""
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:

        async def asks_and_fails() -> None:
            session.stop.request()
            try:
                await asyncio.sleep(3_600)
            finally:
                raise OSError("no route to host")

        assert not await session.run(quote(), once(lambda: scripted.quotes), asks_and_fails)

        told = "feed scripted: its connection could not be closed in order: OSError: no route to host"
        assert told in session.messages("WARNING")
        assert not session.kernel.shared.record.has_failed


async def test_a_pressed_kill_switch_takes_effect_while_nothing_comes(tmp_path: Path) -> None:
    async with live_session(tmp_path, ScriptedStrategy(), begun_ns=TEN) as session:
        kill = session.kernel.shared.kill

        async def presses() -> None:
            kill.press(liquidate=True, by="test")

        await session.run(quote(), presses, once(lambda: not kill.is_pressed()))

        assert session.taken == [Press(liquidate=True, by="test")]


async def test_a_feed_that_fails_stops_the_session_in_order(tmp_path: Path) -> None:
    """given a feed that cannot go on, when it says so, then what came before is handled and its error is raised"""
    scripted = ScriptedStrategy()
    async with live_session(tmp_path, scripted, begun_ns=TEN) as session:
        with pytest.raises(DataError, match="the credentials were refused"):
            await session.run(quote(), DataError("the credentials were refused"))

        assert scripted.quotes == 1
        assert not session.kernel.shared.record.has_failed
        await session.kernel.shared.record.checkpoint()  # its store is whole


async def test_whatever_operators_cause_at_the_end_the_dispatcher_is_stopped(tmp_path: Path) -> None:
    """given a feed that fails and a stop that is pressed, when stop_task it fails too, then all is stopped"""
    async with live_session(tmp_path, ScriptedStrategy(), begun_ns=TEN) as session:
        session.fail_with = RuntimeError("a defect in a command")

        async def presses() -> None:
            session.kernel.shared.kill.press(liquidate=True, by="test")

        with pytest.raises(RuntimeError, match="a defect in a command"):
            await session.run(quote(), presses, DataError("the credentials were refused"))

        assert not session.kernel.dispatcher.is_running
        assert session.feed.is_closed


async def test_a_checkpoint_of_a_live_session_holds_no_place_in_its_feed(tmp_path: Path) -> None:
    async with live_session(tmp_path, ScriptedStrategy(), begun_ns=TEN) as session:
        await session.run(quote(), quote(150_100))

        parts = decode(session.kernel.checkpoints.encode())["parts"]
        assert (parts["feed"], parts["in_hand"]) == (None, None)


def test_a_live_session_is_named_by_what_it_trades_on_and_since_when() -> None:
    """given broker, account, mode and begin, then they alone name the run, and the account's number is not shown"""
    name = live_source_id(broker="kis", account="12345678-01", mode="real", begun_ns=TEN)

    assert name == live_source_id(broker="kis", account="12345678-01", mode="real", begun_ns=TEN)
    assert name.endswith("mode=real begun=2026-01-22T01:00:00+00:00")
    assert "12345678" not in name
    others = {
        live_source_id(broker="sim", account="12345678-01", mode="real", begun_ns=TEN),
        live_source_id(broker="kis", account="12345678-02", mode="real", begun_ns=TEN),
        live_source_id(broker="kis", account="12345678-01", mode="paper", begun_ns=TEN),
        live_source_id(broker="kis", account="12345678-01", mode="real", begun_ns=TEN + 1_000),
    }
    assert len({name, *others}) == 5
