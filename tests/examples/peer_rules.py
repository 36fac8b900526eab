"""The rules by which other tools trade SMA 20/50, worked on the sample's bars without those tools.

A rule says in which bar a signal is acted on, at which price, and how many shares all the cash buys. Where these
rules give a tool's own trades to the share, the differences that the guide names are all there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple

from qts.market.sample import sample_csv

CASH: Final = 100_000_000
FAST, SLOW, STEP = 20, 50, 50
WITHOUT_A_BAR: Final = ("2017-09-22", "2017-09-26", "2017-12-20", "2018-04-30", "2018-05-02", "2018-05-03")
"""Sessions of zipline's calendar of the KRX that the sample has no bar of."""

Shares = Callable[[Any, int, int], int | Fraction]
"""The cash, the close of the signal and the price of the fill → the shares bought."""


class Day(NamedTuple):
    """A day with its first and last price; ``traded`` False: filled up with the close before."""

    day: date
    open: int
    close: int
    traded: bool = True


class Trade(NamedTuple):
    """A fill: shares bought, or sold (below 0)."""

    day: date
    shares: int | Fraction
    price: int


class Outcome(NamedTuple):
    """The trades of a run and its equity at the last close."""

    trades: list[Trade]
    equity: int | Fraction


def sample_days() -> list[Day]:
    rows = (line.split(",") for line in sample_csv().splitlines()[1:])
    return [Day(date.fromisoformat(row[0]), int(row[1]), int(row[4])) for row in rows]


def filled_up(days: Sequence[Day], more: Sequence[date]) -> list[Day]:
    """Return ``days`` with those of ``more`` that are missing; each has the close before it for all its prices."""
    known, filled, last = {one.day: one for one in days}, [], days[0]
    for moment in sorted({*known, *more}):
        last = known.get(moment, Day(moment, last.close, last.close, traded=False))
        filled.append(last)
    return filled


def signals(days: Sequence[Day], *, only_traded: bool = False, first: int = SLOW) -> list[int]:
    """Return for each day 1 (fast mean above slow), -1 (below) or 0, from the ``first`` counted day on.

    ``only_traded``: days that were filled up neither count nor signal.
    """
    closes: list[int] = []
    found = []
    for one in days:
        if only_traded and not one.traded:
            found.append(0)
            continue
        closes.append(one.close)
        ahead = sum(closes[-FAST:]) * SLOW - sum(closes[-SLOW:]) * FAST
        found.append(0 if len(closes) < first else (ahead > 0) - (ahead < 0))
    return found


def followed(
    days: Sequence[Day],
    signs: Sequence[int],
    *,
    shares: Shares,
    price: Callable[[Day, Day, bool], int] = lambda _decided, acted, _buys: acted.open,
    later: int = 1,
) -> Outcome:
    """Return what comes of following ``signs`` ``later`` days after each.

    ``price`` is given the day of the signal, the day of the fill and whether it buys.
    """
    cash: int | Fraction = CASH
    held: int | Fraction = 0
    trades = []
    for number, sign in enumerate(signs[: len(days) - later]):
        if sign == 0 or (sign > 0) == bool(held):
            continue
        decided, acted = days[number], days[number + later]
        at = price(decided, acted, sign > 0)
        moved = shares(cash, decided.close, at) if sign > 0 else -held
        cash, held = cash - moved * at, held + moved
        trades.append(Trade(acted.day, moved, at))
    return Outcome(trades, cash + held * days[-1].close)


def whole(cash: int, _close: int, price: int) -> int:
    return cash // price


def whole_at_the_close(cash: int, close: int, _price: int) -> int:
    return cash // close


def fractions(cash: Fraction, _close: int, price: int) -> Fraction:
    return Fraction(cash) / price


def below_the_collar(cash: int, close: int, _price: int) -> int:
    return cash * 100 // (close * 101)


def below_the_collar_and_paid_for(cash: int, close: int, price: int) -> int:
    return min(below_the_collar(cash, close, price), whole(cash, close, price))


def at_close(_decided: Day, acted: Day, _buys: bool) -> int:
    return acted.close


def ours() -> Outcome:
    days = sample_days()
    return followed(days, signals(days), shares=below_the_collar_and_paid_for)


def backtesting_py() -> Outcome:
    days = sample_days()
    return followed(days, signals(days, first=SLOW + 1), shares=whole)


def vectorbt(*, by_default: bool = False) -> Outcome:
    days = sample_days()
    if by_default:
        return followed(days, signals(days), shares=fractions, price=at_close, later=0)
    return followed(days, signals(days), shares=fractions)


def freqtrade(*, all_candles: bool = False) -> Outcome:
    days = sample_days()
    length = (days[-1].day - days[0].day).days
    every = filled_up(days, [days[0].day + timedelta(days=count) for count in range(length)])
    return followed(every, signals(every, only_traded=not all_candles), shares=whole)


def zipline() -> Outcome:
    days = filled_up(sample_days(), [date.fromisoformat(text) for text in WITHOUT_A_BAR])
    return followed(days, signals(days), shares=whole_at_the_close, price=at_close)


def nautilus() -> Outcome:
    days = sample_days()
    return followed(days, signals(days), shares=whole, price=at_close, later=0)


def vnpy() -> Outcome:
    """A limit order at 1 % above the close, rounded to the nearest step, fills at the open or at its limit."""

    def limited(decided: Day, acted: Day, buys: bool) -> int:
        return min(acted.open, round(Fraction(decided.close * 101, 100 * STEP)) * STEP) if buys else acted.open

    days = sample_days()
    return followed(days, signals(days), shares=below_the_collar, price=limited)
