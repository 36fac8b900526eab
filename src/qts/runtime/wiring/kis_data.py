"""Data from KIS for commands: bars as files, and the days on which the exchange opens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from qts.broker.kis.opening import parts_of, require_client
from qts.clock import Clock, SystemClock
from qts.config.loader import load_config
from qts.errors import InputError
from qts.files import user_cache, write_atomically
from qts.market.contracts import Bar
from qts.market.krx import KST, KrxCalendar, check_symbol
from qts.money import standard_context
from qts.runtime.drivers.standard_output import say
from qts.runtime.session.session_plan import Options

if TYPE_CHECKING:
    from qts.broker.kis.holidays import Difference
    from qts.broker.kis.rest import KisRest

_T = TypeVar("_T")
_DIRECTORY: Final = "kis"
_LONGEST_DAYS: Final = 370


class FetchedBars(NamedTuple):
    """The bars of one symbol, oldest first, the text of their file, and the trading days that have none."""

    symbol: str
    bars: Sequence[Bar]
    text: str
    missing: Sequence[date]


class ComparedDays(msgspec.Struct, frozen=True):
    """The days of KIS beside those of our calendar: how many were told, how many were not, and what differs.

    ``is_kept``: the answer is one of earlier today.
    """

    count: int
    unknown: int
    differences: Sequence[Difference]
    is_kept: bool


class _Kept(msgspec.Struct, frozen=True):
    """An answer of KIS: the last day that it was asked for, and what it told."""

    last: date
    days: Mapping[date, bool]


def fetch_days(
    options: Options, symbols: Sequence[str], first: date, last: date | None, *, adjusted: bool
) -> list[FetchedBars]:
    """Return the daily bars of ``symbols`` from ``first`` to ``last``, None: to today.

    Raises InputError for a symbol or a time that is none, and what the adapter of KIS raises.
    """
    clock = SystemClock()
    until = last or _today(clock)
    if first > until:
        raise InputError(f"--from {first} is after --to {until}; give the first day first")

    async def fetch(rest: KisRest) -> list[FetchedBars]:
        """Ask for one symbol after the other."""
        from qts.broker.kis.history import KisHistory, csv_of

        history = KisHistory(rest, clock, adjusted=adjusted)
        found = []
        for symbol in symbols:
            days = await history.days(symbol, first, until)
            found.append(FetchedBars(symbol, days.bars, csv_of(days.bars), days.missing))
        return found

    return _asked(options, symbols, clock, fetch)


def fetch_minutes(options: Options, symbols: Sequence[str]) -> list[FetchedBars]:
    """Return the bars of the minutes of today of ``symbols``. Raises like :func:`fetch_days`."""
    clock = SystemClock()

    async def fetch(rest: KisRest) -> list[FetchedBars]:
        """Ask for one symbol after the other."""
        from qts.broker.kis.history import KisHistory, csv_of

        history = KisHistory(rest, clock)
        found = []
        for symbol in symbols:
            bars = await history.minutes(symbol)
            if not bars:
                raise InputError(f"{symbol} has no minute of today that is over; ask again after its first trade")
            found.append(FetchedBars(symbol, bars, csv_of(bars), ()))
        return found

    return _asked(options, symbols, clock, fetch)


def compare_days(options: Options, last: date) -> ComparedDays:
    """Compare the days from today to ``last`` with our calendar.

    KIS is asked once a day; the answer is kept in the user's cache directory. Raises InputError for a day that is
    past or too far or for a paper account, and what the adapter of KIS raises.
    """
    require_client()
    from qts.broker.kis.holidays import differences, open_days, unknown_days

    clock = SystemClock()
    first = _today(clock)
    if not 0 <= (last - first).days <= _LONGEST_DAYS:
        raise InputError(f"--to {last} is not within {_LONGEST_DAYS} days from today, {first}; give a day of these")
    file = _days_file(first)
    kept = _read_days(file)
    if kept is None or kept.last < last:
        if load_config(options.config_dir, options.overrides, os.environ).tree.broker.kis.account != "live":
            raise InputError(
                "KIS tells the days of a live account alone, and broker.kis.account is paper; with keys of a live "
                "account (QTS_KIS_LIVE_…) give --set broker.kis.account=live: this command asks, and orders nothing"
            )
        told = _asked(options, (), clock, lambda rest: open_days(rest, first, last))
        _keep_days(file, _Kept(last, told))
        kept = None
    else:
        told = kept.days
    shown = {day: opens for day, opens in told.items() if first <= day <= last}
    return ComparedDays(
        len(shown), unknown_days(shown, first, last), differences(shown, KrxCalendar()), kept is not None
    )


def _asked(options: Options, symbols: Sequence[str], clock: Clock, work: Callable[[KisRest], Awaitable[_T]]) -> _T:
    """Return what ``work`` finds with a connection to the account of the settings."""
    for symbol in symbols:
        check_symbol(symbol)
    config = load_config(options.config_dir, options.overrides, os.environ).tree.broker.kis
    parts = parts_of(config, os.environ, clock, live=config.account == "live", tell=say)
    rest = parts.rest()

    async def run() -> _T:
        """Do the work, and close the connection."""
        try:
            return await work(rest)
        finally:
            await rest.close()

    with standard_context():
        return asyncio.run(run())


def _today(clock: Clock) -> date:
    return clock.now().astimezone(KST).date()


def _days_file(today: date) -> Path | None:
    directory = user_cache(os.environ, _DIRECTORY)
    return None if directory is None else directory / f"open-days-{today:%Y%m%d}.json"


def _read_days(file: Path | None) -> _Kept | None:
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _keep_days(file: Path | None, kept: _Kept) -> None:
    """Keep the answer of today; without it the next command asks again."""
    if file is None:
        return
    try:
        write_atomically(file, msgspec.json.encode(kept))
    except OSError as error:
        say(f"the days that KIS has told cannot be kept in {file}: {error.strerror}")
