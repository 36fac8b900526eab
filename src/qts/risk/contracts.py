"""Passing risk is a type: what a broker accepts is an :class:`Approved`, and only the gate makes one."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Instrument, Phase
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce


class OrderType(str, Enum):
    """The ways to find an order's price.

    STOP and STOP_LIMIT wait until the market trades at their stop price, and go on as MARKET and LIMIT. BEST takes
    the best price of the other side when it arrives, MID stands in the middle of the two sides.
    """

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    BEST = "BEST"
    MID = "MID"


_NEEDS_LIMIT: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_TAKES_LIMIT: Final = _NEEDS_LIMIT | {OrderType.BEST, OrderType.MID}
_NEEDS_STOP: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


class OrderRequest(msgspec.Struct, frozen=True):
    """An order as the pipeline asks for it; ``client_order_id`` is derived from the decision.

    ``limit``: the worst price allowed, None where the type has none. ``reduce_only`` marks exits and liquidations:
    they may never grow or flip a position. ``decision_price`` is the price the decision was made at (for slippage).
    ``venue``: where it is to be executed, "" leaves that to the broker. ``parent_id``: the order of which it is a
    part, "" for none. ``expires_ns``: when it ends by itself before its time in force does, None never. ``tag``: a
    word of the requester for itself, never sent. ``max_cost``: the most money that a buy at the market may take,
    with its fees, in the instrument's currency; the venue buys less where the price asks for more. None: no cap.
    ``armed_ns``: since when the price of an exit, its limit or stop price, has been watched here; it was reached in
    the bar that has just ended, and the order executes in that bar or not at all. None: the order waits for what
    comes. Neither is stored with the order. Raises ContractError when prices do not fit the type.
    """

    client_order_id: str
    decision_id: str
    strategy: str
    pool: Pool
    symbol: str
    side: Side
    qty: Decimal
    limit: Decimal | None
    decision_price: Decimal
    ts_ns: int
    reduce_only: bool = False
    forced: bool = False
    reason: str = ""
    type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.DAY
    venue: str = ""
    parent_id: str = ""
    expires_ns: int | None = None
    stop_price: Decimal | None = None
    tag: str = ""
    max_cost: Decimal | None = None
    armed_ns: int | None = None

    def __post_init__(self) -> None:
        kind = self.type
        if kind in _NEEDS_LIMIT if self.limit is None else kind not in _TAKES_LIMIT:
            raise ContractError(f"order {self.client_order_id} is {kind.value} with the limit {self.limit}")
        if (self.stop_price is None) is (kind in _NEEDS_STOP):
            raise ContractError(
                f"order {self.client_order_id} is {kind.value} with the stop price {self.stop_price}"
            )


class Refusal(str, Enum):
    """The reason why nothing was sent. Counted under these names in every report."""

    BELOW_STATE_THRESHOLD = "BELOW_STATE_THRESHOLD"
    NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE = "NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE"
    ENGINE_INACTIVE = "ENGINE_INACTIVE"
    SAFETY_BLOCKS_ENTRIES = "SAFETY_BLOCKS_ENTRIES"
    STOPPED_BY_OPERATOR = "STOPPED_BY_OPERATOR"
    STOPPED_AFTER_REJECTS = "STOPPED_AFTER_REJECTS"
    STORE_BEHIND = "STORE_BEHIND"
    BROKER_NOT_COMPARED = "BROKER_NOT_COMPARED"
    REJECTED_JUST_NOW = "REJECTED_JUST_NOW"
    WARMING = "WARMING"
    MARKET_CLOSED = "MARKET_CLOSED"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    PRICE_UNUSABLE = "PRICE_UNUSABLE"
    PRICE_IN_DOUBT = "PRICE_IN_DOUBT"
    PRICE_STALE = "PRICE_STALE"
    PRICE_OUTSIDE_BAND = "PRICE_OUTSIDE_BAND"
    OFF_TICK_GRID = "OFF_TICK_GRID"
    QTY_BELOW_LOT = "QTY_BELOW_LOT"
    DUPLICATE_INTENT = "DUPLICATE_INTENT"
    INSUFFICIENT_CAPITAL = "INSUFFICIENT_CAPITAL"
    EXPOSURE_LIMIT = "EXPOSURE_LIMIT"
    SYMBOL_WEIGHT_LIMIT = "SYMBOL_WEIGHT_LIMIT"
    MAX_POSITIONS = "MAX_POSITIONS"
    DAILY_TRADE_LIMIT = "DAILY_TRADE_LIMIT"
    DAILY_LOSS_LIMIT = "DAILY_LOSS_LIMIT"
    ORDER_RATE_LIMIT = "ORDER_RATE_LIMIT"
    NOTHING_TO_SELL = "NOTHING_TO_SELL"
    UNRESOLVED_ORDER = "UNRESOLVED_ORDER"
    CONFLICTING_SIGNALS = "CONFLICTING_SIGNALS"
    CRITICAL_ONLY_MODE = "CRITICAL_ONLY_MODE"
    OPEN_ORDERS_LIMIT = "OPEN_ORDERS_LIMIT"
    LIMIT_TOO_FAR = "LIMIT_TOO_FAR"
    SIGNALS_PAUSED = "SIGNALS_PAUSED"
    LEVEL_ON_WRONG_SIDE = "LEVEL_ON_WRONG_SIDE"
    TAG_IN_USE = "TAG_IN_USE"
    NOT_TAKEN_BY_BROKER = "NOT_TAKEN_BY_BROKER"
    WITHDRAWN = "WITHDRAWN"


class Approved(msgspec.Struct, frozen=True):
    """A risk decision that lets one order leave; single use, bound to the configuration it was made under."""

    approval_id: str
    request: OrderRequest
    config_hash: str
    expires_ns: int


class Refused(msgspec.Struct, frozen=True):
    """A risk decision that lets nothing leave; an ordinary outcome. ``code`` is a guardrail code or ""."""

    request: OrderRequest
    reason: Refusal
    detail: str
    code: str = ""


Verdict: TypeAlias = Approved | Refused


class AccountView(msgspec.Struct, frozen=True):
    """Everything the gate may look at, gathered by Extract and Transform for one request.

    Amounts in the account's currency. ``price_ts_ns`` is when the feed last gave a value (freshness is the
    age of the feed). ``symbol_exposure`` and ``exposure`` are marked values of what is held plus what
    working entries would add. ``holding`` is the asking strategy's own signed quantity; ``open_orders`` counts
    the whole account's orders that can still be filled. ``forced_out``: the rules are selling that whole holding.
    ``stopped``: the operator's stop that cuts off this strategy, symbol or pool, in words; "" when none does.
    ``reject_stop`` and ``reject_wait``: why and until when orders of this symbol wait because the broker has
    rejected others, in words; "" when they need not.
    ``warming``: the bars that the strategy still lacks of this symbol, in words; "" when it lacks none.
    ``tag_in_use``: another open order of the strategy carries the request's tag.
    ``store_behind``: why the server that follows the book counts as away or behind, in words, where orders wait for
    it; "" when it does not, or none has to.
    ``not_compared``: why the broker's books may show what ours lack, in words; "" when they were compared.
    ``flattened``: why an operator's command sells a quantity of that holding, in words; "" when none does.
    ``left_there``: what is at the broker and not yet being sold by any strategy, where others have sold some of
    what strategies hold; None when all of it is there.
    ``holding_working_buys``: what the strategy's open buys still buy of the symbol; None where no buy-back asks.
    ``in_doubt``: why no price of the symbol is believed at present; "" when they are. ``price`` is then
    the last that was, and ``price_ts_ns`` its time.
    """

    now_ns: int
    phase: Phase
    safety: SafetyState
    state: OperatingState
    instrument: Instrument | None
    price: Decimal | None
    base_price: Decimal | None
    price_ts_ns: int
    max_age_ns: int
    equity: Decimal
    day_open_equity: Decimal
    cash: Decimal
    pool_available: Decimal
    pool_locked: bool
    exposure: Decimal
    symbol_exposure: Decimal
    holding: Decimal
    holding_working_sells: Decimal
    open_positions: int
    has_position: bool
    working_same_side: bool
    working_other_side: bool
    unknown_order: bool
    entries_today: int
    orders_last_second: int
    critical_only: bool = False
    open_orders: int = 0
    forced_out: bool = False
    stopped: str = ""
    reject_stop: str = ""
    reject_wait: str = ""
    warming: str = ""
    in_doubt: str = ""
    tag_in_use: bool = False
    store_behind: str = ""
    not_compared: str = ""
    flattened: str = ""
    left_there: Decimal | None = None
    holding_working_buys: Decimal | None = None


class RiskLimits(msgspec.Struct, frozen=True):
    """The limits in force after the operating state's multiplier was applied; printed in every report.

    All but the counts and the multiplier are fractions: of equity (exposure, symbol weight), of the day's opening
    equity (losses), of the pool's free budget (position size).
    """

    exposure_limit: Decimal
    symbol_weight_limit: Decimal
    daily_loss_warning: Decimal
    daily_loss_limit: Decimal
    max_positions: int
    max_daily_trades: int
    multiplier: Decimal
    position_size_limit: Decimal


GateValues: TypeAlias = Mapping[str, str]
