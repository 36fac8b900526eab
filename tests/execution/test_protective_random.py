"""Random lives of one holding with requests of every origin: never sold twice, and gone when it has to be.

The market of the test accepts, fills, loses, rejects and cancels orders as hypothesis draws it; what is decided is
the component's alone. A kill keeps of the requests what a checkpoint holds.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qts.execution.contracts import Order, OrderState
from qts.execution.protective.contracts import ExitRequest, Origin, Standing, Step
from qts.execution.protective.decision import next_step
from qts.execution.protective.requests import ProtectiveRequests
from qts.strategy.contracts import Side
from tests.effort import examples
from tests.execution.orders import changed, order_with

D = Decimal
KEY = ("scalp", "005930")
WHO = st.sampled_from(list(Origin))


class OneHolding(RuleBasedStateMachine):
    """One holding, its open orders, and the exits that are required of it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = ProtectiveRequests()
        self.open: dict[str, Order] = {}
        self.cancelled: set[str] = set()
        self.ended: list[Order] = []
        self.held = D(0)
        self.unmeasured, self.count = False, 0

    @initialize(held=st.integers(-20, 40))
    def begin(self, held: int) -> None:
        self.held = D(held)

    # -- what is required, and what the strategy does -------------------------------------------------------------

    @rule(origin=WHO)
    def require(self, origin: Origin) -> None:
        self.requests.put(KEY, ExitRequest(origin, f"all: {origin.value}"))
        self.unmeasured |= bool(self.open)

    @rule(origin=WHO, share=st.integers(1, 40))
    def require_part(self, origin: Origin, share: int) -> None:
        if self.held:
            qty = min(abs(self.held), D(share)) * (1 if self.held > 0 else -1)
            self.requests.put(KEY, ExitRequest(origin, f"part: {origin.value}", qty))

    @rule()
    def operator_takes_back(self) -> None:
        self.requests.withdraw(Origin.OPERATOR, lambda strategy, symbol: True)

    @precondition(lambda self: KEY not in self.requests and len(self.open) < 4)
    @rule(side=st.sampled_from(Side), qty=st.integers(1, 9), limit=st.booleans())
    def strategy_orders(self, side: Side, qty: int, limit: bool) -> None:
        leaving = sum((one.remaining for one in self.open.values() if one.side is Side.SELL), D(0))
        if side is Side.BUY or self.held - leaving >= qty:
            self._put(side, D(qty), forced=False, reason="own", limit=D(100) if limit else None)

    # -- the component --------------------------------------------------------------------------------------------

    @rule(fate=st.sampled_from([OrderState.WORKING, OrderState.UNKNOWN, OrderState.REJECTED]))
    def attempt(self, fate: OrderState) -> None:
        self._attempt(fate)

    def _attempt(self, fate: OrderState) -> Step | None:
        found = self._next()
        if found is None:
            return None
        self.cancelled |= {order.client_order_id for order in found.cancels}
        if found.asks:
            assert not self.open, "it asks before everything has ended"
            self.unmeasured = False
        elif found.is_over:
            self._is_over()
        elif found.qty:
            self._sends(found, fate)
        return found

    def _next(self) -> Step | None:
        standing = Standing(self.held, tuple(self.open.values()), is_measured=not self.unmeasured)
        return next_step(self.requests.of(KEY), standing)

    def _is_over(self) -> None:
        if KEY in self.requests:
            assert not self.held
            assert not self.open
        assert not (self.requests.is_measured(KEY) and self.unmeasured), "over without the broker's word"
        self.requests.finish(KEY, self.count)

    def _sends(self, found: Step, fate: OrderState) -> None:
        same = [one for one in self.open.values() if one.side is found.side]
        assert not any(one.forced for one in same), "two orders of exits"
        assert found.side is (Side.SELL if self.held > 0 else Side.BUY)
        assert found.qty + sum((one.remaining for one in same), D(0)) <= abs(self.held), "sold twice"
        if self.requests.is_measured(KEY):
            assert not self.open, "an escape sells while others work"
            assert not self.unmeasured, "an escape sells what was not measured"
        wanted = [abs(self.held) if one.left is None else abs(one.left) for one in self.requests.of(KEY)]
        assert found.qty <= max(wanted)
        self._put(found.side, found.qty, forced=True, reason=found.request.reason, state=fate)

    # -- the market -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fill(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(sorted(self.open.values(), key=lambda one: one.client_order_id)))
        self._filled(order, D(data.draw(st.integers(1, int(order.remaining)))))

    @precondition(lambda self: self.cancelled & self.open.keys())
    @rule(data=st.data())
    def confirm_a_cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.cancelled & self.open.keys())))
        self._ends(self.open[key], OrderState.CANCELLED)

    @precondition(lambda self: any(not one.forced and one.side is Side.BUY for one in self.ended))
    @rule(qty=st.integers(1, 3))
    def a_buy_fills_late(self, qty: int) -> None:
        self.held += qty
        self.requests.reopen(KEY, 0)
        self.unmeasured |= self.requests.is_measured(KEY)

    @rule()
    def kill(self) -> None:
        saved = msgspec.msgpack.encode(self.requests.export_state())
        self.requests = ProtectiveRequests()
        self.requests.import_state(msgspec.msgpack.decode(saved))

    # -- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_order_of_exits_of_a_side_is_open(self) -> None:
        for side in Side:
            assert sum(one.forced and one.side is side for one in self.open.values()) <= 1

    def teardown(self) -> None:
        """Whatever has happened: once the market answers, what is required is gone and nothing works."""
        was_whole = KEY in self.requests
        for _ in range(60):
            found = self._attempt(OrderState.WORKING)
            for order in tuple(self.open.values()):
                if order.client_order_id in self.cancelled:
                    self._ends(order, OrderState.CANCELLED)
                elif order.forced or order.reason == "own":
                    self._filled(order, order.remaining)
            if found is None:
                break
        assert self._next() is None, "an exit without an end"
        if was_whole:
            assert self.held == 0

    # -- helpers --------------------------------------------------------------------------------------------------

    def _put(
        self,
        side: Side,
        qty: Decimal,
        *,
        forced: bool,
        reason: str,
        limit: Decimal | None = None,
        state: OrderState = OrderState.WORKING,
    ) -> None:
        self.count += 1
        order = order_with(
            client_order_id=f"o-{self.count:03}", symbol=KEY[1], side=side, qty=qty, limit=limit, forced=forced,
            reduce_only=forced or side is Side.SELL, reason=reason, decision_price=D(100), state=state,
        )  # fmt: skip
        if state is OrderState.REJECTED:
            self._ends(order, state)
        else:
            self.open[order.client_order_id] = order

    def _filled(self, order: Order, qty: Decimal) -> None:
        self.held += order.side.sign * qty
        self.requests.on_fill(KEY, order.side, qty)
        grown = changed(order, filled=order.filled + qty, state=OrderState.PARTIAL)
        if grown.remaining:
            self.open[order.client_order_id] = grown
        else:
            self._ends(grown, OrderState.FILLED)

    def _ends(self, order: Order, state: OrderState) -> None:
        self.open.pop(order.client_order_id, None)
        self.ended.append(changed(order, state=state))
        self.unmeasured |= self.requests.is_measured(KEY)


OneHolding.TestCase.settings = settings(
    max_examples=examples(60, whole=3_000), stateful_step_count=30, deadline=None
)
TestOneHolding = OneHolding.TestCase
