"""The one way in for a market value, whichever driver gives it.

What happens to a value is written once, in :meth:`qts.runtime.intake.Intake.accept`: clock, price band, last-value
table, extremes of the account, exchange. Then it becomes the event of its type. Two things differ, and here is all
of it:

* Who moves the clock. The virtual clock is set to each value's time by ``accept``; a clock in real time moves
  itself, and ``accept`` leaves it alone.
* Queued or at once. On an event loop the event is published and waits in its queue for the scheduler's next slice
  (:meth:`MarketInput.publish`). On the virtual clock the scheduler draws accepted values itself, only when nothing
  is queued, and gives each straight to its handlers (:meth:`MarketInput.stream`).

Appointments that came due before a value are kept before it is given in here, by each driver in its own way.
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
    """Accepts market values on the loop's thread and makes events of them."""

    __slots__ = ("_publish", "accept")

    def __init__(self, intake: Intake, publish: Callable[[EventType, Any, str], object]) -> None:
        self.accept: Final = intake.accept
        """Make everything true that a value brings; False when its price cannot be, and nobody may hear of it."""
        self._publish = publish

    def publish(self, value: MarketValue) -> bool:
        """Accept ``value`` and queue its event; False when it was turned away. For drivers on an event loop."""
        if not self.accept(value):
            return False
        self._publish(EVENT_OF_VALUE[value.__class__], value, SOURCE)
        return True

    def stream(self, accepted: Iterator[MarketValue | None]) -> Stream:
        """Return what the scheduler draws from on the virtual clock.

        ``accepted`` gives each value for which :attr:`accept` has said yes, and None after anything else that the
        scheduler has to look at.
        """
        return Stream(accepted, EVENT_OF_VALUE, SOURCE)
