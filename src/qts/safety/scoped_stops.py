"""Scoped stops: parts of the account (a strategy, a symbol, a pool) that an operator stopped, each until its
release.

A scoped stop refuses entries and leaves exits alone; safety itself does not move. Orders and holdings are dealt
with once, when the stop is given (:mod:`qts.runtime.control.stops`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from qts.clock import from_ns
from qts.errors import ContractError


class ScopeKind(str, Enum):
    """The kinds of parts of the account."""

    STRATEGY = "strategy"
    SYMBOL = "symbol"
    POOL = "pool"


class Scope(msgspec.Struct, frozen=True):
    """One part of the account. ``name``: the strategy's, the symbol's, or a pool's (SCALP, SWING, PORTFOLIO)."""

    kind: ScopeKind
    name: str

    def covers(self, strategy: str, symbol: str, pool: str) -> bool:
        """Return whether an order or a holding belongs to this part."""
        if self.kind is ScopeKind.STRATEGY:
            return strategy == self.name
        return (symbol if self.kind is ScopeKind.SYMBOL else pool) == self.name

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


def scope_of(*, strategy: str = "", symbol: str = "", pool: str = "") -> Scope | None:
    """Return the scope that is named, None when none is. Raises ContractError when more than one is."""
    given = {ScopeKind.STRATEGY: strategy, ScopeKind.SYMBOL: symbol, ScopeKind.POOL: pool}
    scopes = [Scope(kind, name) for kind, name in given.items() if name]
    if len(scopes) > 1:
        raise ContractError(
            f"a stop has one scope, got {' and '.join(map(str, scopes))}: give one stop for each of them"
        )
    return scopes[0] if scopes else None


class ScopedStop(msgspec.Struct, frozen=True):
    """A stop of one part that is in force: its operator, reason and time (ns UTC of the session's clock).

    ``liquidate``: the holdings were to be sold; otherwise they were to be kept.
    """

    scope: Scope
    liquidate: bool
    operator: str
    reason: str
    ts_ns: int

    def __str__(self) -> str:
        since = f"{from_ns(self.ts_ns):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.scope} is stopped since {since} by {self.operator}: {self.reason}"


class ScopedStops:
    """The scoped stops in force, at most one for each scope; overlapping ones count each for itself."""

    def __init__(self) -> None:
        self._stops: dict[Scope, ScopedStop] = {}

    def __iter__(self) -> Iterator[ScopedStop]:
        """Iterate over the stops in force, the oldest first."""
        return iter(tuple(self._stops.values()))

    def __len__(self) -> int:
        return len(self._stops)

    def put(self, stop: ScopedStop) -> None:
        """Put ``stop`` in force, instead of an earlier one of the same scope."""
        self._stops[stop.scope] = stop

    def release(self, scope: Scope) -> ScopedStop | None:
        """End the stop of exactly this scope and return it; None when there is none."""
        return self._stops.pop(scope, None)

    def covering(self, strategy: str, symbol: str, pool: str) -> ScopedStop | None:
        """Return the oldest stop that covers this strategy, symbol or pool; None when none does."""
        if not self._stops:
            return None
        return next((stop for stop in self._stops.values() if stop.scope.covers(strategy, symbol, pool)), None)

    def export_state(self) -> list[Any]:
        """Return what must survive a restart, as plain values."""
        plain: list[Any] = msgspec.to_builtins(list(self._stops.values()))
        return plain

    def import_state(self, saved: list[Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._stops = {stop.scope: stop for stop in stops_of(saved)}


def stops_of(saved: Any) -> list[ScopedStop]:
    """Return the stops of :meth:`ScopedStops.export_state`; None (an older checkpoint) gives none."""
    return msgspec.convert(saved or [], list[ScopedStop])


def stop_row(stop: ScopedStop) -> Mapping[str, Any]:
    """Return a stop as plain values, as results and views show it."""
    return {
        "scope": stop.scope.kind.value,
        "name": stop.scope.name,
        "holdings": "sell" if stop.liquidate else "keep",
        "operator": stop.operator,
        "reason": stop.reason,
        "since": from_ns(stop.ts_ns).isoformat(),
    }
