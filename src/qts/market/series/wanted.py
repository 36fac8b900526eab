"""Declarations of the bars that strategies want: intervals, how many of each, of which symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from qts.errors import ContractError
from qts.market.series.intervals import Interval, parse_interval

MOST_INTERVALS: Final = 16
MOST_BARS: Final = 10_000
"""The longest window of one symbol and interval."""


class WantedBars(NamedTuple):
    """The last ``n`` bars of an interval, of some symbols; () means of every symbol."""

    interval: Interval
    n: int
    symbols: tuple[str, ...] = ()

    def wants(self, symbol: str) -> bool:
        """Return whether the bars of ``symbol`` are wanted."""
        return not self.symbols or symbol in self.symbols


def wanted_bars(declared: object, symbols: Iterable[str], where: str) -> tuple[WantedBars, ...]:
    """Return what a declaration such as ``{"1m": 200, "1d": 250}`` wants of ``symbols``, the shortest first.

    ``where`` names the declaration in an error. Raises ContractError for what is no mapping of intervals to whole
    numbers from 1 to :data:`MOST_BARS`, and for more than :data:`MOST_INTERVALS` intervals.
    """
    if not isinstance(declared, Mapping) or not declared:
        raise ContractError(f'{where} must be a mapping such as {{"5m": 200}}, got {declared!r:.80}')
    if len(declared) > MOST_INTERVALS:
        raise ContractError(f"{where} has {len(declared)} intervals; at most {MOST_INTERVALS} are allowed")
    chosen = tuple(symbols)
    wanted = [WantedBars(_interval(text, where), _number(text, n, where), chosen) for text, n in declared.items()]
    return tuple(sorted(wanted, key=lambda one: one.interval.rank))


def _interval(text: object, where: str) -> Interval:
    try:
        return parse_interval(text)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from None


def _number(text: object, n: object, where: str) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_BARS:
        raise ContractError(f"{where}[{text!r}] must be a whole number from 1 to {MOST_BARS}, got {n!r:.40}")
    return n
