"""Defines the view of a session, while it runs and at its end, as one frozen value.

Result, report, metrics, screens and commands read it, the commands from the file ``view.json`` of its directory; no
component that decides reads it. Amounts are Decimals (text in the file) in the account's currency. Times are
nanoseconds since 1970 UTC of the session's own clock unless stated otherwise.
"""

from __future__ import annotations

import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qts.broker.gateway.limits.view import LimitCountView, LimitsView
from qts.broker.gateway.view import GatewayView
from qts.errors import StorageError
from qts.ledger.contracts import DEFAULT_ACCOUNT
from qts.market.live_view import LiveView
from qts.money import ZERO, negated, sum_of
from qts.notes import Note
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.checks.clock_check import ClockView
from qts.runtime.metrics.extremes import Drawdown, Point
from qts.runtime.orders.exit_view import ExitView
from qts.runtime.orders.unknown_view import UnknownOrderView
from qts.runtime.persistence.server_copy import ServerView
from qts.runtime.recording.recording_view import RecordingView
from qts.safety.scoped_stops import ScopedStop

LIVE: Final = "live"
"""The mode of a session that trades real money."""
PAPER_ACCOUNT: Final = "paper account"
"""The mode of a session that trades with a broker's paper account."""
MONEY: Final = {
    LIVE: "LIVE: real money",
    PAPER_ACCOUNT: "PAPER ACCOUNT at the broker: no real money",
}
"""The words for what a session at a real broker trades with, by its mode."""
SIMULATED: Final = "PAPER: simulated fills, nothing is ordered"
"""The words for a session in real time with simulated fills, the mode paper."""
MODES: Final = {"real-money": LIVE, "paper-account": PAPER_ACCOUNT}
"""The modes of sessions at real brokers, by the code of the note that says so."""
VIEW_NAME: Final = "view.json"
_MAX_BYTES: Final = 16 << 20


class CauseView(msgspec.Struct, frozen=True):
    """A standing cause of the safety state: its code, how often it was raised, when last, and its last detail."""

    code: str
    count: int
    last_ns: int
    detail: str


class ChangeView(msgspec.Struct, frozen=True):
    """A change of a state; ``code`` is "" for the operating state."""

    ts_ns: int
    before: str
    after: str
    code: str
    reason: str
    actor: str


class StateView(msgspec.Struct, frozen=True):
    """A state, since when it holds and why; without a change, the start of the session and ""."""

    state: str
    since_ns: int
    why: str


class PoolView(msgspec.Struct, frozen=True):
    """The amounts of a pool; ``available`` is what a new order may spend."""

    pool: str
    total: Decimal
    available: Decimal
    invested: Decimal
    reserved: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal


class PositionView(msgspec.Struct, frozen=True):
    """A holding of a strategy. ``mark`` None: no price was seen yet, so value and unrealised result are unknown.

    ``qty`` is signed, in shares or contracts. ``stop``, ``take`` and ``trail`` are the prices of the levels bound
    to it; None: it has none. ``levels_watcher``: who watches them, "QTS": this session while it runs, nothing rests
    at the broker; "" without any. ``leaving``: why a rule or a person has it sold, "" where none does.
    """

    strategy: str
    pool: str
    symbol: str
    qty: Decimal
    average_cost: Decimal | None
    mark: Decimal | None
    value: Decimal | None
    unrealized_pnl: Decimal | None
    stop: Decimal | None = None
    take: Decimal | None = None
    trail: Decimal | None = None
    levels_watcher: str = ""
    leaving: str = ""


class OrderView(msgspec.Struct, frozen=True):
    """An order that has not ended. ``limit`` None: a market order. ``forced``: an exit ordered by the rules."""

    order_id: str
    strategy: str
    symbol: str
    side: str
    qty: Decimal
    filled: Decimal
    limit: Decimal | None
    state: str
    since_ns: int
    forced: bool
    reason: str


class QueueView(msgspec.Struct, frozen=True):
    """The events of a priority: unfinished now, capacity, counts by outcome, time from accept to start.

    Times are µs of real time. ``last_dead_letter``: the error of the newest dead letter; "" when there was none.
    """

    priority: str
    depth: int
    capacity: int
    high_water: int
    accepted: int
    handled: int
    dropped: int
    p50_us: float
    p99_us: float
    max_us: float
    p999_us: float
    collapsed: int
    sampled: int
    rejected: int
    dead_lettered: int
    last_dead_letter: str
    samples: int | None = None
    """How many events the times are of; None in a view of an earlier version, which measured all handled."""


class OverrunView(msgspec.Struct, frozen=True):
    """The number of calls in which a handler took longer than its limit, and the longest in µs of real time."""

    count: int
    longest_us: float


class ErrorView(msgspec.Struct, frozen=True):
    """The failures of a callback of a strategy: their number, and the text of the first."""

    callback: str
    count: int
    first: str


class StrategyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A strategy. ``halted``: it is not called any more; ``why`` is the reason, "" while it is not halted.

    ``params``: the values in force of its declared parameters, as text.
    """

    name: str
    pool: str
    halted: bool
    why: str
    errors: tuple[ErrorView, ...]
    params: dict[str, str] = {}


class QuarantineView(msgspec.Struct, frozen=True):
    """Reports of the broker that were not booked: their number, and time, code and reason of the first.

    ``notice``: the beginning of the first one as received, in ASCII.
    """

    count: int
    first_ns: int
    code: str
    reason: str
    notice: str


class CountsView(msgspec.Struct, frozen=True):
    """Counts of the whole session; ``targets_reached`` and ``cancels_of_nothing`` changed nothing."""

    rows: int
    orders: int
    fills: int
    ledger_rows: int
    forced_exits: int
    duplicate_fills: int
    refusals: dict[str, int]
    targets_reached: int = 0
    cancels_of_nothing: int = 0


class CloseView(msgspec.Struct, frozen=True):
    """The newest close of a day: the market's own date (ISO), its moment, and what stood then."""

    day: str
    ts_ns: int
    equity: Decimal
    fills: int


class ExecutionView(msgspec.Struct, frozen=True):
    """An order that is executed in parts and has not ended; quantities in shares or contracts.

    ``parts``: orders sent for it. ``planned``: those of its plan. ``reason``: why its rest was given up or it
    escapes, "" for neither.
    """

    execution_id: str
    strategy: str
    symbol: str
    side: str
    algo: str
    state: str
    qty: Decimal
    filled: Decimal
    average_price: Decimal | None
    parts: int
    planned: int
    reason: str


class ExtremesView(msgspec.Struct, frozen=True):
    """The account's extremes; ``deepest`` is the maximum drawdown, ``worst_day`` the one from a day's opening."""

    highest: Point
    lowest: Point
    deepest: Drawdown
    worst_day: Drawdown
    highest_exposure: Point


class VolatilityView(msgspec.Struct, frozen=True):
    """The source of the volatility and its last value; ``measured_since``: a day (ISO), None for never."""

    source: str
    value: float | None
    measured: bool
    measured_since: str | None


class StateBasisView(msgspec.Struct, frozen=True):
    """The metrics on which the operating state was judged.

    ``known_since``: the first day (ISO) of each metric, None for never. ``waits``: why DEFENSIVE waits for prices,
    "" when it does not.
    """

    judged_by: str
    volatility: VolatilityView
    known_since: dict[str, str | None]
    trading_days: int
    days_without_entry: int
    enabled: bool
    waits: str


class RefusedRowView(msgspec.Struct, frozen=True):
    """A row of the input that could not be used; ``remedy`` is a sentence, ``remedy_code`` its short name."""

    file: str
    line: int
    column: str
    value: str
    allowed: str
    remedy: str
    remedy_code: str


class DoubtView(msgspec.Struct, frozen=True):
    """A symbol that had impossible prices: the first of them, and whether it is in doubt now. Amounts are text."""

    first: str
    price: str
    band: tuple[str, str]
    base: str
    ratio: str | None
    refused: int
    in_doubt: bool


class InvariantView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The checks of an invariant: ``ok`` None when it was never checked, ``last`` an ISO time, None for never."""

    ok: bool | None
    checks: int
    last: str | None
    detail: str | msgspec.UnsetType = msgspec.UNSET
    """Description of the first breach; absent when there was none."""


class BookingsView(msgspec.Struct, frozen=True):
    """The bookings of the session beside fills, splits and dividends; amounts in the account's currency.

    ``deposits`` came into the pools, ``withdrawals`` went out, both 0 or above; ``adjustments`` are other results.
    ``external_cash`` and ``external_positions`` are at the broker and not ours; ``external_costs`` is what those
    positions have cost. ``contributions`` is what shares were worth when strategies took them over from there.
    """

    rows: int
    deposits: Decimal
    withdrawals: Decimal
    adjustments: Decimal
    external_cash: Decimal
    external_positions: dict[str, Decimal]
    contributions: Decimal = ZERO
    external_costs: dict[str, Decimal] = {}


class ActionsView(msgspec.Struct, frozen=True):
    """The splits and dividends of the session: booked rows, and amounts in the account's currency.

    ``dividends`` are before their ``tax``; ``fractions`` is what was paid for parts of a share.
    """

    rows: int
    dividends: Decimal
    tax: Decimal
    fractions: Decimal


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment.

    ``mode``: replay, paper, :data:`PAPER_ACCOUNT` or :data:`LIVE`. ``ended``: "" while it runs, ``finished`` at the
    end of its input, ``stopped`` when it can be resumed. ``written_ns`` and ``started_at`` are the machine's
    time, ``clock_ns`` is the session's own.
    """

    version: int = 1
    run_id: str
    command: str
    mode: str
    profile: str = "rules"
    """Which rules it trades under: rules, or plain."""
    account: str = DEFAULT_ACCOUNT
    pid: int
    started_at: str
    written_ns: int
    ended: str
    clock_ns: int
    time_zone: str
    currency: str
    equity_start: Decimal
    equity: Decimal
    cash: Decimal
    symbol_names: dict[str, dict[str, str]] = {}
    """What people call the symbols traded so far, by language (en, ko); a symbol without a name is absent."""
    safety: StateView
    safety_causes: tuple[CauseView, ...]
    safety_next: str
    safety_changes: tuple[ChangeView, ...]
    no_entries: tuple[str, ...]
    """Why no entry leaves: the broker rejected too many orders of a symbol today, its prices are impossible, or the
    server that has to have every order is away or behind."""
    operating: StateView
    operating_changes: tuple[ChangeView, ...]
    pools: tuple[PoolView, ...]
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    unknown_orders: tuple[UnknownOrderView, ...] = ()
    """Those of the orders whose fate is unknown."""
    exits: tuple[ExitView, ...] = ()
    """Exits that rules and people require and that are not over."""
    executions: tuple[ExecutionView, ...] = ()
    """Orders that are executed in parts and have not ended."""
    executions_ended: dict[str, int] = {}
    """How many have ended, by their final state."""
    slowest_stage_us: int | None = None
    """The longest that a stage of theirs took by itself; None on the virtual clock, or before the first."""
    counts: CountsView
    queues: tuple[QueueView, ...]
    strategies: tuple[StrategyView, ...]
    stops: tuple[ScopedStop, ...] = ()
    quarantine: QuarantineView | None = None
    """None: every report of the broker was booked."""
    extremes: ExtremesView
    last_close: CloseView | None = None
    """What the running day began with; None before the first close."""
    fees: Decimal
    taxes: Decimal
    actions: ActionsView | None = None
    """None: no split and no dividend was booked."""
    bookings: BookingsView | None = None
    """None: nothing else was booked."""
    charges_due: tuple[str, ...] = ()
    """Dates of which the broker has not told fees and taxes: those of their fills are estimates."""
    state_basis: StateBasisView
    overruns: dict[str, OverrunView] = msgspec.field(name="overstays")  # the key is kept for earlier views
    """Handlers that took longer than their limit, by name."""
    rows_refused: dict[str, int]
    rows_refused_examples: dict[str, tuple[RefusedRowView, ...]]
    doubtful_prices: dict[str, DoubtView]
    risk_limits: dict[str, str]
    """Limits before the multiplier of the operating state, by name."""
    max_price_age_s: float
    invariants: dict[str, InvariantView]
    servers: tuple[ServerView, ...] = ()
    """The copies of the book on servers."""
    gateway: GatewayView | None = None
    """The way to a broker that is not simulated; None: there is none, every request leaves at once."""
    broker_clock: ClockView | None = None
    """Our clock beside the broker's; None: the venue is simulated and has ours."""
    limits: LimitsView | None = None
    """The limits of orders; None: they are off."""
    limit_counts: tuple[LimitCountView, ...] = ()
    """What stands of the limits that count, with the bound of each."""
    recording: RecordingView | None = None
    """The market values that are recorded on a server; None: none are."""
    feed: LiveView | None = None
    """The line of a live feed; None: the feed is pulled, or has no line."""
    cache: CacheView | None = None
    """The cache that the session is made known in; None: there is none."""
    notes: tuple[str, ...]
    """The English texts of what a reader must know to judge the rest."""
    note_values: tuple[Note, ...] = ()
    """The same notes as codes and parameters, in the same order."""

    @property
    def paid_in(self) -> Decimal:
        """Return opening, deposits and shares taken over, less withdrawals; what is above it was earned."""
        one = self.bookings
        if one is None:
            return self.equity_start
        return sum_of((self.equity_start, one.deposits, one.contributions, negated(one.withdrawals)))


def read_view(directory: Path) -> SessionView | None:
    """Return the view in a run's directory; None when there is none, or one that another version has written.

    Never waits. Raises StorageError when the file cannot be read.
    """
    path = directory / VIEW_NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise StorageError(f"{path} is no regular file; remove it")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(handle)
    try:
        return msgspec.json.decode(data, type=SessionView)
    except msgspec.DecodeError:
        return None


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be read ({error.strerror}); ask as the user who runs the session")
