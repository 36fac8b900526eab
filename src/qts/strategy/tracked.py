"""Indicators that the session feeds for a strategy: one for each symbol, made from a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from qts.errors import ContractError
from qts.indicators import Candle, Indicator


class Tracked(Mapping[str, Indicator]):
    """The indicators of one ``ctx.track``, by symbol, fed with the finished bars of ``interval``.

    A symbol that had no bar yet has one that is not ready. One that is not among ``symbols``, if any are named,
    raises :class:`~qts.errors.ContractError`; () means every symbol, and which a feed will yield is not known
    beforehand. A strategy reads them; its memory does not hold them, and its ``on_start`` asks for them again when
    a session is resumed.
    """

    __slots__ = ("_by_symbol", "_symbols", "interval", "template")

    def __init__(self, template: Indicator, interval: str, symbols: tuple[str, ...] = ()) -> None:
        self.template = template.clone()
        self.interval = interval
        self._symbols = symbols
        self._by_symbol: dict[str, Indicator] = {}

    @property
    def key(self) -> str:
        """Name it among those of a strategy: settings and interval, like "Sma(20) 1d"."""
        return f"{self.template.name} {self.interval}"

    def __getitem__(self, symbol: str) -> Indicator:
        """Return the indicator of ``symbol``."""
        found = self._by_symbol.get(symbol)
        if found is not None:
            return found
        if self._symbols and symbol not in self._symbols:
            raise ContractError(f"{self.key}: {symbol!r:.40} is none of {', '.join(self._symbols)}"[:300])
        return self.template.clone()

    def __getattr__(self, name: str) -> NoReturn:
        """Raise AttributeError: what an indicator has is asked of the one of a symbol."""
        raise AttributeError(f"{name}: ctx.track returns indicators by symbol; write [bar.symbol].{name}")

    def __contains__(self, symbol: object) -> bool:
        """Return whether ``symbol`` had a bar, as the iteration has it."""
        return symbol in self._by_symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def feed(self, symbol: str, candle: Candle) -> Indicator:
        """Update the indicator of ``symbol`` with a finished bar and return it. Raises what that raises."""
        indicator = self._by_symbol.get(symbol)
        if indicator is None:
            indicator = self._by_symbol[symbol] = self.template.clone()
        indicator.update(candle)
        return indicator

    def export_state(self) -> dict[str, list[Any]]:
        """Return the memory of every indicator, by symbol. Raises ContractError for what cannot be kept."""
        return {symbol: indicator.export_state() for symbol, indicator in self._by_symbol.items()}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`. Raises ContractError when it does not fit."""
        for symbol, state in saved.items():
            indicator = self._by_symbol[symbol] = self.template.clone()
            indicator.import_state(state)
