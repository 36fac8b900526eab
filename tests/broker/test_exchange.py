"""Time at the exchange: travel, cancels, the close; and the faults that can be injected."""

from __future__ import annotations

from datetime import date

import pytest

from qts.broker.contracts import NEVER_NS
from qts.broker.sim.config import RELOADABLE, SimConfig
from qts.clock import NS_PER_MS
from qts.errors import BrokerUnavailable, ConfigError, ContractError
from qts.execution.contracts import AckStatus, Fill, OrderCancelled, OrderRejected, VenueRef
from tests.broker.floor import BUY, COIN, INSTANT, SAMSUNG, SELL, SHARE, Floor, done, kst

SLOW = SimConfig(order_latency_ms=20, order_jitter_ms=0, cancel_latency_ms=20, cancel_jitter_ms=0)


def faulty(**settings: float) -> SimConfig:
    return SimConfig(order_latency_ms=0, order_jitter_ms=0, cancel_latency_ms=0, cancel_jitter_ms=0, **settings)  # type: ignore[arg-type]


# -- travel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ms", "filled"), [(19.999, []), (20, [("o", "1", "100")])])
def test_an_order_is_live_from_the_first_value_at_or_after_its_arrival(ms: float, filled: list[object]) -> None:
    floor = Floor(config=SLOW)
    floor.place("o", BUY, "1")
    floor.quote("99", "5", "100", "5", ms=ms)
    assert floor.filled == filled


def test_jitter_adds_between_nothing_and_its_limit_from_the_seed() -> None:
    config = SimConfig(order_latency_ms=20, order_jitter_ms=10)
    arrivals = []
    for seed in range(30):
        floor = Floor(config=config, seed=seed)
        start = floor.clock.time_ns()
        floor.place("o", BUY, "1")
        while not floor.fills:
            floor.quote("99", "5", "100", "5", ms=0.5)
        arrivals.append((floor.clock.time_ns() - start) / NS_PER_MS)
    assert 20 <= min(arrivals) < 22
    assert 28 < max(arrivals) <= 30.5
    assert len(set(arrivals)) > 5


def test_active_names_exactly_the_symbols_with_orders() -> None:
    floor = Floor(SHARE, COIN)
    floor.place("o", BUY, "1")
    floor.place("p", BUY, "1", "50")
    assert list(floor.exchange.active) == ["SHARE"]
    floor.quote("99", "5", "100", "5")
    assert list(floor.exchange.active) == ["SHARE"]
    floor.cancel("p")
    floor.exchange.on_time(floor.clock.time_ns())
    assert list(floor.exchange.active) == []


# -- cancels ------------------------------------------------------------------------------------------------


def test_a_cancel_takes_effect_after_its_own_travel() -> None:
    floor = Floor(config=SLOW)
    floor.place("o", BUY, "1", "50")
    floor.after(30)
    ack = floor.cancel("o")
    assert (ack.status, ack.ref) == (AckStatus.ACCEPTED, VenueRef(date(2024, 8, 8), "sim-o1", "sim"))
    assert floor.exchange.due_ns == floor.clock.time_ns() + 20 * NS_PER_MS
    floor.exchange.on_time(floor.after(19.999))
    assert floor.reports == []
    due = floor.exchange.due_ns
    floor.exchange.on_time(floor.after(0.001))
    assert floor.reports == [OrderCancelled("sim", "o", "SHARE", due, "cancelled on request")]
    assert floor.open == []
    assert floor.exchange.due_ns == NEVER_NS


def test_a_fill_may_win_the_race_against_a_cancel() -> None:
    floor = Floor(config=SLOW)
    floor.place("o", BUY, "2")
    floor.after(30)
    floor.cancel("o")
    floor.quote("99", "5", "100", "1", ms=19)
    floor.quote("99", "5", "100", "1", ms=1)  # the cancel is effective at this very moment: it goes first
    assert [type(report) for report in floor.reports] == [Fill, OrderCancelled]


def test_a_cancel_never_overtakes_its_order() -> None:
    floor = Floor(config=SimConfig(order_latency_ms=50, order_jitter_ms=0, cancel_latency_ms=1, cancel_jitter_ms=0))
    start = floor.clock.time_ns()
    floor.place("o", BUY, "2")
    floor.cancel("o")
    assert floor.exchange.due_ns == start + 50 * NS_PER_MS


def test_cancelling_twice_is_one_cancel() -> None:
    floor = Floor(config=SLOW)
    floor.place("o", BUY, "2")
    assert floor.cancel("o") == floor.cancel("o")
    floor.exchange.on_time(floor.after(100))
    assert len(floor.reports) == 1


def test_what_is_not_open_cannot_be_cancelled() -> None:
    floor = Floor()
    assert "no such order" in floor.cancel("o").reason
    floor.place("o", BUY, "1")
    floor.quote("99", "5", "100", "1")
    ack = floor.cancel("o")
    assert (ack.status, ack.ref) == (AckStatus.REJECTED, VenueRef(date(2024, 8, 8), "sim-o1", "sim"))
    assert "not open any more" in ack.reason


def test_a_value_of_another_symbol_lets_a_due_cancel_happen() -> None:
    floor = Floor(SHARE, COIN)
    floor.place("o", BUY, "1", "50")
    floor.place("c", BUY, "1", "50", symbol="COIN")
    floor.cancel("c")
    floor.quote("99", "5", "100", "1")
    assert [report.client_order_id for report in floor.reports] == ["c"]


# -- the close ----------------------------------------------------------------------------------------------


def test_day_orders_expire_at_the_close() -> None:
    floor = Floor(SAMSUNG, at=kst("2018-01-22 10:00:00"))
    floor.place("o", BUY, "1", "50000")
    floor.at(kst("2018-01-22 15:30:00"))
    now = floor.clock.time_ns()
    floor.exchange.on_session_end(date(2018, 1, 22), now)
    assert floor.reports == [OrderCancelled("sim", "o", "005930", now, "expired at the close")]


def test_orders_entered_for_the_next_opening_survive_a_close_told_late() -> None:
    floor = Floor(SAMSUNG, at=kst("2018-01-23 08:40:00"))
    floor.place("o", BUY, "1", "50000")
    floor.exchange.on_session_end(date(2018, 1, 22), floor.clock.time_ns())
    assert floor.open == ["o"]
    floor.at(kst("2018-01-23 15:30:00"))
    floor.exchange.on_session_end(date(2018, 1, 23), floor.clock.time_ns())
    assert floor.open == []


def test_a_market_that_never_closes_has_no_day_orders() -> None:
    floor = Floor()
    floor.place("o", BUY, "1", "50")
    floor.exchange.on_session_end(floor.now.date(), floor.clock.time_ns())
    assert floor.open == ["o"]


def test_fills_are_kept_for_the_session_day() -> None:
    floor = Floor(SAMSUNG, at=kst("2018-01-22 10:00:00"))
    for day in (22, 23):
        floor.at(kst(f"2018-01-{day} 11:00:00"))
        floor.place(f"o{day}", BUY, "1")
        floor.quote("49950", "5", "50000", "5")
        floor.exchange.on_session_end(date(2018, 1, day), floor.clock.time_ns())
    assert [fill.client_order_id for fill in done(floor.exchange.fills_since(0))] == ["o23"]


def test_fills_since_includes_its_moment_and_is_bounded() -> None:
    floor = Floor(config=faulty(kept_fills=2))
    for key in "abc":
        floor.place(key, BUY, "1")
        floor.quote("99", "5", "100", "5")
    b, c = floor.fills[1:]
    assert done(floor.exchange.fills_since(0)) == [b, c]
    assert done(floor.exchange.fills_since(c.ts_ns)) == [c]
    assert done(floor.exchange.fills_since(c.ts_ns + 1)) == []


def test_executions_are_numbered_from_one() -> None:
    floor = Floor()
    floor.place("o", BUY, "9")
    for _ in range(3):
        floor.quote("99", "5", "100", "3")
    assert [fill.execution_id for fill in floor.fills] == ["sim-1", "sim-2", "sim-3"]


# -- faults -------------------------------------------------------------------------------------------------


def test_an_injected_rejection_is_known_at_once() -> None:
    floor = Floor(config=faulty(reject_probability=1))
    assert floor.place("o", BUY, "1").status is AckStatus.REJECTED
    assert floor.open == []


def test_an_injected_late_rejection_comes_on_arrival() -> None:
    floor = Floor(config=faulty(late_reject_probability=1))
    assert floor.place("o", BUY, "1").status is AckStatus.ACCEPTED
    floor.quote("99", "5", "100", "5")
    assert [type(report) for report in floor.reports] == [OrderRejected]
    assert floor.positions == {}


def test_a_duplicate_notice_is_the_same_execution() -> None:
    floor = Floor(config=faulty(duplicate_fill_probability=1))
    floor.place("o", BUY, "1")
    floor.quote("99", "5", "100", "5")
    assert len(floor.fills) == 2
    assert floor.fills[0] == floor.fills[1]
    assert floor.positions == {"SHARE": 1}


def test_a_lost_answer_leaves_an_order_that_lives() -> None:
    floor = Floor(config=faulty(lost_answer_probability=1))
    assert floor.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert floor.open == ["o"]
    assert floor.place("o", BUY, "1").status is AckStatus.ACCEPTED  # the exchange knows its first answer
    floor.quote("99", "5", "100", "5")
    assert floor.filled == [("o", "1", "100")]


def test_a_lost_order_is_never_known() -> None:
    floor = Floor(config=faulty(lost_order_probability=1))
    assert floor.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert floor.open == []


def test_while_the_line_is_down_nothing_is_answered_or_told_and_nothing_is_lost() -> None:
    floor = Floor(config=faulty(disconnect_ms=100))
    floor.place("o", BUY, "1")
    floor.exchange.disconnect(floor.clock.time_ns(), "cable")
    assert [down.reason for down in floor.disconnects] == ["cable"]
    assert floor.place("p", BUY, "1").status is AckStatus.UNKNOWN
    assert floor.cancel("o").status is AckStatus.UNKNOWN
    for query in (floor.exchange.orders(), floor.exchange.positions(), floor.exchange.fills_since(0)):
        with pytest.raises(BrokerUnavailable, match="not connected"):
            done(query)
    floor.quote("99", "5", "100", "5")
    assert floor.reports == []
    floor.exchange.on_time(floor.after(98.999))
    assert floor.reports == []
    floor.exchange.on_time(floor.after(0.001))
    assert floor.filled == [("o", "1", "100")]
    assert floor.open == []
    assert floor.place("p", BUY, "1").status is AckStatus.ACCEPTED  # it had never come in


def test_an_injected_disconnect_leaves_the_order_in_doubt_and_alive() -> None:
    floor = Floor(config=faulty(disconnect_probability=1, disconnect_ms=10))
    assert floor.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert len(floor.disconnects) == 1
    floor.exchange.on_time(floor.after(10))
    assert floor.open == ["o"]


def test_reports_are_published_after_the_books_are_consistent() -> None:
    floor = Floor()
    seen: list[tuple[list[str], object]] = []
    floor.exchange._publish = lambda report: seen.append((floor.open, floor.positions.get("SHARE")))  # type: ignore[assignment]
    floor.place("o", BUY, "1")
    floor.quote("99", "5", "100", "5")
    assert seen == [([], 1)]


def test_an_order_placed_from_within_a_report_waits_for_the_next_value() -> None:
    floor = Floor()

    def sell_again(report: object) -> None:
        floor.reports.append(report)  # type: ignore[arg-type]
        if isinstance(report, Fill) and report.side is BUY:
            floor.place("exit", SELL, "1")

    floor.exchange._publish = sell_again  # type: ignore[assignment]
    floor.place("entry", BUY, "1")
    floor.quote("99", "5", "100", "5")
    assert len(floor.fills) == 1
    floor.quote("98", "5", "100", "5")
    assert floor.filled == [("entry", "1", "100"), ("exit", "1", "98")]


# -- settings -----------------------------------------------------------------------------------------------


def test_contradicting_settings_are_refused() -> None:
    config = SimConfig(reject_probability=0.6, lost_order_probability=0.3, lost_answer_probability=0.2)
    assert [field for field, _ in config.problems()] == ["reject_probability"]
    with pytest.raises(ConfigError, match="at most 1"):
        Floor(config=config)


def test_the_quiet_defaults() -> None:
    config = SimConfig()
    assert config.problems() == []
    assert frozenset() == RELOADABLE
    assert (config.snapshot_participation, config.trade_participation) == (0.10, 0.10)
    assert (config.reject_probability, config.duplicate_fill_probability) == (0.0, 0.0)
    assert INSTANT.order_latency_ms == 0


def test_a_state_with_a_symbol_it_does_not_know_is_refused() -> None:
    floor = Floor()
    floor.place("o", BUY, "1")
    state = floor.exchange.export_state()
    with pytest.raises(ContractError, match="no instrument 'SHARE'"):
        Floor(COIN).exchange.import_state(state)


def test_values_of_unknown_symbols_and_levels_are_passed_over() -> None:
    floor = Floor(COIN)
    floor.symbol = "NOPE"
    floor.book({"1": "1"}, {"2": "1"}, snapshot=True)
    floor.bar("1", "1", "2024-08-08")
    assert floor.reports == []
