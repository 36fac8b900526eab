"""Chooses the rows at which a run is cut or restarted: half where the strategy wanted something, half evenly."""

from __future__ import annotations

from collections.abc import Sequence

from qts.workbench.check.trials import Trial


def cut_moments(whole: Trial, count: int) -> list[int]:
    """Return at most ``count`` moments (ns) before the last row's at which to cut the input, ascending.

    The moments of intents come first: what was wanted with the rest of the data must be wanted without it.
    """
    last_ns = whole.recorder.feed.now_ns
    wanted = sorted({one.ts_ns for one in whole.said if 0 < one.ts_ns < last_ns and not one.after_end})
    every = [ts_ns for _, ts_ns in whole.recorder.feed.marks if ts_ns < last_ns]
    return _chosen(wanted, sorted(set(every)), count)


def restart_rows(whole: Trial, count: int) -> list[int]:
    """Return at most ``count`` rows (from 1) after which to stop and resume, ascending, never the last row.

    Half are rows at which the strategy wanted something, so that it is stopped with orders and holdings.
    """
    wanted = sorted({one.row for one in whole.said if 0 < one.row < whole.rows})
    every = [row for row, _ in whole.recorder.feed.marks if row < whole.rows]
    return _chosen(wanted, every, count)


def _chosen(wanted: Sequence[int], every: Sequence[int], count: int) -> list[int]:
    found = set(_spread(wanted, (count + 1) // 2))
    found |= set(_spread([one for one in every if one not in found], count - len(found)))
    return sorted(found)


def _spread(values: Sequence[int], count: int) -> list[int]:
    """Return ``count`` of ``values``, spread evenly; all when there are fewer."""
    if len(values) <= count:
        return list(values)
    return [values[(2 * place + 1) * len(values) // (2 * count)] for place in range(count)]
