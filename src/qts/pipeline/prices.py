"""The price that a buy has to expect, and the limit of one that names none."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from qts.market.contracts import Instrument
from qts.money import ONE, plus, times
from qts.pipeline.config import PipelineConfig
from qts.pipeline.contracts import Facts
from qts.strategy.contracts import Intent, Side


def price_to_expect(facts: Facts, intent: Intent) -> Decimal | None:
    """Return the price that an order has to expect: the one of the moment, a buy's at least its trigger.

    None when the price of the moment is not known.
    """
    if facts.price is None or intent.trigger is None or intent.side is Side.SELL:
        return facts.price
    return max(facts.price, Decimal(intent.trigger))


def opening_price(price: Decimal | None, config: PipelineConfig) -> Decimal | None:
    """Return the price at which a market buy on bars is sized: ``price`` and the collar; None: unknown."""
    return None if price is None else times(price, plus(ONE, config.market_buy_collar))


def collared_buy(facts: Facts, price: Decimal | None, config: PipelineConfig) -> Decimal | None:
    """Return the limit of a market buy whose ``price`` is expected; None when it is not known."""
    if facts.instrument is None or price is None or price <= 0:
        return None
    return collared(price, facts.base_price, facts.instrument, config.market_buy_collar, facts.local_day)


def collared(price: Decimal, base: Decimal | None, instrument: Instrument, collar: Decimal, day: date) -> Decimal:
    """Return the highest grid price not above ``price`` × (1 + ``collar``) and inside the day's band."""
    limit = instrument.ticks.round_down(times(price, plus(ONE, collar)), day)
    # A grid coarser than the collar would round below the touch and never trade.
    limit = max(limit, instrument.ticks.round_up(price, day))
    band = instrument.ticks.band(base, day) if base is not None else None
    return limit if band is None else min(limit, band[1])
