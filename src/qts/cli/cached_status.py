"""The status and the lists of a session in a cache, as texts for people and for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from qts.cache.contracts import OrderValue, PositionValue
from qts.cli.columns import Column, csv_text, folded, table_lines
from qts.cli.market_time import MarketTime
from qts.cli.status_lists import Listing
from qts.cli.status_screen import row_of, unknown_lines, unknown_values, view_lines
from qts.clock import to_ns
from qts.errors import CacheStaleDataError
from qts.money import ZERO
from qts.runtime.caching.cache_reading import CachedValues, CachedView, CacheReader

_FEW: Final = 10
"""The names that are shown of those of which nothing is known."""


class CachedListing(msgspec.Struct, frozen=True):
    """A list of values of one kind; a record is the name of a value and the value."""

    of: type[PositionValue] | type[OrderValue]
    what: str
    listing: Listing
    is_shown: Callable[[Any], bool]

    def read(self, reader: CacheReader) -> CachedValues[Any]:
        """Return the values that ``reader`` finds."""
        return reader.values(self.of)


def read_view(reader: CacheReader) -> CachedView:
    """Return the view that ``reader`` finds."""
    return reader.view()


def code_of(found: object) -> int:
    """Return the exit code: that of a value that is too old where something is not known, else 0."""
    return CacheStaleDataError.exit_code if isinstance(found, CachedValues) and found.unknown else 0


def view_text(found: CachedView, args: argparse.Namespace, width: int) -> tuple[str, str]:
    """Return the status as it is asked for, and one line about it."""
    view = found.view
    about = f"qts {view.command}, run {view.run_id}, pid {view.pid}, {_life(found)} · {_source(found)}"
    if args.json:
        cache = {"server": found.server, "account": found.account, "age_s": round(found.age_s, 3)}
        shown = msgspec.json.decode(msgspec.json.encode(view))
        return json.dumps({"cache": cache, "run": _run(found), "view": shown}, ensure_ascii=False), about
    if args.csv:
        return csv_text(*row_of(_run(found), view)), about
    time = MarketTime(view.time_zone)
    facts = [
        ("account", view.account),
        ("started", time.second(to_ns(datetime.fromisoformat(view.started_at)))),
    ]
    return "\n".join([*folded(about, width), *view_lines(view, facts, width)]), about


def values_text(
    cached: CachedListing, found: CachedValues[Any], args: argparse.Namespace, most: int, width: int
) -> tuple[str, str]:
    """Return the list as it is asked for, the newest ``most`` (0: all), and one line about it.

    What should be in it and is not known now is named there: a list without it would say that it is not there. A
    list of orders says what is known of those whose fate is unknown.
    """
    listing = cached.listing
    records = [(name, value) for name, value in found.values.items() if cached.is_shown(value)]
    records.sort(key=lambda record: (len(record[0]), record[0]) if cached.of is OrderValue else (0, record[0]))
    newest = records[-most:] if most else records
    about = f"account {found.account} · {_source(found)}"
    if found.unknown:
        about += f" · not known now: {_named(found.unknown)}"
    if args.csv:
        return csv_text(listing.columns, [listing.exact(record) for record in newest]), about
    if args.json:
        keys = [column.key for column in listing.columns]
        rows = [dict(zip(keys, listing.plain(record), strict=True)) for record in newest]
        age_s = None if found.age_s is None else round(found.age_s, 3)
        cache = {"server": found.server, "account": found.account, "age_s": age_s, "unknown": found.unknown}
        more = unknown_values(found.fates) if cached.of is OrderValue else {}
        return json.dumps({"cache": cache, cached.what: rows, **more}, ensure_ascii=False), about
    lines, time = [about], MarketTime()
    if newest:
        lines += table_lines(listing.titled(time), [listing.shown(record, time) for record in newest], width)
    elif not found.unknown:
        lines.append(f"no {cached.what}")
    if len(newest) < len(records):
        lines.append(f"the newest {len(newest):,} of {len(records):,}; --last 0 shows all")
    lines += unknown_lines(found.fates, width, ended=found.ended)
    return "\n".join(lines), about


def _life(found: CachedView) -> str:
    return found.view.ended or "running"


def _named(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more:,} more" if more > 0 else "")


def _source(found: CachedView | CachedValues[Any]) -> str:
    age = "" if found.age_s is None else f", {found.age_s:.1f} s old"
    return f"from the cache of {found.server}{age}"


def _run(found: CachedView) -> dict[str, Any]:
    view = found.view
    return {
        "directory": None,
        "life": _life(found),
        "remark": "",
        "live": not view.ended,
        "pid": view.pid,
        "run_id": view.run_id,
        "command": view.command,
        "started_at": view.started_at,
    }


def _position(record: tuple[str, PositionValue]) -> tuple[Any, ...]:
    symbol, p = record
    return symbol, p.qty, p.avg_price, p.unrealized_pnl, p.exposure_pct, p.updated_at


def _order(record: tuple[str, OrderValue]) -> tuple[Any, ...]:
    order_id, o = record
    return (
        order_id, o.strategy, o.symbol, o.side, o.qty, o.filled_qty, o.pending_qty, o.limit, o.avg_fill_price,
        o.status,
    )  # fmt: skip


def _all(values: CachedValues[Any]) -> Sequence[Any]:
    return list(values.values.items())


VALUES: Final = {
    "positions": CachedListing(
        PositionValue,
        "positions",
        Listing(
            (
                Column("symbol", "symbol"),
                Column("qty", "qty", right=True),
                Column("average_cost", "average cost", right=True),
                Column("unrealized_pnl", "unrealised", right=True),
                Column("exposure_pct", "% of equity", right=True),
                Column("changed_at", "changed"),
            ),
            {},
            _all,
            _position,
        ),
        lambda value: value.qty != ZERO,
    ),
    "orders": CachedListing(
        OrderValue,
        "orders",
        Listing(
            (
                Column("order_id", "order"),
                Column("strategy", "strategy"),
                Column("symbol", "symbol"),
                Column("side", "side"),
                Column("qty", "qty", right=True),
                Column("filled", "filled", right=True),
                Column("pending", "pending", right=True),
                Column("limit", "limit", right=True),
                Column("average_fill_price", "average fill", right=True),
                Column("state", "state"),
            ),
            {},
            _all,
            _order,
        ),
        lambda value: True,
    ),
}
