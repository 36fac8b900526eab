"""Reads the whole book of a run from its directory, while it is live and afterwards.

An exported run has no checkpoint, which knows the opening cash of each pool: there it is the first sample of the
account, if that is older than every row of the book.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from qts.capital.contracts import Pool
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import FoundRun
from qts.db.reading import StoreReader
from qts.errors import InputError
from qts.ledger.verification import BookRows
from qts.runtime.persistence.checkpoint import decode


def read_book(found: FoundRun) -> BookRows:
    """Return all rows of the book in ``found.directory`` at one moment.

    Raises InputError when the run has stored no opening cash yet, and StorageError when the store cannot be read,
    and for damage or altered history of a run that is not live.
    """
    path = found.directory / DATABASE_NAME
    if not path.exists():
        raise _empty(found.directory)
    with StoreReader(path) as store:
        if not found.live:
            store.verify_history()  # a live session verifies its own
        checkpoint = store.checkpoint()
        if checkpoint is None:
            initial = _opening_cash(store)
            if found.live or not initial:
                raise _empty(found.directory)
            quantum = None
        else:
            account = decode(checkpoint)["parts"]["account"]
            initial = {pool: Decimal(account["initial"][pool.value]) for pool in Pool}
            quantum = account.get("quantum")
        return BookRows(
            initial=initial,
            quantum=None if quantum is None else Decimal(quantum),
            ledger=store.ledger(),
            transfers=store.transfers(),
            actions=store.actions(),
            orders=store.orders(),
            positions=store.positions(),
            pools=store.pools(),
            bookings=store.bookings(),
            closes=store.day_closes(),
            holding_closes=store.holding_closes(),
        )


def _opening_cash(store: StoreReader) -> dict[Pool, Decimal]:
    """Return the cash that the pools began with, as the first sample shows it; empty when a row may be older."""
    first = store.first_equity()
    moments = [row.ts_ns for rows in (store.ledger(), store.transfers(), store.bookings()) for row in rows[:1]]
    if first is None or any(moment <= first.ts_ns for moment in moments):
        return {}
    return {Pool.SCALP: first.scalp, Pool.SWING: first.swing, Pool.PORTFOLIO: first.portfolio}


def _empty(directory: Path) -> InputError:
    return InputError(f"the run in {directory} has stored no book yet; it does so when its session begins")
