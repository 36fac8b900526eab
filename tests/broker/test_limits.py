"""Limits stand at the entry of the gateway: what breaks one never leaves, and is told, counted and shown."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qts.broker.gateway.limits.config import LimitsConfig
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.clock import ManualClock, from_ns
from qts.execution.contracts import AckStatus, OrderState
from qts.market.session_info import Designation, SessionInfo, TradingStatus, VenuePhase
from qts.risk.contracts import OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce
from tests.broker.gateway_rig import approved, on_thread
from tests.broker.limits_rig import LimitsRig, StatedFacts, resting
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW, D

S = 1_000_000_000
BUY, SELL = Side.BUY, Side.SELL
MARKET = {"limit": None}


def refused(name: str, text: str) -> str:
    return f"{name}: {text}"


# -- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "said"),
    [
        ("999", ""),
        ("1000", ""),
        ("1001", "max_order_qty: 1,001 shares or contracts, at most 1,000"),
        ("1000.001", "max_order_qty: 1,000.001 shares or contracts, at most 1,000"),
    ],
)
def test_an_entry_has_at_most_so_many_shares(qty: str, said: str) -> None:
    rig = LimitsRig(max_order_qty=D(1_000))

    assert rig.submit(qty=D(qty)) == said
    assert rig.placed == ([] if said else ["o1"])


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("49999", ""),  # 100 shares are worth 4,999,900
        ("50000", ""),
        ("50001", "max_order_value: 5,000,100 KRW, at most 5,000,000"),
    ],
)
def test_an_entry_is_worth_at_most_so_much(limit: str, said: str) -> None:
    assert LimitsRig(max_order_value=D(5_000_000)).submit(limit=D(limit)) == said


def test_an_entry_at_the_market_is_valued_by_the_price_that_it_meets() -> None:
    rig = LimitsRig(max_order_value=D(5_000_000))

    assert rig.submit(**MARKET) == "max_order_value: 5,010,000 KRW, at most 5,000,000"  # 100 at 50,100


@pytest.mark.parametrize(("cap", "is_sent"), [(4_999_999, True), (5_000_000, True), (5_000_001, False)])
def test_an_entry_with_a_cap_on_its_cost_is_valued_by_it(cap: int, is_sent: bool) -> None:
    rig = LimitsRig(max_order_value=D(5_000_000))

    assert (rig.submit(max_cost=D(cap), **MARKET) == "") is is_sent


def test_an_entry_of_unknown_value_does_not_leave() -> None:
    rig = LimitsRig(price_collar=D(1))
    rig.facts.best[BUY] = None

    assert rig.submit(**MARKET) == "price_collar: no price of 005930 is known to judge it by"
    rig.facts.best[BUY], rig.facts.notional = D(50_100), None
    assert rig.submit(**MARKET) == "max_open_notional: the value of what is held and ordered is not known"


@pytest.mark.parametrize(("qty", "is_sent"), [("99", True), ("100", True), ("101", False)])
def test_an_entry_has_at_most_a_share_of_the_average_volume(qty: str, is_sent: bool) -> None:
    """given an average of 1,000 shares a day, of which a tenth is allowed, then 100 leave and 101 do not"""
    rig = LimitsRig(max_volume_share=D("0.1"))
    rig.facts.volume = D(1_000)

    said = rig.submit(qty=D(qty))

    assert (said == "") is is_sent
    if said:
        assert said == (
            "max_volume_share: 101 shares or contracts, at most 100 (0.1 of the average volume 1,000 of 20 days)"
        )


def test_where_the_average_volume_is_not_known_the_quantity_alone_is_limited_and_that_is_shown() -> None:
    rig = LimitsRig(max_order_qty=D(500), max_volume_share=D("0.1"))

    assert rig.submit(qty=D(500)) == ""
    assert rig.submit(qty=D(501)).startswith("max_order_qty: 501")
    assert rig.limits.view().without_volume == 1
    rig.facts.volume = D(10_000)
    rig.submit(qty=D(500))
    assert rig.limits.view().without_volume == 1


@pytest.mark.parametrize(("open_before", "is_sent"), [(4_999_999, True), (5_000_000, True), (5_000_001, False)])
def test_holdings_and_open_entries_are_worth_at_most_so_much(open_before: int, is_sent: bool) -> None:
    """given 10,000,000 at most, when 100 at 50,000 are to leave, then 5,000,000 may be held and open already"""
    rig = LimitsRig(max_open_notional=D(10_000_000))
    rig.facts.notional = D(open_before)

    said = rig.submit()

    assert said == ("" if is_sent else "max_open_notional: 10,000,001 KRW with it, at most 10,000,000")


def test_an_exit_leaves_whatever_its_size_and_what_it_exceeds_is_written_down() -> None:
    rig = LimitsRig(max_order_qty=D(1_000), max_open_notional=D(1), restricted_symbols=("005930",))

    assert rig.leave(qty=D(1_001)) == ""
    assert rig.notes == [
        "exit o1 leaves although it is beyond the limit of an entry, limit max_order_qty: "
        "1,001 shares or contracts, at most 1,000"
    ]
    assert rig.limits.view().exits_beyond == 1
    assert rig.leave(qty=D(1_000)) == ""
    assert len(rig.notes) == 1


# -- prices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"limit": D(52_400)}, ""),
        ({"limit": D(52_500)}, ""),
        ({"limit": D(52_600)}, "52,600 KRW, at most 52,500 (0.05 from the last price 50,000)"),
        ({"limit": D(100)}, ""),  # far on the other side it only waits
        (MARKET, ""),
    ],
)
def test_the_worst_price_of_an_entry_lies_near_the_last_one(order: dict[str, Any], said: str) -> None:
    rig = LimitsRig(price_collar=D("0.05"))

    assert rig.submit(**order) == (refused("price_collar", said) if said else "")


@pytest.mark.parametrize(("ask", "is_sent"), [(52_500, True), (52_501, False)])
def test_an_entry_at_the_market_is_judged_by_the_price_that_it_meets(ask: int, is_sent: bool) -> None:
    rig = LimitsRig(price_collar=D("0.05"))
    rig.facts.best[BUY] = D(ask)

    assert (rig.submit(**MARKET) == "") is is_sent


@pytest.mark.parametrize(
    ("order", "bid", "said"),
    [
        ({}, 47_500, ""),
        ({}, 47_499, "47,499 KRW, at least 47,500 (0.05 from the last price 50,000)"),
        ({"limit": D(47_500)}, 100, ""),
        ({"limit": D(47_400)}, 49_900, "47,400 KRW, at least 47,500 (0.05 from the last price 50,000)"),
        ({"limit": D(90_000)}, 49_900, ""),
    ],
)
def test_an_exit_has_a_collar_too(order: dict[str, Any], bid: int, said: str) -> None:
    rig = LimitsRig(exit_collar=D("0.05"))
    rig.facts.best[SELL] = D(bid)

    assert rig.leave(**order) == (refused("price_collar", f"{said}; it grows by 0.05 every 10 s") if said else "")


def test_the_collar_of_an_exit_grows_until_it_leaves_and_that_of_the_next_exit_is_small_again() -> None:
    """given a bid 18 % below the last price, when the exit is asked for again and again, it leaves after 30 s"""
    rig = LimitsRig(exit_collar=D("0.05"), exit_collar_step=D("0.05"), exit_collar_step_s=10)
    rig.facts.best[SELL] = D(41_000)
    sent = []
    for _ in range(5):  # at 0, 10, 20, 30 and 40 s: 5, 10, 15 and 20 % are allowed, and 5 % again
        sent.append(rig.leave() == "")
        rig.clock.set_ns(rig.clock.time_ns() + 10 * S)

    assert sent == [False, False, False, True, False]


@pytest.mark.parametrize(("after_ns", "is_sent"), [(190 * S - 1, False), (190 * S, True)])
def test_even_an_exit_whose_price_is_not_known_leaves_when_the_collar_has_reached_the_whole_price(
    after_ns: int, is_sent: bool
) -> None:
    """given 5 % and 5 % more every 10 s, when 190 s have passed, then 100 % are reached"""
    rig = LimitsRig()
    rig.facts.best[SELL] = rig.facts.last = None
    assert rig.leave().startswith("price_collar: no price of 005930 is known to judge it by")

    rig.clock.set_ns(rig.clock.time_ns() + after_ns)

    assert (rig.leave() == "") is is_sent


def test_the_collar_of_one_exit_does_not_grow_with_the_time_of_another() -> None:
    rig = LimitsRig()
    rig.facts.best[SELL] = D(46_000)  # 8 % below
    rig.leave(strategy="one")
    rig.clock.set_ns(rig.clock.time_ns() + 30 * S)

    assert rig.leave(strategy="other") != ""
    assert rig.leave(strategy="one") == ""


@pytest.mark.parametrize(("after_h", "is_sent"), [(2, True), (3, False)])
def test_an_exit_that_was_not_asked_for_in_hours_is_a_new_one(after_h: int, is_sent: bool) -> None:
    rig = LimitsRig()
    rig.facts.best[SELL] = D(41_000)
    rig.leave()
    rig.clock.set_ns(rig.clock.time_ns() + after_h * 3_600 * S)

    assert (rig.leave() == "") is is_sent


def test_the_time_of_an_exit_goes_on_after_a_restart() -> None:
    rig, again = LimitsRig(), LimitsRig()
    rig.facts.best[SELL] = again.facts.best[SELL] = D(46_000)
    rig.leave()

    again.limits.import_state(rig.limits.export_state())
    again.clock.set_ns(again.clock.time_ns() + 10 * S)

    assert again.leave() == ""
    assert again.limits.view().refused == {"price_collar": 1}


def test_a_clock_that_was_set_back_before_a_restart_traps_no_exit() -> None:
    # Given an exit 40 % below the last price that is refused for twenty seconds
    rig, again = LimitsRig(), LimitsRig(began_ns=NOW - 3 * 3_600 * S)
    rig.facts.best[SELL] = again.facts.best[SELL] = D(30_000)
    for _ in range(3):
        assert "price_collar" in rig.leave()
        rig.clock.set_ns(rig.clock.time_ns() + 10 * S)

    # When the next process begins three hours earlier by its clock
    again.limits.import_state(rig.limits.export_state())

    # Then the exit leaves fifty seconds later all the same: 5 % and seven steps of 5 %
    assert "price_collar" in again.leave()
    again.clock.set_ns(again.clock.time_ns() + 50 * S - 1)
    assert "price_collar" in again.leave()
    again.clock.set_ns(again.clock.time_ns() + 1)
    assert again.leave() == ""


@pytest.mark.parametrize(
    ("order", "is_sent"),
    [
        ({"type": OrderType.STOP, "stop_price": D(70_000), "limit": None}, True),
        ({"type": OrderType.STOP_LIMIT, "stop_price": D(60_000), "limit": D(63_000)}, True),
        ({"type": OrderType.STOP_LIMIT, "stop_price": D(60_000), "limit": D(63_001)}, False),
    ],
)
def test_an_order_that_waits_for_a_price_is_judged_from_there(order: dict[str, Any], is_sent: bool) -> None:
    assert (LimitsRig(price_collar=D("0.05")).submit(**order) == "") is is_sent


def test_an_exit_in_a_bar_that_is_over_has_its_price_already() -> None:
    order = {"type": OrderType.STOP, "stop_price": D(30_000), "armed_ns": NOW}

    assert LimitsRig().leave(**order) == ""


@pytest.mark.parametrize("reduce_only", [False, True])
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (49_900, "price_band: limit 49,900, at least 50,000 today"),
        (50_000, ""),
        (50_500, ""),
        (50_600, "price_band: limit 50,600, at most 50,500 today"),
    ],
)
def test_no_limit_lies_outside_the_band_that_the_broker_tells(limit: int, said: str, reduce_only: bool) -> None:
    rig = LimitsRig()
    rig.facts.info = told(low=D(50_000), high=D(50_500))

    assert (rig.leave if reduce_only else rig.submit)(limit=D(limit)) == said


def test_an_edge_of_the_band_that_is_not_told_bounds_nothing() -> None:
    rig = LimitsRig()
    rig.facts.info = told(low=D(49_000))

    assert rig.submit(limit=D(52_000)) == ""


# -- what may be entered -------------------------------------------------------------------------------------------


def told(**more: Any) -> SessionInfo:
    phases = {"": VenuePhase.CONTINUOUS}
    known = {"status": TradingStatus.NORMAL, "designations": frozenset[Designation](), "phases": phases, **more}
    return SessionInfo(symbol="005930", ts_ns=NOW, day=date(2026, 1, 23), **known)


def test_a_restricted_symbol_takes_no_entry_and_lets_exits_leave() -> None:
    rig = LimitsRig(restricted_symbols=("000660", "005930"))

    assert rig.submit() == "restricted_symbols: 005930 takes no entry, it is on the list"
    assert rig.submit(symbol="035720") == ""
    assert rig.leave() == ""


ENTRIES = {
    VenuePhase.CLOSED: True,
    VenuePhase.BEFORE_OPEN: True,
    VenuePhase.PRE_MARKET: False,
    VenuePhase.OPENING_AUCTION: False,
    VenuePhase.CONTINUOUS: False,
    VenuePhase.CLOSING_AUCTION: False,
    VenuePhase.BREAK: True,
    VenuePhase.AFTER_CLOSE: True,
    VenuePhase.AFTER_SINGLE_PRICE: True,
    VenuePhase.AFTER_MARKET: False,
}
"""Whether a phase stops entries, of all phases."""


def test_an_order_for_a_venue_is_judged_by_the_phase_of_that_venue() -> None:
    assert set(ENTRIES) == set(VenuePhase)
    rig = LimitsRig()
    rig.facts.tells_session_info = True
    rig.facts.info = told(phases={"": VenuePhase.CONTINUOUS, "KRX": VenuePhase.CONTINUOUS, "NXT": VenuePhase.BREAK})

    assert rig.submit(venue="KRX") == ""
    assert rig.submit(venue="NXT") == "no_entry_phases: the phase of NXT for 005930 is BREAK"
    assert rig.submit(venue="SOR") == "no_entry_phases: the broker has not told the phase of SOR for 005930"


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (told(), ""),
        (told(designations=frozenset({Designation.CAUTION})), ""),
        (None, "no_entry_status: the broker has not told how 005930 trades today"),
        (told(status=None), "no_entry_status: the broker has not told how 005930 trades today"),
        (told(status=TradingStatus.HALTED), "no_entry_status: 005930 is HALTED"),
        (told(status=TradingStatus.SINGLE_PRICE), "no_entry_status: 005930 is SINGLE_PRICE"),
        (told(status=TradingStatus.VI_DYNAMIC), "no_entry_status: 005930 is VI_DYNAMIC"),
        (told(phases={}), "no_entry_phases: the broker has not told the phase for 005930"),
        (
            told(phases={"NXT": VenuePhase.CONTINUOUS}),
            "no_entry_phases: the broker has not told the phase for 005930",
        ),
        *(
            (told(phases={"": phase}), f"no_entry_phases: the phase for 005930 is {phase.value}" * is_stopped)
            for phase, is_stopped in ENTRIES.items()
        ),
        (told(designations=None), "no_entry_designations: the broker has not told the marks of 005930 today"),
        *(
            (told(designations=frozenset({mark})), f"no_entry_designations: 005930 is marked {mark.value}")
            for mark in Designation
            if mark is not Designation.CAUTION
        ),
    ],
)
def test_where_the_broker_tells_what_may_be_entered_the_unknown_may_not(
    info: SessionInfo | None, said: str
) -> None:
    rig = LimitsRig()
    rig.facts.tells_session_info, rig.facts.info = True, info

    assert rig.submit() == said
    assert rig.leave() == ""
    assert rig.limits.view().session_info


def test_where_the_broker_tells_nothing_of_instruments_none_is_expected_and_that_is_shown() -> None:
    rig = LimitsRig()

    assert rig.submit() == ""
    assert not rig.limits.view().session_info


def test_which_marks_and_states_stop_entries_is_configured() -> None:
    rig = LimitsRig(no_entry_status=(), no_entry_designations=(Designation.CAUTION,))
    rig.facts.tells_session_info = True
    rig.facts.info = told(status=TradingStatus.VI_STATIC, designations=frozenset({Designation.WARNING}))

    assert rig.submit() == ""
    rig.facts.info = told(designations=frozenset({Designation.WARNING, Designation.CAUTION}))
    assert rig.submit() == "no_entry_designations: 005930 is marked CAUTION"


# -- orders of ours ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "is_sent"), [(49_900, True), (50_000, False), (50_100, False)])
def test_an_entry_does_not_meet_a_resting_exit_of_another_strategy(limit: int, is_sent: bool) -> None:
    rig = LimitsRig()
    rig.facts.open = [resting("s", strategy="other", side=SELL, limit=D(50_000), reduce_only=True)]

    said = rig.submit(limit=D(limit))

    assert said == ("" if is_sent else "self_trade: it would meet SELL 100 at 50,000 of other (order s)")
    assert rig.met == []


@pytest.mark.parametrize(("limit", "is_sent"), [(50_100, True), (50_000, False), (49_900, False)])
def test_the_entry_that_an_exit_would_meet_is_cancelled_first(limit: int, is_sent: bool) -> None:
    rig = LimitsRig()
    rig.facts.open = [resting("b", strategy="other", limit=D(50_000))]

    said = rig.leave(limit=D(limit))

    if is_sent:
        assert (said, rig.met) == ("", [])
    else:
        assert said == "self_trade: it would meet BUY 100 at 50,000 of other (order b), which is cancelled first"
        assert rig.met == [(("b",), "o1")]


@pytest.mark.parametrize(("after_s", "is_sent"), [(59, False), (60, True), (61, True)])
def test_an_exit_waits_a_minute_for_an_entry_that_does_not_end(after_s: int, is_sent: bool) -> None:
    """given an entry of unknown fate, which no cancel can end, when a minute has passed, then the exit leaves"""
    rig = LimitsRig()
    rig.facts.open = [resting("b", OrderState.UNKNOWN, limit=D(50_000))]
    assert rig.leave().startswith("self_trade")

    rig.clock.set_ns(rig.clock.time_ns() + after_s * S)

    assert (rig.leave() == "") is is_sent
    assert rig.submit(side=SELL, limit=D(49_000)).startswith("self_trade")  # what is no exit never does


def test_all_entries_that_an_exit_would_meet_are_cancelled() -> None:
    rig = LimitsRig()
    rig.facts.open = [
        resting("b1", limit=D(49_900)),
        resting("b2", limit=D(49_800)),
        resting("b3", limit=D(47_400)),
    ]

    rig.leave()

    assert rig.met == [(("b1", "b2"), "o1")]  # an order at the market is not expected below its collar, 47,500


@pytest.mark.parametrize(
    ("others", "is_sent"),
    [
        ([resting("s", side=SELL, limit=D(52_500))], False),
        ([resting("s", side=SELL, limit=D(52_600))], True),
    ],
)
def test_an_order_at_the_market_may_meet_what_lies_within_its_collar(others: list[Any], is_sent: bool) -> None:
    rig = LimitsRig(price_collar=D("0.05"))
    rig.facts.open = others

    assert (rig.submit(**MARKET) == "") is is_sent


def test_while_no_price_is_known_an_exit_may_meet_every_entry() -> None:
    rig = LimitsRig(exit_collar=D(1))
    rig.facts.last, rig.facts.open = None, [resting("b", limit=D(1))]

    assert rig.leave().startswith("self_trade")


@pytest.mark.parametrize(
    "other",
    [
        resting("s", OrderState.INTENT, side=SELL, limit=D(50_000)),  # has not left, and is asked itself
        resting("s", side=SELL, limit=None),  # takes from others at once
        resting("s", side=SELL, limit=D(50_000), time_in_force=TimeInForce.IOC),
        resting("s", side=SELL, limit=D(50_000), type=OrderType.STOP_LIMIT, stop_price=D(49_000)),
        resting("s", side=BUY, limit=D(50_000)),
        resting("s", side=SELL, limit=D(50_000), symbol="000660"),
        resting("o1", side=SELL, limit=D(50_000)),
    ],
)
def test_what_does_not_rest_on_the_other_side_is_not_met(other: Any) -> None:
    rig = LimitsRig()
    rig.facts.open = [other]

    assert rig.submit() == ""


@pytest.mark.parametrize("state", [OrderState.PENDING_NEW, OrderState.UNKNOWN, OrderState.PARTIAL])
def test_an_order_that_may_be_at_the_broker_may_be_met(state: OrderState) -> None:
    rig = LimitsRig()
    rig.facts.open = [resting("s", state, side=SELL, limit=D(50_000))]

    assert rig.submit().startswith("self_trade")


def test_orders_at_the_market_meet_each_other_in_an_auction() -> None:
    rig = LimitsRig()
    rig.facts.open = [resting("s", side=SELL, limit=None, strategy="other")]
    rig.facts.in_auction = True

    assert rig.submit() == "self_trade: it would meet SELL 100 at the market of other (order s)"


@pytest.mark.parametrize(("is_on", "is_sent"), [(False, True), (True, False)])
def test_at_the_simulated_exchange_orders_of_ours_never_meet_so_they_are_kept_apart_on_demand(
    is_on: bool, is_sent: bool
) -> None:
    rig = LimitsRig(self_trade_in_simulation=is_on)
    rig.facts.is_simulated, rig.facts.open = True, [resting("s", side=SELL, limit=D(50_000))]

    assert (rig.submit() == "") is is_sent


# -- all of them ---------------------------------------------------------------------------------------------------


def test_what_is_refused_is_counted_by_limit_and_the_last_is_shown_in_words() -> None:
    rig = LimitsRig(max_order_qty=D(1))

    rig.submit(qty=D(2))
    rig.submit(qty=D(1))
    rig.submit(limit=D(90_000))
    rig.submit(qty=D("3.50"))

    view = rig.limits.view()
    assert view.refused == {"max_order_qty": 2, "price_collar": 1}
    assert view.last == "order o4: limit max_order_qty: 3.5 shares or contracts, at most 1"


async def test_on_the_gateways_own_thread_a_refused_order_reaches_no_lane_and_is_answered_at_once(
    tmp_path: Path,
) -> None:
    broker, clock = ScriptedBroker(), ManualClock(from_ns(NOW))
    limits = OrderLimits(lambda: LimitsConfig(max_order_qty=D(1)), StatedFacts(), clock)
    async with on_thread(broker, tmp_path, clock=clock, limits=limits) as rig:
        ack = rig.gateway.submit(approved("o", qty=D(2))).ack

        assert ack is not None
        assert (ack.status, ack.reason) == (
            AckStatus.NOT_SENT,
            "not sent: limit max_order_qty: 2 shares or contracts, at most 1",
        )
        assert rig.gateway.in_flight == 0
        await asyncio.sleep(0)
        assert (broker.placed, list(rig.file.sent())) == ([], [])
