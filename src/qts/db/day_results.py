"""The results of days, made of the fills of a run where no server adds them up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from qts.clock import from_ns
from qts.db.adapter import DataSourceAdapter, DayPnl, Query
from qts.db.contracts import LedgerRow
from qts.money import sum_of


async def results_of(adapter: DataSourceAdapter, where: Query) -> list[DayPnl]:
    """Return what was realised, by account, run, day, pool and strategy, of the fills that ``adapter`` reads."""
    found: list[DayPnl] = []
    for run in await adapter.runs(where.account):
        if where.run_id in ("", run.run_id):
            of_run = msgspec.structs.replace(where, run_id=run.run_id, account="")
            found += _results_of_days(run.run_id, [row async for row in adapter.read(LedgerRow, of_run)])
    return sorted(found, key=lambda row: (row.account, row.run_id, row.day, row.pool, row.strategy))


def _results_of_days(run_id: str, rows: Iterable[LedgerRow]) -> list[DayPnl]:
    """Return what the fills of one run realised, by day, pool and strategy."""
    fills: dict[tuple[str, date, str, str], list[LedgerRow]] = {}
    for row in rows:
        day = date.fromisoformat(row.trade_date) if row.trade_date else from_ns(row.ts_ns).date()
        fills.setdefault((row.account, day, row.pool.value, row.strategy), []).append(row)
    return [
        DayPnl(
            account,
            run_id,
            day,
            pool,
            strategy,
            sum_of(row.realized_pnl for row in of_day),
            sum_of(row.fee for row in of_day),
            sum_of(row.tax for row in of_day),
            len(of_day),
        )
        for (account, day, pool, strategy), of_day in sorted(fills.items())
    ]
