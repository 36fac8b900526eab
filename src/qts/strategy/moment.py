"""The moment: everything that came due for strategies at one time, beside the values of the feed."""

from __future__ import annotations

import msgspec

from qts.market.contracts import Bar


class TimerDue(msgspec.Struct, frozen=True, gc=False):
    """A timer that came due: the strategy that set it, and its name."""

    strategy: str
    name: str


class Moment(msgspec.Struct, frozen=True, tag=True):
    """The timers that came due and the bars that ended at ``ts_ns`` (ns since 1970, UTC).

    Shown to each strategy in this order: its timers in the order in which they were set, then the bars of its
    intervals, a shorter interval first, then by symbol.
    """

    ts_ns: int
    timers: tuple[TimerDue, ...] = ()
    bars: tuple[Bar, ...] = ()
