"""Which symbols a file may speak of, and the instruments made for them from the file itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from qts.errors import ContractError
from qts.market.contracts import Instrument
from qts.market.files.noise import CLEAN_DECIMALS, is_full_float
from qts.market.files.numbers import number_of
from qts.market.files.refusals import TOO_MANY_SYMBOLS, UNKNOWN_SYMBOL, RowRefused
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import krx_instrument
from qts.money import power_of_ten, times, without_zeros

MAX_SYMBOLS: Final = 10_000
MAX_SYMBOL_LENGTH: Final = 32
ENOUGH_NUMBERS: Final = 100
"""From this many samples on trailing zeros are padding, not precision (BTCUSDT writes its 0.1 grid as 61800.20)."""
QUANTA: Final[Mapping[str, Decimal]] = {
    "KRW": Decimal(1),
    "JPY": Decimal(1),
    # At 0.01 the fee of a small trade (0.05 % of 6 USDT) would be cut to nothing; exchanges book 8 decimals.
    "USDT": Decimal("0.00000001"),
}
DEFAULT_QUANTUM: Final = Decimal("0.01")
DEFAULT_FEE_RATE: Final = Decimal("0.0005")

_KRX_CODE: Final = re.compile(r"[0-9][0-9A-Z]{5}", re.ASCII)
_PRINTABLE: Final = re.compile(rf"[!-~]{{1,{MAX_SYMBOL_LENGTH}}}")
_WON: Final = "KRW"


class Decimals:
    """Counts decimals of the numbers of one kind (prices or sizes) of a symbol."""

    __slots__ = ("_floats", "_significant", "_written", "samples")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.samples = 0
        self._written = 0
        self._floats = 0
        self._significant = 0
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        try:
            number = number_of(text)
        except RowRefused:
            return
        self.samples += 1
        self._written = max(self._written, _decimals(number))
        self._floats += is_full_float(number)
        self._significant = max(self._significant, _decimals(without_zeros(number)))

    @property
    def are_floats(self) -> bool:
        """Whether most of the numbers are full binary floats, which show no grid."""
        return self._floats * 2 > self.samples

    @property
    def count(self) -> int:
        return self._significant if self.samples >= ENOUGH_NUMBERS else self._written


class Grid:
    """The price and size steps of a symbol as its numbers show them.

    Trade prices count only where there are no quotes: midpoint trades lie off the grid.
    """

    __slots__ = ("prices", "sizes", "trades")

    def __init__(self) -> None:
        self.prices = Decimals()
        self.trades = Decimals()
        self.sizes = Decimals()

    def steps(self) -> tuple[int, int]:
        """(decimals of prices, decimals of sizes)."""
        prices = self.prices if self.prices.samples else self.trades
        return prices.count, min(self.sizes.count, CLEAN_DECIMALS) if self.sizes.are_floats else self.sizes.count


Make = Callable[[str, int, int], Instrument]
"""Makes the instrument of a symbol from its price and size decimals; ContractError when it is none."""


class SymbolTable:
    """The instruments of a feed; grows as symbols appear, the same way in every run.

    ``known``: only these, as given. ``only``: only these symbols, made from the file. ``own``: what takes the place
    of an instrument that would be made from the file. One session has one currency, that of its first symbol.
    """

    def __init__(
        self,
        make: Make,
        *,
        known: Mapping[str, Instrument] | None = None,
        only: Collection[str] | None = None,
        own: Mapping[str, Instrument] | None = None,
    ) -> None:
        self.instruments: dict[str, Instrument] = dict(known or {})
        self._closed = known is not None
        self._only = None if only is None else frozenset(only)
        self._own = own or {}
        self._make = make
        self._late: list[list[Any]] = []

    def prepare(self, grids: Mapping[str, Grid]) -> None:
        """Make the instruments of the symbols seen in the head of the file."""
        for symbol, grid in grids.items():
            if symbol not in self.instruments:
                try:
                    self._add(symbol, *grid.steps())
                except RowRefused:
                    continue

    def admit(self, symbol: str, grid: Callable[[], Grid] = Grid) -> str:
        """The symbol's one string object; an instrument exists from here on.

        Raises :class:`RowRefused` for a symbol outside the known or allowed ones. ``grid`` gives the decimals
        of the present row, for a symbol that the head of the file did not have.
        """
        instrument = self.instruments.get(symbol)
        if instrument is None:
            steps = grid().steps()
            instrument = self._add(symbol, *steps)
            self._late.append([symbol, *steps])
        return instrument.symbol

    def state(self) -> list[list[Any]]:
        return [list(row) for row in self._late]

    def restore(self, state: Iterable[Iterable[Any]]) -> None:
        for symbol, price_decimals, size_decimals in state:
            if symbol not in self.instruments:
                self._add(symbol, price_decimals, size_decimals)
            self._late.append([symbol, price_decimals, size_decimals])

    def _add(self, symbol: str, price_decimals: int, size_decimals: int) -> Instrument:
        if self._closed or (self._only is not None and symbol not in self._only):
            raise RowRefused(UNKNOWN_SYMBOL, symbol)
        if not _PRINTABLE.fullmatch(symbol):
            raise RowRefused(UNKNOWN_SYMBOL, symbol)
        if len(self.instruments) >= MAX_SYMBOLS:
            raise RowRefused(TOO_MANY_SYMBOLS, symbol)
        try:
            made = self._own.get(symbol) or self._make(symbol, price_decimals, size_decimals)
        except ContractError:
            raise RowRefused(UNKNOWN_SYMBOL, symbol) from None
        if made.currency != next(iter(self.instruments.values()), made).currency:
            raise RowRefused(UNKNOWN_SYMBOL, symbol)
        self.instruments[symbol] = made
        return made


def generic_instrument(
    symbol: str,
    price_decimals: int,
    size_decimals: int,
    *,
    currency: str,
    fee_rate: Decimal = DEFAULT_FEE_RATE,
) -> Instrument:
    """Open round the clock, one price step, one lot, no tax.

    The quantum is that of the currency, or finer where one lot at one tick is worth less.
    """
    tick = power_of_ten(-price_decimals)
    lot = power_of_ten(-size_decimals)
    quantum = min(QUANTA.get(currency, DEFAULT_QUANTUM), times(tick, lot))
    return Instrument(
        symbol=symbol,
        currency=currency,
        quantum=quantum,
        lot=lot,
        ticks=FixedTicks(tick),
        costs=RateCosts(fee_rate, Decimal(0), quantum),
        calendar=AlwaysOpen(),
    )


def usdt_instrument(symbol: str, price_decimals: int, size_decimals: int) -> Instrument:
    return generic_instrument(symbol, price_decimals, size_decimals, currency="USDT")


def korean_instrument(symbol: str, _price_decimals: int, _size_decimals: int) -> Instrument:
    return krx_instrument(symbol)


def by_look(currency: str) -> Make:
    """KRX codes (005930, 0004V0) get KRX rules when the currency is won; everything else is generic.

    A code of digits alone that is not six long is refused: it lost its leading zeros (MD-08).
    """

    def make(symbol: str, price_decimals: int, size_decimals: int) -> Instrument:
        if currency == _WON and (_KRX_CODE.fullmatch(symbol) or symbol.isdigit()):
            return krx_instrument(symbol)
        return generic_instrument(symbol, price_decimals, size_decimals, currency=currency)

    return make


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # number_of lets only finite numbers pass
    return max(-exponent, 0)
