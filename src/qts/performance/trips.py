"""Figures of round trips: profit factor, expectancy, win rate, average win and loss, excursions.

A trip won when its result, costs off, is above 0, and lost when it is below; one of exactly 0 did neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from qts.money import ZERO, magnitude, minus, ratio, sum_of
from qts.performance.contracts import Amount, Figure, RoundTrip
from qts.performance.reasons import no_losing_trip, no_prices, no_stop, no_trips, no_winning_trip, of_amount


class TripFigures(msgspec.Struct, frozen=True):
    """The figures of some round trips.

    ``result`` is the sum of their results; ``profit`` and ``loss`` those of the trips that won and lost (both ≥ 0);
    ``costs`` their fees and taxes. ``expectancy`` is the average result, ``expectancy_share`` the average of result
    by amount bought, ``expectancy_r`` that of result by what was at stake, over the trips that had a stop.

    ``average_loss`` is ≥ 0. ``adverse`` and ``favourable`` are the average shares of the entry price by which the
    price went against the trips and with them (MAE and MFE), over those whose prices are known; ``worst_adverse``
    is the greatest of the former.
    """

    count: int
    won: int
    lost: int
    result: Decimal
    profit: Decimal
    loss: Decimal
    costs: Decimal
    profit_factor: Figure
    win_rate: Figure
    expectancy: Amount
    expectancy_share: Figure
    expectancy_r: Figure
    average_win: Amount
    average_loss: Amount
    adverse: Figure
    favourable: Figure
    worst_adverse: Figure


def trip_figures(trips: Iterable[RoundTrip]) -> TripFigures:
    """Return the figures of ``trips``; what they do not suffice for is unknown, with the reason."""
    all_ = list(trips)
    wins = [trip.result for trip in all_ if trip.result > 0]
    losses = [magnitude(trip.result) for trip in all_ if trip.result < 0]
    profit, loss = sum_of(wins), sum_of(losses)
    against = [share for trip in all_ if (share := adverse_excursion(trip)) is not None]
    along = [share for trip in all_ if (share := favourable_excursion(trip)) is not None]
    at_stake = [ratio(trip.result, trip.risk) for trip in all_ if trip.risk]
    unseen = no_prices() if all_ else no_trips()
    return TripFigures(
        count=len(all_),
        won=len(wins),
        lost=len(losses),
        result=sum_of(trip.result for trip in all_),
        profit=profit,
        loss=loss,
        costs=sum_of(trip.costs for trip in all_),
        profit_factor=_or(ratio(profit, loss) if losses else None, no_losing_trip() if all_ else no_trips()),
        win_rate=_or(_average([Decimal(trip.result > 0) for trip in all_]), no_trips()),
        expectancy=_amount([trip.result for trip in all_], no_trips()),
        expectancy_share=_or(_average([ratio(trip.result, trip.bought) for trip in all_]), no_trips()),
        expectancy_r=_or(_average(at_stake), no_stop() if all_ else no_trips()),
        average_win=_amount(wins, no_winning_trip() if all_ else no_trips()),
        average_loss=_amount(losses, no_losing_trip() if all_ else no_trips()),
        adverse=_or(_average(against), unseen),
        favourable=_or(_average(along), unseen),
        worst_adverse=_or(max(against, default=None), unseen),
    )


def adverse_excursion(trip: RoundTrip) -> Decimal | None:
    """Return how far the price fell below the entry, as a share of it, 0 for not at all; None: not known."""
    if trip.low is None:
        return None
    return max(ratio(minus(trip.entry_price, trip.low), trip.entry_price), ZERO)


def favourable_excursion(trip: RoundTrip) -> Decimal | None:
    """Return how far the price rose above the entry, as a share of it, 0 for not at all; None: not known."""
    if trip.high is None:
        return None
    return max(ratio(minus(trip.high, trip.entry_price), trip.entry_price), ZERO)


def by_symbol(trips: Iterable[RoundTrip]) -> dict[str, TripFigures]:
    """Return the figures of each symbol's trips, by symbol in order."""
    return _grouped(trips, lambda trip: trip.symbol)


def by_strategy(trips: Iterable[RoundTrip]) -> dict[str, TripFigures]:
    """Return the figures of each strategy's trips, by name in order."""
    return _grouped(trips, lambda trip: trip.strategy)


def _grouped(trips: Iterable[RoundTrip], key: Callable[[RoundTrip], str]) -> dict[str, TripFigures]:
    groups: dict[str, list[RoundTrip]] = {}
    for trip in trips:
        groups.setdefault(key(trip), []).append(trip)
    return {name: trip_figures(groups[name]) for name in sorted(groups)}


def _average(values: Sequence[Decimal]) -> Decimal | None:
    return ratio(sum_of(values), Decimal(len(values))) if values else None


def _or(value: Decimal | None, unknown: Figure) -> Figure:
    return unknown if value is None else Figure(float(value))


def _amount(values: Sequence[Decimal], unknown: Figure) -> Amount:
    average = _average(values)
    return of_amount(unknown) if average is None else Amount(average)
