"""The symbols that a file may contain, and the instruments made for them from the file itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from qts.errors import ContractError
from qts.market.contracts import Instrument
from qts.market.files.noise import CLEAN_DECIMALS, is_full_float
from qts.market.files.numbers import number_of
from qts.market.files.refusals import TOO_MANY_SYMBOLS, UNKNOWN_SYMBOL, RowRefused
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import krx_instrument
from qts.money import power_of_ten, times, without_zeros
from qts.notes import Note

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

_ALWAYS_OPEN: Final = AlwaysOpen()
_KRX_CODE: Final = re.compile(r"[0-9][0-9A-Z]{5}", re.ASCII)
_KRX_SPELLINGS: Final = (
    (re.compile(r"A([0-9][0-9A-Z]{5})", re.ASCII), "KOSPI"),  # terminals of Korean brokers
    (re.compile(r"KRX:([0-9][0-9A-Z]{5})", re.ASCII), "KOSPI"),
    (re.compile(r"([0-9][0-9A-Z]{5})\.KS", re.ASCII), "KOSPI"),
    (re.compile(r"([0-9][0-9A-Z]{5})\.KQ", re.ASCII), "KOSDAQ"),
)
"""Other ways to write a Korean code, with the board that the spelling names or that is taken for want of a name."""
_WON_PAIR: Final = re.compile(r"[A-Z][A-Z0-9]{1,11}[-/_]?KRW|KRW[-/_][A-Z][A-Z0-9]{1,11}", re.ASCII)
"""A pair whose name shows that it is paid in won, such as ETHKRW or KRW-ETH."""
_NOTED: Final = 3
"""Symbols that a note names; the others are counted."""
_PRINTABLE: Final = re.compile(rf"[!-~]{{1,{MAX_SYMBOL_LENGTH}}}")
_WON: Final = "KRW"
HUNDRED: Final = Decimal(100)


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
        """Count one number."""
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
        """Return whether most of the numbers are full binary floats, which show no grid."""
        return self._floats * 2 > self.samples

    @property
    def count(self) -> int:
        """Return the decimals of the grid."""
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
        """Return (decimals of prices, decimals of sizes)."""
        prices = self.prices if self.prices.samples else self.trades
        return prices.count, min(self.sizes.count, CLEAN_DECIMALS) if self.sizes.are_floats else self.sizes.count


class Guessed(NamedTuple):
    """An instrument that a file's symbol led to. ``how``: "given" where nothing was guessed, "board" where a Korean
    code was taken for a share of KOSPI, "spelling" where it was written in another way, "generic" where the file's
    own numbers are all that is known."""

    instrument: Instrument
    how: str


Make = Callable[[str, int, int], Guessed]
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
        self._on_late: Callable[[list[Any]], None] = _unwatched
        self._spelled: dict[str, str] = {}
        self._guessed: dict[str, str] = {}

    def prepare(self, steps: Mapping[str, tuple[int, int]]) -> None:
        """Make the instruments of the symbols seen in the head of the file, from their :meth:`Grid.steps`."""
        for symbol, decimals in steps.items():
            if symbol not in self.instruments:
                try:
                    self._add(symbol, *decimals)
                except RowRefused:
                    continue

    def admit(self, symbol: str, grid: Callable[[], Grid] = Grid) -> str:
        """Return the symbol's one string object; an instrument exists from here on.

        Raises :class:`RowRefused` for a symbol outside the known or allowed ones. ``grid`` gives the decimals of
        the present row, for a symbol that the head of the file did not have.
        """
        instrument = self.instruments.get(symbol) or self.instruments.get(self._spelled.get(symbol, ""))
        if instrument is None:
            steps = grid().steps()
            instrument = self._add(symbol, *steps)
            self._late.append([symbol, *steps])
            self._on_late(self._late[-1])
        return instrument.symbol

    def name_of(self, symbol: str) -> str:
        """Return the symbol under which ``symbol`` trades here; itself where no other spelling is known."""
        if symbol in self.instruments or symbol in self._spelled:
            return self._spelled.get(symbol, symbol)
        return korean_instrument(symbol, 0, 0).instrument.symbol if is_korean_code(symbol) else symbol

    def watch(self, on_late: Callable[[list[Any]], None]) -> None:
        """Call ``on_late`` with each symbol that :meth:`admit` adds, in the form of :meth:`state`."""
        self._on_late = on_late

    def state(self) -> list[list[Any]]:
        """Return the symbols met so far with their decimals, as plain data."""
        return [list(row) for row in self._late]

    def restore(self, state: Iterable[Iterable[Any]]) -> None:
        """Restore what :meth:`state` returned."""
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
            made, how = self._made(symbol, price_decimals, size_decimals)
        except ContractError:
            raise RowRefused(UNKNOWN_SYMBOL, symbol) from None
        if made.currency != next(iter(self.instruments.values()), made).currency:
            raise RowRefused(UNKNOWN_SYMBOL, symbol, remedy=f"currency:{made.currency}")
        if made.symbol != symbol:
            self._spelled[symbol] = made.symbol
        if made.symbol not in self.instruments:
            self.instruments[made.symbol] = made
            self._guessed[made.symbol] = how
        return self.instruments[made.symbol]

    def _made(self, symbol: str, price_decimals: int, size_decimals: int) -> Guessed:
        if symbol in self._own:
            return Guessed(self._own[symbol], "given")
        made = self._make(symbol, price_decimals, size_decimals)
        own = self._own.get(made.instrument.symbol)
        return made if own is None else Guessed(own, "given")

    def notes(self) -> list[Note]:
        """Return what was guessed about symbols and what to write to set it."""
        notes: list[Note] = []
        if self._spelled:
            read: list[str | Note] = [
                Note.of("symbol-read-as", spelled=name, symbol=symbol) for name, symbol in self._spelled.items()
            ]
            notes.append(Note.of("input-symbols-read", named=_some(read)))
        boards: list[str | Note] = [symbol for symbol, how in self._guessed.items() if how == "board"]
        if boards:
            notes.append(Note.of("input-rules-kospi", named=_some(boards)))
        generic: list[str | Note] = [
            _rules(self.instruments[symbol]) for symbol, how in self._guessed.items() if how == "generic"
        ]
        if generic:
            notes.append(Note.of("input-rules-guessed", named=_some(generic)))
        return notes


def steps_of(grids: Mapping[str, Grid]) -> dict[str, tuple[int, int]]:
    """Return the decimals of prices and sizes of each symbol, in the same order."""
    return {symbol: grid.steps() for symbol, grid in grids.items()}


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
        calendar=_ALWAYS_OPEN,
    )


def is_korean_code(symbol: str) -> bool:
    """Return whether ``symbol`` is the code of a Korean share in any spelling that is understood."""
    return any(one.fullmatch(symbol) for one in (_KRX_CODE, *(spelling for spelling, _ in _KRX_SPELLINGS)))


def is_won_pair(symbol: str) -> bool:
    """Return whether ``symbol`` is a pair whose name shows that it is paid in won, such as KRW-ETH."""
    return _WON_PAIR.fullmatch(symbol) is not None


def usdt_instrument(symbol: str, price_decimals: int, size_decimals: int) -> Guessed:
    """Make an instrument in USDT with these grids."""
    return Guessed(generic_instrument(symbol, price_decimals, size_decimals, currency="USDT"), "generic")


def korean_instrument(symbol: str, _price_decimals: int, _size_decimals: int) -> Guessed:
    """Return the share of KOSPI that ``symbol`` names, in whatever spelling; ContractError for no Korean code."""
    for spelling, board in _KRX_SPELLINGS:
        if (found := spelling.fullmatch(symbol)) is not None:
            return Guessed(krx_instrument(found[1], board), "spelling")
    return Guessed(krx_instrument(symbol), "board")


def instrument_maker(currency: str) -> Make:
    """Return what makes instruments in an account of ``currency``: Korean codes in won, generic ones otherwise.

    In won anything but a Korean code or a pair that names won is refused: without sell tax, price limits and
    hours a result would be wrong without a word.
    """

    def make(symbol: str, price_decimals: int, size_decimals: int) -> Guessed:
        """Make the instrument that the look of the symbol suggests."""
        if currency == _WON and not _WON_PAIR.fullmatch(symbol):
            return korean_instrument(symbol, price_decimals, size_decimals)
        return Guessed(generic_instrument(symbol, price_decimals, size_decimals, currency=currency), "generic")

    return make


def _unwatched(late: list[Any]) -> None:
    pass


def _some(named: list[str | Note]) -> list[str | Note] | Note:
    if len(named) <= _NOTED:
        return named
    return Note.of("some-of", named=named[:_NOTED], count=len(named) - _NOTED)


def _rules(one: Instrument) -> Note:
    tick, lot = f"{one.ticks.step:f}" if isinstance(one.ticks, FixedTicks) else "?", f"{one.lot:f}"
    if not isinstance(one.costs, RateCosts):
        return Note.of("rules-of-numbers", symbol=one.symbol, tick=tick, lot=lot)
    fee = f"{without_zeros(times(one.costs.fee_rate, HUNDRED)):f}"
    return Note.of("rules-of-numbers-with-fee", symbol=one.symbol, tick=tick, lot=lot, fee=fee)


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # number_of lets only finite numbers pass
    return max(-exponent, 0)
