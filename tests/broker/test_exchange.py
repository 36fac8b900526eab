"""Time at the exchange: travel, cancels, the close; and the faults that can be injected."""

from __future__ import annotations

from datetime import date

import pytest

from qts.broker.sim.config import RELOADABLE, SimConfig
from qts.clock import NEVER_NS, NS_PER_MS
from qts.errors import BrokerUnavailable, ConfigError, ContractError
from qts.execution.contracts import AckStatus, Fill, OrderCancelled, OrderRejected, VenueRef
from tests.broker.exchange_rig import BUY, COIN, INSTANT, SAMSUNG, SELL, SHARE, ExchangeRig, done, kst

SLOW = SimConfig(order_latency_ms=20, order_jitter_ms=0, cancel_latency_ms=20, cancel_jitter_ms=0)


def faulty(**settings: float) -> SimConfig:
    return SimConfig(order_latency_ms=0, order_jitter_ms=0, cancel_latency_ms=0, cancel_jitter_ms=0, **settings)  # type: ignore[arg-type]


# -- travel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ms", "filled"), [(19.999, []), (20, [("o", "1", "100")])])
def test_an_order_is_live_from_the_first_value_at_or_after_its_arrival(ms: float, filled: list[object]) -> None:
    rig = ExchangeRig(config=SLOW)
    rig.place("o", BUY, "1")
    rig.quote("99", "5", "100", "5", ms=ms)
    assert rig.filled == filled


def test_jitter_adds_between_nothing_and_its_limit_from_the_seed() -> None:
    config = SimConfig(order_latency_ms=20, order_jitter_ms=10)
    arrivals = []
    for seed in range(30):
        rig = ExchangeRig(config=config, seed=seed)
        start = rig.clock.time_ns()
        rig.place("o", BUY, "1")
        while not rig.fills:
            rig.quote("99", "5", "100", "5", ms=0.5)
        arrivals.append((rig.clock.time_ns() - start) / NS_PER_MS)
    assert 20 <= min(arrivals) < 22
    assert 28 < max(arrivals) <= 30.5
    assert len(set(arrivals)) > 5


def test_active_names_exactly_the_symbols_with_orders() -> None:
    rig = ExchangeRig(SHARE, COIN)
    rig.place("o", BUY, "1")
    rig.place("p", BUY, "1", "50")
    assert list(rig.exchange.active) == ["SHARE"]
    rig.quote("99", "5", "100", "5")
    assert list(rig.exchange.active) == ["SHARE"]
    rig.cancel("p")
    rig.exchange.on_time(rig.clock.time_ns())
    assert list(rig.exchange.active) == []


# -- cancels ------------------------------------------------------------------------------------------------


def test_a_cancel_takes_effect_after_its_own_travel() -> None:
    rig = ExchangeRig(config=SLOW)
    rig.place("o", BUY, "1", "50")
    rig.after(30)
    ack = rig.cancel("o")
    assert (ack.status, ack.ref) == (AckStatus.ACCEPTED, VenueRef(date(2024, 8, 8), "sim-o1", "sim"))
    assert rig.exchange.due_ns == rig.clock.time_ns() + 20 * NS_PER_MS
    rig.exchange.on_time(rig.after(19.999))
    assert rig.reports == []
    due = rig.exchange.due_ns
    rig.exchange.on_time(rig.after(0.001))
    assert rig.reports == [OrderCancelled("sim", "o", "SHARE", due, "cancelled on request")]
    assert rig.open == []
    assert rig.exchange.due_ns == NEVER_NS


def test_a_fill_may_win_the_race_against_a_cancel() -> None:
    rig = ExchangeRig(config=SLOW)
    rig.place("o", BUY, "2")
    rig.after(30)
    rig.cancel("o")
    rig.quote("99", "5", "100", "1", ms=19)
    rig.quote("99", "5", "100", "1", ms=1)  # the cancel is effective at this very moment: it goes first
    assert [type(report) for report in rig.reports] == [Fill, OrderCancelled]


def test_a_cancel_never_overtakes_its_order() -> None:
    rig = ExchangeRig(
        config=SimConfig(order_latency_ms=50, order_jitter_ms=0, cancel_latency_ms=1, cancel_jitter_ms=0)
    )
    start = rig.clock.time_ns()
    rig.place("o", BUY, "2")
    rig.cancel("o")
    assert rig.exchange.due_ns == start + 50 * NS_PER_MS


def test_cancelling_twice_is_one_cancel() -> None:
    rig = ExchangeRig(config=SLOW)
    rig.place("o", BUY, "2")
    assert rig.cancel("o") == rig.cancel("o")
    rig.exchange.on_time(rig.after(100))
    assert len(rig.reports) == 1


def test_what_is_not_open_cannot_be_cancelled() -> None:
    rig = ExchangeRig()
    assert "no such order" in rig.cancel("o").reason
    rig.place("o", BUY, "1")
    rig.quote("99", "5", "100", "1")
    ack = rig.cancel("o")
    assert (ack.status, ack.ref) == (AckStatus.REJECTED, VenueRef(date(2024, 8, 8), "sim-o1", "sim"))
    assert "not open any more" in ack.reason


def test_a_value_of_another_symbol_lets_a_due_cancel_happen() -> None:
    rig = ExchangeRig(SHARE, COIN)
    rig.place("o", BUY, "1", "50")
    rig.place("c", BUY, "1", "50", symbol="COIN")
    rig.cancel("c")
    rig.quote("99", "5", "100", "1")
    assert [report.client_order_id for report in rig.reports] == ["c"]


# -- the close ----------------------------------------------------------------------------------------------


def test_day_orders_expire_at_the_close() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 10:00:00"))
    rig.place("o", BUY, "1", "50000")
    rig.at(kst("2018-01-22 15:30:00"))
    now = rig.clock.time_ns()
    rig.exchange.on_session_end(date(2018, 1, 22), now)
    assert rig.reports == [OrderCancelled("sim", "o", "005930", now, "expired at the close", expired=True)]


def test_orders_entered_for_the_next_opening_survive_a_close_told_late() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-23 08:40:00"))
    rig.place("o", BUY, "1", "50000")
    rig.exchange.on_session_end(date(2018, 1, 22), rig.clock.time_ns())
    assert rig.open == ["o"]
    rig.at(kst("2018-01-23 15:30:00"))
    rig.exchange.on_session_end(date(2018, 1, 23), rig.clock.time_ns())
    assert rig.open == []


def test_a_market_that_never_closes_has_no_day_orders() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "1", "50")
    rig.exchange.on_session_end(rig.now.date(), rig.clock.time_ns())
    assert rig.open == ["o"]


def test_fills_are_kept_for_the_session_day() -> None:
    rig = ExchangeRig(SAMSUNG, at=kst("2018-01-22 10:00:00"))
    for day in (22, 23):
        rig.at(kst(f"2018-01-{day} 11:00:00"))
        rig.place(f"o{day}", BUY, "1")
        rig.quote("49950", "5", "50000", "5")
        rig.exchange.on_session_end(date(2018, 1, day), rig.clock.time_ns())
    assert [fill.client_order_id for fill in done(rig.exchange.fills_since(0))] == ["o23"]


def test_fills_since_includes_its_moment_and_is_bounded() -> None:
    rig = ExchangeRig(config=faulty(kept_fills=2))
    for key in "abc":
        rig.place(key, BUY, "1")
        rig.quote("99", "5", "100", "5")
    b, c = rig.fills[1:]
    assert done(rig.exchange.fills_since(0)) == [b, c]
    assert done(rig.exchange.fills_since(c.ts_ns)) == [c]
    assert done(rig.exchange.fills_since(c.ts_ns + 1)) == []


def test_executions_are_numbered_from_one() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "9")
    for _ in range(3):
        rig.quote("99", "5", "100", "3")
    assert [fill.execution_id for fill in rig.fills] == ["sim-1", "sim-2", "sim-3"]


# -- faults -------------------------------------------------------------------------------------------------


def test_an_injected_rejection_is_known_at_once() -> None:
    rig = ExchangeRig(config=faulty(reject_probability=1))
    assert rig.place("o", BUY, "1").status is AckStatus.REJECTED
    assert rig.open == []


def test_an_injected_late_rejection_comes_on_arrival() -> None:
    rig = ExchangeRig(config=faulty(late_reject_probability=1))
    assert rig.place("o", BUY, "1").status is AckStatus.ACCEPTED
    rig.quote("99", "5", "100", "5")
    assert [type(report) for report in rig.reports] == [OrderRejected]
    assert rig.positions == {}


def test_a_duplicate_notice_is_the_same_execution() -> None:
    rig = ExchangeRig(config=faulty(duplicate_fill_probability=1))
    rig.place("o", BUY, "1")
    rig.quote("99", "5", "100", "5")
    assert len(rig.fills) == 2
    assert rig.fills[0] == rig.fills[1]
    assert rig.positions == {"SHARE": 1}


def test_a_lost_answer_leaves_an_order_that_lives() -> None:
    rig = ExchangeRig(config=faulty(lost_answer_probability=1))
    assert rig.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert rig.open == ["o"]
    assert rig.place("o", BUY, "1").status is AckStatus.ACCEPTED  # the exchange knows its first answer
    rig.quote("99", "5", "100", "5")
    assert rig.filled == [("o", "1", "100")]


def test_a_lost_order_is_never_known() -> None:
    rig = ExchangeRig(config=faulty(lost_order_probability=1))
    assert rig.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert rig.open == []


def test_while_the_line_is_down_nothing_is_answered_or_told_and_nothing_is_lost() -> None:
    rig = ExchangeRig(config=faulty(disconnect_ms=100))
    rig.place("o", BUY, "1")
    rig.exchange.disconnect(rig.clock.time_ns(), "cable")
    assert [down.reason for down in rig.disconnects] == ["cable"]
    assert rig.place("p", BUY, "1").status is AckStatus.UNKNOWN
    assert rig.cancel("o").status is AckStatus.UNKNOWN
    for query in (rig.exchange.orders(), rig.exchange.positions(), rig.exchange.fills_since(0)):
        with pytest.raises(BrokerUnavailable, match="not connected"):
            done(query)
    rig.quote("99", "5", "100", "5")
    assert rig.reports == []
    rig.exchange.on_time(rig.after(98.999))
    assert rig.reports == []
    rig.exchange.on_time(rig.after(0.001))
    assert rig.filled == [("o", "1", "100")]
    assert rig.open == []
    assert rig.place("p", BUY, "1").status is AckStatus.ACCEPTED  # it had never come in


def test_an_injected_disconnect_leaves_the_order_in_doubt_and_alive() -> None:
    rig = ExchangeRig(config=faulty(disconnect_probability=1, disconnect_ms=10))
    assert rig.place("o", BUY, "1").status is AckStatus.UNKNOWN
    assert len(rig.disconnects) == 1
    rig.exchange.on_time(rig.after(10))
    assert rig.open == ["o"]


def test_reports_are_published_after_the_books_are_consistent() -> None:
    rig = ExchangeRig()
    seen: list[tuple[list[str], object]] = []
    rig.exchange._publish = lambda report: seen.append((rig.open, rig.positions.get("SHARE")))  # type: ignore[assignment]
    rig.place("o", BUY, "1")
    rig.quote("99", "5", "100", "5")
    assert seen == [([], 1)]


def test_an_order_placed_from_within_a_report_waits_for_the_next_value() -> None:
    rig = ExchangeRig()

    def sell_again(report: object) -> None:
        rig.reports.append(report)  # type: ignore[arg-type]
        if isinstance(report, Fill) and report.side is BUY:
            rig.place("exit", SELL, "1")

    rig.exchange._publish = sell_again  # type: ignore[assignment]
    rig.place("entry", BUY, "1")
    rig.quote("99", "5", "100", "5")
    assert len(rig.fills) == 1
    rig.quote("98", "5", "100", "5")
    assert rig.filled == [("entry", "1", "100"), ("exit", "1", "98")]


# -- settings -----------------------------------------------------------------------------------------------


def test_contradicting_settings_are_refused() -> None:
    config = SimConfig(reject_probability=0.6, lost_order_probability=0.3, lost_answer_probability=0.2)
    assert [field for field, _ in config.problems()] == ["reject_probability"]
    with pytest.raises(ConfigError, match="at most 1"):
        ExchangeRig(config=config)


def test_the_quiet_defaults() -> None:
    config = SimConfig()
    assert config.problems() == []
    assert frozenset() == RELOADABLE
    assert (config.snapshot_participation, config.trade_participation) == (0.10, 0.10)
    assert (config.reject_probability, config.duplicate_fill_probability) == (0.0, 0.0)
    assert INSTANT.order_latency_ms == 0


def test_a_state_with_a_symbol_it_does_not_know_is_refused() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "1")
    state = rig.exchange.export_state()
    with pytest.raises(ContractError, match="no instrument 'SHARE'"):
        ExchangeRig(COIN).exchange.import_state(state)


def test_values_of_unknown_symbols_and_levels_are_passed_over() -> None:
    rig = ExchangeRig(COIN)
    rig.symbol = "NOPE"
    rig.book({"1": "1"}, {"2": "1"}, snapshot=True)
    rig.bar("1", "1", "2024-08-08")
    assert rig.reports == []
