"""Bars of any interval, of the finest that a server has of each day: ticks, else bars of a minute, else of the day.

Open and close are the prices of the first and the last number (seq), also where bars are made of bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from qts.clock import NS_PER_US, from_ns, to_ns
from qts.db.adapter import END_NS
from qts.db.market_values import bar_of, length_of
from qts.market.contracts import Bar
from qts.market.series.intervals import DAY_NS, MINUTE_NS

TRADE: Final = "kind IN ('T', 'Q') AND price IS NOT NULL AND size > 0"
"""The rows of ``tick_data`` that are trades."""

_BUCKETS: Final = {
    # The bars of a day begin with its first second; those of several days are counted from a Monday.
    True: "date_bin($2, time, date_trunc('day', time, 'UTC'))",
    False: "date_bin($2, time, '1970-01-05 00:00Z')",
}
_OF_BARS: Final = (
    "(min(ARRAY[first_seq, open]))[2] AS open, max(high) AS high, min(low) AS low, "
    "(max(ARRAY[last_seq, close]))[2] AS close, sum(volume) AS volume, sum(value) AS value, "
    "sum(trades)::bigint AS trades, min(first_seq) AS first_seq, max(last_seq) AS last_seq"
)
_OF_TICKS: Final = (
    "(min(ARRAY[seq, price]))[2] AS open, max(price) AS high, min(price) AS low, "
    "(max(ARRAY[seq, price]))[2] AS close, sum(size) AS volume, sum(price * size) AS value, "
    "count(*) AS trades, min(seq) AS first_seq, max(seq) AS last_seq"
)
_DAYS: Final = f"""
WITH bounds AS (
  SELECT least((SELECT min(time) FROM qts.tick_data WHERE symbol = $1),
               (SELECT min(time) FROM qts.ohlcv_1m WHERE symbol = $1),
               (SELECT min(time) FROM qts.ohlcv_1d WHERE symbol = $1)) AS first,
         greatest((SELECT max(time) FROM qts.tick_data WHERE symbol = $1),
                  (SELECT max(time) FROM qts.ohlcv_1m WHERE symbol = $1),
                  (SELECT max(time) FROM qts.ohlcv_1d WHERE symbol = $1)) AS last
), days AS (
  SELECT d AS begins, d + interval '24 hours' AS ends FROM bounds, generate_series(
    date_trunc('day', greatest(first, $3), 'UTC'), least(last, $4), interval '24 hours') AS d
), ticked AS (
  SELECT begins, ends, EXISTS (SELECT FROM qts.tick_data WHERE symbol = $1 AND time >= begins AND time < ends
                               AND {TRADE}) AS has_ticks
  FROM days
), found AS (
  SELECT begins, ends, has_ticks, NOT has_ticks AND EXISTS (
    SELECT FROM qts.ohlcv_1m WHERE symbol = $1 AND time >= begins AND time < ends) AS has_minutes
  FROM ticked
)"""  # noqa: S608 - made of constants
_TIMES: Final = "time >= greatest(begins, $3) AND time < least(ends, $4)"


def _sql(*, within_a_day: bool, of_minutes: bool, of_days: bool) -> str:
    bucket = _BUCKETS[within_a_day]
    sources = [
        f"SELECT {bucket} AS bucket, {_OF_TICKS} FROM found JOIN qts.tick_data ON {_TIMES} "  # noqa: S608
        f"WHERE has_ticks AND symbol = $1 AND {TRADE} GROUP BY 1"
    ]
    if of_minutes:
        sources.append(
            f"SELECT {bucket} AS bucket, {_OF_BARS} FROM found JOIN qts.ohlcv_1m ON {_TIMES} "  # noqa: S608
            "WHERE has_minutes AND symbol = $1 GROUP BY 1"
        )
    if of_days:
        sources.append(
            f"SELECT {bucket} AS bucket, {_OF_BARS} FROM found JOIN qts.ohlcv_1d ON {_TIMES} "  # noqa: S608
            "WHERE NOT has_ticks AND NOT has_minutes AND symbol = $1 GROUP BY 1"
        )
    return (
        f"{_DAYS}, parts AS ({' UNION ALL '.join(sources)}) SELECT bucket, {_OF_BARS} FROM parts "  # noqa: S608
        "WHERE bucket >= $3 AND bucket < $5 GROUP BY bucket ORDER BY bucket"
    )


class BarQuery:
    """A request for the bars of one symbol that begin at ``start_ns`` or later and before ``end_ns``.

    Raises InputError for an interval below a second, with a part of a second, or of days and a part of a day.
    """

    def __init__(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> None:
        self._symbol, self._interval = symbol, interval
        self._ns = length_of(interval)
        self._start, self._end = moment(start_ns), moment(end_ns)

    async def run(self, connection: Any) -> Sequence[Bar]:
        """Return the bars, the oldest first."""
        sql = _sql(
            within_a_day=self._ns <= DAY_NS, of_minutes=self._ns % MINUTE_NS == 0, of_days=self._ns % DAY_NS == 0
        )
        rows = await connection.fetch(
            sql, self._symbol, self._interval, self._start, self._end + self._interval, self._end
        )
        return [self._bar(*row) for row in rows]

    def _bar(
        self,
        begins: datetime,
        open: Any,
        high: Any,
        low: Any,
        close: Any,
        volume: Any,
        value: Any,
        trades: int,
        _first_seq: int,
        _last_seq: int,
    ) -> Bar:
        return bar_of(self._symbol, to_ns(begins), self._ns, (open, high, low, close), volume, value, trades)


def moment(ts_ns: int) -> datetime:
    """Return a time as the server has it, rounded up to the µs, so that nothing before it counts."""
    return from_ns(-(-max(0, min(ts_ns, END_NS // 2)) // NS_PER_US) * NS_PER_US)
