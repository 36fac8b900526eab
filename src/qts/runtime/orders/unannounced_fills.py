"""Raises a code when the broker's books show executions of which no notice comes, although its line seems well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from qts.clock import NS_PER_S
from qts.execution.contracts import Fill
from qts.wording import counted

_PATIENCE_NS: Final = 2 * NS_PER_S
_MOST: Final = 1_000


class UnannouncedFills:
    """Executions that the books have told, at most 1,000, until their notices come. For the session's thread."""

    def __init__(self, broker: str, on_code: Callable[[str, str], object]) -> None:
        self._broker = broker
        self._on_code = on_code
        self._since: dict[tuple[str, str], int] = {}

    def found(self, fills: Sequence[Fill], now_ns: int) -> None:
        """Note executions that a question begun at ``now_ns`` found in the books and that are not booked."""
        for fill in fills:
            self._since[fill.symbol, fill.execution_id] = now_ns
            if len(self._since) > _MOST:
                del self._since[next(iter(self._since))]

    def told(self, fill: Fill) -> None:
        """Note a notice of an execution that was booked before it."""
        if self._since:
            self._since.pop((fill.symbol, fill.execution_id), None)

    def check(self, now_ns: int) -> None:
        """Raise AN030 for the executions that were found two seconds ago or earlier, once."""
        silent = [key for key, since_ns in self._since.items() if now_ns - since_ns >= _PATIENCE_NS]
        if not silent:
            return
        for key in silent:
            del self._since[key]
        what = ", ".join(f"{number} of {symbol}" for symbol, number in silent[:3])
        text = f"its books have told {counted(len(silent), 'execution')}: {what}"
        self._on_code("AN030", f"no notices come from {self._broker} although it answers: {text}")
