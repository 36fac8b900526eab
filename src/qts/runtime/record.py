"""What the run writes: intents at once, the rest with the next transaction, the checkpoint with each fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.capital.contracts import Transfer
from qts.db.contracts import Record, Store
from qts.errors import StateError, StorageError
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow

_BOOK: frozenset[type] = frozenset({LedgerRow, Order, Transfer})
_MAX_PENDING = 1_000


class RunRecord:
    """The one writer of the store.

    ``write_later`` gathers rows that explain (answers, refusals, samples, histories); they go out with the next
    transaction, and a checkpoint always carries all of them, so what is in memory at a checkpoint is also on
    disk. At most 1,000 rows wait.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[Record] = []
        self._make_checkpoint: Callable[[], bytes] = _not_connected
        self._on_failure: Callable[[], None] = _nobody_listens
        self._on_stored: Callable[[], None] = _nobody_listens
        self._failure: StorageError | None = None
        self.rows_of_the_book = 0
        """Fills, orders and transfers written so far: changes when the book did."""

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
    ) -> None:
        """``on_stored`` is told of every checkpoint that is on disk."""
        self._make_checkpoint = make_checkpoint
        self._on_failure = on_failure
        self._on_stored = on_stored or _nobody_listens

    def raise_failure(self) -> None:
        """Raise the StorageError after which nothing was written any more, if there was one."""
        if self._failure is not None:
            raise self._failure

    def write_later(self, record: Record) -> None:
        self._pending.append(record)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the kernel should commit at the next quiet moment."""
        return len(self._pending) >= _MAX_PENDING

    async def write_now(self, records: Sequence[Record]) -> None:
        """Durable when it returns; takes along what waits."""
        await self._commit(self._batch(records), None)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        """Write ``records``, what waits and the checkpoint of this moment in one transaction."""
        batch = self._batch(records)
        await self._commit(batch, self._make_checkpoint())

    def _batch(self, records: Sequence[Record]) -> list[Record]:
        """What waits and then ``records``: an answer that waits is older than the fill that carries it to disk.

        Counted before the checkpoint is made, so that the checkpoint knows of the rows it is written with.
        """
        batch = [*self._pending, *records]
        self._pending.clear()
        for row in batch:
            if row.__class__ in _BOOK:
                self.rows_of_the_book += 1
        return batch

    async def _commit(self, batch: Sequence[Record], checkpoint: bytes | None) -> None:
        self.raise_failure()
        try:
            await self._store.commit(batch, checkpoint)
        except StorageError as error:
            # From here on memory is ahead of the disk: nothing more is written, so the last checkpoint stays true.
            self._failure = error
            self._on_failure()
            raise
        if checkpoint is not None:
            self._on_stored()


def _not_connected() -> bytes:
    raise StateError("the record was asked for a checkpoint before it was connected")


def _nobody_listens() -> None:
    """Before the kernel is wired there is nobody to tell."""
