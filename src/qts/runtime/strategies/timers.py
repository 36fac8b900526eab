"""The timers of strategies: when each is due next, by the sessions and the local clock of the market."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final

from qts.clock import NEVER_NS, from_ns, to_ns
from qts.errors import ContractError
from qts.market.contracts import Calendar
from qts.market.series.sessions import open_ns
from qts.strategy.moment import TimerDue
from qts.strategy.timer import MAX_TIMERS, Timer

_MAX_DAYS_AHEAD: Final = 400
"""As far as a session day is looked for; a calendar without one has no further times."""


class StrategyTimers:
    """The timers of all strategies. For the session's thread alone; part of the checkpoint.

    ``due_ns`` is the time of the next one (ns since 1970, UTC), :data:`NEVER_NS` when there is none. ``on_change``
    is called when a timer was set. A timer that is set again just as it was keeps its next time: what ``on_start``
    sets when a session is resumed is neither due twice nor lost.
    """

    def __init__(self, calendar: Calendar, on_change: Callable[[], object] = lambda: None) -> None:
        self._calendar = calendar
        self._on_change = on_change
        self._timers: dict[str, dict[str, tuple[Timer, int]]] = {}
        self.due_ns = NEVER_NS

    def set(self, strategy: str, timer: Timer, now_ns: int, *, keeps_known: bool = False) -> None:
        """Set ``timer`` of ``strategy``: due first after ``now_ns``; it replaces one of the same name.

        ``keeps_known``: one of the same name stays as it is. Raises ContractError, naming it, for one too many.
        """
        mine = self._timers.setdefault(strategy, {})
        known = mine.get(timer.name)
        if known is None and len(mine) >= MAX_TIMERS:
            raise ContractError(f"timer {timer.name!r}: a strategy may have {MAX_TIMERS:,} timers")
        if known is not None and (keeps_known or known[0] == timer):
            return
        next_ns = self._next_after(timer, now_ns)
        mine[timer.name] = (timer, next_ns)
        if known is not None and known[1] == self.due_ns:
            self._find_next()
        else:
            self.due_ns = min(self.due_ns, next_ns)
        self._on_change()

    def take(self, now_ns: int) -> tuple[TimerDue, ...]:
        """Return the timers due by ``now_ns``, by strategy in the order in which they were set.

        Their next times are after ``now_ns``.
        """
        due: list[TimerDue] = []
        for strategy, mine in self._timers.items():
            for name, (timer, next_ns) in mine.items():
                if next_ns <= now_ns:
                    due.append(TimerDue(strategy, name))
                    mine[name] = (timer, self._next_after(timer, now_ns))
        self._find_next()
        return tuple(due)

    def export_state(self) -> dict[str, Any]:
        """Return every timer with its next time, for a checkpoint."""
        return {
            strategy: [[timer.name, timer.minute, timer.every_ns, next_ns] for timer, next_ns in mine.values()]
            for strategy, mine in self._timers.items()
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._timers = {
            strategy: {one[0]: (Timer(one[0], one[1], one[2]), one[3]) for one in mine}
            for strategy, mine in saved.items()
        }
        self._find_next()

    def _find_next(self) -> None:
        self.due_ns = min(
            (next_ns for mine in self._timers.values() for _, next_ns in mine.values()), default=NEVER_NS
        )

    def _next_after(self, timer: Timer, after_ns: int) -> int:
        """Return the first time of ``timer`` after ``after_ns``; :data:`NEVER_NS` when no session is known."""
        calendar = self._calendar
        day = calendar.local_date(from_ns(after_ns))
        for _ in range(_MAX_DAYS_AHEAD):
            if calendar.is_trading_day(day):
                found = self._on_day(timer, day, after_ns)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return NEVER_NS

    def _on_day(self, timer: Timer, day: date, after_ns: int) -> int | None:
        calendar = self._calendar
        if timer.minute is not None:
            at_ns = to_ns(calendar.at(day, *divmod(timer.minute, 60)))
            return at_ns if at_ns > after_ns else None
        assert timer.every_ns is not None
        close = calendar.close(day)
        begin_ns = open_ns(calendar, day)
        end_ns = to_ns(calendar.at(day + timedelta(days=1), 0) if close is None else close)
        steps = max(0, (after_ns - begin_ns) // timer.every_ns + 1)
        at_ns = begin_ns + steps * timer.every_ns
        return at_ns if at_ns < end_ns else None
