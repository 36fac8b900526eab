"""Reasons why a figure is unknown: what rests on too little is not shown as 0, nor as a very large number."""

from __future__ import annotations

from typing import Final

from qts.notes import Note
from qts.performance.contracts import Amount, Figure

MIN_DAYS: Final = 30
"""Sessions below which no figure is scaled up to a year."""
NO_SPREAD: Final = 1e-12
"""A standard deviation of daily returns below this is what rounding leaves of none."""


def too_few_days(days: int) -> Figure:
    """Return that ``days`` sessions do not suffice."""
    return Figure(why=Note.of("figure-too-few-days", days=days, needed=MIN_DAYS))


def no_days() -> Figure:
    """Return that no session was closed."""
    return Figure(why=Note.of("figure-no-days"))


def no_spread() -> Figure:
    """Return that each day's return was the same."""
    return Figure(why=Note.of("figure-no-spread"))


def no_fall() -> Figure:
    """Return that equity never fell."""
    return Figure(why=Note.of("figure-no-fall"))


def no_capital() -> Figure:
    """Return that no capital was there, or none was left."""
    return Figure(why=Note.of("figure-no-capital"))


def flat_benchmark() -> Figure:
    """Return that the benchmark's return was the same each day."""
    return Figure(why=Note.of("figure-flat-benchmark"))


def nothing_traded() -> Figure:
    """Return that nothing was bought or sold."""
    return Figure(why=Note.of("figure-nothing-traded"))


def no_trips() -> Figure:
    """Return that no round trip was completed."""
    return Figure(why=Note.of("figure-no-trips"))


def no_losing_trip() -> Figure:
    """Return that no round trip made a loss."""
    return Figure(why=Note.of("figure-no-losing-trip"))


def no_winning_trip() -> Figure:
    """Return that no round trip made a profit."""
    return Figure(why=Note.of("figure-no-winning-trip"))


def no_stop() -> Figure:
    """Return that no round trip had a stop, so that nothing says what was at stake."""
    return Figure(why=Note.of("figure-no-stop"))


def no_prices() -> Figure:
    """Return that the prices during the round trips are not known."""
    return Figure(why=Note.of("figure-no-prices"))


def of_amount(unknown: Figure) -> Amount:
    """Return an unknown figure as an unknown amount."""
    return Amount(why=unknown.why)
