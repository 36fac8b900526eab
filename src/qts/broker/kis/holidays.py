"""Days on which KIS says that the exchange opens, compared with our calendar.

KIS asks for one question a day: its ledger answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

import msgspec

from qts.broker.kis.answers import Envelope, day_of, decoded, refuse
from qts.broker.kis.rest import KisRest, Query
from qts.market.contracts import Calendar

HOLIDAYS: Final = Query(
    "/uapi/domestic-stock/v1/quotations/chk-holiday", "CTCA0903R", "", ("CTX_AREA_FK", "CTX_AREA_NK")
)
_DAYS: Final = "the list of days"


class _Row(msgspec.Struct, frozen=True):
    bass_dt: str
    opnd_yn: str


class Difference(NamedTuple):
    """A day that KIS and our calendar see differently; ``opens``: what KIS says of it."""

    day: date
    opens: bool


async def open_days(rest: KisRest, first: date, last: date) -> Mapping[date, bool]:
    """Return for each day from ``first`` to ``last`` whether the exchange opens, as far as KIS knows.

    Raises BrokerUnavailable, also for paper accounts, which are not told.
    """
    asked = {"BASS_DT": f"{first:%Y%m%d}"}
    pages = await rest.pages(
        HOLIDAYS, asked, "list the days on which the exchange opens", is_enough=lambda page: _last(page) >= last
    )
    told = [one for page in pages for one in _days(page).items()]
    return {day: opens for day, opens in told if first <= day <= last}


def differences(told: Mapping[date, bool], calendar: Calendar) -> list[Difference]:
    """Return the days on which ``calendar`` says something else than was ``told``, oldest first."""
    return [Difference(day, opens) for day, opens in sorted(told.items()) if calendar.is_trading_day(day) != opens]


def unknown_days(told: Mapping[date, bool], first: date, last: date) -> int:
    """Count the days from ``first`` to ``last`` of which nothing was told."""
    return sum(first + timedelta(days=number) not in told for number in range((last - first).days + 1))


def _days(page: Envelope) -> dict[date, bool]:
    found: dict[date, bool] = {}
    for row in decoded(page.output, list[_Row], _DAYS):
        answer = {"Y": True, "N": False}.get(row.opnd_yn.strip().upper())
        if answer is None:
            refuse(_DAYS, f"{row.bass_dt} has {row.opnd_yn!r}")
        found[day_of(row.bass_dt, _DAYS)] = answer
    return found


def _last(page: Envelope) -> date:
    return max(_days(page), default=date.max)
