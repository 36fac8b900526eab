"""Writes the view of a session to its directory at most once a second.

Building a view only reads (:mod:`qts.runtime.session.view_builder`). In real time the file is written on another
thread, one at a time; a slow disk delays views, never an event.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from qts.clock import NS_PER_S, Clock, stopwatch_ns
from qts.db.contracts import RunRow
from qts.event.contracts import EventPriority
from qts.files import private_opener
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import Progress
from qts.runtime.session.session_plan import Profile
from qts.runtime.session.session_view import VIEW_NAME, SessionView
from qts.runtime.session.view_builder import view_of

EVERY_NS: Final = NS_PER_S
"""Real time between two views."""


def replace_view(directory: Path, data: bytes) -> None:
    """Replace the view in ``directory`` as a whole; on an error it stays as it was. Readable by its owner alone.

    It is not synced: after a loss of power the store shows that the session is gone.
    """
    path = directory / VIEW_NAME
    draft = f"{path}.new"
    with suppress(OSError):
        with open(draft, "wb", opener=private_opener) as file:
            file.write(data)
        os.replace(draft, path)


class ViewFile:
    """The view of ``kernel``'s session in ``directory``, replaced as a whole and readable by its owner alone.

    ``machine`` stamps it. ``show`` is given each view as well, on the session's thread. A file that cannot be
    written is tried again with the next view: nothing depends on it.
    """

    def __init__(
        self,
        directory: Path,
        kernel: Kernel,
        run: RunRow,
        mode: str,
        machine: Clock,
        profile: Profile = Profile.RULES,
        show: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        self._directory = directory
        self._kernel = kernel
        self._run = run
        self._mode = mode
        self._profile = profile
        self._show = show
        self._machine = machine
        self._encode = msgspec.json.Encoder().encode
        self._due_ns = 0
        self._writing: asyncio.Future[None] | None = None

    def write_if_due(self) -> None:
        """Write a new view when the last one is a second old; not while a P0 event waits."""
        if stopwatch_ns() < self._due_ns:
            return
        if self._kernel.dispatcher.stats.is_waiting(EventPriority.P0_CRITICAL):
            return
        if self._writing is not None and not self._writing.done():
            return
        self._due_ns = stopwatch_ns() + EVERY_NS
        data = self._encode(self._view(""))
        self._show(data)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # on the virtual clock no handler waits
            self._write(data)
        else:
            with suppress(RuntimeError):  # no room for a thread: the view is older, the session goes on
                self._writing = loop.run_in_executor(None, self._write, data)

    def along(self, progress: Progress) -> Progress:
        """Return a ``progress`` that also writes the view when one is due."""

        def observed(share: float | None, moment_ns: int, /) -> None:
            self.write_if_due()
            progress(share, moment_ns)

        return observed

    async def end(self, ended: str) -> SessionView:
        """Write the last view, after one that is still being written, and return it.

        ``ended``: the session has ``finished`` or was ``stopped``.
        """
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        view = self._view(ended)
        data = self._encode(view)
        self._show(data)
        self._write(data)
        return view

    def _view(self, ended: str) -> SessionView:
        return view_of(self._kernel, self._run, self._mode, ended, self._machine, self._profile)

    def _write(self, data: bytes) -> None:
        replace_view(self._directory, data)
