"""The status of a run: on one screen, as one row and as one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from qts.broker.gateway.limits.view import LimitCountView, LimitsView
from qts.cli.columns import Column, facts_lines, folded, table_lines
from qts.cli.market_time import MarketTime
from qts.cli.status_lists import LISTINGS, amount, iso, titled
from qts.clock import to_ns
from qts.db.config import DATABASE
from qts.market.live_view import LiveView
from qts.money import times
from qts.notes import in_english
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.orders.exit_view import exit_text
from qts.runtime.orders.unknown_view import UnknownOrderView, note_of
from qts.runtime.persistence.day_report_file import DIRECTORY as DAYS
from qts.runtime.persistence.run_lookup import RunStatus, status_line
from qts.runtime.persistence.server_copy import ServerView
from qts.runtime.recording.recording_view import RecordingView
from qts.runtime.session.result import text_of
from qts.runtime.session.session_plan import PLAIN_TEXT, Profile
from qts.runtime.session.session_view import MONEY, SIMULATED, ExecutionView, QueueView, SessionView, StateView
from qts.safety.scoped_stops import ScopedStop
from qts.state.reasons import sentence
from qts.wording import counted

_QUEUES = (
    Column("priority", "priority"),
    Column("depth", "waiting", right=True),
    Column("capacity", "capacity", right=True),
    Column("handled", "handled", right=True),
    Column("dropped", "dropped", right=True),
    Column("samples", "samples", right=True),
    Column("p50_us", "p50 µs", right=True),
    Column("p99_us", "p99 µs", right=True),
    Column("max_us", "max µs", right=True),
)
_POOLS = (
    Column("pool", "pool"),
    Column("total", "total", right=True),
    Column("available", "available", right=True),
    Column("realized_pnl", "realised", right=True),
    Column("unrealized_pnl", "unrealised", right=True),
)
_ORDERS = tuple(column for column in LISTINGS["orders"].columns if not column.extra)


def time_of(status: RunStatus) -> MarketTime:
    """Return the market's clock of the run."""
    return MarketTime("" if status.view is None else status.view.time_zone)


def run_values(status: RunStatus) -> dict[str, Any]:
    """Return the identity of the run and whether it is running, for JSON."""
    found, run = status.found, status.run
    return {
        "directory": str(found.directory),
        "life": status.life,
        "remark": status.remark,
        "live": found.live,
        "pid": found.pid,
        "run_id": None if run is None else run.run_id,
        "command": None if run is None else run.command,
        "started_at": None if run is None else run.started_at,
    }


def status_values(status: RunStatus) -> dict[str, Any]:
    """Return everything that is known, for JSON: amounts as texts, times as nanoseconds (``_ns``)."""
    view = None if status.view is None else msgspec.json.decode(msgspec.json.encode(status.view))
    return {"run": run_values(status), "view": view}


def unknown_lines(unknown: Sequence[UnknownOrderView], width: int, *, ended: bool) -> list[str]:
    """Return a sentence for each order whose fate is ``unknown``; ``ended``: the session asks no more."""
    said = [in_english(note_of(one, ended=ended)) for one in unknown]
    return [line for sentence in said for line in folded(sentence, width)]


def unknown_values(unknown: Sequence[UnknownOrderView]) -> dict[str, Any]:
    """Return the orders whose fate is ``unknown``, for JSON."""
    return {"unknown_orders": msgspec.json.decode(msgspec.json.encode(unknown))}


def facts_of(status: RunStatus) -> tuple[list[Column], list[list[str]]]:
    """Return the head and the one row of ``--csv``; what is unknown is empty."""
    return row_of(run_values(status), status.view)


def row_of(known: Mapping[str, Any], view: SessionView | None) -> tuple[list[Column], list[list[str]]]:
    """Return the head and the one row of ``--csv`` of a run that so much is ``known`` of; unknown is empty."""
    values = dict(known)
    if view is not None:
        values |= {
            "clock": iso(view.clock_ns),
            "safety": view.safety.state,
            "operating_state": view.operating.state,
            "currency": view.currency,
            "equity": text_of(view.equity),
            "cash": text_of(view.cash),
            "orders": view.counts.orders,
            "working_orders": len(view.orders),
            "fills": view.counts.fills,
            "quarantined": 0 if view.quarantine is None else view.quarantine.count,
            "positions": len(view.positions),
            "strategy_errors": sum(error.count for one in view.strategies for error in one.errors),
            "halted_strategies": " ".join(one.name for one in view.strategies if one.halted),
        }
    else:
        values |= dict.fromkeys(_OF_THE_VIEW)
    row = [
        "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for value in values.values()
    ]
    return [Column(key, key) for key in values], [row]


_OF_THE_VIEW = (
    "clock", "safety", "operating_state", "currency", "equity", "cash", "orders", "working_orders", "fills",
    "quarantined", "positions", "strategy_errors", "halted_strategies",
)  # fmt: skip


def status_lines(status: RunStatus, width: int) -> list[str]:
    """Return the screen in a terminal of ``width`` cells."""
    lines = folded(status_line(status), width)
    time = time_of(status)
    facts = [("directory", str(status.found.directory))]
    if status.run is not None:
        facts.append(("started", time.second(to_ns(datetime.fromisoformat(status.run.started_at)))))
    if status.view is None:
        return [
            *lines,
            *facts_lines(
                [*facts, ("state", "not shown by the session; see qts orders, qts trades and qts positions")], width
            ),
        ]
    return [*lines, *view_lines(status.view, facts, width)]


def view_lines(view: SessionView, facts: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return the screen of a view in a terminal of ``width`` cells, behind ``facts`` about where it comes from."""
    time = MarketTime(view.time_zone)
    words = SIMULATED if view.mode == "paper" else MONEY.get(view.mode)
    money = [("trades", words)] if words else []
    lines = facts_lines([*money, *facts, *_facts(view, time)], width)
    for title, part in (
        ("Pools", _pool_lines(view, width)),
        ("Positions", _position_lines(view, time, width)),
        ("Working orders", _order_lines(view, time, width)),
        ("Strategies", _strategy_lines(view, width)),
        ("Queues, accept to handler start", _queue_lines(view, width)),
    ):
        if part:
            lines += ["", title, *part]
    return lines


def _recording(one: RecordingView) -> str:
    lost = sum(one.dropped.values())
    parts = [f"{counted(one.recorded, 'value')} on the server", f"{one.waiting:,} waiting"]
    parts += [f"{lost:,} lost"] if lost else []
    parts += [f"{one.refused:,} refused"] if one.refused else []
    parts += [f"{one.state}: {one.why}"] if one.state in ("away", "failed") else []
    return ", ".join(parts)


def _cache(one: CacheView) -> str:
    """Return what became of the values for the cache that the session writes to."""
    parts = [one.state, f"{one.written:,} written"]
    parts += [f"{one.waiting:,} waiting"] if one.waiting else []
    lost = ", ".join(f"{kind} {count:,}" for kind, count in one.dropped.items())
    parts += [f"{sum(one.dropped.values()):,} dropped ({lost})"] if lost else []
    parts += [counted(one.failures, "failure")] if one.failures else []
    parts += [f"breaker {one.breaker}"] if one.breaker not in ("", "CLOSED") else []
    return "; ".join(filter(None, (", ".join(parts), one.server, one.why)))  # a sentence, so it comes last


def _facts(view: SessionView, time: MarketTime) -> list[tuple[str, str]]:
    result = view.equity - view.paid_in
    counts = view.counts
    facts = [
        ("clock", time.second(view.clock_ns)),
        ("safety", _state(view.safety, time)),
        *(
            (
                "cause",
                f"{cause.code}, {counted(cause.count, 'time')}, last {time.second(cause.last_ns)}: {cause.detail}",
            )
            for cause in view.safety_causes
        ),
        ("next", view.safety_next),
        *_broker_clock(view),
        *(("stopped", stop_text(stop, time)) for stop in view.stops),
        *(("no entry", why) for why in view.no_entries),
        *_rules(view, time),
        ("equity", f"{amount(view.equity)} {view.currency}, result {amount(result)}"),
        ("cash", f"{amount(view.cash)} {view.currency}"),
        *_capital(view),
        (
            "orders",
            f"{counts.orders:,} sent, {len(view.orders):,} working, "
            f"{counted(counts.forced_exits, 'exit')} forced by rule",
        ),
        *(("unknown", in_english(note_of(one, ended=bool(view.ended)))) for one in view.unknown_orders),
        *(("leaving", exit_text(one)) for one in view.exits),
        *(("in parts", execution_line(one)) for one in view.executions),
        ("fills", f"{counts.fills:,}"),
    ]
    if (close := view.last_close) is not None and view.mode != "replay":
        worth = f"{amount(close.equity)} {view.currency}"
        facts.append(("last close", f"{close.day}, equity {worth}; its report is {DAYS}/{close.day}.en.txt"))
    if (kept := view.quarantine) is not None:
        first = f"{time.second(kept.first_ns)} ({kept.code}): {kept.reason}"
        facts.append(("not booked", f"{counted(kept.count, 'notice')} of the broker, the first at {first}"))
    facts += [("server" if one.name == DATABASE else one.name, _server(one)) for one in view.servers]
    if view.recording is not None:
        facts.append(("recording", _recording(view.recording)))
    if view.feed is not None:
        facts.append(("feed", _feed(view.feed, time)))
    if view.cache is not None:
        facts.append(("cache", _cache(view.cache)))
    if counts.refusals:
        ranked = sorted(counts.refusals.items(), key=lambda item: -item[1])
        facts.append(("rejected", ", ".join(f"{reason} {count:,}" for reason, count in ranked)))
    if view.limits is not None and view.limits.refused:
        facts.append(("limits", _limits(view.limits)))
    facts += [("near a limit", _near(one)) for one in view.limit_counts if _is_near(one)]
    return facts


def _is_near(one: LimitCountView) -> bool:
    """Return whether at least half of a limit is used up, or it is not known how much is."""
    return one.value is None or times(one.value, 2) >= one.bound


def _near(one: LimitCountView) -> str:
    """Return what stands against a limit, whose it is, and its bound."""
    whose = f" of {one.of}" if one.of else ""
    value = "not known" if one.value is None else f"{one.value:,f}"
    return f"{one.limit}{whose}: {value}, bound {one.bound:,f}"


def _broker_clock(view: SessionView) -> Iterator[tuple[str, str]]:
    """Yield how far our clock is from that of a broker that is not simulated."""
    if (one := view.broker_clock) is not None:
        is_known = one.apart_ms is not None
        yield "time", f"at least {one.apart_ms:,.0f} ms from the broker's" if is_known else "the broker tells none"


def execution_line(one: ExecutionView) -> str:
    """Return how far an order has come that is executed in parts."""
    average = "" if one.average_price is None else f" at {amount(one.average_price)} on average"
    why = f": {one.reason}" if one.reason else ""
    return (
        f"{one.algo} of {one.strategy}: {one.side} {one.qty:f} {one.symbol}, {one.filled:f} filled{average}, "
        f"{one.parts:,} of {one.planned:,} parts sent, {one.state}{why}"
    )


def _limits(one: LimitsView) -> str:
    """Return how many orders each limit has refused, and the last of them."""
    ranked = sorted(one.refused.items(), key=lambda item: -item[1])
    counts = ", ".join(f"{limit} {count:,}" for limit, count in ranked)
    return f"{counted(sum(one.refused.values()), 'order')} refused ({counts}); the last: {one.last}"


def _feed(one: LiveView, time: MarketTime) -> str:
    """Return the state of the line of a live feed, and what comes by it."""
    since = f" since {time.second(one.since_ns)}" if one.since_ns else ""
    parts = [f"{'connected' if one.connected else 'NOT CONNECTED'}{since}"]
    parts += [f"{one.lag_ms:,} ms behind the exchange"] if one.lag_ms is not None else []
    parts += [f"registered for {len(one.registered)}"]
    parts += [f"no place for {len(one.left_out)}: {', '.join(one.left_out[:3])}"] if one.left_out else []
    parts += [f"prices asked for: {', '.join(one.asked[:5])}"] if one.asked else []
    parts += [counted(one.gaps, "gap")] if one.gaps else []
    parts += [f"unknown layouts: {', '.join(one.unknown_layouts)}"] if one.unknown_layouts else []
    return f"{one.name}; " + ", ".join(parts)


def _server(one: ServerView) -> str:
    """Return how far the server is that follows the book."""
    if not one.is_known:
        asked = f"{one.state}, not asked yet what it has of {counted(one.newest, 'batch', 'batches')}"
        return f"{asked}; {one.reason}" if one.reason else asked
    text = f"{one.state}, {one.applied:,} of {counted(one.newest, 'batch', 'batches')}"
    if one.lag_batches:
        text += f", the oldest of the rest has waited {one.lag_s:,.1f} s, {one.waiting_bytes / 1e6:,.1f} MB"
    waits = f", {one.late:,} of {counted(one.waits, 'order')} waited too long" if one.waits else ""
    durability = f"; durability {one.durability}" if one.name == DATABASE else ""
    said = "".join(f"; {more}" for more in (one.reason, *one.altered) if more)
    return f"{text}{waits}{durability}{said}"


def _capital(view: SessionView) -> Iterator[tuple[str, str]]:
    """Yield what was paid in and out since the start, and what is at the broker and not ours."""
    one = view.bookings
    if view.charges_due:
        yield "estimates", f"fees and taxes of {', '.join(view.charges_due)}: the broker has not told them"
    if one is None:
        return
    moved = {"deposited": one.deposits, "taken over": one.contributions, "withdrawn": one.withdrawals}
    if any(moved.values()):
        yield "capital", ", ".join(f"{amount(value)} {what}" for what, value in moved.items() if value)
    if one.external_cash or one.external_positions:
        costs = one.external_costs
        held = [f"{amount(qty)} {symbol}{_at(costs.get(symbol))}" for symbol, qty in one.external_positions.items()]
        yield "not ours", ", ".join((f"cash {amount(one.external_cash)}", *held))


def _at(cost: Decimal | None) -> str:
    return "" if cost is None else f" that cost {amount(cost)}"


def _rules(view: SessionView, time: MarketTime) -> list[tuple[str, str]]:
    """Return what decides how much a strategy may trade: the operating state, or that nothing does."""
    params = [
        ("parameters", f"{one.name}: {', '.join(f'{name} {value}' for name, value in one.params.items())}")
        for one in view.strategies
        if one.params
    ]
    if view.profile == Profile.PLAIN.value:
        return [("profile", PLAIN_TEXT), *params]
    return [("operating", _state(view.operating, time)), *params]


def stop_text(stop: ScopedStop, time: MarketTime) -> str:
    """Return the sentence about a stop that is in force."""
    since = time.second(stop.ts_ns)
    holdings = "sold" if stop.liquidate else "kept"
    return f"{stop.scope} is stopped since {since} by {stop.operator}: {stop.reason}; holdings {holdings}"


def _state(state: StateView, time: MarketTime) -> str:
    since = f" since {time.second(state.since_ns)}" if state.since_ns else ""
    return f"{state.state}{since}{': ' if state.why else ''}{sentence(state.why)}"


def _pool_lines(view: SessionView, width: int) -> list[str]:
    rows = [
        [p.pool, amount(p.total), amount(p.available), amount(p.realized_pnl), amount(p.unrealized_pnl)]
        for p in view.pools
    ]
    return table_lines(_POOLS, rows, width)


def _position_lines(view: SessionView, time: MarketTime, width: int) -> list[str]:
    listing = LISTINGS["positions"]
    if not view.positions:
        return []
    return table_lines(listing.titled(time), [listing.shown(p, time) for p in view.positions], width)


def _order_lines(view: SessionView, time: MarketTime, width: int) -> list[str]:
    rows = [
        [
            time.bare(o.since_ns),
            o.strategy,
            o.symbol,
            o.side,
            amount(o.qty),
            amount(o.filled),
            "market" if o.limit is None else amount(o.limit),
            o.state,
        ]
        for o in view.orders
    ]
    return table_lines([titled(column, time) for column in _ORDERS], rows, width) if rows else []


def _strategy_lines(view: SessionView, width: int) -> list[str]:
    lines: list[str] = []
    for one in view.strategies:
        if one.halted:
            lines += folded(f"{one.name} is HALTED: {one.why}", width)
        for error in one.errors:
            times = counted(error.count, "time")
            lines += folded(f"{one.name} failed in {error.callback} {times}, first: {error.first}", width)
    return lines


def _queue_lines(view: SessionView, width: int) -> list[str]:
    rows: Sequence[list[str]] = [
        [
            q.priority,
            *(f"{count:,}" for count in (q.depth, q.capacity, q.handled, q.dropped)),
            f"{_samples(q):,}",
            *(f"{us:,.0f}" if _samples(q) else "-" for us in (q.p50_us, q.p99_us, q.max_us)),
        ]
        for q in view.queues
    ]
    return table_lines(_QUEUES, rows, width)


def _samples(queue: QueueView) -> int:
    return queue.handled if queue.samples is None else queue.samples
