"""What a session shows of itself while it runs and at its end, as one frozen value.

Result, report, metrics, screens and commands read it, the latter from the file ``view.json`` of its directory;
nothing that decides does. Amounts are Decimals (text in the file) in the account's currency, times are nanoseconds
since 1970 UTC of the session's own clock unless they say otherwise.
"""

from __future__ import annotations

import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qts.errors import StorageError
from qts.notes import Note
from qts.runtime.metrics.extremes import Drawdown, Point
from qts.safety.scoped_stops import ScopedStop

VIEW_NAME: Final = "view.json"
_MAX_BYTES: Final = 16 << 20


class CauseView(msgspec.Struct, frozen=True):
    """A cause that stands against safety: its code, how often it was told, when last, and what was said."""

    code: str
    count: int
    last_ns: int
    detail: str


class ChangeView(msgspec.Struct, frozen=True):
    """One change of a state; ``code`` is "" for the operating state."""

    ts_ns: int
    before: str
    after: str
    code: str
    reason: str
    actor: str


class StateView(msgspec.Struct, frozen=True):
    """A state, since when it holds and what led to it ("" and the start when nothing has)."""

    state: str
    since_ns: int
    why: str


class PoolView(msgspec.Struct, frozen=True):
    """One pool's amounts; ``available`` is what a new order may spend."""

    pool: str
    total: Decimal
    available: Decimal
    invested: Decimal
    reserved: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal


class PositionView(msgspec.Struct, frozen=True):
    """What a strategy holds of a symbol. ``mark`` None: no price was ever seen, so value and result are unknown."""

    strategy: str
    pool: str
    symbol: str
    qty: Decimal
    average_cost: Decimal | None
    mark: Decimal | None
    value: Decimal | None
    unrealized_pnl: Decimal | None


class OrderView(msgspec.Struct, frozen=True):
    """An order that can still change. ``limit`` None: at the market. ``forced``: an exit that the rules ordered."""

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
    """One priority: events unfinished now, room, what became of all so far, accept to start in µs of real time.

    ``last_dead_letter``: the newest error that remained for good; "" when there was none.
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


class OverstayView(msgspec.Struct, frozen=True):
    """How often a handler took longer than its place allows, and the longest of them in microseconds."""

    count: int
    longest_us: float


class ErrorView(msgspec.Struct, frozen=True):
    """How often one callback of a strategy has failed, and what the first failure said."""

    callback: str
    count: int
    first: str


class StrategyView(msgspec.Struct, frozen=True):
    """One strategy. ``halted``: it is not asked any more, and ``why`` says what it was halted for."""

    name: str
    pool: str
    halted: bool
    why: str
    errors: tuple[ErrorView, ...]


class QuarantineView(msgspec.Struct, frozen=True):
    """Notices of the broker that were not booked: how many, and of the first when it came, its code and why.

    ``notice``: the beginning of the first as it came, in ASCII.
    """

    count: int
    first_ns: int
    code: str
    reason: str
    notice: str


class CountsView(msgspec.Struct, frozen=True):
    """Numbers of the whole session."""

    rows: int
    orders: int
    fills: int
    ledger_rows: int
    forced_exits: int
    duplicate_fills: int
    refusals: dict[str, int]


class ExtremesView(msgspec.Struct, frozen=True):
    """The account's extremes; ``deepest`` is the deepest fall from a peak, ``worst_day`` from a day's opening."""

    highest: Point
    lowest: Point
    deepest: Drawdown
    worst_day: Drawdown
    highest_exposure: Point


class VolatilityView(msgspec.Struct, frozen=True):
    """Where the volatility comes from and what it said last; ``measured_since``: a day, None for never."""

    source: str
    value: float | None
    measured: bool
    measured_since: str | None


class StateBasisView(msgspec.Struct, frozen=True):
    """What the operating state was judged on.

    ``known_since``: the first day of each metric, None for never. ``waits``: why DEFENSIVE waits for prices, ""
    when it does not.
    """

    judged_by: str
    volatility: VolatilityView
    known_since: dict[str, str | None]
    trading_days: int
    days_without_entry: int
    enabled: bool
    waits: str


class RefusedRowView(msgspec.Struct, frozen=True):
    """One row of the input that could not be used; ``remedy`` is a sentence, ``remedy_code`` its short name."""

    file: str
    line: int
    column: str
    value: str
    allowed: str
    remedy: str
    remedy_code: str


class DoubtView(msgspec.Struct, frozen=True):
    """A symbol whose prices cannot be: the first of them, and whether it is still in doubt. Amounts as texts."""

    first: str
    price: str
    band: tuple[str, str]
    base: str
    ratio: str | None
    refused: int
    in_doubt: bool


class InvariantView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one invariant has shown: ``ok`` None when it was never checked, ``last`` an ISO time."""

    ok: bool | None
    checks: int
    last: str | None
    detail: str | msgspec.UnsetType = msgspec.UNSET
    """What broke it; absent when nothing has."""


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """One session at one moment.

    ``mode``: paper or replay. ``ended``: "" while it goes on, ``finished`` at the end of its input, ``stopped``
    when it can be resumed. ``written_ns`` and ``started_at`` are the machine's time, ``clock_ns`` is the
    session's own.
    """

    version: int = 1
    run_id: str
    command: str
    mode: str
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
    """Why symbols take no entry: the broker has rejected order after order today, or their prices cannot be."""
    operating: StateView
    operating_changes: tuple[ChangeView, ...]
    pools: tuple[PoolView, ...]
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    counts: CountsView
    queues: tuple[QueueView, ...]
    strategies: tuple[StrategyView, ...]
    stops: tuple[ScopedStop, ...] = ()
    quarantine: QuarantineView | None = None
    """None: every fill was booked."""
    extremes: ExtremesView
    fees: Decimal
    taxes: Decimal
    state_basis: StateBasisView
    overstays: dict[str, OverstayView]
    """Handlers that have stayed on the loop for longer than allowed, by name."""
    rows_refused: dict[str, int]
    rows_refused_examples: dict[str, tuple[RefusedRowView, ...]]
    doubtful_prices: dict[str, DoubtView]
    risk_limits: dict[str, str]
    """Before the multiplier of the operating state."""
    max_price_age_s: float
    invariants: dict[str, InvariantView]
    notes: tuple[str, ...]
    """The English texts of what a reader must know to judge the rest."""
    note_values: tuple[Note, ...] = ()
    """The same notes as codes and parameters, in the same order."""


def read_view(directory: Path) -> SessionView | None:
    """Return the view in a run's directory; None when there is none, or one that another version has written.

    Waits for nobody. Raises StorageError when the file cannot be read.
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
