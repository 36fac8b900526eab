"""The copy of a session's book on a server, as the session sees it: who waits for it, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from qts.clock import NS_PER_S, stopwatch_ns
from qts.db.config import StoreConfig
from qts.errors import Unavailable
from qts.runtime.session.progress import Progress
from qts.wording import counted

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower, FollowerStatus

_MB: Final = 1 << 20
SERVER_STATES: Final = ("CONNECTING", "FOLLOWING", "AWAY", "REFUSED")
"""The names of the states of a follower, which is not imported without a server; a test compares them."""


class ServerView(msgspec.Struct, frozen=True):
    """The copy of a session's book on a server. ``state``: CONNECTING, FOLLOWING, AWAY or REFUSED.

    ``server``: its name and version, "" until it was open. ``reason``: why it is AWAY or REFUSED, else "".
    ``applied`` of ``newest`` batches are there; the oldest that is not has waited ``lag_s`` seconds of real time.
    ``waiting_bytes`` wait in the local book. ``waits``: how often an order has waited for the server, ``late``:
    how often without success. ``slow``: how often the server took longer than half a second for batches.
    ``durability``: local or server.
    """

    name: str
    server: str
    state: str
    reason: str
    applied: int
    newest: int
    lag_s: float
    waiting_bytes: int
    durability: str
    waits: int = 0
    late: int = 0
    slow: int = 0

    @property
    def lag_batches(self) -> int:
        """Return how many batches the server lacks."""
        return max(self.newest - self.applied, 0)


class ServerCopy:
    """The copy that ``follower`` makes; None: there is none, and every method does nothing.

    For the session's thread. ``in_real_time`` False: on the virtual clock, where no one waits and no one is
    refused, because nothing may depend on real time. ``tell`` takes what an operator has to know, once for each
    episode.
    """

    def __init__(
        self,
        follower: Follower | None = None,
        config: StoreConfig | None = None,
        *,
        in_real_time: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._follower = follower
        self._config = config or StoreConfig()
        self._in_real_time = in_real_time
        self._tell = tell
        self._waits = self._late = 0
        self._episodes: dict[str, str] = {}
        self.is_waited_for = follower is not None and in_real_time and self._config.durability == "server"
        """Whether orders wait for the server, and entries are refused while it is away or behind."""

    def committed(self) -> None:
        """Notify the follower that a batch was committed."""
        if self._follower is not None:
            self._follower.wake()

    def run_changed(self) -> None:
        """Notify the follower that the run, or its configurations, have changed."""
        if self._follower is not None:
            self._follower.run_changed()

    def why_behind(self) -> str:
        """Return why no entry may leave now, with numbers; "" when it may."""
        if not self.is_waited_for or self._follower is None:
            return ""
        status = self._follower.status
        return "" if self._follower.is_following and not self._is_behind(status) else self._standing(status)

    def why_no_entries(self) -> str:
        """Return why entries are refused now, for an operator; "" when they are not. The view has the numbers."""
        if not self.why_behind() or self._follower is None:
            return ""
        state = "behind" if self._follower.is_following else self._follower.status.state.value
        return f"STORE_BEHIND: the server is {state}, and store.durability = server; exits leave"

    async def confirmed(self) -> str:
        """Wait until the server has everything committed so far; return why it has not, "" when it has.

        It waits ``store.wait_ms`` at most, and not at all for a server that is known to be away.
        """
        if not self.is_waited_for or self._follower is None:
            return ""
        self._waits += 1
        future = self._follower.until(self._follower.status.newest)
        try:
            async with asyncio.timeout(self._config.wait_ms / 1_000):
                await asyncio.wrap_future(future)
        except TimeoutError:
            self._late += 1
            return f"the server did not have the order within {self._config.wait_ms} ms"
        except Unavailable:
            self._late += 1
            return self._standing(self._follower.status)
        return ""

    def along(self, progress: Progress) -> Progress:
        """Return a ``progress`` that also looks, once a second of real time."""
        if self._follower is None:
            return progress
        due_ns = 0

        def observed(share: float | None, moment_ns: int, /) -> None:
            nonlocal due_ns
            if stopwatch_ns() >= due_ns:
                due_ns = stopwatch_ns() + NS_PER_S
                self.look()
            progress(share, moment_ns)

        return observed

    def look(self) -> None:
        """Report once that the server is behind or away, or that much waits for it, and once that this is over."""
        if self._follower is None:
            return
        status, is_following = self._follower.status, self._follower.is_following
        alarm = status.waiting_bytes > self._config.outbox_alarm_mb * _MB
        waiting = f"{status.waiting_bytes // _MB:,} MB wait for the server; nothing of it is lost"
        self._episode("outbox", waiting if alarm else "", "less waits for the server again")
        behind = self._in_real_time and (not is_following or self._is_behind(status))
        effect = "entries are refused" if self.is_waited_for else "the session goes on without it"
        said = f"{self._standing(status)}; {effect}"
        self._episode("behind", said if behind else "", "the server follows again")

    def view(self) -> ServerView | None:
        """Return what is shown of it; None when there is no server."""
        if self._follower is None:
            return None
        status = self._follower.status
        return ServerView(
            name=status.name,
            server=status.server,
            state=status.state.value,
            reason=status.reason,
            applied=status.applied,
            newest=status.newest,
            lag_s=round(status.lag_s, 3),
            waiting_bytes=status.waiting_bytes,
            durability=self._config.durability,
            waits=self._waits,
            late=self._late,
            slow=status.slow,
        )

    def _is_behind(self, status: FollowerStatus) -> bool:
        return status.lag_s > self._config.lag_s or status.lag_batches > self._config.lag_batches

    def _standing(self, status: FollowerStatus) -> str:
        lacks = (
            f"it lacks {counted(status.lag_batches, 'batch', 'batches')}, the oldest for {status.lag_s:.1f} s "
            f"(limits {self._config.lag_batches:,} and {self._config.lag_s:g} s)"
        )
        state = status.state.value
        if state == "FOLLOWING":
            return f"the server is behind: {lacks}"
        return f"the server is {state}: {status.reason or 'it is being opened'}; {lacks}"

    def _episode(self, name: str, why: str, over: str) -> None:
        before = self._episodes.get(name, "")
        self._episodes[name] = why
        if why and not before:
            self._tell(why)
        elif before and not why:
            self._tell(over)
