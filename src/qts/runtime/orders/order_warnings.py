"""Tells people, once each, of orders that differ from the broker's books in a way that only they can explain."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Final

from qts.broker.contracts import BrokerOrder
from qts.execution.contracts import Order, VenueRef

_MOST_WARNED: Final = 1_000


class OrderWarnings:
    """The warnings about orders at ``broker``, and since when they differ from its books. For the session's thread.

    ``patience_ns``: time for which a lag of the broker explains a difference. ``say`` is given words, ``on_code`` a
    code of safety and words.
    """

    def __init__(
        self,
        broker: str,
        patience_ns: int,
        *,
        say: Callable[[str], object],
        on_code: Callable[[str, str], object],
    ) -> None:
        self._broker = broker
        self._patience_ns = patience_ns
        self._say = say
        self._on_code = on_code
        self._warned: dict[str, str] = {}
        """What was said last of an order that a person has to look at."""
        self._differs_since: dict[str, int] = {}
        self._foreign: set[VenueRef] = set()
        """Open orders of others at the broker that were reported."""

    def warn(self, key: str, what: str, code: str = "AN030") -> None:
        """Raise ``code`` for the order ``key``, once for each ``what``."""
        if self._warned.get(key) == what:
            return
        self._warned[key] = what
        while len(self._warned) > _MOST_WARNED:
            del self._warned[next(iter(self._warned))]
        self._on_code(code, what)
        if code == "AN030":  # which safety does not log
            self._say(what)

    def has_differed(self, order: Order, now_ns: int) -> bool:
        """Return whether ``order``, which differs, does so for so long that no lag of the broker explains it."""
        since_ns = self._differs_since.setdefault(order.client_order_id, now_ns)
        return now_ns - max(since_ns, order.ts_update_ns) >= self._patience_ns

    def agrees(self, key: str) -> None:
        """Note that the order ``key`` does not differ."""
        self._differs_since.pop(key, None)

    def keep(self, keys: Container[str]) -> None:
        """Forget since when orders differ that are not in ``keys``: the books do not show them any more."""
        self._differs_since = {key: ns for key, ns in self._differs_since.items() if key in keys}

    def tell_foreign(self, others: Sequence[BrokerOrder]) -> None:
        """Report each open order at the broker that is not ours, once."""
        told = self._foreign
        foreign = [one for one in others if one.is_open and one.ref not in told]
        for one in foreign:
            what = f"{one.side.value} {one.remaining} {one.symbol}"
            self._say(f"order {one.ref.number} at {self._broker} is not ours: {what}")
        self._foreign = {one.ref for one in others if one.ref in told} | {one.ref for one in foreign}
