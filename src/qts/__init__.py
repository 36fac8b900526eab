"""QTS: a trading runtime.

The names below are the public surface; everything else may change. They are looked up when first used, so
``import qts`` costs nothing and using only the dispatcher does not load the governor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qts.capital.contracts import Pool
    from qts.clock import ManualClock, SystemClock
    from qts.errors import QtsError
    from qts.event.contracts import Event, EventFactory, EventPriority, EventType, Lane, create_event
    from qts.event.dispatcher import EventDispatcher
    from qts.event.handlers import CallbackHandler
    from qts.market.contracts import Bar, Quote
    from qts.safety.contracts import SafetyState
    from qts.safety.state import SafetyStateManager
    from qts.state.config import StateConfig
    from qts.state.contracts import ManualOverride, OperatingState, TransitionMetrics
    from qts.state.operating_state import OperatingStateManager
    from qts.strategy.contracts import Intent, Side, Strategy
    from qts.workbench.backtest import backtest

__all__ = [
    "Bar",
    "CallbackHandler",
    "Event",
    "EventDispatcher",
    "EventFactory",
    "EventPriority",
    "EventType",
    "Intent",
    "Lane",
    "ManualClock",
    "ManualOverride",
    "OperatingState",
    "OperatingStateManager",
    "Pool",
    "QtsError",
    "Quote",
    "SafetyState",
    "SafetyStateManager",
    "Side",
    "StateConfig",
    "Strategy",
    "SystemClock",
    "TransitionMetrics",
    "backtest",
    "create_event",
]

_HOMES: Final = {
    "qts.capital.contracts": ("Pool",),
    "qts.clock": ("ManualClock", "SystemClock"),
    "qts.errors": ("QtsError",),
    "qts.event.contracts": ("Event", "EventFactory", "EventPriority", "EventType", "Lane", "create_event"),
    "qts.event.dispatcher": ("EventDispatcher",),
    "qts.event.handlers": ("CallbackHandler",),
    "qts.market.contracts": ("Bar", "Quote"),
    "qts.safety.contracts": ("SafetyState",),
    "qts.safety.state": ("SafetyStateManager",),
    "qts.state.config": ("StateConfig",),
    "qts.state.contracts": ("ManualOverride", "OperatingState", "TransitionMetrics"),
    "qts.state.operating_state": ("OperatingStateManager",),
    "qts.strategy.contracts": ("Intent", "Side", "Strategy"),
    "qts.workbench.backtest": ("backtest",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'qts' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
