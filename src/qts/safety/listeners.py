"""Listeners of a state: callbacks for its changes. A listener that raises does not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from qts.errors import QtsError

T = TypeVar("T")


class Listeners(Generic[T]):
    """The callbacks of one source of changes, called in the order of adding.

    ``failures`` counts calls that raised something other than a QtsError. Not thread-safe.
    """

    __slots__ = ("_all", "failures")

    def __init__(self) -> None:
        self._all: list[Callable[[T], None]] = []
        self.failures = 0

    def add(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Add ``listener``; the returned function removes it."""
        self._all.append(listener)
        return lambda: self._all.remove(listener) if listener in self._all else None

    def notify(self, change: T) -> None:
        """Call every listener with ``change``; then raise the first QtsError that one of them raised, if any."""
        first: QtsError | None = None
        for listener in tuple(self._all):
            try:
                listener(change)
            except QtsError as error:
                first = first or error
            except Exception:  # noqa: BLE001 - the edge: a broken listener must not keep the change from the others
                self.failures += 1
        if first is not None:
            raise first
