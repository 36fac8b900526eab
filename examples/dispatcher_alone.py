"""Only the dispatcher: a fill published last is handled first, and nothing of it is lost."""

import asyncio

from qts.event.contracts import EventPriority, EventType, create_event
from qts.event.dispatcher import EventDispatcher

ORDER = []


async def main():
    dispatcher = EventDispatcher()
    for priority in EventPriority:
        dispatcher.register_handler(priority, lambda event: ORDER.append(event.event_type.value))

    # Queued before start(): the loop takes the fill before the prices, and those before the log line.
    await dispatcher.dispatch(create_event(EventType.LOG_WRITE, payload={"text": "hello"}))
    await dispatcher.dispatch(create_event(EventType.PRICE_TICK, payload={"symbol": "005930", "price": 75_000}))
    await dispatcher.dispatch(create_event(EventType.FILL_CONFIRMED, payload={"symbol": "005930", "qty": 10}))

    await dispatcher.start()
    await asyncio.sleep(0.05)
    await dispatcher.stop()

    print("handled:", " → ".join(ORDER))
    for name, stats in dispatcher.queue_stats().items():
        print(f"{name:12} accepted {stats['accepted']}, handled {stats['handled']}, dropped {stats['dropped']}")


if __name__ == "__main__":
    asyncio.run(main())
