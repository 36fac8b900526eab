"""Assesses a run when it has ended: the figures of its performance, and what its report draws of prices."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from qts.capital.contracts import Pool
from qts.clock import from_ns
from qts.db.contracts import ActionRow, EquityRow
from qts.errors import ContractError
from qts.ledger.actions import Holder, dividend_row, dividend_tax, split_row
from qts.ledger.bookings import FROM_OUTSIDE, fill_id_of, value_of
from qts.ledger.contracts import BookingKind, BookingRow, LedgerRow
from qts.ledger.fills import id_of_row
from qts.market.actions import Dividend, Split, actions_of
from qts.market.bars.feed import BarFeed
from qts.market.contracts import Bar, Calendar, Feed, Instrument
from qts.market.feed_view import giver_of
from qts.money import ZERO, minus, plus, sum_of
from qts.notes import Note
from qts.performance import (
    Change,
    Close,
    Flow,
    HoldingAction,
    Performance,
    Period,
    Prices,
    RoundTrip,
    TripAction,
    TripFill,
    buy_and_hold,
    performance,
    round_trips,
)
from qts.runtime.persistence.charts_file import Benchmark, Candles
from qts.runtime.session.price_history import LastPrice, PriceHistory, prices_by_session, symbols_by_use
from qts.strategy.contracts import Side


class Books(msgspec.Struct, frozen=True):
    """The books of a run: its equity samples, fills, corporate actions and bookings, each in the order of booking.

    ``levels``: by order id which level of a position an order had reached; other orders are absent.
    """

    start: Decimal
    equity: Sequence[EquityRow]
    ledger: Sequence[LedgerRow]
    actions: Sequence[ActionRow]
    levels: Mapping[str, str] = {}
    bookings: Sequence[BookingRow] = ()

    def standing(self) -> Sequence[LedgerRow]:
        """Return the fills that the broker has not taken back."""
        back = {fill_id_of(row) for row in self.bookings if row.kind is BookingKind.REVERSAL}
        return [row for row in self.ledger if id_of_row(row) not in back] if back else self.ledger

    def flows(self, calendar: Calendar) -> list[Flow]:
        """Return what came into the pools and went out, money and shares at their value, by the market's day."""
        return [
            Flow(calendar.local_date(from_ns(row.ts_ns)), value_of(row))
            for row in self.bookings
            if row.pool is not None and row.kind in FROM_OUTSIDE
        ]


class Assessment(msgspec.Struct, frozen=True):
    """The figures of a run, its completed round trips, and what is drawn of prices and benchmark.

    ``performance`` None: the figures are unknown, and ``why`` says for what reason; ``trips`` may be empty then.
    """

    performance: Performance | None
    trips: Sequence[RoundTrip]
    candles: list[Candles] = []
    benchmark: Benchmark | None = None
    why: Note | None = None


def assess(
    books: Books,
    calendar: Calendar,
    *,
    risk_free: float,
    open_feed: Callable[[], Feed] | None = None,
    with_benchmark: bool = False,
    is_known_next_day: bool = False,
    dividend_tax_rate: Decimal | None = None,
) -> Assessment:
    """Judge a run by its ``books``; ``calendar`` gives the market's days.

    Books whose fills sell more than was held, or whose equity was used up, give no figures but the reason why, so
    that the end of every run can be stored.

    ``is_known_next_day``: every value is known only on the date after its day, as at the midnight that ends it, so
    that each close belongs to the day before the one on which it was sampled. ``dividend_tax_rate`` is that of the
    settings; None: the tax of the market.

    ``open_feed`` opens its input, which is then read again for candles, the extreme prices of round trips and,
    ``with_benchmark``, an account that buys and holds; None: these are unknown. Raises DataError when the input
    cannot be read again.
    """
    ledger = books.standing()
    try:
        events, trips = _trips(books, ledger)
    except ContractError as error:
        return Assessment(None, (), why=_unknown(error))
    candles: list[Candles] = []
    held: list[Close] | None = None
    if open_feed is not None:
        feed = open_feed()
        symbols = symbols_by_use(Counter(row.symbol for row in ledger), feed.instruments)
        length_ns = books.equity[-1].ts_ns - books.equity[0].ts_ns if books.equity else 0
        history = PriceHistory(symbols, trips, length_ns)
        prices: Iterator[LastPrice]
        giver = giver_of(feed)
        if isinstance(giver, BarFeed):
            history.take_bars(giver.series.values())
            prices = _closes_of(feed) if with_benchmark else iter(())
        else:
            prices = history.take(feed.values())
        if with_benchmark:
            sessions = prices_by_session(prices, calendar, is_known_next_day=is_known_next_day)
            held = _held(books.start, list(sessions), feed, dividend_tax_rate)
        deque(prices, maxlen=0)  # without a benchmark the input is read all the same
        candles = history.candles()
        trips = round_trips(events, history.range_of).completed
    period = Period(
        start=books.start,
        closes=session_closes(books.equity, calendar, is_known_next_day=is_known_next_day),
        trips=trips,
        bought=sum_of(row.amount for row in ledger if row.side is Side.BUY),
        sold=sum_of(row.amount for row in ledger if row.side is Side.SELL),
        costs=sum_of(
            (plus(row.fee, row.tax) for row in books.bookings if row.pool is not None),
            sum_of(plus(row.fee, row.tax) for row in books.ledger),
        ),
        flows=books.flows(calendar),
    )
    benchmark = None if held is None else _drawn(held)
    last = calendar.local_date(from_ns(books.equity[-1].ts_ns)) if books.equity else date(2000, 12, 31)
    days_a_year = sessions_a_year(calendar, last)
    try:
        found = performance(period, days_a_year=days_a_year, risk_free=risk_free, benchmark=_matching(held, period))
    except ContractError as error:
        return Assessment(None, trips, candles, benchmark, why=_unknown(error))
    return Assessment(found, trips, candles, benchmark)


def _unknown(error: ContractError) -> Note:
    return Note.of("performance-unknown", error=str(error))


def _trips(books: Books, ledger: Sequence[LedgerRow]) -> tuple[list[TripFill | TripAction], Sequence[RoundTrip]]:
    """Return what was traded, and the completed round trips; ``ledger`` is what stands of the rows of ``books``.

    Raises ContractError where more was sold than was held.
    """
    events = list(_events(books, ledger))
    try:
        return events, round_trips(events).completed
    except ContractError:
        if ledger is books.ledger:
            raise
        # Shares that were taken back had been sold, or had earned a dividend: the trades are those reported.
        events = list(_events(books, books.ledger))
        return events, round_trips(events).completed


def session_closes(
    samples: Iterable[EquityRow], calendar: Calendar, *, is_known_next_day: bool = False
) -> list[Close]:
    """Return the last sample of each session; ``is_known_next_day`` as in :func:`assess`.

    What is sampled on a day without a session, such as when an index abroad ends the run, is of the session before.
    """
    closes: dict[date, Close] = {}
    back = timedelta(days=int(is_known_next_day))
    day = date.min
    for row in samples:
        sampled = calendar.local_date(from_ns(row.ts_ns)) - back
        if not closes or calendar.is_trading_day(sampled):
            day = sampled
        closes[day] = Close(day, row.equity, minus(row.equity, row.cash))
    return list(closes.values())


def sessions_a_year(calendar: Calendar, last: date) -> int:
    """Return the number of sessions in the 365 days up to ``last``."""
    return sum(calendar.is_trading_day(last - timedelta(days=back)) for back in range(365)) or 365


def _events(books: Books, ledger: Sequence[LedgerRow]) -> Iterator[TripFill | TripAction]:
    """Return fills and corporate actions in the order of their times, an action before fills of its moment.

    Shares that a strategy took over are as if bought at the market, without a cost: so much came in as capital.
    """
    actions = [
        TripAction(row.ts_ns, row.strategy, row.symbol, row.change, row.amount, row.tax) for row in books.actions
    ]
    fills = [
        TripFill(
            row.ts_ns,
            row.strategy,
            row.symbol,
            row.side is Side.BUY,
            row.qty,
            row.price,
            plus(row.fee, row.tax),
            books.levels.get(row.order_id, ""),
        )
        for row in ledger
    ]
    taken = [
        TripFill(row.ts_ns, row.strategy, row.symbol, True, row.qty, row.price, ZERO)
        for row in books.bookings
        if row.kind is BookingKind.DEPOSIT and row.symbol
    ]
    both: list[TripFill | TripAction] = [*actions, *taken, *fills]
    return iter(sorted(both, key=lambda event: event.ts_ns))  # stable: actions stand first


def _closes_of(feed: Feed) -> Iterator[LastPrice]:
    return (LastPrice(bar.ts_ns, bar.symbol, bar.close) for bar in feed.values() if isinstance(bar, Bar))


def _held(start: Decimal, sessions: Sequence[Prices], feed: Feed, tax_rate: Decimal | None) -> list[Close]:
    instruments: dict[str, Instrument] = dict(feed.instruments)
    quantum = next(iter(instruments.values())).quantum

    def cost_of(symbol: str, day: date, amount: Decimal) -> Decimal:
        costs = instruments[symbol].costs
        return plus(costs.fee(amount, day), costs.tax(amount, is_sell=False, day=day))

    lots = {symbol: one.lot for symbol, one in instruments.items()}
    return buy_and_hold(start, sessions, lots, cost_of, quantum, list(_changes(feed, tax_rate)))


def _changes(feed: Feed, tax_rate: Decimal | None) -> Iterator[HoldingAction]:
    """Yield what splits and dividends do to a holding, by the rules of the account's own books."""
    for action in actions_of(feed):
        one = feed.instruments.get(action.symbol)
        if one is not None:
            change = _split_of(action, one) if isinstance(action, Split) else _paid_by(action, one, tax_rate)
            yield HoldingAction(action.day, action.symbol, change)


def _split_of(split: Split, one: Instrument) -> Callable[[Decimal, Decimal], Change]:
    def change(qty: Decimal, price: Decimal) -> Change:
        row = split_row(split, _holder(qty), ts_ns=0, lot=one.lot, price=price, quantum=one.quantum)
        return Change(plus(qty, row.change), split.price(price), row.amount)

    return change


def _paid_by(dividend: Dividend, one: Instrument, tax_rate: Decimal | None) -> Callable[[Decimal, Decimal], Change]:
    def change(qty: Decimal, price: Decimal) -> Change:
        tax = dividend_tax(one, dividend.day, tax_rate)
        row = dividend_row(dividend, _holder(qty), ts_ns=0, tax=tax, quantum=one.quantum)
        return Change(qty, price, minus(row.amount, row.tax))

    return change


def _holder(qty: Decimal) -> Holder:
    return Holder("", "", Pool.PORTFOLIO, qty)


def _matching(held: list[Close] | None, period: Period) -> list[Close] | None:
    """Return the benchmark's closes of the days that the account has; the last before a day stands for it."""
    if held is None:
        return None
    closes: list[Close] = []
    place, newest = 0, Close(date.min, period.start, ZERO)
    for ours in period.closes:
        while place < len(held) and held[place].day <= ours.day:
            newest = held[place]
            place += 1
        closes.append(Close(ours.day, newest.equity, newest.held))
    return closes


def _drawn(held: Sequence[Close]) -> Benchmark:
    return Benchmark(days=[one.day.isoformat() for one in held], equity=[float(one.equity) for one in held])
