"""The checkpoint: everything that is not in the store's rows, in one value of plain data.

It is stored in the transaction of the rows that it includes, so that rows and checkpoint belong to the same
moment. The states of components that seldom change are encoded once and reused until they do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from qts.errors import ContractError, StorageError

VERSION = 8
_CHECKSUM = struct.Struct("<I")
"""The CRC-32 of the rest, after it: it reveals a disk that has changed a digit of an amount."""


class Checkpointed(Protocol):
    """A component whose state is part of every checkpoint."""

    def export_state(self) -> Any:
        """Return the state as plain data: texts, numbers, Decimals, lists, dictionaries and structs of these.

        Called on the session's thread between two handlers or at the end of one; must move nothing. What is
        returned is encoded at once, so it may be the component's own.
        """

    def import_state(self, saved: Any) -> None:
        """Take over what :meth:`export_state` returned, as it comes back from its encoding: Decimals as texts,
        tuples as lists, structs as dictionaries.

        Called once, on a fresh component, before the first event. Raises whatever a damaged state leads to.
        """


class Share(NamedTuple):
    """A :class:`Checkpointed` made of two functions, for a component with other method names or several shares."""

    export_state: Callable[[], Any]
    import_state: Callable[[Any], None]


class Registered(NamedTuple):
    """A component in the checkpoint; ``changed`` None: encoded every time."""

    component: Checkpointed
    changed: Callable[[], object] | None


class Checkpoints:
    """Encodes the states of the registered components and restores them, in the order of registration.

    ``optional`` names components that a session may lack, as because of its strategies: where one of these cannot
    be made when a run is resumed, its components are missing, and the run goes on without it.
    """

    def __init__(self, optional: Collection[str] = ()) -> None:
        self._optional = frozenset(optional)
        self._components: dict[str, Registered] = {}
        self._encoder = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=_sequence)
        self._cached: dict[str, tuple[object, msgspec.Raw]] = {}

    def register(self, name: str, component: Checkpointed, changed: Callable[[], object] | None = None) -> None:
        """Add ``component`` to every checkpoint under ``name``. Raises ContractError when the name is taken.

        With ``changed`` its encoded state is reused for as long as ``changed()`` returns an equal value.
        """
        if name in self._components:
            raise ContractError(f"two components would be {name!r} in a checkpoint")
        self._components[name] = Registered(component, changed)

    def encode(self) -> bytes:
        """Return the checkpoint of all components. Raises StorageError for a text that UTF-8 cannot encode."""
        try:
            return self._encode()
        except UnicodeEncodeError as error:
            raise StorageError(
                f"a checkpoint cannot hold the text {error.object!r}: it contains half a character (a lone "
                "surrogate), perhaps in an attribute of a strategy; store whole characters only"
            ) from None

    def _encode(self) -> bytes:
        shares = {
            name: part.component.export_state() if part.changed is None else self._share(name, part)
            for name, part in self._components.items()
        }
        body = self._encoder.encode({"version": VERSION, "parts": shares})
        return body + _CHECKSUM.pack(zlib.crc32(body))

    def restore(self, data: bytes) -> None:
        """Restore every component. Raises StorageError for another version or missing shares."""
        shares = self._decode(data)
        for name, part in self._components.items():
            if name in shares:
                part.component.import_state(shares[name])

    def share(self, data: bytes, name: str) -> Any:
        """Return one component's share of a checkpoint. Raises StorageError."""
        return self._decode(data)[name]

    def _decode(self, data: bytes) -> dict[str, Any]:
        saved = decode(data)
        shares: dict[str, Any] = saved["parts"]
        if not shares.keys() ^ self._components.keys() <= self._optional:
            raise StorageError("the checkpoint was written by another version of QTS; finish that run with it")
        return shares

    def _share(self, name: str, part: Registered) -> msgspec.Raw:
        assert part.changed is not None
        now, cached = part.changed(), self._cached.get(name)
        if cached is None or cached[0] != now:
            cached = self._cached[name] = (now, msgspec.Raw(self._encoder.encode(part.component.export_state())))
        return cached[1]


def _sequence(value: Any) -> list[Any]:
    """Encode sequences that are built on demand (the levels of a book) as lists."""
    if isinstance(value, Sequence):
        return list(value)
    raise StorageError(f"a {type(value).__name__} cannot be part of a checkpoint")


def decode(data: bytes) -> dict[str, Any]:
    """Return a checkpoint as plain data. Raises StorageError when it is damaged or of another version."""
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    is_whole = len(checksum) == _CHECKSUM.size and _CHECKSUM.unpack(checksum)[0] == zlib.crc32(body)
    try:
        # Earlier versions had no checksum.
        saved: dict[str, Any] = msgspec.msgpack.decode(body if is_whole else data)
        version = saved["version"]
        damage = ""
    except (msgspec.DecodeError, ValueError, TypeError, LookupError, RecursionError) as error:
        version, damage = VERSION, f": {error}"
    if not is_whole and version == VERSION:
        raise StorageError(
            f"the checkpoint cannot be read, it is not what was written{damage}; restore the data directory from a "
            "backup, or delete it and start again"
        )
    if version != VERSION:
        raise StorageError(
            f"the checkpoint has version {version}, this program writes {VERSION}; "
            "finish that run with the version of QTS that began it"
        )
    return saved
