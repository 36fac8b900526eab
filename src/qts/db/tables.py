"""The mapping of each record to a row of its table and back. One entry per record type; the SQL is made from it.

Decimals are stored as text and read back as the same digits, times as integer nanoseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import Enum
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.db.contracts import (
    ActionRow,
    BookingRow,
    DayCloseRow,
    DecisionRow,
    EquityRow,
    HoldingCloseRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    QuarantineRow,
    RefusalRow,
    SafetyRow,
    StateRow,
)
from qts.execution.contracts import Order, OrderState, VenueRef
from qts.execution.executions import Execution, Plan, Stage, StageRow
from qts.execution.lifecycle import can_become
from qts.execution.states import ExecutionState
from qts.ledger.contracts import ActionKind, BookingKind
from qts.market.contracts import Bar
from qts.risk.contracts import OrderRequest, OrderType
from qts.strategy.contracts import Intent, Side
from qts.strategy.order_terms import TimeInForce

Values: TypeAlias = tuple[Any, ...]
_encode: Final = msgspec.json.Encoder().encode
_decode_refs: Final = msgspec.json.Decoder(tuple[VenueRef, ...]).decode
_decode_plan: Final = msgspec.json.Decoder(Plan | None).decode
_decode_intent: Final = msgspec.json.Decoder(Intent).decode
_decode_ids: Final = msgspec.json.Decoder(tuple[str, ...]).decode

_E = TypeVar("_E", bound=Enum)


class _ByValue(dict[Any, _E]):
    """The members of an enumeration by their values, which takes a third of the time of asking it."""

    def __init__(self, kind: type[_E]) -> None:
        super().__init__((member.value, member) for member in kind)
        self._kind = kind

    def __missing__(self, value: Any) -> _E:
        return self._kind(value)  # raises what the enumeration raises


def _by_value(kind: type[_E]) -> Callable[[Any], _E]:
    return _ByValue(kind).__getitem__


_side_of: Final = _by_value(Side)
_paying_pool_of: Final = _by_value(Pool)
_type_of: Final = _by_value(OrderType)
_time_in_force_of: Final = _by_value(TimeInForce)
_state_of: Final = _by_value(OrderState)

IMAGE: Final = ("generation", "before")
"""Columns of a row that changes: when it was changed, and how it stood at the checkpoint before."""
BATCHES: Final = "batches"
"""The table that numbers the transactions; no record fills it."""


_EXTERNAL: Final = "EXTERNAL"
"""The owner of a booking that is of none of our pools."""


_OF_RUN: Final = ("run_id",)
_OF_ACCOUNT: Final = ("account", "run_id")
"""What an account has in the book of a run."""


class Table(NamedTuple):
    """A table, the columns a record fills, and the two directions.

    ``key`` empty: append-only, rows numbered in ``id``. Otherwise: rows are replaced by these columns, which come
    first; ``fixed`` names the columns that stay as they are from the first row of a key to its last.

    ``owner`` names the columns before all others: the run, and the account where no column of the record is it.
    The store fills them, and every key begins with one of them.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    encode: Callable[[Any], Values]
    decode: Callable[[Any], Any]
    fixed: tuple[str, ...] = ()
    owner: tuple[str, ...] = _OF_RUN

    def insert(self, *more: str) -> str:
        """Return SQL that appends one row: the owner first, ``id``, then the columns, then ``more`` of them."""
        columns = (*self.owner, "id", *self.columns, *more)
        return f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608

    def replace(self, *, with_image: bool) -> str:
        """Return SQL that writes one row over its key: owner, columns, then ``generation`` and ``before``.

        ``with_image`` False leaves the two of an existing row as they are.
        """
        columns = (*self.owner, *self.columns, *IMAGE)
        changed = [c for c in self.columns if c not in self.key] + (list(IMAGE) if with_image else [])
        return (
            f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
            f"ON CONFLICT ({', '.join((*self.owner, *self.key))}) "
            f"DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in changed)}"
        )

    def update(self, *, with_image: bool) -> tuple[str, Callable[[Values], Values]]:
        """Return SQL that does what :meth:`replace` does, for an existing row whose fixed columns are the same.

        With it comes what makes its parameters of those of ``replace`` (without the two of the image when
        ``with_image`` is False). It changes no row otherwise. Naming only what changes spares the checks of what a
        row may refer to.
        """
        columns = (*self.owner, *self.columns, *(IMAGE if with_image else ()))
        changed = [column for column in columns if column not in (*self.owner, *self.key, *self.fixed)]
        same = "".join(f" AND {column} IS ?" for column in self.fixed)
        sets = ", ".join(f"{column} = ?" for column in changed)
        order = itemgetter(*(columns.index(column) for column in (*changed, *self.owner, *self.key, *self.fixed)))
        return f"UPDATE {self.name} SET {sets} WHERE {self._is_key}{same}", order  # noqa: S608

    @property
    def select(self) -> str:
        """Return SQL that reads every row of a run in a fixed order."""
        return self.select_as(self.columns, "run_id = ?")

    @property
    def select_since(self) -> str:
        """Return SQL that reads the rows of a run behind a number, or last changed at a moment or later."""
        return self.select_as(self.columns, f"run_id = ? AND {'updated_at >= ?' if self.key else 'id > ?'}")

    def select_as(self, columns: Iterable[str], where: str) -> str:
        """Return SQL that reads ``columns`` of the rows for which ``where`` holds, in a fixed order."""
        order = ", ".join(self.key) if self.key else "id"
        return f"SELECT {', '.join(columns)} FROM {self.name} WHERE {where} ORDER BY {order}"  # noqa: S608

    @property
    def select_one(self) -> str:
        """Return SQL that reads one row by its owner and key."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE {self._is_key}"  # noqa: S608

    @property
    def select_changed(self) -> str:
        """Return SQL for (before, key columns …) of the rows of a run changed in a generation."""
        return f"SELECT before, {', '.join(self.key)} FROM {self.name} WHERE run_id = ? AND generation = ?"  # noqa: S608

    @property
    def delete_one(self) -> str:
        """Return SQL that deletes one row by its owner and key."""
        return f"DELETE FROM {self.name} WHERE {self._is_key}"  # noqa: S608

    @property
    def _is_key(self) -> str:
        return " AND ".join(f"{column} = ?" for column in (*self.owner, *self.key))


def inbox_text(ids: Sequence[str]) -> str:
    """Return the ids of the P0 events of a batch as they are stored: a JSON array, "" for none."""
    return json.dumps(ids) if ids else ""


def inbox_ids(text: str) -> tuple[str, ...]:
    """Return the ids of :func:`inbox_text`. Raises msgspec.DecodeError for another text."""
    return tuple(msgspec.json.decode(text, type=list[str])) if text else ()


def owner_of(pool: Pool | None) -> str:
    """Return the owner of a booking or holding as it is stored; ``pool`` None: EXTERNAL."""
    return _EXTERNAL if pool is None else pool.value


def _pool_of(owner: str) -> Pool | None:
    return None if owner == _EXTERNAL else Pool(owner)


def transfer_legs(transfer: Transfer) -> tuple[Values, Values]:
    """Return the two rows of a transfer: out of the source, into the target, the same digits."""
    t, amount = transfer, f"{transfer.amount:f}"
    return (
        (t.transfer_id, 1, 2, t.ts_ns, t.source.value, f"-{amount}", t.rule, t.reason),
        (t.transfer_id, 2, 1, t.ts_ns, t.target.value, amount, t.rule, t.reason),
    )


def transfers_from(rows: Iterable[Sequence[Any]]) -> list[Transfer]:
    """Return the transfers of their legs, which stand one behind the other."""
    legs = list(rows)
    return [
        Transfer(out[0], out[3], Pool(out[4]), Pool(into[4]), Decimal(into[5]), out[6], out[7])
        for out, into in zip(legs[::2], legs[1::2], strict=True)
    ]


def _ledger(r: LedgerRow) -> Values:
    return (
        r.ts_ns,
        r.symbol,
        r.side.value,
        str(r.qty),
        str(r.price),
        str(r.amount),
        str(r.fee),
        str(r.tax),
        str(r.realized_pnl),
        r.strategy,
        r.pool.value,
        r.order_id,
        r.execution_id,
        r.broker,
        r.account,
        r.trade_date,
    )


def _ledger_row(v: Sequence[Any]) -> LedgerRow:
    qty, price, amount, fee, tax, realized = map(Decimal, v[3:9])
    money = qty, price, amount, fee, tax, realized
    side, pool = _side_of(v[2]), _paying_pool_of(v[10])
    return LedgerRow(v[13], v[12], v[0], v[1], side, *money, v[9], pool, v[11], v[14], v[15])


def _action(r: ActionRow) -> Values:
    return (
        r.ts_ns,
        r.kind.value,
        r.symbol,
        r.strategy,
        r.pool.value,
        str(r.held),
        str(r.change),
        str(r.new),
        str(r.old),
        str(r.price),
        str(r.amount),
        str(r.tax),
        str(r.realized_pnl),
        r.account,
        r.ex_date,
    )


def _action_row(v: Sequence[Any]) -> ActionRow:
    held, change, new, old, price, amount, tax, realized = map(Decimal, v[5:13])
    numbers = held, change, new, old, price, amount, tax, realized
    return ActionRow(ActionKind(v[1]), v[0], v[2], v[3], Pool(v[4]), *numbers, v[13], v[14])


def _booking(r: BookingRow) -> Values:
    return (
        r.ts_ns,
        r.kind.value,
        owner_of(r.pool),
        r.strategy,
        r.symbol,
        str(r.qty),
        str(r.price),
        str(r.amount),
        str(r.fee),
        str(r.tax),
        str(r.cost),
        str(r.realized_pnl),
        r.broker,
        r.order_id,
        r.reference,
        r.day,
        r.actor,
        r.reason,
        r.account,
    )


def _booking_row(v: Sequence[Any]) -> BookingRow:
    pool = _pool_of(v[2])
    qty, price, amount, fee, tax, cost, realized = map(Decimal, v[5:12])
    numbers = qty, price, amount, fee, tax, cost, realized
    return BookingRow(
        BookingKind(v[1]), v[0], pool, v[3], v[4], *numbers, v[12], v[13], v[14], v[15], v[16], v[17], v[18]
    )


def _day_close(r: DayCloseRow) -> Values:
    return tuple(str(value) if value.__class__ is Decimal else value for value in msgspec.structs.astuple(r))


def _day_close_row(v: Sequence[Any]) -> DayCloseRow:
    return DayCloseRow(*(make(value) for make, value in zip(_OF_DAY_CLOSE, v, strict=True)))


_OF_DAY_CLOSE: Final[tuple[Callable[[Any], Any], ...]] = tuple(
    Decimal if field.type is Decimal else lambda value: value for field in msgspec.structs.fields(DayCloseRow)
)


def _holding_close(r: HoldingCloseRow) -> Values:
    amounts = (str(r.qty), str(r.cost), str(r.basis), str(r.realized))
    return (
        r.account,
        r.day,
        owner_of(r.pool),
        r.strategy,
        r.symbol,
        *amounts,
        r.ts_ns,
        r.broker,
        r.execution_id,
        r.order_id,
    )


def _holding_close_row(v: Sequence[Any]) -> HoldingCloseRow:
    pool = _pool_of(v[2])
    qty, cost, basis, realized = map(Decimal, v[5:9])
    return HoldingCloseRow(v[0], v[1], pool, v[3], v[4], qty, cost, basis, realized, v[9], v[10], v[11], v[12])


def _position(r: PositionRow) -> Values:
    return (r.strategy, r.symbol, r.pool.value, str(r.qty), str(r.cost), r.ts_ns)


def _position_row(v: Sequence[Any]) -> PositionRow:
    return PositionRow(v[0], Pool(v[2]), v[1], Decimal(v[3]), Decimal(v[4]), v[5])


def _pool(r: PoolRow) -> Values:
    return (r.pool.value, str(r.cash), str(r.realized_pnl), r.ts_ns)


def _pool_row(v: Sequence[Any]) -> PoolRow:
    return PoolRow(Pool(v[0]), Decimal(v[1]), Decimal(v[2]), v[3])


def _state(r: StateRow) -> Values:
    return (r.seq, r.ts_ns, r.from_state, r.to_state, r.reason, r.meta)


def _safety(r: SafetyRow) -> Values:
    return (r.seq, r.ts_ns, r.from_state, r.to_state, r.code, r.actor, r.reason)


def _equity(r: EquityRow) -> Values:
    amounts = (str(r.equity), str(r.cash), str(r.scalp), str(r.swing), str(r.portfolio))
    return (r.ts_ns, *amounts, r.state, r.safety)


def _equity_row(v: Sequence[Any]) -> EquityRow:
    equity, cash, scalp, swing, portfolio = map(Decimal, v[1:6])
    return EquityRow(v[0], equity, cash, scalp, swing, portfolio, v[6], v[7])


def _refusal(r: RefusalRow) -> Values:
    return (r.decision_id, r.ts_ns, r.strategy, r.symbol, r.side.value, r.reason, r.detail)


def _refusal_row(v: Sequence[Any]) -> RefusalRow:
    return RefusalRow(v[0], v[1], v[2], v[3], Side(v[4]), v[5], v[6])


def _decision(r: DecisionRow) -> Values:
    return (r.approval_id, r.decision_id, r.client_order_id, r.ts_ns, r.expires_ns, r.config_hash, r.inputs)


def _order(r: Order) -> Values:
    return (
        r.client_order_id,
        r.decision_id,
        r.approval_id,
        r.strategy,
        r.pool.value,
        r.symbol,
        r.side.value,
        str(r.qty),
        None if r.limit is None else str(r.limit),
        str(r.decision_price),
        r.state.value,
        str(r.filled),
        r.ts_intent_ns,
        r.ts_update_ns,
        _pack_refs(r.venue_refs) if r.venue_refs else "[]",
        int(r.reduce_only),
        int(r.forced),
        r.reason,
        r.note,
        r.request.type.value,
        r.request.time_in_force.value,
        r.request.venue,
        r.request.parent_id,
        r.request.expires_ns,
        None if r.request.stop_price is None else str(r.request.stop_price),
        r.request.tag,
    )


def _pack_refs(refs: Sequence[VenueRef]) -> str:
    return _encode(refs).decode()


def number_in_refs(number: str) -> str:
    """Return what the column ``venue_refs`` of an order contains that has or had ``number``."""
    return _encode(number).decode()


def _order_of(v: Sequence[Any]) -> Order:
    request = OrderRequest(
        client_order_id=v[0],
        decision_id=v[1],
        strategy=v[3],
        pool=_paying_pool_of(v[4]),
        symbol=v[5],
        side=_side_of(v[6]),
        qty=Decimal(v[7]),
        limit=None if v[8] is None else Decimal(v[8]),
        decision_price=Decimal(v[9]),
        ts_ns=v[12],
        reduce_only=bool(v[15]),
        forced=bool(v[16]),
        reason=v[17],
        type=_type_of(v[19]),
        time_in_force=_time_in_force_of(v[20]),
        venue=v[21],
        parent_id=v[22],
        expires_ns=v[23],
        stop_price=None if v[24] is None else Decimal(v[24]),
        tag=v[25],
    )
    return Order(
        request,
        approval_id=v[2],
        state=_state_of(v[10]),
        filled=Decimal(v[11]),
        ts_update_ns=v[13],
        venue_refs=() if v[14] == "[]" else _decode_refs(v[14]),
        note=v[18],
    )


def _execution(r: Execution) -> Values:
    return (
        r.execution_id,
        r.strategy,
        r.pool.value,
        r.symbol,
        r.side.value,
        str(r.qty),
        r.kind.value,
        _encode(r.intent).decode(),
        str(r.decision_price),
        r.state.value,
        str(r.filled),
        str(r.amount),
        r.created_ns,
        r.changed_ns,
        _encode(r.plan).decode(),
        _encode(r.children).decode(),
        r.rounds,
        r.code,
        r.reason,
    )


def _execution_of(v: Sequence[Any]) -> Execution:
    return Execution(
        execution_id=v[0],
        strategy=v[1],
        pool=Pool(v[2]),
        symbol=v[3],
        side=Side(v[4]),
        qty=Decimal(v[5]),
        intent=_decode_intent(v[7]),
        decision_price=Decimal(v[8]),
        state=ExecutionState(v[9]),
        filled=Decimal(v[10]),
        amount=Decimal(v[11]),
        created_ns=v[12],
        changed_ns=v[13],
        plan=_decode_plan(v[14]),
        children=_decode_ids(v[15]),
        rounds=v[16],
        code=v[17],
        reason=v[18],
    )


def _stage(r: StageRow) -> Values:
    states = r.from_state.value, r.to_state.value
    return (r.ts_ns, r.execution_id, r.stage.value, *states, r.order_id, r.code, r.inputs, r.answer, r.own_ns)


def _stage_row(v: Sequence[Any]) -> StageRow:
    return StageRow(v[0], v[1], Stage(v[2]), ExecutionState(v[3]), ExecutionState(v[4]), *v[5:10])


def _bar(r: Bar) -> Values:
    prices = (str(r.open), str(r.high), str(r.low), str(r.close), str(r.volume))
    value = None if r.value is None else str(r.value)
    return (r.symbol, r.interval, r.ts_ns, r.start_ns, *prices, value, r.trades, int(r.partial), r.day)


def _bar_of(v: Sequence[Any]) -> Bar:
    opening, high, low, close, volume = map(Decimal, v[4:9])
    value = None if v[9] is None else Decimal(v[9])
    return Bar(v[0], v[2], opening, high, low, close, volume, v[1], v[12], v[3], value, v[10], bool(v[11]))


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LEDGER: Final = Table(
    "t_ledger",
    _columns(
        "timestamp symbol side qty price amount fee tax realized_pnl strategy_tag pool order_id execution_id broker"
        " account trade_date"
    ),
    (),
    _ledger,
    _ledger_row,
)
ACTIONS: Final = Table(
    "corporate_actions",
    _columns(
        "timestamp kind symbol strategy pool held change new_shares old_shares price amount tax realized_pnl"
        " account ex_date"
    ),
    (),
    _action,
    _action_row,
)
BOOKINGS: Final = Table(
    "bookings",
    _columns(
        "timestamp kind owner strategy symbol qty price amount fee tax cost realized_pnl broker order_id reference"
        " day actor reason account"
    ),
    (),
    _booking,
    _booking_row,
)
DAY_CLOSES: Final = Table(
    "day_closes",
    _columns(
        "account day timestamp fills actions transfers bookings orders causes newest_trade_date equity"
        " scalp_cash scalp_realized scalp_at swing_cash swing_realized swing_at"
        " portfolio_cash portfolio_realized portfolio_at"
        " fees taxes dividends dividend_taxes fractions deposits withdrawals adjustments"
        " contributions contributed_value"
        " external_cash external_realized"
    ),
    (),
    _day_close,
    _day_close_row,
)
HOLDING_CLOSES: Final = Table(
    "holding_closes",
    _columns("account day owner strategy symbol qty cost basis realized timestamp broker execution_id order_id"),
    (),
    _holding_close,
    _holding_close_row,
)
POSITIONS: Final = Table(
    "positions",
    _columns("strategy symbol pool qty cost updated_at"),
    ("strategy", "symbol"),
    _position,
    _position_row,
    owner=_OF_ACCOUNT,
)
POOLS: Final = Table(
    "capital_pools",
    _columns("pool cash realized_pnl updated_at"),
    ("pool",),
    _pool,
    _pool_row,
    owner=_OF_ACCOUNT,
)
TRANSFERS: Final = Table(
    "capital_transfers",
    _columns("transfer_id leg other_leg timestamp pool amount rule reason"),
    (),
    transfer_legs,
    transfers_from,
    owner=_OF_ACCOUNT,
)
STATES: Final = Table(
    "state_history",
    _columns("seq timestamp from_state to_state reason meta"),
    (),
    _state,
    lambda v: StateRow(*v),
)
SAFETY: Final = Table(
    "safety_history",
    _columns("seq timestamp from_state to_state code actor reason"),
    (),
    _safety,
    lambda v: SafetyRow(*v),
)
EQUITY: Final = Table(
    "equity_curve",
    _columns("timestamp equity cash scalp swing portfolio state safety"),
    (),
    _equity,
    _equity_row,
)
REFUSALS: Final = Table(
    "refusals",
    _columns("decision_id timestamp strategy symbol side reason detail"),
    (),
    _refusal,
    _refusal_row,
)
DECISIONS: Final = Table(
    "decisions",
    _columns("approval_id decision_id client_order_id timestamp expires_at config_hash inputs"),
    (),
    _decision,
    lambda v: DecisionRow(*v),
)
ORDERS: Final = Table(
    "orders",
    _columns(
        "client_order_id decision_id approval_id strategy pool symbol side qty price decision_price state filled"
        " created_at updated_at venue_refs reduce_only forced reason note"
        " type time_in_force venue parent_id expires_at stop_price tag"
    ),
    ("client_order_id",),
    _order,
    _order_of,
    _columns(
        "decision_id approval_id strategy pool symbol side qty price decision_price created_at"
        " reduce_only forced reason type time_in_force venue parent_id expires_at stop_price tag"
    ),
)
EXECUTIONS: Final = Table(
    "executions",
    _columns(
        "execution_id strategy pool symbol side qty kind intent decision_price state filled amount created_at"
        " updated_at plan children rounds code reason"
    ),
    ("execution_id",),
    _execution,
    _execution_of,
)
STAGES: Final = Table(
    "execution_logs",
    _columns("timestamp execution_id stage from_state to_state order_id code inputs answer own_ns"),
    (),
    _stage,
    _stage_row,
)
QUARANTINE: Final = Table(
    "quarantine",
    _columns("timestamp code reason notice"),
    (),
    lambda r: (r.ts_ns, r.code, r.reason, r.notice),
    lambda v: QuarantineRow(*v),
)
BARS: Final = Table(
    "bars",
    _columns("symbol interval timestamp begun open high low close volume value trades partial day"),
    (),
    _bar,
    _bar_of,
)
_IDENTITY: Final = ("decision_id", "approval_id", "strategy", "pool", "symbol", "side", "created_at")
"""Columns of an order that nothing changes, a split neither."""


def why_not_after(former: Values, values: Values) -> str:
    """Return why ``values`` cannot be how an order stands after ``former``, both in columns; "" when they can.

    A split changes what was ordered and filled together; otherwise what is filled stays filled.
    """
    before, after = (dict(zip(ORDERS.columns, row, strict=True)) for row in (former, values))
    changed = [name for name in _IDENTITY if before[name] != after[name]]
    if changed:
        return f"its {changed[0]} would change from {before[changed[0]]!r} to {after[changed[0]]!r}"
    if not can_become(OrderState(before["state"]), OrderState(after["state"])):
        return f"it is {before['state']} and would become {after['state']}"
    if before["qty"] == after["qty"] and Decimal(after["filled"]) < Decimal(before["filled"]):
        return f"{before['filled']} of it are filled, and it would be {after['filled']}"
    return ""


APPEND_ONLY: Final = (
    LEDGER,
    TRANSFERS,
    DECISIONS,
    REFUSALS,
    STATES,
    SAFETY,
    EQUITY,
    QUARANTINE,
    ACTIONS,
    BARS,
    BOOKINGS,
    DAY_CLOSES,
    HOLDING_CLOSES,
    STAGES,
)
REPLACED: Final = (POSITIONS, POOLS, ORDERS, EXECUTIONS)

BY_RECORD: Final[dict[type, Table]] = {
    LedgerRow: LEDGER,
    ActionRow: ACTIONS,
    BookingRow: BOOKINGS,
    DayCloseRow: DAY_CLOSES,
    HoldingCloseRow: HOLDING_CLOSES,
    PositionRow: POSITIONS,
    PoolRow: POOLS,
    StateRow: STATES,
    SafetyRow: SAFETY,
    EquityRow: EQUITY,
    RefusalRow: REFUSALS,
    QuarantineRow: QUARANTINE,
    DecisionRow: DECISIONS,
    Order: ORDERS,
    Execution: EXECUTIONS,
    StageRow: STAGES,
    Transfer: TRANSFERS,
    Bar: BARS,
}
