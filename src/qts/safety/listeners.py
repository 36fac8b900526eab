"""Those who want to know when a state moves. One broken listener keeps the news from nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from qts.errors import QtsError

T = TypeVar("T")


class Listeners(Generic[T]):
    """Calls everybody in the order of joining; ``failures`` counts those that raised something unexpected."""

    __slots__ = ("_all", "failures")

    def __init__(self) -> None:
        self._all: list[Callable[[T], None]] = []
        self.failures = 0

    def add(self, listener: Callable[[T], None]) -> Callable[[], None]:
        """Join; the returned function leaves."""
        self._all.append(listener)
        return lambda: self._all.remove(listener) if listener in self._all else None

    def tell(self, news: T) -> None:
        """Tell everybody; then raise what a listener's store or check had to say (QtsError), if anything."""
        grave: QtsError | None = None
        for listener in tuple(self._all):
            try:
                listener(news)
            except QtsError as error:
                grave = grave or error
            except Exception:  # noqa: BLE001 - the edge: a broken listener must not keep the news from the others
                self.failures += 1
        if grave is not None:
            raise grave
