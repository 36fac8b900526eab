"""The contract of a strategy: a small object that is shown the market and answers with intents.

It never sends an order: what an intent becomes is decided by state, pool and risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Final, Protocol, runtime_checkable

import msgspec

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Bar, Quote
from qts.money import MAX_DECIMALS, is_bounded
from qts.state.contracts import OperatingState

_LEAST: Final = Decimal("1E-12")
_TOO_MUCH: Final = Decimal(10**15)
"""Bounds of a quantity or a limit, those of prices and sizes in files: beyond them arithmetic and store fail."""


class Side(str, Enum):
    """The direction of an order; positions are long only, so SELL leaves."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """Return +1 for BUY, −1 for SELL."""
        return 1 if self is Side.BUY else -1


class Intent(msgspec.Struct, frozen=True, tag=True):
    """A request of a strategy: buy or sell ``symbol`` with ``confidence`` 0..1.

    ``qty`` None: BUY is sized from the pool's budget, SELL means the strategy's whole holding. ``limit`` None:
    a market order. ``reason`` is kept with the order and shown to people.
    Raises :class:`~qts.errors.ContractError` for a confidence outside 0..1 or NaN, for a qty or limit that is not
    above 0, absurdly small or large, or a float, and for a symbol or reason that is no text.
    """

    symbol: str
    side: Side
    confidence: float
    qty: Decimal | int | None = None
    limit: Decimal | int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.side, Side):
            raise ContractError(f"Intent.side must be Side.BUY or Side.SELL, got {self.side!r}")
        if not (isinstance(self.symbol, str) and self.symbol and _is_writable(self.symbol)):
            raise ContractError(f"Intent.symbol must be a text like '005930', got {self.symbol!r}")
        given: object = self.confidence
        if not isinstance(given, Real | Decimal):
            raise ContractError(f"Intent.confidence must be a number between 0 and 1, got {self.confidence!r}")
        if (isinstance(given, Decimal) and given.is_nan()) or not 0.0 <= self.confidence <= 1.0:  # NaN is not
            raise ContractError(f"Intent.confidence must be between 0 and 1, got {self.confidence!r}")
        if not isinstance(self.reason, str):
            raise ContractError(f"Intent.reason must be a text, got {self.reason!r}")
        if not _is_writable(self.reason):
            raise ContractError(f"Intent.reason holds half a character that no file can keep: {self.reason!r}")
        for name, value in (("qty", self.qty), ("limit", self.limit)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Decimal | int):
                raise ContractError(f"Intent.{name} must be a Decimal or an int, got {value!r}")
            if not Decimal(value).is_finite() or value <= 0:
                raise ContractError(f"Intent.{name} must be finite and above 0, got {_shown(value)}")
            if not _LEAST <= value < _TOO_MUCH:
                raise ContractError(
                    f"Intent.{name} must be from {_LEAST} to below {_TOO_MUCH:.0E}, got {_shown(value)}"
                )
            if not is_bounded(Decimal(value)):
                raise ContractError(
                    f"Intent.{name} may have {MAX_DECIMALS} digits behind the point, got {_shown(value)}"
                )
        self._plain()

    def _plain(self) -> None:
        """Check for exact types: a checkpoint keeps no numpy float and no text of a class of its own."""
        for name, kind in (("symbol", str), ("confidence", float), ("reason", str)):
            value = getattr(self, name)
            if type(value) is not kind:
                msgspec.structs.force_setattr(self, name, str.__str__(value) if kind is str else float(value))
        for name in ("qty", "limit"):
            value = getattr(self, name)
            if value is not None and type(value) not in (int, Decimal):
                msgspec.structs.force_setattr(self, name, Decimal(value))


def check_intent(value: object) -> Intent:
    """Return ``value`` itself when it is an Intent. Raises ContractError otherwise: nothing else was checked."""
    if not isinstance(value, Intent):
        raise ContractError(f"a strategy answers with Intents, got {value!r}")
    return value


def _shown(value: Decimal | int) -> str:
    """Return the number as text; Python does not write out integers of thousands of digits."""
    return repr(value) if isinstance(value, Decimal) or value.bit_length() < 256 else f"{Decimal(value):.3E}"


def _is_writable(text: str) -> bool:
    """Return whether ``text`` is without lone surrogates."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


class Signal(msgspec.Struct, frozen=True, tag=True):
    """An intent on its way to a decision: who wants it, under which decision id, since when.

    The payload of SIGNAL_GENERATED; its collapse key is (strategy, symbol, side).
    """

    decision_id: str
    strategy: str
    pool: Pool
    intent: Intent
    ts_ns: int
    forced: bool = False

    @property
    def symbol(self) -> str:
        """Return the symbol of the intent."""
        return self.intent.symbol

    @property
    def side(self) -> Side:
        """Return the side of the intent."""
        return self.intent.side


class FillView(msgspec.Struct, frozen=True, tag=True):
    """One of the strategy's own fills, as given to ``on_fill``. Amounts in the instrument's currency."""

    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    tax: Decimal
    ts_ns: int
    order_id: str
    execution_id: str
    partial: bool


class Context(Protocol):
    """The view of the session that a strategy has: values of the present moment; nothing can be changed here.

    Asked by strategies alone, within their methods, on the thread that calls these. None of it waits; only
    :meth:`plot` raises. An unknown symbol is one that is not held.
    """

    @property
    def now(self) -> datetime:
        """Return the session's present moment, aware, in UTC."""
        ...

    @property
    def state(self) -> OperatingState:
        """Return the operating state, which scales what the strategy wants."""
        ...

    @property
    def budget(self) -> Decimal:
        """Return the cash of the strategy's pool, neither invested nor reserved, in the account's currency."""
        ...

    def holding(self, symbol: str) -> Decimal:
        """Return the quantity this strategy holds (its own fills only), in shares or contracts; 0 when flat."""
        ...

    def average_cost(self, symbol: str) -> Decimal | None:
        """Return the average price paid for the holding, without fees, in the instrument's currency.

        None when flat.
        """
        ...

    def working(self, symbol: str) -> bool:
        """Return whether an order of this strategy for ``symbol`` is still open."""
        ...

    def plot(self, name: str, value: float | Decimal, pane: str = "") -> None:
        """Add ``value`` at the present moment to the series ``name``, which the report draws.

        ``pane`` "": over the prices; another one: below them, with every series of that pane. NaN is a gap. At most
        40 series a strategy; a long one is thinned to 5,000 points, its extremes among them. Raises ContractError
        for a value that is no finite number, a name that is no short text, and one series too many.
        """
        ...


@runtime_checkable
class Strategy(Protocol):
    """The contract of every strategy. ``symbols`` empty means: every symbol of the feed.

    All methods are called by the session, on its loop, or in the strategy's own process with
    ``runtime.strategy_lane: process``; never two at a time. What they raise is counted and shown, never passed on.
    Attributes made of numbers, texts, Decimals, enums and the standard containers of those are saved in checkpoints
    and restored by ``--resume``; anything else must be rebuilt in ``on_start``.
    """

    @property
    def name(self) -> str:
        """Name the strategy in orders, ledger and report: unique in a session, and the same at every start."""
        ...

    @property
    def pool(self) -> Pool:
        """Name the pool that pays for its orders; the same for the whole session."""
        ...

    @property
    def symbols(self) -> Sequence[str]:
        """Name the symbols whose values it is given; empty: every symbol. Read at each value."""
        ...

    def on_start(self, ctx: Context) -> None:
        """Prepare before the first value, also when a session is resumed: saved attributes are restored before.

        Called once per start. A strategy whose start raises does not trade.
        """
        ...

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[Intent]:
        """Return what the strategy wants after ``quote``, in the order of decision; empty: nothing.

        It must return soon: prices wait for it, and a session in real time ends after five seconds. The third error
        in a row halts the strategy and sells what it holds.
        """
        ...

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[Intent]:
        """Return what the strategy wants after the finished ``bar``; as :meth:`on_quote`."""
        ...

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Take an execution of its own orders; the context shows the holding with it. As :meth:`on_quote`."""
        ...
