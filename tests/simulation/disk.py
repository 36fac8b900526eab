"""The disk of a simulation: it knows what it was told, what it has confirmed, and what is in between.

Files are real ones below one directory, so that everything reads them as always; they hold what the operating
system holds. Beside them stands what a loss of power leaves: the confirmed content, and of all that was written
since then whatever the disk has got done, in any order, the last of it perhaps in part. Names are confirmed with
their directory. Calls of the system arrive here from :mod:`tests.simulation.system_calls`, SQLite's from
:mod:`tests.simulation.sqlite_files`.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from tests.simulation.machine import Crash, Machine, machine
from tests.simulation.world import World

SECTOR = 512
_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Inode:
    """The content of a file: what is confirmed, and the changes since then."""

    __slots__ = ("changes", "content")

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.changes: list[tuple[int, bytes | None]] = []
        """Bytes written at an offset, or None where the file was cut there."""

    def confirm(self) -> None:
        """Take over every change."""
        for offset, data in self.changes:
            _apply(self.content, offset, data)
        self.changes.clear()

    def after_power_loss(self, rng: random.Random, *, appended: bool) -> bytes:
        """Return what is left of it: the first changes, the last of them in part; or any, or any sectors of them.

        ``appended``: file systems keep the order within a file that is only appended to.
        """
        left = bytearray(self.content)
        how = rng.random() * (0.6 if appended else 1.0)
        done = rng.randint(0, len(self.changes))
        for number, (offset, data) in enumerate(self.changes):
            if how < 0.6:  # in order up to some change, that one in part
                if number > done:
                    break
                if number == done and data is not None:
                    data = data[: rng.choice((0, rng.randint(0, len(data))))]
            elif how < 0.8 and rng.random() < 0.5:
                continue
            elif how >= 0.8 and data is not None:
                for start in range(0, len(data), SECTOR):
                    if rng.random() < 0.5:
                        _apply(left, offset + start, data[start : start + SECTOR])
                continue
            _apply(left, offset, data)
        return bytes(left)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """The disk below ``root``, with the faults that the story arms."""

    current: ClassVar[Disk | None] = None

    def __init__(self, root: Path, world: World, chance: str) -> None:
        self.root = str(root)
        self.world = world
        self.rng = random.Random(chance)
        self.names: dict[str, Inode] = {}
        self.confirmed: dict[str, Inode] = {}
        self.descriptors: dict[int, str] = {}
        self.is_dead = False
        self.is_full = False
        self.faults: list[tuple[str, int]] = []
        """Kinds of faults, and how many calls come before each."""
        self.slow_until_ns = 0
        self.slow = ""
        """Part of the names of the files that are slow until then: what else is written overtakes them."""
        self.image: dict[str, bytes] = {}
        """What the next process finds, behind a crash."""
        self.has_failed = False
        """Whether a call of this process was refused: it may end by that."""

    # -- what happens to it --------------------------------------------------------------------------------------

    def arm(self, kind: str, calls: int) -> None:
        """Let a call fail, or end the process: the one behind ``calls`` of its kind."""
        self.faults.append((kind, calls))

    def calm(self) -> None:
        """Let nothing fail any more."""
        self.faults.clear()
        self.is_full, self.slow_until_ns = False, 0

    def crash(self, *, power: bool) -> None:
        """End the process here and now; what is left is in :attr:`image`. Raises Crash."""
        if not self.is_dead:
            self.is_dead = True
            self.image = self._after_power_loss() if power else self.as_it_is()
            machine().crash()
        raise Crash

    def as_it_is(self) -> dict[str, bytes]:
        """Return the files as the operating system has them."""
        found = {}
        for directory, _, names in os.walk(self.root):
            for name in names:
                if not name.endswith("-shm"):
                    path = Path(directory, name)
                    found[str(path.relative_to(self.root))] = path.read_bytes()
        return found

    def _after_power_loss(self) -> dict[str, bytes]:
        kept = self.names if self.rng.random() < 0.5 else self.confirmed
        start = len(self.root) + 1
        return {
            path[start:]: inode.after_power_loss(self.rng, appended="sqlite" not in path)
            for path, inode in kept.items()
        }

    def put(self, image: dict[str, bytes]) -> None:
        """Begin with these files, all of them confirmed."""
        for name, content in image.items():
            path = Path(self.root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
            self.names[str(path)] = self.confirmed[str(path)] = Inode(content)

    def is_mine(self, path: str) -> bool:
        """Return whether a path lies on this disk."""
        return path.startswith(self.root)

    # -- calls ---------------------------------------------------------------------------------------------------

    def opened(self, path: str, fd: int, *, is_new: bool) -> None:
        """Note a descriptor of a file; ``is_new``: the call has made the file."""
        self.descriptors[fd] = path
        if is_new and not os.path.isdir(path):
            self.made(path)

    def made(self, path: str) -> None:
        """Note that a file was made."""
        if path not in self.names:
            self.names[path] = Inode()

    def write(self, path: str, offset: int, data: bytes, call: Callable[[bytes], int]) -> int:
        """Write, or fail, or end the process in the middle. Raises OSError, Crash."""
        self._go_on()
        inode = self.names.setdefault(path, Inode())
        kind = self._due(("EIO at a write", "short write", "killed at a write", "power at a write"))
        if self.is_full:
            self._refused("disk: full")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if kind == "EIO at a write":
            self._refused("disk: EIO at a write")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if kind:
            part = data[: self.rng.randint(0, max(len(data) - 1, 0))]
            if part:
                call(part)
                inode.changes.append((offset, bytes(part)))
            if kind == "short write":
                self._refused("disk: short write")
                return len(part)
            self.world.fire(f"crash: {kind}")
            self.crash(power=kind.startswith("power"))
        inode.changes.append((offset, bytes(data)))
        return call(data)

    def cut(self, path: str, size: int, call: Callable[[], None]) -> None:
        """Cut a file to a size."""
        self._go_on()
        self.names.setdefault(path, Inode()).changes.append((size, None))
        call()

    def sync(self, path: str) -> None:
        """Wait for the disk to confirm a file, or the names of a directory. Raises OSError, Crash."""
        self._go_on()
        kind = self._due(("EIO at a sync", "power at a sync"))
        made = Machine.current
        if made is not None:
            self._wait(made, slow=made.now_ns < self.slow_until_ns and self.slow in path)
        if kind == "EIO at a sync":
            self._refused("disk: EIO at a sync")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if kind:
            self.world.fire(f"crash: {kind}")
            self.crash(power=True)
        inode = self.names.get(path)
        if inode is not None:
            inode.confirm()
            if path not in self.confirmed and path.endswith(("sqlite", "-wal", "-journal")):
                self.confirmed[path] = inode  # SQLite confirms the names of its files with them
            return
        for name in [*self.confirmed]:
            if os.path.dirname(name) == path and name not in self.names:
                del self.confirmed[name]
        self.confirmed |= {name: one for name, one in self.names.items() if os.path.dirname(name) == path}

    def renamed(self, source: str, target: str) -> None:
        """Note that a file has another name, in place of what had it before."""
        if source in self.names:
            self.names[target] = self.names.pop(source)

    def removed(self, path: str) -> None:
        """Note that a name is gone."""
        self.names.pop(path, None)

    # -- inside --------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self.is_dead:
            raise Crash

    def _wait(self, made: Machine, *, slow: bool) -> None:
        made.sleep(self.rng.randint(300, 1_500) * 1_000_000 if slow else self.rng.randint(50, 900) * 1_000)
        self._go_on()

    def _due(self, kinds: tuple[str, ...]) -> str:
        """Count a call, and return the fault that it meets; "" for none."""
        for number, (kind, left) in enumerate(self.faults):
            if kind in kinds:
                if left > 0:
                    self.faults[number] = kind, left - 1
                    continue
                del self.faults[number]
                return kind
        return ""

    def _refused(self, what: str) -> None:
        self.has_failed = True
        self.world.fire(what)
