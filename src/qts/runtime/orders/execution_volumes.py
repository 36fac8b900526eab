"""Measures a market's volume: for the profile of a VWAP, and for how fast an execution may catch up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from qts.execution.config import ExecutionConfig
from qts.execution.split import Profile
from qts.market.contracts import Bar
from qts.market.series.intervals import DAY_NS, MINUTE_NS
from qts.money import sum_of

Minutes = Callable[[str, int], Sequence[Bar]]
"""Returns the last so many finished one-minute bars of a symbol, the oldest first."""
_MOST_DAYS: Final = 5
_MOST_MINUTES: Final = _MOST_DAYS * 1_440


def measured_profile(
    minutes: Minutes, config: Callable[[], ExecutionConfig], symbol: str, count: int, over_ns: int, now_ns: int
) -> Profile | None:
    """Return the volume of ``count`` parts of the ``over_ns`` from ``now_ns`` on, as it was before; None: unknown.

    That of the same time of day on up to five earlier days; where none of them is known, that of the minutes right
    before ``now_ns``. Nothing of the time from ``now_ns`` on is looked at.
    """
    bars = [bar for bar in minutes(symbol, _MOST_MINUTES) if bar.ts_ns <= now_ns]
    for days in range(_MOST_DAYS, 0, -1):
        begins = [now_ns - day * DAY_NS for day in range(1, days + 1)]
        if all(_covers(bars, begin_ns, over_ns) for begin_ns in begins):
            parts = [_parts(bars, begin_ns, over_ns, count) for begin_ns in begins]
            return _profile([sum_of(same) for same in zip(*parts, strict=True)], begins[-1], begins[0] + over_ns)
    before_ns = min(over_ns, config().profile_minutes * MINUTE_NS)
    begin_ns = now_ns - before_ns
    if not _covers(bars, begin_ns, before_ns):
        return None
    return _profile(_parts(bars, begin_ns, before_ns, count), begin_ns, now_ns)


def traded_since(minutes: Minutes, symbol: str, since_ns: int) -> Decimal | None:
    """Return what was traded of ``symbol`` in the whole minutes since ``since_ns``; None where it is not known."""
    bars = minutes(symbol, _MOST_MINUTES // _MOST_DAYS)
    if not bars or not since_ns:
        return None
    return sum_of(bar.volume for bar in bars if bar.start_ns >= since_ns)


def _covers(bars: Sequence[Bar], begin_ns: int, over_ns: int) -> bool:
    return any(begin_ns <= bar.start_ns and bar.ts_ns <= begin_ns + over_ns for bar in bars) and any(
        bar.start_ns <= begin_ns for bar in bars
    )


def _parts(bars: Sequence[Bar], begin_ns: int, over_ns: int, count: int) -> list[Decimal]:
    """Return the volume of each of ``count`` equal parts of a time, a bar in the part in which it begins."""
    volumes: list[list[Decimal]] = [[] for _ in range(count)]
    for bar in bars:
        if begin_ns <= bar.start_ns < begin_ns + over_ns:
            volumes[(bar.start_ns - begin_ns) * count // over_ns].append(bar.volume)
    return [sum_of(part) for part in volumes]


def _profile(volumes: Sequence[Decimal], from_ns: int, to_ns: int) -> Profile | None:
    return Profile(tuple(volumes), from_ns, to_ns) if any(volume > 0 for volume in volumes) else None
