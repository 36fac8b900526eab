"""Opens a prepared capture; whatever is not as it was written is not used."""

from __future__ import annotations

import mmap
import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from qts.market.prepared.block import Block
from qts.market.prepared.layout import CLOSING, MAGIC, BlockContents, Contents

_decode: Final = msgspec.msgpack.Decoder(Contents).decode


class PreparedCapture:
    """A prepared capture of which every byte is as it was written."""

    def __init__(self, path: Path, contents: Contents, view: memoryview) -> None:
        self.path = path
        self.contents = contents
        self._view = view

    @property
    def rows(self) -> int:
        """Return the number of values."""
        return sum(block.rows for block in self.contents.blocks)

    @property
    def size(self) -> int:
        """Return the size of the file in bytes."""
        return len(self._view)

    def block(self, at: int) -> Block:
        """Return block number ``at`` (from 0)."""
        return Block(self.contents.blocks[at], self._view)


def open_capture(path: Path, key: str) -> PreparedCapture | None:
    """Return the capture in ``path``; None when there is none, or it is not whole, damaged, of another ``key`` or
    another owner's.

    A link is not followed: what the directory of the user does not hold itself is not used.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        view = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # empty, or it cannot be mapped
        return None
    finally:
        os.close(handle)
    contents = _contents_of(view)
    if contents is None or contents.key != key:
        return None
    return PreparedCapture(path, contents, view)


def _contents_of(view: memoryview) -> Contents | None:
    if len(view) < len(MAGIC) + CLOSING.size or bytes(view[: len(MAGIC)]) != MAGIC:
        return None
    begin, length, checksum, magic = CLOSING.unpack(view[-CLOSING.size :])
    content = view[begin : begin + length]
    if magic != MAGIC or begin + length + CLOSING.size != len(view) or zlib.crc32(content) != checksum:
        return None
    try:
        contents = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return contents if _is_whole(contents.blocks, view, begin) else None


def _is_whole(blocks: Sequence[BlockContents], view: memoryview, end: int) -> bool:
    """Return whether the blocks follow each other up to ``end`` without a gap and have their checksums."""
    at = len(MAGIC)
    for block in blocks:
        if block.first_byte != at or zlib.crc32(view[at : block.last_byte]) != block.checksum:
            return False
        at = block.last_byte
    return at == end
