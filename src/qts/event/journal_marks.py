"""What the journal has to say of events and of the run's store, on its way to the files."""

from __future__ import annotations

from qts.event.journal_segments import Mark, Run, StoreNote, as_runs, encode_marks, encode_note, split_marks


class Marks:
    """What has become of events: noted at once, told to the files when a checkpoint contains it.

    Not ``checkpointed`` it is told without waiting for any. ``note`` is what the journal knows of the store; it
    goes along with every group of marks, so that the newest one is never in a file that was deleted. The caller
    holds the journal's lock.
    """

    def __init__(self, note: StoreNote | None, *, checkpointed: bool) -> None:
        self.checkpointed = checkpointed
        self.note = note
        self._is_note_due = False
        self._due: list[tuple[Mark, int]] = []
        self._uncommitted: list[tuple[Mark, int]] = []
        self._frozen: list[tuple[Mark, int]] = []

    def add(self, mark: Mark, sequence: int) -> None:
        (self._uncommitted if self.checkpointed else self._due).append((mark, sequence))

    def freeze(self) -> None:
        """A checkpoint is being taken: it contains the effects of all that was noted so far."""
        self._frozen += self._uncommitted
        self._uncommitted = []

    def commit(self, checkpoint: int | None) -> None:
        """The checkpoint of the last :meth:`freeze` is on disk; its number when the store is known."""
        self._due += self._frozen
        self._frozen = []
        if self.note is not None and checkpoint is not None:
            self.note = StoreNote(self.note.store, checkpoint)
        self._is_note_due = self.note is not None

    @property
    def are_due(self) -> bool:
        """Whether there is something to write."""
        return bool(self._due) or self._is_note_due

    def take(self, upto: int) -> list[Run]:
        """What is to be written of events up to ``upto``; the rest waits for the next call."""
        marks, self._due = split_marks(self._due, upto)
        return as_runs(marks)

    def bodies(self, runs: list[Run]) -> list[bytes]:
        """The records without a key that say ``runs`` and, when there is one, the note."""
        due, self._is_note_due = bool(runs) or self._is_note_due, False
        said = [encode_marks(runs)] if runs else []
        return [*said, encode_note(self.note)] if due and self.note is not None else said
