"""Exports a session to Prometheus: its view, read at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from qts.exposition import prometheus_core
from qts.risk.contracts import Refusal
from qts.runtime.caching.cache_view import BREAKER_STATES, CACHE_STATES
from qts.runtime.persistence.server_copy import SERVER_STATES
from qts.runtime.session.session_view import SessionView
from qts.safety.contracts import SafetyState


class SessionMetrics:
    """A Prometheus collector of a session: ``prometheus_client.REGISTRY.register(SessionMetrics(view))``.

    ``view`` returns the newest view, None while there is none. It is called at each scrape, on the thread of the
    scrape, so it must be thread-safe, as reading ``view.json`` is. Amounts are converted to binary floats here
    alone, because nothing is decided on them. Raises :class:`~qts.errors.MissingExtraError` without the extra
    ``metrics``.
    """

    def __init__(self, view: Callable[[], SessionView | None]) -> None:
        self._view = view
        self._core = prometheus_core()

    def collect(self) -> Iterator[Any]:
        """Yield the metric families for ``prometheus_client``; none while there is no view.

        Every sample names the account, so that two sessions of one process do not meet.
        """
        view = self._view()
        if view is None:
            return
        for family in self._families(view):
            family.samples = [
                one._replace(labels={"account": view.account, **one.labels}) for one in family.samples
            ]
            yield family

    def _families(self, view: SessionView) -> Iterator[Any]:
        yield self._gauge("qts_session_time_seconds", "The session's own clock.", view.clock_ns / 1e9)
        yield self._by("qts_session_mode", "1 for the mode; live is real money.", "mode", [(view.mode, 1)])
        yield self._gauge("qts_equity", "Equity, in the account's currency.", view.equity)
        yield self._gauge("qts_cash", "Cash, in the account's currency.", view.cash)
        yield self._gauge("qts_paid_in", "Opening, deposits and shares taken over, less withdrawals.", view.paid_in)
        closed_ns = 0 if view.last_close is None else view.last_close.ts_ns
        yield self._gauge("qts_last_close_time_seconds", "The newest close of a day; 0 before it.", closed_ns / 1e9)
        yield from self._pools(view)
        yield from self._positions(view)
        yield from self._external(view)
        yield self._one_of("qts_safety_state", "1 for the safety state in force.", view.safety.state)
        yield self._by("qts_open_orders", "Orders that can still change.", "state", _counted(view.orders))
        by_origin = Counter(one.origin for one in view.exits)
        yield self._by("qts_open_exits", "Exits that are required and not over.", "origin", by_origin.items())
        counts = view.counts
        for name, text, value in (
            ("qts_rows", "Values taken from the feed.", counts.rows),
            ("qts_orders", "Orders sent.", counts.orders),
            ("qts_fills", "Fills booked.", counts.fills),
            ("qts_forced_exits", "Exits that the rules ordered.", counts.forced_exits),
            ("qts_duplicate_fills", "Duplicate fills, which were not booked again.", counts.duplicate_fills),
            ("qts_targets_reached", "Targets of strategies that needed no order.", counts.targets_reached),
            ("qts_cancels_of_nothing", "Cancels that met no order and no target.", counts.cancels_of_nothing),
        ):
            yield self._core.CounterMetricFamily(name, text, value=value)
        yield self._counts("qts_refusals", "Signals that became no order.", "reason", counts.refusals.items())
        errors = ((one.name, sum(error.count for error in one.errors)) for one in view.strategies)
        yield self._counts("qts_strategy_errors", "Failed calls of a strategy.", "strategy", errors)
        halted = ((one.name, float(one.halted)) for one in view.strategies)
        yield self._by("qts_strategy_halted", "1 for a strategy that is not asked any more.", "strategy", halted)
        yield self._gauge(
            "qts_quarantined_notices",
            "Notices not booked.",
            0 if view.quarantine is None else view.quarantine.count,
        )
        yield from self._recording(view)
        known = ((number, float(one.ok)) for number, one in view.invariants.items() if one.ok is not None)
        yield self._by("qts_invariant_holds", "0 for an invariant that was broken.", "invariant", known)

        yield from self._server(view)
        yield from self._cache(view)
        yield from self._gateway(view)
        yield from self._feed(view)
        yield from self._executions(view)
        yield from self._refused_by_limits(view)
        yield from self._limits(view)

    def _executions(self, view: SessionView) -> Iterator[Any]:
        """Yield what became of orders that are executed in parts; nothing while there were none."""
        if not view.executions and not view.executions_ended:
            return
        states: dict[str, int] = {}
        for one in view.executions:
            states[one.state] = states.get(one.state, 0) + 1
        text = "Orders executed in parts that have not ended."
        yield self._by("qts_executions", text, "state", ((state, float(n)) for state, n in states.items()))
        ended = view.executions_ended.items()
        yield self._counts("qts_executions_ended", "Orders executed in parts that have ended.", "state", ended)
        if view.slowest_stage_us is not None:
            text = "The longest that a stage of an execution took by itself."
            yield self._gauge("qts_execution_slowest_stage_seconds", text, view.slowest_stage_us / 1e6)

    def _refused_by_limits(self, view: SessionView) -> Iterator[Any]:
        """Yield what the limits of orders did; nothing where they are off."""
        one = view.limits
        if one is None:
            return
        yield self._counts("qts_limit_refusals", "Orders that a limit refused.", "limit", one.refused.items())
        for name, text, value in (
            ("qts_limit_exits_beyond", "Exits that left though larger than an entry may be.", one.exits_beyond),
            ("qts_limit_without_volume", "Entries whose average volume was not known.", one.without_volume),
        ):
            yield self._core.CounterMetricFamily(name, text, value=value)
        text = "1 where the broker tells which instruments may be entered."
        yield self._gauge("qts_session_info_told", text, float(one.session_info))

    def _limits(self, view: SessionView) -> Iterator[Any]:
        """Yield what stands of the limits that count, and their bounds; nothing where limits are off."""
        if not view.limit_counts:
            return
        labels = ["limit", "of"]
        text = "What counts against a limit, in the unit of its setting; losses in money; absent while not known."
        value = self._core.GaugeMetricFamily("qts_limit_value", text, labels=labels)
        bound = self._core.GaugeMetricFamily("qts_limit_bound", "The bound of the limit.", labels=labels)
        for one in view.limit_counts:
            bound.add_metric([one.limit, one.of], float(one.bound))
            if one.value is not None:
                value.add_metric([one.limit, one.of], float(one.value))
        yield value
        yield bound

    def _cache(self, view: SessionView) -> Iterator[Any]:
        """Yield what became of the values for the cache; nothing without one."""
        one = view.cache
        if one is None:
            return
        states = ((state, float(state == one.state)) for state in CACHE_STATES)
        yield self._by("qts_cache_state", "1 for the state of the cache, as the session sees it.", "state", states)
        yield self._gauge("qts_cache_waiting", "Values that wait to be written to the cache.", one.waiting)
        breaker = self._core.GaugeMetricFamily(
            "qts_breaker_state", "1 for the state of the breaker.", labels=["name", "state"]
        )
        for state in BREAKER_STATES:
            breaker.add_metric(["cache", state], float(state == one.breaker))
        yield breaker
        for name, text, value in (
            ("written", "Values written to the cache.", one.written),
            ("failures", "Calls of the cache that did not succeed.", one.failures),
        ):
            yield self._core.CounterMetricFamily(f"qts_cache_{name}", text, value=value)
        text = "Values not written to the cache, because too many waited or they were too old."
        yield self._counts("qts_cache_dropped", text, "kind", one.dropped.items())

    def _gateway(self, view: SessionView) -> Iterator[Any]:
        """Yield the lanes to a broker that is not simulated; nothing without one."""
        one, clock = view.gateway, view.broker_clock
        if clock is not None and clock.apart_ms is not None:
            text = "By how much our clock differs from the broker's at least."
            yield self._gauge("qts_broker_clock_apart_seconds", text, clock.apart_ms / 1_000)
        if one is None:
            return
        waiting = ((lane.lane, float(lane.waiting)) for lane in one.lanes)
        yield self._by("qts_gateway_waiting", "Requests to the broker that wait for their turn.", "lane", waiting)
        delays = ((lane.lane, lane.delay_s) for lane in one.lanes)
        text = "How long a request that came now would wait for its turn."
        yield self._by("qts_gateway_delay_seconds", text, "lane", delays)
        sent = ((lane.lane, lane.sent) for lane in one.lanes)
        yield self._counts("qts_gateway_sent", "Requests that have left for the broker.", "lane", sent)
        text = "Requests that wait for the broker's answer."
        yield self._gauge("qts_gateway_in_flight", text, one.in_flight)
        yield self._gauge("qts_gateway_file_bytes", "Size of the file of sent orders.", one.file_bytes)
        for name, text, value in (
            ("qts_gateway_not_sent", "Orders that never left.", one.not_sent),
            ("qts_gateway_too_old", "Entries among them that waited too long.", one.too_old),
        ):
            yield self._core.CounterMetricFamily(name, text, value=value)

    def _feed(self, view: SessionView) -> Iterator[Any]:
        one = view.feed
        if one is None:
            return
        yield self._gauge("qts_feed_up", "1 while values of the live feed can come.", float(one.connected))
        yield self._gauge("qts_feed_registered", "Streams that it is registered for.", len(one.registered))
        text = "Streams that are needed and have no place; prices of them are asked for."
        yield self._gauge("qts_feed_left_out", text, len(one.left_out))
        if one.lag_ms is not None:
            text = "How long after the exchange's time, in whole seconds, the newest value came."
            yield self._gauge("qts_feed_lag_seconds", text, one.lag_ms / 1_000)
        unknown = sum(one.unknown_layouts.values())
        for name, text, value in (
            ("qts_feed_connections", "Connections of the live feed that were made.", one.connections),
            ("qts_feed_gaps", "Gaps in the values of the live feed.", one.gaps),
            ("qts_feed_unknown_layouts", "Messages of a layout that is not known.", unknown),
        ):
            yield self._core.CounterMetricFamily(name, text, value=value)

    def _server(self, view: SessionView) -> Iterator[Any]:
        """Yield how far the servers are that follow the book; nothing without one."""
        if not view.servers:
            return
        states = self._core.GaugeMetricFamily(
            "qts_store_follower_state", "1 for the state of a server's copy.", labels=["server", "state"]
        )
        for one in view.servers:
            for state in SERVER_STATES:
                states.add_metric([one.name, state], float(state == one.state))
        yield states
        for name, text, value in (
            ("applied", "Batches that the server has.", lambda one: one.applied),
            ("lag_batches", "Batches that the server lacks.", lambda one: one.lag_batches),
            ("lag_seconds", "How long the oldest batch that it lacks has waited.", lambda one: one.lag_s),
            ("outbox_bytes", "Bytes that wait for the server in the local book.", lambda one: one.waiting_bytes),
            ("altered", "Differences found on the server that someone made there.", lambda one: len(one.altered)),
        ):
            of_servers = ((one.name, float(value(one))) for one in view.servers)
            yield self._by(f"qts_store_follower_{name}", text, "server", of_servers)
        for name, text, value in (
            ("waits", "Orders that have waited for the server.", lambda one: one.waits),
            ("late", "Orders that the server did not have in time.", lambda one: one.late),
            ("slow", "Calls for batches that took the server longer than half a second.", lambda one: one.slow),
        ):
            calls = ((one.name, value(one)) for one in view.servers)
            yield self._counts(f"qts_store_follower_{name}", text, "server", calls)
        refused = view.counts.refusals.get(Refusal.STORE_BEHIND.value, 0)
        text = "Entries refused because the database was away or behind."
        yield self._core.CounterMetricFamily("qts_store_follower_refused", text, value=refused)

    def _recording(self, view: SessionView) -> Iterator[Any]:
        one = view.recording
        if one is None:
            return
        up = float(one.state == "recording")
        yield self._gauge("qts_recorder_up", "1 while market values are recorded on the server.", up)
        yield self._gauge("qts_recorder_waiting", "Market values that wait for the server.", one.waiting)
        for name, text, value in (
            ("qts_recorded", "Market values recorded on the server.", one.recorded),
            ("qts_recorder_refused", "Market values that the server cannot hold.", one.refused),
            ("qts_recorder_restarts", "Recorder processes started for one that died.", one.restarts),
        ):
            yield self._core.CounterMetricFamily(name, text, value=value)
        text = "Market values lost because too many waited."
        yield self._counts("qts_recorder_dropped", text, "symbol", one.dropped.items())

    def _pools(self, view: SessionView) -> Iterator[Any]:
        for name, text, field in (
            ("qts_pool_total", "Value of a pool.", "total"),
            ("qts_pool_available", "What a new order of the pool may spend.", "available"),
            ("qts_pool_reserved", "Held back for orders of the pool.", "reserved"),
            ("qts_pool_realized_pnl", "Realised result of the pool.", "realized_pnl"),
        ):
            yield self._by(name, text, "pool", ((pool.pool, getattr(pool, field)) for pool in view.pools))

    def _external(self, view: SessionView) -> Iterator[Any]:
        booked = view.bookings
        cash, held = (0, {}) if booked is None else (booked.external_cash, booked.external_positions)
        yield self._gauge("qts_external_cash", "Cash at the broker that is not ours.", cash)
        yield self._by("qts_external_position", "Held at the broker and not ours.", "symbol", held.items())
        yield self._gauge("qts_charges_due", "Days whose fees and taxes are estimates.", len(view.charges_due))

    def _positions(self, view: SessionView) -> Iterator[Any]:
        labels = ["strategy", "pool", "symbol"]
        held = self._core.GaugeMetricFamily("qts_position", "Quantity held, signed.", labels=labels)
        value = self._core.GaugeMetricFamily(
            "qts_position_value", "Its value; absent while unknown.", labels=labels
        )
        level = self._core.GaugeMetricFamily(
            "qts_position_level", "Price at which it is sold: stop, take or trail.", labels=[*labels, "level"]
        )
        for one in view.positions:
            key = [one.strategy, one.pool, one.symbol]
            held.add_metric(key, float(one.qty))
            if one.value is not None:
                value.add_metric(key, float(one.value))
            for name, price in (("stop", one.stop), ("take", one.take), ("trail", one.trail)):
                if price is not None:
                    level.add_metric([*key, name], float(price))
        yield held
        yield value
        yield level

    def _one_of(self, name: str, text: str, present: str) -> Any:
        return self._by(name, text, "state", ((state.value, state.value == present) for state in SafetyState))

    def _gauge(self, name: str, text: str, value: Decimal | float) -> Any:
        return self._core.GaugeMetricFamily(name, text, value=float(value))

    def _by(self, name: str, text: str, label: str, rows: Iterable[tuple[str, Decimal | float]]) -> Any:
        family = self._core.GaugeMetricFamily(name, text, labels=[label])
        for key, value in rows:
            family.add_metric([key], float(value))
        return family

    def _counts(self, name: str, text: str, label: str, rows: Iterable[tuple[str, int]]) -> Any:
        family = self._core.CounterMetricFamily(name, text, labels=[label])
        for key, value in rows:
            family.add_metric([key], value)
        return family


def _counted(orders: Iterable[Any]) -> Iterable[tuple[str, float]]:
    counts: dict[str, float] = {}
    for order in orders:
        counts[order.state] = counts.get(order.state, 0) + 1
    return counts.items()
