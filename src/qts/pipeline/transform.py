"""Transform: from facts to a proposal: limits of the state, the pool's budget, a quantity and a price."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from typing import Final, Protocol

from qts.capital.contracts import Pool
from qts.clock import NS_PER_S
from qts.execution.working import WorkingOrders
from qts.ids import IdSource
from qts.ledger.kept_values import KeptValues
from qts.money import ZERO, minus, negated, plus, times, truncate_to
from qts.pipeline.config import PipelineConfig
from qts.pipeline.contracts import Facts, Proposal
from qts.pipeline.left_there import left_there
from qts.pipeline.prices import collared_buy, opening_price, price_to_expect
from qts.risk.contracts import AccountView, OrderRequest, OrderType, RiskLimits
from qts.risk.gate import RiskGate
from qts.risk.rejects import Rejects
from qts.risk.sizing import cost_of, qty_for
from qts.safety.scoped_stops import ScopedStops
from qts.strategy.contracts import Intent, Side

_GAP: Final = Decimal("0.30")
"""Share of the last price by which a bar may open higher before less is bought; on the KRX it cannot be more."""


class DayCounters(Protocol):
    """Counts of the trading day that limits are measured against; they survive a restart.

    Asked by the decision path, on the session's thread; never raises.
    """

    @property
    def entries(self) -> int:
        """Return how many entries were sent today."""
        ...

    @property
    def open_equity(self) -> Decimal:
        """Return the equity at the day's opening, in the account's currency."""
        ...

    def orders_within(self, window_ns: int, now_ns: int) -> int:
        """Return how many orders were sent in the ``window_ns`` before ``now_ns``."""
        ...


class Transform:
    """Gathers the account's view and sizes the order; a quantity of 0 is left for risk to refuse."""

    def __init__(
        self,
        *,
        worth: KeptValues,
        orders: WorkingOrders,
        gate: RiskGate,
        day: DayCounters,
        locked_pools: Mapping[Pool, str],
        leaving: Container[tuple[str, str]],
        stops: ScopedStops,
        rejects: Rejects,
        in_doubt: Callable[[str], str],
        warming: Callable[[str, str], str],
        store_behind: Callable[[], str] = lambda: "",
        not_compared: Callable[[], str] = lambda: "",
        flattened: Callable[[str, str], str] = lambda strategy, symbol: "",
        order_ids: IdSource,
        config: PipelineConfig,
        caps_cost: bool,
    ) -> None:
        self._worth = worth
        self._account = worth.account
        self._orders = orders
        self._last = worth.last
        self._gate = gate
        self._day = day
        self._locked = locked_pools
        self._leaving = leaving
        self._stops = stops
        self._rejects = rejects
        self._in_doubt = in_doubt
        self._warming = warming
        self._store_behind = store_behind
        self._not_compared = not_compared
        self._flattened = flattened
        self._ids = order_ids
        self._config = config
        self._caps_cost = caps_cost

    def __call__(self, facts: Facts) -> Proposal:
        """Return the order as it would be, the account it would meet, and the limits in force."""
        view = self._view(facts)
        limits = self._gate.limits(facts.state)
        request = self._request(facts, view, limits)
        return Proposal(facts=facts, request=request, view=view, limits=limits)

    def _view(self, facts: Facts) -> AccountView:
        signal, side, account, orders = facts.signal, facts.intent.side, self._account, self._orders
        symbol = signal.symbol
        working_sides = {order.side for order in orders.of(signal.strategy, symbol)}
        if orders.executing and not (signal.parent_id or signal.forced):
            executing = orders.executing.get((signal.strategy, symbol))
            if executing is not None:  # between two of its parts it is at work as well
                working_sides.add(executing.side)
        valued = self._worth.valued(symbol)
        stop = self._stops.covering(signal.strategy, symbol, signal.pool.value)
        in_doubt = self._in_doubt(symbol)
        return AccountView(
            now_ns=facts.now_ns,
            phase=facts.phase,
            safety=facts.safety,
            state=facts.state,
            instrument=facts.instrument,
            price=facts.price,
            base_price=facts.base_price,
            price_ts_ns=self._last.last_value_ns(symbol) if in_doubt else facts.price_ts_ns,
            max_age_ns=facts.max_age_ns,
            equity=valued.equity,
            day_open_equity=self._day.open_equity,
            cash=account.cash,
            pool_available=account.available(signal.pool),
            pool_locked=signal.pool in self._locked,
            exposure=plus(valued.exposure, orders.entry_value()),
            symbol_exposure=plus(valued.symbol_exposure, orders.entry_value(symbol)),
            holding=account.holding(signal.strategy, symbol),
            holding_working_sells=orders.working_sells(signal.strategy, symbol),
            open_positions=len(valued.positions) + len(orders.entry_symbols() - valued.positions),
            has_position=symbol in valued.positions,
            working_same_side=side in working_sides,
            working_other_side=bool(working_sides - {side}),
            unknown_order=orders.unknown(symbol, side),
            entries_today=self._day.entries,
            orders_last_second=self._day.orders_within(1_000_000_000, facts.now_ns),
            open_orders=len(orders),
            forced_out=(signal.strategy, symbol) in self._leaving,
            stopped="" if stop is None else str(stop),
            reject_stop=self._rejects.stop_of(symbol),
            reject_wait=self._rejects.wait_of(
                symbol,
                facts.now_ns,
                None if side is Side.BUY else self._config.forced_exit_retry_s * NS_PER_S,
            ),
            warming=self._warming(signal.strategy, symbol) if side is Side.BUY else "",
            in_doubt=in_doubt,
            store_behind=self._store_behind(),
            not_compared=self._not_compared(),
            flattened=self._flattened(signal.strategy, symbol) if side is Side.SELL else "",
            left_there=left_there(account, orders, symbol) if side is Side.SELL else None,
            holding_working_buys=orders.working_buys(signal.strategy, symbol) if _buys_back(facts) else None,
            tag_in_use=bool(facts.intent.tag) and orders.has_tag(signal.strategy, facts.intent.tag),
        )

    def _request(self, facts: Facts, view: AccountView, limits: RiskLimits) -> OrderRequest:
        signal, intent = facts.signal, facts.intent
        price = price_to_expect(facts, intent)
        is_exit = intent.side is Side.SELL or signal.forced
        at_open = not is_exit and intent.limit is None and self._fills_on_bars(signal.symbol)
        limit = None if at_open else self._limit(facts, price)
        qty = self._qty(facts, view, limits, opening_price(price, self._config) if at_open else limit)
        return OrderRequest(
            client_order_id=self._ids.next_id(),
            decision_id=signal.decision_id,
            strategy=signal.strategy,
            pool=signal.pool,
            symbol=signal.symbol,
            side=intent.side,
            qty=qty,
            limit=limit,
            decision_price=facts.price if facts.price is not None else ZERO,
            ts_ns=facts.now_ns,
            reduce_only=is_exit,
            forced=signal.forced,
            reason=intent.reason,
            type=_type_of(intent, limit),
            time_in_force=intent.tif,
            stop_price=None if intent.trigger is None else Decimal(intent.trigger),
            tag=intent.tag,
            max_cost=self._max_cost(facts, view, qty, price) if at_open else None,
            armed_ns=signal.armed_ns,
            parent_id=signal.parent_id,
        )

    def _fills_on_bars(self, symbol: str) -> bool:
        """Return whether a market buy of ``symbol`` fills at a bar's open, whatever the price, for capped money."""
        return self._caps_cost and self._last.shows_bars_alone(symbol)

    def _max_cost(self, facts: Facts, view: AccountView, qty: Decimal, price: Decimal | None) -> Decimal | None:
        """Return the money to set aside for a market buy on bars: its cost at ``price``, and a reserve.

        None when there is nothing to buy, or nothing known to buy it at.
        """
        instrument = facts.instrument
        if price is None or instrument is None or not qty > 0:
            return None
        cost = cost_of(qty, price, instrument, facts.local_day)
        free = min(view.cash, view.pool_available)
        reserve = max(min(times(cost, _GAP), times(free, self._config.bar_buy_reserve)), ZERO)
        return min(plus(cost, truncate_to(reserve, instrument.quantum)), max(cost, free))

    def _qty(self, facts: Facts, view: AccountView, limits: RiskLimits, sized_at: Decimal | None) -> Decimal:
        """Return the quantity, a buy's without one sized at ``sized_at``; None: at the last price."""
        intent = facts.intent
        if intent.qty is not None:
            return Decimal(intent.qty)
        if intent.side is Side.SELL:
            free = max(minus(view.holding, view.holding_working_sells), ZERO)
            return free if view.left_there is None else min(free, view.left_there)
        if view.holding_working_buys is not None:
            return max(minus(negated(view.holding), view.holding_working_buys), ZERO)
        price = sized_at if sized_at is not None else facts.price
        if price is None or price <= 0 or facts.instrument is None:
            return ZERO
        return qty_for(view.pool_available, price, facts.instrument, limits, view)

    def _limit(self, facts: Facts, price: Decimal | None) -> Decimal | None:
        """Return the limit of the order; an entry has one, so that its cost can be reserved exactly.

        An entry without one is a market buy on bars, whose cost is capped instead.
        """
        intent = facts.intent
        if intent.limit is not None:
            return Decimal(intent.limit)
        if intent.side is Side.SELL or facts.signal.forced:
            return None
        return collared_buy(facts, price, self._config)


def _buys_back(facts: Facts) -> bool:
    """Return whether what is decided is the exit of a holding that is short."""
    return facts.signal.forced and facts.intent.side is Side.BUY


def _type_of(intent: Intent, limit: Decimal | None) -> OrderType:
    if intent.trigger is not None:
        return OrderType.STOP if limit is None else OrderType.STOP_LIMIT
    return OrderType.MARKET if limit is None else OrderType.LIMIT
