"""Checks that a run's store and its journal belong to one run and one time, before the run is resumed.

The store is written first, then a note in the journal: the note names a checkpoint that is on disk. And a
checkpoint is stored only when the journal holds the events that it names. So after a kill or a power cut at any
line the store may be ahead of the journal's note, and the journal ahead of the store's events, but never the
reverse. A file for which the reverse holds was restored from a copy, or is missing; resuming from it would forget
fills, orders or a LOCKDOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from qts.db.contracts import RunRow
from qts.db.datadir import DATABASE_NAME
from qts.db.session import SessionStore
from qts.errors import StateError, StorageError
from qts.event.config import JournalConfig
from qts.event.journal import Journal
from qts.event.journal_recovery import Recovered
from qts.runtime.persistence.checkpoint import decode

_REFUSED: Final = (
    "Nothing was changed and nothing was traded. Restore the {wanted} of this run and resume; if it is lost, so "
    "are the events in between: check the broker's records and begin a new run in another --data-dir"
)


def open_journal(
    directory: Path, config: JournalConfig, run: RunRow, store: SessionStore, *, resumed: bool
) -> Journal:
    """Open the journal of ``run``, which is begun or ``resumed``. Raises what :func:`check_agreement` raises."""
    checkpoint, number = store.checkpoint() if resumed else None, store.checkpoint_number
    share = None if checkpoint is None else decode(checkpoint)["parts"]["dispatcher"]["journal"]

    def check(found: Recovered) -> None:
        check_agreement(directory, found, run if resumed else None, number, share)

    journal = Journal(directory, run.run_id, config, checkpointed=True, check=check)
    journal.note_store(run.started_at, number)
    return journal


def check_agreement(
    directory: Path, found: Recovered, run: RunRow | None, number: int, share: Mapping[str, Any] | None
) -> None:
    """Refuse to resume from a store and a journal that do not belong together.

    ``found`` is the journal in ``directory``; ``run`` is what the store was begun as (None: it holds no run),
    ``number`` its newest checkpoint (0: none) and ``share`` the journal's part of that (None: nothing). Raises
    StateError when the journal is another run's, StorageError when one of the two is older than the other.
    """
    noted, last = found.noted, found.next_sequence - 1
    store = directory.parent / DATABASE_NAME
    if run is None:
        if noted is not None or last:
            begun = "" if noted is None else f" of a run begun at {noted.store}"
            raise StorageError(
                f"{store} is missing or empty, but {directory} holds the journal{begun}. "
                + _REFUSED.format(wanted="store")
            )
        return
    if noted is not None and noted.store != run.started_at:
        raise StateError(
            f"{directory}: the journal belongs to a run begun at {noted.store}, the store to one begun at "
            f"{run.started_at}. " + _REFUSED.format(wanted="journal")
        )
    if noted is not None and noted.checkpoint > number:
        stands = f"at checkpoint {number}" if number else "without a checkpoint"
        raise StorageError(
            f"{store} is older than the journal in {directory}: it is {stands}, the "
            f"journal has checkpoint {noted.checkpoint}. " + _REFUSED.format(wanted="newer store")
        )
    held = 0 if share is None else share["held"]
    if last < held:
        raise StorageError(
            f"{directory}: the journal is older than the store {store}: it ends with event {last}, "
            f"the store's checkpoint was made when it held event {held}. " + _REFUSED.format(wanted="newer journal")
        )
    if noted is None and number > 1:
        raise StorageError(
            f"{directory}: the journal is empty or missing, or older than the store {store}: "
            f"it knows none of the store's {number} checkpoints. " + _REFUSED.format(wanted="journal")
        )
