"""Every broker there is keeps the contract of brokers."""

from __future__ import annotations

import msgspec
import pytest

from qts.broker.contracts import MarketDriven, NotSimulated
from qts.risk.contracts import Approved, OrderType
from qts.strategy.contracts import Side
from tests.broker.exchange_rig import ExchangeRig
from tests.broker.scripted import ScriptedBroker
from tests.conformance.broker import BrokerBench, BrokerTests

PRICE = 100


def of_kind(approved: Approved, kind: str) -> Approved:
    if not kind:
        return approved
    request = msgspec.structs.replace(approved.request, type=OrderType(kind))
    return msgspec.structs.replace(approved, request=request)


class SimulatedBench(BrokerBench):
    """The exchange on a rig where just as much is offered as is to be executed."""

    def __init__(self) -> None:
        self.rig = ExchangeRig()
        self.broker = self.rig.exchange
        self.reports = self.rig.reports

    def approved(self, key: str, side: Side, qty: int, *, kind: str = "") -> Approved:
        return of_kind(self.rig.approved(key, side, str(qty)), kind)

    def fills(self, key: str, qty: int) -> None:
        self.rig.quote(bid=str(PRICE), bid_size=str(qty), ask=str(PRICE + 1), ask_size=str(qty))

    def lets_time_pass(self) -> None:
        self.rig.exchange.on_time(self.rig.after(1_000))

    def cuts_the_line(self) -> None:
        self.rig.exchange.disconnect(self.rig.clock.time_ns(), "cable")


class TestSimulatedExchange(BrokerTests):
    @pytest.fixture
    def bench(self) -> BrokerBench:
        return SimulatedBench()


class ScriptedBench(BrokerBench):
    """The broker of the tests, which has no market."""

    def __init__(self) -> None:
        self.reports = []
        self.broker = self.scripted = ScriptedBroker(self.reports.append)  # type: ignore[arg-type]
        self.rig = ExchangeRig()

    def approved(self, key: str, side: Side, qty: int, *, kind: str = "") -> Approved:
        return of_kind(self.rig.approved(key, side, str(qty)), kind)

    def fills(self, key: str, qty: int) -> None:
        self.scripted.fill(key, qty, PRICE, self.rig.after(1))

    def lets_time_pass(self) -> None:
        for key in self.scripted.cancels:
            self.scripted.end(key, self.rig.after(1))

    def cuts_the_line(self) -> None:
        self.scripted.is_up = False


class TestScriptedBroker(BrokerTests):
    @pytest.fixture
    def bench(self) -> BrokerBench:
        return ScriptedBench()


def test_what_stands_beside_a_real_broker_wants_nothing_and_keeps_nothing() -> None:
    nothing: MarketDriven = NotSimulated()

    assert not nothing.is_simulated
    assert not nothing.active
    assert nothing.export_state() == {}
    assert not nothing.will_publish_again("sim", object())  # what happened at a real broker has happened
