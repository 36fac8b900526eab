"""Registers the components of a session with its checkpoints, and decodes the pending value."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from qts.market.contracts import Feed, MarketValue
from qts.runtime.components import Components
from qts.runtime.persistence.checkpoint import Share

OPTIONAL: Final = ("bar_rows", "moments", "limits", "watch")
"""Components that a checkpoint may lack: the strategies declare no bars and set no timers, the limits are off, an
earlier version has written it."""


def register_components(c: Components) -> None:
    """Register all components with the checkpoints, in the order in which they are restored.

    Account and orders are restored from the store's rows, see :meth:`qts.runtime.kernel.Kernel.restore`. A share
    that seldom changes is encoded again only when one of its counters has changed.
    """
    p, t, register = c.shared, c.counters, c.checkpoints.register

    def metrics_mark() -> object:
        return (t.metrics_fed, t.evaluations)

    register("feed", Share(p.feed.position if isinstance(p.feed, Feed) else _no_position, _skip))
    register("clock", Share(p.clock.time_ns, _skip))
    register("due", c.due)
    register("counters", t)
    register("counts", _counts(c))
    register("last", p.last)
    register("bases", Share(lambda: p.base_prices, lambda saved: _import_bases(p.base_prices, saved)))
    register("price_bands", p.price_bands, lambda: p.price_bands.changes)
    register("account", Share(p.account.export_state, _skip))
    register("orders", Share(p.orders.export_state, _skip))
    register("exchange", c.venue)
    register(
        "safety",
        Share(p.safety.export_state, p.safety.restore_state),
        lambda: (t.codes_told, t.changes, p.safety.current_state),
    )
    register(
        "state",
        Share(p.state.export_state, p.state.restore_state),
        lambda: (t.evaluations, t.codes_told, t.changes, p.state.current_state),
    )
    register("day", p.day)
    register("extremes", p.extremes)
    register("metrics", p.metrics, metrics_mark)
    register("volatility", p.volatility, metrics_mark)
    register("state_basis", p.basis, metrics_mark)
    register("trades", c.trades)
    register("capital", c.capital)
    register("state_evaluation", c.evaluation)
    register("exits", _exits(c))
    register("stops", p.stops)
    register("rejects", p.rejects)
    register("unresolved", _unresolved(c))
    if c.host.bar_rows is not None:
        register("bar_rows", c.host.bar_rows)
    register("strategies", c.host)
    register("invariants", c.invariants)
    register("auditor", c.auditor)
    register("schedule", c.schedule)
    register("dispatcher", c.dispatcher)
    register("log", Share(c.notices.position, _skip))
    if c.actions is not None:
        register("corporate_actions", c.actions)
    if c.moments is not None:
        register("moments", c.moments)
    if not c.venue.is_simulated:
        register("charges", c.charges)
    if c.limits is not None:
        register("limits", c.limits)
    if c.sender.view() is not None:
        register("gateway", c.sender)
    if c.watch is not None:
        register("watch", c.watch)


def decode_pending_value(share: Any) -> MarketValue | None:
    """Return the value that had left the feed and was not yet taken in; None when there was none."""
    return None if share is None else msgspec.convert(share, MarketValue, strict=False)


def _no_position() -> None:
    """Return None as the position of a live feed: its past cannot be read again."""


def _skip(saved: Any) -> None:
    """Do nothing: restored before the kernel exists, or from the store's rows."""


def _exits(c: Components) -> Share:
    """Return the share of the forced exits and, where there are any, of levels, waiting targets and executions."""

    def export_state() -> dict[str, Any]:
        levels, targets = c.triggers.export_state(), c.targets.export_state()
        more = {"levels": levels, "targets": targets, "executions": c.executions.export_state()}
        return {**c.exits.export_state(), **{name: share for name, share in more.items() if share}}

    def import_state(saved: dict[str, Any]) -> None:
        c.exits.import_state(saved)
        c.triggers.import_state(saved.get("levels", ()))
        c.targets.import_state(saved.get("targets", []))
        c.executions.import_state(saved.get("executions", {}))

    return Share(export_state, import_state)


def _unresolved(c: Components) -> Share:
    """Return the share of what the broker is asked about and, where there are any, of reports that wait.

    With the ids of the orders whose intent is being written, which recovery at a real broker reads by itself.
    """
    numbers = c.execution_reports.numbers

    def export_state() -> dict[str, Any]:
        writing = list(c.decisions.writing)
        more = {"writing": writing} if writing else {}
        return {**c.unresolved.export_state(), **numbers.export_state(), **more}

    def import_state(saved: dict[str, Any]) -> None:
        c.unresolved.import_state(saved)
        numbers.import_state(saved)

    return Share(export_state, import_state)


def _counts(c: Components) -> Share:
    """Return the share of the components whose state is a single number."""

    def export_state() -> dict[str, Any]:
        return {
            "rows": c.intake.rows,
            "duplicates": c.execution_reports.duplicates,
            "ids": {kind: ids.last for kind, ids in c.ids.items() if kind != "e"},  # events: the dispatcher's
            "book_rows": c.shared.record.book_revision,
        }

    def import_state(saved: Mapping[str, Any]) -> None:
        c.intake.rows = saved["rows"]
        c.execution_reports.duplicates = saved["duplicates"]
        for kind, last in saved["ids"].items():
            c.ids[kind].continue_after(last)
        c.shared.record.continue_after(saved["book_rows"])

    return Share(export_state, import_state)


def _import_bases(bases: dict[str, Any], saved: Mapping[str, Any]) -> None:
    bases.clear()
    bases.update((symbol, Decimal(price)) for symbol, price in saved.items())
