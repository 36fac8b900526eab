"""Registers the handlers of events, and passes on the dispatcher's reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qts.errors import StateError
from qts.event.contracts import EventPriority, EventType, Lane
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import Callback, CallbackHandler, TypeFilterHandler
from qts.event.monitoring import Report
from qts.runtime.checks.invariants import MONEY_INVARIANTS
from qts.runtime.persistence.store_writer import StoreWriter
from qts.runtime.steps.contracts import BREAK, NOT_RECORDED, PRESSURE, WAITS, Steps
from qts.runtime.steps.wrapping import stepped_handler
from qts.runtime.strategies.process_handler import StrategyProcessHandler

_P0, _P1, _P2, _P3 = EventPriority


P1_FOR_STRATEGIES = (
    EventType.ORDERBOOK_UPDATE,
    EventType.VOLUME_UPDATE,
    EventType.INDEX_UPDATE,
    EventType.VIX_UPDATE,
)
"""Single trades go to strategies only when one asks for them."""


P1_FOR_WORKERS = (EventType.ORDERBOOK_UPDATE, EventType.VOLUME_UPDATE)


P0_REPORTS = (
    EventType.FILL_CONFIRMED,
    EventType.FILL_PARTIAL,
    EventType.ORDER_CANCELLED,
    EventType.ORDER_REJECTED,
    EventType.POSITION_UPDATE,
    EventType.BROKER_DISCONNECT,
)


def breach_reporter(report: Callable[[str, str], None]) -> Callable[[int, str, bool], None]:
    """Return the function that reports a broken invariant: FS104 for money or a second breach, else FS070."""

    def on_breach(number: int, detail: str, again: bool) -> None:
        code = "FS104" if again or number in MONEY_INVARIANTS else "FS070"
        report(code, f"invariant {number}: {detail}")

    return on_breach


def register_handlers(
    dispatcher: EventDispatcher,
    *,
    reports: Callback,
    stop: Callback,
    market: Callback,
    signal: Callback,
    evaluate: Callback,
    log: Callback,
    takes_trades: bool,
    remote: Iterable[StrategyProcessHandler],
    steps: Steps,
) -> None:
    """Register the handlers. All but the ``remote`` strategies are short and run on the loop.

    ``takes_trades``: a strategy on the loop asks for single trades. Each call on the loop is one of ``steps``, but
    those that write the log.
    """
    register = dispatcher.register_handler
    if steps is not NOT_RECORDED:
        dispatcher.on_waits = lambda event: steps.take(WAITS, event.event_type.value)
        dispatcher.on_pressure = lambda lowest: steps.take(PRESSURE, lowest.name)
    reports, stop, market, signal, evaluate = (
        stepped_handler(steps, one) for one in (reports, stop, market, signal, evaluate)
    )
    for_strategies = (*P1_FOR_STRATEGIES, EventType.PRICE_TICK) if takes_trades else P1_FOR_STRATEGIES
    register(_P0, TypeFilterHandler(CallbackHandler(reports, "execution reports"), P0_REPORTS))
    register(_P0, TypeFilterHandler(CallbackHandler(stop, "emergency stop"), (EventType.EMERGENCY_STOP,)))
    register(_P1, TypeFilterHandler(CallbackHandler(market, "strategies"), for_strategies))
    register(_P2, TypeFilterHandler(CallbackHandler(signal, "decision path"), (EventType.SIGNAL_GENERATED,)))
    register(_P2, TypeFilterHandler(CallbackHandler(evaluate, "operating state"), (EventType.RISK_EVALUATE,)))
    register(_P3, TypeFilterHandler(CallbackHandler(log, "session log"), (EventType.LOG_WRITE,)))
    for context in remote:
        steps.take(BREAK, "strategies_in_processes")
        kinds = (*P1_FOR_WORKERS, EventType.PRICE_TICK) if context.context.wants_trades else P1_FOR_WORKERS
        register(_P1, TypeFilterHandler(context, kinds), lane=Lane.PROCESS)


def reports_to(listener: Callable[[Report], None], record: StoreWriter) -> Callable[[Report], None]:
    """Return a function that passes reports to ``listener``; a failed slice may lose an event and ends writing."""

    def report(report: Report) -> None:
        if report.kind == "slice":
            record.give_up("a slice of the dispatcher", StateError(report.detail))
        listener(report)

    return report
