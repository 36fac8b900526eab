"""The key of a journalled event: its id, and before it, for an execution, the identity that makes it count once.

An execution that a broker reports twice comes in two events with ids of their own (`duplicate-fill`): both are
journalled, as no event is refused before it is on disk, and their keys begin alike. A number that an exchange uses
again on another order or another day begins another key. Other events have their id alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

_MARK: Final = b"execution:"
_END: Final = b"#"
_MOST_BYTES: Final = 1_024
"""Limit of an identity; a longer one is replaced by its SHA-256, so that every key fits into a record."""


def pack_key(event_id: str, identity: Sequence[str] | None) -> bytes:
    """Return the key of an event; ``identity`` is that of its execution, None: it holds none."""
    raw = event_id.encode("utf-8", "surrogatepass")
    if identity is None and not raw.startswith(_MARK):
        return raw
    return _MARK + _packed(identity or ()) + _END + raw


def id_in(key: bytes) -> bytes:
    """Return the event's id as bytes; keys of earlier versions are nothing else."""
    return key.partition(_END)[2] if key.startswith(_MARK) else key


def identity_in(key: bytes) -> bytes:
    """Return what all events of one execution share and no other event has; b"" for a key without execution."""
    return key[len(_MARK) :].partition(_END)[0] if key.startswith(_MARK) else b""


def no_identity(body: object) -> None:
    """Return None: the default, by which no event holds an execution."""


def _packed(identity: Sequence[str]) -> bytes:
    """Join the parts, each with its length, so that no two identities look alike."""
    text = "".join(f"{len(part)}:{part}" for part in identity)
    packed = text.encode("utf-8", "surrogatepass")
    if len(packed) > _MOST_BYTES:
        return b"sha256:" + hashlib.sha256(packed).hexdigest().encode()
    return packed.replace(b"%", b"%25").replace(_END, b"%23")
