"""All copies of a session's book on servers, as the session sees them: any number, also none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from qts.clock import NS_PER_S, stopwatch_ns
from qts.db.config import StoreConfig
from qts.runtime.persistence.server_copy import ServerCopy, ServerView
from qts.runtime.session.progress import Progress

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower

_MB: Final = 1 << 20


class ServerCopies:
    """The copies that ``followers`` make; without one, every method does nothing.

    For the session's thread; see :class:`~qts.runtime.persistence.server_copy.ServerCopy` for the other arguments.
    """

    def __init__(
        self,
        followers: Sequence[Follower] = (),
        config: StoreConfig | None = None,
        *,
        in_real_time: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        config = config or StoreConfig()
        self._copies = [ServerCopy(one, config, in_real_time=in_real_time, tell=tell) for one in followers]
        self._alarm_mb, self._tell, self._is_alarmed = config.outbox_alarm_mb, tell, False
        self._waited_for = next((copy for copy in self._copies if copy.is_waited_for), None)
        self.is_waited_for = self._waited_for is not None
        """Whether orders wait for one of them, and entries are refused while it is away or behind."""

    def committed(self) -> None:
        """Notify the followers that a batch was committed."""
        for copy in self._copies:
            copy.follower.wake()

    def run_changed(self) -> None:
        """Notify the followers that the run, or its configurations, have changed."""
        for copy in self._copies:
            copy.follower.run_changed()

    def why_behind(self) -> str:
        """Return why no entry may leave now, with numbers; "" when it may."""
        return "" if self._waited_for is None else self._waited_for.why_behind()

    def why_no_entries(self) -> str:
        """Return why entries are refused now, for an operator; "" when they are not."""
        return "" if self._waited_for is None else self._waited_for.why_no_entries()

    async def confirmed(self) -> str:
        """Wait for the one that is waited for, if any; return why it has not everything, "" when it has."""
        return "" if self._waited_for is None else await self._waited_for.confirmed()

    def along(self, progress: Progress) -> Progress:
        """Return a ``progress`` that also looks, once a second of real time."""
        if not self._copies:
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
        """Report once what an operator has to know of each, and that much waits, and once that this is over."""
        for copy in self._copies:
            copy.look()
        waiting = {copy.called: copy.follower.status.waiting_bytes for copy in self._copies}
        size = max(waiting.values(), default=0)
        was_alarmed, self._is_alarmed = self._is_alarmed, size > self._alarm_mb * _MB
        if self._is_alarmed and not was_alarmed:
            slow = " and ".join(called for called, lacks in waiting.items() if lacks)
            self._tell(f"{size // _MB:,} MB wait for {slow}; nothing of it is lost")
        elif was_alarmed and not self._is_alarmed:
            self._tell("less waits in the outbox again")

    def views(self) -> tuple[ServerView, ...]:
        """Return what is shown of each."""
        return tuple(copy.view() for copy in self._copies)
