"""The prices that strategies are shown across splits and dividends (``runtime.adjust``).

A strategy keeps what it has seen, so its history cannot be changed afterwards, and a price of today must not depend
on an action of tomorrow. So prices are adjusted forward: what is shown is the traded price times a factor that is 1
at the beginning and grows with each action as it happens. A split of 50:1 multiplies it by 50; with ``total`` a
dividend of 2 on a close of 100 multiplies it by 100 ÷ 98, as if it had bought shares at that close. Returns between
two shown prices are those of a holder of the share.

All prices of a strategy are converted (bars, quotes, its fills, its average cost, the prices that it gives), and
volumes so that price × volume stays what was traded over a split. Its own quantities, and money, are as traded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from qts.event.contracts import Event
from qts.market.actions import Dividend, Split
from qts.market.contracts import Bar, Instrument, MarketValue, Quote, Tick
from qts.money import ONE, minus, multiple_of, power_of_ten, ratio, times, without_zeros
from qts.strategy.contracts import AnyIntent, FillView, Intent, Side
from qts.strategy.levels import Away, Level
from qts.strategy.targets import Cancel

Adjust: TypeAlias = Literal["none", "split", "total"]

_STEP: Final = power_of_ten(-12)
"""Step of a shown price or volume that has no end."""


_SHOWN: Final[Mapping[type, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    Bar: (("open", "high", "low", "close"), ("volume",)),
    Quote: (("bid", "ask", "last"), ("bid_size", "ask_size", "last_size", "volume")),
    Tick: (("price",), ("size",)),
}
"""Prices and sizes of the values that are converted."""


class Factor(msgspec.Struct, frozen=True):
    """The factors of one symbol from a moment on: of its prices, and of the splits alone, by which volumes are
    divided."""

    since_ns: int
    price: Decimal
    split: Decimal


class Traded(Protocol):
    """A conversion of one shown price of a symbol to the traded one."""

    def __call__(self, shown: Decimal | int | None, *, down: bool) -> Decimal | None:
        """Return the traded price on the grid, ``down`` or up where it lies between two; None stays None."""
        ...


class PriceView:
    """The conversion between traded prices and those that strategies see. For the session's thread alone.

    With ``none`` every method returns what it was given.
    """

    def __init__(self, adjust: Adjust) -> None:
        self._adjust: Adjust = adjust
        self._factors: dict[str, list[Factor]] = {}

    def on_split(self, split: Split, now_ns: int) -> None:
        """Take a split into the factors of its symbol from ``now_ns`` on."""
        if self._adjust != "none":
            price, by = self._now(split.symbol)
            self._add(
                split.symbol,
                Factor(now_ns, ratio(times(price, split.new), split.old), ratio(times(by, split.new), split.old)),
            )

    def on_dividend(self, dividend: Dividend, close: Decimal | None, now_ns: int) -> None:
        """Take a dividend into the factor of its symbol from ``now_ns`` on, with ``total`` alone.

        ``close``: the last price before the ex-date; nothing happens when it is None or not above the dividend.
        """
        if self._adjust == "total" and close is not None and close > dividend.amount:
            price, by = self._now(dividend.symbol)
            self._add(
                dividend.symbol, Factor(now_ns, ratio(times(price, close), minus(close, dividend.amount)), by)
            )

    def _now(self, symbol: str) -> tuple[Decimal, Decimal]:
        factors = self._factors.get(symbol)
        return (factors[-1].price, factors[-1].split) if factors else (ONE, ONE)

    def _add(self, symbol: str, factor: Factor) -> None:
        self._factors.setdefault(symbol, []).append(factor)

    def _at(self, symbol: str, ts_ns: int) -> Factor | None:
        """Return the factor that held at ``ts_ns``: a value may wait in a queue over an ex-date."""
        factors = self._factors.get(symbol, ())
        return next((factor for factor in reversed(factors) if factor.since_ns <= ts_ns), None)

    def price(self, symbol: str, traded: Decimal) -> Decimal:
        """Return the shown price of a ``traded`` one, of now."""
        return _times(traded, self._now(symbol)[0]) if symbol in self._factors else traded

    def value(self, value: MarketValue) -> MarketValue:
        """Return a market value as it is shown; itself when nothing was adjusted."""
        names = _SHOWN.get(type(value))
        factor = None if names is None else self._at(value.symbol, value.ts_ns)
        if factor is None or names is None:
            return value
        prices, sizes = names
        by = ratio(ONE, factor.split)
        shown = {name: _times(getattr(value, name), factor.price) for name in prices if _has(value, name)}
        shown |= {name: _times(getattr(value, name), by) for name in sizes if _has(value, name)}
        return msgspec.structs.replace(value, **shown)

    def event(self, event: Event) -> Event:
        """Return an event of a market value with the value as it is shown."""
        shown = self.value(event.body)
        return event if shown is event.body else msgspec.structs.replace(event, payload=shown)

    def fill(self, fill: FillView) -> FillView:
        """Return a fill with its price as it is shown; quantity, fee and tax are as booked."""
        factor = self._at(fill.symbol, fill.ts_ns)
        return fill if factor is None else msgspec.structs.replace(fill, price=_times(fill.price, factor.price))

    def intent(self, intent: AnyIntent, instrument: Instrument | None, day: date) -> AnyIntent:
        """Return an intent or a target with its prices as they can be traded on ``day``; a cancel has none.

        On the price grid, away from the money: the limit of a buy, the trigger of a sale and a stop down, the
        others up. One that names a traded price as it was shown gets that price. Quantities and shares stay.
        """
        if isinstance(intent, Cancel) or intent.symbol not in self._factors or instrument is None:
            return intent
        put = partial(self._traded, intent.symbol, instrument, day)
        if isinstance(intent, Intent):
            if intent.limit is None and intent.trigger is None:
                return intent
            is_buy = intent.side is Side.BUY
            return msgspec.structs.replace(
                intent, limit=put(intent.limit, down=is_buy), trigger=put(intent.trigger, down=not is_buy)
            )
        return msgspec.structs.replace(
            intent,
            limit=put(intent.limit, down=not intent.is_flat),
            stop=self._level(intent.symbol, intent.stop, put, down=True),
            take=self._level(intent.symbol, intent.take, put, down=False),
            trail=intent.trail if intent.trail is None else self._distance(intent.symbol, intent.trail),
        )

    def _traded(
        self, symbol: str, instrument: Instrument, day: date, shown: Decimal | int | None, *, down: bool
    ) -> Decimal | None:
        """Return the traded price of one that was shown, on the grid; None stays None."""
        if shown is None:
            return None
        factor = self._now(symbol)[0]
        exact, near = ratio(Decimal(shown), factor), ratio(_STEP, factor)  # what was shown was rounded
        below, above = instrument.ticks.round_down(exact, day), instrument.ticks.round_up(exact, day)
        if minus(exact, below) <= near:
            price = below
        elif minus(above, exact) <= near:
            price = above
        else:
            price = below if down else above
        return price if price > 0 else above

    def _level(self, symbol: str, level: Level | None, put: Traded, *, down: bool) -> Level | None:
        return self._distance(symbol, level) if isinstance(level, Away) else put(level, down=down)

    def _distance(self, symbol: str, away: Away) -> Away:
        """Return a distance between traded prices; a share is one of either."""
        if away.distance is None:
            return away
        exact = ratio(Decimal(away.distance), self._now(symbol)[0])
        return Away(max(multiple_of(exact, _STEP, ROUND_HALF_EVEN), _STEP))

    def export_state(self) -> dict[str, Any]:
        """Return the factors for a checkpoint."""
        return {
            symbol: [[factor.since_ns, str(factor.price), str(factor.split)] for factor in factors]
            for symbol, factors in self._factors.items()
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._factors = {
            symbol: [Factor(since_ns, Decimal(price), Decimal(by)) for since_ns, price, by in factors]
            for symbol, factors in saved.items()
        }


def _has(value: MarketValue, name: str) -> bool:
    return getattr(value, name) is not None


def _times(amount: Decimal, factor: Decimal) -> Decimal:
    """Return the product, rounded to :data:`_STEP`, without zeros at its end."""
    return Decimal(f"{without_zeros(multiple_of(times(amount, factor), _STEP, ROUND_HALF_EVEN)):f}")
