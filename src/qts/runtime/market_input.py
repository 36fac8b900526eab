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
from qts.runtime.strategies.moments import Moments
from qts.strategy.moment import Moment

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
MOMENTS: Final = "moments"
"""The source of every event made of a moment."""


class MarketInput:
    """The entrance of market values: it accepts them and makes events of them. For the session's thread alone."""

    __slots__ = ("_moments", "_publish", "accept")

    def __init__(
        self, intake: Intake, publish: Callable[[EventType, Any, str], object], moments: Moments | None = None
    ) -> None:
        self.accept: Final = intake.accept
        """Apply a value as :meth:`Intake.accept` does; False: its price is impossible, make no event."""
        self._publish = publish
        self._moments = moments

    def publish(self, value: MarketValue) -> bool:
        """Accept ``value`` and queue its event; return False when it was rejected. For drivers on an event loop."""
        if not self.accept(value):
            return False
        self.publish_accepted(value)
        return True

    def publish_accepted(self, value: MarketValue) -> None:
        """Queue the event of ``value``, which :attr:`accept` has accepted, behind the bars that it has ended."""
        self.publish_ended()
        self._publish(EVENT_OF_VALUE[value.__class__], value, SOURCE)

    def publish_ended(self) -> bool:
        """Queue a moment for the bars that the value just accepted has ended; return False when there are none."""
        if self._moments is None or not self._moments.ended:
            return False
        for moment in self._moments.take_ended():
            self._publish(EventType.VOLUME_UPDATE, moment, MOMENTS)
        return True

    def publish_moment(self, moment: Moment) -> None:
        """Queue the event of a moment that has come by the clock."""
        self._publish(EventType.VOLUME_UPDATE, moment, MOMENTS)

    def stream(self, accepted: Iterator[MarketValue | None]) -> Stream:
        """Return the stream from which the scheduler draws on the virtual clock.

        ``accepted`` yields each value that :attr:`accept` has accepted, and None after any other step that may have
        queued events.
        """
        return Stream(accepted, EVENT_OF_VALUE, SOURCE)
