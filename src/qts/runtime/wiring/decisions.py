"""The decision path, from an intent to an order that was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qts.ids import CounterIds
from qts.pipeline.act import Act
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.runner import Pipeline
from qts.pipeline.sending import OrderSender
from qts.pipeline.transform import Transform
from qts.risk.contracts import OrderRequest
from qts.runtime.parts import Parts
from qts.runtime.wiring.parts import max_age_ns


def make_pipeline(
    parts: Parts,
    sender: OrderSender,
    ids: Mapping[str, CounterIds],
    on_sent: Callable[[OrderRequest], None],
    *,
    stores_pending: bool,
) -> Pipeline:
    """The decision path over ``parts``, with the configuration and the gate they hold now.

    ``ids``: "o" those of orders, "a" those that the gate gives its approvals.
    """
    properties = parts.config.state.table
    return Pipeline(
        Extract(
            clock=parts.clock,
            feed=parts.feed,
            last_values=parts.last,
            base_prices=parts.base_prices,
            safety=parts.safety,
            state=parts.state,
            max_age_ns=lambda: max_age_ns(parts.feed, parts.config.runtime.freshness),
        ),
        Transform(
            account=parts.account,
            orders=parts.orders,
            last_values=parts.last,
            gate=parts.gate,
            day=parts.day,
            locked_pools={},
            leaving=parts.leaving,
            stops=parts.stops,
            in_doubt=parts.price_bands.in_doubt,
            order_ids=ids["o"],
            rejects=parts.rejects,
            config=parts.config.pipeline,
        ),
        Evaluate(properties),
        Decide(parts.gate),
        Act(
            account=parts.account,
            orders=parts.orders,
            sender=sender,
            clock=parts.clock,
            log=parts.record,
            may_enter=lambda: parts.safety.is_trading_allowed and not parts.kill.is_pressed(),
            on_sent=on_sent,
            stores_pending=stores_pending,
        ),
        (ids["o"], ids["a"]),
    )
