"""What the run writes: intents at once, the rest with the next transaction, the checkpoint with each fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qts.capital.contracts import Transfer
from qts.db.contracts import Record, Store
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow

_BOOK = (LedgerRow, Order, Transfer)
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
        self._make_checkpoint: Callable[[], bytes] | None = None
        self.rows_of_the_book = 0
        """Fills, orders and transfers written so far: changes when the book did."""

    def connect(self, make_checkpoint: Callable[[], bytes]) -> None:
        self._make_checkpoint = make_checkpoint

    def write_later(self, record: Record) -> None:
        self._pending.append(record)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the kernel should commit at the next quiet moment."""
        return len(self._pending) >= _MAX_PENDING

    async def write_now(self, records: Sequence[Record]) -> None:
        """Durable when it returns; takes along what waits."""
        await self._commit(records, None)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        """Write ``records``, what waits and the checkpoint of this moment in one transaction."""
        assert self._make_checkpoint is not None
        await self._commit(records, self._make_checkpoint())

    async def _commit(self, records: Sequence[Record], checkpoint: bytes | None) -> None:
        # Waiting rows first: an answer that waits is older than the fill that carries it to disk.
        batch = [*self._pending, *records]
        self._pending.clear()
        await self._store.commit(batch, checkpoint)
        self.rows_of_the_book += sum(1 for row in batch if isinstance(row, _BOOK))
