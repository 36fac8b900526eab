"""A simulated exchange for the tests, with its clock, its last-value table, and short methods to drive them."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.capital.contracts import Pool
from qts.clock import NS_PER_MS, ManualClock, from_ns, to_ns
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, OrderAck
from qts.market.contracts import Bar, BookUpdate, Instrument, MarketValue, Quote, Tick
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.market.krx import krx_instrument
from qts.market.last_values import LastValues
from qts.risk.contracts import Approved, OrderRequest, OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce

D = Decimal
T = TypeVar("T")

BUY, SELL = Side.BUY, Side.SELL
INSTANT = SimConfig(order_latency_ms=0, order_jitter_ms=0, cancel_latency_ms=0, cancel_jitter_ms=0)
"""No travel time: an order is live at the next value."""

NOON = datetime(2024, 8, 8, 12, tzinfo=UTC)
COIN = Instrument(
    "COIN", "USDT", D("0.01"), D("0.1"), FixedTicks("0.5"), RateCosts("0.0005", "0", "0.01"), AlwaysOpen()
)
SHARE = Instrument("SHARE", "KRW", D(1), D(1), FixedTicks("1"), RateCosts("0", "0", "1"), AlwaysOpen())
SAMSUNG = krx_instrument("005930")

_KINDS = {
    (False, False): OrderType.MARKET,
    (True, False): OrderType.LIMIT,
    (False, True): OrderType.STOP,
    (True, True): OrderType.STOP_LIMIT,
}
"""The kind of an order by whether it has a limit and whether it has a stop."""


def kst(text: str) -> datetime:
    """A moment of the Korean wall clock, such as "2018-01-22 09:00:00"."""
    return datetime.fromisoformat(f"{text}+09:00")


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError("the coroutine suspended")


class ExchangeRig:
    def __init__(
        self,
        *instruments: Instrument,
        at: datetime = NOON,
        config: SimConfig = INSTANT,
        seed: int = 1,
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in (instruments or (SHARE,))}
        self.symbol = next(iter(self.instruments))
        self.clock = ManualClock(at)
        self.last_values = LastValues()
        self.reports: list[ExecutionReport] = []
        self.disconnects: list[BrokerDisconnect] = []
        self.exchange = SimExchange(
            last_values=self.last_values,
            instruments=self.instruments,
            clock=self.clock,
            publish=self.reports.append,
            rng=random.Random(seed),
            config=config,
            on_disconnect=self.disconnects.append,
        )

    # -- time and market, told as the kernel tells them

    def after(self, ms: float) -> int:
        """Let ``ms`` pass without telling the exchange."""
        self.clock.set_ns(self.clock.time_ns() + round(ms * NS_PER_MS))
        return self.clock.time_ns()

    def at(self, moment: datetime) -> None:
        self.clock.set_ns(to_ns(moment))

    def tell(self, value: MarketValue) -> None:
        """Write the table, then show the value where it must be shown."""
        if isinstance(value, Quote):
            self.last_values.quotes[value.symbol] = value
        elif isinstance(value, Tick):
            self.last_values.ticks[value.symbol] = value
        elif isinstance(value, Bar):
            self.last_values.bars[value.symbol] = value
        if isinstance(value, BookUpdate | Bar) or value.symbol in self.exchange.active:
            self.exchange.on_market(value)

    def quote(
        self,
        bid: str | None = None,
        bid_size: str | None = None,
        ask: str | None = None,
        ask_size: str | None = None,
        ms: float = 1,
    ) -> None:
        now = self.after(ms)
        self.tell(Quote(self.symbol, now, _d(bid), _d(ask), _d(bid_size), _d(ask_size)))

    def traded_quote(
        self,
        bid: str | None,
        bid_size: str | None,
        ask: str | None,
        ask_size: str | None,
        last: str,
        last_size: str | None,
        ms: float = 1,
    ) -> None:
        """A row of a file with best prices and the trade before them; all four None: the trade alone."""
        now = self.after(ms)
        sides = (_d(bid), _d(ask), _d(bid_size), _d(ask_size))
        self.tell(Quote(self.symbol, now, *sides, _d(last), _d(last_size)))

    def row(self, last: str | None, volume: str | None, ms: float = 1) -> None:
        """A snapshot: last price and cumulative volume, no sides."""
        now = self.after(ms)
        self.tell(Quote(self.symbol, now, last=_d(last), volume=_d(volume)))

    def trade(self, price: str, size: str, buyer_is_maker: bool | None = None, ms: float = 1) -> None:
        now = self.after(ms)
        self.tell(Tick(self.symbol, now, D(price), D(size), buyer_is_maker))

    def book(
        self,
        bids: dict[str, str] | None = None,
        asks: dict[str, str] | None = None,
        *,
        snapshot: bool = False,
        ms: float = 1,
    ) -> None:
        now = self.after(ms)
        self.tell(BookUpdate(self.symbol, now, _levels(bids), _levels(asks), snapshot))

    def bar(self, close: str, volume: str, day: str) -> None:
        price = D(close)
        self.tell(Bar(self.symbol, self.clock.time_ns(), price, price, price, price, D(volume), day=day))

    def ohlc(self, prices: str, volume: str = "1000", interval: str = "1d", day: str = "") -> None:
        """A bar of "open high low close" that ends now."""
        self.tell(Bar(self.symbol, self.clock.time_ns(), *map(D, prices.split()), D(volume), interval, day))

    # -- orders

    def approved(
        self,
        key: str,
        side: Side,
        qty: str,
        limit: str | None = None,
        *,
        symbol: str | None = None,
        approval: str | None = None,
        lives_ms: int = 1_000,
        stop: str | None = None,
        max_cost: str | None = None,
        armed_ns: int | None = None,
        tif: TimeInForce = TimeInForce.DAY,
    ) -> Approved:
        now = self.clock.time_ns()
        request = OrderRequest(
            key,
            f"d-{key}",
            "test",
            Pool.SCALP,
            symbol or self.symbol,
            side,
            D(qty),
            _d(limit),
            D(1),
            now,
            type=_KINDS[limit is not None, stop is not None],
            stop_price=_d(stop),
            max_cost=_d(max_cost),
            armed_ns=armed_ns,
            time_in_force=tif,
        )
        return Approved(approval or f"a-{key}", request, "hash", now + lives_ms * NS_PER_MS)

    def place(self, key: str, side: Side, qty: str, limit: str | None = None, **more: Any) -> OrderAck:
        return done(self.exchange.place(self.approved(key, side, qty, limit, **more)))

    def cancel(self, key: str) -> OrderAck:
        return done(self.exchange.cancel(key, None))

    def hold(self, qty: str, price: str = "100") -> None:
        """Buy a holding at one price, so that there is something to sell; its reports are forgotten."""
        self.place(f"hold-{self.clock.time_ns()}", BUY, qty)
        self.quote(ask=price, ask_size=qty)
        assert self.reports, "the holding was not bought"
        assert self.reports[-1].last  # type: ignore[union-attr]
        self.reports.clear()

    # -- what came of it

    @property
    def fills(self) -> list[Fill]:
        return [report for report in self.reports if isinstance(report, Fill)]

    @property
    def filled(self) -> list[tuple[str, str, str]]:
        """(client order id, quantity, price) of each fill, as text."""
        return [(fill.client_order_id, str(fill.qty), str(fill.price)) for fill in self.fills]

    @property
    def open(self) -> list[str | None]:
        return [order.client_order_id for order in done(self.exchange.orders())]

    @property
    def positions(self) -> dict[str, Decimal]:
        return {symbol: held.qty for symbol, held in done(self.exchange.positions()).items()}

    @property
    def now(self) -> datetime:
        return from_ns(self.clock.time_ns())


def _d(text: str | None) -> Decimal | None:
    return None if text is None else D(text)


def _levels(levels: dict[str, str] | None) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((D(price), D(size)) for price, size in (levels or {}).items())
