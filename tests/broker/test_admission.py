"""What the exchange takes in, what it refuses and why; costs by date."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal

import pytest

from qts.broker.contracts import Broker
from qts.broker.sim.config import SimConfig
from qts.errors import ContractError
from qts.execution.contracts import AckStatus, OrderRejected
from tests.broker.exchange_rig import BUY, COIN, INSTANT, NOON, SAMSUNG, SELL, ExchangeRig, kst

MORNING = kst("2018-01-22 10:00:00")


def samsung(at: str = "2018-01-22 10:00:00") -> ExchangeRig:
    return ExchangeRig(SAMSUNG, at=kst(at))


def test_the_exchange_is_a_broker() -> None:
    broker: Broker = ExchangeRig().exchange
    assert broker.name == "sim"


async def test_its_coroutines_work_under_an_event_loop_too() -> None:
    rig = ExchangeRig()
    ack = await asyncio.wait_for(rig.exchange.place(rig.approved("o", BUY, "1")), 1)
    assert ack.status is AckStatus.ACCEPTED
    assert [order.client_order_id for order in await rig.exchange.orders()] == ["o"]


def test_it_takes_only_what_risk_approved() -> None:
    rig = ExchangeRig()
    with pytest.raises(ContractError, match="Approved"):
        rig.exchange.place(rig.approved("o", BUY, "1").request).send(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("qty", "reason"),
    [("0", "multiple of the lot"), ("-1", "multiple"), ("1.05", "multiple"), ("NaN", "multiple"), ("1.1", "")],
)
def test_quantity_must_be_a_positive_multiple_of_the_lot(qty: str, reason: str) -> None:
    ack = ExchangeRig(COIN).place("o", BUY, qty)
    assert (ack.status is AckStatus.REJECTED) == bool(reason)
    assert reason in ack.reason


@pytest.mark.parametrize(
    ("limit", "accepted"),
    [
        ("50000", True),
        ("50050", False),
        ("49950", True),
        ("49975", False),
        ("NaN", False),
        ("0", False),
        ("-50", False),
    ],
)
def test_a_limit_must_lie_on_the_grid_of_its_day(limit: str, accepted: bool) -> None:
    # before 2023-01-25 KOSPI: 50 won below 50,000, 100 won from there to 100,000
    assert (samsung().place("o", BUY, "1", limit).status is AckStatus.ACCEPTED) is accepted


@pytest.mark.parametrize(
    ("limit", "accepted"), [("34950", False), ("35000", True), ("65000", True), ("65100", False)]
)
def test_a_limit_must_lie_in_the_daily_band_around_the_previous_close(limit: str, accepted: bool) -> None:
    # 50,000 +- 30 % = 35,000 .. 65,000
    rig = samsung("2018-01-19 15:30:00")
    rig.bar("50000", "1", "2018-01-19")
    rig.at(MORNING)
    assert (rig.place("o", BUY, "1", limit).status is AckStatus.ACCEPTED) is accepted


def test_the_base_is_the_last_price_of_an_earlier_day_where_no_bar_told_it() -> None:
    rig = samsung("2018-01-19 15:29:00")
    rig.row("50000", "100")
    rig.at(MORNING)
    assert "35000..65000" in rig.place("early", BUY, "1", "65100").reason


def test_the_base_survives_the_prices_of_today() -> None:
    rig = samsung("2018-01-19 15:29:00")
    rig.trade("50000", "100")
    rig.exchange.on_session_end(date(2018, 1, 19), rig.clock.time_ns())
    rig.at(MORNING)
    rig.trade("60000", "100")
    assert "35000..65000" in rig.place("o", BUY, "1", "65100").reason


def test_a_close_known_today_is_not_todays_base() -> None:
    rig = samsung("2018-01-19 15:30:00")
    rig.bar("50000", "1", "2018-01-19")
    rig.at(MORNING)
    rig.bar("60000", "1", "2018-01-22")
    assert "around 50000" in rig.place("o", BUY, "1", "65100").reason


def test_without_a_base_the_band_is_not_checked() -> None:
    assert samsung().place("o", BUY, "1", "900000").status is AckStatus.ACCEPTED


@pytest.mark.parametrize(
    ("moment", "accepted"),
    [
        ("2018-01-22 08:29:59", False),
        ("2018-01-22 08:30:00", True),
        ("2018-01-22 15:30:00", True),  # the close itself belongs to the closing auction
        ("2018-01-22 15:30:00.000001", False),
        ("2018-01-20 10:00:00", False),
    ],
)
def test_orders_are_taken_from_order_entry_to_the_close(moment: str, accepted: bool) -> None:
    ack = samsung(moment).place("o", BUY, "1")
    assert (ack.status is AckStatus.ACCEPTED) is accepted
    assert ("CLOSED" in ack.reason) is not accepted


def test_unknown_symbols_are_refused() -> None:
    assert "unknown symbol 5930" in ExchangeRig().place("o", BUY, "1", symbol="5930").reason


def test_nothing_is_sold_that_is_not_held() -> None:
    assert "holding 0" in ExchangeRig().place("o", SELL, "1").reason


def test_what_another_sell_offers_cannot_be_sold_again() -> None:
    rig = ExchangeRig()
    rig.hold("10")
    assert rig.place("a", SELL, "6").status is AckStatus.ACCEPTED
    assert "6 already offered" in rig.place("b", SELL, "5").reason
    assert rig.place("c", SELL, "4").status is AckStatus.ACCEPTED


def test_the_same_order_id_gets_its_first_answer_and_no_second_order() -> None:
    rig = ExchangeRig()
    first = rig.place("o", BUY, "5")
    again = rig.place("o", BUY, "5")
    other_approval = rig.place("o", BUY, "7", approval="another")
    assert first == again == other_approval
    rig.quote("99", "50", "100", "50")
    assert rig.filled == [("o", "5", "100")]
    assert rig.place("o", BUY, "5") == first  # also after it is gone
    assert rig.open == []


def test_a_refused_order_id_stays_refused() -> None:
    rig = ExchangeRig()
    first = rig.place("o", SELL, "5")
    rig.hold("5")
    assert rig.place("o", SELL, "5") == first


def test_an_approval_is_used_once() -> None:
    rig = ExchangeRig()
    rig.place("o", BUY, "1", approval="a")
    ack = rig.place("p", BUY, "1", approval="a")
    assert ack.status is AckStatus.REJECTED
    assert "already used for order o" in ack.reason


@pytest.mark.parametrize(("late_ms", "accepted"), [(0, True), (0.001, False)])
def test_an_approval_expires(late_ms: float, accepted: bool) -> None:
    rig = ExchangeRig()
    approved = rig.approved("o", BUY, "1", lives_ms=100)
    rig.after(100 + late_ms)
    with pytest.raises(StopIteration) as end:
        rig.exchange.place(approved).send(None)
    assert (end.value.value.status is AckStatus.ACCEPTED) is accepted


def test_open_orders_are_limited() -> None:
    rig = ExchangeRig(config=SimConfig(max_open_orders=2))
    assert [rig.place(key, BUY, "1").status for key in "abc"][1:] == [AckStatus.ACCEPTED, AckStatus.REJECTED]


def test_answers_are_forgotten_only_when_closed_expired_and_too_many() -> None:
    rig = ExchangeRig(config=SimConfig(kept_orders=2, order_latency_ms=0, order_jitter_ms=0))
    first = rig.place("open", BUY, "1", "1")
    refused = rig.place("refused", SELL, "1", lives_ms=1)
    rig.after(5)
    for key in "abc":
        rig.place(key, SELL, "1", lives_ms=1)
        rig.after(5)
    assert rig.place("open", BUY, "1", "1") == first
    assert rig.place("refused", BUY, "1") != refused  # long closed, approval long expired: forgotten


# -- costs --------------------------------------------------------------------------------------------------


def test_a_sale_of_2018_costs_fee_and_tax_of_its_date() -> None:
    # 100 x 50,000 = 5,000,000: fee 0.015 % = 750, tax 0.30 % = 15,000
    rig = samsung()
    rig.place("b", BUY, "100")
    rig.quote("49950", "100", "50000", "100")
    rig.place("s", SELL, "100")
    rig.quote("50000", "100", "50100", "100")
    bought, sold = rig.fills
    assert (bought.fee, bought.tax) == (Decimal(750), Decimal(0))
    assert (sold.fee, sold.tax) == (Decimal(750), Decimal(15_000))


@pytest.mark.parametrize(
    ("day", "tax"),
    [
        ("2019-05-29", "15000"),  # 0.30 %: paid on the 31st
        ("2019-05-30", "12500"),  # 0.25 %: paid on 3 June
        ("2019-06-03", "12500"),  # 0.25 %
        ("2021-01-04", "11500"),  # 0.23 %
        ("2023-01-03", "10000"),  # 0.20 %
        ("2024-01-03", "9000"),  # 0.18 %
        ("2025-01-03", "7500"),  # 0.15 %
        ("2026-01-05", "10000"),  # 0.20 %
    ],
)
def test_the_sell_tax_follows_the_date(day: str, tax: str) -> None:
    rig = samsung(f"{day} 11:00:00")
    rig.place("b", BUY, "100")
    rig.quote("49950", "100", "50000", "100")
    rig.place("s", SELL, "100")
    rig.quote("50000", "100", "50100", "100")
    assert rig.fills[1].tax == Decimal(tax)


def test_costs_are_cut_to_the_quantum_of_the_currency() -> None:
    # 0.1 x 100.5 = 10.05 USDT; 0.05 % = 0.005025 -> 0.00; 1.0 x 100.5: 0.05025 -> 0.05
    rig = ExchangeRig(COIN, at=NOON, config=INSTANT)
    rig.place("small", BUY, "0.1")
    rig.place("large", BUY, "1.0")
    rig.quote("100", "9", "100.5", "9")
    assert [fill.fee for fill in rig.fills] == [Decimal("0.00"), Decimal("0.05")]


def test_a_sell_whose_holding_vanished_before_it_arrived_is_rejected_on_arrival() -> None:
    # the exchange's book is its own: a state with a smaller holding stands for a correction by the exchange
    rig = ExchangeRig()
    rig.hold("10")
    rig.place("o", SELL, "10")
    state = rig.exchange.export_state()
    state["positions"] = [["SHARE", "9"]]
    rig.exchange.import_state(state)
    rig.quote("99", "50", "100", "50")
    assert [type(report) for report in rig.reports] == [OrderRejected]
    assert "holding" in rig.reports[0].reason  # type: ignore[union-attr]
    assert rig.open == []
