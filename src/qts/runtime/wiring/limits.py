"""Makes the limits at the entry of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.broker.gateway.limits.counted import CountedLimits
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.market.contracts import Bar
from qts.risk.contracts import OrderRequest
from qts.runtime.orders.limit_facts import SessionFacts
from qts.runtime.shared_components import SharedComponents


def make_limits(
    shared: SharedComponents,
    *,
    is_simulated: bool,
    daily_bars: Callable[[str, int], Sequence[Bar]],
    on_met: Callable[[tuple[str, ...], OrderRequest], object],
    on_note: Callable[[str], object],
    counted: CountedLimits | None,
) -> OrderLimits | None:
    """Make the limits of orders; None where they are off, which only a simulated venue allows.

    ``daily_bars``: see :class:`~qts.runtime.orders.limit_facts.SessionFacts`; ``on_met``, ``on_note``: see
    :class:`~qts.broker.gateway.limits.order_limits.OrderLimits`.
    """
    if is_simulated and not shared.config.broker.limits.enabled:
        return None
    facts = SessionFacts(shared, daily_bars, is_simulated=is_simulated)
    return OrderLimits(
        lambda: shared.config.broker.limits,
        facts,
        shared.clock,
        on_met=on_met,
        on_note=on_note,
        counted=counted,
    )
