"""Closes days: what the book stands at becomes opening balances, and memory lets go of what they cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.db.contracts import Record
from qts.runtime.session.day_report import DayReport
from qts.runtime.shared_components import SharedComponents


class DayCloses:
    """Makes the rows of a day's close, which are stored with the next checkpoint. For the session's thread alone.

    On the virtual clock (``inline``) a day on which nothing was booked has no row: the close before it is still
    what the next day opens with. ``orders_sent`` returns how many orders the session has sent.
    """

    def __init__(self, shared: SharedComponents, *, inline: bool, orders_sent: Callable[[], int]) -> None:
        self.on_closed: Callable[[DayReport], object] = _ignore
        """Called with the report of a day when its rows are stored; set before the session starts."""
        self._report: DayReport | None = None
        self._shared = shared
        self._inline = inline
        self._orders_sent = orders_sent
        self._waiting: list[Record] = []
        self._are_taken = False

    def close(self, now_ns: int) -> bool:
        """Close the day of ``now_ns`` (ns of the session's clock); return whether there is a row of it.

        There is none for a day that has one already: what was booked since is part of the next one.
        """
        p, account = self._shared, self._shared.account
        day, last = p.trade_date(now_ns), account.last_close
        if (self._inline and not account.has_news) or (last is not None and day <= last.day):
            return False
        causes, before = p.safety.seq, account.last_close
        self._waiting += account.begin_close(
            day, now_ns, equity=p.equity(), orders=self._orders_sent(), causes=causes
        )
        assert account.last_close is not None  # just made
        if not self._inline:
            currency = p.config.runtime.currency
            self._report = DayReport(account.opening, currency, before, account.last_close, account.position_rows())
        return True

    def take_rows(self) -> Sequence[Record]:
        """Return the rows that wait, to be written with the checkpoint that is made next."""
        rows, self._waiting = self._waiting, []
        self._are_taken |= bool(rows)
        self._shared.orders.begin_store()
        return rows

    def on_stored(self) -> None:
        """Let go of what the close covers: its rows, and those of all it covers, are stored."""
        if self._are_taken:
            self._are_taken = False
            self._shared.account.finish_close()
            if self._report is not None:
                self.on_closed(self._report)
        self._shared.orders.end_store()


def _ignore(report: DayReport) -> None:
    """Do nothing: the session writes no reports of days."""
