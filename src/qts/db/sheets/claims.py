"""The writers of runs, as far as a spreadsheet can tell them: it keeps no one out."""

from __future__ import annotations

import os
import platform
from typing import Final

from qts.clock import NS_PER_S
from qts.db.sheets.runs import Progress
from qts.ids import random_prefix

HELD_S: Final = 600
"""How long a writer of whom nothing is seen is taken for alive, in s."""
_OPEN: Final[set[str]] = set()
"""The claimants of this process that have not given up."""


class Claimant:
    """A writer of runs: this machine, this process, and a name of its own within it."""

    def __init__(self) -> None:
        self._name = random_prefix()
        self.holder = f"{platform.node()}:{os.getpid()}:{self._name}"

    def begin(self) -> None:
        """Count as alive for the others of this process."""
        _OPEN.add(self._name)

    def end(self) -> None:
        """Count as gone; may be called twice."""
        _OPEN.discard(self._name)

    def rival_of(self, progress: Progress, now_ns: int) -> str:
        """Return who else writes a run and is alive, as machine and process; "" for no one."""
        machine, _, rest = progress.holder.partition(":")
        pid, _, name = rest.partition(":")
        if not progress.holder or name == self._name or now_ns - progress.seen_ns > HELD_S * NS_PER_S:
            return ""
        if machine == platform.node() and not _is_alive(pid, name):
            return ""
        return f"process {pid} on {machine}"

    def is_to_be_seen(self, progress: Progress, now_ns: int) -> bool:
        """Return whether a run of ours has not been written for so long that others soon take us for gone."""
        is_ours = progress.holder == self.holder
        return is_ours and now_ns - progress.seen_ns > HELD_S // 4 * NS_PER_S


def _is_alive(pid: str, name: str) -> bool:
    if pid == str(os.getpid()):
        return name in _OPEN
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
