"""Figures of how much of the best of many trials is luck: deflated Sharpe ratio, overfitting, neighbours.

A Sharpe ratio here is that of one session, mean ÷ deviation of the daily returns, unless it is called one of a
year. All functions are pure; a figure that cannot be told is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist, median
from typing import Final, NamedTuple

BLOCKS: Final = 10
"""Parts into which the sessions are cut by :func:`overfitting`; half of them choose, the others judge."""
_EULER: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()
_FEWEST_SESSIONS: Final = 30


class Shape(NamedTuple):
    """The moments of a series of daily returns; ``kurtosis`` is 3 for a normal distribution."""

    sessions: int
    sharpe: float
    skew: float
    kurtosis: float


def shape_of(returns: Sequence[float]) -> Shape | None:
    """Return the moments of ``returns``; None below 30 sessions and where every session is the same."""
    count = len(returns)
    if count < _FEWEST_SESSIONS:
        return None
    mean = math.fsum(returns) / count
    apart = [one - mean for one in returns]
    square = math.fsum(one * one for one in apart)
    deviation = math.sqrt(square / (count - 1))
    if deviation <= abs(mean) * 1e-12:
        return None
    whole = math.sqrt(square / count)
    skew = math.fsum((one / whole) ** 3 for one in apart) / count
    kurtosis = math.fsum((one / whole) ** 4 for one in apart) / count
    return Shape(count, mean / deviation, skew, kurtosis)


def best_by_luck(variance: float, trials: float) -> float:
    """Return the Sharpe ratio that the best of ``trials`` without any edge is expected to have.

    ``variance`` is that of the Sharpe ratios of the trials. 0.0 for one trial. From Bailey and López de Prado, "The
    Deflated Sharpe Ratio" (2014).
    """
    if trials <= 1.0 or variance <= 0.0:
        return 0.0
    high = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    higher = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER) * high + _EULER * higher)


def deflated_sharpe(shape: Shape, *, variance: float, trials: float) -> float:
    """Return the probability, 0..1, that the true Sharpe ratio is above what luck alone gives the best trial.

    ``shape`` is that of the best of ``trials``, ``variance`` that of their Sharpe ratios of one session.
    """
    error = 1.0 - shape.skew * shape.sharpe + (shape.kurtosis - 1.0) / 4.0 * shape.sharpe**2
    if error <= 0.0:  # the moments contradict the formula's normal error: nothing is certain
        return 0.0
    above = shape.sharpe - best_by_luck(variance, trials)
    return _NORMAL.cdf(above * math.sqrt(shape.sessions - 1) / math.sqrt(error))


def variance_of(values: Sequence[float]) -> float:
    """Return the variance of a sample (divided by n − 1); 0.0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1)


def effective_trials(series: Sequence[Sequence[float]]) -> float:
    """Return how many independent trials the ``series`` of daily returns amount to, by their average correlation.

    n identical trials are 1, n unrelated ones n: ρ + (1 − ρ) × n, ρ at least 0. Series without spread are not
    counted. All have the same sessions.
    """
    units = [unit for one in series if (unit := _unit(one)) is not None]
    count = len(units)
    if count <= 1:
        return float(count)
    total = [math.fsum(column) for column in zip(*units, strict=True)]
    together = math.fsum(one * one for one in total)
    average = max(0.0, (together - count) / (count * (count - 1)))
    return average + (1.0 - average) * count


def _unit(returns: Sequence[float]) -> list[float] | None:
    """Return ``returns`` moved to a mean of 0 and scaled to a length of 1."""
    if not returns:
        return None
    mean = math.fsum(returns) / len(returns)
    apart = [one - mean for one in returns]
    length = math.sqrt(math.fsum(one * one for one in apart))
    return [one / length for one in apart] if length > 0.0 else None


def overfitting(series: Sequence[Sequence[float]], blocks: int = BLOCKS) -> float | None:
    """Return the probability, 0..1, that the best trial of some sessions is below the median in the others.

    The sessions are cut into ``blocks`` equal parts (an even number), and each way of choosing half of them is
    tried. From Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting" (2017). A trial
    without spread counts as a Sharpe ratio of 0. None for fewer than two trials, or two sessions a block.
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"blocks must be an even number, got {blocks}")
    if len(series) < 2 or len(series[0]) < 2 * blocks:
        return None
    sums = [_block_sums(one, blocks) for one in series]
    below, ways = 0.0, 0
    for chosen in combinations(range(blocks), blocks // 2):
        others = [block for block in range(blocks) if block not in chosen]
        inside = [_sharpe_of(one, chosen) for one in sums]
        outside = [_sharpe_of(one, others) for one in sums]
        best = max(range(len(inside)), key=inside.__getitem__)
        lower = sum(one < outside[best] for one in outside)
        equal = sum(one == outside[best] for one in outside)
        rank = (lower + (equal + 1) / 2) / (len(outside) + 1)
        below += 1.0 if rank < 0.5 else 0.5 if rank == 0.5 else 0.0
        ways += 1
    return below / ways


_Sums = list[tuple[int, float, float]]


def _block_sums(returns: Sequence[float], blocks: int) -> _Sums:
    """Return count, sum and sum of squares of each block; what is left over belongs to the last ones."""
    size, left = divmod(len(returns), blocks)
    found, begin = [], 0
    for block in range(blocks):
        end = begin + size + (1 if block >= blocks - left else 0)
        part = returns[begin:end]
        found.append((len(part), math.fsum(part), math.fsum(one * one for one in part)))
        begin = end
    return found


def _sharpe_of(sums: _Sums, blocks: Sequence[int]) -> float:
    count = total = squares = 0.0
    for block in blocks:
        of, plain, squared = sums[block]
        count += of
        total += plain
        squares += squared
    mean = total / count
    spread = squares / count - mean * mean
    return mean / math.sqrt(spread) if spread > 1e-18 else 0.0


def neighbourhood(best: float, neighbours: Sequence[float]) -> float | None:
    """Return the median of the ``neighbours`` of the best trial ÷ the best; None without any, or for best ≤ 0.

    Near 1 the best stands on a plateau, near 0 on a peak.
    """
    return median(neighbours) / best if neighbours and best > 0.0 else None
