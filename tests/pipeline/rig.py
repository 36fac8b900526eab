"""A rig around the decision path: real account, orders, states, gate; a scripted broker.

100,000,000 won in BALANCED: SCALP 33,333,333, SWING 33,333,333, PORTFOLIO the rest by weights of a third. 005930
shows 50,000 bid / 50,100 ask, grid 100, base price 50,000, fee 0.1 % truncated, 2026-01-23 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.clock import ManualClock, from_ns
from qts.db.contracts import Record
from qts.errors import HalfDoneError
from qts.execution.contracts import Fill
from qts.execution.working import WorkingOrders
from qts.ids import CounterIds
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Bar, Instrument, Quote
from qts.market.last_values import LastValues
from qts.pipeline.act import Act
from qts.pipeline.config import PipelineConfig
from qts.pipeline.contracts import Outcome
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.resolve import Resolve
from qts.pipeline.runner import Pipeline
from qts.pipeline.transform import Transform
from qts.risk.config import RiskConfig
from qts.risk.contracts import OrderRequest, Refused
from qts.risk.gate import RiskGate
from qts.risk.rejects import Rejects
from qts.runtime.session.trading_day import TradingDay
from qts.safety.scoped_stops import ScopedStops
from qts.safety.state import SafetyStateManager
from qts.state.contracts import STATE_PROPERTIES, OperatingState
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Intent, Side, Signal
from tests.broker.gateway_rig import at_once
from tests.broker.scripted import ScriptedBroker
from tests.risk.requests import NOW, D, instrument

SYMBOL = "005930"
SECOND = 1_000_000_000


class KeptLog:
    """What was written at once, and what waits for the next transaction."""

    def __init__(self) -> None:
        self.durable: list[Record] = []
        self.later: list[Record] = []
        self.held = 0
        self.given_up: list[str] = []

    async def write_intent(self, records: Sequence[Record]) -> None:
        self.durable.extend(records)

    def write_later(self, record: Record) -> None:
        self.later.append(record)

    def begin_send(self) -> None:
        self.held += 1

    def end_send(self) -> None:
        self.held -= 1

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        self.given_up.append(effect)
        return HalfDoneError(f"{effect}: {error}")


class OneSymbolFeed:
    """What Extract asks of a feed."""

    max_age_ns = 5 * SECOND

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments


class PipelineRig:
    """Everything the pipeline needs; ``state`` is where the operating state starts."""

    def __init__(
        self,
        state: OperatingState = OperatingState.BALANCED,
        *,
        collar: str = "0.01",
        stores_pending: bool = False,
        caps_cost: bool = False,
        **risk: Any,
    ) -> None:
        self.clock = ManualClock(from_ns(NOW))
        self.account = Account(
            opening=D(99_999_999), quantum=D(1), split=dict.fromkeys(Pool, D(1)), remainder=Pool.PORTFOLIO
        )
        self.orders = WorkingOrders()
        self.last = LastValues()
        self.worth = KeptValues(self.account, self.last)
        self.bases: dict[str, Decimal] = {SYMBOL: D(50_000)}
        self.safety = SafetyStateManager(clock=self.clock)
        self.state = OperatingStateManager(clock=self.clock, initial_state=state)
        self.gate = RiskGate(RiskConfig(**risk), STATE_PROPERTIES, "hash-1", CounterIds("a"))
        self.day = TradingDay(D(99_999_999))
        self.leaving: set[tuple[str, str]] = set()
        self.broker = ScriptedBroker()
        self.log = KeptLog()
        self.sent: list[OrderRequest] = []
        self.stops = ScopedStops()
        self.rejects = Rejects()
        self.doubts: dict[str, str] = {}
        self.feed = OneSymbolFeed({SYMBOL: instrument()})
        self.extract = Extract(
            clock=self.clock,
            feed=self.feed,  # type: ignore[arg-type]  # only two of its properties are asked for
            last_values=self.last,
            base_prices=self.bases,
            safety=self.safety,
            state=self.state,
            max_age_ns=lambda: self.feed.max_age_ns,
        )
        self.transform = Transform(
            worth=self.worth,
            orders=self.orders,
            gate=self.gate,
            day=self.day,
            locked_pools={},
            leaving=self.leaving,
            stops=self.stops,
            rejects=self.rejects,
            warming=lambda strategy, symbol: "",
            in_doubt=lambda symbol: self.doubts.get(symbol, ""),
            order_ids=CounterIds("o"),
            config=PipelineConfig(market_buy_collar=D(collar)),
            caps_cost=caps_cost,
        )
        self.evaluate = Evaluate(STATE_PROPERTIES)
        self.decide = Decide(self.gate, lambda request: "")
        self.act = Act(
            account=self.account,
            orders=self.orders,
            sender=at_once(self.broker, self.clock),
            clock=self.clock,
            log=self.log,
            may_enter=lambda: self.safety.is_trading_allowed,
            on_sent=self._on_sent,
            stores_pending=stores_pending,
        )
        self.resolve = Resolve(
            self.extract,
            worth=self.worth,
            orders=self.orders,
            leaving=self.leaving,
            config=PipelineConfig(market_buy_collar=D(collar)),
            caps_cost=caps_cost,
        )
        self.pipeline = Pipeline(self.extract, self.transform, self.evaluate, self.decide, self.act, self.resolve)
        self.decisions = CounterIds("d")
        self.quote()

    def _on_sent(self, request: OrderRequest) -> None:
        self.sent.append(request)
        self.day.count_order(request.ts_ns, is_entry=request.side is Side.BUY)

    def quote(self, bid: int | None = 50_000, ask: int | None = 50_100, last: int | None = None) -> None:
        now_ns = self.clock.time_ns()

        def price(value: int | None) -> Decimal | None:
            return None if value is None else D(value)

        self.last.quotes[SYMBOL] = Quote(SYMBOL, now_ns, bid=price(bid), ask=price(ask), last=price(last))
        self.last.feed_ts_ns = now_ns

    def bar(self, close: int = 50_000) -> None:
        """Let the symbol be known by a bar alone, and the broker cap what an order costs."""
        now_ns, price = self.clock.time_ns(), D(close)
        self.last.quotes.clear()
        self.last.bars[SYMBOL] = Bar(SYMBOL, now_ns, price, price, price, price, D(1_000))
        self.broker.capabilities = replace(self.broker.capabilities, caps_cost=True)

    def signal(
        self,
        side: Side = Side.BUY,
        confidence: float = 1.0,
        *,
        strategy: str = "s",
        pool: Pool = Pool.SCALP,
        forced: bool = False,
        symbol: str = SYMBOL,
        **intent: Any,
    ) -> Signal:
        return Signal(
            decision_id=self.decisions.next_id(),
            strategy=strategy,
            pool=pool,
            intent=Intent(symbol, side, confidence, **intent),
            ts_ns=self.clock.time_ns(),
            forced=forced,
        )

    async def run(self, side: Side = Side.BUY, confidence: float = 1.0, **more: Any) -> Outcome:
        decision = self.pipeline.decided(self.signal(side, confidence, **more))
        return decision if isinstance(decision, Refused) else await self.pipeline.act(decision)

    def hold(self, qty: int, price: int = 50_000, *, strategy: str = "s", pool: Pool = Pool.SCALP) -> None:
        """A holding bought some time ago, without costs."""
        number = self.account.fills_applied + 1
        bought = Fill(
            "scripted", f"x-{number}", f"old-{number}", SYMBOL, Side.BUY, D(qty), D(price), D(0), D(0), NOW, True
        )
        self.account.apply_fill(bought, strategy=strategy, pool=pool)
