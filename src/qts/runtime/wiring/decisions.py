"""Makes the decision pipeline, from an intent to an order that was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qts.broker.contracts import Capabilities
from qts.broker.sending import OrderSender
from qts.ids import CounterIds
from qts.pipeline.act import Act
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.resolve import Resolve
from qts.pipeline.runner import Pipeline
from qts.pipeline.transform import Transform
from qts.risk.contracts import OrderRequest
from qts.runtime.shared_components import SharedComponents
from qts.runtime.wiring.shared_components import max_age_ns


def make_pipeline(
    shared: SharedComponents,
    sender: OrderSender,
    ids: Mapping[str, CounterIds],
    on_sent: Callable[[OrderRequest], None],
    *,
    stores_pending: bool,
    abilities: Capabilities,
    warming: Callable[[str, str], str],
    not_compared: Callable[[], str],
) -> Pipeline:
    """Make the pipeline for the configuration and the gate that ``shared`` holds now.

    ``ids`` holds the id sources of orders ("o") and of the gate's approvals ("a"). ``abilities`` are the
    broker's. ``warming`` returns which bars a strategy still lacks of a symbol, in words; "" for none.
    ``not_compared``: why the broker's books have to be compared with ours before an entry; "" for nothing.
    """
    properties = shared.config.state.table
    extract = Extract(
        clock=shared.clock,
        feed=shared.feed,
        last_values=shared.last,
        base_prices=shared.base_prices,
        safety=shared.safety,
        state=shared.state,
        max_age_ns=lambda: max_age_ns(shared.feed, shared.config.runtime.freshness),
    )
    return Pipeline(
        extract,
        Transform(
            worth=shared.worth,
            orders=shared.orders,
            gate=shared.gate,
            day=shared.day,
            locked_pools={},
            leaving=shared.protective,
            stops=shared.stops,
            warming=warming,
            store_behind=shared.servers.why_behind,
            not_compared=not_compared,
            flattened=shared.protective.reason_of_part,
            in_doubt=shared.price_bands.doubt_reason,
            order_ids=ids["o"],
            rejects=shared.rejects,
            config=shared.config.pipeline,
            caps_cost=abilities.caps_cost,
        ),
        Evaluate(properties),
        Decide(shared.gate, abilities.lacks),
        Act(
            account=shared.account,
            orders=shared.orders,
            sender=sender,
            clock=shared.clock,
            log=shared.record,
            may_enter=lambda: shared.safety.is_trading_allowed and not shared.kill.is_pressed(),
            on_sent=on_sent,
            stores_pending=stores_pending,
            confirmed=shared.servers.confirmed if shared.servers.is_waited_for else None,
        ),
        Resolve(
            extract,
            worth=shared.worth,
            orders=shared.orders,
            leaving=shared.protective,
            config=shared.config.pipeline,
            caps_cost=abilities.caps_cost,
        ),
        (ids["o"], ids["a"]),
    )
