"""Limits of orders in a session: what they refuse is told and costs nothing, exits go on until they leave."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.broker.gateway.limits.view import LimitsView
from qts.capital.contracts import Pool
from qts.config.loader import load_config
from qts.execution.contracts import OrderState
from qts.market.contracts import Bar, Phase, Quote, Tick
from qts.market.session_info import SessionInfo, TradingStatus
from qts.notes import in_english, in_korean
from qts.runtime.orders.limit_facts import SessionFacts
from qts.runtime.session.view_builder import notes_of, view_of
from qts.runtime.session_events import SessionInfoInput
from qts.runtime.wiring.profiles import PLAIN_SETTINGS
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import STEADY, SYMBOL, THURSDAY, Rig, ScriptedStrategy, defensive, kst, with_ten
from tests.runtime.test_session_metrics import MACHINE, RUN, reader

MakeRig = Callable[..., Rig]
S = 1_000_000_000
NOT_SENT = OrderState.NOT_SENT


def limited(**limits: str) -> dict[str, str]:
    return {f"broker.limits.{name}": value for name, value in limits.items()}


# -- an entry ------------------------------------------------------------------------------------------------------


def test_a_refused_entry_holds_back_no_money_and_is_told_logged_counted_and_shown(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=limited(max_order_qty="5"))
    scripted.wants(Side.BUY, qty=6)
    rig.quotes(kst(10), 3)

    (order,) = rig.orders()
    why = "limit max_order_qty: 6 shares or contracts, at most 5"
    assert (order.state, order.note) == (NOT_SENT, f"not sent: {why}")
    assert rig.shared.account.open_reservations == ()
    assert f"order {order.client_order_id} did not leave: not sent: {why}" in [
        line.message for line in rig.logged if line.level == "WARNING"
    ]
    limits = rig.kernel.limits
    assert limits is not None
    assert limits.view().refused == {"max_order_qty": 1}
    (note,) = [note for note in notes_of(rig.kernel) if note.code == "limit-refused"]
    assert in_english(note) == "limits: 1 order was refused by the limit max_order_qty, and never left"
    assert in_korean(note) == "주문 한도: 주문 1건이 한도 max_order_qty에 걸려 나가지 않았습니다."


def test_what_limits_refused_is_there_for_prometheus(rig_of: MakeRig) -> None:
    view = view_of(rig_of(ScriptedStrategy()).kernel, RUN, "paper", "", MACHINE)
    limits = LimitsView({"max_order_qty": 2, "price_collar": 1}, "", exits_beyond=3, without_volume=4)

    read = reader(msgspec.structs.replace(view, limits=limits))

    assert read("qts_limit_refusals_total", {"limit": "max_order_qty"}) == 2
    assert read("qts_limit_refusals_total", {"limit": "price_collar"}) == 1
    assert (read("qts_limit_exits_beyond_total"), read("qts_limit_without_volume_total")) == (3, 4)
    assert read("qts_session_info_told") == 0
    off = reader(msgspec.structs.replace(view, limits=None))
    assert (off("qts_limit_exits_beyond_total"), off("qts_session_info_told")) == (None, None)


def test_the_next_entry_may_leave(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=limited(max_order_qty="5"))
    scripted.wants(Side.BUY, qty=6)
    rig.quotes(kst(10), 1)
    scripted.wants(Side.BUY, qty=5)
    rig.quotes(kst(10, 1), 3)

    assert rig.held() == 5


def test_a_limit_that_is_loaded_again_holds_for_the_next_order(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings=limited(max_order_qty="5"))
    loaded = load_config(None, {**STEADY, **limited(max_order_qty="4")}, {})
    rig.kernel.reconfigure(loaded.tree, loaded.hash)

    scripted.wants(Side.BUY, qty=5)
    rig.quotes(kst(10), 3)

    (order,) = rig.orders()
    assert order.note == "not sent: limit max_order_qty: 5 shares or contracts, at most 4"


def test_in_the_plain_profile_there_are_no_limits(rig_of: MakeRig) -> None:
    scripted = ScriptedStrategy()
    rig = rig_of(scripted, settings={**PLAIN_SETTINGS, **limited(max_order_qty="5")})
    scripted.wants(Side.BUY, qty=6)
    rig.quotes(kst(10), 3)

    assert rig.held() == 6
    assert rig.kernel.limits is None


async def test_at_a_broker_that_is_not_simulated_they_cannot_be_switched_off(tmp_path: Path) -> None:
    settings = limited(enabled="false", max_order_qty="5")
    async with live(tmp_path, strategies=[ScriptedStrategy()], settings=settings, broker=ScriptedBroker()) as rig:
        assert rig.kernel.limits is not None
        assert "limit-session-info-unknown" in [note.code for note in notes_of(rig.kernel)]


# -- an exit of the rules ------------------------------------------------------------------------------------------


def falling(rig: Rig, scalp: ScriptedStrategy) -> int:
    """Let a strategy hold ten, bought at 150,100, and the bid fall by 13 % behind the last trade; return when."""
    now = with_ten(rig, scalp)
    rig.show(Tick(SYMBOL, now, D(150_000), D(1)))
    rig.quote(now + 1 * S, bid=130_000, ask=150_100)
    return now + 1 * S


def test_an_exit_that_the_collar_refuses_is_tried_again_with_each_step_until_it_leaves(rig_of: MakeRig) -> None:
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = falling(rig, scalp)

    defensive(rig, now)  # 5 % are allowed now, 10 % after 10 s, 15 % after 20 s: the bid is 13.3 % below
    rig.quotes(now, 40)

    states = [(order.ts_intent_ns - now, order.state) for order in rig.orders() if order.side is Side.SELL]
    assert states == [(0, NOT_SENT), (10 * S, NOT_SENT), (20 * S, OrderState.FILLED)]
    assert rig.held("scalp") == 0


def test_after_a_restart_the_collar_goes_on_growing(tmp_path: Path) -> None:
    """given an exit refused at 0 and at 10 s, when the session is resumed, then it leaves at 20 s all the same"""
    rig = Rig(tmp_path, scalp := ScriptedStrategy("scalp"))
    now = falling(rig, scalp)
    defensive(rig, now)
    rig.quotes(now, 12)
    rig.store_now()
    rig.close()

    rig = Rig(tmp_path, ScriptedStrategy("scalp"), is_resumed=True)
    rig.prices = (130_000, 150_100)
    rig.quotes(now + 13 * S, 20)

    states = [(order.ts_intent_ns - now, order.state) for order in rig.orders() if order.side is Side.SELL]
    assert states == [(0, NOT_SENT), (10 * S, NOT_SENT), (20 * S, OrderState.FILLED)]
    limits = rig.kernel.limits
    assert limits is not None
    assert limits.view().refused == {"price_collar": 2}
    rig.close()


def test_a_large_exit_leaves_and_that_is_logged(rig_of: MakeRig) -> None:
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp, settings=limited(max_order_value="1550000"))  # ten at 151,600 at most
    now = with_ten(rig, scalp)
    scalp.wants(Side.SELL, limit=156_000)
    rig.quotes(now + 1 * S, 2)

    (note,) = [line.message for line in rig.logged if line.level == "WARNING" and "beyond" in line.message]
    assert note.endswith("limit max_order_value: 1,560,000 KRW, at most 1,550,000")
    assert [order.state for order in rig.orders() if order.side is Side.SELL] == [OrderState.WORKING]


# -- orders of ours ------------------------------------------------------------------------------------------------

APART = limited(self_trade_in_simulation="true")


def rests(rig: Rig, scalp: ScriptedStrategy, swing: ScriptedStrategy) -> int:
    """Let scalp hold ten, and swing bid for five at the best price."""
    now = with_ten(rig, scalp)
    swing.wants(Side.BUY, qty=5, limit=150_000)
    return rig.quotes(now + 1 * S, 1)


def test_an_entry_that_would_meet_an_exit_of_another_strategy_does_not_leave(rig_of: MakeRig) -> None:
    scalp, swing = ScriptedStrategy("scalp"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(scalp, swing, settings=APART)
    now = with_ten(rig, scalp)
    scalp.wants(Side.SELL, limit=150_200)
    rig.quotes(now + 1 * S, 1)
    swing.wants(Side.BUY, qty=5, limit=150_200)
    rig.quotes(now + 3 * S, 1)

    refused = [order for order in rig.orders() if order.strategy == "swing"]
    assert [order.state for order in refused] == [NOT_SENT]
    assert "limit self_trade: it would meet SELL 10 at 150,200 of scalp" in refused[0].note


def test_the_rules_cancel_the_entry_that_their_exit_would_meet_and_sell_when_it_has_ended(rig_of: MakeRig) -> None:
    scalp, swing = ScriptedStrategy("scalp"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(scalp, swing, settings=APART)
    now = rests(rig, scalp, swing)

    defensive(rig, now + 1 * S)
    rig.quotes(now + 2 * S, 3)

    assert rig.held("scalp") == 0
    (bid,) = [order for order in rig.orders() if order.strategy == "swing"]
    assert (bid.state, bid.filled) == (OrderState.CANCELLED, 0)
    sells = [order for order in rig.orders() if order.side is Side.SELL]
    assert [order.state for order in sells] == [NOT_SENT, OrderState.FILLED]
    assert sells[1].ts_intent_ns - sells[0].ts_intent_ns <= 1 * S  # not only at the next attempt, 10 s later


def test_where_everything_is_sold_no_exit_waits_for_the_next_attempt(rig_of: MakeRig) -> None:
    """given two strategies that hold ten each, one of which bids for more, when all is stopped, both are flat"""
    scalp, swing = ScriptedStrategy("scalp"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(scalp, swing, settings=APART)
    now = with_ten(rig, scalp, swing)
    swing.wants(Side.BUY, qty=5, limit=150_000)
    now = rig.quotes(now + 1 * S, 1)

    rig.stop()
    rig.quotes(now + 1 * S, 3)

    assert (rig.held("scalp"), rig.held("swing")) == (0, 0)
    assert len(rig.shared.orders) == 0


def test_a_strategy_that_leaves_asks_again_when_the_entry_that_it_would_meet_has_ended(rig_of: MakeRig) -> None:
    scalp, swing = ScriptedStrategy("scalp"), ScriptedStrategy("swing", Pool.SWING)
    rig = rig_of(scalp, swing, settings=APART)
    now = rests(rig, scalp, swing)

    scalp.wants(Side.SELL)
    rig.quotes(now + 1 * S, 1)
    scalp.wants(Side.SELL)
    rig.quotes(now + 3 * S, 2)

    assert rig.held("scalp") == 0
    sells = [order.state for order in rig.orders() if order.side is Side.SELL]
    assert sells == [NOT_SENT, OrderState.FILLED]


async def test_at_a_broker_the_entry_is_cancelled_before_the_exit_leaves(tmp_path: Path) -> None:
    broker, scalp, swing = ScriptedBroker(), ScriptedStrategy("scalp"), ScriptedStrategy("swing", Pool.SWING)
    async with live(
        tmp_path, strategies=[scalp, swing], settings={"event.retry_backoff_ms": "1"}, broker=broker
    ) as rig:
        scalp.wants(Side.BUY, qty=10)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: len(broker.placed) == 1)
        bought = broker.placed[0].request.client_order_id
        broker.fill(bought, 10, 150_100, kst(10))
        await rig.until(lambda: rig.kernel.shared.account.holding("scalp", SYMBOL) == 10)
        swing.wants(Side.BUY, qty=5, limit=150_000)
        await rig.push(quote(kst(10, 0, 1)))
        await rig.until(lambda: len(broker.placed) == 2)
        resting = broker.placed[1].request.client_order_id
        await rig.until(lambda: _state(rig, resting) is OrderState.WORKING)

        rig.kernel.exit_requests.liquidate_strategy("scalp", "enough", rig.clock.time_ns())
        rig.kernel.due.pending = True
        await rig.until(lambda: broker.cancels)
        assert (broker.cancels, len(broker.placed)) == ([resting], 2)

        broker.end(resting, kst(10, 0, 1))
        await rig.until(lambda: len(broker.placed) == 3)
        assert broker.placed[2].request.side is Side.SELL


def quote(at_ns: int) -> Quote:
    return Quote(SYMBOL, at_ns, bid=D(150_000), ask=D(150_100), bid_size=D(10_000), ask_size=D(10_000))


def _state(rig: LiveRig, key: str) -> OrderState | None:
    order = rig.kernel.shared.orders.get(key)
    return None if order is None else order.state


# -- what the limits know ------------------------------------------------------------------------------------------


def daily_bars(count: int, last_ns: int, volume: int = 1_000) -> list[Bar]:
    day = 24 * 3_600 * S
    return [
        Bar(SYMBOL, last_ns - (count - 1 - number) * day, D(1), D(1), D(1), D(1), D(volume + number))
        for number in range(count)
    ]


def facts_of(rig: Rig, bars: list[Bar] | None = None, *, is_told: bool = False) -> SessionFacts:
    rig.shared.session_infos.is_told = is_told
    return SessionFacts(rig.shared, lambda symbol, n: (bars or [])[-n:], is_simulated=True)


@pytest.mark.parametrize(("days", "average"), [(19, None), (20, D("1009.5")), (21, D("1010.5"))])
def test_the_average_volume_is_that_of_the_last_twenty_days_or_unknown(
    rig_of: MakeRig, days: int, average: D | None
) -> None:
    """given 1,000, 1,001, 1,002 and so on, then the first 20 days have 1,009.5 on average, the next 20 1,010.5"""
    rig = rig_of(start_ns=kst(9))

    assert facts_of(rig, daily_bars(days, kst(0))).average_volume(SYMBOL) == average


def test_without_twenty_days_the_average_is_the_one_that_is_told_today(rig_of: MakeRig) -> None:
    rig = rig_of(start_ns=kst(9))
    told = SessionInfo(symbol=SYMBOL, ts_ns=1, day=THURSDAY.date(), average_volume=D(500))
    rig.shared.session_infos.put(told)

    assert facts_of(rig, daily_bars(19, kst(0))).average_volume(SYMBOL) == D(500)
    assert facts_of(rig, daily_bars(20, kst(0))).average_volume(SYMBOL) == D("1009.5")


@pytest.mark.parametrize(("age_days", "is_known"), [(14, True), (15, False)])
def test_an_average_that_ended_weeks_ago_is_unknown(rig_of: MakeRig, age_days: int, is_known: bool) -> None:
    rig = rig_of(start_ns=kst(0))
    last_ns = kst(0) - age_days * 24 * 3_600 * S

    assert (facts_of(rig, daily_bars(20, last_ns)).average_volume(SYMBOL) is not None) is is_known


def test_the_price_to_judge_by_is_the_last_trade_then_the_middle_then_the_base(rig_of: MakeRig) -> None:
    rig = rig_of()
    facts = facts_of(rig)
    assert facts.price(SYMBOL) is None

    rig.shared.base_prices[SYMBOL] = D(140_000)
    assert facts.price(SYMBOL) == D(140_000)
    rig.shared.session_infos.put(SessionInfo(symbol=SYMBOL, ts_ns=1, day=THURSDAY.date(), base_price=D(141_000)))
    assert facts.price(SYMBOL) == D(141_000)
    rig.quote(kst(9, 1), bid=150_000, ask=150_100)
    assert facts.price(SYMBOL) == D(150_050)
    rig.show(Tick(SYMBOL, kst(9, 2), D(149_900), D(1)))
    assert facts.price(SYMBOL) == D(149_900)


def test_an_order_meets_the_other_side_and_where_that_is_empty_the_edge_of_the_band(rig_of: MakeRig) -> None:
    rig = rig_of()
    facts = facts_of(rig)
    rig.quote(kst(9, 1), bid=150_000, ask=150_100)
    assert (facts.price_met(SYMBOL, Side.BUY), facts.price_met(SYMBOL, Side.SELL)) == (D(150_100), D(150_000))

    rig.shared.base_prices.clear()
    rig.shared.last.quotes[SYMBOL] = Quote(SYMBOL, kst(9, 1), bid=None, ask=D(150_100))
    assert facts.price_met(SYMBOL, Side.SELL) is None
    rig.shared.base_prices[SYMBOL] = D(150_000)
    assert facts.price_met(SYMBOL, Side.SELL) == D(105_000)  # 30 % below
    rig.shared.session_infos.put(SessionInfo(symbol=SYMBOL, ts_ns=1, day=THURSDAY.date(), low=D(110_000)))
    assert facts.price_met(SYMBOL, Side.SELL) == D(110_000)


def test_of_bars_alone_an_order_meets_the_last_price(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.show(Bar(SYMBOL, kst(9, 5), D(150_000), D(151_000), D(149_000), D(150_500), D(10), interval="5m"))

    assert facts_of(rig).price_met(SYMBOL, Side.SELL) == D(150_500)


def test_open_is_what_is_held_and_what_other_entries_would_add(rig_of: MakeRig) -> None:
    scalp = ScriptedStrategy("scalp")
    rig = rig_of(scalp)
    now = with_ten(rig, scalp)  # ten, worth 150,000 each at the bid
    scalp.wants(Side.BUY, qty=5, limit=149_000)
    rig.quotes(now + 1 * S, 1)
    (order,) = rig.shared.orders

    facts = facts_of(rig)
    assert facts.open_notional("another") == D(1_500_000 + 745_000)
    assert facts.open_notional(order.client_order_id) == D(1_500_000)


@pytest.mark.parametrize(
    ("at", "is_auction"), [((8, 45), True), ((9, 0), False), ((15, 19), False), ((15, 25), True), ((16, 0), False)]
)
def test_orders_wait_for_an_auction_before_the_open_and_the_close(
    rig_of: MakeRig, at: tuple[int, int], is_auction: bool
) -> None:
    assert facts_of(rig_of(start_ns=kst(*at))).is_auction(SYMBOL) is is_auction


@pytest.mark.parametrize(
    ("status", "is_auction"),
    [(TradingStatus.NORMAL, False), (None, False), (TradingStatus.VI_STATIC, True), (TradingStatus.HALTED, True)],
)
def test_and_while_the_broker_says_so(rig_of: MakeRig, status: TradingStatus | None, is_auction: bool) -> None:
    rig = rig_of(start_ns=kst(10))
    rig.shared.session_infos.put(SessionInfo(symbol=SYMBOL, ts_ns=1, day=THURSDAY.date(), status=status))

    assert facts_of(rig).is_auction(SYMBOL) is is_auction


def test_what_was_said_yesterday_is_not_known_today(rig_of: MakeRig) -> None:
    rig = rig_of(start_ns=kst(10))
    facts: Any = facts_of(rig, is_told=True)
    rig.shared.session_infos.put(SessionInfo(symbol=SYMBOL, ts_ns=1, day=THURSDAY.date().replace(day=21)))

    assert facts.session_info(SYMBOL) is None
    assert rig.shared.calendar.phase_ns(kst(10)) is Phase.CONTINUOUS


# -- base prices that are told -------------------------------------------------------------------------------------


def told_base(price: int, day: int = 22, ts_ns: int = 1, symbol: str = SYMBOL) -> SessionInfo:
    return SessionInfo(symbol=symbol, ts_ns=ts_ns, day=THURSDAY.date().replace(day=day), base_price=D(price))


def test_the_band_of_the_day_lies_around_the_base_price_that_is_told(rig_of: MakeRig) -> None:
    """given 150,000 yesterday, when 100,000 is told to be the base, an ex-rights day, then 75,000 is possible"""
    rig = rig_of()
    rig.quote(kst(10), bid=150_000)
    told = SessionInfoInput(rig.shared)

    told.on_info(told_base(100_000))
    rig.show(Tick(SYMBOL, kst(10, 1), D(75_000), D(1)))

    assert rig.shared.base_prices[SYMBOL] == D(100_000)
    assert rig.shared.price_bands.doubt_reasons() == []
    rig.show(Tick(SYMBOL, kst(10, 2), D(69_000), D(1)))  # 70,000 is 30 % below
    assert rig.shared.price_bands.doubt_reasons() != []


def test_what_is_told_for_the_next_day_holds_from_its_start_on(rig_of: MakeRig) -> None:
    rig = rig_of()
    rig.quote(kst(10), bid=150_000)
    SessionInfoInput(rig.shared).on_info(told_base(120_000, day=23))
    assert SYMBOL not in rig.shared.base_prices

    rig.quote(kst(8, 40, day=23))

    assert rig.shared.base_prices[SYMBOL] == D(120_000)


@pytest.mark.parametrize(
    "info", [told_base(100_000, day=21), told_base(100_000, symbol="000660"), told_base(100_000, ts_ns=0)]
)
def test_what_was_told_for_another_day_of_another_symbol_or_earlier_changes_nothing(
    rig_of: MakeRig, info: SessionInfo
) -> None:
    rig = rig_of()
    rig.quote(kst(10), bid=150_000)
    told = SessionInfoInput(rig.shared)
    told.on_info(told_base(149_000))

    told.on_info(info)

    assert rig.shared.base_prices == {SYMBOL: D(149_000)}
