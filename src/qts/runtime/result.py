"""What a session came to: one JSON object for programs, the same facts for summary and report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.clock import NS_PER_S, from_ns
from qts.db.contracts import EquityRow, RunRow, SafetyRow, StateRow
from qts.event.contracts import EventPriority
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import LedgerRow
from qts.market.contracts import Calendar, MarketSource
from qts.market.files.refusals import ALLOWED, RefusalExample
from qts.market.files.remedies import sentence_of
from qts.runtime.extremes import Fall, Noted, Point
from qts.runtime.price_bands import doubtful_rows, notes_on_doubts
from qts.runtime.quarantine import MOST_SHOWN
from qts.runtime.view_file import strategy_view
from qts.runtime.wiring import max_age_ns
from qts.safety.scoped_stops import stop_row

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel
    from qts.runtime.parts import Parts

QUEUE_COUNTS = ("accepted", "handled", "dropped", "collapsed", "sampled", "rejected")
MOST_REASONS = 20
_NUMBER = re.compile(r"\b[0-9a-f]{8}(?:-\w+)+|\d[\d,.:]*")
"""A number, or an id of this run."""
SHORT = {priority: f"P{priority.value}" for priority in EventPriority}


@runtime_checkable
class HasNotes(Protocol):
    """Market rules that say when they had to be stretched."""

    def notes(self, day: date) -> list[str]: ...


@runtime_checkable
class HasInputNotes(Protocol):
    """A feed that says what was wrong with its input as a whole, such as a damaged end."""

    @property
    def notes(self) -> Sequence[str]: ...


class SessionResult:
    """The result object of ``--json`` and where its run is stored."""

    def __init__(self, values: dict[str, Any], directory: Path) -> None:
        self.values = values
        self.directory = directory

    @classmethod
    def stored(cls, text: str, directory: Path) -> SessionResult:
        """The result a finished run left in its store."""
        return cls(msgspec.json.decode(text), directory)

    @property
    def finished(self) -> bool:
        return bool(self.values["finished"])

    def to_json(self) -> str:
        return msgspec.json.encode(self.values).decode()


def queue_counts(stats: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    """``queue_stats()`` reduced to the counters of the result, keys P0..P3."""
    return {
        SHORT[priority]: {name: int(stats[priority.name][name]) for name in QUEUE_COUNTS}
        for priority in EventPriority
    }


def transitions_of(history: Sequence[StateRow], calendar: Calendar) -> list[dict[str, str]]:
    """The operating state's moves with the market's own date and time."""
    rows = []
    for row in history:
        moment = calendar.local_time(from_ns(row.ts_ns))
        rows.append(
            {
                "date": moment.date().isoformat(),
                "time": moment.strftime("%H:%M"),
                "from": row.from_state,
                "to": row.to_state,
                "reason": row.reason,
            }
        )
    return rows


def safety_changes_of(history: Sequence[SafetyRow], calendar: Calendar) -> list[dict[str, str]]:
    """Every safety cause with the market's own date and time; it need not have moved the state."""
    rows = []
    for row in history:
        moment = calendar.local_time(from_ns(row.ts_ns))
        moved = {"date": moment.date().isoformat(), "time": moment.strftime("%H:%M:%S")}
        moved |= {"from": row.from_state, "to": row.to_state, "code": row.code}
        rows.append(moved | {"reason": row.reason, "actor": row.actor})
    return rows


def refused_examples(feed: MarketSource) -> dict[str, list[dict[str, Any]]]:
    """The first refused rows of each reason: where, what, what is allowed there and what to do.

    Empty for a feed that has no lines.
    """
    examples: Mapping[str, Sequence[RefusalExample]] = getattr(feed, "refusal_examples", {})
    return {
        reason: [
            {
                "file": Path(feed.name).name,
                "line": one.line,
                "column": one.column,
                "value": one.value,
                "allowed": ALLOWED[reason],
                "remedy": sentence_of(one.remedy),
                "remedy_code": one.remedy,
            }
            for one in shown
        ]
        for reason, shown in sorted(examples.items())
    }


def unfilled_by_reason(orders: Sequence[Order]) -> dict[str, int]:
    """Count the orders that ended without a fill, by how and why they ended; the most frequent reasons by name.

    Numbers in a reason are left out, so that orders which ended alike are counted together.
    """
    counts = Counter(
        f"{order.state.value}: {_NUMBER.sub('…', order.note)}" if order.note else order.state.value
        for order in orders
        if order.state in FINAL_STATES and not order.filled
    )
    named = dict(counts.most_common(MOST_REASONS))
    rest = sum(counts.values()) - sum(named.values())
    return dict(sorted(named.items())) | ({"other reasons": rest} if rest else {})


def _plain(view: msgspec.Struct) -> Any:
    """Return ``view`` as it is read back from the stored result: objects and lists."""
    return msgspec.json.decode(msgspec.json.encode(view))


def text_of(amount: Decimal) -> str:
    """A Decimal without exponent and without trailing zeros behind the point."""
    plain = f"{amount:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def extremes_of(noted: Noted, shown: Callable[[int], str]) -> dict[str, Any]:
    """The extremes as ``--json`` has them: amounts as text, shares as text to six places, moments by ``shown``."""

    def point(one: Point) -> dict[str, str]:
        return {"amount": text_of(one.amount), "at": shown(one.ts_ns)}

    def fall(one: Fall) -> dict[str, str]:
        share = f"{one.share:.6f}"
        return {
            "share": share,
            "amount": text_of(one.amount),
            "from": shown(one.top.ts_ns),
            "to": shown(one.low.ts_ns),
        }

    return {
        "highest_equity": point(noted.highest),
        "lowest_equity": point(noted.lowest),
        "deepest_drawdown": fall(noted.deepest),
        "worst_day": fall(noted.worst_day),
        "highest_exposure": point(noted.highest_exposure),
    }


class SessionFacts(msgspec.Struct, frozen=True):
    """Everything the report draws: the result, the curves and the book."""

    result: dict[str, Any]
    run: RunRow
    equity: Sequence[EquityRow]
    ledger: Sequence[LedgerRow]
    states: Sequence[StateRow]
    safety: Sequence[SafetyRow]
    orders: Sequence[Order]
    transfers: Sequence[Transfer]


def summarize(
    kernel: Kernel, states: Sequence[StateRow], safety: Sequence[SafetyRow], took_ns: int
) -> dict[str, Any]:
    """The result object of ``--json``; the launcher adds who, when and where."""
    parts, dispatcher = kernel.parts, kernel.dispatcher
    queues = queue_counts(dispatcher.queue_stats())
    events = {name: counts["handled"] for name, counts in queues.items()}
    pools = parts.account.pools(parts.last.mark, kernel.duties.targets)
    lost = queues["P0"]["dropped"] + queues["P0"]["collapsed"] + queues["P0"]["sampled"]
    wall_s = took_ns / NS_PER_S
    return {
        "rows": kernel.intake.rows,
        "events_by_priority": events,
        "queues": queues,
        "p0_latency_us": latency_row(dispatcher, EventPriority.P0_CRITICAL),
        "latency_us_by_priority": {SHORT[p]: latency_row(dispatcher, p) for p in EventPriority},
        "latency_overstays": {
            name: {"count": one.count, "longest_us": round(one.longest_us, 1)}
            for name, one in sorted(dispatcher.reports.overstays.items())
        },
        "lost_p0": lost,
        "orders": kernel.tally.orders,
        "fills": kernel.tally.fills,
        "ledger_rows": parts.account.fills_applied,
        "duplicate_fills": kernel.desk.duplicates,
        "quarantined": quarantined(kernel),
        "forced_exits": kernel.tally.forced_exits,
        "currency": parts.config.runtime.currency,
        "time_zone": f"{parts.calendar.local_time(parts.clock.now()):%Z %z}",
        "equity_start": text_of(parts.account.opening),
        "equity_end": text_of(parts.equity()),
        "extremes": extremes_of(
            parts.extremes.noted, lambda ns: parts.calendar.local_time(from_ns(ns)).isoformat()
        ),
        "fees": text_of(parts.account.fees_total),
        "taxes": text_of(parts.account.taxes_total),
        "pools": {
            pool.value: {
                "total": text_of(pools[pool].total),
                "realized_pnl": text_of(pools[pool].realized_pnl),
                "unrealized_pnl": text_of(pools[pool].unrealized_pnl),
            }
            for pool in Pool
        },
        "positions": {symbol: text_of(qty) for symbol, qty in sorted(parts.account.positions().items())},
        "operating_state": parts.state.current_state.value,
        "safety_state": parts.safety.current_state.value,
        "state_basis": parts.basis.values()
        | {"enabled": parts.config.state.enabled, "waits": kernel.duties.waits_for()},
        "transitions": transitions_of([row for row in states if row.from_state != row.to_state], parts.calendar),
        "safety_changes": safety_changes_of(safety, parts.calendar),
        "halted_strategies": sorted(seat.strategy.name for seat in kernel.host.seats if seat.halted),
        "stops": [stop_row(stop) for stop in parts.stops],
        "strategies": [_plain(strategy_view(seat)) for seat in kernel.host.seats],
        "refusals": dict(sorted(kernel.tally.refusals.items())),
        "rows_refused": dict(sorted(parts.feed.rows_refused.items())),
        "rows_refused_examples": refused_examples(parts.feed),
        "doubtful_prices": doubtful_rows(parts.price_bands),
        "notes": notes_of(kernel),
        "risk_limits": dict(parts.gate.values()),
        "max_price_age_s": max_age_ns(parts.feed, parts.config.runtime.freshness) / NS_PER_S,
        "invariants": kernel.invariants.summary(),
        "wall_s": round(wall_s, 3),
        "events_per_s": round(sum(events.values()) / wall_s) if wall_s else 0,
        "report": None,
    }


def latency_row(dispatcher: EventDispatcher, priority: EventPriority) -> dict[str, float]:
    """Accept to handler start in microseconds of real time."""
    seen = dispatcher.stats.latency(priority).start
    return {"p50": seen.p50_us, "p99": seen.p99_us, "p999": seen.p999_us, "max": seen.max_us}


def dead_letters_of(dispatcher: EventDispatcher) -> list[str]:
    """A sentence for each priority with events whose handler failed for good: they are in no other number."""
    notes = []
    for priority in EventPriority:
        count = int(dispatcher.queue_stats()[priority.name]["dead_lettered"])
        if count:
            errors = [one.error for one in dispatcher.dead_letter_queue if one.event.priority is priority]
            last = f"; the last: {errors[-1]}" if errors else ""
            notes.append(f"dead letters: {count} {SHORT[priority]} events could not be handled{last}")
    return notes


def quarantined(kernel: Kernel) -> dict[str, Any]:
    """How many notices of the broker were not booked, and the first of them (None: there was none)."""
    kept = kernel.desk.quarantine
    first = kept.first
    if first is None:
        return {"count": 0, "first": None}
    at = kernel.parts.calendar.local_time(from_ns(first.ts_ns)).isoformat()
    shown = {"at": at, "code": first.code, "reason": first.reason, "notice": first.notice[:MOST_SHOWN]}
    return {"count": kept.count, "first": shown}


def not_booked_of(kernel: Kernel) -> list[str]:
    """A sentence when notices of the broker were not booked: what the account shows may lack them."""
    kept = quarantined(kernel)
    if kept["first"] is None:
        return []
    first = kept["first"]
    said = f"the first at {first['at']} ({first['code']}): {first['reason']}"
    return [f"quarantine: {kept['count']} notices of the broker were not booked; {said}"]


def notes_of(kernel: Kernel) -> list[str]:
    """What a reader must know to judge the result: damage of the input, events that could not be handled,
    parts an operator has stopped, impossible prices, stand-ins, and rules taken beyond their first dated row."""
    parts, notes = kernel.parts, [*dead_letters_of(kernel.dispatcher), *not_booked_of(kernel)]
    notes += [
        f"stopped: {parts.rejects.stop_of(symbol)}; it takes no entry until the next day"
        for symbol in parts.rejects.stopped
    ]
    notes += [f"stopped: {stop}; it takes no entry until it is released" for stop in parts.stops]
    notes += notes_on_doubts(parts.price_bands)
    if isinstance(parts.feed, HasInputNotes):
        notes += [f"input: {note}" for note in parts.feed.notes]
    if count := sum(_has_band(parts, symbol) for symbol in kernel.tally.stand_in_bases):
        notes.append(f"price band: no previous close in the data for {count} symbols; their first price stood in")
    instrument = next(iter(parts.feed.instruments.values()))
    for source in (instrument.calendar, instrument.ticks, instrument.costs):
        if isinstance(source, HasNotes):
            notes += source.notes(date.fromisoformat(kernel.tally.first_day))
    return sorted(set(notes))


def _has_band(parts: Parts, symbol: str) -> bool:
    """Whether the market of ``symbol`` limits the price of a day, so that a missing previous close matters."""
    instrument, base = parts.feed.instruments.get(symbol), parts.base_prices.get(symbol)
    if instrument is None or base is None:
        return False
    return instrument.ticks.band(base, parts.calendar.local_date(parts.clock.now())) is not None
