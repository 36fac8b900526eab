"""Settings of the simulated exchange: how slow, how deep, how unreliable.

The defaults are an exchange without faults. Nothing may change while a session runs, because the
same seed and configuration have to give the same fills (``same-input-same-run``).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

RELOADABLE: frozenset[str] = frozenset()

_Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class SimConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Latencies in milliseconds, shares and probabilities as ratios 0..1."""

    order_latency_ms: Annotated[
        float, msgspec.Meta(ge=0.0, le=60_000.0, description="ms from send to the market, at least")
    ] = 20.0
    order_jitter_ms: Annotated[
        float, msgspec.Meta(ge=0.0, le=60_000.0, description="ms added at most, drawn evenly from the seed")
    ] = 10.0
    cancel_latency_ms: Annotated[
        float, msgspec.Meta(ge=0.0, le=60_000.0, description="ms until a cancel takes effect, at least")
    ] = 20.0
    cancel_jitter_ms: Annotated[
        float, msgspec.Meta(ge=0.0, le=60_000.0, description="ms added to a cancel at most, drawn evenly")
    ] = 10.0
    snapshot_participation: Annotated[
        float,
        msgspec.Meta(gt=0.0, le=1.0, description="our share of a rise in cumulative volume, and of a bar's volume"),
    ] = 0.10
    trade_participation: Annotated[
        float, msgspec.Meta(gt=0.0, le=1.0, description="our share of one trade where no quotes exist")
    ] = 0.10
    fill_on: Annotated[
        Literal["open", "close"],
        msgspec.Meta(
            description="where bars are all there is: open: from the next bar's open on, inside its range; "
            "close: at the close of a bar of the order's day"
        ),
    ] = "open"
    slippage_ticks: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=100,
            description="price steps by which fills on bars are worse than the open or a stop's trigger; "
            "a limit stays the worst price",
        ),
    ] = 0
    book_levels: Annotated[
        int, msgspec.Meta(ge=1, le=1_000, description="best levels kept per side of a depth book")
    ] = 50
    book_max_age_ms: Annotated[
        int, msgspec.Meta(ge=0, le=60_000, description="ms after its last update at which a depth book is stale")
    ] = 1_000
    max_open_orders: Annotated[
        int, msgspec.Meta(ge=1, le=100_000, description="open orders at once; one more is rejected")
    ] = 1_000
    kept_orders: Annotated[
        int, msgspec.Meta(ge=1, le=100_000, description="answers remembered for repeated sends, open orders apart")
    ] = 64
    kept_fills: Annotated[
        int, msgspec.Meta(ge=1, le=100_000, description="fills of the session day remembered for fills_since")
    ] = 64
    reject_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: an order is rejected at once (0 = off)")
    ] = 0.0
    late_reject_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: an accepted order is rejected on arrival (0 = off)")
    ] = 0.0
    duplicate_fill_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: a fill is reported twice (0 = off)")
    ] = 0.0
    lost_answer_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: accepted, but the answer is lost (0 = off)")
    ] = 0.0
    lost_order_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: never received, never answered (0 = off)")
    ] = 0.0
    disconnect_probability: Annotated[
        _Probability, msgspec.Meta(description="fault: the connection drops after an order came in (0 = off)")
    ] = 0.0
    disconnect_ms: Annotated[
        float, msgspec.Meta(ge=1.0, le=3_600_000.0, description="ms a dropped connection stays down")
    ] = 1_000.0

    def problems(self) -> list[tuple[str, str]]:
        """Find combinations that contradict themselves, as (field, message)."""
        found = []
        total = self.reject_probability + self.lost_order_probability + self.lost_answer_probability
        if total > 1.0:
            found.append(
                (
                    "reject_probability",
                    f"reject, lost_order and lost_answer probabilities sum to {total:g}; at most 1 is allowed",
                )
            )
        return found
