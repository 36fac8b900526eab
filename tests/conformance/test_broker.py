"""Every broker there is keeps the contract of brokers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Capabilities, MarketDriven, NotSimulated
from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus, Fill
from qts.ledger.contracts import Charges
from qts.risk.contracts import Approved
from qts.strategy.contracts import Side
from tests.broker.exchange_rig import INSTANT, ExchangeRig
from tests.broker.scripted import DAY, NAMED, ScriptedBroker
from tests.conformance.broker import BrokerTests
from tests.conformance.broker_world import BrokerWorld, Held

PRICE = 100
LAG_NS = 10 * NS_PER_S
NUMBERED = replace(NAMED, client_order_ids=False, execution_ids=False, replaces=True, requests_per_s=1)
"""As a broker has it that names its own numbers alone, and a quantity in all."""


def with_terms(approved: Approved, terms: Mapping[str, Any]) -> Approved:
    return replace(approved, request=replace(approved.request, **terms)) if terms else approved


class SimulatedWorld(BrokerWorld):
    """The exchange on a rig where just as much is offered as is to be executed."""

    def __init__(self) -> None:
        self._is_rejecting = False
        self._begin()

    def _begin(self, **faults: float) -> None:
        self.rig = ExchangeRig(config=replace(INSTANT, cancel_latency_ms=500, **faults))
        self.broker, self.reports = self.rig.exchange, self.rig.reports

    def approved(self, key: str, side: Side, qty: int, **terms: Any) -> Approved:
        return with_terms(self.rig.approved(key, side, str(qty)), terms)

    def executes(self, key: str, qty: int) -> None:
        self.rig.quote(bid=str(PRICE), bid_size=str(qty), ask=str(PRICE + 1), ask_size=str(qty))

    def lets_time_pass(self) -> None:
        if self._is_rejecting:
            self.executes("", 1)  # it is rejected where it would be executed
        self.rig.exchange.on_time(self.rig.after(1_000))

    def cuts_the_line(self) -> None:
        self.rig.exchange.disconnect(self.rig.clock.time_ns(), "cable")

    def repairs_the_line(self) -> None:
        self.lets_time_pass()

    def holds(self) -> Mapping[str, Held]:
        orders = self.rig.exchange._open.items()  # its list needs a line
        return {key: Held(one.qty, one.qty - one.remaining, is_open=True) for key, one in orders}

    def restarts(self) -> None:
        saved, before = self.rig.exchange.export_state(), self.rig
        self._begin()
        self.rig.clock.set_ns(before.clock.time_ns())
        self.rig.exchange.import_state(saved)
        self.reports.extend(before.reports)

    def loses_the_next_answer(self) -> None:
        self._begin(lost_answer_probability=1.0)

    def loses_the_next_order(self) -> None:
        self._begin(lost_order_probability=1.0)

    def refuses_the_next_order(self) -> None:
        self._begin(reject_probability=1.0)

    def rejects_the_next_order_later(self) -> None:
        self._begin(late_reject_probability=1.0)
        self._is_rejecting = True

    def doubles_the_next_notice(self) -> None:
        self._begin(duplicate_fill_probability=1.0)

    def begins_another_day(self) -> None:
        self.rig.at(self.rig.now + timedelta(days=1))


class TestSimulatedExchange(BrokerTests):
    @pytest.fixture
    def world(self) -> BrokerWorld:
        return SimulatedWorld()


class ScriptedWorld(BrokerWorld):
    """The broker of the tests, which has no market."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.rig = ExchangeRig()
        self.reports = []
        self._is_rejecting = False
        self._begin(ScriptedBroker(self.reports.append, capabilities=capabilities))  # type: ignore[arg-type]

    def _begin(self, broker: ScriptedBroker) -> None:
        self.broker = self.scripted = broker
        broker.now_ns = self.rig.clock.time_ns

    def approved(self, key: str, side: Side, qty: int, **terms: Any) -> Approved:
        return with_terms(self.rig.approved(key, side, str(qty)), terms)

    def executes(self, key: str, qty: int) -> None:
        self.scripted.fill(key, qty, PRICE, self.rig.after(1), told=self.scripted.is_up)

    def lets_time_pass(self) -> None:
        if self._is_rejecting:
            self.scripted.end(*self.holds(), self.rig.after(1), rejected=True)
        for key in set(self.scripted.cancels):
            if self.scripted.books.orders[key].is_open:
                self.scripted.end(key, self.rig.after(1))

    def cuts_the_line(self) -> None:
        self.scripted.is_up = False

    def repairs_the_line(self) -> None:
        self.scripted.is_up = True

    def holds(self) -> Mapping[str, Held]:
        orders = self.scripted.books.orders.items()
        return {key: Held(one.qty, one.filled, is_open=True) for key, one in orders if one.is_open}

    def restarts(self) -> None:
        old = self.scripted
        self._begin(ScriptedBroker(old.publish, books=old.books, capabilities=old.capabilities))

    def loses_the_next_answer(self) -> None:
        self.scripted.answers.append(AckStatus.UNKNOWN)

    def loses_the_next_order(self) -> None:
        self.loses_the_next_answer()
        self.scripted.receives = False

    def refuses_the_next_order(self) -> None:
        self.scripted.answers.append(AckStatus.REJECTED)

    def rejects_the_next_order_later(self) -> None:
        self._is_rejecting = True

    def is_out_of_reach(self) -> None:
        self.scripted.is_up = False

    def ends(self, key: str) -> None:
        self.scripted.end(key, self.rig.after(1))

    def holds_answers(self) -> None:
        self.scripted.holds_answers = True

    def lets_answer(self) -> None:
        self.scripted.holds_answers = False
        self.scripted.let_answer()

    def drops_the_next_notice(self) -> None:
        self.scripted.drops = 1

    def doubles_the_next_notice(self) -> None:
        self.scripted.repeats = 1

    def holds_notices(self) -> None:
        self.scripted.holds_notices = True

    def tells_backwards(self) -> None:
        while self.scripted.held_notices:
            self.scripted.let_notice(-1)

    def orders_by_hand(self, side: Side, qty: int) -> str:
        return self.scripted.order_by_hand(self.rig.symbol, side, qty, self.rig.clock.time_ns())

    def takes_back(self, fill: Fill) -> None:
        self.needs("execution_ids")
        self.scripted.take_back(fill, self.rig.after(1))

    def pages(self, rows: int) -> None:
        self.scripted.page_rows = rows

    def fails_a_page(self, number: int, how: str) -> None:
        self.scripted.pages.extend([""] * (number - 1) + [how])

    def shows_late(self) -> None:
        self._begin(ScriptedBroker(self.reports.append, capabilities=self._lagging))  # type: ignore[arg-type]

    @property
    def _lagging(self) -> Capabilities:
        return replace(self.scripted.capabilities, visibility_lag_ns=LAG_NS)

    def lets_the_lag_pass(self) -> None:
        self.rig.after(LAG_NS / 1_000_000)

    def begins_another_day(self) -> None:
        self.rig.at(self.rig.now + timedelta(days=1))
        self.scripted.books.begin_day(self.scripted.books.day + timedelta(days=1))

    def charges_today(self, fees: int, taxes: int) -> None:
        self.scripted.charged[DAY] = Charges(Decimal(fees), Decimal(taxes))


class TestScriptedBroker(BrokerTests):
    @pytest.fixture
    def world(self) -> BrokerWorld:
        return ScriptedWorld(NAMED)


class TestScriptedBrokerThatNamesItsOwnNumbersAlone(BrokerTests):
    @pytest.fixture
    def world(self) -> BrokerWorld:
        return ScriptedWorld(NUMBERED)


def test_what_stands_beside_a_real_broker_wants_nothing_and_keeps_nothing() -> None:
    nothing: MarketDriven = NotSimulated()

    assert not nothing.is_simulated
    assert not nothing.active
    assert nothing.export_state() == {}
    assert not nothing.will_publish_again("sim", object())  # what happened at a real broker has happened
