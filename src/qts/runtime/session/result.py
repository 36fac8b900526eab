"""The result of a session: one JSON object for programs, the same facts for summary and report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from qts.capital.contracts import Transfer
from qts.clock import NS_PER_S, from_ns
from qts.db.contracts import EquityRow, RefusalRow, RunRow, SafetyRow, StateRow
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import DEFAULT_ACCOUNT, ActionRow, BookingRow, LedgerRow
from qts.market.contracts import Calendar
from qts.money import plus, sum_of
from qts.notes import Note, in_english
from qts.performance import Performance
from qts.runtime.metrics.extremes import Drawdown, Point
from qts.runtime.persistence.charts_file import Charts
from qts.runtime.session.session_view import MODES, ExtremesView, PositionView, QueueView, SessionView
from qts.safety.scoped_stops import stop_row
from qts.wording import counted

QUEUE_COUNTS = ("accepted", "handled", "dropped", "collapsed", "sampled", "rejected")
MAX_REASONS = 20
_NUMBER = re.compile(r"\b(?:[0-9a-f]{8}){1,2}(?:-\w+)+|\d[\d,.:]*")
"""A number, or an id of this run."""


Rows = list[dict[str, Any]]
GainColor = Literal["auto", "green", "red"]
"""The setting ``runtime.gain_color``."""


class ResultValues(msgspec.Struct, frozen=True, kw_only=True):
    """The result object of ``--json``, field by field; amounts are texts in the account's currency.

    Fields with a default are missing from results that earlier versions have stored.
    """

    rows: int
    events_by_priority: dict[str, int]
    queues: dict[str, dict[str, int]]
    p0_latency_us: dict[str, float]
    latency_us_by_priority: dict[str, dict[str, float]]
    latency_overstays: dict[str, dict[str, Any]] = {}  # overruns; the key is kept for readers of earlier results
    lost_p0: int
    orders: int
    fills: int
    ledger_rows: int
    duplicate_fills: int
    quarantined: dict[str, Any] = msgspec.field(default_factory=lambda: {"count": 0, "first": None})
    forced_exits: int
    account: str = DEFAULT_ACCOUNT
    currency: str
    time_zone: str = ""
    equity_start: str
    equity_end: str
    cash: str | None = None
    cash_available: str | None = None
    extremes: dict[str, dict[str, str]] | None = None
    fees: str
    taxes: str
    corporate_actions: dict[str, Any] | None = None
    bookings: dict[str, Any] | None = None
    pools: dict[str, dict[str, str]]
    positions: dict[str, str]
    holdings: Rows = []
    symbol_names: dict[str, dict[str, str]] = {}
    operating_state: str
    safety_state: str
    state_basis: dict[str, Any]
    transitions: list[dict[str, str]]
    safety_changes: list[dict[str, str]]
    halted_strategies: list[str]
    stops: Rows = []
    strategies: Rows = []
    refusals: dict[str, int]
    targets_reached: int = 0
    cancels_of_nothing: int = 0
    rows_refused: dict[str, int]
    rows_refused_examples: dict[str, Rows] = {}
    doubtful_prices: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    note_values: list[Note] = []
    risk_limits: dict[str, str]
    max_price_age_s: float
    invariants: dict[str, dict[str, Any]]
    wall_s: float
    events_per_s: int
    report: str | None
    orders_unfilled: dict[str, int] = {}
    run_id: str
    command: str
    seed: int
    source: str
    config_hash: str
    started_at: str
    finished_at: str
    finished: bool
    settings_of_the_command: dict[str, str] = {}
    profile: str = "rules"
    performance: Performance | None = None

    @property
    def mode(self) -> str:
        """Return LIVE or PAPER_ACCOUNT, the mode of a session at a real broker, as its notes say; "" for others."""
        return next((MODES[one.code] for one in self.note_values if one.code in MODES), "")


class SessionResult:
    """A session's result and where its run is stored."""

    def __init__(self, values: ResultValues, directory: Path, gain_color: GainColor = "auto") -> None:
        self.values = values
        self.directory = directory
        self.gain_color: GainColor = gain_color

    @classmethod
    def stored(cls, text: str, directory: Path, gain_color: GainColor = "auto") -> SessionResult:
        """Return the result a finished run left in its store."""
        return cls(msgspec.json.decode(text, type=ResultValues), directory, gain_color)

    @property
    def finished(self) -> bool:
        """Return whether the input came to its end; otherwise the run can be resumed."""
        return self.values.finished

    def with_report(self, path: str) -> SessionResult:
        """Return the result that names the report written of it."""
        return SessionResult(msgspec.structs.replace(self.values, report=path), self.directory, self.gain_color)

    def with_note(self, note: Note) -> SessionResult:
        """Return the result with a note that is not stored with it."""
        values = msgspec.structs.replace(
            self.values,
            notes=[*self.values.notes, in_english(note)],
            note_values=[*self.values.note_values, note],
        )
        return SessionResult(values, self.directory, self.gain_color)

    def to_json(self) -> str:
        """Return the result as one JSON object."""
        return msgspec.json.encode(self.values).decode()


def transitions_of(history: Sequence[StateRow], calendar: Calendar) -> list[dict[str, str]]:
    """Return the transitions of the operating state, with date and time in the market's time zone."""
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
    """Return every safety cause, with date and time in the market's time zone; the state need not have changed."""
    rows = []
    for row in history:
        moment = calendar.local_time(from_ns(row.ts_ns))
        moved = {"date": moment.date().isoformat(), "time": moment.strftime("%H:%M:%S")}
        moved |= {"from": row.from_state, "to": row.to_state, "code": row.code}
        rows.append(moved | {"reason": row.reason, "actor": row.actor})
    return rows


def unfilled_by_reason(orders: Sequence[Order]) -> dict[str, int]:
    """Count the orders that ended without a fill, by how and why they ended; the most frequent reasons by name.

    Numbers in a reason are left out, so that orders which ended alike are counted together.
    """
    counts = Counter(
        f"{order.state.value}: {_NUMBER.sub('…', order.note)}" if order.note else order.state.value
        for order in orders
        if order.state in FINAL_STATES and not order.filled
    )
    named = dict(counts.most_common(MAX_REASONS))
    rest = sum(counts.values()) - sum(named.values())
    return dict(sorted(named.items())) | ({"other reasons": rest} if rest else {})


def failures_of(strategies: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Yield a line for each strategy that was halted (True) and for each hook in which one failed (False)."""
    for one in strategies:
        if one["halted"]:
            yield f"HALTED: strategy {one['name']}: {one['why']}", True
        for error in one["errors"]:
            times = counted(error["count"], "time")
            yield f"strategy {one['name']} failed in {error['callback']} {times}, first: {error['first']}", False


def text_of(amount: Decimal) -> str:
    """Return a Decimal as text without exponent and without trailing zeros after the point."""
    plain = f"{amount:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def extremes_of(extremes: ExtremesView, shown: Callable[[int], str]) -> dict[str, Any]:
    """Return the extremes as in ``--json``: amounts as text, shares as text with six places, times by ``shown``."""

    def point(one: Point) -> dict[str, str]:
        return {"amount": text_of(one.amount), "at": shown(one.ts_ns)}

    def fall(one: Drawdown) -> dict[str, str]:
        share = f"{one.share:.6f}"
        return {
            "share": share,
            "amount": text_of(one.amount),
            "from": shown(one.top.ts_ns),
            "to": shown(one.low.ts_ns),
        }

    return {
        "highest_equity": point(extremes.highest),
        "lowest_equity": point(extremes.lowest),
        "deepest_drawdown": fall(extremes.deepest),
        "worst_day": fall(extremes.worst_day),
        "highest_exposure": point(extremes.highest_exposure),
    }


class SessionFacts(msgspec.Struct, frozen=True):
    """Everything the report draws: the result, the curves and the book."""

    result: ResultValues
    run: RunRow
    equity: Sequence[EquityRow]
    ledger: Sequence[LedgerRow]
    states: Sequence[StateRow]
    safety: Sequence[SafetyRow]
    orders: Sequence[Order]
    transfers: Sequence[Transfer]
    actions: Sequence[ActionRow] = ()
    bookings: Sequence[BookingRow] = ()
    gain_color: GainColor = "auto"
    charts: Charts = Charts()
    refusals: Sequence[RefusalRow] = ()


def summarize(
    view: SessionView,
    run: RunRow,
    calendar: Calendar,
    *,
    states: Sequence[StateRow],
    safety: Sequence[SafetyRow],
    orders: Sequence[Order],
    settings: Mapping[str, str],
    finished_at: datetime,
    took_ns: int,
    performance: Performance | None = None,
    more_notes: Sequence[Note] = (),
) -> ResultValues:
    """Make the result of ``run`` from its last view and what its store holds.

    ``calendar`` gives the market's own date and time; ``settings`` are the command's; ``took_ns`` is real time.
    ``performance`` None: it is unknown; ``more_notes``, beside those of the view, say why.
    """
    queues = {one.priority: one for one in view.queues}
    counts, p0 = view.counts, queues["P0"]
    wall_s = took_ns / NS_PER_S
    notes = sorted([*view.note_values, *more_notes], key=in_english)

    def local(ns: int) -> str:
        return calendar.local_time(from_ns(ns)).isoformat()

    return ResultValues(
        rows=counts.rows,
        events_by_priority={name: one.handled for name, one in queues.items()},
        queues={name: {count: getattr(one, count) for count in QUEUE_COUNTS} for name, one in queues.items()},
        p0_latency_us=latency_row(p0),
        latency_us_by_priority={name: latency_row(one) for name, one in queues.items()},
        latency_overstays={
            name: {"count": one.count, "longest_us": round(one.longest_us, 1)}
            for name, one in view.overruns.items()
        },
        lost_p0=p0.dropped + p0.collapsed + p0.sampled,
        orders=counts.orders,
        fills=counts.fills,
        ledger_rows=counts.ledger_rows,
        duplicate_fills=counts.duplicate_fills,
        quarantined=quarantined(view, local),
        forced_exits=counts.forced_exits,
        account=view.account,
        currency=view.currency,
        time_zone=view.time_zone,
        equity_start=text_of(view.equity_start),
        equity_end=text_of(view.equity),
        cash=text_of(view.cash),
        cash_available=text_of(sum_of(one.available for one in view.pools)),
        extremes=extremes_of(view.extremes, local),
        fees=text_of(view.fees),
        taxes=text_of(view.taxes),
        corporate_actions=_actions_of(view),
        bookings=_bookings_of(view),
        pools={
            one.pool: {
                "total": text_of(one.total),
                "realized_pnl": text_of(one.realized_pnl),
                "unrealized_pnl": text_of(one.unrealized_pnl),
            }
            for one in view.pools
        },
        positions=positions_of(view),
        holdings=[_holding(one) for one in view.positions],
        symbol_names=view.symbol_names,
        operating_state=view.operating.state,
        safety_state=view.safety.state,
        state_basis=msgspec.to_builtins(view.state_basis),
        transitions=transitions_of([row for row in states if row.from_state != row.to_state], calendar),
        safety_changes=safety_changes_of(safety, calendar),
        halted_strategies=sorted(one.name for one in view.strategies if one.halted),
        stops=[dict(stop_row(stop)) for stop in view.stops],
        strategies=[msgspec.json.decode(msgspec.json.encode(one)) for one in view.strategies],  # as it is read back
        refusals=dict(sorted(counts.refusals.items())),
        targets_reached=counts.targets_reached,
        cancels_of_nothing=counts.cancels_of_nothing,
        rows_refused=dict(sorted(view.rows_refused.items())),
        rows_refused_examples=msgspec.to_builtins(view.rows_refused_examples),
        doubtful_prices=msgspec.to_builtins(view.doubtful_prices),
        notes=[in_english(note) for note in notes],
        note_values=notes,
        risk_limits=view.risk_limits,
        max_price_age_s=view.max_price_age_s,
        invariants=msgspec.to_builtins(view.invariants),
        wall_s=round(wall_s, 3),
        events_per_s=round(sum(one.handled for one in view.queues) / wall_s) if wall_s else 0,
        report=None,
        orders_unfilled=unfilled_by_reason(orders),
        run_id=run.run_id,
        command=run.command,
        seed=run.seed,
        source=run.source_id,
        config_hash=run.config_hash,
        started_at=run.started_at,
        finished_at=finished_at.isoformat(),
        finished=view.ended == "finished",
        settings_of_the_command=dict(settings),
        profile=view.profile,
        performance=performance,
    )


def _bookings_of(view: SessionView) -> dict[str, Any] | None:
    """Return what bookings brought and took, as texts, and what is EXTERNAL; None for none."""
    one = view.bookings
    if one is None:
        return None
    return {
        "rows": one.rows,
        "deposits": text_of(one.deposits),
        "withdrawals": text_of(one.withdrawals),
        "adjustments": text_of(one.adjustments),
        "external_cash": text_of(one.external_cash),
        "external_positions": {symbol: text_of(qty) for symbol, qty in one.external_positions.items()},
        "contributions": text_of(one.contributions),
        "external_costs": {symbol: text_of(cost) for symbol, cost in one.external_costs.items()},
    }


def _actions_of(view: SessionView) -> dict[str, Any] | None:
    """Return what splits and dividends brought: booked rows, and amounts as texts; None for none."""
    one = view.actions
    if one is None:
        return None
    return {
        "rows": one.rows,
        "dividends": text_of(one.dividends),
        "dividend_tax": text_of(one.tax),
        "paid_for_fractions": text_of(one.fractions),
    }


def latency_row(queue: QueueView) -> dict[str, float]:
    """Return accept to handler start in microseconds of real time, and how many events were measured."""
    samples = queue.handled if queue.samples is None else queue.samples
    return {
        "samples": samples,
        "p50": queue.p50_us,
        "p99": queue.p99_us,
        "p999": queue.p999_us,
        "max": queue.max_us,
    }


def latency_samples(row: Mapping[str, float], handled: int) -> int:
    """Return how many events the times of a :func:`latency_row` are of.

    Results of earlier versions do not say: there every one of the ``handled`` events was measured.
    """
    return int(row.get("samples", handled))


def latency_cells(row: Mapping[str, float], handled: int) -> tuple[str, str, str, str]:
    """Return samples, p50, p99 and maximum of a :func:`latency_row` for a table; "–" for times without a sample."""
    samples = latency_samples(row, handled)
    p50, p99, longest = (f"{row[key]:,.1f}" if samples else "–" for key in ("p50", "p99", "max"))
    return f"{samples:,}", p50, p99, longest


def _holding(one: PositionView) -> dict[str, Any]:
    """Return what a strategy holds of a symbol; None where no price was ever seen."""
    return {
        "symbol": one.symbol,
        "strategy": one.strategy,
        "pool": one.pool,
        "qty": text_of(one.qty),
        "average_cost": None if one.average_cost is None else text_of(one.average_cost),
        "price": None if one.mark is None else text_of(one.mark),
        "value": None if one.value is None else text_of(one.value),
        "unrealized_pnl": None if one.unrealized_pnl is None else text_of(one.unrealized_pnl),
    }


def positions_of(view: SessionView) -> dict[str, str]:
    """Return what all strategies hold together, by symbol."""
    held: dict[str, Decimal] = {}
    for one in view.positions:
        held[one.symbol] = plus(held[one.symbol], one.qty) if one.symbol in held else one.qty
    return {symbol: text_of(qty) for symbol, qty in sorted(held.items())}


def quarantined(view: SessionView, local: Callable[[int], str]) -> dict[str, Any]:
    """Return how many notices of the broker were not booked, and the first of them (None: there was none)."""
    kept = view.quarantine
    if kept is None:
        return {"count": 0, "first": None}
    first = {"at": local(kept.first_ns), "code": kept.code, "reason": kept.reason, "notice": kept.notice}
    return {"count": kept.count, "first": first}
