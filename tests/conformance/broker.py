"""What every broker must do, one behaviour a test: subclass :class:`BrokerTests` and give the fixture ``world``.

What belongs to one kind of broker (matching, latency, its configuration) is tested beside it.
"""

from __future__ import annotations

from tests.conformance.broker_lists import ListTests
from tests.conformance.broker_orders import OrderTests


class BrokerTests(OrderTests, ListTests):
    """The contract of :class:`~qts.broker.contracts.Broker`."""
