"""Makes the broker of a session, and what drives it when it is simulated."""

from __future__ import annotations

from typing import NamedTuple

from qts.broker.contracts import Broker, MarketDriven
from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.clock import Clock
from qts.ids import seeded
from qts.market.contracts import (
    MarketSource,
)
from qts.market.last_values import LastValues
from qts.runtime.orders.order_sender import InlineSender, TaskSender
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.persistence.store_writer import StoreWriter


class BrokerConnection(NamedTuple):
    """The broker of a session, its venue if it is simulated, and how both are connected with the session.

    A simulated ``venue`` matches against ``last_values``, which the session updates. The broker publishes its
    reports to ``report_relay``.
    """

    broker: Broker
    venue: MarketDriven
    last_values: LastValues
    report_relay: ReportRelay


def simulated_broker(config: SimConfig, feed: MarketSource, clock: Clock, seed: int) -> BrokerConnection:
    """Make the simulated exchange for the instruments of ``feed``. Raises ConfigError."""
    last_values, report_relay = LastValues(), ReportRelay()
    exchange = SimExchange(
        last_values=last_values,
        instruments=feed.instruments,
        clock=clock,
        publish=report_relay,
        on_disconnect=report_relay,
        rng=seeded(seed, "exchange"),
        config=config,
    )
    return BrokerConnection(exchange, exchange, last_values, report_relay)


def make_sender(connection: BrokerConnection, record: StoreWriter, *, inline: bool) -> InlineSender | TaskSender:
    """Make the order sender: without tasks when ``inline`` or when a simulated venue answers at once."""
    if inline or connection.venue.is_simulated:
        return InlineSender(connection.broker)
    return TaskSender(connection.broker, record.give_up)
