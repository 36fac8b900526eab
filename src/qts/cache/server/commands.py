"""Commands to a cache server as bytes, by the key that says which node they go to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import hiredis
import msgspec

from qts.cache.server.scripts import Script
from qts.errors import InputError

Word: TypeAlias = str | int

FOREIGN: Final = object()
"""The answer to a reading command about a key that holds another kind of value."""


class Command(msgspec.Struct, frozen=True):
    """A command that may be sent again, since a repeat changes nothing more.

    ``words``: name and arguments; of a script the number of its keys, the keys and its words. ``reads``: where
    another program has put something else at the key, the answer is :data:`FOREIGN` and no refusal.
    """

    key: str
    words: tuple[Word, ...]
    script: Script | None = None
    reads: bool = False


_pack: Final[Callable[[tuple[Word | bytes, ...]], bytes]] = hiredis.pack_command  # type: ignore[assignment]
ASKING: Final = _pack(("ASKING",))
"""What comes before a command to a node that a key is just being moved to."""


def packed(commands: Iterable[Command], *, are_asking: bool = False) -> bytes:
    """Return commands as one connection is sent them.

    The first one of a script brings its text, which the others find on the server, even after it was restarted.
    """
    parts: list[bytes] = []
    brought: set[str] = set()
    for command in commands:
        script, words = command.script, command.words
        if script is not None:
            known = script.name in brought
            brought.add(script.name)
            run = "EVALSHA" if known else "EVAL"
            words = (f"{run}_RO" if script.reads else run, script.name if known else script.text, *words)
        if are_asking:
            parts.append(ASKING)
        parts.append(pack(words))
    return b"".join(parts)


def pack(words: tuple[Word, ...]) -> bytes:
    """Return one command as bytes. Raises InputError for a text that has no form in UTF-8."""
    try:
        return _pack(words)
    except UnicodeEncodeError:
        pass
    try:
        # A key of another program that is no UTF-8 was read in this form, and goes back as it came.
        return _pack(tuple(str(word).encode("utf-8", "surrogateescape") for word in words))
    except UnicodeEncodeError:
        raise InputError(f"a text for the cache cannot be written in UTF-8: {words[0]!a} …") from None
