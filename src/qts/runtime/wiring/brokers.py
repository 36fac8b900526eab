"""Makes the broker of a session, and what drives it when it is simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qts.broker.broker_clock import BrokerClock
from qts.broker.contracts import Broker, MarketDriven
from qts.broker.gateway.admission import WhyNot
from qts.broker.gateway.arrivals import AS_THEY_COME, SENT
from qts.broker.gateway.gateway import Gateway
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.broker.gateway.sent_file import SentFile
from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.clock import Clock
from qts.errors import ContractError
from qts.execution.contracts import OrderAck, VenueRef
from qts.ids import seeded
from qts.market.contracts import MarketSource
from qts.market.last_values import LastValues
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders.last_check import LastCheck
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.shared_components import SharedComponents


class BrokerConnection(NamedTuple):
    """The broker of a session, its venue if it is simulated, and how both are connected with the session.

    A simulated ``venue`` matches against ``last_values``, which the session updates. The broker publishes its
    reports to ``report_relay``. ``sent_file``: where the gateway writes down what it sends; None where a kill takes
    nothing away that a simulated venue does not go back to. ``clock``: the times that the broker tells with its
    answers; None where its adapter reads none.
    """

    broker: Broker
    venue: MarketDriven
    last_values: LastValues
    report_relay: ReportRelay
    sent_file: SentFile | None = None
    clock: BrokerClock | None = None


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


def make_gateway(
    connection: BrokerConnection,
    shared: SharedComponents,
    on_late_answer: Callable[[OrderAck], object],
    on_number: Callable[[str, VenueRef], object],
    *,
    inline: bool,
    limits: OrderLimits | None,
    why_not_part: WhyNot,
) -> Gateway:
    """Make the gateway to the broker: on a thread of its own but when ``inline`` or at a simulated venue.

    ``limits`` None: orders have none. ``why_not_part``: see the gateway. Raises ContractError for a broker that is
    not simulated and has no file, in real time.
    """
    at_once = inline or connection.venue.is_simulated
    if not at_once and connection.sent_file is None and not shared.steps.is_repeated:
        raise ContractError(f"broker {connection.broker.name} needs a file of the orders that are sent")
    if not at_once and limits is not None and limits.counted is not None:
        counted = limits.counted
        counted.sent = lambda: shared.steps.take(SENT, "", counted.messages.sent())
    check = LastCheck(shared)
    return Gateway(
        connection.broker,
        shared.clock,
        config=shared.config.broker.gateway,
        file=None if at_once else connection.sent_file,
        why_not=check.why_not,
        is_settled=check.is_settled,
        ref_of=check.ref_of,
        on_failed=shared.record.give_up,
        on_late_answer=on_late_answer,
        on_number=on_number,
        complete=run_to_completion,
        limits=limits,
        why_not_part=why_not_part,
        arrivals=AS_THEY_COME if at_once else shared.steps,
    )
