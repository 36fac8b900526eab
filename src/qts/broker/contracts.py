"""Ports to a broker, and the values of its books.

:class:`Broker` is for the gateway alone, :class:`BrokerQueries`, its queries, for all others; :class:`MarketDriven`
is what only a simulated venue needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

import msgspec

from qts.clock import NEVER_NS
from qts.execution.contracts import Fill, OrderAck, VenueRef
from qts.ledger.contracts import Charges
from qts.market.actions import Split
from qts.market.contracts import MarketValue
from qts.money import minus
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce


class BrokerOrderState(Enum):
    """State of an order as the broker's own books show it."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class BrokerOrder(msgspec.Struct, frozen=True):
    """One order in the broker's books; quantities in shares or contracts.

    ``client_order_id`` is None when the broker does not say whose order it is: it keeps no ids of its clients, or
    the order came from elsewhere. ``qty`` is the whole quantity, ``filled`` what has been executed of it.
    ``earlier``: the numbers that it had before replacements and cancels gave it a newer one, oldest first.
    ``limit``: None for an order at the market, and where it is not told. ``amount``: quantity times price of all
    that was executed, without fees; None where it is not told. ``ts_ns``: when the broker took it (ns since 1970,
    UTC); 0 where it is not told.
    """

    client_order_id: str | None
    ref: VenueRef
    symbol: str
    side: Side
    qty: Decimal
    filled: Decimal
    state: BrokerOrderState
    earlier: tuple[VenueRef, ...] = ()
    limit: Decimal | None = None
    amount: Decimal | None = None
    ts_ns: int = 0

    @property
    def first_ref(self) -> VenueRef:
        """Return the number with which it began."""
        return self.earlier[0] if self.earlier else self.ref

    @property
    def is_open(self) -> bool:
        """Return whether the order can still fill."""
        return self.state is BrokerOrderState.OPEN

    @property
    def remaining(self) -> Decimal:
        """Return what has not been executed."""
        return minus(self.qty, self.filled)


class BrokerPosition(msgspec.Struct, frozen=True):
    """A holding in one symbol: its signed quantity, in shares or contracts, not 0, and the average price paid.

    ``average_price`` is without fees (of a short holding: what was received); None where the broker does not say.
    """

    qty: Decimal
    average_price: Decimal | None = None


class Balance(msgspec.Struct, frozen=True):
    """Money at the broker, in units of ``currency``; None where the broker does not say.

    ``cash`` is what the account holds with all trades settled, ``orderable`` what a new order may use now. A broker
    that knows no difference says the same amount twice.
    """

    currency: str
    cash: Decimal | None
    orderable: Decimal | None


class Holdings(msgspec.Struct, frozen=True):
    """The contents of an account as of one moment: shares and contracts by symbol, and its money.

    ``balance`` as :meth:`BrokerQueries.balance` returns it, but its ``orderable`` may be None where telling it
    takes a question of its own.
    """

    positions: Mapping[str, BrokerPosition]
    balance: Balance | None


class Capabilities(msgspec.Struct, frozen=True):
    """The abilities of a broker; asked for once, after it was made, and constant from then on.

    ``order_types`` and ``times_in_force``: what it takes; a request of another kind is answered REJECTED.
    ``client_order_ids``: it keeps the id that an order is placed with and names it in every report and query;
    without them it names its own numbers alone, and at most one order of a symbol and side may be on its way.
    ``execution_ids``: it numbers executions and lists them in ``fills_since``; without them that is empty, and what
    was executed of each order is found in its ``filled`` and ``amount``. Without one of both ``orders`` names the
    ended orders of the day too: only the row of such an order tells what was asked for, and so whose it is.
    ``replaces``: it changes an open order.
    ``caps_cost``: it takes a buy at the market with ``max_cost`` and spends no more than that.
    ``exits_in_bars``: it takes an exit with ``armed_ns`` and executes it in the bar that has just ended.
    ``visibility_lag_ns``: time for which an order that it has taken may be absent from ``orders`` and
    ``fills_since``. ``requests_per_s``: requests it takes in a second, None without a limit.
    """

    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    client_order_ids: bool
    replaces: bool
    visibility_lag_ns: int
    requests_per_s: int | None
    caps_cost: bool = False
    exits_in_bars: bool = False
    execution_ids: bool = True

    def lacks(self, request: OrderRequest) -> str:
        """Return a sentence on what ``request`` asks for and this broker does not do; "" when it does all of it."""
        if request.armed_ns is not None:
            return "" if self.exits_in_bars else "orders for a bar that is over are not taken here"
        if request.type not in self.order_types:
            return f"orders of type {request.type.value} are not taken here"
        if request.time_in_force not in self.times_in_force:
            return f"orders with the time in force {request.time_in_force.value} are not taken here"
        if request.max_cost is not None and not self.caps_cost:
            return "orders with a cap on their cost are not taken here"
        return ""


class BrokerQueries(Protocol):
    """One account at one broker as everything but the gateway sees it: its books and its lifetime, no orders.

    Queries raise :class:`~qts.errors.BrokerUnavailable` instead of an answer that is not whole or not there within
    seconds.
    """

    @property
    def name(self) -> str:
        """Name the broker. Any thread; never raises.

        The name is part of the identity of each of its fills, so it never changes.
        """
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Return what the broker can do, without asking it. Any thread; never raises."""
        ...

    async def connect(self) -> None:
        """Open the connection. Called once by the session, before its first order or query.

        Raises BrokerUnavailable when the broker cannot be reached or does not let the account in.
        """
        ...

    async def close(self) -> None:
        """Release the connection and whatever else is held; open orders stay as they are.

        Called once by the session, as the last; also after ``connect`` has failed. Never raises.
        """
        ...

    async def orders(self) -> Sequence[BrokerOrder]:
        """Return every order of the account that can still fill, oldest first; ended ones may be among them.

        Orders that were not sent by this session are included, and all pages are read. Called by reconciliation and
        audits. An order that is absent may have ended, or be younger than ``capabilities.visibility_lag_ns``.
        Raises BrokerUnavailable.
        """
        ...

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        """Return executions of the present session day at or after ``ts_ns`` (ns since 1970, UTC), oldest first.

        Called by reconciliation. Equal to what was published of them, so that booking them again changes nothing.
        Where ``capabilities.execution_ids`` is false it is empty, and nothing is asked. Raises BrokerUnavailable.
        """
        ...

    async def positions(self) -> Mapping[str, BrokerPosition]:
        """Return what is held by symbol, with all trades settled; flat symbols are left out.

        Called by audits. Raises BrokerUnavailable.
        """
        ...

    async def balance(self) -> Balance | None:
        """Return the money of the account; None when the broker keeps no account of money.

        Called at the first start on an account. Raises BrokerUnavailable.
        """
        ...

    async def holdings(self) -> Holdings:
        """Return positions and money as :meth:`positions` and :meth:`balance` do, as of one moment.

        One reading where the broker lists both together, begun when it is called: an answer to an earlier question
        is never given again. Called where money is compared: at the first start on an account, before capital
        moves, when an operator asks for it, and after the close of a day. Raises BrokerUnavailable.
        """
        ...

    async def charges(self, day: date) -> Charges | None:
        """Return all fees and all taxes that were charged for the trades of ``day``, the market's date.

        None when the broker does not say, or does not say yet. An answer is final: the books are adjusted to it,
        also for executions of orders that are not ours. Called after the close of each day, and on the next days
        until it is answered. Raises BrokerUnavailable.
        """
        ...


class Broker(BrokerQueries, Protocol):
    """One account at one broker, orders too. The gateway alone holds it (:mod:`qts.broker.gateway`).

    All coroutines are called on the gateway's event loop, or run to their end without a loop on the virtual clock
    and at a simulated venue; there none may suspend. They may be under way side by side. Reports
    (:class:`~qts.execution.contracts.Fill`, ``OrderCancelled``, ``OrderRejected``, ``FillReversed``,
    ``BrokerDisconnect``) leave through the ``publish`` callable that the implementation is given when it is made:
    from any thread, in any order, more than once, and before the answer to the order that they are about. One that
    keeps no client order ids publishes them with "" in their place and the order's number as ``ref``, whose order
    it is or is not: it needs no memory of numbers, also after a restart.

    ``place``, ``replace`` and ``cancel`` are answered, never raised from: what is not a proof that the order was
    accepted or rejected (a timeout, a cut connection, a server's error, a body that cannot be read) is
    ``AckStatus.UNKNOWN``. Only being cancelled passes through them, and the caller then counts the order as
    unknown; it does so to those that take too long. A query that takes too long is cancelled as well.
    """

    async def place(self, approved: Approved) -> OrderAck:
        """Send one approved order and return its answer. Called once for each approval.

        Never raises; see above. An UNKNOWN order is not sent again before the broker's books were asked
        (``no-resend``).
        """
        ...

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Put ``approved`` in the place of the open order ``client_order_id``; the answer is about ``approved``.

        ``ref`` as in :meth:`cancel`. Never raises. REJECTED, and the open order stays, where
        ``capabilities.replaces`` is false.
        """
        ...

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Ask for the rest of an order to be taken out.

        ``ref`` is the number by which the order goes, as the broker has told it last, in an answer or in its lists;
        None while none is known, which it never is where ``capabilities.client_order_ids`` is false: the gateway
        does not ask for such a cancel. The answer's own ``ref`` is the number of the cancel, if it has one.
        ACCEPTED: the cancel is on its way, ``OrderCancelled`` follows unless a fill is faster. REJECTED: the order
        is not open. Never raises; an UNKNOWN cancel may be asked for again.
        """
        ...


class MarketDriven(Protocol):
    """The needs of a simulated venue that a real one does not have: market values and the time.

    All methods are called on the session's thread, between two handlers or before a value reaches any; none may
    raise but for a defect, and none blocks. What they cause (fills, cancels) is published before they return. A
    real broker is accompanied by :class:`NotSimulated`.
    """

    @property
    def is_simulated(self) -> bool:
        """Return whether there is a simulated venue: it answers at once, and can be rewound. Constant."""
        ...

    @property
    def active(self) -> Mapping[str, object]:
        """Return the symbols whose quotes and ticks it needs, as the keys of a mapping.

        The same mapping for its whole life; its content changes.
        """
        ...

    @property
    def due_ns(self) -> int:
        """Return when time alone makes something happen (ns since 1970, UTC); ``NEVER_NS`` when nothing does."""
        ...

    def on_market(self, value: MarketValue, *, holds_limits: bool = False) -> None:
        """Match waiting orders against ``value``, which is in the last-value table already.

        Called by the way in for market values, for each BookUpdate and Bar, and for the quotes and ticks of
        ``active`` symbols. ``holds_limits``: of a bar only what executes at its open, or as a stop, is executed;
        :meth:`finish_bar` follows, also when another value came first.
        """
        ...

    def finish_bar(self, symbol: str) -> None:
        """Execute what :meth:`on_market` has held back of the newest bar of ``symbol``, and end orders with it.

        Called once after stops of positions were executed in that bar.
        """
        ...

    def end_cancels(self, symbol: str) -> None:
        """Let the cancels that were asked for in ``symbol`` take effect now: they came within a bar that is over.

        Called before a stop of a position is executed in that bar.
        """
        ...

    def bar_began_ns(self, symbol: str) -> int | None:
        """Return when the newest bar of ``symbol`` began, ns since 1970 (UTC).

        None where that is not known, or where another bar has shown a part of its time.
        """
        ...

    def on_time(self, now_ns: int) -> None:
        """Let time pass until ``now_ns`` (ns since 1970, UTC).

        Called when ``due_ns`` has come, and once a minute.
        """
        ...

    def on_session_end(self, day: date, now_ns: int) -> None:
        """End the orders that live no longer than the session of ``day``, the market's date.

        Called at each close.
        """
        ...

    def settle(self, now_ns: int) -> None:
        """Publish every report that is held back, such as those of a lost connection, which then comes back.

        Called at the start of a day on which shares are split: what was executed before is booked before.
        """
        ...

    def on_split(self, split: Split, holdings: Sequence[Decimal], now_ns: int) -> None:
        """Split the shares held, the open orders and every price remembered, before the first value of the ex-date.

        ``holdings`` are the quantities that the account's position consists of, before the split: each is cut to
        whole lots by itself. Orders of which nothing is left are cancelled. The last-value table is converted
        already.
        """
        ...

    def will_publish_again(self, source: str, report: object) -> bool:
        """Return whether a report that a killed session journalled will be published again, so it is not applied.

        Called for each journalled event after ``import_state``, with the name of its ``source``. False for reports
        of real brokers: what happened there has happened.
        """
        ...

    def export_state(self) -> dict[str, Any]:
        """Return everything that decides what happens next, as plain values for a checkpoint."""
        ...

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where :meth:`export_state` was called. Raises ContractError for a foreign state."""
        ...


class NotSimulated:
    """Stands in the place of :class:`MarketDriven` beside a real broker: the market drives it without us."""

    is_simulated = False
    active: Mapping[str, object] = {}
    due_ns = NEVER_NS

    def on_market(self, value: MarketValue, *, holds_limits: bool = False) -> None:
        """Do nothing."""

    def finish_bar(self, symbol: str) -> None:
        """Do nothing."""

    def end_cancels(self, symbol: str) -> None:
        """Do nothing."""

    def bar_began_ns(self, symbol: str) -> int | None:
        """Return None: no venue has watched the bars."""
        return None

    def on_time(self, now_ns: int) -> None:
        """Do nothing."""

    def on_session_end(self, day: date, now_ns: int) -> None:
        """Do nothing."""

    def settle(self, now_ns: int) -> None:
        """Do nothing: a real broker reports what it knows."""

    def on_split(self, split: Split, holdings: Sequence[Decimal], now_ns: int) -> None:
        """Do nothing: the broker splits what it holds itself."""

    def will_publish_again(self, source: str, report: object) -> bool:
        """Return False: everything that was journalled has to be applied."""
        return False

    def export_state(self) -> dict[str, Any]:
        """Return nothing: its state is at the broker."""
        return {}

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""
