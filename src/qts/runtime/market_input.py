"""Takes every market value in, from whichever driver it comes.

What happens to a value is written once, in :meth:`qts.runtime.intake.Intake.accept`: clock, price band, last-value
table, extremes of the account, exchange. Then it becomes the event of its type. Drivers differ in two points only:

* The clock. The virtual clock is set to each value's time by ``accept``; a clock in real time advances by itself.
* The queue. On an event loop the event is published and waits in its queue for the scheduler's next slice
  (:meth:`MarketInput.publish`). On the virtual clock the scheduler draws accepted values itself, only when nothing
  is queued, and passes each directly to its handlers (:meth:`MarketInput.stream`).

Each driver runs the scheduled tasks that came due before a value before it passes the value in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from qts.event.contracts import EventType
from qts.event.stream import Stream
from qts.market.contracts import Bar, BookUpdate, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel
from qts.runtime.intake import Intake

EVENT_OF_VALUE: Final[Mapping[type, EventType]] = {
    Quote: EventType.ORDERBOOK_UPDATE,
    BookUpdate: EventType.ORDERBOOK_UPDATE,
    Tick: EventType.PRICE_TICK,
    Bar: EventType.VOLUME_UPDATE,
    IndexLevel: EventType.INDEX_UPDATE,
    VolatilityLevel: EventType.VIX_UPDATE,
}
SOURCE: Final = "feed"
"""The source of every event made of a market value."""


class MarketInput:
    """The entrance of market values: it accepts them and makes events of them. For the session's thread alone."""

    __slots__ = ("_publish", "accept")

    def __init__(self, intake: Intake, publish: Callable[[EventType, Any, str], object]) -> None:
        self.accept: Final = intake.accept
        """Apply a value as :meth:`Intake.accept` does; False: its price is impossible, make no event."""
        self._publish = publish

    def publish(self, value: MarketValue) -> bool:
        """Accept ``value`` and queue its event; return False when it was rejected. For drivers on an event loop."""
        if not self.accept(value):
            return False
        self.publish_accepted(value)
        return True

    def publish_accepted(self, value: MarketValue) -> None:
        """Queue the event of ``value``, which :attr:`accept` has accepted."""
        self._publish(EVENT_OF_VALUE[value.__class__], value, SOURCE)

    def stream(self, accepted: Iterator[MarketValue | None]) -> Stream:
        """Return the stream from which the scheduler draws on the virtual clock.

        ``accepted`` yields each value that :attr:`accept` has accepted, and None after any other step that may have
        queued events.
        """
        return Stream(accepted, EVENT_OF_VALUE, SOURCE)
