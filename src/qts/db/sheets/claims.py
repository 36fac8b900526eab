"""The writers of runs, as far as a spreadsheet can tell them: it keeps no one out."""

from __future__ import annotations

import os
import platform
from typing import Final

import msgspec

from qts.clock import NS_PER_S, Clock
from qts.db.contracts import RunRow
from qts.db.sheets.runs import Progress, begun
from qts.db.sheets.runs_tab import RunsTab
from qts.errors import BatchRefused, Fenced, Unavailable
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


class Claims:
    """The claims of one adapter on the runs of ``runs``; ``name`` is that of the spreadsheet, for messages."""

    def __init__(self, runs: RunsTab, clock: Clock, name: str) -> None:
        self._runs, self._clock, self._name = runs, clock, name
        self._claimant = Claimant()
        self._epochs: dict[str, int] = {}

    def has(self, run_id: str) -> bool:
        """Return whether a run was claimed here."""
        return run_id in self._epochs

    async def claim(self, run: RunRow, *, whole_account: bool) -> Progress:
        """Write down that this is the writer of a run, or of its account, and look whether it is; see the port."""
        runs, now_ns = await self._runs.read(), self._clock.time_ns()
        mine = runs.get(run.run_id) or begun(run)
        of_account = [
            one
            for one in runs.values()
            if whole_account and one.whole_account and one.run.account == run.account and one.epoch
        ]
        for one in (mine, *of_account):
            if rival := self._claimant.rival_of(one, now_ns):
                raise Fenced(
                    f"{self._name}: run {one.run.run_id} of account {one.run.account} is written by {rival}; "
                    f"end it, or wait until nothing was seen of it for {HELD_S // 60} minutes"
                )
        epoch = max((one.epoch + 1 for one in runs.values()), default=0)
        epoch = max(epoch, now_ns // NS_PER_S * 1_000)
        holder = self._claimant.holder
        mine = msgspec.structs.replace(
            mine, epoch=epoch, whole_account=whole_account, holder=holder, seen_ns=now_ns
        )
        others = [
            msgspec.structs.replace(one, epoch=epoch, holder="")
            for one in of_account
            if one.run.run_id != run.run_id
        ]
        await self._runs.require()
        await self._runs.put([mine, *others], "claim the run")
        found = (await self._runs.read()).get(run.run_id)
        if found is None or (found.epoch, found.holder) != (epoch, holder):
            raise Unavailable(f"{self._name}: another process claimed a run at the same moment")
        self._claimant.begin()
        self._epochs[run.run_id] = epoch
        return found

    def admitted(self, progress: Progress, run_id: str, account: str, epoch: int) -> Progress:
        """Return the progress with the epoch of the writer: that of the newest claim; 0: of the claim made here.

        A later one goes on: the row of the run was written again from what was known before. Raises BatchRefused
        for another account, Fenced for an earlier epoch.
        """
        refuse_account(progress, account)
        epoch = epoch or self._epochs.get(run_id, 0)
        if epoch < progress.epoch:
            raise Fenced(
                f"run {run_id}: another process has taken it over (epoch {progress.epoch}, this one has {epoch}); "
                "nothing was written"
            )
        return msgspec.structs.replace(progress, epoch=epoch)

    def ours(self, progress: Progress) -> Progress:
        """Return the progress with the claim that was made here, if one was."""
        epoch = self._epochs.get(progress.run.run_id)
        if epoch is None:
            return progress
        return msgspec.structs.replace(progress, epoch=epoch, holder=self._claimant.holder)

    def is_to_be_seen(self, progress: Progress) -> bool:
        """Return whether a run of ours has not been written for so long that others soon take us for gone."""
        is_ours = progress.holder == self._claimant.holder
        return is_ours and self._clock.time_ns() - progress.seen_ns > HELD_S // 4 * NS_PER_S

    async def give_up(self) -> None:
        """Write down that the runs that were claimed here have no writer any more."""
        if self._epochs:
            runs = await self._runs.read()
            ours = [one for one in runs.values() if one.holder == self._claimant.holder]
            if ours:
                released = [msgspec.structs.replace(one, holder="") for one in ours]
                await self._runs.put(released, "give up what was claimed")

    def end(self) -> None:
        """Forget what was claimed, whether it was given up or not; may be called twice."""
        self._epochs.clear()
        self._claimant.end()


def refuse_account(progress: Progress, account: str) -> None:
    """Raise BatchRefused for a run that is of another account there."""
    found = progress.run.account
    if found != account:
        raise BatchRefused(
            f"run {progress.run.run_id} is of account {found} there; it was sent as one of account {account}"
        )


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
