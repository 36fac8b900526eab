"""Bars from before a session: days, and the minutes of today, as the chart calls of KIS give them.

Pages overlap by one bar, so that none is missing or counted twice where two of them meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, TypeVar

import msgspec

from qts.broker.kis.answers import Envelope, amount, day_of, decoded, moment_ns, refuse
from qts.broker.kis.recorded_bars import SOURCE
from qts.broker.kis.rest import KisRest, Query
from qts.clock import Clock, from_ns, to_ns
from qts.errors import BrokerUnavailable, DataError
from qts.market.contracts import Bar, Instrument
from qts.market.krx import KST, KrxCalendar
from qts.market.series.history import RowHistory, Rows
from qts.market.series.intervals import DAY, DAY_NS, MINUTE_NS
from qts.market.series.wanted import WantedBars

_QUOTATIONS: Final = "/uapi/domestic-stock/v1/quotations/"
DAYS: Final = Query(f"{_QUOTATIONS}inquire-daily-itemchartprice", "FHKST03010100", "FHKST03010100", None)
MINUTES: Final = Query(f"{_QUOTATIONS}inquire-time-itemchartprice", "FHKST03010200", "FHKST03010200", None)
MINUTE: Final = "1m"
_MOST_PAGES: Final = 400
_ONE_DAY: Final = timedelta(days=1)
_BARS: Final = "a list of bars"
_SPARE_DAYS: Final = 20
"""Calendar days that are asked for beyond eight for every five sessions that are wanted."""
_T = TypeVar("_T")
_K = TypeVar("_K")


class _DayRow(msgspec.Struct, frozen=True):
    stck_bsop_date: str = ""
    stck_oprc: str = ""
    stck_hgpr: str = ""
    stck_lwpr: str = ""
    stck_clpr: str = ""
    acml_vol: str = ""
    acml_tr_pbmn: str = ""


class _MinuteRow(msgspec.Struct, frozen=True):
    stck_bsop_date: str = ""
    stck_cntg_hour: str = ""
    stck_oprc: str = ""
    stck_hgpr: str = ""
    stck_lwpr: str = ""
    stck_prpr: str = ""
    cntg_vol: str = ""


class DayBars(NamedTuple):
    """Daily bars of one symbol, oldest first, and the trading days in their time that have none.

    A day has no bar before the symbol was listed, while it was halted, and where KIS does not know it.
    """

    bars: Sequence[Bar]
    missing: tuple[date, ...]


class KisHistory:
    """The chart calls of KIS. Raises BrokerUnavailable for what is not whole.

    ``adjusted``: whether prices of days before a split are those of after it, as KIS computes them.
    """

    def __init__(self, rest: KisRest, clock: Clock, *, adjusted: bool = True) -> None:
        self._rest, self._clock, self._adjusted = rest, clock, adjusted
        self._calendar = KrxCalendar()

    async def days(self, symbol: str, first: date, last: date) -> DayBars:
        """Return the daily bars from ``first`` to ``last`` whose session is over now.

        Raises DataError for a time without any bar.
        """
        now_ns = self._clock.time_ns()
        rows: dict[date, _DayRow] = {}
        until = last
        for _ in range(_MOST_PAGES):
            page = await self._day_page(symbol, first, until)
            dated = [(day_of(row.stck_bsop_date, "the day of a bar"), row) for row in page]
            _join(rows, dated, until if rows else None, symbol)
            oldest = min((day for day, _ in dated), default=first)
            if len(dated) < 2 or oldest <= first:
                break
            until = oldest
        else:
            raise BrokerUnavailable(f"KIS: the bars of {symbol} have more than {_MOST_PAGES} pages")
        bars = [bar for day in sorted(rows) if (bar := self._day_bar(symbol, day, rows[day], now_ns)) is not None]
        if not bars:
            raise DataError(
                f"KIS has no daily bar of {symbol} from {first} to {last}; give a code of six digits that is "
                "listed, and days on which it was traded"
            )
        have = {bar.day for bar in bars}
        return DayBars(
            bars, tuple(day for day in self._sessions(first, last, now_ns) if day.isoformat() not in have)
        )

    async def minutes(self, symbol: str) -> Sequence[Bar]:
        """Return the bars of the minutes of today that are over, oldest first; none before the first trade."""
        now = self._clock.now().astimezone(KST)
        today, now_ns = now.date(), to_ns(now)
        rows: dict[str, _MinuteRow] = {}
        until = f"{now:%H%M%S}"
        for _ in range(_MOST_PAGES):
            page = await self._minute_page(symbol, until)
            named = [
                (row.stck_cntg_hour.strip(), row)
                for row in page
                if day_of(row.stck_bsop_date, "the day of a bar") == today
            ]
            _join(rows, named, until if rows else None, symbol)
            oldest = min((name for name, _ in named), default="")
            if len(named) < 2 or len(named) < len(page):
                break
            until = oldest
        else:
            raise BrokerUnavailable(f"KIS: the minutes of {symbol} have more than {_MOST_PAGES} pages")
        bars = [_minute_bar(symbol, today, name, rows[name]) for name in sorted(rows)]
        return [bar for bar in bars if bar.ts_ns <= now_ns]

    async def rows(self, wanted: Sequence[WantedBars], symbols: Iterable[str], before_ns: int) -> Sequence[Bar]:
        """Return the bars from before ``before_ns`` (ns since 1970, UTC) of which the ``wanted`` ones are made.

        Those of a day or longer come from days, shorter ones from the minutes of today, as far as KIS has them; in
        the order of time.
        """
        bars: list[Bar] = []
        sessions = [one.n * (one.interval.ns // DAY_NS) for one in wanted if one.interval.ns >= DAY_NS]
        has_shorter = any(one.interval.is_intraday for one in wanted)
        today = self._clock.now().astimezone(KST).date()
        for symbol in symbols:
            if not any(one.wants(symbol) for one in wanted):
                continue
            if sessions:
                first = today - timedelta(days=max(sessions) * 8 // 5 + _SPARE_DAYS)
                with suppress(DataError):  # such as a symbol that is listed today: it has none
                    bars += (await self.days(symbol, first, today)).bars
            if has_shorter:
                bars += await self.minutes(symbol)
        earlier = (bar for bar in bars if bar.ts_ns <= before_ns)
        return sorted(earlier, key=lambda bar: (bar.ts_ns, bar.start_ns))

    # -- inside --------------------------------------------------------------------------------------------------

    async def _day_page(self, symbol: str, first: date, last: date) -> list[_DayRow]:
        asked = {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": symbol,
            "FID_INPUT_DATE_1": f"{first:%Y%m%d}",
            "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
            "FID_PERIOD_DIV_CODE": "D",
            "FID_ORG_ADJ_PRC": "0" if self._adjusted else "1",
        }
        envelope = await self._rest.ask(DAYS, asked, f"list the days of {symbol}")
        return _named_rows(envelope, _DayRow, lambda row: row.stck_bsop_date)

    async def _minute_page(self, symbol: str, until: str) -> list[_MinuteRow]:
        asked = {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": symbol,
            "FID_INPUT_HOUR_1": until,
            "FID_PW_DATA_INCU_YN": "Y",
            "FID_ETC_CLS_CODE": "",
        }
        envelope = await self._rest.ask(MINUTES, asked, f"list the minutes of {symbol}")
        return _named_rows(envelope, _MinuteRow, lambda row: row.stck_cntg_hour)

    def _day_bar(self, symbol: str, day: date, row: _DayRow, now_ns: int) -> Bar | None:
        """Return the bar of a day; None for a day without trades, and for one that is not over."""
        session = self._calendar.session(day)  # none where the calendar does not know that the exchange was open
        open_ns, close_ns = (session.open_ns, session.close_ns) if session else _usual_hours(day)
        what = f"the bar of {symbol} on {day}"
        if close_ns > now_ns or not amount(row.acml_vol, what):
            return None
        prices = _prices((row.stck_oprc, row.stck_hgpr, row.stck_lwpr, row.stck_clpr), what)
        value = amount(row.acml_tr_pbmn, what) if row.acml_tr_pbmn.strip() else None
        volume = amount(row.acml_vol, what)
        return Bar(
            symbol,
            close_ns,
            *prices,
            volume,
            DAY,
            day.isoformat(),
            start_ns=open_ns,
            value=None if self._adjusted else value,
        )

    def _sessions(self, first: date, last: date, now_ns: int) -> Iterable[date]:
        """Yield the trading days of a time whose session is over."""
        day = first
        while day <= last:
            session = self._calendar.session(day)
            if session is not None and session.close_ns <= now_ns:
                yield day
            day += _ONE_DAY


def _named_rows(envelope: Envelope, kind: type[_T], name: Callable[[_T], str]) -> list[_T]:
    """Return the rows of a chart; one without a name is empty, as KIS fills up pages."""
    rows = decoded(envelope.output2, list[kind], _BARS)  # type: ignore[valid-type]
    return [row for row in rows if name(row).strip()]


def _join(rows: dict[_K, _T], page: Sequence[tuple[_K, _T]], joint: _K | None, symbol: str) -> None:
    """Add a page to ``rows``; ``joint``: the bar that it has to have in common with them, None for the first page.

    Raises BrokerUnavailable where it has not: bars would be missing between the two.
    """
    if joint is not None and joint not in dict(page):
        raise BrokerUnavailable(f"KIS: two pages of bars of {symbol} do not meet at {joint}: ask again")
    for name, row in page:
        rows.setdefault(name, row)


def _prices(texts: Sequence[str], what: str) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return open, high, low and close. Raises BrokerUnavailable where they contradict each other."""
    first, high, low, last = (amount(text, what) for text in texts)
    if low <= 0 or low > min(first, last) or high < max(first, last):
        refuse(what, f"its prices are {first}, {high}, {low}, {last}")
    return first, high, low, last


def _minute_bar(symbol: str, day: date, name: str, row: _MinuteRow) -> Bar:
    what = f"the bar of {symbol} at {name}"
    start_ns = moment_ns(day, name, what)
    prices = _prices((row.stck_oprc, row.stck_hgpr, row.stck_lwpr, row.stck_prpr), what)
    volume = amount(row.cntg_vol, what)
    return Bar(symbol, start_ns + MINUTE_NS, *prices, volume, MINUTE, day.isoformat(), start_ns=start_ns)


def history_of(
    bars: Sequence[Bar], wanted: Sequence[WantedBars], instruments: Mapping[str, Instrument], before_ns: int
) -> RowHistory:
    """Return the ``wanted`` bars that are made of ``bars``; what is too little is told by its ``origins``."""
    history = RowHistory(wanted, instruments)
    history.read([Rows(SOURCE, 0, bars)], before_ns)
    return history


def csv_of(bars: Sequence[Bar]) -> str:
    """Return bars of one symbol as a file of bars; those within a day name the offset of Seoul."""
    lines = ["Date,Open,High,Low,Close,Volume"]
    for bar in bars:
        name = bar.day if bar.interval == DAY else _began(bar)
        lines.append(f"{name},{bar.open:f},{bar.high:f},{bar.low:f},{bar.close:f},{bar.volume:f}")
    return "".join(f"{line}\n" for line in lines)


def _began(bar: Bar) -> str:
    return from_ns(bar.start_ns).astimezone(KST).isoformat(sep=" ")


def _usual_hours(day: date) -> tuple[int, int]:
    opens, closes = (datetime(day.year, day.month, day.day, *clock, tzinfo=KST) for clock in ((9, 0), (15, 30)))
    return to_ns(opens), to_ns(closes)
