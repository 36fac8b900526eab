"""The messages between a session and its recorder process: length-prefixed MessagePack, nothing else.

Down: a :class:`Greeting`, then blocks (:func:`block_frame`). Up: a :class:`Report` after the greeting, after every
block, and whenever the server goes away or comes back.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from qts.event.worker import LENGTH
from qts.market.contracts import MarketValue
from qts.market.depth import UnreadLevels, pairs_of

MOST_VALUES: Final = 4_096
"""The values of the largest block."""

_block_head: Final = struct.Struct("<q")
_decode: Final = msgspec.msgpack.Decoder(list[MarketValue]).decode


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """The first message to a recorder process: the server (a URL without a password) and what is recorded.

    ``tick_days`` and ``minute_days`` are for how many days values and bars of a minute are kept, 0: for all time.
    ``is_again``: the process takes the place of one that ended, and the server could be used before.
    """

    url: str
    source: str
    currency: str
    max_age_ns: int
    tick_days: int = 30
    minute_days: int = 30
    is_again: bool = False


class Report(msgspec.Struct, frozen=True, array_like=True):
    """A message of a recorder process: its counts since it began.

    ``blocks``: blocks that are done with. ``recorded``: values of them that are on the server.
    ``refused``: values that the server cannot hold, and ``first_refusal`` why the first of them.
    ``state``: "ready", "away" (it tries again) or "failed" (it cannot go on); ``why``: why it is not ready.
    """

    blocks: int = 0
    recorded: int = 0
    refused: int = 0
    first_refusal: str = ""
    state: Literal["ready", "away", "failed"] = "ready"
    why: str = ""


def _plain(value: Any) -> Any:
    """Return the levels of a book that are still text as pairs of texts."""
    if isinstance(value, UnreadLevels):
        pairs, *_ = pairs_of(value)
        first = next(iter(pairs), None)
        return list(pairs) if first is not None and isinstance(first[0], str) else list(value)
    raise TypeError(f"{type(value).__name__} is no part of a market value")


encode_value: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode
"""Returns a market value as MessagePack."""


def block_frame(number: int, coded: Sequence[bytes]) -> bytes:
    """Return a block as it is sent: ``coded`` are its values, numbered in the recording from ``number`` on."""
    count = len(coded)
    body = b"".join((_block_head.pack(number), b"\xdd", count.to_bytes(4, "big"), *coded))
    return LENGTH.pack(len(body)) + body


def block_of(body: bytes) -> tuple[int, list[MarketValue]]:
    """Return the number of the first value of a block, and its values."""
    (number,) = _block_head.unpack_from(body)
    return number, _decode(memoryview(body)[_block_head.size :])
