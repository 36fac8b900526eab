"""Trues the fees and taxes of fills up to a real broker's totals of each day: until then they are estimates.

The broker is asked after the close of a day, and again at each start and close of the next days, until it answers.
What it says is booked to the day that it is about, divided among the pools and EXTERNAL by what they were charged.
A fill of an earlier day that comes late has the day asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final

from qts.broker.contracts import BrokerQueries, MarketDriven
from qts.capital.contracts import Pool
from qts.clock import to_ns
from qts.db.session import SessionStore
from qts.errors import BrokerUnavailable
from qts.execution.contracts import Fill, Order
from qts.ledger.bookings import OF_FILLS, BookingNote, charges_by_owner, true_ups
from qts.ledger.contracts import BookingKind, BookingRow, Charges, FillEffect, LedgerRow
from qts.money import is_bounded, magnitude, minus, plus
from qts.runtime.due_work import DueWork
from qts.runtime.orders.broker_books import settled_cash
from qts.runtime.orders.broker_queries import answered
from qts.runtime.session.schedule import day_close_ns
from qts.runtime.session_events import Log
from qts.runtime.shared_components import SharedComponents
from qts.runtime.steps.contracts import NOT_SETTLED

MOST_DAYS: Final = 10
"""Days that may wait for their totals; of an older one the estimates stay."""
_KINDS: Final = frozenset({BookingKind.FEE, BookingKind.TAX})


class DayCharges:
    """The days whose fees and taxes the broker has not told. For the session's thread; a listener of fills.

    Nothing is asked of a simulated venue, whose fills have their exact charges. ``on_booking`` is called with every
    row that is booked.
    """

    def __init__(
        self,
        shared: SharedComponents,
        broker: BrokerQueries,
        venue: MarketDriven,
        store: SessionStore,
        due: DueWork,
        *,
        on_booking: Callable[[BookingRow], None],
        log: Log,
    ) -> None:
        self._shared = shared
        self._broker = broker
        self._is_simulated = venue.is_simulated
        self._store = store
        self._due = due
        self._tell_booking = on_booking
        self._log = log
        self._days: list[str] = []

    @property
    def days(self) -> tuple[str, ...]:
        """Return the market's dates (ISO) whose totals are not known yet, oldest first."""
        return tuple(self._days)

    def on_day_over(self, day: date) -> None:
        """Request the totals of ``day``: its session is over."""
        self._want(day.isoformat())

    def ask_again(self) -> None:
        """Request the totals that are missing again."""
        if self._days:
            self._due.charges_soon()

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Request the totals again of a day of which a fill came late."""
        self._want_if_over(effect.ledger.trade_date)

    def on_booking(self, row: BookingRow) -> None:
        """Request the totals again of a day of which an execution came late, or was taken back."""
        if row.kind in OF_FILLS:
            self._want_if_over(row.day)

    async def ask(self, now_ns: int) -> bool:
        """Ask for the totals of every day that waits, and book them; ``now_ns`` is the session's time.

        Return False when the book changed meanwhile: then the days that are left have to be asked for again. Raises
        StorageError when the store has failed.
        """
        for day in self.days:
            try:
                charges = await answered(self._broker.charges(date.fromisoformat(day)))
            except BrokerUnavailable as error:
                self._log("WARNING", f"fees and taxes of {day} are estimates: {error}")
                return True
            if charges is None:
                self._log("INFO", f"fees and taxes of {day} are estimates: {self._broker.name} has not told them")
            elif not all(map(is_bounded, charges)):
                self._log("WARNING", f"fees and taxes of {day} are estimates: {self._broker.name} says {charges}")
            elif not await self._true_up(day, charges, now_ns):
                return False
            elif not self._days:
                await self._compare_cash()
        return True

    async def _compare_cash(self) -> None:
        """Log how far the broker's settled cash is from the books, once no charge of them is an estimate."""
        p, name = self._shared, self._broker.name
        try:
            balance = (await answered(self._broker.holdings())).balance
            cash = settled_cash(self._broker, balance, p.config.runtime.currency)
        except BrokerUnavailable as error:
            self._log("WARNING", f"the settled cash is not compared: {error}")
            return
        if magnitude(minus(cash, p.account.broker_cash)) >= p.account.quantum:
            text = f"{name} has {cash:f} of settled cash, pools and EXTERNAL {p.account.broker_cash:f}"
            self._log("WARNING", f"{text}: the next command of qts capital books the difference to EXTERNAL")

    async def _true_up(self, day: str, charges: Charges, now_ns: int) -> bool:
        """Book the difference of ``day``; return False, with nothing booked, when the book changed meanwhile."""
        p = self._shared
        await p.record.checkpoint()
        if p.steps.take(NOT_SETTLED, "", not p.record.is_book_stored):
            return False
        revision = p.record.book_revision
        ledger, bookings = await p.record.on_store(partial(_rows_of, self._store, day))
        if p.record.book_revision != revision:
            return False
        told = len({row.reference for row in bookings if row.kind in _KINDS and row.day == day})
        note = BookingNote(
            f"charges of {day}, {told + 1}",
            min(now_ns, self._end_ns(day)),
            self._broker.name,
            f"fees {charges.fees:f} and taxes {charges.taxes:f} of {day}",
        )
        account = p.account
        rows = true_ups(
            charges_by_owner(ledger, bookings, day),
            charges,
            day,
            note,
            account=account.name,
            quantum=account.quantum,
            remainder=p.config.capital.paying_pool(p.config.capital.remainder),
            available={pool: account.available(pool) for pool in Pool},
        )
        with p.record.whole(f"the charges of {day}"):
            for row in rows:
                effect = account.book(row)
                assert effect is not None  # its reference is new
                for record in effect.records:
                    p.record.write_later(record)
                self._tell_booking(row)
            self._days = [one for one in self._days if one != day]
        await p.record.checkpoint()
        changed = ", ".join(f"{plus(row.fee, row.tax):+f}" for row in rows) or "as estimated"
        self._log("INFO", f"fees {charges.fees:f} and taxes {charges.taxes:f} of {day}: {changed}")
        return True

    def _want_if_over(self, day: str) -> None:
        """Request the totals of ``day`` if it is over: its own close requests those of one that is not.

        Totals that the broker has told since the close of today need not have what was executed behind it: they are
        asked for with those of the next day.
        """
        calendar, clock = self._shared.calendar, self._shared.clock
        today = calendar.local_date(clock.now())
        if day < today.isoformat():
            self._want(day)
        elif calendar.is_trading_day(today) and day_close_ns(calendar, today) <= clock.time_ns():
            self._want(today.isoformat(), soon=False)

    def _want(self, day: str, *, soon: bool = True) -> None:
        if self._is_simulated:
            return
        if day not in self._days:
            self._days = sorted([*self._days, day])
        while len(self._days) > MOST_DAYS:
            oldest = self._days.pop(0)
            text = f"{self._broker.name} has not told the fees and taxes of {oldest}: the estimates stay"
            self._log("WARNING", text)
        if soon:
            self._due.charges_soon()

    def _end_ns(self, day: str) -> int:
        """Return the last moment (ns) of a date of the market."""
        return to_ns(self._shared.calendar.at(date.fromisoformat(day) + timedelta(days=1), 0)) - 1

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> list[str]:
        """Return the days that wait, for a checkpoint."""
        return list(self._days)

    def import_state(self, saved: Sequence[str]) -> None:
        """Continue from :meth:`export_state`."""
        self._days = list(saved)


def _rows_of(store: SessionStore, day: str) -> tuple[Sequence[LedgerRow], Sequence[BookingRow]]:
    """Return fills and bookings among which are all of ``day``: those behind the last close that has none of it."""
    before = [one.marks for one in store.day_closes() if one.day < day and one.newest_trade_date < day]
    if not before:
        return store.ledger(), store.bookings()
    return store.ledger(before[-1].fills), store.bookings(before[-1].bookings)
