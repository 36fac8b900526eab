"""A flood of prices drops the oldest of them, to the last one counted, and never an event of P0."""

from __future__ import annotations

from qts.event.contracts import EventPriority, EventType, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler

FLOOD = 50_000
CAPACITY = 10_000


async def test_prices_in_excess_are_dropped_and_counted_and_every_order_event_is_handled() -> None:
    """Given 50,000 prices faster than they can be handled and 500 fills among them, then the newest prices and all
    fills are handled in order, and what was accepted was handled or counted as dropped."""
    dispatcher = EventDispatcher()
    prices: list[int] = []
    fills: list[int] = []
    dispatcher.register_handler(
        EventPriority.P1_HIGH, CallbackHandler(lambda event: prices.append(event.payload["n"]), "prices")
    )
    dispatcher.register_handler(
        EventPriority.P0_CRITICAL, CallbackHandler(lambda event: fills.append(event.payload["n"]), "fills")
    )
    await dispatcher.start()
    try:
        for number in range(FLOOD):
            dispatcher.dispatch_nowait(create_event(EventType.PRICE_TICK, payload={"symbol": "A", "n": number}))
            if number % 100 == 0:
                await dispatcher.dispatch(create_event(EventType.FILL_PARTIAL, payload={"n": number}))
    finally:
        await dispatcher.stop()

    stats = dispatcher.queue_stats()
    p0, p1 = stats["P0_CRITICAL"], stats["P1_HIGH"]
    assert fills == list(range(0, FLOOD, 100))
    assert (p0["accepted"], p0["handled"], p0["dropped"]) == (500, 500, 0)
    assert p1["accepted"] == FLOOD == p1["handled"] + p1["dropped"]
    assert len(prices) == p1["handled"]
    assert prices == sorted(prices)
    assert prices[-CAPACITY:] == list(range(FLOOD - CAPACITY, FLOOD)) or p1["dropped"] == 0
