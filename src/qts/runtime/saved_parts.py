"""Which components a checkpoint is made of, and how each gives and takes back its share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from qts.errors import StorageError
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.market.contracts import Bar, Feed, MarketValue, Quote, Tick
from qts.market.last_values import LastValues
from qts.runtime.checkpoint import Part

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel


def saved_parts(kernel: Kernel) -> Mapping[str, Part]:
    """The parts of ``kernel`` in the order in which they are restored.

    The account restores itself from the store's rows and only checks them here; see Kernel.restore.
    """
    p, t = kernel.parts, kernel.tally

    def safety_mark() -> object:
        return (t.codes_told, t.changes, p.safety.current_state)

    def state_mark() -> object:
        return (t.evaluations, t.codes_told, t.changes, p.state.current_state)

    def metrics_mark() -> object:
        return (t.metrics_fed, t.evaluations)

    return {
        "feed": Part(p.feed.position if isinstance(p.feed, Feed) else _no_position, _skip),
        "in_hand": Part(lambda: kernel.in_hand, _skip),
        "clock": Part(p.clock.time_ns, _skip),
        "counts": Part(lambda: _export_counts(kernel), lambda saved: _import_counts(kernel, saved)),
        "last": Part(lambda: _export_last(p.last), lambda saved: _import_last(p.last, saved)),
        "bases": Part(lambda: p.base_prices, lambda saved: _import_bases(p.base_prices, saved)),
        "price_bands": Part(p.price_bands.export_state, p.price_bands.import_state, lambda: p.price_bands.changes),
        "account": Part(p.account.export_state, _skip),
        "orders": Part(p.orders.export_state, _skip),
        "exchange": Part(kernel.venue.export_state, kernel.venue.import_state),
        "safety": Part(
            p.safety.export_state,
            p.safety.restore_state,
            safety_mark,
        ),
        "state": Part(
            p.state.export_state,
            p.state.restore_state,
            state_mark,
        ),
        "day": Part(p.day.export_state, p.day.import_state),
        "extremes": Part(p.extremes.export_state, p.extremes.import_state),
        "metrics": Part(p.metrics.export_state, p.metrics.import_state, metrics_mark),
        "volatility": Part(p.volatility.export_state, p.volatility.import_state, metrics_mark),
        "state_basis": Part(p.basis.export_state, p.basis.import_state, metrics_mark),
        "trades": Part(kernel.trades.export_state, kernel.trades.import_state),
        "duties": Part(kernel.duties.export_state, kernel.duties.import_state),
        "exits": Part(kernel.exits.export_state, kernel.exits.import_state),
        "stops": Part(p.stops.export_state, p.stops.import_state),
        "rejects": Part(p.rejects.export_state, p.rejects.import_state),
        "unresolved": Part(kernel.unresolved.export_state, kernel.unresolved.import_state),
        "strategies": Part(kernel.host.export_state, kernel.host.import_state),
        "invariants": Part(kernel.invariants.export_state, kernel.invariants.import_state),
        "auditor": Part(kernel.auditor.export_state, kernel.auditor.import_state),
        "schedule": Part(kernel.schedule.export_state, kernel.schedule.import_state),
        "dispatcher": Part(kernel.dispatcher.export_state, kernel.dispatcher.import_state),
    }


def value_in_hand(share: Any) -> MarketValue | None:
    """The value that had left the feed and was not yet taken."""
    return None if share is None else msgspec.convert(share, MarketValue, strict=False)


def orders_as_they_stood(stored: Sequence[Order], share: Any) -> list[Order]:
    """The store's orders as the book held them: ended ones by time, open ones in the order of the checkpoint.

    Whoever goes through the open orders (cancels, exits) must meet them in the same order as without the restart.
    """
    by_id = {order.client_order_id: order for order in stored}
    for key in share:
        if key not in by_id:
            raise StorageError(
                f"table orders: order {key}, which the checkpoint knows as open, is gone; the "
                "store is damaged: restore it from a backup or start with a new data directory"
            )
    ended = sorted((o for o in stored if o.state in FINAL_STATES), key=lambda order: order.ts_update_ns)
    return [*ended, *(by_id[key] for key in share)]


def _no_position() -> None:
    """Give the place in a live feed: what is over cannot be had again."""


def _skip(saved: Any) -> None:
    """Restored before the kernel exists, or from the store's rows."""


def _export_counts(kernel: Kernel) -> dict[str, Any]:
    return {
        "rows": kernel.intake.rows,
        "tally": kernel.tally.export_state(),
        "duplicates": kernel.desk.duplicates,
        "ids": {kind: ids.last for kind, ids in kernel.ids.items() if kind != "e"},  # events: the dispatcher's
        "guard_ns": kernel.next_guard_ns,
        "sample_ns": kernel.next_sample_ns,
        "audit_due": kernel.audit_due,
        "unresolved_due": kernel.unresolved_due,
        "looked_last": kernel.looked_last,
        "done": kernel.done,
        "book_rows": kernel.parts.record.book_revision,
    }


def _import_counts(kernel: Kernel, saved: Mapping[str, Any]) -> None:
    kernel.intake.rows = saved["rows"]
    kernel.tally.import_state(saved["tally"])
    kernel.desk.duplicates = saved["duplicates"]
    for kind, last in saved["ids"].items():
        kernel.ids[kind].continue_after(last)
    kernel.next_guard_ns, kernel.next_sample_ns = saved["guard_ns"], saved["sample_ns"]
    kernel.audit_due, kernel.unresolved_due = saved["audit_due"], saved["unresolved_due"]
    kernel.looked_last, kernel.done = saved["looked_last"], saved["done"]
    kernel.parts.record.continue_after(saved["book_rows"])
    kernel.attention = True


def _export_last(last: LastValues) -> dict[str, Any]:
    return {
        "feed_ts_ns": last.feed_ts_ns,
        "quotes": list(last.quotes.values()),
        "ticks": list(last.ticks.values()),
        "bars": list(last.bars.values()),
    }


def _import_last(last: LastValues, saved: Mapping[str, Any]) -> None:
    """Into the dictionaries that exist: the intake holds on to them."""
    last.feed_ts_ns = saved["feed_ts_ns"]
    last.quotes.update((v.symbol, v) for v in msgspec.convert(saved["quotes"], list[Quote], strict=False))
    last.ticks.update((v.symbol, v) for v in msgspec.convert(saved["ticks"], list[Tick], strict=False))
    last.bars.update((v.symbol, v) for v in msgspec.convert(saved["bars"], list[Bar], strict=False))


def _import_bases(bases: dict[str, Any], saved: Mapping[str, Any]) -> None:
    bases.clear()
    bases.update((symbol, Decimal(price)) for symbol, price in saved.items())
