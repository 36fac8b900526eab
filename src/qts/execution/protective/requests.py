"""The open requests to end holdings, by strategy and symbol, and those that have ended and may begin again.

A holding may have several: one for the whole and one for a part of each origin. They do not add up: each says how
much has to be gone, and every order that takes something out counts for all of them. Memory alone, and in the
checkpoint; what is done about them, :mod:`qts.execution.protective.decision` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from qts.execution.protective.contracts import ExitRequest, Origin
from qts.market.actions import Split
from qts.money import ZERO, minus, plus
from qts.strategy.contracts import Side

Key = tuple[str, str]
"""A strategy and a symbol."""


class Ended(msgspec.Struct):
    """The requests for the whole of a holding that have ended at ``ended_ns``."""

    requests: list[ExitRequest]
    ended_ns: int


class ProtectiveRequests:
    """The requests of a session. For the session's thread alone; the risk gate reads it, in the same thread.

    ``in`` asks whether an exit of the whole holding of a (strategy, symbol) is open.
    """

    def __init__(self) -> None:
        self._open: dict[Key, list[ExitRequest]] = {}
        self._ended: dict[Key, Ended] = {}

    def __contains__(self, key: object) -> bool:
        return bool(self._open) and any(one.is_whole for one in self._open.get(key, ()))  # type: ignore[call-overload]

    def __len__(self) -> int:
        """Return the number of holdings of which an exit is open, begun or not."""
        return len(self._open)

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._open))

    # -- requests ----------------------------------------------------------------------------------------------

    def put(self, key: Key, request: ExitRequest) -> bool:
        """Take ``request`` for a holding; return whether it is new.

        Of one origin the first for the whole is kept, and the newest for a part.
        """
        mine = self._open.setdefault(key, [])
        for place, one in enumerate(mine):
            if one.origin is request.origin and one.is_whole is request.is_whole:
                if request.is_whole:
                    return False
                mine[place] = request
                return True
        mine.append(request)
        return True

    def begin(self, key: Key) -> None:
        """Let orders leave for a holding: what is requested is on disk."""
        for one in self._open.get(key, ()):
            one.is_begun = True

    def withdraw(self, origin: Origin, covers: Callable[[str, str], bool]) -> None:
        """End the requests of ``origin`` where ``covers(strategy, symbol)``; what is left there is kept."""
        for key in [key for key in {**self._open, **self._ended} if covers(*key)]:
            self._keep(self._open, key, [one for one in self._open.get(key, ()) if one.origin is not origin])
            if (ended := self._ended.get(key)) is not None:
                ended.requests = [one for one in ended.requests if one.origin is not origin]
                if not ended.requests:
                    del self._ended[key]

    def finish(self, key: Key, now_ns: int) -> None:
        """End all that is requested of a holding at ``now_ns``: it is done."""
        whole = [one for one in self._open.pop(key, ()) if one.is_whole]
        if whole:
            self._ended[key] = Ended(whole, now_ns)

    def on_entry(self, key: Key) -> None:
        """Forget what has ended, since the rules accepted an entry: a late fill no longer reopens it."""
        self._ended.pop(key, None)

    def reopen(self, key: Key, intent_ns: int | None = None) -> bool:
        """Begin again what has ended of a holding; return whether anything did.

        ``intent_ns``: because of an order of that moment, so only what has ended after it. None: in any case.
        """
        ended = self._ended.get(key)
        if ended is None or (intent_ns is not None and intent_ns > ended.ended_ns):
            return False
        for one in ended.requests:
            self.put(key, one)
        return True

    # -- what is asked -----------------------------------------------------------------------------------------

    def of(self, key: Key) -> Sequence[ExitRequest]:
        """Return the open requests of a holding, begun or not, oldest first."""
        return self._open.get(key, ())

    def begun(self) -> list[Key]:
        """Return the holdings for whose exits orders may leave, oldest first, those of the whole before parts."""
        keys = [key for key, mine in self._open.items() if any(one.is_begun for one in mine)]
        return [*(key for key in keys if key in self), *(key for key in keys if key not in self)]

    def reason_of(self, strategy: str, symbol: str) -> str:
        """Return why a holding is being ended, in words: of the whole, else of a part; "" where it is not."""
        mine = self._open.get((strategy, symbol), ())
        named = [one for one in mine if one.is_whole] or mine
        return min(named, key=lambda one: one.origin.strength).reason if named else ""

    def reason_of_part(self, strategy: str, symbol: str) -> str:
        """Return why a part of a holding is being ended, in words; "" where none is."""
        return next((one.reason for one in self._open.get((strategy, symbol), ()) if not one.is_whole), "")

    def is_measured(self, key: Key) -> bool:
        """Return whether an exit of the holding is open that asks the broker's books."""
        return any(one.is_measured for one in self._open.get(key, ()))

    def reasons(self) -> dict[Key, str]:
        """Return why holdings are being ended as a whole, by (strategy, symbol)."""
        return {key: self.reason_of(*key) for key in self._open if key in self}

    def part(self, key: Key, origin: Origin) -> ExitRequest | None:
        """Return the request of ``origin`` for a part of a holding; None where there is none."""
        return next((one for one in self._open.get(key, ()) if not one.is_whole and one.origin is origin), None)

    # -- what happens ------------------------------------------------------------------------------------------

    def on_fill(self, key: Key, side: Side, qty: Decimal) -> None:
        """Take a sale, or a purchase of what is short, off what is left of parts, whichever order made it."""
        for one in self._open.get(key, ()):
            if one.left is not None and one.left > 0 and side is Side.SELL:
                one.left = max(minus(one.left, qty), ZERO)
            elif one.left is not None and one.left < 0 and side is Side.BUY:
                one.left = min(plus(one.left, qty), ZERO)

    def on_taken_back(self, key: Key, qty: Decimal) -> None:
        """Add a sale that the broker has taken back to what is left, and begin again what has ended."""
        for one in self._open.get(key, ()):
            if one.left is not None and one.left >= 0:
                one.left = plus(one.left, qty)
        self.reopen(key)

    def on_split(self, split: Split, lot: Decimal) -> None:
        """Turn what is left of parts of the symbol into new shares, as the holdings were."""
        for (_, symbol), mine in self._open.items():
            for one in mine:
                if symbol == split.symbol and one.left is not None:
                    one.left = split.shares(one.left, lot)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain data, for a checkpoint."""
        return {
            "open": [[*key, *map(_plain, mine)] for key, mine in self._open.items()],
            "ended": [[*key, one.ended_ns, *map(_plain, one.requests)] for key, one in self._ended.items()],
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned; all of it was on disk, so all of it has begun."""
        self._open = {(name, symbol): list(map(_begun, mine)) for name, symbol, *mine in saved["open"]}
        self._ended = {
            (name, symbol): Ended(list(map(_begun, mine)), ended_ns)
            for name, symbol, ended_ns, *mine in saved["ended"]
        }

    @staticmethod
    def _keep(there: dict[Key, list[ExitRequest]], key: Key, kept: list[ExitRequest]) -> None:
        if kept:
            there[key] = kept
        else:
            there.pop(key, None)


def _plain(request: ExitRequest) -> dict[str, Any]:
    left = None if request.left is None else f"{request.left:f}"
    return {
        "origin": request.origin.value,
        "reason": request.reason,
        **({} if left is None else {"left": left}),
    }


def _begun(saved: dict[str, Any]) -> ExitRequest:
    left = saved.get("left")
    return ExitRequest(Origin(saved["origin"]), saved["reason"], None if left is None else Decimal(left))
