"""The lists of a run: their columns, and each record as texts for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.cli.columns import Column
from qts.cli.market_time import MarketTime
from qts.clock import NS_PER_S, from_ns
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow
from qts.runtime.session.result import text_of
from qts.runtime.session.session_view import PositionView


class Listing(msgspec.Struct, frozen=True):
    """One list: the part of a status that it shows, its columns, and a record's values in their order.

    A value is a text, a Decimal, nanoseconds in a column whose key ends in ``_at``, a bool, or None for unknown.
    """

    columns: tuple[Column, ...]
    needs: Mapping[str, bool]
    records: Callable[[Any], Sequence[Any]]
    values: Callable[[Any], tuple[Any, ...]]

    def titled(self, time: MarketTime) -> list[Column]:
        """Return the columns for people, with the zone in the titles of times."""
        return [titled(column, time) for column in self.columns]

    def shown(self, record: Any, time: MarketTime) -> list[str]:
        """Return the record for people."""
        pairs = zip(self.columns, self.values(record), strict=True)
        return [_shown(column.key, value, time) for column, value in pairs]

    def exact(self, record: Any) -> list[str]:
        """Return the record as texts for programs; "" for unknown."""
        return [
            "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            for value in self.plain(record)
        ]

    def plain(self, record: Any) -> list[Any]:
        """Return the record for JSON: amounts as texts, times in ISO 8601 to the nanosecond, None for unknown."""
        pairs = zip(self.columns, self.values(record), strict=True)
        return [_plain(column.key, value) for column, value in pairs]


def iso(ns: int) -> str:
    """Return a moment in UTC as ISO 8601 writes it, with nine digits of a second."""
    return f"{from_ns(ns):%Y-%m-%dT%H:%M:%S}.{ns % NS_PER_S:09d}Z"


def titled(column: Column, time: MarketTime) -> Column:
    """Return ``column`` for people: that of a time names its zone."""
    if not column.key.endswith("_at"):
        return column
    return msgspec.structs.replace(column, title=f"{column.title} ({time.zone})")


def amount(value: Decimal | None) -> str:
    """Return an amount for people with all its digits; "?" when it is unknown."""
    if value is None:
        return "?"
    whole, point, digits = text_of(value).partition(".")
    return f"{int(whole):,}{point}{digits}" if whole not in ("-0", "") else f"{whole}{point}{digits}"


def average(value: Decimal | None) -> str:
    """Return an average for people, to four digits behind the point; "?" when it is unknown."""
    if value is None:
        return "?"
    text = f"{value:,.4f}"
    return text.rstrip("0").rstrip(".")


_AVERAGES: Final = frozenset({"average_cost", "average_fill_price"})
_ABSENT: Final = {"limit": "market", "stop": "-", "take": "-", "trail": "-", "average_fill_price": "-"}
"""What the absence of a value says, by column; in others it is unknown."""


def _shown(key: str, value: Any, time: MarketTime) -> str:
    if value is None:
        return _ABSENT.get(key, "?")
    if isinstance(value, Decimal):
        return average(value) if key in _AVERAGES else amount(value)
    if isinstance(value, bool):
        return "forced" if value else ""
    return time.bare(value) if key.endswith("_at") else str(value)


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return text_of(value)
    return iso(value) if key.endswith("_at") and value is not None else value


def _order(o: Order) -> tuple[Any, ...]:
    return (
        o.ts_intent_ns, o.strategy, o.symbol, o.side.value, o.qty, o.filled, o.limit, o.state.value, o.forced,
        o.ts_update_ns, o.client_order_id, o.pool.value, o.decision_price, o.newest_number, o.reason, o.note,
    )  # fmt: skip


def _fill(f: LedgerRow) -> tuple[Any, ...]:
    return (
        f.ts_ns, f.strategy, f.symbol, f.side.value, f.qty, f.price, f.realized_pnl, f.fee, f.tax, f.amount,
        f.pool.value, f.order_id, f.execution_id, f.broker,
    )  # fmt: skip


def _position(p: PositionView) -> tuple[Any, ...]:
    return (
        p.strategy, p.symbol, p.qty, p.average_cost, p.mark, p.value, p.unrealized_pnl,
        p.stop, p.take, p.trail, p.levels_watcher, p.pool, p.leaving,
    )  # fmt: skip


LISTINGS: Final = {
    "orders": Listing(
        (
            Column("asked_at", "requested"),
            Column("strategy", "strategy"),
            Column("symbol", "symbol"),
            Column("side", "side"),
            Column("qty", "qty", right=True),
            Column("filled", "filled", right=True),
            Column("limit", "limit", right=True),
            Column("state", "state"),
            Column("forced", "by rule", extra=True),
            Column("changed_at", "changed", extra=True),
            Column("order_id", "order", extra=True),
            Column("pool", "pool", extra=True),
            Column("decision_price", "decision price", right=True, extra=True),
            Column("broker_order_id", "broker order", extra=True),
            Column("reason", "reason", extra=True, sentence=True),
            Column("note", "note", extra=True, sentence=True),
        ),
        {"orders": True},
        lambda status: status.orders,
        _order,
    ),
    "trades": Listing(
        (
            Column("filled_at", "filled"),
            Column("strategy", "strategy"),
            Column("symbol", "symbol"),
            Column("side", "side"),
            Column("qty", "qty", right=True),
            Column("price", "price", right=True),
            Column("realized_pnl", "realised", right=True),
            Column("fee", "fee", right=True, extra=True),
            Column("tax", "tax", right=True, extra=True),
            Column("amount", "amount", right=True, extra=True),
            Column("pool", "pool", extra=True),
            Column("order_id", "order", extra=True),
            Column("execution_id", "execution", extra=True),
            Column("broker", "broker", extra=True),
        ),
        {"fills": True},
        lambda status: status.fills,
        _fill,
    ),
    "positions": Listing(
        (
            Column("strategy", "strategy"),
            Column("symbol", "symbol"),
            Column("qty", "qty", right=True),
            Column("average_cost", "average cost", right=True),
            Column("mark", "price", right=True),
            Column("value", "value", right=True),
            Column("unrealized_pnl", "unrealised", right=True),
            Column("stop", "stop", right=True),
            Column("take", "take", right=True),
            Column("trail", "trail", right=True),
            Column("levels_watcher", "levels watched by", extra=True),
            Column("pool", "pool", extra=True),
            Column("leaving", "leaving", extra=True, sentence=True),
        ),
        {},
        lambda status: status.positions,
        _position,
    ),
}
