"""Applies splits and dividends on their ex-dates, before the first value of the day.

A split multiplies what is held and divides every price that is remembered: costs, open orders, last values, base
prices and bands, closes. Equity stays the same to the quantum. A dividend is paid in cash, less its tax, on what
was held at the close before; until its next price the share is valued at so much less.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from qts.broker.contracts import MarketDriven
from qts.clock import from_ns
from qts.execution.splits import split_order
from qts.ledger import bookings
from qts.ledger.actions import dividend_tax
from qts.ledger.contracts import ActionEffect, ActionRow, BookingRow
from qts.market.actions import CorporateAction, Dividend, Split
from qts.market.contracts import Instrument
from qts.money import plus
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.session_events import Log
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.price_view import PriceView


class CorporateActions:
    """The actions of a session in their order, and how many of them are past. For the session's thread alone.

    Actions of the first day and before belong to the prices that the session begins with. Those of a symbol that
    the feed does not trade are left out. ``on_row`` is called with every booked row of ours, ``on_booking`` with
    those of EXTERNAL, ``on_action`` with every action after it was booked, and the moment (ns). ``view`` converts
    what strategies see.
    """

    def __init__(
        self,
        shared: SharedComponents,
        venue: MarketDriven,
        actions: Sequence[CorporateAction],
        view: PriceView,
        *,
        counters: SessionCounters,
        on_row: Callable[[ActionRow], None],
        on_booking: Callable[[BookingRow], None],
        on_action: Callable[[CorporateAction, int], None],
        on_applied: Callable[[], None],
        log: Log,
    ) -> None:
        self._shared = shared
        self._venue = venue
        self._actions = tuple(actions)
        self._view = view
        self._counters = counters
        self._on_row = on_row
        self._on_booking = on_booking
        self._on_action = on_action
        self._on_applied = on_applied
        self._log = log
        first_day = shared.calendar.local_date(shared.clock.now())
        self._next = bisect_right(self._actions, first_day, key=_day)

    @property
    def ex_dates(self) -> tuple[date, ...]:
        """Return the ex-dates of all actions, also of those that are past."""
        return tuple(dict.fromkeys(action.day for action in self._actions))

    def prepare(self, now_ns: int) -> None:
        """Let the venue report what was executed before, if any action is due on the day of ``now_ns``."""
        if self._due(now_ns):
            self._venue.settle(now_ns)

    def apply_due(self, now_ns: int) -> None:
        """Apply the actions that are due on the market's day of ``now_ns`` (ns of the session's clock).

        Raises HalfDoneError when that fails after half of it.
        """
        due = self._due(now_ns)
        if not due:
            return
        with self._shared.record.whole("the splits and dividends of the day"):
            for action in due:
                instrument = self._shared.feed.instruments.get(action.symbol)
                if instrument is None:
                    continue
                if isinstance(action, Split):
                    self._split(action, instrument, now_ns)
                else:
                    self._pay(action, instrument, now_ns)
                self._on_action(action, now_ns)
            self._next += len(due)
        self._on_applied()

    def _due(self, now_ns: int) -> tuple[CorporateAction, ...]:
        today = self._shared.calendar.local_date(from_ns(now_ns))
        return self._actions[self._next : bisect_right(self._actions, today, key=_day)]

    def _split(self, split: Split, instrument: Instrument, now_ns: int) -> None:
        p, symbol = self._shared, split.symbol
        holdings = [row.qty for row in p.account.position_rows() if row.symbol == symbol and row.qty]
        price = p.last.mark(symbol)
        effects = p.account.apply_split(split, ts_ns=now_ns, lot=instrument.lot, price=price)
        self._split_orders(split, instrument, now_ns)
        p.last.rescale(symbol, split.price)
        if symbol in p.base_prices:
            p.base_prices[symbol] = split.price(p.base_prices[symbol])
        p.price_bands.on_split(symbol, split.price)
        p.volatility.on_split(split)
        self._counters.metrics_fed += 1
        self._view.on_split(split, now_ns)
        self._venue.on_split(split, holdings, now_ns)
        self._record(effects)
        self._split_external(split, instrument, price, now_ns)
        p.extremes.on_split()
        self._log("INFO", f"{symbol}: split {split} of {split.day}")
        for row in (effect.action for effect in effects):
            paid = f", {row.amount:f} for the fraction at {row.price:f}" if row.amount else ""
            self._log("INFO", f"{row.strategy}: {row.held:f} {symbol} → {plus(row.held, row.change):f}{paid}")

    def _split_external(self, split: Split, instrument: Instrument, price: Decimal | None, now_ns: int) -> None:
        """Book the split for what is at the broker and not ours: the broker splits that too."""
        note = bookings.BookingNote(
            f"split {split.symbol} {split.day.isoformat()}", now_ns, "rule", f"split {split}"
        )
        effect = self._shared.account.split_external(split, note, lot=instrument.lot, price=price)
        if effect is not None:
            self._shared.record.write_later(effect.booking)
            self._on_booking(effect.booking)

    def _split_orders(self, split: Split, instrument: Instrument, now_ns: int) -> None:
        """Rescale the open orders of the symbol; the venue does the same with its own and ends those left empty."""
        p = self._shared
        day = instrument.calendar.local_date(from_ns(now_ns))
        for order in p.orders:
            if order.symbol != split.symbol:
                continue
            new = split_order(order, split, instrument, day, now_ns)
            if new is not None:
                p.orders.put(new)
                p.account.resize_reservation(new.client_order_id, new.remaining)
                p.record.write_later(new)
                self._log("INFO", new.note, order=new.client_order_id)

    def _pay(self, dividend: Dividend, instrument: Instrument, now_ns: int) -> None:
        p, symbol = self._shared, dividend.symbol
        self._view.on_dividend(dividend, p.last.last_trade(symbol) or p.last.mark(symbol), now_ns)
        tax = dividend_tax(instrument, dividend.day, p.config.runtime.dividend_tax_rate)
        effects = p.account.pay_dividend(dividend, ts_ns=now_ns, tax=tax)
        if not effects:
            return
        p.last.mark_down(symbol, dividend.amount)
        self._record(effects)
        p.extremes.book_changed(now_ns)
        for row in (effect.action for effect in effects):
            what = f"dividend {row.price:f} on {row.held:f} {symbol}: {row.amount:f}, tax {row.tax:f}"
            self._log("INFO", f"{row.strategy}: {what}")

    def _record(self, effects: Sequence[ActionEffect]) -> None:
        for effect in effects:
            for record in effect.records:
                self._shared.record.write_later(record)
            self._on_row(effect.action)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return the place in the actions and the conversion of prices, for a checkpoint."""
        return {"next": self._next, "view": self._view.export_state()}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._next = saved["next"]
        self._view.import_state(saved["view"])


def _day(action: CorporateAction) -> date:
    return action.day
