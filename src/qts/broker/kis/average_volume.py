"""The average volume of a symbol before today, from the daily bars of KIS."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from qts.broker.gateway.limits.contracts import VOLUME_DAYS
from qts.broker.gateway.limits.volumes import average_volume
from qts.broker.kis.history import KisHistory
from qts.clock import Clock
from qts.errors import DataError
from qts.market.krx import KST

_CALENDAR_DAYS: Final = 60
"""Days in which there are as many sessions as are averaged, with the longest holidays and some halts."""


class AverageVolumes:
    """The questions for average volumes; one or two requests each. On the loop of ``history``."""

    def __init__(self, history: KisHistory, clock: Clock) -> None:
        self._history, self._clock = history, clock

    async def of(self, symbol: str) -> Decimal | None:
        """Return the average volume of the last days before today, in shares as they are traded today.

        None where KIS has too few days. Raises BrokerUnavailable.
        """
        today = self._clock.now().astimezone(KST).date()
        try:
            days = await self._history.days(symbol, today - timedelta(days=_CALENDAR_DAYS), today)
        except DataError:  # such as a symbol that is listed today
            return None
        earlier = [bar for bar in days.bars if bar.day < today.isoformat()]
        return average_volume(earlier[-VOLUME_DAYS:], self._clock.time_ns())
