"""The simulated exchange: orders travel, wait, are matched against what the market showed, and are answered.

It is driven from outside. ``place`` and ``cancel`` only write things down; executions happen in
:meth:`SimExchange.on_market` (a market value arrived), :meth:`SimExchange.on_time` (time passed) and
:meth:`SimExchange.on_session_end`. Reports leave through ``publish`` after the books are consistent.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from qts.broker.contracts import Balance, BrokerOrder, BrokerOrderState, BrokerPosition, Capabilities, Holdings
from qts.broker.sim import checkpoint
from qts.broker.sim.admission import rejection_reason, uncovered
from qts.broker.sim.bar_matcher import BarMatcher
from qts.broker.sim.bar_times import (
    NO_BAR,
    LastBar,
    bar_day,
    began_ns,
    is_whole_life,
    order_end_ns,
    overlaps,
    session_day,
)
from qts.broker.sim.base_prices import BasePrices
from qts.broker.sim.config import SimConfig
from qts.broker.sim.instrument_book import InstrumentBook, SimOrder
from qts.broker.sim.latency import Latency
from qts.broker.sim.matcher import Matcher
from qts.broker.sim.records import Answers, KeptFills
from qts.clock import NEVER_NS, NS_PER_MS, NS_PER_S, Clock
from qts.errors import BrokerUnavailable, ConfigError, ContractError
from qts.execution.contracts import (
    AckStatus,
    BrokerDisconnect,
    ExecutionReport,
    Fill,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    VenueRef,
)
from qts.execution.splits import rescaled
from qts.ledger.contracts import Charges
from qts.market.actions import Split
from qts.market.contracts import Bar, BookUpdate, Instrument, MarketValue, Quote, Tick
from qts.market.depth_book import DepthBook
from qts.market.last_values import LastValues
from qts.market.series.intervals import whole_second
from qts.money import ZERO, minus, plus, sum_of, times
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.risk.sizing import payable_qty
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce
from qts.wording import counted

_BUY, _SELL = Side.BUY, Side.SELL
_CAPABILITIES = Capabilities(
    order_types=frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT}),
    times_in_force=frozenset({TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC}),
    client_order_ids=True,
    replaces=False,
    visibility_lag_ns=0,
    requests_per_s=None,
    exits_in_bars=True,
)
_ON_BARS = msgspec.structs.replace(
    _CAPABILITIES,
    order_types=_CAPABILITIES.order_types | {OrderType.STOP, OrderType.STOP_LIMIT},
    caps_cost=True,
)
_AFTER_END_NS: Final = 60 * NS_PER_S
"""After the end of an order the last bar before that end has this long to arrive."""
_ON_REQUEST: Final = "cancelled on request"
_EXPIRED: Final = "expired at the close"
_NOT_AT_ONCE: Final = "no more of it could be had at once"
_BAR_IS_OVER: Final = "the bar had no more volume for it"
_TOO_DEAR: Final = "the price asks for more than the money set aside"

Hook: TypeAlias = Callable[[BrokerDisconnect], None]


def ignore_disconnect(_: BrokerDisconnect) -> None:
    """Ignore a disconnect, for callers without a listener."""


class SimExchange:
    """One account at a simulated exchange, both ports: :class:`~qts.broker.contracts.Broker` and ``MarketDriven``.

    ``rng`` belongs to the exchange alone: its state is part of :meth:`export_state`. Raises ConfigError when
    ``config`` contradicts itself.
    """

    is_simulated = True

    def __init__(
        self,
        *,
        name: str = "sim",
        last_values: LastValues,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        publish: Callable[[ExecutionReport], None],
        rng: random.Random,
        config: SimConfig,
        on_disconnect: Hook = ignore_disconnect,
    ) -> None:
        for field, message in config.problems():
            raise ConfigError(f"simulated exchange, {field}: {message}")
        self.name = name
        self.capabilities = _ON_BARS if config.fill_on == "open" else _CAPABILITIES
        self.active: dict[str, InstrumentBook] = {}
        self.due_ns = NEVER_NS
        self._last_values = last_values
        self._instruments = instruments
        self._clock = clock
        self._publish = publish
        self._on_disconnect = on_disconnect
        self._config = config
        self._order_latency = Latency(config.order_latency_ms, config.order_jitter_ms)
        self._cancel_latency = Latency(config.cancel_latency_ms, config.cancel_jitter_ms)
        self._matcher = Matcher(
            last_values=last_values, config=config, fill=self._fill, admit=self._admit, end=self._end_immediate
        )
        self._bar_matcher = BarMatcher(
            last_values=last_values,
            config=config,
            fill=self._fill,
            admit=self._admit,
            base_of=lambda symbol, day: self._bases.base(symbol, day),
        )
        self._fills_on_open = config.fill_on == "open"
        self._books: dict[str, InstrumentBook] = {}
        self._newest_bar = NO_BAR
        self._open: dict[str, SimOrder] = {}
        self._cancelling: dict[str, SimOrder] = {}
        self._positions: dict[str, Decimal] = {}
        self._bases = BasePrices()
        self._answers = Answers(config.kept_orders)
        self._fills = KeptFills(config.kept_fills)
        # Bounded by the open orders: published as soon as it is connected.
        self._outbox: deque[ExecutionReport] = deque()
        self._order_count = 0
        self._fill_count = 0
        self._reconnect_ns: int | None = None
        self._rng = checkpoint.CountedRandom(rng)

    # -- the broker port ---------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Do nothing: it is connected from the beginning."""

    async def close(self) -> None:
        """Do nothing: nothing is held."""

    async def place(self, approved: Approved) -> OrderAck:
        """Take an order in. The same client order id gets its first answer again and never a second order."""
        if type(approved) is not Approved:
            raise ContractError(f"a broker takes only Approved orders, got {type(approved).__name__}")
        request = approved.request
        now_ns = self._clock.time_ns()
        if self._down(now_ns):
            return _unknown(request.client_order_id, "not connected")
        first = self._answers.get(request.client_order_id)
        if first is not None:
            return first
        if self._happens(self._config.lost_order_probability):
            return _unknown(request.client_order_id, "no answer")
        ack = self._decide(approved, now_ns)
        self._answers.remember(ack, approved.approval_id, approved.expires_ns, now_ns, self._open.__contains__)
        answer = self._answer(ack, now_ns)
        if approved.request.armed_ns is not None:
            self._deliver()  # before anything else sees the bar
        return answer

    async def replace(self, approved: Approved, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Reject: orders are cancelled and placed again here."""
        return OrderAck(
            AckStatus.REJECTED, approved.request.client_order_id, None, "orders cannot be replaced here"
        )

    async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
        """Ask for an order to be taken out; :class:`OrderCancelled` follows when that takes effect."""
        now_ns = self._clock.time_ns()
        if self._down(now_ns):
            return _unknown(client_order_id, "not connected")
        order = self._open.get(client_order_id)
        if order is None:
            seen = self._answers.get(client_order_id)
            return OrderAck(
                AckStatus.REJECTED,
                client_order_id,
                None if seen is None else seen.ref,
                "no such order" if seen is None else "the order is not open any more",
            )
        if order.cancel_ns is None:
            reaches_ns = now_ns + self._cancel_latency.draw_ns(self._rng)
            # One connection: a cancel never overtakes its order.
            order.cancel_ns = max(reaches_ns, order.arrival_ns)
            self._cancelling[client_order_id] = order
            self._set_due()
        return self._answer(OrderAck(AckStatus.ACCEPTED, client_order_id, self._ref(order)), now_ns)

    async def orders(self) -> Sequence[BrokerOrder]:
        """Return the orders that can still fill, oldest first. Raises BrokerUnavailable while disconnected."""
        self._require_connection()
        return [self._listed(order) for order in self._open.values()]

    async def fills_since(self, ts_ns: int) -> Sequence[Fill]:
        """Return fills of the present session day since ``ts_ns``. Raises BrokerUnavailable while disconnected."""
        self._require_connection()
        return self._fills.since(ts_ns)

    async def positions(self) -> Mapping[str, BrokerPosition]:
        """Return the holdings, without what they cost. Raises BrokerUnavailable while disconnected."""
        self._require_connection()
        return {symbol: BrokerPosition(qty) for symbol, qty in self._positions.items()}

    async def balance(self) -> Balance | None:
        """Return None: the exchange keeps shares, no money. Raises BrokerUnavailable while disconnected."""
        self._require_connection()
        return None

    async def holdings(self) -> Holdings:
        """Return the holdings, and no money. Raises BrokerUnavailable while disconnected."""
        return Holdings(await self.positions(), await self.balance())

    async def charges(self, day: date) -> Charges | None:
        """Return None: each fill has its exact fee and tax. Raises BrokerUnavailable while disconnected."""
        self._require_connection()
        return None

    # -- what the session drives -------------------------------------------------------------------------

    def on_market(self, value: MarketValue, *, holds_limits: bool = False) -> None:
        """Match against one market value that is already in the last-value table.

        ``holds_limits``: of a bar all but its limits; :meth:`finish_bar` follows.
        """
        kind = type(value)
        if kind is BookUpdate:
            self._on_book(value)  # type: ignore[arg-type]
        elif kind is Bar:
            before = self._note_bar(value)  # type: ignore[arg-type]
        ts_ns = value.ts_ns
        if ts_ns >= self.due_ns:
            self.on_time(ts_ns)
        book = self.active.get(value.symbol)
        if book is None or ts_ns < book.last_ts:  # time never goes back
            return
        book.last_ts = ts_ns
        if kind is Quote:
            self._matcher.on_quote(book, value)  # type: ignore[arg-type]
        elif kind is Tick:
            self._matcher.on_tick(book, value)  # type: ignore[arg-type]
        elif kind is BookUpdate:
            self._matcher.on_book(book, ts_ns)
        elif kind is Bar:
            self._match_bar(book, value, before, holds_limits=holds_limits)  # type: ignore[arg-type]
        if self._outbox:
            self._deliver()

    def depth_of(self, symbol: str) -> DepthBook | None:
        """Return the order book of a symbol, to look at; None where the market shows none, or it is broken."""
        book = self._books.get(symbol)
        depth = None if book is None else book.depth
        return None if depth is None or depth.broken else depth

    def finish_bar(self, symbol: str) -> None:
        """Execute the limits that were held back of the newest bar, and end the orders that live no longer."""
        book, bar = self.active.get(symbol), self._last_values.bars.get(symbol)
        if book is None or bar is None or not self._fills_on_open:
            return
        self._end_with(book, bar, self._bar_matcher.finish(book))
        self._deliver()

    def end_cancels(self, symbol: str) -> None:
        """Let requested cancels of ``symbol`` take effect now: the time on their way does not count on bars."""
        for order in [order for order in self._cancelling.values() if order.symbol == symbol]:
            self._cancelled(order, self._clock.time_ns(), _ON_REQUEST)
        self._deliver()

    def bar_began_ns(self, symbol: str) -> int | None:
        """Return when the newest bar of ``symbol`` began; None when that is not known."""
        book, bar = self._books.get(symbol), self._last_values.bars.get(symbol)
        return None if book is None or bar is None else began_ns(bar, book.times, book.bar_before)

    def on_time(self, now_ns: int) -> None:
        """Let time pass: cancels take effect, orders on bars end, a dropped connection comes back.

        Reports held back are published.
        """
        if now_ns < self.due_ns and not self._outbox:
            return
        if self._reconnect_ns is not None and self._reconnect_ns <= now_ns:
            self._reconnect_ns = None
        for order in [order for order in self._cancelling.values() if (order.cancel_ns or 0) <= now_ns]:
            self._cancelled(order, order.cancel_ns or now_ns, _ON_REQUEST)
        for order in [one for one in self._open.values() if one.ends_ns and one.ends_ns + _AFTER_END_NS <= now_ns]:
            self._cancelled(order, now_ns, _EXPIRED)
        self._set_due()
        self._deliver()

    def on_session_end(self, day: date, now_ns: int) -> None:
        """Expire the day orders of ``day`` and before; orders entered for a later session stay.

        Also notes every symbol's last price as the base of the next day and forgets fills of earlier days.
        Markets that never close have no day orders; orders that wait for bars may outlive the session.
        """
        for order in [order for order in self._open.values() if order.day <= day]:
            outlives = order.tif is TimeInForce.GTC or (order.ends_ns is not None and order.ends_ns > now_ns)
            if not outlives and not self._books[order.symbol].times.never_closes(now_ns):
                self._cancelled(order, now_ns, _EXPIRED)
        self._fills.drop_before(day)
        for symbol in self._instruments:
            self._note_last_price(symbol, day)
        self._set_due()
        self._deliver()

    def settle(self, now_ns: int) -> None:
        """Publish what is held back: a dropped connection is back at once."""
        self._reconnect_ns = None
        self._set_due()
        self.on_time(now_ns)

    def on_split(self, split: Split, holdings: Sequence[Decimal], now_ns: int) -> None:
        """Split holdings, open orders and remembered prices of a symbol; what was reported stays as it was."""
        book = self._book_of(split.symbol)
        self._split_position(split, holdings, book.instrument.lot)
        day, kept = book.times.day(now_ns), []
        for order in tuple(book.orders):
            new = rescaled(
                split,
                is_buy=order.is_buy,
                left=order.remaining,
                limit=order.limit,
                stop=order.stop,
                instrument=book.instrument,
                day=day,
            )
            if new is None:
                self._cancelled(order, now_ns, f"the split {split} leaves nothing of {order.remaining:f}")
            else:
                kept.append((order, new))
        book.rescale(kept)
        self._bases.rescale(split.symbol, split.price)
        self._set_due()
        self._deliver()

    def _split_position(self, split: Split, holdings: Sequence[Decimal], lot: Decimal) -> None:
        """Split the position in the parts that it consists of; what they do not explain is a part as well."""
        held = self._positions.pop(split.symbol, ZERO)
        parts = (*holdings, minus(held, sum_of(holdings)))
        after = sum_of(split.shares(part, lot) for part in parts)
        if after:
            self._positions[split.symbol] = after

    def disconnect(self, now_ns: int, reason: str) -> None:
        """Drop the connection for the configured time: orders go on matching, reports wait until it is back."""
        self._reconnect_ns = now_ns + round(self._config.disconnect_ms * NS_PER_MS)
        self._set_due()
        self._on_disconnect(BrokerDisconnect(self.name, reason, now_ns))

    # -- continuing elsewhere ----------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return everything that decides what happens next, as plain values (Decimals as text)."""
        return {
            "counts": [self._order_count, self._fill_count],
            "desks": [book.export_state() for book in self._books.values()],
            "orders": [order.export_state() for order in self._open.values()],
            "positions": [[symbol, str(qty)] for symbol, qty in self._positions.items()],
            "bases": self._bases.export_state(),
            "answers": self._answers.export_state(),
            "fills": self._fills.export_state(),
            "outbox": checkpoint.pack_reports(self._outbox),
            "reconnect_ns": self._reconnect_ns,
            "rng": self._rng.export_state(),
        }

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where :meth:`export_state` was called. Raises ContractError for an unknown symbol."""
        self._order_count, self._fill_count = state["counts"]
        self._books.clear()
        self.active.clear()
        self._open.clear()
        self._cancelling.clear()
        for exported in state["desks"]:
            self._book_of(exported[0]).import_state(exported, self._config.book_levels)
        for exported in state["orders"]:
            book = self._book_of(exported[2])
            self._enter(SimOrder.from_state(exported, book.instrument.lot), book)
        self._cancelling.update((key, order) for key, order in self._open.items() if order.cancel_ns is not None)
        self._positions = {symbol: Decimal(qty) for symbol, qty in state["positions"]}
        self._bases.import_state(state["bases"])
        self._answers.import_state(state["answers"])
        self._fills.import_state(state["fills"])
        self._outbox = checkpoint.unpack_reports(state["outbox"])
        self._reconnect_ns = state["reconnect_ns"]
        self._rng.import_state(state["rng"])
        self._set_due()

    def will_publish_again(self, source: str, report: object) -> bool:
        """Return whether ``report`` of a killed session is this exchange's own, so that it will be published again.

        The fill may then come out differently, so its execution number is never given again.
        """
        if source != self.name:
            return False
        number = report.execution_id.rpartition("-")[2] if isinstance(report, Fill) else ""
        if number.isascii() and number.isdigit():
            self._fill_count = max(self._fill_count, int(number))
        return True

    # -- taking orders in --------------------------------------------------------------------------------

    def _decide(self, approved: Approved, now_ns: int) -> OrderAck:
        request = approved.request
        why = self._rejection(approved, now_ns)
        if why:
            return OrderAck(AckStatus.REJECTED, request.client_order_id, None, why)
        self._order_count += 1
        book = self._books[request.symbol]
        day, on_bars = self._day_of_order(book, now_ns), self._shows_bars_alone(book)
        kept = request.time_in_force is TimeInForce.GTC
        order = SimOrder(
            self._order_count,
            request.client_order_id,
            request.symbol,
            request.side is Side.BUY,
            request.qty,
            request.limit,
            now_ns + self._order_latency.draw_ns(self._rng),
            day,
            book.instrument.lot,
            entered_ns=self._entered_ns(now_ns),
            stop=request.stop_price,
            money=request.max_cost,
            ends_ns=order_end_ns(book.times, now_ns, day, book.last_bar.interval) if on_bars and not kept else None,
            tif=request.time_in_force,
        )
        if self._happens(self._config.late_reject_probability):
            order.late_reject = "injected late rejection"
        self._last_row_before(book)
        self._enter(order, book)
        if request.armed_ns is not None:
            self._exit_in_bar(order, book, now_ns)
        return OrderAck(AckStatus.ACCEPTED, request.client_order_id, self._ref(order))

    def _rejection(self, approved: Approved, now_ns: int) -> str:
        request = approved.request
        used_by = self._answers.used_by(approved.approval_id)
        if used_by is not None:
            return f"approval {approved.approval_id} was already used for order {used_by}"
        if now_ns > approved.expires_ns:
            return (
                f"approval {approved.approval_id} expired {(now_ns - approved.expires_ns) / NS_PER_MS:.3f} ms ago"
            )
        if unfit := self.capabilities.lacks(request):
            return unfit
        if request.symbol not in self._instruments:
            return f"unknown symbol {request.symbol}"
        if len(self._open) >= self._config.max_open_orders:
            count = counted(len(self._open), "order is", "orders are")
            return f"{count} open; at most {self._config.max_open_orders} are allowed"
        if self._happens(self._config.reject_probability):
            return "injected rejection"
        return self._admission_problem(request, now_ns)

    def _exit_in_bar(self, order: SimOrder, book: InstrumentBook, now_ns: int) -> None:
        """Execute an exit in the newest bar, which is over; what the bar does not take of it ends."""
        start_ns = self.bar_began_ns(order.symbol)
        assert start_ns is not None  # it was admitted
        self._bar_matcher.exit_in(book, self._last_values.bars[order.symbol], start_ns, order)
        if order.remaining:
            self._cancelled(order, now_ns, _BAR_IS_OVER)

    def _exit_problem(self, request: OrderRequest, book: InstrumentBook) -> str:
        """Check an exit that executes in the newest bar: no phase, no band and no grid that came after the bar."""
        began = self.bar_began_ns(request.symbol)
        if not self._last_values.shows_bars_alone(request.symbol) or book.has_depth:
            return f"an exit in a bar needs bars alone, and {request.symbol} has other prices or none"
        if request.side is Side.BUY or began is None or (request.armed_ns or 0) > began:
            return f"the newest bar of {request.symbol} began before the price of the exit was watched"
        return uncovered(request.qty, book, self._positions.get(request.symbol, ZERO))

    def _admission_problem(self, request: OrderRequest, now_ns: int) -> str:
        book = self._book_of(request.symbol)
        if request.armed_ns is not None:
            return self._exit_problem(request, book)
        base, day = None, self._day_of_order(book, now_ns)
        if request.limit is not None or request.stop_price is not None:
            self._note_last_price(request.symbol, day, before=True)
            base = self._bases.base(request.symbol, day)
        return rejection_reason(request, book, now_ns, day, self._positions.get(request.symbol, ZERO), base)

    def _shows_bars_alone(self, book: InstrumentBook) -> bool:
        """Return whether orders of the symbol fill from the next bar's open on: only bars of it were seen."""
        shown = self._last_values.shows_bars_alone(book.instrument.symbol)
        return self._fills_on_open and shown and not book.has_depth

    def _entered_ns(self, now_ns: int) -> int:
        """Return when an order of now counts as entered: at the value that it was decided on, within one second.

        In real time an order leaves a moment after the bar that caused it, which is the moment at which the next
        one begins.
        """
        return max(min(self._last_values.feed_ts_ns, now_ns), now_ns - now_ns % NS_PER_S)

    def _day_of_order(self, book: InstrumentBook, now_ns: int) -> date:
        times = book.times
        return session_day(times, now_ns) if self._shows_bars_alone(book) else times.day(now_ns)

    def _book_of(self, symbol: str) -> InstrumentBook:
        book = self._books.get(symbol)
        if book is None:
            instrument = self._instruments.get(symbol)
            if instrument is None:
                raise ContractError(f"the exchange knows no instrument {symbol!r}")
            book = self._books[symbol] = InstrumentBook(instrument)
        return book

    def _enter(self, order: SimOrder, book: InstrumentBook) -> None:
        book.add(order)
        self._open[order.client_order_id] = order
        self.active[order.symbol] = book
        if order.ends_ns is not None:
            self.due_ns = min(self.due_ns, order.ends_ns + _AFTER_END_NS)

    def _leave(self, order: SimOrder) -> None:
        book = self._books[order.symbol]
        book.orders.remove(order)
        del self._open[order.client_order_id]
        if self._cancelling.pop(order.client_order_id, None) is not None or order.ends_ns is not None:
            self._set_due()
        if not book.orders:
            del self.active[order.symbol]

    def _last_row_before(self, book: InstrumentBook) -> None:
        """Count volume from the newest of the rows that went by unseen while no order was here."""
        quote = self._last_values.quotes.get(book.instrument.symbol)
        if not book.orders and quote is not None and quote.volume is not None:
            book.rise(quote.volume, book.times.day(quote.ts_ns))

    def _answer(self, ack: OrderAck, now_ns: int) -> OrderAck:
        """Return the answer as it reaches us: it may get lost on the way, or the connection with it."""
        if ack.status is AckStatus.ACCEPTED and self._happens(self._config.lost_answer_probability):
            return _unknown(ack.client_order_id, "no answer")
        if self._happens(self._config.disconnect_probability):
            self.disconnect(now_ns, "injected disconnect")
            return _unknown(ack.client_order_id, "the connection dropped")
        return ack

    # -- what matching reports ---------------------------------------------------------------------------

    def _admit(self, order: SimOrder, book: InstrumentBook, ts_ns: int) -> bool:
        """Check an order again on its arrival; reject it when it does not fit any more."""
        why = order.late_reject
        if not why and not order.is_buy:
            # its own quantity is among what is offered: give it back before comparing
            held = plus(self._positions.get(order.symbol, ZERO), order.remaining)
            why = uncovered(order.remaining, book, held)
        if why:
            self._leave(order)
            self._report(OrderRejected(self.name, order.client_order_id, order.symbol, ts_ns, why))
        return not why

    def _fill(self, order: SimOrder, book: InstrumentBook, qty: Decimal, price: Decimal, ts_ns: int) -> None:
        if order.money is None:
            self._execute(order, book, qty, price, ts_ns)
        elif order.client_order_id in self._open:  # an earlier fill of this value may have ended it
            payable = payable_qty(qty, order.money, price, book.instrument, book.times.day(ts_ns))
            if payable == qty or (payable and order.tif is not TimeInForce.FOK):
                self._execute(order, book, payable, price, ts_ns)
            if payable < qty:
                self._cancelled(order, ts_ns, _TOO_DEAR)

    def _execute(self, order: SimOrder, book: InstrumentBook, qty: Decimal, price: Decimal, ts_ns: int) -> None:
        order.remaining = minus(order.remaining, qty)
        self._fill_count += 1
        day = book.times.day(ts_ns)
        amount = times(qty, price)
        costs = book.instrument.costs
        fill = Fill(
            self.name,
            f"{self.name}-{self._fill_count}",
            order.client_order_id,
            order.symbol,
            _BUY if order.is_buy else _SELL,
            qty,
            price,
            costs.fee(amount, day),
            costs.tax(amount, is_sell=not order.is_buy, day=day),
            ts_ns,
            not order.remaining,
        )
        if order.money is not None:
            order.money = minus(order.money, sum_of((amount, fill.fee, fill.tax)))
        self._book_position(order, qty)
        book.bar_taken = plus(book.bar_taken, qty)
        self._fills.add(fill, day)
        if not order.remaining:
            self._leave(order)
        self._report(fill)
        if self._happens(self._config.duplicate_fill_probability):
            self._report(fill)

    def _book_position(self, order: SimOrder, qty: Decimal) -> None:
        change = plus if order.is_buy else minus
        held = change(self._positions.get(order.symbol, ZERO), qty)
        if held:
            self._positions[order.symbol] = held
        else:
            self._positions.pop(order.symbol, None)

    def _cancelled(self, order: SimOrder, ts_ns: int, reason: str) -> None:
        self._leave(order)
        expired = reason in (_EXPIRED, _NOT_AT_ONCE)
        self._report(OrderCancelled(self.name, order.client_order_id, order.symbol, ts_ns, reason, expired))

    def _end_immediate(self, order: SimOrder, ts_ns: int) -> None:
        """End what is left of an order that takes what there is at once."""
        if order.client_order_id in self._open:
            self._cancelled(order, ts_ns, _NOT_AT_ONCE)

    # -- bars and depth updates --------------------------------------------------------------------------

    def _on_book(self, update: BookUpdate) -> None:
        if update.symbol in self._instruments:
            self._book_of(update.symbol).book_update(update, self._config.book_levels)

    def _note_bar(self, bar: Bar) -> LastBar:
        """Remember the bar; return the one before it."""
        symbol = bar.symbol
        book = self._books.get(symbol)
        if book is None:
            if symbol not in self._instruments:
                return NO_BAR
            book = self._book_of(symbol)
        if bar.close > 0:
            self._bases.note(symbol, bar_day(bar, book.times), bar.close)
        before = book.last_bar
        book.bar_before, book.bar_taken = before, ZERO
        if bar.interval == before.interval or not overlaps(bar, book.times, before):
            newest = self._newest_bar
            if newest.end_ns != bar.ts_ns or newest.interval != bar.interval:  # most of a universe end together
                newest = self._newest_bar = LastBar(bar.ts_ns, bar.interval)
            book.last_bar = newest
        return before

    def _match_bar(self, book: InstrumentBook, bar: Bar, before: LastBar, *, holds_limits: bool) -> None:
        """Match against a bar, then end the orders that live no longer than it, unless limits are held back."""
        if not self._fills_on_open:
            self._matcher.on_bar(book, bar)
            return
        start_ns = self._bar_matcher.on_bar(book, bar, before, holds_limits=holds_limits)
        if not holds_limits:
            self._end_with(book, bar, start_ns)

    def _end_with(self, book: InstrumentBook, bar: Bar, start_ns: int | None) -> None:
        """End the orders that live no longer than ``bar``; ``start_ns`` None: it has executed nothing."""
        end_ns = whole_second(bar.ts_ns)
        last_entry_ns = -1 if start_ns is None or not is_whole_life(bar.interval) else start_ns
        for order in tuple(book.orders):
            if order.is_immediate and order.live and start_ns is not None and order.entered_ns <= start_ns:
                self._end_immediate(order, bar.ts_ns)
            elif order.ends_ns is not None and (order.ends_ns <= end_ns or order.entered_ns <= last_entry_ns):
                self._cancelled(order, bar.ts_ns, _EXPIRED)

    def _note_last_price(self, symbol: str, day: date, before: bool = False) -> None:
        self._bases.note_last(symbol, self._last_values, self._book_of(symbol).times, day, before)

    # -- publishing ---------------------------------------------------------------------------------------

    def _report(self, report: ExecutionReport) -> None:
        self._outbox.append(report)

    def _deliver(self) -> None:
        if self._reconnect_ns is not None:
            return
        while self._outbox:
            self._publish(self._outbox.popleft())
        if not self.due_ns:
            self._set_due()

    def _set_due(self) -> None:
        due = min((order.cancel_ns or 0 for order in self._cancelling.values()), default=NEVER_NS)
        for order in self._open.values():
            if order.ends_ns is not None:
                due = min(due, order.ends_ns + _AFTER_END_NS)
        if self._reconnect_ns is not None:
            due = min(due, self._reconnect_ns)
        elif self._outbox:
            due = 0
        self.due_ns = due

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def _down(self, now_ns: int) -> bool:
        return self._reconnect_ns is not None and now_ns < self._reconnect_ns

    def _require_connection(self) -> None:
        if self._reconnect_ns is not None:  # also when its time is over: what was held back is not published yet
            raise BrokerUnavailable(f"broker {self.name} is not connected; ask again after the reconnect")

    def _listed(self, order: SimOrder) -> BrokerOrder:
        return BrokerOrder(
            order.client_order_id,
            self._ref(order),
            order.symbol,
            _BUY if order.is_buy else _SELL,
            order.qty,
            minus(order.qty, order.remaining),
            BrokerOrderState.OPEN,
        )

    def _ref(self, order: SimOrder) -> VenueRef:
        return VenueRef(order.day, f"{self.name}-o{order.seq}", self.name)


def _unknown(client_order_id: str, why: str) -> OrderAck:
    return OrderAck(AckStatus.UNKNOWN, client_order_id, None, why)
