"""Korea Exchange: price grid, price limits, costs, calendar and instruments, all by date.

The numbers live in ``data/krx.yaml``. Hot calls (:meth:`KrxTicks.tick`, :meth:`KrxCalendar.phase_ns`) look
the rules of a day up once and then only compare.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final, NamedTuple

from qts.clock import NS_PER_S, from_ns, to_ns
from qts.errors import ContractError
from qts.market.contracts import Instrument, Phase
from qts.market.krx_rules import KrxRules, Rate, TickTable, embedded_rules, note_before_first, row_at
from qts.money import ONE, ZERO, is_multiple, minus, plus, steps_in, times, truncate_to
from qts.notes import Note

KST: Final = timezone(timedelta(hours=9), "KST")
"""Korean time; no daylight saving time since 1988."""
WON: Final = Decimal(1)
KST_NS: Final = 9 * 3_600 * NS_PER_S
_MINUTE_NS: Final = 60 * NS_PER_S
_DAY_NS: Final = 86_400 * NS_PER_S
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_SYMBOL: Final = re.compile(r"[0-9A-Z]{6}")
_CACHED_DAYS: Final = 4096
_ONE_DAY: Final = timedelta(days=1)
_DECEMBER: Final = 12
_FRIDAY: Final = 4
_SATURDAY: Final = 5
_SEARCH_DAYS: Final = 400


class Session(NamedTuple):
    """The regular session of one day; moments in nanoseconds UTC, each phase from its moment on.

    ``close_ns`` is the end of the closing auction: the moment of its single price.
    """

    order_entry_ns: int
    open_ns: int
    closing_auction_ns: int
    close_ns: int


class KrxTicks:
    """The price grid and the daily price limits of a board: KOSPI, KOSDAQ or ETF.

    Raises :class:`~qts.errors.ContractError` for another board, and from :meth:`tick` for a price that is not
    above 0.
    """

    __slots__ = ("_bounds", "_day", "_limits", "_steps", "_tables", "board")

    def __init__(self, board: str = "KOSPI", rules: KrxRules | None = None) -> None:
        rules = rules or embedded_rules()
        self.board = _known(board, rules.ticks, "a tick table")
        self._tables = rules.ticks[board]
        self._limits = rules.price_limits
        self._day: date = date.min
        self._bounds: tuple[Decimal, ...] = ()
        self._steps: tuple[Decimal, ...] = ()
        self._use(row_at(self._tables, date.min))

    def tick(self, price: Decimal, day: date) -> Decimal:
        """Return the grid step in won at ``price`` on ``day``."""
        if not (price.is_finite() and price > 0):
            raise ContractError(f"a price must be a number above 0, got {price}")
        if day != self._day:
            self._use(row_at(self._tables, day))
            self._day = day
        return self._steps[bisect_right(self._bounds, price)]

    def is_valid(self, price: Decimal, day: date) -> bool:
        """Return whether ``price`` is on the grid; False for NaN, zero and negative prices."""
        return price.is_finite() and price > 0 and is_multiple(price, self.tick(price, day))

    def round_down(self, price: Decimal, day: date) -> Decimal:
        """Return the highest grid price not above ``price`` (0 below the smallest step)."""
        step = self.tick(price, day)
        return times(steps_in(price, step), step)

    def round_up(self, price: Decimal, day: date) -> Decimal:
        """Return the lowest grid price not below ``price``."""
        step = self.tick(price, day)
        below = times(steps_in(price, step), step)
        return below if below == price else plus(below, step)

    def band(self, base: Decimal, day: date) -> tuple[Decimal, Decimal]:
        """Return the lowest and highest price around the base price (previous close), cut inward to the grid."""
        limit = row_at(self._limits, day).limit
        lowest, highest = times(base, minus(ONE, limit)), times(base, plus(ONE, limit))
        return self.round_up(lowest, day), self.round_down(highest, day)

    def notes(self, day: date) -> list[Note]:
        """Return notes on rows that are missing for ``day``."""
        return [
            *note_before_first(self._tables, day, Note.of("tick-table", board=self.board)),
            *note_before_first(self._limits, day, Note.of("price-limit")),
        ]

    def _use(self, table: TickTable) -> None:
        self._bounds = tuple(bound for bound, _ in table.steps if bound is not None)
        self._steps = tuple(step for _, step in table.steps)


class KrxCosts:
    """Broker fee on both sides and tax on sales by date and board, each cut to the won.

    ``day`` is the trade date in every call. The fee goes by it; the tax goes by the settlement date, some trading
    days later (:meth:`settlement_day`), so a new rate reaches sales made just before it.
    """

    __slots__ = ("_calendar", "_day", "_dividend_taxes", "_fee", "_fees", "_lags", "_tax", "_taxes", "board")

    def __init__(self, board: str = "KOSPI", rules: KrxRules | None = None) -> None:
        rules = rules or embedded_rules()
        self.board = _known(board, rules.sell_tax, "a sell tax")
        # The market's own days: those with data in one recording may leave out days on which money was settled.
        self._calendar = KrxCalendar(rules=rules)
        self._lags = rules.settlement
        self._taxes = rules.sell_tax[board]
        self._fees = rules.broker_fee
        self._dividend_taxes = rules.dividend_tax
        self._day = date.min
        self._fee = row_at(self._fees, date.min).rate
        self._tax = row_at(self._taxes, date.min).rate

    def fee(self, amount: Decimal, day: date) -> Decimal:
        """Return the broker fee in won for a fill of ``amount`` won on the trade date ``day``."""
        self._at(day)
        return truncate_to(times(amount, self._fee), WON)

    def tax(self, amount: Decimal, *, is_sell: bool, day: date) -> Decimal:
        """Return the tax in won on a sale made on the trade date ``day``; 0 for a purchase."""
        if not is_sell:
            return ZERO
        self._at(day)
        return truncate_to(times(amount, self._tax), WON)

    def dividend_tax(self, amount: Decimal, day: date) -> Decimal:
        """Return what is kept back in won of a dividend of ``amount`` won with the ex-date ``day``."""
        return truncate_to(times(amount, row_at(self._dividend_taxes, day).rate), WON)

    def settlement_day(self, day: date) -> date:
        """Return the date on which a trade made on ``day`` is settled."""
        for _ in range(row_at(self._lags, day).days):
            day += _ONE_DAY
            while not self._calendar.is_trading_day(day):
                day += _ONE_DAY
        return day

    def notes(self, day: date) -> list[Note]:
        """Return notes on rows that are missing for the trade date ``day``."""
        paid = self.settlement_day(day)
        rural = self.board == "KOSPI"  # a part of the tax there is the special tax for rural development
        tax = Note.of("sell-tax-with-rural", board=self.board) if rural else Note.of("sell-tax", board=self.board)
        tax_note = note_before_first(self._taxes, paid, tax, settled=True)
        lag_note = note_before_first(self._lags, day, Note.of("settlement"))
        return [*note_before_first(self._fees, day, Note.of("broker-fee")), *lag_note, *tax_note]

    def _at(self, day: date) -> None:
        if day != self._day:
            self._fee = row_at(self._fees, day).rate
            self._tax = row_at(self._taxes, self.settlement_day(day)).rate
            self._day = day


class KrxCalendar:
    """Trading days and session times in Korean time.

    ``trading_days``, when given, decides between the first and the last of them: those are the days with
    volume in the data. Elsewhere the calendar rows decide, and where there is no row every weekday trades.
    """

    __slots__ = ("_closed", "_closed_md", "_rules", "_sessions", "_shifted", "_span", "_trading_days", "name")

    def __init__(self, trading_days: Iterable[date] | None = None, rules: KrxRules | None = None) -> None:
        self.name = "KRX"
        self._rules = rules or embedded_rules()
        days = frozenset(trading_days or ())
        self._trading_days = days
        self._span = (min(days), max(days)) if days else None
        self._closed = {row.year: frozenset(row.days) for row in self._rules.closed_days}
        self._closed_md = frozenset(self._rules.closed_every_year.days)
        self._shifted = frozenset(self._rules.shifted_days.days)
        self._sessions: dict[int, Session | None] = {}

    def phase(self, moment: datetime) -> Phase:
        """Return the phase of the exchange at ``moment``."""
        return self.phase_ns(to_ns(moment))

    def phase_ns(self, ns: int) -> Phase:
        """Return the :meth:`phase` at ``ns`` since 1970 UTC.

        The closing auction makes its price at its end (on the real exchange at a random moment of the next 30 s),
        so the moment of the close still belongs to it; the market is CLOSED after it.
        """
        session = self._session(_day_number(ns))
        if session is None or ns < session.order_entry_ns or ns > session.close_ns:
            return Phase.CLOSED
        if ns >= session.closing_auction_ns:
            return Phase.CLOSING_AUCTION
        return Phase.CONTINUOUS if ns >= session.open_ns else Phase.ORDER_ENTRY

    def session(self, day: date) -> Session | None:
        """Return the session of ``day``; None when the market is closed."""
        return self._session(day.toordinal() - _EPOCH_ORDINAL)

    def local_date(self, moment: datetime) -> date:
        """Return the date in Seoul at ``moment``."""
        return moment.astimezone(KST).date()

    def local_time(self, moment: datetime) -> datetime:
        """Return ``moment`` on Seoul's clock."""
        return moment.astimezone(KST)

    def is_trading_day(self, day: date) -> bool:
        """Return whether the exchange opens on ``day``."""
        if self._span is not None and self._span[0] <= day <= self._span[1]:
            return day in self._trading_days
        if day.weekday() >= _SATURDAY or day in self._closed_in(day.year):
            return False
        return f"{day:%m-%d}" not in self._closed_md and not _stands_for_new_years_eve(day)

    def close(self, day: date) -> datetime | None:
        """Return the regular close of ``day`` (the end of the closing auction); None when there is no session."""
        session = self.session(day)
        return None if session is None else from_ns(session.close_ns).astimezone(KST)

    def next_open(self, moment: datetime) -> datetime | None:
        """Return the next start of continuous trading at or after ``moment``; None: none known for 400 days."""
        ns = to_ns(moment)
        first = _day_number(ns)
        for number in range(first, first + _SEARCH_DAYS):
            session = self._session(number)
            if session is not None and session.open_ns >= ns:
                return from_ns(session.open_ns)
        return None

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """Return the moment of a wall-clock time in Seoul."""
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=KST)

    def notes(self, day: date) -> list[Note]:
        """Return notes on how ``day`` was judged: missing rows, weekdays taken as trading days."""
        notes = note_before_first(self._rules.sessions, day, Note.of("session-times"))
        known = day.year in self._closed or (self._span and self._span[0] <= day <= self._span[1])
        if not known:
            notes.append(Note.of("no-closed-days", year=f"{day.year}"))
        return notes

    def _closed_in(self, year: int) -> frozenset[date]:
        return self._closed.get(year, frozenset())

    def _session(self, number: int) -> Session | None:
        try:
            return self._sessions[number]
        except KeyError:
            if len(self._sessions) >= _CACHED_DAYS:
                self._sessions.clear()
            session = self._sessions[number] = self._make_session(date.fromordinal(number + _EPOCH_ORDINAL))
            return session

    def _make_session(self, day: date) -> Session | None:
        if not self.is_trading_day(day):
            return None
        times = row_at(self._rules.sessions, day)
        entry, opening = times.order_entry, times.open
        if self._is_first_of_year(day):
            entry, opening = self._rules.first_trading_day.order_entry, self._rules.first_trading_day.open
        midnight = (day.toordinal() - _EPOCH_ORDINAL) * _DAY_NS - KST_NS
        if day in self._shifted:
            midnight += self._rules.shifted_days.minutes * _MINUTE_NS
        clocks = (entry, opening, times.closing_auction, times.close)
        return Session(*(midnight + _clock_ns(clock) for clock in clocks))

    def _is_first_of_year(self, day: date) -> bool:
        if day.month != 1 or day.day > 15:
            return False
        return not any(self.is_trading_day(day.replace(day=earlier)) for earlier in range(1, day.day))


def krx_instrument(symbol: str, board: str = "KOSPI", trading_days: Iterable[date] | None = None) -> Instrument:
    """Make a KRX instrument in won, one share a lot.

    ``symbol`` is a short code of six digits or capital letters (005930, 0004V0). Raises
    :class:`~qts.errors.ContractError` for anything else and for an unknown board.
    """
    return Instrument(
        symbol=check_symbol(symbol),
        currency="KRW",
        quantum=WON,
        lot=ONE,
        ticks=KrxTicks(board),
        costs=KrxCosts(board),
        calendar=KrxCalendar(trading_days),
    )


def check_symbol(symbol: str) -> str:
    """Return ``symbol`` itself when it is a KRX short code. Raises :class:`~qts.errors.ContractError` otherwise."""
    if _SYMBOL.fullmatch(symbol):
        return symbol
    hint = ""
    if symbol.isascii() and symbol.isdigit() and len(symbol) < 6:
        hint = f"; were leading zeros lost (in YAML write it in quotes: {symbol.zfill(6)!r})?"
    raise ContractError(
        f"a KRX symbol has six digits or capital letters like 005930 or 0004V0, got {symbol!r}{hint}"
    )


def _known(board: str, rows: dict[str, list[TickTable]] | dict[str, list[Rate]], what: str) -> str:
    if board not in rows:
        raise ContractError(f"board {board!r} has no rows for {what}; known: {', '.join(sorted(rows))}")
    return board


def _stands_for_new_years_eve(day: date) -> bool:
    """Return whether ``day`` is the Friday that is closed because 31 December is a Saturday or Sunday."""
    return day.month == _DECEMBER and day.day in (29, 30) and day.weekday() == _FRIDAY


def _day_number(ns: int) -> int:
    return (ns + KST_NS) // _DAY_NS


def _clock_ns(text: str) -> int:
    """Return the nanoseconds after midnight of "HH:MM"."""
    hour, minute = text.split(":")
    return (int(hour) * 60 + int(minute)) * _MINUTE_NS
