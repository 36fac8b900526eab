"""The contract of a strategy: a small object that is shown the market and answers with intents.

It never sends an order: what an intent becomes is decided by state, pool and risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec
from msgspec.structs import force_setattr

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.indicators.contracts import Indicator
from qts.market.contracts import Bar, Quote, Tick
from qts.market.series.book import BarSeries
from qts.state.contracts import OperatingState
from qts.strategy.algo import Algo, checked_algo
from qts.strategy.checked_fields import (
    checked_amount,
    checked_confidence,
    checked_symbol,
    checked_tag,
    checked_text,
    checked_tif,
)
from qts.strategy.levels import Levels
from qts.strategy.order_terms import TimeInForce
from qts.strategy.targets import Cancel, Target


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
    a market order. ``reason`` is kept with the order and shown to people. ``tif`` is the time that the order works.
    ``trigger``: a stop price; the order waits until the market trades at it or beyond, a buy above the market, a
    sell below, and goes on as a market order or, with ``limit``, as a limit order. None: it works at once. ``tag``:
    a word of the strategy's own by which :class:`~qts.strategy.targets.Cancel` finds the order, "" for none.
    ``algo``: how the quantity is executed in parts; None: as one order. Only an order that works at once has one.

    Raises :class:`~qts.errors.ContractError` for a confidence outside 0..1 or NaN, for a qty, limit or trigger that
    is not above 0, absurdly small or large, or a float, and for a symbol, reason or tag that is no text.
    """

    symbol: str
    side: Side
    confidence: float
    qty: Decimal | int | None = None
    limit: Decimal | int | None = None
    reason: str = ""
    tif: TimeInForce = TimeInForce.DAY
    trigger: Decimal | int | None = None
    tag: str = ""
    algo: Algo | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.side, Side):
            raise ContractError(f"Intent.side must be Side.BUY or Side.SELL, got {self.side!r}")
        force_setattr(self, "symbol", checked_symbol("Intent.symbol", self.symbol))
        force_setattr(self, "confidence", checked_confidence("Intent.confidence", self.confidence))
        force_setattr(self, "reason", checked_text("Intent.reason", self.reason))
        if self.qty is not None:
            force_setattr(self, "qty", checked_amount("Intent.qty", self.qty))
        if self.limit is not None:
            force_setattr(self, "limit", checked_amount("Intent.limit", self.limit))
        checked_tif("Intent.tif", self.tif)
        if self.trigger is not None:
            force_setattr(self, "trigger", checked_amount("Intent.trigger", self.trigger))
        force_setattr(self, "tag", checked_tag("Intent.tag", self.tag))
        if self.algo is not None:
            checked_algo("Intent.algo", self.algo, in_parts=self.tif is TimeInForce.DAY and self.trigger is None)


AnyIntent: TypeAlias = Intent | Target | Cancel
"""What a strategy may return."""


def check_intent(value: object) -> AnyIntent:
    """Return ``value`` itself when a strategy may return it.

    Raises ContractError otherwise: nothing else was checked.
    """
    if not isinstance(value, Intent | Target | Cancel):
        raise ContractError(f"a strategy answers with Intents, Targets and Cancels, got {value!r}")
    return value


class Signal(msgspec.Struct, frozen=True, tag=True):
    """An intent, a target or a cancel on its way to a decision: whose, under which decision id, since when.

    The payload of SIGNAL_GENERATED; its collapse key is (strategy, symbol, :attr:`side`). ``armed_ns`` is that of
    the order (:class:`~qts.risk.contracts.OrderRequest`). ``levels`` are those of the target that the intent was
    resolved from, which were bound to the position; None: there were none. ``parent_id``: the execution of which it
    is a part, "" for none.
    """

    decision_id: str
    strategy: str
    pool: Pool
    intent: AnyIntent
    ts_ns: int
    forced: bool = False
    armed_ns: int | None = None
    levels: Levels | None = None
    parent_id: str = ""

    @property
    def symbol(self) -> str:
        """Return the symbol of what is wanted; "" for the cancel of a tag."""
        return self.intent.symbol

    @property
    def side(self) -> str:
        """Return the side of an intent; "TARGET", whose side is not known yet, or "CANCEL" and its tag."""
        intent = self.intent
        if isinstance(intent, Intent):
            return intent.side
        return "TARGET" if isinstance(intent, Target) else f"CANCEL {intent.tag}"


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
    :meth:`plot`, :meth:`history`, :meth:`track`, :meth:`at`, :meth:`every` and :meth:`log` raise. An unknown symbol
    is one that is not held.
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

    def is_flat(self, symbol: str) -> bool:
        """Return whether this strategy holds nothing of ``symbol``; its open orders do not count."""
        ...

    @property
    def holdings(self) -> Mapping[str, Decimal]:
        """Return the quantities this strategy holds, by symbol, those that are flat left out."""
        ...

    def history(self, symbol: str, interval: str, n: int) -> BarSeries:
        """Return the last ``n`` finished bars of ``symbol``, the oldest first, or as many as there are.

        A read-only sequence of bars; ``.closes``, ``.opens``, ``.highs``, ``.lows`` and ``.volumes`` are arrays of
        floats. Within ``on_bar`` the bar that is shown is the last of its interval. Raises ContractError for an
        interval that the class does not declare in ``bars``, and for more bars than it declares.
        """
        ...

    def track(self, indicator: Indicator, interval: str) -> Mapping[str, Indicator]:
        """Return indicators made from ``indicator`` (a template), by symbol, fed with the bars of ``interval``.

        Called in ``on_start``, in every session that is resumed too: they are saved apart from the strategy, whose
        attributes that hold them are not. Each is updated before ``on_bar``, and drawn in the report as far as 40
        series of a strategy are. A symbol without a bar yet has one that is not ready. Raises ContractError for an
        interval that the class does not declare in ``bars``, outside of ``on_start``, and for the 101st.
        """
        ...

    @property
    def warming(self) -> bool:
        """Return whether the bar that is shown is from before the session: what is wanted then is dropped."""
        ...

    def ready(self, symbol: str) -> bool:
        """Return whether all the bars of ``symbol`` that the class declares are there.

        Before that its entries are refused. True for a class that declares none.
        """
        ...

    def at(self, when: str, name: str) -> None:
        """Set the timer ``name``: ``on_timer`` is called with it at ``when`` of every session day, such as "15:10".

        ``when`` is on the market's local clock, also before the open or after the close. A timer of the same name
        is replaced; one that is set again as it was goes on. Timers are saved in checkpoints. Raises ContractError
        for another text, a name that is no short text, the 1,001st timer, and in a class without ``on_timer``.
        """
        ...

    def every(self, interval: str, name: str) -> None:
        """Set the timer ``name``: ``on_timer`` is called with it every ``interval``, such as "30s", "5m" or "2h".

        Counted from the open of each session and due from then until before the close; in a market that never
        closes from each local midnight. First due after the present moment. As :meth:`at`.
        """
        ...

    def log(self, text: str) -> None:
        """Write ``text`` into the session's log, with the name of the strategy.

        Its first 1,000 characters; at most 10,000 lines of a strategy in one start of the session, then one that
        says so. Raises ContractError for what is no text.
        """
        ...


@runtime_checkable
class Strategy(Protocol):
    """The contract of every strategy. ``symbols`` empty means: every symbol of the feed.

    All methods are called by the session, on its loop, or in the strategy's own process with
    ``runtime.strategy_lane: process``; never two at a time. What they raise is counted and shown, never passed on.
    Attributes made of numbers, texts, Decimals, enums, indicators and the standard containers of those are saved in
    checkpoints and restored by ``--resume``; anything else must be rebuilt in ``on_start``.
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

    def on_quote(self, ctx: Context, quote: Quote) -> Iterable[AnyIntent]:
        """Return what the strategy wants after ``quote``, in the order of decision; empty: nothing.

        It must return soon: prices wait for it, and a session in real time ends after five seconds. The third error
        in a row halts the strategy and sells what it holds.
        """
        ...

    def on_bar(self, ctx: Context, bar: Bar) -> Iterable[AnyIntent]:
        """Return what the strategy wants after the finished ``bar``; as :meth:`on_quote`."""
        ...

    def on_fill(self, ctx: Context, fill: FillView) -> None:
        """Take an execution of its own orders; the context shows the holding with it. As :meth:`on_quote`."""
        ...


class OptionalHooks(Protocol):
    """The methods that a strategy may have beside those of :class:`Strategy`; one that it lacks is never called.

    Called like those of :class:`Strategy`, and their failures count with the others. Of what is due at the same
    time the timers come first, then the bars that ended, then the value of the feed.

    A class that declares ``bars = {"5m": 200, "1d": 250}`` (an interval and how many bars of it must be there
    before its first entry) gets these bars in ``on_bar``, a shorter interval first, then by symbol, and no bars of
    the feed as they come. They are built from trades, or from the feed's bars where it gives no trades.
    """

    def on_bars(self, ctx: Context, bars: Mapping[str, Bar]) -> Iterable[AnyIntent]:
        """Return what the strategy wants after all ``bars`` of one interval, by symbol, that ended at one moment.

        Called after ``on_bar`` of each, for a class that declares ``bars`` alone.
        """
        ...

    def on_trade(self, ctx: Context, tick: Tick) -> Iterable[AnyIntent]:
        """Return what the strategy wants after the trade ``tick``; as ``on_quote``.

        Called for a class with ``data = ("trades",)`` alone.
        """
        ...

    def on_timer(self, ctx: Context, name: str) -> Iterable[AnyIntent]:
        """Return what the strategy wants when the timer ``name`` is due (``ctx.at``, ``ctx.every``)."""
        ...
