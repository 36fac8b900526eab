"""Leads the system calls by which files change to the disk of a simulation; other files stay the system's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.simulation.disk import Disk

_REAL: dict[str, Callable[..., Any]] = {
    name: getattr(os, name)
    for name in ("open", "write", "fdatasync", "fsync", "ftruncate", "replace", "rename", "unlink", "close")
}


def install() -> None:
    """Put the calls in their place, for the whole process."""
    for name in _REAL:
        setattr(os, name, globals()[f"_{name}"])


def _open(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
    disk = Disk.current
    if disk is None or more or not disk.is_mine(name := os.fspath(path)):
        return _REAL["open"](path, flags, mode, **more)
    is_new = bool(flags & os.O_CREAT) and not os.path.exists(name)
    fd: int = _REAL["open"](path, flags, mode)
    disk.opened(name, fd, is_new=is_new)
    return fd


def _close(fd: int) -> None:
    disk = Disk.current
    if disk is not None:
        disk.descriptors.pop(fd, None)
    _REAL["close"](fd)


def _write(fd: int, data: bytes) -> int:
    disk = Disk.current
    path = None if disk is None else disk.descriptors.get(fd)
    if disk is None or path is None:
        return _REAL["write"](fd, data)
    offset = os.fstat(fd).st_size if _appends(fd) else os.lseek(fd, 0, os.SEEK_CUR)
    return disk.write(path, offset, data, lambda part: _REAL["write"](fd, part))


def _appends(fd: int) -> bool:
    import fcntl

    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)


def _fdatasync(fd: int) -> None:
    disk = Disk.current
    path = None if disk is None else disk.descriptors.get(fd)
    if disk is None or path is None:
        _REAL["fdatasync"](fd)
    else:
        disk.sync(path)


_fsync = _fdatasync


def _ftruncate(fd: int, size: int) -> None:
    disk = Disk.current
    path = None if disk is None else disk.descriptors.get(fd)
    if disk is None or path is None:
        _REAL["ftruncate"](fd, size)
    else:
        disk.cut(path, size, lambda: _REAL["ftruncate"](fd, size))


def _replace(source: Any, target: Any, **more: Any) -> None:
    _REAL["replace"](source, target, **more)
    disk = Disk.current
    if disk is not None and disk.is_mine(os.fspath(target)):
        disk.renamed(os.fspath(source), os.fspath(target))


_rename = _replace


def _unlink(path: Any, **more: Any) -> None:
    _REAL["unlink"](path, **more)
    disk = Disk.current
    if disk is not None and disk.is_mine(os.fspath(path)):
        disk.removed(os.fspath(path))


def close_all(disk: Disk) -> None:
    """Close what a process that ended has left open."""
    for fd in list(disk.descriptors):
        try:
            _REAL["close"](fd)
        except OSError:
            continue
    disk.descriptors.clear()
