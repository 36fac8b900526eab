"""Leads what SQLite writes and syncs to the disk of a simulation, by its interface to file systems.

A file system of its own stands before SQLite's: opening a file on the simulated disk replaces the methods that
write, cut and sync it. Reading, locking and shared memory stay SQLite's.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import os
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from typing import Any

from tests.simulation.disk import Disk

_OK, _IOERR, _FULL = 0, 10, 13
_IOERR_WRITE, _IOERR_FSYNC, _IOERR_TRUNCATE = 778, 1034, 1546

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))  # SQLite keeps the name's place
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("others", c_void_p * 14),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", c_void_p),
        ("xTruncate", c_void_p),
        ("xSync", c_void_p),
        ("others", c_void_p * 13),
    ]


_paths: dict[int, str] = {}
_originals: dict[int, tuple[Any, Any, Any]] = {}
"""By the address of our table: SQLite's own ways to close, write and cut."""
_tables: dict[int, _Methods] = {}
"""Ours by the address of SQLite's."""
_kept: list[Any] = []
_real_open: Any = None
_real_delete: Any = None


def install() -> None:
    """Put the file system in its place, for every connection that this process makes."""
    global _real_open, _real_delete
    library = ctypes.CDLL(_library())
    library.sqlite3_vfs_find.restype = c_void_p
    library.sqlite3_vfs_find.argtypes = [c_char_p]
    library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
    found = _Vfs.from_address(library.sqlite3_vfs_find(None))
    ours = _Vfs()
    ctypes.memmove(ctypes.byref(ours), ctypes.byref(found), ctypes.sizeof(_Vfs))
    _real_open = _OPEN(found.xOpen)
    _real_delete = _DELETE(found.xDelete)
    opening, deleting = _OPEN(_open), _DELETE(_delete)
    ours.zName = b"simulated"
    ours.pNext = None
    ours.xOpen = ctypes.cast(opening, c_void_p)
    ours.xDelete = ctypes.cast(deleting, c_void_p)
    _kept.extend((library, ours, opening, deleting))
    library.sqlite3_vfs_register(ctypes.addressof(ours), 1)


def _library() -> str:
    """Return the library that Python's SQLite uses. Raises OSError where it is a part of Python itself."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "libsqlite3" in line:
                return line.split(maxsplit=5)[5].strip()
    return _sqlite3.__file__


def _open(vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
    disk = Disk.current
    path = "" if name is None else os.fsdecode(ctypes.string_at(name))
    mine = disk is not None and path.startswith(disk.root) and not path.endswith("-shm")
    if mine and disk is not None and disk.is_dead:
        return 14
    was_there = not mine or os.path.exists(path)
    code: int = _real_open(vfs, name, file, flags, out)
    if code != _OK or not mine or disk is None:
        return code
    if not was_there:
        disk.made(path)
    methods = ctypes.cast(file, POINTER(c_void_p))
    original: int = methods[0] or 0
    methods[0] = ctypes.addressof(_table(original))
    _paths[file] = path
    return code


def _table(original: int) -> _Methods:
    table = _tables.get(original)
    if table is None:
        theirs = _Methods.from_address(original)
        table = _Methods()
        ctypes.memmove(ctypes.byref(table), original, ctypes.sizeof(_Methods))
        close, write, cut = _CLOSE(theirs.xClose), _WRITE(theirs.xWrite), _TRUNCATE(theirs.xTruncate)
        ways = (
            _CLOSE(lambda file: _closed(file, close)),
            _WRITE(lambda file, data, size, offset: _written(file, data, size, offset, write)),
            _TRUNCATE(lambda file, size: _cut(file, size, cut)),
            _SYNC(_synced),
        )
        table.xClose, table.xWrite, table.xTruncate, table.xSync = (ctypes.cast(way, c_void_p) for way in ways)
        _tables[original] = table
        _kept.append(ways)
    return table


def _closed(file: int, close: Any) -> int:
    _paths.pop(file, None)
    return int(close(file))


def _disk_of(path: str) -> Disk | None:
    disk = Disk.current
    return disk if disk is not None and disk.is_mine(path) and not disk.is_dead else None


def _written(file: int, data: int, size: int, offset: int, write: Any) -> int:
    try:
        path = _paths[file]
        disk = _disk_of(path)
        if disk is None:
            return _IOERR_WRITE

        def call(part: bytes) -> int:
            if write(file, data, len(part), offset) != _OK:
                raise OSError(errno.EIO, "the file could not be written")
            return len(part)

        done = disk.write(path, offset, ctypes.string_at(data, size), call)
        return _OK if done == size else _FULL
    except OSError as error:
        return _FULL if error.errno == errno.ENOSPC else _IOERR_WRITE
    except BaseException:  # noqa: BLE001 - no exception passes through C: the next call of this thread raises it
        return _IOERR_WRITE


def _cut(file: int, size: int, cut: Any) -> int:
    try:
        path = _paths[file]
        disk = _disk_of(path)
        if disk is None:
            return _IOERR_TRUNCATE
        disk.cut(path, size, lambda: cut(file, size))
        return _OK
    except BaseException:  # noqa: BLE001 - see above
        return _IOERR_TRUNCATE


def _synced(file: int, flags: int) -> int:
    try:
        path = _paths[file]
        disk = _disk_of(path)
        if disk is None:
            return _IOERR_FSYNC
        disk.sync(path)
        return _OK
    except BaseException:  # noqa: BLE001 - see above
        return _IOERR_FSYNC


def _delete(vfs: int, name: bytes, sync: int) -> int:
    disk = Disk.current
    path = os.fsdecode(name)
    if disk is not None and disk.is_mine(path):
        if disk.is_dead:
            return _IOERR
        disk.removed(path)
    return int(_real_delete(vfs, name, sync))
