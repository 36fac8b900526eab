"""Reads the whole book of a run from its directory, while it is live and afterwards."""

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
            raise _empty(found.directory)
        account = decode(checkpoint)["parts"]["account"]
        quantum = account.get("quantum")
        return BookRows(
            initial={pool: Decimal(account["initial"][pool.value]) for pool in Pool},
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


def _empty(directory: Path) -> InputError:
    return InputError(f"the run in {directory} has stored no book yet; it does so when its session begins")
