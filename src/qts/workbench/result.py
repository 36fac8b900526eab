"""The result of a backtest: figures, trades, fills, orders and equity as rows, and the report."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

from qts.clock import from_ns, zone_of
from qts.money import ratio
from qts.performance import Performance
from qts.performance.trips import adverse_excursion, favourable_excursion
from qts.report.performance_rows import performance_rows
from qts.report.report_data import rounded
from qts.report.session_report import write_report
from qts.runtime.session.result import ResultValues, SessionFacts
from qts.workbench.rows import Rows

_TRADES = (
    "symbol", "strategy", "entered", "left", "entry_price", "bought", "sold", "costs", "dividends", "result",
    "return", "mae", "mfe",
)  # fmt: skip
_FILLS = ("time", "symbol", "strategy", "side", "qty", "price", "amount", "fee", "tax", "order_id", "execution_id")
_ORDERS = (
    "time", "symbol", "strategy", "side", "type", "qty", "limit", "state", "filled", "reason", "note", "order_id",
)  # fmt: skip
_EQUITY = ("time", "equity", "cash")


class Result:
    """The outcome of a backtest. ``directory`` is its run directory; None when it is not kept."""

    def __init__(self, facts: SessionFacts, directory: Path, *, is_kept: bool) -> None:
        self.directory = directory if is_kept else None
        self._facts = facts
        self._zone = zone_of(facts.result.time_zone)

    @property
    def values(self) -> ResultValues:
        """Return every value of ``--json``, by attribute."""
        return self._facts.result

    @property
    def metrics(self) -> Performance:
        """Return the figures of performance; one that cannot be told has the value None and says why."""
        found = self._facts.result.performance
        assert found is not None  # made by this version
        return found

    @property
    def trades(self) -> Rows:
        """Return the completed round trips: entry, exit, amounts, costs, result; MAE and MFE are shares."""
        return Rows(
            _TRADES,
            (
                (
                    trip.symbol,
                    trip.strategy,
                    self._time(trip.begun_ns),
                    self._time(trip.ended_ns),
                    trip.entry_price,
                    trip.bought,
                    trip.sold,
                    trip.costs,
                    trip.paid,
                    trip.result,
                    float(ratio(trip.result, trip.bought)),
                    _share(adverse_excursion(trip)),
                    _share(favourable_excursion(trip)),
                )
                for trip in self._facts.charts.trips
            ),
        )

    @property
    def fills(self) -> Rows:
        """Return every fill, in the order of booking."""
        return Rows(
            _FILLS,
            (
                (
                    self._time(row.ts_ns),
                    row.symbol,
                    row.strategy,
                    row.side.value,
                    row.qty,
                    row.price,
                    row.amount,
                    row.fee,
                    row.tax,
                    row.order_id,
                    row.execution_id,
                )
                for row in self._facts.ledger
            ),
        )

    @property
    def orders(self) -> Rows:
        """Return every order, in the order of its intent; ``limit`` None: at the market."""
        return Rows(
            _ORDERS,
            (
                (
                    self._time(order.ts_intent_ns),
                    order.symbol,
                    order.strategy,
                    order.side.value,
                    order.request.type.value,
                    order.qty,
                    order.request.limit,
                    order.state.value,
                    order.filled,
                    order.request.reason,
                    order.note,
                    order.client_order_id,
                )
                for order in self._facts.orders
            ),
        )

    @property
    def equity(self) -> Rows:
        """Return the samples of equity and cash, the session closes among them."""
        return Rows(_EQUITY, ((self._time(row.ts_ns), row.equity, row.cash) for row in self._facts.equity))

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML file, to ``path`` and return it.

        Raises InputError for a place where no file can be written and MissingExtraError without matplotlib.
        """
        write_report(self._facts, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        values, found = self.values, self.metrics
        rows = [("equity at the start", _money(values.equity_start, values.currency), "")]
        rows.append(("equity at the end", _money(values.equity_end, values.currency), ""))
        rows += [(row.label.en, row.ours.en, row.benchmark) for row in performance_rows(found, values.currency)]
        if found.versus is not None:
            rows.insert(0, ("", "result", "buy and hold"))
        names, ours = (max(len(row[place]) for row in rows) for place in (0, 1))
        if found.versus is None:
            lines = [f"{name:<{names}}  {text}" for name, text, _ in rows]
        else:
            lines = [f"{name:<{names}}  {text:>{ours}}  {other:>12}".rstrip() for name, text, other in rows]
        return "\n".join(lines)

    def _time(self, ns: int) -> datetime:
        return from_ns(ns).astimezone(self._zone)


def _share(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _money(amount: str, currency: str) -> str:
    return f"{rounded(Decimal(amount))} {currency}"
