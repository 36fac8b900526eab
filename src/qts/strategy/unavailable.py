"""A stand-in for a strategy that could not be made again when its run was resumed.

A run that cannot be resumed would leave its holdings without an owner. So the others go on, and the one that failed
is halted: it is never asked, and the rules sell what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qts.capital.contracts import Pool
from qts.errors import InputError
from qts.strategy.contracts import Context, FillView, Intent, Strategy


class UnavailableStrategy:
    """A strategy that wants nothing. ``why`` is the error with which the original could not be made.

    ``name`` and ``pool`` come from the checkpoint (:func:`restore_names`).
    """

    symbols: Sequence[str] = ()

    def __init__(self, why: str, name: str = "", pool: Pool = Pool.SCALP) -> None:
        self.why = why
        self.name = name
        self.pool = pool

    def on_start(self, ctx: Context) -> None:
        """Do nothing."""

    def on_quote(self, ctx: Context, quote: Any) -> Iterable[Intent]:
        """Return nothing."""
        return ()

    def on_bar(self, ctx: Context, bar: Any) -> Iterable[Intent]:
        """Return nothing."""
        return ()

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Do nothing."""


def restore_names(strategies: Sequence[Strategy], saved: Mapping[str, Any] | None) -> list[Strategy]:
    """Return the strategies, those that could not be made with the names and pools of a checkpoint's share.

    The share names them in the same order. Raises InputError, as making them has, when there is no checkpoint: then
    nothing is held that would have to be sold.
    """
    names = list(saved or ())
    found: list[Strategy] = []
    for place, strategy in enumerate(strategies):
        if not isinstance(strategy, UnavailableStrategy):
            found.append(strategy)
        elif saved is None:
            raise InputError(strategy.why)
        else:
            name = names[place]
            found.append(UnavailableStrategy(strategy.why, name, Pool(saved[name]["pool"])))
    return found
