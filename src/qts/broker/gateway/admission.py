"""The last check before an order leaves: its approval is unused and has not expired, and it is still wanted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeAlias

from qts.broker.gateway.tokens import ElapsedTime
from qts.clock import Clock
from qts.risk.contracts import Approved, OrderRequest

WhyNot: TypeAlias = Callable[[OrderRequest], str]
"""Says why an order may not leave now, "" when it may: safety has stopped it, it was withdrawn, the holding that it
sells is gone. Called on the gateway's thread, so it only reads."""


class Admission:
    """Approvals that were used, and the checks before an order leaves. One thread at a time.

    What is left of an approval's life when it is given to the gateway passes by ``elapsed``, so a clock that is set
    back makes none live longer, and none that is made after it expire at once. ``used``: approvals that an earlier
    process has used; they stay used. Others are remembered until they have expired.
    """

    def __init__(self, clock: Clock, elapsed: ElapsedTime, why_not: WhyNot, used: Iterable[str] = ()) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._why_not = why_not
        self._used_before = frozenset(used)
        self._used: OrderedDict[str, int] = OrderedDict()

    def expires_ns(self, approved: Approved) -> int:
        """Return when an approval that is given to the gateway now expires, by the time that has passed, ns."""
        return self._elapsed.ns() + self._left_ns(approved)

    def _left_ns(self, approved: Approved) -> int:
        now_ns, made_ns = self._clock.time_ns(), approved.request.ts_ns
        return approved.expires_ns - (now_ns if now_ns > made_ns else made_ns)

    def use(self, approved: Approved, expires_ns: int) -> None:
        """Remember an approval as used; those that have expired are forgotten."""
        self._remember(approved, expires_ns, self._elapsed.ns())

    def use_at_once(self, approved: Approved) -> str:
        """Use an approval whose order waits in no lane; return why it may not leave, "" when it may."""
        now_ns, left_ns = self._elapsed.ns(), self._left_ns(approved)
        why = self._why_used(approved)
        if not why:
            why = self._why_late(approved, now_ns, now_ns + left_ns)
            if not why:
                self._remember(approved, now_ns + left_ns, now_ns)
        return why

    def _remember(self, approved: Approved, expires_ns: int, now_ns: int) -> None:
        used = self._used
        used[approved.approval_id] = expires_ns
        while used and next(iter(used.values())) < now_ns:
            used.popitem(last=False)

    def why_unsent(self, approved: Approved, expires_ns: int) -> str:
        """Return why the order of ``approved`` may not leave; "" when it may."""
        return self._why_used(approved) or self.why_late(approved, expires_ns)

    def why_late(self, approved: Approved, expires_ns: int) -> str:
        """Return why an order that was let pass may not leave any more; "" when it may."""
        return self._why_late(approved, self._elapsed.ns(), expires_ns)

    def _why_used(self, approved: Approved) -> str:
        approval_id = approved.approval_id
        if approval_id in self._used or approval_id in self._used_before:
            return f"approval {approval_id} was used before"
        return ""

    def _why_late(self, approved: Approved, now_ns: int, expires_ns: int) -> str:
        if now_ns > expires_ns:
            return f"approval {approved.approval_id} has expired"
        return self._why_not(approved.request)
