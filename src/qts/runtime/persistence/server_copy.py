"""A copy of a session's book on a server, as the session sees it: who waits for it, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from qts.db.config import DATABASE, StoreConfig
from qts.errors import Unavailable
from qts.wording import counted

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower, FollowerStatus

SERVER_STATES: Final = ("CONNECTING", "FOLLOWING", "AWAY", "REFUSED")
"""The names of the states of a follower, which is not imported without a server; a test compares them."""
_NO_LIMIT: Final = 1 << 62
"""Of the batches that a spreadsheet may lack: it is asked a few times a minute, each time for many."""


class ServerView(msgspec.Struct, frozen=True):
    """The copy of a session's book on a server. ``state``: CONNECTING, FOLLOWING, AWAY or REFUSED.

    ``name``: database or sheets. ``server``: its name and version, "" until it was open. ``reason``: why it is AWAY
    or REFUSED, else "". ``applied`` of ``newest`` batches are there, if ``is_known``: the server was asked; the
    oldest that is not has waited ``lag_s`` seconds of real time. ``waiting_bytes``: the size of the outbox, 0 when
    the server lacks nothing. ``waits``: how often an order has waited for the server, ``late``: how often without
    success. ``slow``: how often the server took longer than half a second for batches. ``durability``: local or
    server. ``altered``: rows that are not there as they were sent, in sentences; () when they are, or no one looks.
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
    is_known: bool = True
    altered: tuple[str, ...] = ()

    @property
    def lag_batches(self) -> int:
        """Return how many batches the server lacks."""
        return max(self.newest - self.applied, 0)


class ServerCopy:
    """The copy that ``follower`` makes, as the session sees it; for the session's thread.

    ``in_real_time`` False: on the virtual clock, where no one waits and no one is refused, because nothing may
    depend on real time. ``tell`` takes what an operator has to know, once for each episode.
    """

    def __init__(
        self,
        follower: Follower,
        config: StoreConfig,
        *,
        in_real_time: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.follower = follower
        self._config = config
        self._in_real_time = in_real_time
        self._tell = tell
        self._waits = self._late = 0
        self._episodes: dict[str, str] = {}
        is_database = follower.name == DATABASE
        self._notes_told = len(follower.status.notes) if is_database else 0
        self.called = "the server" if is_database else "Google Sheets"
        """How messages name it."""
        self._lag_s = config.lag_s if is_database else config.sheets_lag_s
        self._lag_batches = config.lag_batches if is_database else _NO_LIMIT
        self.is_waited_for = is_database and in_real_time and config.durability == "server"
        """Whether orders wait for the server, and entries are refused while it is away or behind."""

    def why_behind(self) -> str:
        """Return why no entry may leave now, with numbers; "" when it may."""
        if not self.is_waited_for:
            return ""
        status = self.follower.status
        return "" if self.follower.is_following and not self._is_behind(status) else self._standing(status)

    def why_no_entries(self) -> str:
        """Return why entries are refused now, for an operator; "" when they are not. The view has the numbers."""
        if not self.why_behind():
            return ""
        state = "behind" if self.follower.is_following else self.follower.status.state.value
        return f"STORE_BEHIND: the server is {state}, and store.durability = server; exits leave"

    async def confirmed(self) -> str:
        """Wait until the server has everything committed so far; return why it has not, "" when it has.

        It waits ``store.wait_ms`` at most, and not at all for a server that is known to be away.
        """
        if not self.is_waited_for:
            return ""
        self._waits += 1
        future = self.follower.until(self.follower.status.newest)
        try:
            async with asyncio.timeout(self._config.wait_ms / 1_000):
                await asyncio.wrap_future(future)
        except TimeoutError:
            self._late += 1
            return f"the server did not have the order within {self._config.wait_ms} ms"
        except Unavailable:
            self._late += 1
            return self._standing(self.follower.status)
        return ""

    def look(self) -> None:
        """Report once that the server is behind or away, or was altered, and once that this is over; and new notes.

        On the virtual clock a lag says nothing, and the end of the session tells what the server has.
        """
        status = self.follower.status
        for note in status.notes[self._notes_told :]:
            self._tell(f"{self.called}: {note}")
        self._notes_told = max(self._notes_told, len(status.notes))
        is_out = status.state.value in ("AWAY", "REFUSED") or (
            self.is_waited_for and not self.follower.is_following
        )
        is_behind = is_out or self._is_behind(status)
        effect = "entries are refused" if self.is_waited_for else "the session goes on without it"
        said = f"{self._standing(status)}; {effect}"
        self._episode("behind", said if is_behind and self._in_real_time else "", f"{self.called} follows again")
        altered = "; ".join(status.altered)
        self._episode(
            "altered",
            f"{self.called} had rows that someone changed there, and the local book holds what is true: {altered}"
            if altered
            else "",
            f"{self.called} has every row as it was sent again",
        )

    def view(self) -> ServerView:
        """Return what is shown of it."""
        return msgspec.structs.replace(
            view_of(self.follower.status),
            durability=self._config.durability if self.follower.name == DATABASE else "local",
            waits=self._waits,
            late=self._late,
        )

    def _is_behind(self, status: FollowerStatus) -> bool:
        return status.lag_s > self._lag_s or status.lag_batches > self._lag_batches

    def _standing(self, status: FollowerStatus) -> str:
        limits = f"{self._lag_batches:,} and " if self._lag_batches < _NO_LIMIT else ""
        lacks = (
            f"it lacks {counted(status.lag_batches, 'batch', 'batches')}, the oldest for {status.lag_s:.1f} s "
            f"(limit{'s' if limits else ''} {limits}{self._lag_s:g} s)"
        )
        if not status.is_known:
            lacks = f"it was not asked yet what it has of {counted(status.newest, 'batch', 'batches')}"
        state = status.state.value
        if state == "FOLLOWING":
            return f"{self.called} is behind: {lacks}"
        return f"{self.called} is {state}: {status.reason or 'it is being opened'}; {lacks}"

    def _episode(self, name: str, why: str, over: str) -> None:
        before = self._episodes.get(name, "")
        self._episodes[name] = why
        if why and not before:
            self._tell(why)
        elif before and not why:
            self._tell(over)


def view_of(status: FollowerStatus) -> ServerView:
    """Return what is shown of a follower."""
    return ServerView(
        name=status.name,
        server=status.server,
        state=status.state.value,
        reason=status.reason,
        applied=status.applied,
        newest=status.newest,
        lag_s=round(status.lag_s, 3),
        waiting_bytes=status.waiting_bytes,
        durability="local",
        slow=status.slow,
        is_known=status.is_known,
        altered=status.altered,
    )
